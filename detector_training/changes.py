"""Changes to a draft, each of one kind: other labels, drawn hydrogens, stereo bonds, cut lines.

Each takes the draft and a random generator, and changes the draft where there is room. None asks
whether the chemistry allows it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace

from detector_training.draft import LETTER, Draft, Node, element_of, ring_nodes
from detector_training.words import (
    Word,
    balanced_word,
    condensed,
    double_end,
    link,
    r_group,
    variable,
    word,
)
from eyesmol.chem.graph import Atom, Bond, BondOrder

__all__ = [
    "crossing_bonds",
    "cut_lines",
    "hetero_hydrogens",
    "hydrogens",
    "new_labels",
    "other_elements",
    "stereo_bonds",
    "uneven_bonds",
    "unsure_bonds",
    "written_carbons",
]

_PLAIN = (BondOrder.SINGLE, BondOrder.SOLID_WEDGE, BondOrder.DASHED_WEDGE)
_TASTES: tuple[tuple[Callable[[random.Random], Word], float], ...] = (
    (word, 60),
    (r_group, 12),
    (variable, 9),
    (condensed, 12),
    (balanced_word, 6),
)


def new_labels(draft: Draft, rng: random.Random) -> None:
    """Words at bare ends, links in chains, letters in rings."""
    makers, weights = zip(*_TASTES, strict=True)
    make = rng.choices(makers, weights)[0]
    ends, links = rng.choice((0.25, 0.5, 1.0)), rng.choice((0.0, 0.1, 0.3))
    rings = rng.choice((0.06, 0.2, 0.5)) if rng.random() < 0.16 else 0.0
    doubles = 0.4 if rng.random() < 0.08 else 0.0
    if rng.random() < 0.4:
        _add_ends(draft, rng.choice((1, 2, 3, 4)), rng)
    table = draft.neighbours()
    in_ring = ring_nodes(draft)
    for index, bonded in enumerate(table):
        node = draft.nodes[index]
        if node.word is not None and not node.word.forward.startswith("R"):
            continue
        plain = all(bond.order in _PLAIN for _, bond in bonded)
        if len(bonded) == 1 and plain:
            if rng.random() < ends:
                _write_end(draft, index, bonded[0][0], make, rng)
        elif len(bonded) == 1 and bonded[0][1].order == BondOrder.DOUBLE:
            if rng.random() < doubles:
                _write_end(draft, index, bonded[0][0], _double_word, rng)
        elif index in in_ring:
            free = node.word is None and node.atom.text in ("C", "N", "O", "S")
            if free and len(bonded) in (2, 3) and rng.random() < rings / (len(bonded) - 1) ** 2:
                _write_in_ring(draft, index, len(bonded), rng)
        elif (
            len(bonded) == 2
            and plain
            and node.atom.text in ("C", "N", "O", "S")
            and rng.random() < links
        ):
            _write_link(draft, index, bonded[0][0], bonded[1][0], rng)


_RING_LETTERS = (
    *"XXXXXYYYYZZZAAQQWWEGLDUVTJMB", "X1", "X2", "Y1", "Z1", "A1", "NR", "CR", "CH", "CR1",
)  # fmt: skip


def _write_in_ring(draft: Draft, index: int, bonds: int, rng: random.Random) -> None:
    """A variable in a ring, aromatic or not; with a bond to the outside it is one letter."""
    text = rng.choice(_RING_LETTERS)
    draft.write(index, text if bonds == 2 else text[0])


def _add_ends(draft: Draft, count: int, rng: random.Random) -> None:
    """Carbons on new bonds, where a carbon of two bonds has a hydrogen and room."""
    table = draft.neighbours()
    places = [
        index
        for index, node in enumerate(draft.nodes)
        if node.is_bare_carbon and node.hydrogens and len(table[index]) == 2
    ]
    for index in rng.sample(places, min(count, len(places))):
        here, angle = draft.nodes[index], _free_angle(draft, index, rng, spread=0.0)
        if angle is None:
            continue
        x, y = here.x + math.cos(angle), here.y + math.sin(angle)
        if draft.is_free(x, y, (index,), 0.7):
            here.hydrogens -= 1
            draft.add(Node(Atom("C"), x, y, 3), index)


def _double_word(rng: random.Random) -> Word:
    text = double_end(rng)
    return Word(text, _turned(text))


def _turned(text: str) -> str:
    return {"NOH": "HON", "NR": "RN", "NR1": "R1N", "CHR": "RHC", "CR2": "R2C", "NMe": "MeN"}.get(
        text, text
    )


def _write_end(
    draft: Draft, index: int, other: int, make: Callable[[random.Random], Word], rng: random.Random
) -> None:
    """A word where it finds room; a few tries, the last of a short one."""
    backward = draft.writes_backward(index, other)
    for maker in (make, make, make, word):
        chosen = maker(rng)
        text = chosen.backward if backward else chosen.forward
        element = element_of(chosen.forward)
        width = LETTER * (len(text) + 0.3)
        if element is not None:
            draft.write(index, chosen.forward)
            return
        if draft.room(index, width, backward=backward) or len(text) < 3:
            draft.write(index, text, chosen)
            return


def _write_link(draft: Draft, index: int, one: int, two: int, rng: random.Random) -> None:
    """A word with two bonds; what hangs at its right is moved away as far as the word is long."""
    text = link(rng)
    here = draft.nodes[index]
    left, right = sorted((one, two), key=lambda i: draft.nodes[i].x)
    level = draft.nodes[left].x < here.x - 0.3 and draft.nodes[right].x > here.x + 0.3
    width = LETTER * len(text)
    if len(text) > 2 and element_of(text) is None:
        if level:
            members = draft.side(right, index)
            if members is None or index in members or not draft.shift(members, width - LETTER, 0.0):
                return
            if not draft.room(index, width, backward=False):
                draft.shift(members, LETTER - width, 0.0)
                return
        elif not draft.room(index, width, backward=False):
            return
    draft.write(index, text)


_SWAPPED = ("S", "P", "B", "Si", "F", "Cl", "Br", "I", "N", "O", "Se", "H")
_SWAP_WEIGHTS = (12, 4, 3, 2, 4, 5, 5, 4, 4, 4, 1, 2)
_ISOTOPES = (("C", 13), ("C", 14), ("C", 11), ("H", 2), ("H", 3), ("N", 15), ("O", 18), ("F", 18))
_RARE_ISOTOPES = (("I", 125), ("I", 131), ("I", 123), ("Se", 75), ("S", 35), ("P", 32), ("Br", 76))


def other_elements(draft: Draft, rng: random.Random) -> None:
    """Hetero atoms become other ones, some charged or isotopes, so that rare letters are seen."""
    share = rng.choice((0.1, 0.25, 0.5))
    for node in draft.nodes:
        if node.word is not None or node.atom.text not in ("N", "O", "F", "Cl", "S", "Br"):
            continue
        if rng.random() >= share:
            continue
        if rng.random() < 0.25:
            symbol, isotope = rng.choice(_ISOTOPES if rng.random() < 0.7 else _RARE_ISOTOPES)
            node.atom = Atom(symbol, isotope=isotope)
            continue
        symbol = rng.choices(_SWAPPED, _SWAP_WEIGHTS)[0]
        charge = 0
        if rng.random() < 0.15 and symbol in ("N", "O", "P", "S", "B"):
            charge = {"N": 1, "P": 1}.get(symbol, rng.choice((-1, -1, 1)))
        node.atom = Atom(symbol, charge=charge)
        if symbol in ("F", "Cl", "Br", "I", "H"):
            node.hydrogens = 0


def hydrogens(draft: Draft, rng: random.Random) -> None:
    """Hydrogens as nodes at carbons of three bonds, mostly on wedges; some at those of two."""
    share, length = rng.choice((0.15, 0.4, 0.9)), rng.uniform(0.55, 1.0)
    table = draft.neighbours()
    for index, bonded in enumerate(table):
        node = draft.nodes[index]
        if not node.is_bare_carbon or len(bonded) not in (2, 3) or not node.hydrogens:
            continue
        if any(bond.order not in _PLAIN for _, bond in bonded):
            continue
        if rng.random() < share * (1 if len(bonded) == 3 else 0.06):
            order = rng.choice(
                (BondOrder.SINGLE, *(BondOrder.SOLID_WEDGE, BondOrder.DASHED_WEDGE) * 3)
            )
            _add_hydrogen(draft, index, length * rng.uniform(0.9, 1.1), order, rng)


def hetero_hydrogens(draft: Draft, rng: random.Random) -> None:
    """The hydrogens of N, O and S as nodes with a bond: O-H."""
    share, length = rng.choice((0.2, 0.5, 1.0)), rng.uniform(0.5, 1.0)
    for index in range(len(draft.nodes)):
        node = draft.nodes[index]
        if node.word is not None or node.atom.label not in ("N", "O", "S") or not node.hydrogens:
            continue
        if rng.random() < share:
            for _ in range(min(node.hydrogens, 2)):
                _add_hydrogen(draft, index, length, BondOrder.SINGLE, rng)


def _add_hydrogen(
    draft: Draft, index: int, length: float, order: BondOrder, rng: random.Random
) -> None:
    here = draft.nodes[index]
    angle = _free_angle(draft, index, rng)
    if angle is None:
        return
    x, y = here.x + length * math.cos(angle), here.y + length * math.sin(angle)
    if draft.is_free(x, y, (index,)):
        here.hydrogens = max(0, here.hydrogens - 1)
        draft.add(Node(Atom("H"), x, y), index, order)


def _free_angle(draft: Draft, index: int, rng: random.Random, spread: float = 0.08) -> float | None:
    """The middle, or so, of the widest gap between the bonds of a node."""
    here = draft.nodes[index]
    angles = sorted(
        math.atan2(draft.nodes[other].y - here.y, draft.nodes[other].x - here.x)
        for other, _ in draft.neighbours()[index]
    )
    if not angles:
        return rng.choice((0.0, math.pi))
    turns = [*angles[1:], angles[0] + 2 * math.pi]
    gap, begin = max((stop - start, start) for start, stop in zip(angles, turns, strict=True))
    if gap < 1.2:
        return None
    if len(angles) == 1:  # a bent bond
        return begin + gap * rng.choice((1 / 3, 2 / 3))
    return begin + gap * rng.uniform(0.5 - spread, 0.5 + spread)


def stereo_bonds(draft: Draft, rng: random.Random) -> None:
    """Wedges and hashes on plain bonds: to ends, and between two carbons of three bonds."""
    share, inner = rng.choice((0.2, 0.5, 1.0)), rng.choice((0.0, 0.0, 0.15))
    table = draft.neighbours()
    for number, bond in enumerate(draft.bonds):
        if bond.order != BondOrder.SINGLE:
            continue
        for begin, end in ((bond.begin, bond.end), (bond.end, bond.begin)):
            ends_there = len(table[end]) == 1
            if not _may_be_centre(draft, begin, table) or rng.random() >= (
                share if ends_there else inner
            ):
                continue
            order = rng.choice(
                (BondOrder.SOLID_WEDGE, BondOrder.DASHED_WEDGE, BondOrder.DASHED_WEDGE)
            )
            draft.bonds[number] = Bond(begin, end, order)
            break


def _may_be_centre(draft: Draft, index: int, table: list[list[tuple[int, Bond]]]) -> bool:
    return (
        draft.nodes[index].is_bare_carbon
        and len(table[index]) in (3, 4)
        and all(bond.order in _PLAIN for _, bond in table[index])
    )


def unsure_bonds(draft: Draft, rng: random.Random) -> None:
    """Wavy bonds to ends, and double bonds of chains crossed."""
    in_ring = ring_nodes(draft)
    table = draft.neighbours()
    for number, bond in enumerate(draft.bonds):
        inside = bond.begin in in_ring and bond.end in in_ring
        if bond.order == BondOrder.SINGLE and not inside and rng.random() < 0.25:
            for begin, end in ((bond.begin, bond.end), (bond.end, bond.begin)):
                if len(table[end]) == 1 and draft.nodes[begin].is_bare_carbon:
                    draft.bonds[number] = Bond(begin, end, BondOrder.WAVY)
                    break
        elif bond.order == BondOrder.DOUBLE and not inside and rng.random() < 0.6:
            inner = len(table[bond.begin]) > 1 and len(table[bond.end]) > 1
            if inner or rng.random() < 0.1:
                draft.bonds[number] = replace(bond, order=BondOrder.CROSSED_DOUBLE)


def crossing_bonds(draft: Draft, rng: random.Random) -> None:
    """One or two bonds between carbons that are no neighbours, over other bonds."""
    for _ in range(rng.choice((1, 1, 2))):
        table = draft.neighbours()
        carbons = [
            index
            for index, bonded in enumerate(table)
            if len(bonded) in (2, 3) and draft.nodes[index].is_bare_carbon
        ]
        for _ in range(20):
            if len(carbons) < 2:
                return
            begin, end = rng.sample(carbons, 2)
            if _may_bridge(draft, begin, end, rng):
                draft.bonds.append(Bond(begin, end))
                for index in (begin, end):
                    draft.nodes[index].hydrogens = max(0, draft.nodes[index].hydrogens - 1)
                break


def _may_bridge(draft: Draft, begin: int, end: int, rng: random.Random) -> bool:
    """Whether a bond there is of a fair length, meets no node and crosses one or two bonds."""
    p, q = draft.nodes[begin], draft.nodes[end]
    dx, dy = q.x - p.x, q.y - p.y
    length = math.hypot(dx, dy)
    if not 1.3 < length < 2.5:
        return False
    for index, node in enumerate(draft.nodes):
        along = ((node.x - p.x) * dx + (node.y - p.y) * dy) / length**2
        away = abs(dx * (node.y - p.y) - dy * (node.x - p.x)) / length
        if index not in (begin, end) and 0 < along < 1 and away < 0.22:
            return False
    crossed = 0
    for bond in draft.bonds:
        if {bond.begin, bond.end} == {begin, end}:
            return False
        r, s = draft.nodes[bond.begin], draft.nodes[bond.end]
        crossed += (
            _turn(p, q, r) * _turn(p, q, s) < -1e-6 and _turn(r, s, p) * _turn(r, s, q) < -1e-6
        )
    return 1 <= crossed <= 2 or (crossed == 0 and rng.random() < 0.3)


def _turn(a: Node, b: Node, c: Node) -> float:
    return (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x)


def cut_lines(draft: Draft, rng: random.Random) -> None:
    """A line across an open end: two carbons, bonded by wavy bonds or plain ones."""
    kind = rng.choice(("wavy", "wavy", "straight", "dashed", "dashed", "curved"))
    table = draft.neighbours()
    for index, bonded in enumerate(table):
        here = draft.nodes[index]
        if len(bonded) != 1 or bonded[0][1].order != BondOrder.SINGLE or not here.is_bare_carbon:
            continue
        if rng.random() < 0.5:
            continue
        other = draft.nodes[bonded[0][0]]
        half = rng.uniform(0.45, 1.0)
        dx, dy = -(other.y - here.y) * half, (other.x - here.x) * half
        places = [(here.x + dx, here.y + dy), (here.x - dx, here.y - dy)]
        if not all(draft.is_free(x, y, (index,)) for x, y in places):
            continue
        here.hydrogens = 0
        for x, y in places:
            order = BondOrder.WAVY if kind == "wavy" else BondOrder.SINGLE
            new = draft.add(Node(Atom("C"), x, y, 3), index, order)
            if kind != "wavy":
                draft.cut_lines[index, new] = kind


def uneven_bonds(draft: Draft, rng: random.Random) -> None:
    """Bonds of chains that are longer or shorter than the others; ends that are mere stubs."""
    share = rng.choice((0.1, 0.3, 0.6))
    in_ring = ring_nodes(draft)
    for bond in draft.bonds:
        if (bond.begin in in_ring and bond.end in in_ring) or rng.random() >= share:
            continue
        members = draft.side(bond.end, bond.begin)
        if members is None:
            continue
        begin, end = draft.nodes[bond.begin], draft.nodes[bond.end]
        factor = rng.uniform(0.55, 1.7) - 1
        draft.shift(members, (end.x - begin.x) * factor, (end.y - begin.y) * factor)


def written_carbons(draft: Draft, rng: random.Random) -> None:
    """Carbons written out: ends, single ones, whole chains, or (seldom) those of rings too."""
    style = rng.choices(("ends", "single", "chains", "all"), (45, 20, 25, 4))[0]
    table, in_ring = draft.neighbours(), ring_nodes(draft)
    for index, node in enumerate(draft.nodes):
        if not node.is_bare_carbon:
            continue
        chosen = {
            "ends": len(table[index]) == 1,
            "single": rng.random() < 0.12,
            "chains": index not in in_ring,
            "all": True,
        }[style]
        if chosen and not any(index in ring for ring in draft.circles):
            node.written = True
