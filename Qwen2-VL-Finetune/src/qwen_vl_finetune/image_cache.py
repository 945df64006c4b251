"""Processed images kept on disk: decoded and cut into patches once, mapped into memory later.

A file's name is the hash of the image's bytes and of everything that shapes the result (pixel
budget, patch size, resampling), so an image that changed, or another budget, is another file.
Several processes and runs may share a folder: files are moved into place whole.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from .processing import ImagePatches, Processor

FORMAT = 3  # 16-bit greys are scaled and rounded


@dataclass(frozen=True)
class ImageCache:
    """A folder of processed images.

    Args:
        folder: where they lie; made when the first one is written.
    """

    folder: Path

    def patches(self, path: Path, processor: Processor) -> ImagePatches:
        """An image's patches, from the folder if they are there; raises what Pillow raises."""
        content = path.read_bytes()
        file = self.file(content, processor)
        kept = _read(file)
        if kept is not None:
            return kept
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            made = processor.image_patches(image)
        _write(file, made)
        return made

    def file(self, content: bytes, processor: Processor) -> Path:
        """Where the patches of an image of these bytes lie."""
        stock = processor.image_processor
        shape = {
            "format": FORMAT,
            "frame": vars(processor.frame),
            "patch": processor.patch,
            "merge": processor.merge,
            "resample": int(stock.resample),
        }
        key = hashlib.sha256(json.dumps(shape, sort_keys=True).encode())
        key.update(content)
        name = key.hexdigest()
        return self.folder / name[:2] / f"{name}.npy"


def _read(file: Path) -> ImagePatches | None:
    """Patches [t, h, w, 3, p, p] mapped into memory, or None where no whole file is."""
    try:
        blocks = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if blocks.ndim != 6 or blocks.dtype != np.uint8:
        return None
    t, h, w = blocks.shape[:3]
    return ImagePatches(blocks.reshape(-1, *blocks.shape[3:]), (t, h, w))


def _write(file: Path, made: ImagePatches) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(f".{os.getpid()}.part")
    with draft.open("wb") as stream:
        np.save(stream, made.pixels.reshape(*made.grid, *made.pixels.shape[1:]))
    draft.replace(file)
