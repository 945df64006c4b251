"""From an image file's pixels to ink: what the network takes, at whatever scale it is asked for.

Training and reading go through the same functions: the network meets in use what it has seen.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["Ink", "ink_of", "padded", "scaled"]

Ink = NDArray[np.uint8]  # (H, W), 0 paper .. 255 ink

_WEAKEST = 40  # grey values between paper and ink; less is no drawing but noise
_SHADED = 24  # grey values by which paper may differ before it counts as shaded
_TILES = 8  # pieces of a side in which the paper's grey is looked for


def ink_of(image: Image.Image) -> Ink:
    """Ink of an image: transparency on white, dark paper turned round, shade and weakness undone.

    An image of pure black and white stays as it is.
    """
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image)
        image = white
    grey = np.asarray(image.convert("L"))
    if np.median(grey) < 128:
        grey = 255 - grey
    ink = np.clip(_paper(grey) - grey.astype(np.int16), 0, None)
    if ink.size == 0:
        return ink.astype(np.uint8)
    darkest = float(np.percentile(ink[::2, ::2], 99.8)) if ink.size > 4096 else float(ink.max())
    darkest = max(darkest, float(ink.max()) * 0.6)
    if darkest < _WEAKEST or darkest >= 250:
        return ink.astype(np.uint8)
    return np.clip(ink * (255.0 / darkest), 0, 255).astype(np.uint8)


def _paper(grey: NDArray[np.uint8]) -> NDArray[np.int16]:
    """The grey of the paper, one value, or one for each pixel where it is shaded."""
    height, width = grey.shape
    if min(height, width) < 4 * _TILES:
        return np.full((1, 1), int(grey.max(initial=255)), np.int16)
    rows, columns = height // _TILES, width // _TILES
    tiles = grey[: rows * _TILES, : columns * _TILES].reshape(_TILES, rows, _TILES, columns)
    light = np.percentile(tiles[:, ::2, :, ::2], 85, axis=(1, 3)).astype(np.float32)
    if np.ptp(light) < _SHADED:
        return np.full((1, 1), round(float(np.median(light))), np.int16)
    light = np.maximum(light, np.median(light) - 80)  # a large black shape is no paper
    shade = Image.fromarray(light).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(shade).astype(np.int16)


def scaled(ink: Ink, factor: float) -> tuple[Ink, float, float]:
    """Ink at another scale, and the exact factors along x and y."""
    height, width = ink.shape
    size = max(8, round(width * factor)), max(8, round(height * factor))
    method = Image.Resampling.BOX if factor < 1 else Image.Resampling.BICUBIC
    found = np.asarray(Image.fromarray(ink).resize(size, method))
    return found, size[0] / width, size[1] / height


def padded(ink: Ink, left: int, top: int, height: int, width: int) -> Ink:
    """Ink on empty paper of (height, width), its corner at (left, top)."""
    paper = np.zeros((height, width), np.uint8)
    paper[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return paper
