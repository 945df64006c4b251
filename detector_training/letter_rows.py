"""Chains laid out as rows of letters, as in many Japanese patents: H3CO-CH2-CH2-ring, CH2=CH-.

A chain that hangs on a ring, or a whole chain, is laid level, every carbon written out, at
distances that leave a short line between the letters; side groups stand above or below.
"""

from __future__ import annotations

import random
from itertools import pairwise

from detector_training.draft import LETTER, Draft, ring_nodes
from eyesmol.chem.graph import Bond

__all__ = ["letter_rows"]

_LONGEST = 24  # nodes of a side chain that is laid out so
_CLEAR = 0.62  # bond lengths between a node of the row and what stands already

_Place = tuple[float, float]


def letter_rows(draft: Draft, rng: random.Random) -> None:
    """Lay out the chains of a draft as rows, where there is room."""
    in_ring = ring_nodes(draft)
    table = draft.neighbours()
    gap = rng.uniform(0.3, 0.9)  # of line between two letters
    done: set[int] = set()
    for anchor in sorted(in_ring):
        for first, _ in table[anchor]:
            if first in in_ring or first in done:
                continue
            members = draft.side(first, anchor)
            if members is None or members & (in_ring | done) or len(members) > _LONGEST:
                continue
            here, there = draft.nodes[anchor], draft.nodes[first]
            way = 1 if there.x - here.x > (0.2 if rng.random() < 0.5 else -0.2) else -1
            if _lay_row(draft, first, anchor, members, way, gap, rng):
                done |= members
    for start, bonded in enumerate(table):
        if len(bonded) == 1 and start not in done | in_ring:
            members = draft.side(start, -1)
            if members and not members & (in_ring | done) and len(members) <= _LONGEST:
                _lay_row(draft, start, -1, members, 1, gap, rng)
                done |= members


def _lay_row(
    draft: Draft,
    first: int,
    before: int,
    members: set[int],
    way: int,
    gap: float,
    rng: random.Random,
) -> bool:
    """One row from `first` on, towards the right (`way` 1) or the left (-1); False where something
    is in its way, or a side group is more than one node."""
    table = draft.neighbours()
    row = _longest(table, first, before)
    on_row = set(row)
    for index in row:
        draft.nodes[index].written |= draft.nodes[index].is_bare_carbon
    places: dict[int, _Place] = {first: (draft.nodes[first].x, draft.nodes[first].y)}
    for one, two in pairwise(row):
        x, y = places[one]
        letters = draft.nodes[one if way > 0 else two].width or LETTER
        places[two] = (x + way * (max(letters, LETTER) + gap), y)
    for index in row:
        sides = [other for other, _ in table[index] if other not in on_row and other != before]
        free = [-1.0, 1.0]
        if index == first and before >= 0:
            slope = draft.nodes[before].y - draft.nodes[first].y
            free = [side for side in free if abs(slope) < 0.4 or side * slope < 0]
        if len(sides) > len(free) or any(len(table[other]) > 1 for other in sides):
            return _unwritten(draft, row)
        rng.shuffle(free)
        for other, side in zip(sides, free, strict=False):
            x, y = places[index]
            places[other] = (x, y + side * rng.uniform(0.9, 1.2))
    if set(places) != members or not _is_clear(draft, places, members, before):
        return _unwritten(draft, row)
    for index, (x, y) in places.items():
        node = draft.nodes[index]
        node.x, node.y = x, y
        node.written |= node.is_bare_carbon
        node.hydrogens_right = index in on_row
    return True


def _unwritten(draft: Draft, row: list[int]) -> bool:
    for index in row:
        draft.nodes[index].written = False
    return False


def _longest(table: list[list[tuple[int, Bond]]], first: int, before: int) -> list[int]:
    """The longest path of a tree from `first` on."""
    best: list[int] = []
    waiting = [([first], before)]
    while waiting:
        path, parent = waiting.pop()
        if len(path) > len(best):
            best = path
        waiting += [([*path, other], path[-1]) for other, _ in table[path[-1]] if other != parent]
    return best


def _is_clear(draft: Draft, places: dict[int, _Place], members: set[int], before: int) -> bool:
    return not any(
        abs(node.x - x) < _CLEAR and abs(node.y - y) < _CLEAR
        for index, node in enumerate(draft.nodes)
        if index not in members and index != before
        for x, y in places.values()
    )
