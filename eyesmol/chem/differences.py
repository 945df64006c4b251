"""Where two readings of one image differ: atoms and bonds, paired by their positions."""

from __future__ import annotations

import math
from dataclasses import dataclass

from eyesmol.chem.expansion import expand_abbreviations
from eyesmol.chem.graph import Bond, BondOrder, MolGraph
from eyesmol.chem.molfile import block_to_mol, graph_to_molblock

__all__ = ["Difference", "aromatic_bonds", "differences"]

_NEAR = 0.4  # of a bond's length: so far apart, two readings may mean one atom
_BONDS: dict[BondOrder, str] = {
    BondOrder.SINGLE: "single",
    BondOrder.DOUBLE: "double",
    BondOrder.TRIPLE: "triple",
    BondOrder.AROMATIC: "aromatic",
    BondOrder.SOLID_WEDGE: "solid wedge",
    BondOrder.DASHED_WEDGE: "dashed wedge",
    BondOrder.WAVY: "wavy",
    BondOrder.CROSSED_DOUBLE: "crossed double",
    BondOrder.DATIVE: "dative",
    BondOrder.HYDROGEN: "hydrogen",
    BondOrder.HOLLOW_WEDGE: "hollow wedge",
    BondOrder.BOLD: "bold",
    BondOrder.ANY: "any",
    BondOrder.ATTACHMENT: "attachment point",
}


@dataclass(frozen=True)
class Difference:
    """One thing that two readings see otherwise.

    Attributes:
        x, y: where, in pixels of the image; of a bond its middle.
        first, second: what each sees there: a label, or a kind of bond; None for nothing.
        is_bond: False for an atom.
    """

    x: float
    y: float
    first: str | None
    second: str | None
    is_bond: bool

    def __str__(self) -> str:
        what = "bond" if self.is_bond else "atom"
        return f"{what} at ({self.x:.0f}, {self.y:.0f}): {self.first or 'none'} or " + (
            self.second or "none"
        )


def differences(first: MolGraph, second: MolGraph) -> tuple[Difference, ...]:
    """Atoms, then bonds, that two graphs of one image do not have in common.

    Where bonds alternate in a ring does not count.

    Args:
        first, second: places in the pixels of the image.
    """
    pairs = _paired(first, second)
    partner = set(pairs.values())
    found = [
        Difference(a.x, a.y, a.text, None, False)
        for n, a in enumerate(first.atoms)
        if n not in pairs
    ]
    found += (
        Difference(a.x, a.y, None, a.text, False)
        for n, a in enumerate(second.atoms)
        if n not in partner
    )
    for here, there in pairs.items():
        atom, other = first.atoms[here], second.atoms[there]
        if atom.text != other.text:
            found.append(Difference(atom.x, atom.y, atom.text, other.text, False))
    return (*found, *_bond_differences(first, second, pairs))


def _paired(first: MolGraph, second: MolGraph) -> dict[int, int]:
    """Atoms of the second by those of the first, the nearest pairs first."""
    length = first.median_bond_length() or second.median_bond_length() or 0.0
    away = sorted(
        (math.hypot(a.x - b.x, a.y - b.y), n, m)
        for n, a in enumerate(first.atoms)
        for m, b in enumerate(second.atoms)
    )
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for distance, here, there in away:
        if distance > _NEAR * length:
            break
        if here not in pairs and there not in taken:
            pairs[here] = there
            taken.add(there)
    return pairs


def _bond_differences(first: MolGraph, second: MolGraph, pairs: dict[int, int]) -> list[Difference]:
    """Bonds between atoms that both have, by their kind and their narrow end."""
    back = {there: here for here, there in pairs.items()}
    mine = _kinds(first, {n: n for n in pairs})
    theirs = _kinds(second, back)
    found = []
    for ends in sorted(mine.keys() | theirs.keys(), key=sorted):
        one, other = mine.get(ends), theirs.get(ends)
        if one != other:
            a, b = (first.atoms[n] for n in ends)
            middle = (a.x + b.x) / 2, (a.y + b.y) / 2
            found.append(Difference(*middle, one and one[0], other and other[0], True))
    return found


def _kinds(graph: MolGraph, number: dict[int, int]) -> dict[frozenset[int], tuple[str, int | None]]:
    """Kind and narrow end of each bond, its ends renumbered; bonds of other atoms are left out."""
    aromatic = aromatic_bonds(expand_abbreviations(graph)[0])
    kinds: dict[frozenset[int], tuple[str, int | None]] = {}
    for bond in graph.bonds:
        if bond.begin in number and bond.end in number:
            ends = frozenset((number[bond.begin], number[bond.end]))
            narrow = number[bond.begin] if bond.order.is_directed else None
            kinds[ends] = ("aromatic" if _ends(bond) in aromatic else _BONDS[bond.order], narrow)
    return kinds


def _ends(bond: Bond) -> frozenset[int]:
    return frozenset((bond.begin, bond.end))


def aromatic_bonds(graph: MolGraph) -> set[frozenset[int]]:
    """Ends of the aromatic bonds, so that Kekulé forms agree; none of what RDKit refuses."""
    try:
        mol = block_to_mol(graph_to_molblock(graph), sanitize=True, source="graph")
    except ValueError:
        return set()
    return {
        frozenset((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()))
        for bond in mol.GetBonds()
        if bond.GetIsAromatic()
    }
