"""MolGraph: a molecule as it is drawn, the one data structure that every room of EyesMol shares.

An atom carries the label that stands in the picture. An abbreviation such as OMe is ONE atom, at
the place of its attachment point, because that is what a reader sees. Chemistry (valence, expansion
of abbreviations, canonical SMILES) is not in here: see `eyesmol.chem.smiles`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from operator import itemgetter

from rdkit import Chem

__all__ = ["Atom", "Bond", "BondOrder", "MolGraph", "is_element"]


class BondOrder(IntEnum):
    """Kinds of bond; 1 to 6 as in GTR-CoT (arXiv 2506.07553), 7 and 8 for what it lacks.

    A wavy bond and a crossed double bond say that either stereo may be meant.
    """

    SINGLE = 1
    DOUBLE = 2
    TRIPLE = 3
    AROMATIC = 4
    SOLID_WEDGE = 5
    DASHED_WEDGE = 6
    WAVY = 7
    CROSSED_DOUBLE = 8

    @property
    def is_directed(self) -> bool:
        """True where it matters which atom comes first: the narrow end is `begin`."""
        return BondOrder.SOLID_WEDGE <= self <= BondOrder.WAVY


@cache
def _elements() -> frozenset[str]:
    table = Chem.GetPeriodicTable()
    return frozenset(table.GetElementSymbol(number) for number in range(1, 119))


def is_element(label: str) -> bool:
    """True for the symbol of a chemical element such as ``Cl``; False for ``R1`` or ``OMe``."""
    return label in _elements()


# Isotope, label, charge, dots. The label is lazy, so signs and dots at the end are no part of it.
_LABEL = re.compile(r"(\d{1,3})?(.+?)([+-](?:[1-9]\d?)?|\+{2,99}|-{2,99})?(•{1,2})?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Atom:
    """One node of the drawing.

    Attributes:
        label: what is written there: an element (``C`` for a bare corner), an abbreviation
            (``OMe``), an R group (``R1``) or a variable (``X``).
        x, y: its place; pixels with y down once it is placed on a picture.
        charge: formal charge in units of e.
        isotope: mass number, 0 where none is drawn.
        radical: unpaired electrons, drawn as dots: 0, 1 or 2.
    """

    label: str
    x: float = 0
    y: float = 0
    charge: int = 0
    isotope: int = 0
    radical: int = 0

    @classmethod
    def from_text(cls, text: str, x: float = 0, y: float = 0) -> Atom:
        """Read a label as answers write it: ``C``, ``[N+]``, ``[13C]``, ``[O•]``, ``[OMe]``.

        Total: any text gives an atom. Blanks are folded; no text at all reads as ``*``.
        """
        text = " ".join(text.split())
        if len(text) > 2 and text[0] == "[" and text[-1] == "]":
            text = text[1:-1].strip()
        match = _LABEL.fullmatch(text)
        if match is None:
            return cls("*", x, y)
        isotope, label, sign, dots = match.groups(default="")
        if isotope and not is_element(label):
            isotope, label = "", isotope + label
        return cls(label, x, y, _charge(sign), int(isotope or 0), len(dots))

    @property
    def text(self) -> str:
        """The label as answers write it; `from_text` gives the same atom back."""
        if is_element(self.label) and not (self.charge or self.isotope or self.radical):
            return self.label
        sign = ""
        if self.charge:
            sign = ("+" if self.charge > 0 else "-") + (
                str(abs(self.charge)) if abs(self.charge) > 1 else ""
            )
        return f"[{self.isotope or ''}{self.label}{sign}{'•' * self.radical}]"

    @property
    def is_element(self) -> bool:
        """False for abbreviations, R groups and variables."""
        return is_element(self.label)


def _charge(sign: str) -> int:
    if not sign:
        return 0
    size = int(sign[1:]) if sign[1:].isdigit() else len(sign)
    return size if sign[0] == "+" else -size


@dataclass(frozen=True, slots=True)
class Bond:
    """A bond between two atoms, by index. For a wedge or a wavy bond, `begin` is the narrow end."""

    begin: int
    end: int
    order: BondOrder = BondOrder.SINGLE


@dataclass(frozen=True)
class MolGraph:
    """Atoms and bonds as drawn; several fragments are fine, so is no atom at all.

    Raises:
        ValueError: a bond names an atom that is not there, ties an atom to itself, or is doubled.
    """

    atoms: tuple[Atom, ...] = ()
    bonds: tuple[Bond, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.atoms)
        pairs = {(b.begin, b.end) if b.begin < b.end else (b.end, b.begin) for b in self.bonds}
        if len(pairs) == len(self.bonds) and all(0 <= a < b < count for a, b in pairs):
            return
        seen: set[tuple[int, int]] = set()
        for bond in self.bonds:
            pair = (min(bond.begin, bond.end), max(bond.begin, bond.end))
            if not 0 <= pair[0] < pair[1] < len(self.atoms):
                raise ValueError(
                    f"bond {bond.begin}-{bond.end}: expected two different atoms among 0 to "
                    f"{len(self.atoms) - 1}"
                )
            if pair in seen:
                raise ValueError(f"bond {bond.begin}-{bond.end} is listed twice")
            seen.add(pair)

    def neighbours(self) -> list[list[tuple[int, Bond]]]:
        """For each atom its (other atom, bond) pairs, in the order of the bonds."""
        table: list[list[tuple[int, Bond]]] = [[] for _ in self.atoms]
        for bond in self.bonds:
            table[bond.begin].append((bond.end, bond))
            table[bond.end].append((bond.begin, bond))
        return table

    def placed(self, points: Iterable[tuple[float, float]]) -> MolGraph:
        """The same graph with its atoms at other places, one (x, y) for each atom."""
        # Not dataclasses.replace, which takes four times as long: graphs are moved all the time.
        atoms = (
            Atom(a.label, x, y, a.charge, a.isotope, a.radical)
            for a, (x, y) in zip(self.atoms, points, strict=True)
        )
        return MolGraph(tuple(atoms), self.bonds)

    def transformed(self, scale: float, dx: float, dy: float, *, flip: bool = False) -> MolGraph:
        """Scale, then shift; `flip` turns the y axis round (molfile, y up -> picture, y down)."""
        up = -scale if flip else scale
        return self.placed((a.x * scale + dx, a.y * up + dy) for a in self.atoms)

    def rounded(self) -> MolGraph:
        """Places rounded to whole pixels, as answers hold them."""
        return self.placed((round(a.x), round(a.y)) for a in self.atoms)

    def median_bond_length(self) -> float:
        """Median distance between bonded atoms, in the unit of the places; 0 without bonds."""
        points = [(a.x, a.y) for a in self.atoms]
        lengths = sorted(
            ((points[b.begin][0] - points[b.end][0]) ** 2
             + (points[b.begin][1] - points[b.end][1]) ** 2) ** 0.5
            for b in self.bonds
        )  # fmt: skip
        return lengths[len(lengths) // 2] if lengths else 0.0

    def walked(self) -> MolGraph:
        """The same molecule, atoms and bonds renumbered into the order of the walk.

        The walk is GTR-CoT's: depth first, shallower branches first, each new atom followed by its
        bonds to atoms already listed. It starts at the top-most atom of each fragment. Plain bonds
        then run from the older atom to the newer one; wedges keep their narrow end first.

        Iterative, and linear in atoms and bonds but for sorting each atom's few neighbours.
        """
        neighbours = self.neighbours()
        order = _preorder(self.atoms, neighbours)
        new_index = [0] * len(order)
        for index, old in enumerate(order):
            new_index[old] = index
        bonds: list[Bond] = []
        for index, old in enumerate(order):
            older = [(new_index[other], b) for other, b in neighbours[old]
                     if new_index[other] < index]  # fmt: skip
            if len(older) > 1:
                older.sort(key=itemgetter(0))
            for other, bond in older:
                begins_here = bond.order.is_directed and new_index[bond.begin] == index
                ends = (index, other) if begins_here else (other, index)
                bonds.append(Bond(*ends, bond.order))
        return MolGraph(tuple(self.atoms[old] for old in order), tuple(bonds))


def _preorder(atoms: tuple[Atom, ...], neighbours: list[list[tuple[int, Bond]]]) -> list[int]:
    """Old indices in the order of the walk.

    Two passes: the first makes a depth-first tree, the second lists that tree with shallower
    subtrees first. Ring bonds of a depth-first tree always lead to an ancestor, whatever the order
    of the children, so the second listing is a depth-first walk of the molecule too.
    """
    reading_order = sorted(range(len(atoms)), key=lambda i: (atoms[i].y, atoms[i].x, i))
    rank = {atom: place for place, atom in enumerate(reading_order)}
    by_place = [sorted([other for other, _ in row], key=rank.__getitem__) for row in neighbours]

    parent: dict[int, int | None] = {}
    found: list[int] = []
    for start in reading_order:
        if start in parent:
            continue
        parent[start] = None
        found.append(start)
        stack = [(start, iter(by_place[start]))]
        while stack:
            here, branches = stack[-1]
            for nxt in branches:
                if nxt not in parent:
                    parent[nxt] = here
                    found.append(nxt)
                    stack.append((nxt, iter(by_place[nxt])))
                    break
            else:
                stack.pop()

    children: list[list[int]] = [[] for _ in atoms]
    depth = [0] * len(atoms)
    for atom in reversed(found):
        above = parent[atom]
        if above is not None:
            children[above].append(atom)
            if depth[above] <= depth[atom]:
                depth[above] = depth[atom] + 1

    order: list[int] = []
    pending = [atom for atom in reversed(found) if parent[atom] is None]
    while pending:
        atom = pending.pop()
        order.append(atom)
        below = children[atom]
        if len(below) > 1:
            # A stack turns round what is pushed, so the deepest branch goes in first.
            below.sort(key=lambda c: (-depth[c], -rank[c]))
        pending += below
    return order
