"""The images of a catalogue that still need a description, ready to be sent."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from data_preprocess.catalogue.compounds import COMPOUNDS, read_file
from data_preprocess.describe.gemini import SentImage
from data_preprocess.describe.journal import Journal
from data_preprocess.tally import Tally
from eyesmol.image.levels import on_white

__all__ = ["open_images"]

_SENT_AS_THEY_ARE = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
_LONGEST = 3_072  # pixels a side; the models shrink what is larger


def open_images(
    catalogue: Path, journal: Journal, passed: Tally, *, retry_failed: bool = False
) -> Iterator[SentImage]:
    """Each image that no call has answered, once, read as it is needed.

    Rows that are passed over are counted in `passed`.
    """
    folder = COMPOUNDS.file(catalogue).parent
    for compound in COMPOUNDS.read(catalogue):
        if compound.image is None:
            passed.add("no image", compound.id)
            continue
        verdict = journal.verdict(compound.image, retry_failed=retry_failed)
        if verdict == "open" and compound.visual_description:
            verdict = "answered"  # by somebody else
        if verdict != "open":
            passed.add(verdict, compound.image)
            continue
        image = _read(folder, compound.image)
        if image is None:
            passed.add("unreadable image", compound.image)
            continue
        yield image


def _read(folder: Path, name: str) -> SentImage | None:
    """None for an image that is not there or cannot be decoded."""
    try:
        data = read_file(folder, name)
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            mime_type = _SENT_AS_THEY_ARE.get(image.format or "")
            if mime_type and max(image.size) <= _LONGEST:
                return SentImage(name, data, mime_type, image.size)
            return _as_png(name, image)
    except (OSError, SyntaxError, ValueError, zipfile.BadZipFile, Image.DecompressionBombError):
        return None


def _as_png(name: str, image: Image.Image) -> SentImage:
    image = on_white(image)
    image.thumbnail((_LONGEST, _LONGEST))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return SentImage(name, buffer.getvalue(), "image/png", image.size)
