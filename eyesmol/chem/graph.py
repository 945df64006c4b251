"""MolGraph: a molecule as it is drawn, the one data structure that every room of EyesMol shares.

An atom carries the label that stands in the picture. An abbreviation such as OMe is ONE atom, at
the place of its attachment point, because that is what a reader sees; a repeat unit is drawn once,
in brackets with a mark. Chemistry (valence, expansion of abbreviations, canonical SMILES) is not in
here: see `eyesmol.chem.smiles`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cache
from operator import itemgetter
from typing import Literal

from rdkit import Chem

__all__ = [
    "Atom",
    "Bond",
    "BondOrder",
    "Bracket",
    "BracketKind",
    "MolGraph",
    "StereoGroup",
    "StereoKind",
    "is_element",
]


class BondOrder(IntEnum):
    """Kinds of bond; 1 to 6 as in GTR-CoT (arXiv 2506.07553), the others for what it lacks.

    A wavy bond and a crossed double bond say that either stereo may be meant. A dative bond begins
    at the donor. A hollow wedge is a wedge towards the reader; a bold bond is a single bond towards
    the reader that does not say which end is the nearer one. An attachment bond ends at a ``*``
    where a larger molecule goes on (drawn as a wavy line across its end).
    """

    SINGLE = 1
    DOUBLE = 2
    TRIPLE = 3
    AROMATIC = 4
    SOLID_WEDGE = 5
    DASHED_WEDGE = 6
    WAVY = 7
    CROSSED_DOUBLE = 8
    DATIVE = 9
    HYDROGEN = 10
    HOLLOW_WEDGE = 11
    BOLD = 12
    ANY = 13
    ATTACHMENT = 14

    @property
    def is_directed(self) -> bool:
        """True where it matters which atom comes first: `begin` is the narrow end, or the donor."""
        return 5 <= self <= 7 or self == 9 or self == 11  # numbers: this is asked all the time


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
    """A bond between two atoms, by index.

    For a wedge or a wavy bond, `begin` is the narrow end; for a dative one, the donor.
    """

    begin: int
    end: int
    order: BondOrder = BondOrder.SINGLE


BracketKind = Literal["SRU", "MUL", "GEN"]


@dataclass(frozen=True, slots=True, order=True)
class Bracket:
    """Brackets round a part of the drawing, with what stands at their lower right corner.

    Attributes:
        atoms: what they enclose, drawn once, by index; kept in ascending order.
        mark: ``n``, ``2``, ``m = 1-4``; empty where nothing stands there.
        kind: as in molfiles: a repeat unit (``SRU``), so many copies of it in a row (``MUL``, its
            mark is their number), or brackets that say neither (``GEN``).

    Raises:
        ValueError: no atom, or a ``MUL`` whose mark is no number from 1 to 999.
    """

    atoms: tuple[int, ...]
    mark: str = ""
    kind: BracketKind = "SRU"

    def __post_init__(self) -> None:
        object.__setattr__(self, "atoms", tuple(sorted(set(self.atoms))))
        object.__setattr__(self, "mark", " ".join(self.mark.split()))
        if not self.atoms:
            raise ValueError(f"brackets marked {self.mark!r} enclose no atom")
        if self.kind == "MUL" and not _is_count(self.mark):
            raise ValueError(f"brackets of kind MUL: mark {self.mark!r}; expected 1 to 999")

    @classmethod
    def marked(cls, atoms: Iterable[int], mark: str) -> Bracket:
        """Brackets of the kind that their mark says: a number, another word, or nothing."""
        mark = mark.strip()
        kind: BracketKind = "MUL" if _is_count(mark) else "SRU" if mark else "GEN"
        return cls(tuple(atoms), mark, kind)


def _is_count(mark: str) -> bool:
    return re.fullmatch(r"[1-9][0-9]{0,2}", mark) is not None


StereoKind = Literal["ABS", "AND", "OR"]


@dataclass(frozen=True, slots=True, order=True)
class StereoGroup:
    """Stereocentres whose drawn configuration holds together: enhanced stereo.

    Attributes:
        atoms: the centres, by index; kept in ascending order.
        kind: as drawn (``ABS``), both it and its mirror image (``AND``), one of the two (``OR``).

    Raises:
        ValueError: no atom.
    """

    atoms: tuple[int, ...]
    kind: StereoKind = "ABS"

    def __post_init__(self) -> None:
        object.__setattr__(self, "atoms", tuple(sorted(set(self.atoms))))
        if not self.atoms:
            raise ValueError(f"a stereo group of kind {self.kind} without atoms")


@dataclass(frozen=True)
class MolGraph:
    """Atoms and bonds as drawn; several fragments are fine, so is no atom at all.

    Attributes:
        atoms, bonds: bonds name their atoms by index.
        brackets: round repeat units and the like; they may enclose one another.
        stereo_groups: relative and racemic configurations; an atom is in one of them at most.

    Raises:
        ValueError: a bond, a bracket or a stereo group names an atom that is not there; a bond ties
            an atom to itself, or is doubled; an atom is in two stereo groups.
    """

    atoms: tuple[Atom, ...] = ()
    bonds: tuple[Bond, ...] = ()
    brackets: tuple[Bracket, ...] = ()
    stereo_groups: tuple[StereoGroup, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.atoms)
        if self.brackets or self.stereo_groups:
            self._check_groups()
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

    def _check_groups(self) -> None:
        groups: list[Bracket | StereoGroup] = [*self.brackets, *self.stereo_groups]
        for group in groups:
            if not 0 <= group.atoms[0] <= group.atoms[-1] < len(self.atoms):
                raise ValueError(f"{group}: expected atoms among 0 to {len(self.atoms) - 1}")
        centres = [atom for group in self.stereo_groups for atom in group.atoms]
        if len(centres) > len(set(centres)):
            raise ValueError("an atom is in two stereo groups; expected one at most")

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
        return MolGraph(tuple(atoms), self.bonds, self.brackets, self.stereo_groups)

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
        then run from the older atom to the newer one; wedges keep their narrow end first. Brackets
        and stereo groups come in the order of their atoms.

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
        walked = MolGraph(tuple(self.atoms[old] for old in order), tuple(bonds))
        return walked.with_groups_of(self, new_index)

    def with_groups_of(self, other: MolGraph, number: Sequence[int]) -> MolGraph:
        """The graph with the brackets and stereo groups of another, whose atoms are renumbered.

        Args:
            other: where they come from.
            number: of each of its atoms, the index here.
        """
        if not (other.brackets or other.stereo_groups):
            return self
        brackets = (replace(b, atoms=tuple(number[a] for a in b.atoms)) for b in other.brackets)
        groups = (replace(g, atoms=tuple(number[a] for a in g.atoms)) for g in other.stereo_groups)
        return replace(
            self,
            brackets=tuple(sorted(brackets)),
            stereo_groups=tuple(sorted(groups)),
        )


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
