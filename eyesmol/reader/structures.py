"""What was given becomes what is read: files become pages, pages become structures.

A PDF's pages hold text and any number of structures, so they are always searched. An image is
searched where it has the shape of a sheet of paper and its structures fill but a part of it: the
finder is made for pages and would tear a large single drawing apart. Of 3,856 single drawings of
patents and drug dictionaries (2026-11-29) none was taken for a page.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from eyesmol.image.loading import (
    PictureError,
    Source,
    box_of,
    is_pdf,
    list_pictures,
    load_picture,
    page_of,
    size_of,
)
from eyesmol.recognition import Recognition

if TYPE_CHECKING:
    from eyesmol.image.segmentation import Finder

__all__ = ["as_sources", "name_of", "structures_of", "unreadable"]

_SHEET_SIDE = 800  # pixels of the shorter side at least: A4 at 100 dpi has 827
_SHEET_SHAPES = (1.25, 1.6)  # height over width: Letter 1.29, A4 1.41, Legal 1.55
_FULL = 0.6  # of the page: one structure that fills more is no page's, but a drawing by itself

_NEEDS = "finding the structures on a page needs scipy: pip install 'eyesmol[pdf]'"


def as_sources(images: Source | Iterable[Source]) -> Iterator[Source | Recognition]:
    """Each image of what was given: one or many; a file or folder may hold several.

    A name that holds none is a recognition with its error.
    """
    for source in _several(images):
        if not isinstance(source, str | Path):
            yield source
            continue
        try:
            yield from list_pictures(source)
        except PictureError as error:
            yield Recognition(str(source), error=str(error))


def _several(images: Source | Iterable[Source]) -> Iterable[Source]:
    is_one = isinstance(images, str | Path | bytes | Image.Image)
    is_one = is_one or (isinstance(images, np.ndarray) and images.ndim < 4)
    return [images] if is_one else images  # type: ignore[list-item,return-value]


def structures_of(
    sources: Iterable[Source | Recognition],
    pages: bool | None = None,
    finder: Finder | None = None,
) -> Iterator[Source | Recognition]:
    """The structures on what are pages; other images, and recognitions, as they are.

    A structure is an image whose ``filename`` says where it was found: see
    `eyesmol.image.loading.part_of`. A page without any is a recognition with that reason.

    Args:
        sources: as `as_sources` gives them.
        pages: see `eyesmol.reader.options.ReadOptions`.
        finder: `eyesmol.image.segmentation.find_structures` by default.
    """
    for number, source in enumerate(sources):
        if isinstance(source, Recognition) or not _is_searched(source, pages):
            yield source
        else:
            yield from _searched(source, number, pages is None and not _of_pdf(source), finder)


def _is_searched(source: Source, pages: bool | None) -> bool:
    if pages is False or (isinstance(source, str | Path) and box_of(str(source))):
        return False
    return bool(pages) or _of_pdf(source) or _has_shape_of_page(source)


def _of_pdf(source: Source) -> bool:
    return isinstance(source, str | Path) and is_pdf(str(source))


def _has_shape_of_page(source: Source) -> bool:
    """By its size alone, which is known before anything is decoded."""
    try:
        width, height = _size(source)
    except Exception:  # broken files make the libraries raise many kinds; reading will say which
        return False
    least, most = _SHEET_SHAPES
    return width >= _SHEET_SIDE and least <= height / width <= most


def _size(source: Any) -> tuple[int, int]:
    if isinstance(source, np.ndarray):
        height, width = source.shape[:2]
        return width, height
    if isinstance(source, bytes):
        with Image.open(io.BytesIO(source)) as image:
            return image.size
    return source.size if isinstance(source, Image.Image) else size_of(str(source))


def _searched(
    source: Source, number: int, doubtful: bool, finder: Finder | None
) -> Iterator[Source | Recognition]:
    """The structures on a page; the image itself where it was only thought to be one."""
    name = name_of(source, number)
    try:
        from eyesmol.image.segmentation import find_structures, structures_on
    except ImportError:
        if doubtful:
            warnings.warn(f"{name}: may be a page, and is read whole; {_NEEDS}", stacklevel=2)
            yield source
        else:
            yield Recognition(name, error=f"{name}: {_NEEDS}")
        return
    try:
        page = load_picture(source)
    except Exception as error:
        yield unreadable(name, error)
        return
    page.filename = name  # type: ignore[attr-defined]
    found = list(structures_on(page, finder or find_structures))
    if doubtful and not _is_page(page, found):
        yield page
    elif found:
        yield from found
    else:
        reason = "no molecule: no drawing of a structure was found on this page"
        yield Recognition(name, reason=reason, size=page.size, page=page_of(name))


def _is_page(page: Image.Image, found: list[Image.Image]) -> bool:
    area = page.width * page.height
    return bool(found) and max(part.width * part.height for part in found) < _FULL * area


def name_of(source: Source | Recognition, number: int) -> str:
    """The image's name: its path, its ``filename``, or its number."""
    if isinstance(source, str | Path):
        return str(source)
    return str(getattr(source, "filename", "") or f"image {number}")


def unreadable(name: str, error: Exception) -> Recognition:
    """The row of an image that cannot be opened, or not be used."""
    return Recognition(name, error=f"{name}: cannot be read as an image: {_why(error)}")


def _why(error: Exception) -> str:
    """What is wrong with an image, in words that name no object of Python's."""
    if isinstance(error, FileNotFoundError):
        return "the file is missing"
    if isinstance(error, UnidentifiedImageError):
        return "found no format that Pillow knows; expected PNG, JPEG, TIFF, BMP, GIF, WebP or PDF"
    return str(error) or type(error).__name__
