"""A fast and exact pen: a subject becomes a drawing, in a style, with all that stands beside it.

Everything depends on the subject, the style and the given random numbers alone, bit for bit, as
long as the fonts are the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

import numpy as np
from numpy.typing import NDArray

from data_preprocess.drawing import clutter, wear
from data_preprocess.drawing.bond_strokes import BondStrokes, element_shade, hidden_share
from data_preprocess.drawing.fonts import FontKind
from data_preprocess.drawing.ink import Box, Point, Sheet, stroke_width, writable
from data_preprocess.drawing.lettering import Letter, Lettering, lettered, placed_letters
from data_preprocess.drawing.pen_style import PenStyle
from data_preprocess.drawing.subject import Drawing, Subject
from eyesmol.chem.graph import Atom, MolGraph

__all__ = ["draw"]

_Points = NDArray[np.float64]  # (atoms, 2)

_LARGEST = 6_000_000  # pixels; a molecule that needs more is not drawn
_NEAREST = 0.2  # bond lengths; atoms nearer to each other cannot be told apart
_SEEN = 0.22  # bond lengths; what must be seen of a bond between two labels
_SHRINKING = (1.0, 0.86, 0.74, 0.63)  # sizes of the letters that are tried where they collide
_FINE = 100.0  # a bond length in pixels up to which lines are drawn too large and averaged


def draw(subject: Subject, style: PenStyle, rng: Random) -> Drawing | None:
    """The drawing, or None where it would be unreadable or too large.

    Args:
        subject: what is drawn.
        style: how.
        rng: makes all choices that the style leaves open.
    """
    points = _laid_out(subject, style, rng)
    able = _able_to_write(subject, style, rng)
    if points is None or able is None:
        return None
    style = able
    spelling = _spelt(subject, points, style, rng)
    set_ = _typeset(subject, points, spelling, style)
    if set_ is None:
        return None
    unit = style.bond_length
    sheet = Sheet((rng, style.wobble * unit, 0.15 * unit) if style.wobble else None)
    boxes = _with_margins(set_.letters, style.label_margin * unit)
    BondStrokes(sheet, subject, set_.points, boxes, style, unit, rng).draw()
    _write(sheet, subject, set_, style)
    for x, y in set_.points:
        sheet.reach(x - 0.5, y - 0.5, x + 0.5, y + 0.5)
    scene = clutter.Scene(sheet, subject, set_.points, boxes, style, unit, rng)
    extra = clutter.surround(scene)
    return _on_paper(subject, set_.points, extra, sheet, style, rng)


# Positions


def _laid_out(subject: Subject, style: PenStyle, rng: Random) -> _Points | None:
    """The atoms' positions in pixels about any origin; None where two lie upon each other."""
    graph = subject.graph
    points = np.array([(atom.x, atom.y) for atom in graph.atoms], dtype=np.float64).reshape(-1, 2)
    median = graph.median_bond_length() or 1.5
    points = points / median
    if style.end_stretch != (1.0, 1.0):
        points = _with_stretched_ends(points, graph, style.end_stretch, rng)
    if style.jitter:
        points = points + np.array([[rng.gauss(0, style.jitter) for _ in "xy"] for _ in points])
    angle = math.radians(style.rotation)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    points = points @ turn * np.array([style.stretch, 1.0])
    if len(points) > 1 and _nearest(points) < _NEAREST:
        return None
    return points * style.bond_length


def _nearest(points: _Points) -> float:
    squares = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    np.fill_diagonal(squares, np.inf)
    return math.sqrt(float(squares.min()))


def _with_stretched_ends(
    points: _Points, graph: MolGraph, factors: tuple[float, float], rng: Random
) -> _Points:
    """Atoms at the ends moved along their bond, where no other atom comes near."""
    points = points.copy()
    common = rng.uniform(*factors) if rng.random() < 0.5 else None
    fraction = rng.choice((0.3, 0.7, 1.0))
    for index, row in enumerate(graph.neighbours()):
        if len(row) != 1 or rng.random() >= fraction:
            continue
        anchor = points[row[0][0]]
        moved = anchor + (points[index] - anchor) * (common or rng.uniform(*factors))
        distances = np.hypot(*(points - moved).T)
        distances[index] = distances[row[0][0]] = np.inf
        if distances.min() > 0.5:
            points[index] = moved
    return points


# Letters


@dataclass(frozen=True)
class _Typeset:
    """Labels at their positions: for each atom its letters, none for bare corners."""

    points: _Points
    letters: list[list[Letter]]


_WIDEST: tuple[FontKind, ...] = ("gothic", "mincho", "bitmap", "other_sans")


def _able_to_write(subject: Subject, style: PenStyle, rng: Random) -> PenStyle | None:
    """The style, with another font where its own lacks letters of the labels; None without any."""
    text = "".join(atom.label for atom in subject.graph.atoms)
    if len(writable(style.font, text)) == len(text):
        return style
    fonts = [font for kind in _WIDEST for font in style.shelf.of(kind)]
    able = [font for font in fonts if len(writable(font, text)) == len(text)]
    return replace(style, font=rng.choice(able)) if able else None


def _spelt(
    subject: Subject, points: _Points, style: PenStyle, rng: Random
) -> list[Lettering | None]:
    spelling = []
    for index, row in enumerate(subject.graph.neighbours()):
        directions: list[Point] = []
        for other, _ in row:
            dx, dy = points[other] - points[index]
            length = math.hypot(dx, dy)
            directions.append((dx / length, dy / length))
        spelling.append(
            lettered(
                subject.graph.atoms[index],
                subject.mol.GetAtomWithIdx(index),
                directions,
                style,
                rng,
                written=index in subject.written,
            )
        )
    return spelling


def _typeset(
    subject: Subject, points: _Points, spelling: Sequence[Lettering | None], style: PenStyle
) -> _Typeset | None:
    """The labels as large as the style says, or smaller where they collide; else None."""
    for factor in _SHRINKING:
        em = style.em * style.bond_length * factor
        set_ = _with_seen_bonds(subject, _set(points, spelling, style, em), spelling, style, em)
        if set_ is not None and not _collide(subject, set_):
            return set_
    return None


def _set(
    points: _Points, spelling: Sequence[Lettering | None], style: PenStyle, em: float
) -> _Typeset:
    letters = [
        [] if lettering is None else placed_letters(lettering, (float(x), float(y)), style, em)
        for lettering, (x, y) in zip(spelling, points, strict=True)
    ]
    return _Typeset(points, letters)


def _with_margins(letters: Sequence[Sequence[Letter]], margin: float) -> list[list[Box]]:
    return [
        [(a - margin, b - margin, c + margin, d + margin) for a, b, c, d in (e.box for e in row)]
        for row in letters
    ]


def _with_seen_bonds(
    subject: Subject, set_: _Typeset, spelling: Sequence[Lettering | None], style: PenStyle,
    em: float,
) -> _Typeset | None:  # fmt: skip
    """Bonds that vanish between two labels are made longer, as chemists do; None where one is in
    a ring, which cannot be."""
    unit = style.bond_length
    for _ in range(3):
        boxes = _with_margins(set_.letters, style.label_margin * unit)
        points, moved = set_.points, False
        for bond in subject.graph.bonds:
            if not (boxes[bond.begin] and boxes[bond.end]):
                continue
            p, q = points[bond.begin], points[bond.end]
            length = math.hypot(*(q - p))
            hidden = hidden_share(tuple(p), tuple(q), boxes[bond.begin])
            hidden += hidden_share(tuple(q), tuple(p), boxes[bond.end])
            lacking = _SEEN * unit - (1 - hidden) * length
            if lacking <= 0:
                continue
            side = _beyond(subject.graph, bond.begin, bond.end)
            if side is None:
                return None
            points = points.copy()
            points[side] += (q - p) / length * (lacking + 0.05 * unit)
            moved = True
        if not moved:
            return set_
        set_ = _set(points, spelling, style, em)
    return set_


def _beyond(graph: MolGraph, begin: int, end: int) -> list[int] | None:
    """The atoms that hang on `end` when its bond to `begin` is cut; None for a bond in a ring."""
    neighbours = graph.neighbours()
    found, pending = {end}, [end]
    while pending:
        here = pending.pop()
        for other, _ in neighbours[here]:
            if other in found or (here, other) == (end, begin):
                continue
            if other == begin:
                return None
            found.add(other)
            pending.append(other)
    return sorted(found)


def _collide(subject: Subject, set_: _Typeset) -> bool:
    """True where letters lie upon those of another atom, or a foreign bond runs through them."""
    owners = np.array([k for k, row in enumerate(set_.letters) for _ in row], dtype=np.int64)
    if not len(owners):
        return False
    boxes = np.array([letter.box for row in set_.letters for letter in row])
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    overlap = np.clip(high - low, 0, None).prod(axis=2)
    area = np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(axis=1), 1e-6)
    foreign = owners[:, None] != owners[None]
    if bool((foreign & (overlap > 0.04 * area[:, None])).any()):
        return True
    return _crossed_by_bonds(subject, set_.points, boxes, owners)


def _crossed_by_bonds(
    subject: Subject, points: _Points, boxes: NDArray[np.float64], owners: NDArray[np.int64]
) -> bool:
    bonds = subject.graph.bonds
    if not bonds:
        return False
    ends = np.array([(bond.begin, bond.end) for bond in bonds])
    p, d = points[ends[:, 0]], points[ends[:, 1]] - points[ends[:, 0]]
    d = np.where(np.abs(d) < 1e-9, 1e-9, d)
    first = (boxes[None, :, :2] - p[:, None]) / d[:, None]
    second = (boxes[None, :, 2:] - p[:, None]) / d[:, None]
    enter = np.minimum(first, second).max(axis=2).clip(0, 1)
    leave = np.maximum(first, second).min(axis=2).clip(0, 1)
    inside = (leave - enter) * np.hypot(d[:, 0], d[:, 1])[:, None]
    foreign = (owners[None] != ends[:, :1]) & (owners[None] != ends[:, 1:])
    height = (boxes[:, 3] - boxes[:, 1])[None]
    return bool((foreign & (inside > 0.25 * height)).any())


def _write(sheet: Sheet, subject: Subject, set_: _Typeset, style: PenStyle) -> None:
    for atom, row in zip(subject.graph.atoms, set_.letters, strict=True):
        shade = style.label_shade
        if style.element_shades:
            shade = element_shade(atom.label, shade)
        for letter in row:
            sheet.text(letter.x, letter.base, letter.text, style.font, letter.em, shade)
            if letter.circled:
                left, top, right, bottom = letter.box
                sheet.circle(((left + right) / 2, (top + bottom) / 2), 0.42 * letter.em,
                             max(0.05 * letter.em, 0.8), shade)  # fmt: skip


# Paper


def _on_paper(
    subject: Subject,
    points: _Points,
    extra: Sequence[Atom],
    sheet: Sheet,
    style: PenStyle,
    rng: Random,
) -> Drawing | None:
    unit = style.bond_length
    sides = [
        0.0 if side in sheet.cut_sides else rng.uniform(*style.margin) * unit for side in range(4)
    ]
    left, top = math.floor(sheet.left - sides[0]), math.floor(sheet.top - sides[1])
    right, bottom = math.ceil(sheet.right + sides[2]), math.ceil(sheet.bottom + sides[3])
    if (right - left) * (bottom - top) > _LARGEST:
        return None
    fineness = max(1, min(4, round(_FINE / unit)))
    image = sheet.raster((left, top, right, bottom), fineness)
    positions = [(float(x), float(y)) for x, y in points] + [(a.x, a.y) for a in extra]
    thinnest = min(style.line_width, stroke_width(style.font) * style.em)
    print_ = wear.Print(unit, thinnest * unit, style.em * unit, style.double_gap * unit)
    shifted = [(x - left, y - top) for x, y in positions]
    worn, positions = wear.apply(image, shifted, style.wear, print_, rng)
    atoms = [
        replace(atom, x=x, y=y)
        for atom, (x, y) in zip((*subject.graph.atoms, *extra), positions, strict=True)
    ]
    height, width = worn.shape
    if not all(0 <= a.x <= width and 0 <= a.y <= height for a in atoms):
        return None
    graph = MolGraph(tuple(atoms), subject.graph.bonds)
    return Drawing(worn, graph, graph.median_bond_length() or unit)
