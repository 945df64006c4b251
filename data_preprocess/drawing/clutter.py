"""What stands beside a molecule: salts, which are part of it, and all that is not.

Salts, solvates and counter-ions become atoms of the drawing. Captions, atom numbers, arrows,
frames, brackets and dirt do not: a reader has to learn that they mean nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from data_preprocess.drawing.ink import Box, Sheet, cap_height, measure, writable
from data_preprocess.drawing.phrases import caption, formula_number, japanese, salt
from data_preprocess.drawing.subject import Subject
from eyesmol.chem.graph import Atom

if TYPE_CHECKING:
    from data_preprocess.drawing.pen_style import PenStyle

__all__ = ["Clutter", "Scene", "surround"]


@dataclass(frozen=True)
class Clutter:
    """How likely each kind of thing is, 0 to 1.

    Attributes:
        salts: salts, solvates or counter-ions, one to three.
        captions: lines of text beside the molecule, one to three.
        number_right: a formula number far to the right.
        japanese: Japanese words among the captions.
        atom_numbers: small numbers at some atoms.
        stereo_marks: (R), (S), * or similar at some atoms.
        arrows: arrows and plus signs beside the molecule.
        frame: a frame, the lines of a table, or a line beneath.
        brackets: round all, with n, 2 or a charge.
        bond_brackets: across two bonds, with n: a repeat unit.
        neighbour: what the crop leaves of another drawing.
        stains: blots, staple marks, page edges.
    """

    salts: float = 0.0
    captions: float = 0.0
    number_right: float = 0.0
    japanese: float = 0.0
    atom_numbers: float = 0.0
    stereo_marks: float = 0.0
    arrows: float = 0.0
    frame: float = 0.0
    brackets: float = 0.0
    bond_brackets: float = 0.0
    neighbour: float = 0.0
    stains: float = 0.0

    @classmethod
    def of_patent(cls, rng: Random) -> Clutter:
        """US patents: captions, now and then a salt or a number at atoms."""
        return cls(salts=0.1, captions=0.2, number_right=0.04, atom_numbers=0.03,
                   stereo_marks=0.03, arrows=0.03, frame=0.04, brackets=0.02, bond_brackets=0.02,
                   neighbour=0.08, stains=0.04)  # fmt: skip

    @classmethod
    def of_jp_patent(cls, rng: Random) -> Clutter:
        """Japanese patents: formula numbers far right, names above or below."""
        return cls(salts=0.08, captions=0.25, number_right=0.3, japanese=0.6, atom_numbers=0.02,
                   stereo_marks=0.02, arrows=0.03, frame=0.05, brackets=0.03, bond_brackets=0.03,
                   neighbour=0.06, stains=0.06)  # fmt: skip

    @classmethod
    def of_dictionary(cls, rng: Random) -> Clutter:
        """Drug dictionaries: salts and water with multipliers, brackets, stereo marks."""
        return cls(salts=0.45, captions=0.06, atom_numbers=0.02, stereo_marks=0.08, brackets=0.05,
                   neighbour=0.01)  # fmt: skip

    @classmethod
    def of_catalogue(cls, rng: Random) -> Clutter:
        """Catalogues: captions beneath."""
        return cls(salts=0.12, captions=0.25, frame=0.08, neighbour=0.05, stains=0.04)

    @classmethod
    def of_journal(cls, rng: Random) -> Clutter:
        """Journals and slides: numbers, arrows, names."""
        return cls(salts=0.05, captions=0.4, atom_numbers=0.12, stereo_marks=0.06, arrows=0.15,
                   frame=0.06, brackets=0.04, neighbour=0.08)  # fmt: skip

    @classmethod
    def of_file(cls, rng: Random) -> Clutter:
        """What programs write is alone, but for its salt."""
        return cls(salts=0.08, captions=0.06, atom_numbers=0.05, stereo_marks=0.05)


@dataclass
class Scene:
    """What is on the sheet so far.

    Attributes:
        sheet: takes the strokes.
        subject: what is drawn.
        points: (atoms, 2), pixels.
        boxes: of each atom's letters.
        style: how.
        unit: a bond length in pixels.
        rng: chooses.
    """

    sheet: Sheet
    subject: Subject
    points: NDArray[np.float64]
    boxes: Sequence[Sequence[Box]]
    style: PenStyle
    unit: float
    rng: Random

    def __post_init__(self) -> None:
        flat = [box for row in self.boxes for box in row]
        self.taken: list[Box] = flat
        bonds = self.subject.graph.bonds
        ends = np.array([(b.begin, b.end) for b in bonds], dtype=np.int64).reshape(-1, 2)
        self._p = self.points[ends[:, 0]] if len(bonds) else np.zeros((0, 2))
        self._q = self.points[ends[:, 1]] if len(bonds) else np.zeros((0, 2))

    def likely(self, chance: float) -> bool:
        """A throw of the dice."""
        return chance > 0 and self.rng.random() < chance

    def is_free(self, box: Box, gap: float) -> bool:
        """True where neither a bond nor letters come nearer to a box than `gap`."""
        left, top, right, bottom = (box[0] - gap, box[1] - gap, box[2] + gap, box[3] + gap)
        if any(a < right and c > left and b < bottom and d > top for a, b, c, d in self.taken):
            return False
        if not len(self._p):
            return True
        steps = np.linspace(0, 1, 9)[:, None, None]
        on_bonds = (self._p[None] * (1 - steps) + self._q[None] * steps).reshape(-1, 2)
        inside = ((on_bonds > (left, top)) & (on_bonds < (right, bottom))).all(axis=1)
        return not bool(inside.any())


def surround(scene: Scene) -> list[Atom]:
    """Add what stands beside the molecule; the atoms of salts, at their positions."""
    what, likely = scene.style.clutter, scene.likely
    atoms: list[Atom] = []
    if not scene.subject.sheet:
        if likely(what.brackets):
            _brackets(scene)
        if likely(what.salts):
            for _ in range(scene.rng.choice((1, 1, 1, 2, 3))):
                atoms += _salt(scene)
    if likely(what.bond_brackets):
        _bond_brackets(scene)
    if likely(what.atom_numbers):
        _at_atoms(scene, [str(k + scene.rng.choice((0, 1, 4))) for k in range(len(scene.points))])
    if likely(what.stereo_marks):
        words = scene.rng.choice((["(R)", "(S)"], ["*"], ["R", "S"], ["(E)", "(Z)"], ["&1", "or1"],
                                  ["\u03b1", "\u03b2"]))  # fmt: skip
        _at_atoms(scene, [scene.rng.choice(words) for _ in scene.points])
    if not scene.subject.sheet:
        if likely(what.captions):
            for _ in range(scene.rng.choice((1, 1, 2, 3))):
                _caption(scene)
        if likely(what.number_right):
            _number_far_right(scene)
        if likely(what.arrows):
            _arrow_or_plus(scene)
    if likely(what.frame):
        _frame(scene)
    if likely(what.neighbour):
        _neighbour(scene)
    if likely(what.stains):
        _stain(scene)
    return atoms


# Text


@dataclass(frozen=True)
class _Words:
    """Runs (text, level) in one font, and how large they are."""

    runs: tuple[tuple[str, int], ...]
    font: str
    em: float
    script: float

    def advance(self, index: int) -> float:
        text, level = self.runs[index]
        return measure(self.font, text)[0] * self.em * (self.script if level else 1.0)

    @property
    def width(self) -> float:
        return sum(self.advance(k) for k in range(len(self.runs)))

    @property
    def cap(self) -> float:
        return cap_height(self.font) * self.em


def _words(scene: Scene, runs: Sequence[tuple[str, int]], font: str, em: float) -> _Words | None:
    kept = tuple((writable(font, text), level) for text, level in runs)
    kept = tuple((text, level) for text, level in kept if text)
    return _Words(kept, font, em, scene.style.script_size) if kept else None


def _put(scene: Scene, words: _Words, x: float, base: float, shade: int = 0) -> list[float]:
    """Write; the x of each run's beginning."""
    starts = []
    for k, (text, level) in enumerate(words.runs):
        drop = (scene.style.script_drop, 0.0, -scene.style.script_rise)[level + 1] * words.cap
        size = words.em * (words.script if level else 1.0)
        if text.strip():
            scene.sheet.text(x, base + drop, text, words.font, size, shade)
        starts.append(x)
        x += words.advance(k)
    width = x - starts[0]
    scene.taken.append((starts[0], base - 1.5 * words.cap, starts[0] + width,
                        base + 0.6 * words.cap))  # fmt: skip
    return starts


def _beside(
    scene: Scene, words: _Words, sides: dict[str, int], gap: float
) -> tuple[float, float] | None:
    """Where words find room: x and base line; None where they find none."""
    rng, unit = scene.rng, scene.unit
    left, top, right, bottom = scene.sheet.box
    side = rng.choices(list(sides), list(sides.values()))[0]
    cap, width = words.cap, words.width
    if side == "inside":
        for _ in range(8):
            x = rng.uniform(left, max(left, right - width))
            base = rng.uniform(min(top + cap, bottom), bottom)
            if scene.is_free((x, base - 1.4 * cap, x + width, base + 0.5 * cap), 0.35 * unit):
                return x, base
        return None
    if side in ("right", "far right"):
        x = right + (gap if side == "right" else rng.uniform(2, 8) * unit)
        return x, rng.uniform(min(top + cap, bottom), bottom)
    if side == "left":
        return left - gap - width, rng.uniform(min(top + cap, bottom), bottom)
    x = rng.choice((
        (left + right - width) / 2, rng.uniform(min(left, right - width), max(left, right - width))
    ))  # fmt: skip
    if side == "below":
        return x, bottom + gap + 1.1 * cap
    return x, top - gap - 0.3 * cap


def _salt(scene: Scene) -> list[Atom]:
    rng, style = scene.rng, scene.style
    parts = salt(rng)
    em = style.em * scene.unit * rng.choice((1.0, 1.0, rng.uniform(0.75, 1.5)))
    font = style.font
    if rng.random() < 0.4:
        font = rng.choice(style.shelf.of(rng.choice(("sans", "serif"))))
    minus = style.minus if rng.random() < 0.8 else "-"
    runs, anchor = parts.runs(rng, minus)
    words = _words(scene, runs, font, em)
    if words is None or len(words.runs) != len(runs):
        return []
    sides = {"right": 40, "below": 18, "inside": 14, "far right": 10, "left": 12, "above": 6}
    position = _beside(scene, words, sides, rng.uniform(0.3, 2.2) * scene.unit)
    if position is None:
        return []
    starts = _put(scene, words, *position)
    x = starts[anchor] + words.advance(anchor) / 2
    return [Atom.from_text(f"[{parts.text}]", x, position[1] - words.cap / 2)]


def _caption(scene: Scene) -> None:
    rng, style = scene.rng, scene.style
    is_japanese = rng.random() < style.clutter.japanese
    shelf = style.shelf
    font = style.font if rng.random() < 0.4 else rng.choice(shelf.of(rng.choice(("sans", "serif"))))
    text = caption(rng)
    if is_japanese:
        font = rng.choice(shelf.of(rng.choice(("gothic", "mincho"))))
        text = japanese(rng)
    em = style.em * scene.unit * rng.uniform(0.7, 1.5)
    words = _words(scene, [(text, 0)], font, em)
    if words is None:
        return
    sides = {"below": 60, "above": 15, "right": 15, "left": 5, "inside": 5}
    position = _beside(scene, words, sides, rng.uniform(0.25, 1.5) * scene.unit)
    if position is not None:
        _put(scene, words, *position, shade=rng.choice((0, 0, 0, 90)))


def _number_far_right(scene: Scene) -> None:
    rng, style = scene.rng, scene.style
    font = rng.choice(style.shelf.of(rng.choice(("gothic", "mincho", "mincho", "serif"))))
    em = style.em * scene.unit * rng.uniform(0.8, 1.5)
    words = _words(scene, [(formula_number(rng), 0)], font, em)
    if words is not None:
        _, top, right, bottom = scene.sheet.box
        x = right + rng.uniform(1, 9) * scene.unit
        _put(scene, words, x, rng.choice(((top + bottom) / 2, bottom, rng.uniform(top, bottom))))


def _at_atoms(scene: Scene, texts: Sequence[str]) -> None:
    """Small words beside some atoms, on the side where there is room."""
    rng, unit = scene.rng, scene.unit
    font = scene.style.font
    fraction = rng.choice((0.15, 0.4, 0.9))
    em = scene.style.em * unit * rng.uniform(0.4, 0.75)
    for (x, y), text in zip(scene.points, texts, strict=True):
        if rng.random() >= fraction:
            continue
        words = _words(scene, [(text, 0)], font, em)
        if words is None:
            continue
        for _ in range(4):
            angle, reach = rng.uniform(0, 2 * math.pi), 0.22 * unit
            cx = x + (reach + words.width / 2) * math.cos(angle)
            base = y + (reach + words.cap / 2) * math.sin(angle) + words.cap / 2
            box = (cx - words.width / 2, base - words.cap, cx + words.width / 2, base)
            if scene.is_free(box, 0.06 * unit):
                _put(scene, words, box[0], base, shade=rng.choice((0, 0, 110)))
                break


# Strokes


def _brackets(scene: Scene) -> None:
    """Round the whole, with a subscript or a charge."""
    rng, unit = scene.rng, scene.unit
    left, top, right, bottom = scene.sheet.box
    gap, width = rng.uniform(0.25, 0.7) * unit, scene.style.line_width * unit
    left, top, right, bottom = left - gap, top - gap, right + gap, bottom + gap
    lip = rng.uniform(0.12, 0.3) * unit
    if rng.random() < 0.7:
        for x, inwards in ((left, lip), (right, -lip)):
            scene.sheet.line((x, top), (x, bottom), width)
            scene.sheet.line((x, top), (x + inwards, top), width)
            scene.sheet.line((x, bottom), (x + inwards, bottom), width)
    else:
        for x, out in ((left, -1), (right, 1)):
            points = []
            for k in range(17):
                t = math.pi * (k / 16 - 0.5)
                points.append((x + out * lip * (math.cos(t) - 0.5),
                               (top + bottom) / 2 + (bottom - top) / 2 * math.sin(t)))  # fmt: skip
            scene.sheet.path(points, width)
    mark = rng.choice(("n", "2", "2", "+", "m", "2+", "x", ""))
    words = _words(scene, [(mark, 0)], scene.style.font, scene.style.em * unit * 0.9)
    if words is not None:
        base = top + words.cap / 2 if "+" in mark else bottom + words.cap / 2
        _put(scene, words, right + 0.1 * unit, base)


def _bond_brackets(scene: Scene) -> None:
    """Two brackets across bonds of the chain, the right one with a number."""
    rng, unit = scene.rng, scene.unit
    rings = scene.subject.mol.GetRingInfo()
    free = [
        bond
        for bond in scene.subject.graph.bonds
        if bond.order == 1 and not rings.AreAtomsInSameRing(bond.begin, bond.end)
    ]
    if len(free) < 2:
        return
    chosen = rng.sample(free, 2)
    middles = sorted(tuple(scene.points[[b.begin, b.end]].mean(axis=0)) for b in chosen)
    half, lip = rng.uniform(0.3, 0.55) * unit, rng.uniform(0.08, 0.2) * unit
    is_round = rng.random() < 0.5
    for (x, y), inwards in zip(middles, (lip, -lip), strict=True):
        ends = [(x + inwards, y - half), (x, y - half), (x, y + half), (x + inwards, y + half)]
        if is_round:
            ends = [
                (x + inwards * (1 - math.cos(t)), y + half * math.sin(t))
                for t in np.linspace(-math.pi / 2, math.pi / 2, 13)
            ]
        scene.sheet.path(ends, scene.style.line_width * unit)
    words = _words(scene, [(rng.choice(("n", "m", "x", "2", "3", "4", "p", "q")), 0)],
                   scene.style.font, 0.75 * scene.style.em * unit)  # fmt: skip
    if words is not None:
        x, y = middles[1]
        _put(scene, words, x + 0.08 * unit, y + half + 0.5 * words.cap)


def _arrow_or_plus(scene: Scene) -> None:
    rng, unit = scene.rng, scene.unit
    left, top, right, bottom = scene.sheet.box
    y, gap = (top + bottom) / 2 + rng.uniform(-0.5, 0.5) * unit, rng.uniform(0.4, 1.2) * unit
    width = scene.style.line_width * unit * rng.uniform(0.8, 1.5)
    on_right = rng.random() < 0.6
    x = right + gap if on_right else left - gap
    if rng.random() < 0.3:
        arm = rng.uniform(0.15, 0.3) * unit
        x += arm if on_right else -arm
        scene.sheet.line((x - arm, y), (x + arm, y), width)
        scene.sheet.line((x, y - arm), (x, y + arm), width)
        return
    length = rng.uniform(0.8, 3.5) * unit
    start, tip = (x, x + length) if on_right else (x - length, x)
    head = rng.uniform(0.12, 0.28) * unit
    scene.sheet.line((start, y), (tip - 0.5 * head, y), width)
    scene.sheet.polygon([(tip, y), (tip - 1.6 * head, y - 0.6 * head),
                         (tip - rng.uniform(1.0, 1.6) * head, y),
                         (tip - 1.6 * head, y + 0.6 * head)])  # fmt: skip


def _frame(scene: Scene) -> None:
    rng, unit = scene.rng, scene.unit
    left, top, right, bottom = scene.sheet.box
    gap = rng.uniform(0.3, 1.2) * unit
    width = max(scene.style.line_width * unit * rng.uniform(0.5, 1.6), 0.9)
    left, top, right, bottom = left - gap, top - gap, right + gap, bottom + gap
    kind = rng.choice(("frame", "frame", "table", "below", "above", "left", "double"))
    rest = rng.uniform(0, 2) * unit
    line = scene.sheet.line
    if kind in ("frame", "double", "below", "table"):
        line((left - rest, bottom), (right + rest, bottom), width)
    if kind in ("frame", "double", "above", "table"):
        line((left - rest, top), (right + rest, top), width)
    if kind in ("frame", "double", "left", "table"):
        line((left, top - rest), (left, bottom + rest), width)
    if kind in ("frame", "double"):
        line((right, top - rest), (right, bottom + rest), width)
    if kind == "double":
        line((left - 3 * width, top), (left - 3 * width, bottom), width)
        line((left, bottom + 3 * width), (right, bottom + 3 * width), width)


def _neighbour(scene: Scene) -> None:
    """A piece of another drawing, cut by the edge: a ring, a chain, or letters."""
    rng, unit = scene.rng, scene.unit
    box = scene.sheet.box
    side = rng.randrange(4)
    outwards = -1 if side < 2 else 1
    across = side % 2  # 0: the cut side is left or right; 1: above or below
    edge = box[side] + outwards * rng.uniform(0.4, 1.5) * unit
    along = rng.uniform(box[1 - across], box[3 - across])
    seen = rng.uniform(0.1, 0.8) * unit
    kind = rng.random()
    if kind < 0.75:
        reach = unit if kind < 0.5 else 0.5 * unit
        far = edge + outwards * reach
        centre = (far, along) if across == 0 else (along, far)
        (_ring_piece if kind < 0.5 else _chain_piece)(scene, centre)
        seen = min(seen, reach)
    else:
        text = rng.choice(("OH", "N", "NH2", "Cl", "CH3", "R1", "F", "12", "and", "HO", "(3)"))
        words = _words(scene, [(text, 0)], scene.style.font, scene.style.em * unit)
        if words is None:
            return
        seen = rng.uniform(0.3, 0.8) * (words.width if across == 0 else words.cap)
        x = along if across else edge - (words.width if side == 0 else 0)
        _put(
            scene,
            words,
            x,
            along + words.cap / 2 if across == 0 else edge + words.cap * (side == 3),
        )
    others = list(box)
    scene.sheet.left, scene.sheet.top, scene.sheet.right, scene.sheet.bottom = others
    scene.sheet.cut_at(side, edge + outwards * seen)


def _ring_piece(scene: Scene, centre: tuple[float, float]) -> None:
    """A six-ring with bonds that leave it."""
    rng, unit = scene.rng, scene.unit
    turn, width = rng.choice((0.0, math.pi / 6, rng.uniform(0, 1))), scene.style.line_width * unit
    x, y = centre

    def corner(k: int, radius: float) -> tuple[float, float]:
        angle = turn + k * math.pi / 3
        return x + radius * math.cos(angle), y + radius * math.sin(angle)

    inner = unit * (1 - 1.1 * scene.style.double_gap)
    is_aromatic = rng.random() < 0.6
    for k in range(6):
        scene.sheet.line(corner(k, unit), corner(k + 1, unit), width)
        if is_aromatic and k % 2:
            scene.sheet.line(corner(k, inner), corner(k + 1, inner), width)
        if rng.random() < 0.3:
            scene.sheet.line(corner(k, unit), corner(k, 2 * unit), width)


def _chain_piece(scene: Scene, centre: tuple[float, float]) -> None:
    """A zigzag chain."""
    rng, unit = scene.rng, scene.unit
    x, y = centre
    turn = rng.uniform(0, 2 * math.pi)
    points = [(x, y)]
    for k in range(rng.choice((2, 3, 4))):
        angle = turn + (math.pi / 6 if k % 2 else -math.pi / 6)
        x, y = x + unit * math.cos(angle), y + unit * math.sin(angle)
        points.append((x, y))
    scene.sheet.path(points, scene.style.line_width * unit)


def _stain(scene: Scene) -> None:
    rng, unit = scene.rng, scene.unit
    left, top, right, bottom = scene.sheet.box
    for _ in range(rng.choice((1, 1, 2, 4))):
        x, y = rng.uniform(left - unit, right + unit), rng.uniform(top - unit, bottom + unit)
        size = rng.uniform(0.03, 0.3) * unit
        if not scene.is_free((x - size, y - size, x + size, y + size), 0.15 * unit):
            continue
        if rng.random() < 0.6:
            angles = sorted(rng.uniform(0, 2 * math.pi) for _ in range(7))
            radii = [size * rng.uniform(0.5, 1) for _ in angles]
            scene.sheet.polygon(
                [(x + r * math.cos(t), y + r * math.sin(t))
                 for t, r in zip(angles, radii, strict=True)]
            )  # fmt: skip
        else:  # a staple
            t = rng.uniform(0, math.pi)
            dx, dy = size * math.cos(t), size * math.sin(t)
            scene.sheet.line((x - dx, y - dy), (x + dx, y + dy), 0.05 * unit)
