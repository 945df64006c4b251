"""Bonds become strokes: every kind of bond in every way that a style draws it.

A bond ends where it meets the letters of its atoms; each line of a double bond does so by itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

import numpy as np
from numpy.typing import NDArray

from data_preprocess.drawing.ink import Box, Point, Sheet
from data_preprocess.drawing.pen_style import PenStyle
from data_preprocess.drawing.subject import CUT_LINE, Subject
from eyesmol.chem.graph import Bond, BondOrder

__all__ = ["BondStrokes", "element_shade", "hidden_share"]

_MOST_HIDDEN = (
    0.92  # fraction of a line that lies under letters, above which nothing is drawn of it
)

# Luminance of the colours in which programs draw elements.
_SHADES = {"N": 70, "O": 76, "S": 160, "F": 140, "Cl": 130, "Br": 85, "I": 75, "P": 150, "B": 170}


def element_shade(label: str, fallback: int = 0) -> int:
    """Grey value of an element's usual colour, 0 black."""
    return _SHADES.get(label, fallback)


def hidden_share(p: Point, q: Point, boxes: Sequence[Box]) -> float:
    """Share of the line from p to q that lies in the boxes about its beginning, at most 0.9."""
    hidden = 0.0
    dx, dy = q[0] - p[0], q[1] - p[1]
    for left, top, right, bottom in boxes:
        enter, leave = 0.0, 1.0
        for start, step, low, high in ((p[0], dx, left, right), (p[1], dy, top, bottom)):
            if abs(step) < 1e-9:
                if not low <= start <= high:
                    leave = -1.0
                continue
            a, b = (low - start) / step, (high - start) / step
            enter, leave = max(enter, min(a, b)), min(leave, max(a, b))
        if enter < leave and enter < 0.5:
            hidden = max(hidden, leave)
    return min(hidden, 0.9)


class BondStrokes:
    """Draws the bonds of one subject.

    Args:
        sheet: takes the strokes.
        subject: what is drawn.
        points: (atoms, 2) in pixels.
        boxes: for each atom those of its letters, with their margin; none for bare corners.
        style: how.
        unit: a bond length in pixels.
        rng: chooses where the style leaves it open.
    """

    def __init__(
        self,
        sheet: Sheet,
        subject: Subject,
        points: NDArray[np.float64],
        boxes: Sequence[Sequence[Box]],
        style: PenStyle,
        unit: float,
        rng: Random,
    ) -> None:
        self.sheet, self.subject, self.style, self.rng = sheet, subject, style, rng
        self.points: list[Point] = [(float(x), float(y)) for x, y in points]
        self.boxes = boxes
        self.unit = unit
        self.width = style.line_width * unit
        self.neighbours = subject.graph.neighbours()
        self.ring_of = _smallest_rings(subject)
        self.in_circle = {
            frozenset((a, b))
            for ring in subject.circles
            for a, b in zip(ring, (*ring[1:], ring[0]), strict=True)
        }
        self.bold = self._bold_piece()

    def draw(self) -> None:
        """All bonds, those that cross others last; then joints and circles."""
        crossing = self.subject.crossing if self.style.crossing_gap else frozenset()
        for bond in sorted(self.subject.graph.bonds, key=lambda b: (b.begin, b.end) in crossing):
            if (bond.begin, bond.end) in crossing:
                self._clear_way(bond)
            self._draw_bond(bond)
        self._joints()
        for ring in self.subject.circles:
            self._circle(ring)

    def _draw_bond(self, bond: Bond) -> None:
        order = bond.order
        if order == BondOrder.SINGLE:
            self._single(bond)
        elif order == BondOrder.DOUBLE:
            self._double(bond)
        elif order == BondOrder.TRIPLE:
            self._triple(bond)
        elif order == BondOrder.AROMATIC:
            self._line(bond)
            if frozenset((bond.begin, bond.end)) not in self.in_circle:
                self._dashed_beside(bond)
        elif order == BondOrder.SOLID_WEDGE:
            self._wedge(bond)
        elif order == BondOrder.DASHED_WEDGE:
            self._hashes(bond)
        elif order == BondOrder.WAVY:
            self._wave(bond)
        elif order == BondOrder.CROSSED_DOUBLE:
            self._crossed(bond)
        else:
            raise ValueError(f"the pen draws no bond of the kind {order.name}")

    # Geometry

    def _direction(self, bond: Bond) -> tuple[float, float, float]:
        """Unit vector and length."""
        (x0, y0), (x1, y1) = self.points[bond.begin], self.points[bond.end]
        length = math.hypot(x1 - x0, y1 - y0)
        return (x1 - x0) / length, (y1 - y0) / length, length

    def _ends(
        self, bond: Bond, offset: float = 0.0, cut: tuple[float, float] = (0.0, 0.0)
    ) -> tuple[Point, Point] | None:
        """What is seen of a line beside the bond's axis, with its ends cut by so many pixels."""
        ux, uy, length = self._direction(bond)
        (x0, y0), (x1, y1) = self.points[bond.begin], self.points[bond.end]
        p, q = (x0 - uy * offset, y0 + ux * offset), (x1 - uy * offset, y1 + ux * offset)
        start = max(hidden_share(p, q, self.boxes[bond.begin]), cut[0] / length)
        stop = max(hidden_share(q, p, self.boxes[bond.end]), cut[1] / length)
        if start + stop > _MOST_HIDDEN:
            return None
        dx, dy = q[0] - p[0], q[1] - p[1]
        return (
            (p[0] + dx * start, p[1] + dy * start),
            (q[0] - dx * stop, q[1] - dy * stop),
        )

    def _line_width(self, bond: Bond) -> float:
        is_bold = (bond.begin, bond.end) in self.bold
        return self.width * (self.style.bold_factor if is_bold else 1.0)

    def _line(self, bond: Bond, offset: float = 0.0, cut: tuple[float, float] = (0.0, 0.0)) -> None:
        ends = self._ends(bond, offset, cut)
        if ends is None:
            return
        width = self._line_width(bond)
        p, q = ends
        first, second = self._shades(bond)
        round_ = self.style.round_ends
        if first == second:
            self.sheet.line(p, q, width, first, round_=round_)
            return
        middle = ((p[0] + q[0]) / 2, (p[1] + q[1]) / 2)
        self.sheet.line(p, middle, width, first, round_=round_)
        self.sheet.line(middle, q, width, second, round_=round_)

    def _shades(self, bond: Bond) -> tuple[int, int]:
        if not self.style.half_bonds:
            return 0, 0
        atoms = self.subject.graph.atoms
        return element_shade(atoms[bond.begin].label), element_shade(atoms[bond.end].label)

    # Kinds of bond

    def _single(self, bond: Bond) -> None:
        """A line; half of a cut line may be dashed or curved."""
        drawn = self.subject.mol.GetBondBetweenAtoms(bond.begin, bond.end)
        how = drawn.GetProp(CUT_LINE) if drawn.HasProp(CUT_LINE) else "straight"
        ends = self._ends(bond)
        if how == "straight" or ends is None:
            self._line(bond)
        elif how == "dashed":
            self._dashes(*ends, self.width)
        else:
            self._arc(*ends, bulge=0.14 * self.unit)

    def _arc(self, p: Point, q: Point, bulge: float) -> None:
        length = math.hypot(q[0] - p[0], q[1] - p[1]) or 1.0
        across = (p[1] - q[1]) / length, (q[0] - p[0]) / length
        points = []
        for k in range(9):
            x, y = _between(p, q, k / 8)
            height = 4 * bulge * (k / 8) * (1 - k / 8)
            points.append((x + across[0] * height, y + across[1] * height))
        self.sheet.path(points, self.width)

    def _double(self, bond: Bond) -> None:
        gap = self.style.double_gap * self.unit
        side = self._inner_side(bond)
        if side == 0:
            self._line(bond, gap / 2)
            self._line(bond, -gap / 2)
            return
        self._line(bond)
        self._line(bond, side * gap, self._cuts(bond, self.style.inner_cut))

    def _cuts(self, bond: Bond, fraction: float) -> tuple[float, float]:
        """Only ends where the chain goes on are cut."""
        cut = fraction * self.unit
        return (
            cut if len(self.neighbours[bond.begin]) > 1 else 0.0,
            cut if len(self.neighbours[bond.end]) > 1 else 0.0,
        )

    def _inner_side(self, bond: Bond) -> int:
        """1 or -1: the side of the second line; 0: both lines beside the axis."""
        (x0, y0), (ux, uy, _) = self.points[bond.begin], self._direction(bond)
        ring = self.ring_of.get(frozenset((bond.begin, bond.end)))
        if ring is not None:
            x = sum(self.points[k][0] for k in ring) / len(ring)
            y = sum(self.points[k][1] for k in ring) / len(ring)
            return 1 if -uy * (x - x0) + ux * (y - y0) > 0 else -1
        at_end = min(len(self.neighbours[bond.begin]), len(self.neighbours[bond.end])) == 1
        if self.style.centre_all or (at_end and self.style.centre_ends):
            return 0
        balance = 0
        for here, there in ((bond.begin, bond.end), (bond.end, bond.begin)):
            for other, _ in self.neighbours[here]:
                if other != there:
                    dx = self.points[other][0] - self.points[here][0]
                    dy = self.points[other][1] - self.points[here][1]
                    balance += 1 if -uy * dx + ux * dy > 0 else -1
        if balance:
            return 1 if balance > 0 else -1
        return 0 if self.rng.random() < 0.3 else self.rng.choice((-1, 1))

    def _triple(self, bond: Bond) -> None:
        gap = 0.9 * self.style.double_gap * self.unit
        cuts = self._cuts(bond, self.style.triple_cut)
        self._line(bond)
        self._line(bond, gap, cuts)
        self._line(bond, -gap, cuts)

    def _dashed_beside(self, bond: Bond) -> None:
        side = self._inner_side(bond) or 1
        ends = self._ends(bond, side * self.style.double_gap * self.unit,
                          self._cuts(bond, self.style.inner_cut))  # fmt: skip
        if ends is not None:
            self._dashes(*ends, self.width)

    def _dashes(self, p: Point, q: Point, width: float) -> None:
        length = math.hypot(q[0] - p[0], q[1] - p[1])
        dash = self.style.dash * self.unit
        space = max(self.style.dash_space * self.unit, 1.6)
        count = max(2, round((length + space) / (dash + space)))
        period = (length + space) / count
        drawn = max(period - space, 0.8)
        for k in range(count):
            a, b = k * period / length, min((k * period + drawn) / length, 1.0)
            self.sheet.line(
                (p[0] + (q[0] - p[0]) * a, p[1] + (q[1] - p[1]) * a),
                (p[0] + (q[0] - p[0]) * b, p[1] + (q[1] - p[1]) * b),
                width,
            )

    def _wedge(self, bond: Bond) -> None:
        ends = self._ends(bond)
        if ends is None:
            return
        p, q = ends
        ux, uy, length = self._direction(bond)
        narrow, wide = self.width / 2, max(self.style.wedge_width * self.unit / 2, self.width)
        start = math.hypot(p[0] - self.points[bond.begin][0], p[1] - self.points[bond.begin][1])
        narrow += (wide - narrow) * start / length
        if self.style.wedge == "bar":
            narrow = wide = max(0.55 * self.width, 0.4 * wide)
        outline = _trapezium(p, q, (-uy, ux), narrow, wide)
        if self.style.wedge == "hollow" and wide > 1.8 * self.width:
            for a, b in zip(outline, (*outline[1:], outline[0]), strict=True):
                self.sheet.line(a, b, self.width)
            return
        self.sheet.polygon(outline)

    def _hashes(self, bond: Bond) -> None:
        ends = self._ends(bond)
        if ends is None:
            return
        p, q = ends
        wide = self.style.wedge_width * self.unit / 2
        if self.style.hash == "dashed":
            self._dashes(p, q, self.width)
            return
        if self.style.hash == "bar":
            self._dashes(p, q, max(1.1 * self.width, 0.8 * wide))
            return
        ux, uy, full = self._direction(bond)
        start = math.hypot(p[0] - self.points[bond.begin][0], p[1] - self.points[bond.begin][1])
        length = math.hypot(q[0] - p[0], q[1] - p[1])
        stroke = max(self.style.hash_line * self.width, 0.7)
        step = max(self.style.hash_step * self.unit, stroke + 1.3)
        count = max(3, round(length / step))
        for k in range(count + 1):
            t = k / count
            half = (
                wide * (start + t * length) / full if self.style.hash == "tapered" else 0.8 * wide
            )
            half = max(half, self.width / 2)
            x, y = p[0] + (q[0] - p[0]) * t, p[1] + (q[1] - p[1]) * t
            self.sheet.line((x - uy * half, y + ux * half), (x + uy * half, y - ux * half), stroke)

    def _wave(self, bond: Bond) -> None:
        ends = self._ends(bond)
        if ends is None:
            return
        (x0, y0), (x1, y1) = ends
        ux, uy, _ = self._direction(bond)
        length = math.hypot(x1 - x0, y1 - y0)
        height = max(self.style.wave_height * self.unit, 0.8 * self.width, 1.2)
        waves = max(2, round(length / max(self.style.wave_step * self.unit, 3.0)))
        points = []
        for k in range(8 * waves + 1):
            t = k / (8 * waves)
            off = height * math.sin(2 * math.pi * waves * t)
            points.append((x0 + (x1 - x0) * t - uy * off, y0 + (y1 - y0) * t + ux * off))
        self.sheet.path(points, self.width)

    def _crossed(self, bond: Bond) -> None:
        ends = self._ends(bond)
        if ends is None:
            return
        (x0, y0), (x1, y1) = ends
        ux, uy, _ = self._direction(bond)
        nx, ny = (
            -uy * self.style.double_gap * self.unit / 2,
            ux * self.style.double_gap * self.unit / 2,
        )
        self.sheet.line((x0 + nx, y0 + ny), (x1 - nx, y1 - ny), self.width)
        self.sheet.line((x0 - nx, y0 - ny), (x1 + nx, y1 + ny), self.width)

    # What belongs to several bonds

    def _clear_way(self, bond: Bond) -> None:
        """White over what a crossing bond passes in front of, but not over its own ends."""
        cut = 0.13 * self.unit
        ends = self._ends(bond, 0.0, (cut, cut))
        if ends is not None:
            gap = self.width + 2 * self.style.crossing_gap * self.unit
            self.sheet.line(*ends, gap, 255)

    def _joints(self) -> None:
        """Fill the notch between two lines that meet at a bare corner."""
        if self.width < 1.2 and not self.bold:
            return
        for index, row in enumerate(self.neighbours):
            if self.boxes[index] or len(row) < 2:
                continue
            plain = [b for _, b in row if not b.order.is_directed]
            if len(plain) >= 2:
                shade = self._shades(plain[0])[0 if plain[0].begin == index else 1]
                self.sheet.disc(self.points[index], max(map(self._line_width, plain)) / 2, shade)

    def _circle(self, ring: tuple[int, ...]) -> None:
        corners = np.array([self.points[k] for k in ring])
        centre = corners.mean(axis=0)
        radius = float(np.linalg.norm(corners - centre, axis=1).mean()) * self.style.circle
        self.sheet.circle((float(centre[0]), float(centre[1])), radius, self.width)

    def _bold_piece(self) -> set[tuple[int, int]]:
        """Bonds of one connected piece of the molecule, as (begin, end)."""
        atoms = self.subject.graph.atoms
        if not self.style.bold_ring or not atoms:
            return set()
        wanted = self.style.bold_ring * len(atoms)
        start = self.rng.randrange(len(atoms))
        piece, pending = {start}, [start]
        while pending and len(piece) < wanted:
            for other, _ in self.neighbours[pending.pop(0)]:
                if other not in piece:
                    piece.add(other)
                    pending.append(other)
        return {(b.begin, b.end) for b in self.subject.graph.bonds if {b.begin, b.end} <= piece}


def _trapezium(
    p: Point, q: Point, normal: tuple[float, float], narrow: float, wide: float
) -> list[Point]:
    nx, ny = normal
    return [
        (p[0] + nx * narrow, p[1] + ny * narrow),
        (q[0] + nx * wide, q[1] + ny * wide),
        (q[0] - nx * wide, q[1] - ny * wide),
        (p[0] - nx * narrow, p[1] - ny * narrow),
    ]


def _smallest_rings(subject: Subject) -> dict[frozenset[int], tuple[int, ...]]:
    """For each bond in a ring the ring that a double bond's second line lies in: sixes first."""
    rings = subject.mol.GetRingInfo().AtomRings()
    table: dict[frozenset[int], tuple[int, ...]] = {}
    for ring in sorted(rings, key=lambda r: (len(r) != 6, len(r))):
        for k, atom in enumerate(ring):
            table.setdefault(frozenset((atom, ring[k - 1])), tuple(ring))
    return table


def _between(p: Point, q: Point, fraction: float) -> Point:
    """The point at a fraction of the way from p to q."""
    return p[0] + (q[0] - p[0]) * fraction, p[1] + (q[1] - p[1]) * fraction
