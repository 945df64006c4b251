"""Sheets of words: short fragments that end in labels, close together, to teach spelling."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from data_preprocess.drawing.subject import Subject
from detector_training.draft import LETTER, Draft, Node, element_of
from detector_training.words import (
    Word,
    balanced_word,
    condensed,
    group,
    link,
    r_group,
    variable,
    word,
)
from eyesmol.chem.graph import Atom, Bond, BondOrder

__all__ = ["label_sheet"]

_WIDTH, _HEIGHT = 9.0, 8.0  # of a sheet, in bond lengths
_APART = (0.15, 0.35)  # bond lengths between the fragments of a shelf, and between shelves

_MAKERS: tuple[Callable[[random.Random], Word], ...] = (
    word,
    word,
    word,
    group,
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


def label_sheet(seed: int, number: int) -> Subject:
    """A sheet of short fragments that end in words, packed on shelves.

    Every third sheet draws its words so that all characters occur alike; the others as drawings
    have them. The same arguments give the same sheet.
    """
    rng = random.Random(f"sheet {seed} {number}")
    letter = LETTER * rng.choice((1.0, 1.15, 1.3))
    sheet = Draft()
    x, y, tallest = 0.0, 0.0, 0.0
    while True:
        make = balanced_word if number % 3 == 0 else rng.choice(_MAKERS)
        if rng.random() < 0.15:
            fragment = _between_bonds(link(rng), letter, rng)
        else:
            fragment = _on_a_bond(make(rng), letter, rng)
        left, top, right, bottom = _box(fragment, letter)
        if x and x + right - left > _WIDTH:
            x, y, tallest = 0.0, y + tallest + rng.uniform(*_APART), 0.0
        if y and y + bottom - top > _HEIGHT:
            return sheet.subject(sheet=True)
        sheet.join(fragment, x - left, y - top)
        x += right - left + rng.uniform(*_APART)
        tallest = max(tallest, bottom - top)


def _box(fragment: Draft, letter: float) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of all its text and bonds, where letters are so wide."""
    xs, ys = [], []
    for index, bonded in enumerate(fragment.neighbours()):
        node = fragment.nodes[index]
        backward = len(bonded) == 1 and fragment.writes_backward(index, bonded[0][0])
        width = node.width * letter / LETTER
        half = 0.25 if node.width else 0.1
        xs += [node.x - half, node.x + half, node.x - width if backward else node.x + width]
        ys += [node.y - 2 * half, node.y + 2 * half]
    return min(xs), min(ys), max(xs), max(ys)


def _on_a_bond(chosen: Word, letter: float, rng: random.Random) -> Draft:
    """A word on a bond, with a little of a chain behind it; the word is at the origin."""
    draft = Draft()
    backward = rng.random() < 0.45
    text = chosen.backward if backward else chosen.forward
    angle = math.radians(rng.choice((0, 30, -30, 60, -60, rng.uniform(-65, 65))))
    if not backward and rng.random() < 0.15:
        angle = math.radians(rng.choice((90, -90)))
    run, rise = math.cos(angle), math.sin(angle)
    end = (run if backward else -run, rise)
    draft.nodes.append(Node(Atom("*"), 0.0, 0.0))
    draft.write(0, chosen.forward if element_of(chosen.forward) else text, chosen)
    draft.nodes.append(Node(Atom("C"), *end, 3))
    order = rng.choice(_ORDERS)
    from_label = rng.random() < 0.35
    draft.bonds.append(Bond(0, 1, order) if from_label else Bond(1, 0, order))
    onwards = math.atan2(end[1], end[0])
    turns = [onwards - math.pi / 3, onwards + math.pi / 3]
    for turn in rng.sample(turns, rng.choice((0, 0, 0, 0, 1, 2))):
        more = rng.choice((BondOrder.SINGLE, BondOrder.SINGLE, BondOrder.DOUBLE))
        place = end[0] + math.cos(turn), end[1] + math.sin(turn)
        draft.add(Node(Atom("C"), *place, 3), 1, more)
    return draft


def _between_bonds(text: str, letter: float, rng: random.Random) -> Draft:
    """A word between two bonds."""
    draft = Draft()
    rise = rng.choice((0.0, 0.0, 0.5, -0.5))
    draft.nodes.append(Node(Atom("C"), 0.0, rise, 3))
    draft.add(Node(Atom("*"), 0.9, 0.0), 0)
    draft.write(1, text)
    end = 0.9 + letter * len(text) + rng.uniform(0.4, 0.7)
    draft.add(Node(Atom("C"), end, rng.choice((rise, -rise)), 3), 1)
    return draft
