"""Images from wherever they are: files, folders, pages of TIFF and PDF, zips, bytes, arrays.

Each page and each member is an image of its own, named after its place: ``scan.tif#2`` is the
second page, ``drawings.zip/a.png`` a member, ``scan.tif#2@90,80,410,300`` the part of that page
from (90, 80) to (410, 300). They are listed first, which opens nothing but archives and documents,
and loaded one at a time, so that one bad image harms no other.
"""

from __future__ import annotations

import io
import itertools
import os
import re
import sqlite3
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

__all__ = [
    "IMAGE_ENDINGS",
    "Box",
    "PictureError",
    "Source",
    "box_of",
    "is_pdf",
    "list_pictures",
    "load_picture",
    "page_of",
    "part_of",
    "size_of",
    "whole_of",
]

IMAGE_ENDINGS = frozenset(
    {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".jp2", ".avif"}
)
_MANY_PAGES = {".tif", ".tiff"}
_PDF_DPI = 300  # what structures in patents are scanned at
_MOST_BYTES = 256 << 20  # of one member of an archive, unpacked
_MOST_PIXELS = 90_000_000  # A3 at 600 dpi has 70 million
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels, the last two not inside

# A path, or an image in memory: PIL, an encoded file, or an array [H, W] or [H, W, 1 to 4].
Source = str | Path | Image.Image | bytes | npt.NDArray[Any]


class PictureError(Exception):
    """A folder, archive or document that holds no image; says what was expected."""


_PART = re.compile(r"(.+)@(\d+,\d+,\d+,\d+)", re.DOTALL)


def _as_box(text: str) -> Box:
    left, top, right, bottom = map(int, text.split(","))
    return left, top, right, bottom


def part_of(name: str, box: Box) -> str:
    """The name of a part of an image: left, top, right, bottom in its pixels."""
    return f"{name}@{','.join(map(str, box))}"


def box_of(name: str) -> Box | None:
    """The part that a name names."""
    return _Place.of(name).box


def whole_of(name: str) -> str:
    """The name of the page that a name names a part of; other names as they are."""
    match = _PART.fullmatch(name)
    return match[1] if match and not Path(name).exists() else name


def page_of(name: str) -> int | None:
    """The page that a name names, from 1."""
    return _Place.of(name).page or None


def is_pdf(name: str) -> bool:
    """True for a PDF and its pages, in an archive too."""
    return _Place.of(name).ending == ".pdf"


def size_of(name: str) -> tuple[int, int]:
    """Width and height in pixels of the image that a name names, from its header.

    Raises:
        Exception: whatever Pillow or the archive raises; the sort depends on what is broken.
    """
    place = _Place.of(name)
    with _checked(place.opened(), place.page) as image:
        return image.size


@dataclass(frozen=True)
class _Place:
    """Where an image lies: a file, perhaps a member of it, a page (from 1), a part of that."""

    file: Path
    member: str = ""
    page: int = 0
    box: Box | None = None

    @property
    def ending(self) -> str:
        """Of the file that holds the image, in small letters."""
        return PurePosixPath(self.member or self.file.name).suffix.lower()

    def opened(self) -> Path | io.BytesIO:
        """What the libraries open: the file, or the bytes of the member."""
        return io.BytesIO(_unpacked(self.file, self.member)) if self.member else self.file

    @classmethod
    def of(cls, name: str) -> _Place:
        """From a name as `list_pictures` gives it; a file that is really called so comes first."""
        page, box = 0, None
        if not Path(name).exists():
            if match := _PART.fullmatch(name):
                name, box = match[1], _as_box(match[2])
            stem, mark, number = name.rpartition("#")
            if mark and number.isdigit():
                name, page = stem, int(number)
            for archive in Path(name).parents:
                if archive.suffix.lower() == ".zip" and archive.is_file():
                    member = Path(name).relative_to(archive).as_posix()
                    return cls(archive, member, page, box)
        return cls(Path(name), "", page, box)


def list_pictures(name: str | Path) -> Iterator[str]:
    """Names of all images in a file, a folder (sorted, and its folders too) or a zip archive.

    A file that cannot be opened is listed by its own name; `load_picture` will then say why.

    Raises:
        PictureError: a folder or an archive without an image, or the address of a website.
    """
    if _URL.match(str(name)):
        raise PictureError(f"{name}: nothing is fetched from the network; download it first")
    path = Path(name)
    if not path.is_dir():
        yield from _in_file(path)
        return
    is_empty = True
    for file in _files(path):
        is_empty = False
        try:
            yield from _in_file(file)
        except PictureError:
            yield str(file)  # becomes a row with its error
    if is_empty:
        raise PictureError(f"{path}: no image in this folder; expected {_expected()}")


def _files(folder: Path) -> Iterator[Path]:
    """Files in a folder that may hold images, in the order of their paths.

    A database without a name lies on the disk, and goes with its connection: the names of a
    million files take no memory.
    """
    with closing(sqlite3.connect("")) as names:
        names.execute("CREATE TABLE entries (name BLOB, is_folder INTEGER)")
        try:
            names.executemany("INSERT INTO entries VALUES (?, ?)", _entries(folder))
        except OSError:
            yield folder  # loading it will say why
            return
        for name, is_folder in names.execute("SELECT * FROM entries ORDER BY name"):
            path = folder / os.fsdecode(name)
            if is_folder:
                yield from _files(path)
            else:
                yield path


def _entries(folder: Path) -> Iterator[tuple[bytes, bool]]:
    """Names of what is of interest in a folder, and whether it is a folder; in no order."""
    endings = tuple(IMAGE_ENDINGS | {".pdf", ".zip"})
    with os.scandir(folder) as entries:
        for entry in entries:
            is_folder = entry.is_dir(follow_symlinks=False)
            if is_folder or (entry.name.lower().endswith(endings) and entry.is_file()):
                yield os.fsencode(entry.name), is_folder


def _expected() -> str:
    return ", ".join(sorted(IMAGE_ENDINGS))


def _in_file(path: Path) -> Iterator[str]:
    if path.suffix.lower() == ".zip" and path.is_file():
        yield from _members(path)
    else:
        yield from _pages(_Place(path), str(path))


def _members(path: Path) -> Iterator[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(entry.filename for entry in archive.infolist() if not entry.is_dir())
    except (OSError, zipfile.BadZipFile):
        yield str(path)
        return
    endings = IMAGE_ENDINGS | {".pdf"}
    found = [
        name for name in names
        if PurePosixPath(name).suffix.lower() in endings and "__MACOSX" not in name
    ]  # fmt: skip
    if not found:
        raise PictureError(f"{path}: no image in this archive; expected {_expected()}, .pdf")
    for member in found:
        yield from _pages(_Place(path, member), f"{path}/{member}")


def _pages(place: _Place, name: str) -> Iterator[str]:
    """A name for each page; of a file with one page, or that cannot be opened, its own."""
    pages = _numbered(place)
    next(pages)
    second = next(pages, None)
    if second is None:
        yield name
        return
    yield f"{name}#1"
    yield f"{name}#{second}"
    yield from (f"{name}#{page}" for page in pages)


def _numbered(place: _Place) -> Iterator[int]:
    """Numbers of a document's pages, from 1, counted only as far as they are asked for."""
    yield 1
    if place.ending not in {".pdf", *_MANY_PAGES}:
        return
    # A broken file makes the libraries raise many kinds; loading will say which.
    with suppress(Exception):
        if place.ending == ".pdf":
            with _pdf(place.opened()) as document:
                count = len(document)
            yield from range(2, count + 1)
            return
        with Image.open(place.opened()) as image:
            for page in itertools.count(2):
                image.seek(page - 1)  # until there is none
                yield page


def load_picture(source: Source) -> Image.Image:
    """The image, turned upright where its EXIF says that the camera was not.

    Args:
        source: a name of `list_pictures`, a path, an encoded file as bytes, an array (grey, or
            colours last; 8 bit, or floats 0 to 1), or a PIL image.

    Raises:
        Exception: whatever Pillow or the archive raises; the sort depends on what is broken.
    """
    if isinstance(source, Image.Image):
        image = source
    elif isinstance(source, bytes):
        image = _opened(io.BytesIO(source))
    elif isinstance(source, np.ndarray):
        image = _from_array(source)
    else:
        place = _Place.of(str(source))
        if place.box:
            # A page has many parts, which are read in turn.
            whole = _whole_page(str(place.file), place.member, place.page)
            left, top, right, bottom = place.box
            if not (left < right <= whole.width and top < bottom <= whole.height):
                raise ValueError(
                    f"part {place.box} of an image of {whole.width} x {whole.height} pixels"
                )
            return whole.crop(place.box)
        image = _from_place(place)
    return ImageOps.exif_transpose(image)


@lru_cache(maxsize=2)
def _whole_page(file: str, member: str, page: int) -> Image.Image:
    return ImageOps.exif_transpose(_from_place(_Place(Path(file), member, page)))


def _opened(file: Any, page: int = 0) -> Image.Image:
    with _checked(file, page) as image:
        image.load()
        # A copy: a frame of a file that is closed cannot be asked for its tags.
        return image.copy()


@contextmanager
def _checked(file: Any, page: int = 0) -> Iterator[Image.Image]:
    """An image at its page, not decoded yet, and of a size that can be.

    Raises:
        ValueError: too many pixels.
    """
    with warnings.catch_warnings():
        # Pillow warns of what is refused here, in words for programmers.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(file) as image:
            image.seek(max(page - 1, 0))
            if image.width * image.height > _MOST_PIXELS:
                raise ValueError(
                    f"found {image.width:,} x {image.height:,} pixels, expected at most "
                    f"{_MOST_PIXELS // 1_000_000} million in all; cut the molecule out, or make "
                    "the image smaller"
                )
            yield image


def _from_array(array: npt.NDArray[Any]) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.size == 0 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] > 4):
        raise ValueError(
            f"an array of shape {array.shape}; expected [height, width] or [height, width, colours]"
        )
    if np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
            raise ValueError("an array of floats that are not all between 0 and 1")
        array = np.rint(array * 255).astype(np.uint8)
    elif array.dtype == bool:
        array = array.astype(np.uint8) * 255
    return Image.fromarray(np.ascontiguousarray(array))


def _from_place(place: _Place) -> Image.Image:
    if place.ending == ".pdf":
        return _pdf_page(place.opened(), max(place.page, 1))
    return _opened(place.opened(), place.page)


def _unpacked(archive: Path, member: str) -> bytes:
    """A member's bytes, in memory: nothing is written, whatever path the member claims to have."""
    parts = PurePosixPath(member)
    if parts.is_absolute() or ".." in parts.parts:
        raise ValueError("its path leads out of the archive; pack the archive again")
    with zipfile.ZipFile(archive) as opened:
        size = opened.getinfo(member).file_size
        if size > _MOST_BYTES:
            raise ValueError(f"it unpacks to {size:,} bytes; expected at most {_MOST_BYTES:,}")
        return opened.read(member)


@contextmanager
def _pdf(file: Path | io.BytesIO) -> Iterator[Any]:
    try:
        pypdfium2 = import_module("pypdfium2")  # optional, so asked for where it is used
    except ImportError:
        raise ImportError("PDF needs pypdfium2: pip install 'eyesmol[pdf]'") from None
    document = pypdfium2.PdfDocument(file)
    try:
        yield document
    finally:
        document.close()


def _pdf_page(file: Path | io.BytesIO, number: int) -> Image.Image:
    if isinstance(file, Path) and not file.is_file():
        raise FileNotFoundError(file)
    with _pdf(file) as document:
        page = document[number - 1]
        width, height = page.get_size()  # in points
        # A poster is rendered with fewer dots an inch.
        scale = min(_PDF_DPI / 72, (_MOST_PIXELS / (width * height)) ** 0.5)
        image: Image.Image = page.render(scale=scale).to_pil()
        return image
