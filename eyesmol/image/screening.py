"""Images that show no drawing of a molecule at first sight: blank, photograph, chart, text.

Only strong evidence counts, because a molecule that is refused is lost, and an image that is not
costs a moment. What the model then reads is judged by its confidence.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from eyesmol.image.ink import Mask, Pieces, depth_of, ink_in, rules_of
from eyesmol.image.segmentation import find_structures

__all__ = ["no_molecule"]

_LONGEST = 800  # pixels; a larger image is looked at in this size
_LEAST_INK = 12  # pixels
_MOST_INK = 0.4  # share of the image
_MOST_BETWEEN = 0.3  # at most 0.03 in drawings and scans of patents, 0.6 in photographs
_FILLED = 0.45  # share of the ink that is deep inside an area, as in the bars of a chart
_SPECKLED = 0.02  # pieces a pixel, as in noise: a drawing of 100 atoms has fewer than 0.002
_MANY_LETTERS = 40
_DEEP = 0.6  # of the depth of the ink: what is lighter is a highlight behind it
_RIM = 0.8  # of a line along the rim is dark where a bar lies there


def no_molecule(image: Image.Image) -> str | None:
    """Why an image shows no molecule; None where it may well show one."""
    shrink = max(1.0, max(image.size) / _LONGEST)
    size = (max(1, round(image.width / shrink)), max(1, round(image.height / shrink)))
    small = image if shrink == 1 else image.convert("RGBA").resize(size, Image.Resampling.BOX)
    depth = depth_of(small)
    ink = ink_in(depth)
    share = float(ink.mean())
    if ink.sum() < _LEAST_INK:
        return "the image is blank"
    if share > _MOST_INK:
        return f"{share:.0%} of the image is dark, as in a photograph"
    if (between := _between(depth)) > _MOST_BETWEEN:
        return f"{between:.0%} of it is neither paper nor ink, as in a photograph"
    pieces = Pieces.of(ink)
    if len(pieces.area) > _SPECKLED * ink.size:
        return "the image is noise"
    if _filled(_without_rims(depth > _DEEP * np.percentile(depth, 99.9)), ink) > _FILLED:
        return "most of its ink lies in filled areas, as in a chart or a photograph"
    if _has_axes(image, ink, pieces):
        return "it has axes or a frame with lettering, as charts and tables have"
    if _is_text(image, pieces):
        return "it holds text and no drawing"
    return None


def _between(depth: npt.NDArray[np.float32]) -> float:
    """Share of the pixels that are neither paper nor ink."""
    darkest = float(np.percentile(depth, 99.9))
    return float(((np.abs(depth) > 0.12 * darkest) & (depth < 0.5 * darkest)).mean())


def _filled(dark: Mask, ink: Mask) -> float:
    """Share of the ink that lies further inside what is dark than a stroke or a wedge goes."""
    deep = max(5.0, 0.02 * max(ink.shape))
    depth = ndimage.distance_transform_edt(np.pad(dark, 1))
    # What lies within the same distance of such a place belongs to the area.
    core = depth > deep
    if not core.any():
        return 0.0
    area = ndimage.distance_transform_edt(~core)[1:-1, 1:-1] <= deep + 1
    return float((area & ink).sum() / ink.sum())


def _without_rims(dark: Mask) -> Mask:
    """What is dark less the bars along the rim of the image, as scanners and copiers leave them."""
    kept = dark.copy()
    for side in (kept, kept[::-1], kept.T, kept.T[::-1]):
        rows = side.mean(axis=1) > _RIM
        side[: int(np.argmin(np.append(rows, False)))] = False
    return kept


def _has_axes(image: Image.Image, ink: Mask, pieces: Pieces) -> bool:
    """True for a line along most of the width and one along most of the height, and lettering.

    A frame round a drawing is none: it has four sides, and no numbers stand on its left.
    """
    across, _ = rules_of(ink, round(0.6 * ink.shape[1]))
    _, down = rules_of(ink, round(0.6 * ink.shape[0]))
    small = np.maximum(pieces.width, pieces.height) < 0.08 * max(ink.shape)
    if not (across.any() and down.any() and small.sum() >= 8):
        return False
    levels, uprights = np.nonzero(across.any(axis=1))[0], np.nonzero(down.any(axis=0))[0]
    is_frame = np.ptp(levels) > 0.5 * ink.shape[0] and np.ptp(uprights) > 0.5 * ink.shape[1]
    numbered = bool((small & (pieces.boxes[:, 2] <= uprights[0])).any())
    return not is_frame or numbered or not find_structures(image)


def _is_text(image: Image.Image, pieces: Pieces) -> bool:
    """True for many pieces of about one height, and nothing that the finder takes for a drawing."""
    if len(pieces.area) < _MANY_LETTERS:
        return False
    height = np.sort(pieces.height)
    alike = height[len(height) * 9 // 10] < 4 * max(int(height[len(height) // 4]), 2)
    return bool(alike) and not find_structures(image)
