"""Structures on a page: where on a scan or a page of a PDF the drawings of molecules are.

The finder is a classical one. Rules and frames go first. Of the connected pieces of ink that are
left, bonds are long and thin for the height of the page's letters; letters are small, and stand in
lines if they are text. What is not a line of text is joined over the gap that a drawing has between
a bond and a label, and a group with at least one drawn piece is a structure.

Another finder, such as a network that was trained for it, is any function from a page to boxes:
see `Finder`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from eyesmol.image.ink import Mask, Pieces, ink_of, rules_of
from eyesmol.image.loading import Box, part_of

__all__ = ["Finder", "find_structures", "structures_on"]


class Finder(Protocol):
    """Finds the structures on a page."""

    def __call__(self, page: Image.Image, /) -> list[Box]:
        """Boxes (left, top, right, bottom) in pixels of the page, in reading order."""


def structures_on(page: Image.Image, finder: Finder) -> Iterator[Image.Image]:
    """The structures on a page, cut out; the ``filename`` of each is its place on the page."""
    name = str(getattr(page, "filename", "") or "page")
    for box in finder(page):
        part = page.crop(box)
        part.filename = part_of(name, box)  # type: ignore[attr-defined]
        yield part


# ---- the classical finder ----

# All lengths are in heights of the page's letters (x-height to cap height).
_DRAWN = 2.6  # a piece this long is no letter
_RULE = 9.0  # a straight upright or level line this long is no bond
_STRAIGHT = 0.7  # of a piece's ink is level or upright in a frame or a table
_LARGEST = 0.95  # of the page: what is larger holds rules and frames
_ALONG = 0.75  # of a piece's length: so long is the line of a frame or an axis
_BESIDE = 1.6  # between the lines of a double or triple bond, at most
_GAP = 1.15  # between a bond and its label, at most
_WORD_GAP = 1.1  # between the letters and words of a line of text
_LINE = 7.0  # length from which small pieces in a row are a line of text
_LEAST, _LEAST_SIDE = 4.0, 1.6  # of a structure: its longer and its shorter side
_MARGIN = 0.3
_WIDTH = 1200  # pixels; a page is shrunk to between once and twice this, for speed
_DENSEST = 0.42  # ink in the box of a drawn piece; images and black areas have more


def find_structures(page: Image.Image) -> list[Box]:
    """The finder of this file: see its beginning.

    Args:
        page: 100 to 600 dpi, of any mode.

    Returns:
        Boxes with a little paper around the ink, from the top down.
    """
    shrink = max(1, page.width // _WIDTH)
    ink = _shrunk(ink_of(page), shrink)
    letter = _letter_height(Pieces.of(ink), ink.shape[1])
    across, down = rules_of(ink, max(12, round(_RULE * letter)))
    rules = (across | down) & ~_bonds(ink, across | down, letter)
    pieces = Pieces.of(ink & ~rules)
    if not len(pieces.area):
        return []
    drawn = _is_drawn(pieces, letter)
    small = ~drawn & (np.maximum(pieces.width, pieces.height) < 4 * letter)
    # Dust and what is left of rules ties nothing together.
    small &= np.maximum(pieces.width, pieces.height) > 0.12 * letter
    text = _in_lines(pieces, small, letter)
    groups = _joined(pieces, drawn | (small & ~text), _GAP * letter)
    boxes = [
        box
        for box in _boxes(pieces, groups, drawn)
        if _is_structure(box, pieces, groups, drawn, (across, down), letter)
    ]
    boxes = _without_nested(boxes)
    found = (_widened(box, shrink, page, letter) for box in boxes)
    return sorted(found, key=lambda box: (box[1], box[0]))


def _bonds(ink: Mask, straight: Mask, letter: float) -> Mask:
    """Level and upright lines that belong to a drawing: long bonds are no rules.

    A drawing has strokes at a slant on the piece of ink on which they lie, and is no frame; beside
    it lie the other lines of double and triple bonds, which are shorter than it is.
    """
    pieces = Pieces.of(ink)
    if not len(pieces.area):
        return np.zeros_like(ink)
    numbers = np.arange(1, len(pieces.area) + 1)
    lying = ndimage.sum(straight, pieces.labels, numbers) / pieces.area
    longer = np.maximum(pieces.width, pieces.height)
    tall = np.minimum(pieces.width, pieces.height) > _DRAWN * letter
    is_slanted = (lying < _STRAIGHT) & tall & (longer < _LARGEST * max(ink.shape))
    is_slanted &= ~_frames(pieces, straight)
    drawing = pieces.mask(is_slanted)
    if not drawing.any():
        return np.zeros_like(ink)
    distance, nearest = ndimage.distance_transform_edt(~drawing, return_indices=True)
    near = ndimage.minimum(distance, pieces.labels, numbers) <= _BESIDE * letter
    at = ndimage.minimum_position(distance, pieces.labels, numbers)
    neighbour = np.array([pieces.labels[nearest[0][yx], nearest[1][yx]] for yx in at], dtype=int)
    beside = near & (longer < 0.8 * longer[neighbour - 1])
    found: Mask = pieces.mask(is_slanted | beside)
    return found


def _frames(pieces: Pieces, straight: Mask) -> npt.NDArray[np.bool_]:
    """Pieces whose level or upright lines go along most of them: frames, axes, rules. [N]"""
    found = np.zeros(len(pieces.area), dtype=bool)
    for number, (left, top, right, bottom) in enumerate(pieces.boxes):
        if max(right - left, bottom - top) > 8:
            box = slice(top, bottom), slice(left, right)
            part = straight[box] & (pieces.labels[box] == number + 1)
            found[number] = max(part.mean(axis=0).max(), part.mean(axis=1).max()) > _ALONG
    return found


def _shrunk(ink: Mask, factor: int) -> Mask:
    """Each square of pixels as one, ink where any of them is."""
    if factor == 1:
        return ink
    height, width = (-(-side // factor) * factor for side in ink.shape)
    padded = np.zeros((height, width), dtype=bool)
    padded[: ink.shape[0], : ink.shape[1]] = ink
    squares = padded.reshape(height // factor, factor, width // factor, factor)
    return np.asarray(squares.any(axis=(1, 3)))


def _letter_height(pieces: Pieces, page_width: int) -> float:
    """Usual height of a letter in pixels, of the pieces that could be letters."""
    height, width = pieces.height, pieces.width
    likely = (height >= max(4, page_width / 500)) & (height < page_width / 25)
    likely &= (width < 3 * height) & (height < 5 * width)
    if likely.sum() < 12:  # no text to speak of: a page at its usual size
        return max(5.0, page_width / 150)
    return float(np.median(height[likely]))


def _is_drawn(pieces: Pieces, letter: float) -> npt.NDArray[np.bool_]:
    """Pieces that are bonds and rings rather than letters or images. [N]"""
    longer = np.maximum(pieces.width, pieces.height)
    shorter = np.minimum(pieces.width, pieces.height)
    density = pieces.area / (pieces.width * pieces.height)
    # Words whose letters touch are long too, but no higher than letters, and dense.
    flat = (pieces.height < 1.9 * letter) & (density > 0.22)
    found: npt.NDArray[np.bool_] = (
        (longer > _DRAWN * letter) & (shorter > 0.5 * letter) & (density < _DENSEST) & ~flat
    )
    return found


def _in_lines(pieces: Pieces, small: npt.NDArray[np.bool_], letter: float) -> npt.NDArray[np.bool_]:
    """Small pieces that stand in lines of text. [N]"""
    # Smeared sideways, a line of text becomes one long piece; letters of labels stay short.
    reach = max(1, round(_WORD_GAP * letter))
    smeared = ndimage.binary_closing(
        np.pad(pieces.mask(small), ((0, 0), (reach, reach))), np.ones((1, 2 * reach + 1))
    )[:, reach:-reach]
    lines = Pieces.of(smeared)
    is_line = (lines.width > _LINE * letter) & (lines.height < 3.5 * letter)
    in_line = lines.mask(is_line)
    inside = ndimage.maximum(in_line, pieces.labels, np.arange(1, len(pieces.area) + 1))
    found: npt.NDArray[np.bool_] = small & np.asarray(inside, dtype=bool)
    return found


def _joined(pieces: Pieces, chosen: npt.NDArray[np.bool_], gap: float) -> npt.NDArray[np.int64]:
    """Number of the group of each piece, 0 for those that are not chosen. [N]"""
    # All pixels within half the gap of the ink; two of these areas touch where ink is near ink.
    distance = ndimage.distance_transform_edt(~pieces.mask(chosen))
    areas, _ = ndimage.label(distance <= gap / 2, structure=np.ones((3, 3)))
    numbers = ndimage.maximum(areas, pieces.labels, np.arange(1, len(pieces.area) + 1))
    return np.where(chosen, np.asarray(numbers, dtype=np.int64), 0)


def _boxes(
    pieces: Pieces, groups: npt.NDArray[np.int64], drawn: npt.NDArray[np.bool_]
) -> list[Box]:
    """Box of each group that holds a drawn piece."""
    found = []
    for group in np.unique(groups[drawn]):
        part = pieces.boxes[groups == group]
        left, top = part[:, :2].min(axis=0)
        right, bottom = part[:, 2:].max(axis=0)
        found.append((int(left), int(top), int(right), int(bottom)))
    return found


def _is_structure(
    box: Box,
    pieces: Pieces,
    groups: npt.NDArray[np.int64],
    drawn: npt.NDArray[np.bool_],
    rules: tuple[Mask, Mask],
    letter: float,
) -> bool:
    """True where a group has the size, the ink and the strokes of a drawing of a molecule."""
    left, top, right, bottom = box
    longer, shorter = max(right - left, bottom - top), min(right - left, bottom - top)
    if longer < _LEAST * letter or shorter < _LEAST_SIDE * letter:
        return False
    inside = (slice(max(top - round(letter), 0), bottom + round(letter)),
              slice(max(left - round(letter), 0), right + round(letter)))  # fmt: skip
    # Axes and frames: lines along most of both sides.
    across = rules[0][inside].any(axis=0).mean() if rules[0][inside].size else 0
    down = rules[1][inside].any(axis=1).mean() if rules[1][inside].size else 0
    if across > 0.6 and down > 0.6:
        return False
    part = (pieces.boxes[:, 0] >= left) & (pieces.boxes[:, 2] <= right)
    part &= (pieces.boxes[:, 1] >= top) & (pieces.boxes[:, 3] <= bottom)
    strokes = part & drawn
    ink = pieces.area[part].sum() / ((right - left) * (bottom - top))
    return bool(strokes.any() and ink < 0.35 and _is_thin(pieces, strokes))


def _is_thin(pieces: Pieces, strokes: npt.NDArray[np.bool_]) -> bool:
    """True where the largest drawn piece is a thin line for its size, as the letters of a heading
    are not."""
    largest = int(np.argmax(np.where(strokes, pieces.area, 0)))
    left, top, right, bottom = pieces.boxes[largest]
    mask = np.pad(pieces.labels[top:bottom, left:right] == largest + 1, 1)
    # A line of width w has 2 pixels of rim for each w pixels of ink.
    rim = mask & ~ndimage.binary_erosion(mask)
    width = 2 * mask.sum() / max(int(rim.sum()), 1)
    return bool(width * 7 < max(right - left, bottom - top))


def _without_nested(boxes: list[Box]) -> list[Box]:
    """Boxes that lie mostly inside a larger one leave it to that one."""
    kept: list[Box] = []
    for box in sorted(boxes, key=_area, reverse=True):
        if not any(_overlap(box, other) > 0.6 * _area(box) for other in kept):
            kept.append(box)
    return kept


def _area(box: Box) -> int:
    return max(box[2] - box[0], 0) * max(box[3] - box[1], 0)


def _overlap(first: Box, second: Box) -> int:
    return _area((max(first[0], second[0]), max(first[1], second[1]),
                  min(first[2], second[2]), min(first[3], second[3])))  # fmt: skip


def _widened(box: Box, shrink: int, page: Image.Image, letter: float) -> Box:
    """A box in the page's own pixels, with a little paper round it."""
    margin = round(_MARGIN * letter * shrink)
    left, top, right, bottom = (side * shrink for side in box)
    return (max(left - margin, 0), max(top - margin, 0),
            min(right + margin, page.width), min(bottom + margin, page.height))  # fmt: skip
