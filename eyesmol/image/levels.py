"""Dark ink on light paper, whatever was given: deep greys, transparency, dark or grey paper.

Readers and the screening see an image only so. What is drawn clearly stays as it is, to the pixel.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

__all__ = ["eight_bit", "on_white", "readable"]

_CLEAR = 80  # grey levels between paper and ink; less is stretched
_FAINTEST = 28  # grey levels between white paper and ink; less is a blank sheet
_NOISE = 12  # the same, however dark the paper
_LIGHT = 128  # grey of the darkest paper that is left as it is


def eight_bit(image: Image.Image) -> Image.Image:
    """An image of 16 or 32 bits or of floats as 8 bits, scaled and not cut; others as they are.

    Floats of 0 to 1 are black to white, others the range that they have.
    """
    if not image.mode.startswith(("I", "F")):
        return image
    if image.mode == "I;16B":  # which Pillow opens, and does little else with
        values = np.frombuffer(image.tobytes(), ">u2").reshape(image.height, image.width)
    else:
        values = np.asarray(image)
    values = np.nan_to_num(values.astype(np.float64))
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    if image.mode == "F":
        high = 1.0 if low >= 0 and high <= 1 else high
    else:
        low, high = min(low, 0.0), max(high, 255.0)
    scaled = (values - low) * (255 / ((high - low) or 1))
    return Image.fromarray(np.rint(scaled).astype(np.uint8))


def on_white(image: Image.Image) -> Image.Image:
    """RGB copy of any image; transparent parts become white, deep greys are scaled, not cut."""
    return _on(image, "white")


def _on(image: Image.Image, paper: str) -> Image.Image:
    image = eight_bit(image)
    if "A" in image.getbands() or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, paper), rgba).convert("RGB")
    return image.convert("RGB")


def readable(image: Image.Image) -> Image.Image:
    """RGB with ink darker than its paper, and clearly so.

    White on black is turned round, dark or grey paper becomes white, faint ink dark; light ink on a
    transparent ground is put on black first.
    """
    rgb = on_white(image)
    paper, ink = _levels(rgb)
    if _is_blank(paper, ink) and "A" in image.getbands():
        on_black = _on(image, "black")
        if not _is_blank(*_levels(on_black)):
            rgb = on_black
            paper, ink = _levels(rgb)
    if _is_blank(paper, ink) or (paper >= _LIGHT and paper - ink >= _CLEAR):
        return rgb
    if ink - paper >= _CLEAR:
        return rgb.point(lambda value: 255 - value)
    stretch = 255 / (paper - ink)
    return rgb.point(lambda value: min(max((value - ink) * stretch, 0), 255))


def _is_blank(paper: int, ink: int) -> bool:
    """True where the two differ by no more than noise; in a dark photograph less is ink."""
    return abs(paper - ink) < max(_NOISE, _FAINTEST * paper / 255)


def _levels(image: Image.Image) -> tuple[int, int]:
    """Grey of the paper, and of the ink: what most pixels have, and what is furthest from it."""
    counts = np.cumsum(image.convert("L").histogram())
    low, paper, high = (
        int(np.searchsorted(counts, share * counts[-1])) for share in (0.001, 0.5, 0.999)
    )
    return paper, low if paper - low >= high - paper else high
