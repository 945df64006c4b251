"""What somebody sent becomes drawings, within limits, under the names that they gave.

A file that cannot be read becomes a `Recognition` with its error, so that it harms no other. No
name and no message holds a path of this machine.
"""

from __future__ import annotations

import shutil
import threading
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from eyesmol.image.loading import PictureError, list_pictures, load_picture, page_of
from eyesmol.image.segmentation import find_structures, structures_on
from eyesmol.recognition import Recognition
from eyesmol.serve.service import Drawing

__all__ = [
    "Limits",
    "Upload",
    "UploadError",
    "list_uploads",
    "open_uploads",
    "save_upload",
    "with_expanded_graph",
]

_EXPECTED = "expected PNG, JPEG, TIFF, BMP, GIF, WebP, PDF, or a ZIP of images"
_PDF_PIXELS_A_POINT = 300 / 72  # as `eyesmol.image.loading` renders pages
_MAGIC = {b"%PDF-": ".pdf", b"PK\x03\x04": ".zip"}
# PDFium may be used by one thread at a time.
_pdfium = threading.Lock()


class UploadError(Exception):
    """A request that cannot be done.

    Attributes:
        status: the HTTP status to answer with.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Limits:
    """What one request may hold.

    Attributes:
        megabytes: of all its files together, 1 MB = 1,000,000 bytes.
        pages: images, pages and members of archives.
        megapixels: of one image or page.
    """

    megabytes: int = 20
    pages: int = 50
    megapixels: int = 50

    @property
    def bytes(self) -> int:
        return self.megabytes * 1_000_000


@dataclass(frozen=True)
class Upload:
    """A file on this machine, and what its sender calls it."""

    path: Path
    name: str

    def hidden(self, text: str) -> str:
        """A name or a message about the file as its sender may see it."""
        return text.replace(str(self.path), self.name).replace(f"{self.path.parent}/", "")


@dataclass(frozen=True)
class _Place:
    """One image of an upload: the name by which it is loaded here."""

    upload: Upload
    place: str

    @property
    def name(self) -> str:
        return self.upload.hidden(self.place)


def save_upload(file: BinaryIO, name: str, folder: Path) -> Upload:
    """Write what was sent into a folder of its own; PDF and ZIP are known by their first bytes."""
    name = "".join(c for c in Path(name.replace("\\", "/")).name if c.isprintable())[-100:]
    name = name or "image"
    start = file.read(5)
    file.seek(0)
    endings = [ending for magic, ending in _MAGIC.items() if start.startswith(magic)]
    wanted = endings[0] if endings else Path(name).suffix.lower()
    folder.mkdir(parents=True)
    # Only the ending of what they call it: any other letter may be one that no file can have.
    path = folder / f"upload{wanted if wanted.isascii() and wanted[1:].isalnum() else ''}"
    with path.open("wb") as out:
        shutil.copyfileobj(file, out)
    return Upload(path, name)


def list_uploads(uploads: Iterable[Upload], limits: Limits) -> list[_Place | Recognition]:
    """All images in what was sent; a file that holds none is a recognition with its error.

    Raises:
        UploadError: 413, more images than the limit.
    """
    found: list[_Place | Recognition] = []
    for upload in uploads:
        try:
            found += [_Place(upload, name) for name in _names(upload.path, limits.pages + 1)]
        except PictureError as error:
            found.append(Recognition(upload.name, error=upload.hidden(str(error))))
        if len(found) > limits.pages:
            raise UploadError(
                413,
                f"{upload.name}: more than {limits.pages} images and pages in one request; "
                f"send them in parts of at most {limits.pages}",
            )
    return found


def _names(path: Path, most: int) -> list[str]:
    """What `list_pictures` calls the images of a file, without counting more than `most`."""
    if (frames := _frames(path, most)) >= most:
        return [f"{path}#{number + 1}" for number in range(frames)]
    with _using(path):
        return list(islice(list_pictures(path), most))


def _frames(path: Path, most: int) -> int:
    """How many frames an image has, or `most`: Pillow takes half a minute to count 60,000."""
    if path.suffix.lower() in (".pdf", ".zip"):
        return 0
    try:
        with Image.open(path) as image:
            for number in range(1, most):
                try:
                    image.seek(number)
                except EOFError:
                    return number
    except Exception:  # a broken file raises a dozen kinds; loading it will say which
        return 0
    return most


def _using(path: Path) -> AbstractContextManager[object]:
    """The only thread in PDFium while a PDF is open; others need not wait for each other."""
    return _pdfium if path.suffix.lower() == ".pdf" else nullcontext()


def open_uploads(
    places: Iterable[_Place | Recognition],
    limits: Limits,
    *,
    pages: bool | None = None,
    any_picture: bool = False,
) -> Iterator[Drawing | Recognition]:
    """Load what `list_uploads` listed, one after the other.

    Args:
        limits: of pixels.
        pages: find the structures on each image and give those; None does so for PDF.
        any_picture: see `Drawing`.
    """
    for place in places:
        if isinstance(place, Recognition):
            yield place
            continue
        image = _opened(place, limits)
        is_page = place.upload.path.suffix.lower() == ".pdf" if pages is None else pages
        if isinstance(image, Recognition):
            yield image
        elif is_page:
            yield from _structures(image, place.name)
        else:
            yield Drawing(image, any_picture)


def _structures(page: Image.Image, name: str) -> Iterator[Drawing | Recognition]:
    found = list(structures_on(page, find_structures))
    for part in found:
        assert isinstance(part, Image.Image)
        yield Drawing(part, any_picture=True)
    if not found:
        reason = "no molecule: no drawing of a structure was found on this page"
        yield Recognition(name, reason=reason, size=page.size, page=page_of(name))


def _opened(place: _Place, limits: Limits) -> Image.Image | Recognition:
    """The image under its sender's name, or why there is none."""
    try:
        with _using(place.upload.path):
            width, height = _size(place)
            if width * height > limits.megapixels * 1_000_000:
                raise ValueError(f"{width:,} x {height:,} pixels; {_small_enough(limits)}")
            image = load_picture(place.place)
    except Image.DecompressionBombError:  # beyond what Pillow opens at all
        return Recognition(
            place.name, error=f"{place.name}: far too many pixels; {_small_enough(limits)}"
        )
    except UnidentifiedImageError:
        return Recognition(place.name, error=f"{place.name}: no image; {_EXPECTED}")
    # Broken files make the libraries raise a dozen kinds of exception.
    except Exception as error:
        why = place.upload.hidden(str(error)) or type(error).__name__
        return Recognition(place.name, error=f"{place.name}: cannot be read as an image: {why}")
    image.filename = place.name  # type: ignore[attr-defined]
    return image


def _small_enough(limits: Limits) -> str:
    return (
        f"expected at most {limits.megapixels} million pixels. Cut the molecule out, or make the "
        "image smaller"
    )


def _size(place: _Place) -> tuple[int, int]:
    """Width and height in pixels, before anything is decoded."""
    path, page = place.upload.path, page_of(place.place) or 1
    if path.suffix.lower() == ".pdf":
        document = import_module("pypdfium2").PdfDocument(path)
        try:
            points = document[page - 1].get_size()
        finally:
            document.close()
        return round(points[0] * _PDF_PIXELS_A_POINT), round(points[1] * _PDF_PIXELS_A_POINT)
    member = place.place[len(str(path)) + 1 :]
    if path.suffix.lower() == ".zip" and member:
        with (
            zipfile.ZipFile(path) as archive,
            archive.open(member) as file,
            Image.open(file) as image,
        ):
            return image.size
    with Image.open(path) as image:
        image.seek(page - 1)
        return image.size


def with_expanded_graph(result: Recognition) -> Recognition:
    """The same with atoms and bonds of the abbreviations written out."""
    if result.graph is None:
        return result
    # The new atoms were never seen, so that there is no confidence of each.
    return replace(result, graph=result.expanded, atom_confidence=(), bond_confidence=())
