"""Sheets of words: short fragments that end in labels, close together, to teach spelling."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from data_preprocess.drawing.subject import Subject
from detector_training.draft import LETTER, Draft, Node, element_of
from detector_training.words import Word, balanced_word, condensed, link, r_group, variable, word
from eyesmol.chem.graph import Atom, Bond, BondOrder

__all__ = ["label_sheet"]

_WIDTH = 9.0  # of a sheet, in bond lengths
_TRIES = 5

_MAKERS: tuple[Callable[[random.Random], Word], ...] = (
    word,
    word,
    word,
    condensed,
    r_group,
    variable,
)
_ORDERS = (
    *(BondOrder.SINGLE,) * 9,
    BondOrder.DOUBLE,
    BondOrder.TRIPLE,
    BondOrder.SOLID_WEDGE,
    BondOrder.DASHED_WEDGE,
    BondOrder.DASHED_WEDGE,
    BondOrder.WAVY,
)

_Point = tuple[float, float]


def label_sheet(seed: int, number: int) -> Subject:
    """A sheet of short fragments that end in words, densely packed.

    Every second sheet draws its words so that all characters occur alike; the others as drawings
    have them. The same arguments give the same sheet.
    """
    rng = random.Random(f"sheet {seed} {number}")
    packed = _Packed(LETTER * rng.choice((1.1, 1.25, 1.4)))
    spacing = rng.uniform(1.4, 2.1)
    for row in range(rng.choice((5, 6, 7, 8))):
        x = rng.uniform(0.0, 0.8)
        while x < _WIDTH:
            make = balanced_word if number % 2 else rng.choice(_MAKERS)
            y = row * spacing + rng.uniform(-0.12, 0.12)
            x += packed.add_some(x, y, make, rng) + rng.uniform(0.2, 0.5)
    return packed.draft.subject(sheet=True)


class _Packed:
    """A sheet that fills; nothing on it touches anything else where letters are so wide."""

    def __init__(self, letter: float) -> None:
        self.draft = Draft()
        self._letter = letter
        self._taken: set[tuple[int, int]] = set()  # cells of letters and lines, and those beside

    def add_some(
        self, x: float, y: float, make: Callable[[random.Random], Word], rng: random.Random
    ) -> float:
        """One fragment whose left end is at `x`; returns its width, or a step where none fits."""
        for _ in range(_TRIES):
            if rng.random() < 0.15:
                fragment = _between_bonds(x, y, link(rng), self._letter, rng)
            else:
                fragment = _on_a_bond(x, y, make(rng), self._letter, rng)
            covered = _covered(fragment, self._letter)
            if self._taken.isdisjoint(_cell(point) for point in covered):
                self._taken.update(
                    (column + dx, row + dy)
                    for column, row in map(_cell, covered)
                    for dx in (-1, 0, 1)
                    for dy in (-1, 0, 1)
                )
                offset = len(self.draft.nodes)
                self.draft.nodes += fragment.nodes
                self.draft.bonds += [
                    Bond(b.begin + offset, b.end + offset, b.order) for b in fragment.bonds
                ]
                return max(px for px, _ in covered) - x
        return 0.5


def _cell(point: _Point) -> tuple[int, int]:
    """Of a grid that is so fine that what lies two cells apart does not touch."""
    return int(point[0] // 0.2), int(point[1] // 0.45)


def _covered(fragment: Draft, letter: float) -> list[_Point]:
    """Points along its text and its bonds."""
    points = []
    for index, bonded in enumerate(fragment.neighbours()):
        node = fragment.nodes[index]
        backward = len(bonded) == 1 and fragment.writes_backward(index, bonded[0][0])
        way = -1 if backward else 1
        # An end may be written CH3, as the style of the drawing wants it.
        width = max(node.width, 3 * LETTER if len(bonded) == 1 else 0.0) * letter / LETTER
        steps = max(1, math.ceil(width / 0.3))
        points += [(node.x + way * width * k / steps, node.y) for k in range(steps + 1)]
    for bond in fragment.bonds:
        p, q = fragment.nodes[bond.begin], fragment.nodes[bond.end]
        points += [(p.x + (q.x - p.x) * t, p.y + (q.y - p.y) * t) for t in (0.2, 0.4, 0.6, 0.8)]
    return points


def _on_a_bond(x: float, y: float, chosen: Word, letter: float, rng: random.Random) -> Draft:
    """A word on a bond, with a little of a chain behind it."""
    draft = Draft()
    backward = rng.random() < 0.45
    text = chosen.backward if backward else chosen.forward
    width = letter * len(text)
    angle = math.radians(rng.choice((0, 30, -30, 60, -60, rng.uniform(-65, 65))))
    if not backward and rng.random() < 0.15:
        angle = math.radians(rng.choice((90, -90)))
    run, rise = math.cos(angle), math.sin(angle)
    label_x = x + width - letter / 2 if backward else x + run
    end_x = label_x + run if backward else x
    draft.nodes.append(Node(Atom("*"), label_x, y))
    draft.write(0, chosen.forward if element_of(chosen.forward) else text, chosen)
    draft.nodes.append(Node(Atom("C"), end_x, y + rise, 3))
    order = rng.choice(_ORDERS)
    from_label = rng.random() < 0.35
    draft.bonds.append(Bond(0, 1, order) if from_label else Bond(1, 0, order))
    onwards = math.atan2(rise, end_x - label_x)
    turns = [onwards - math.pi / 3, onwards + math.pi / 3]
    for turn in rng.sample(turns, rng.choice((0, 0, 1, 1, 2))):
        more = rng.choice((BondOrder.SINGLE, BondOrder.SINGLE, BondOrder.DOUBLE))
        place = end_x + math.cos(turn), y + rise + math.sin(turn)
        draft.add(Node(Atom("C"), *place, 3), 1, more)
    return draft


def _between_bonds(x: float, y: float, text: str, letter: float, rng: random.Random) -> Draft:
    """A word between two bonds."""
    draft = Draft()
    rise = rng.choice((0.0, 0.0, 0.5, -0.5))
    draft.nodes.append(Node(Atom("C"), x, y + rise, 3))
    draft.add(Node(Atom("*"), x + 0.9, y), 0)
    draft.write(1, text)
    end = x + 0.9 + letter * len(text) + rng.uniform(0.4, 0.7)
    draft.add(Node(Atom("C"), end, y + rng.choice((rise, -rise)), 3), 1)
    return draft
