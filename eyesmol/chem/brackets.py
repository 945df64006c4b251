"""Brackets of a drawing: out of the S-groups of a molfile, back into them, and multiplied out.

A repeat unit (``SRU``) stays what it is. A multiple group (``MUL``) is so many copies of what its
brackets enclose, so it has a SMILES: that of the copies in a row. A molfile holds the copies as
atoms, all at the places of the drawn ones (CTfile formats, BIOVIA 2020); a graph holds them once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from rdkit import Chem

from eyesmol.chem.graph import Atom, Bond, BondOrder, Bracket, BracketKind, MolGraph

__all__ = [
    "SGroup",
    "drawn_once",
    "multiplied",
    "not_multiplied",
    "sgroups",
    "stacked",
    "unheld_brackets",
]

# Brackets that a graph has no kind for; those round a salt or a mixture change nothing.
_OTHER_POLYMERS = frozenset({"MON", "COP", "CRO", "GRA", "MER", "MOD", "ANY"})
_HELD: dict[str, BracketKind] = {"SRU": "SRU", "MUL": "MUL", "GEN": "GEN"}


@dataclass(frozen=True)
class SGroup:
    """Brackets as a molfile lists them.

    Attributes:
        kind, mark: see `Bracket`.
        atoms: all of them, copies included.
        drawn: those of a multiple group that stand for all copies; as `atoms` for other kinds.
    """

    kind: BracketKind
    mark: str
    atoms: tuple[int, ...]
    drawn: tuple[int, ...]


# ---- from a molfile ----


def unheld_brackets(mol: Chem.Mol) -> str:
    """What the brackets of a molfile say that a graph does not hold; empty for nothing."""
    for sgroup in Chem.GetMolSubstanceGroups(mol):
        kind = _property(sgroup, "TYPE")
        if kind in _OTHER_POLYMERS:
            return "a polymer in brackets that is no simple repeat unit (COP, MON and the like)"
        if kind in _HELD and _property(sgroup, "CONNECT") == "HH":
            return "a repeat unit that is bonded head to head"
    if any(group.kind == "MUL" and not _is_multiple(group) for group in sgroups(mol)):
        return "a multiple group (MUL) that does not say what is drawn of it, and how many times"
    return ""


def _is_multiple(group: SGroup) -> bool:
    if not (group.mark.isdigit() and 1 <= int(group.mark) <= 999 and group.drawn):
        return False
    return len(group.atoms) == int(group.mark) * len(group.drawn)


def sgroups(mol: Chem.Mol) -> list[SGroup]:
    """The brackets of a molecule from a molfile, in the order of the file."""
    found = []
    for sgroup in Chem.GetMolSubstanceGroups(mol):
        kind = _HELD.get(_property(sgroup, "TYPE"))
        atoms = tuple(sgroup.GetAtoms())
        if kind and atoms:
            mark = _property(sgroup, "MULT" if kind == "MUL" else "LABEL")
            drawn = tuple(sgroup.GetParentAtoms()) if kind == "MUL" else atoms
            found.append(SGroup(kind, mark, atoms, drawn))
    return found


def _property(sgroup: Chem.SubstanceGroup, name: str) -> str:
    return str(sgroup.GetProp(name)) if sgroup.HasProp(name) else ""


def drawn_once(groups: Iterable[SGroup], places: Sequence[Sequence[float]]) -> dict[int, int]:
    """For each copy of a multiple group, the drawn atom that it is a copy of.

    Copies lie on the drawn atoms where a file keeps to the rule, else they come in the same order.
    """
    original: dict[int, int] = {}
    # The inner ones first: a copy of an outer group may be the drawn atom of an inner one.
    for group in sorted(groups, key=lambda g: len(g.atoms)):
        if group.kind != "MUL":
            continue
        inside = set(group.drawn)
        copies = [atom for atom in group.atoms if atom not in inside]
        at_drawn = {tuple(places[atom]): atom for atom in group.drawn}
        for number, copy in enumerate(copies):
            there = at_drawn.get(tuple(places[copy]))
            original[copy] = group.drawn[number % len(group.drawn)] if there is None else there
    for copy in original:
        while original[copy] in original:
            original[copy] = original[original[copy]]
    return original


# ---- into a molfile, and into chemistry ----

_MOST_ATOMS = 999  # of a V2000 molblock
_Shift = tuple[float, float]


def stacked(graph: MolGraph) -> tuple[MolGraph, list[SGroup]]:
    """The graph as a molfile holds it, copies of multiple groups on top of one another.

    Returns:
        The graph without brackets, the drawn atoms first; and its brackets.
    """
    draft = _Draft(graph)
    draft.repeat_all(apart=False)
    return draft.graph, draft.groups


def multiplied(graph: MolGraph) -> MolGraph:
    """The graph with its multiple groups written out: each copy behind the one before.

    What follows a multiple group moves along, so that wedges and double bonds keep their sense.
    Other brackets stay, in each copy once.
    """
    if all(bracket.kind != "MUL" for bracket in graph.brackets):
        return graph
    draft = _Draft(graph)
    draft.repeat_all(apart=True)
    left = sorted(Bracket(g.atoms, g.mark, g.kind) for g in draft.groups if g.kind != "MUL")
    return replace(draft.graph, brackets=tuple(left))


def not_multiplied(graph: MolGraph) -> list[str]:
    """One problem for each multiple group that counts once, as nobody can say how to repeat it.

    Three or more bonds cross its brackets, all copies would share one open end, or there would be
    more atoms than a molfile holds.
    """
    if not graph.brackets:
        return []
    draft = _Draft(graph)
    draft.repeat_all(apart=False)
    return [f"brackets marked {mark!r}: what they enclose counts once" for mark in draft.once]


class _Draft:
    """A graph whose multiple groups are being copied."""

    def __init__(self, graph: MolGraph) -> None:
        self.atoms = list(graph.atoms)
        self.bonds = list(graph.bonds)
        self.groups = [SGroup(b.kind, b.mark, b.atoms, b.atoms) for b in graph.brackets]
        self.once: list[str] = []
        self._stereo_groups = graph.stereo_groups

    @property
    def graph(self) -> MolGraph:
        return MolGraph(tuple(self.atoms), tuple(self.bonds), (), self._stereo_groups)

    def repeat_all(self, *, apart: bool) -> None:
        """Copy what each multiple group encloses, the inner ones first."""
        for place in sorted(range(len(self.groups)), key=lambda n: len(self.groups[n].atoms)):
            if self.groups[place].kind == "MUL":
                self._repeat(place, apart=apart)

    def _repeat(self, place: int, *, apart: bool) -> None:
        """Two bonds that cross the brackets make a row of copies; one hangs each copy on the atom
        outside; without any, the copies stand beside one another."""
        group = self.groups[place]
        inside, count = frozenset(group.atoms), int(group.mark)
        if count == 1:
            self.groups[place] = replace(group, drawn=group.atoms)
            return
        crossing = [n for n, b in enumerate(self.bonds) if (b.begin in inside) != (b.end in inside)]
        shared_end = len(crossing) == 1 and self.bonds[crossing[0]].order == BondOrder.ATTACHMENT
        too_many = len(self.atoms) + len(inside) * (count - 1) > _MOST_ATOMS
        if len(crossing) > 2 or shared_end or too_many:
            self.once.append(group.mark)
            self.groups[place] = replace(group, kind="SRU")
            return
        ends = [self._inner_and_outer(n, inside) for n in crossing]
        within = [b for b in self.bonds if b.begin in inside and b.end in inside]
        nested = [g for n, g in enumerate(self.groups) if n != place and set(g.atoms) < inside]
        step = self._step(ends) if apart else (0.0, 0.0)
        first, last = len(self.atoms), {atom: atom for atom in group.atoms}
        for number in range(1, count):
            copy = self._copies(group.atoms, (step[0] * number, step[1] * number))
            self.bonds += [Bond(copy[b.begin], copy[b.end], b.order) for b in within]
            self.groups += [_renumbered(g, copy) for g in nested]
            if len(ends) == 1:
                self.bonds.append(_rebound(self.bonds[crossing[0]], ends[0][0], copy[ends[0][0]]))
            elif len(ends) == 2:
                order = self._joining_order(crossing)
                self.bonds.append(Bond(last[ends[1][0]], copy[ends[0][0]], order))
            last = copy
        if len(ends) == 2:
            tail, after = ends[1]
            self.bonds[crossing[1]] = _rebound(self.bonds[crossing[1]], tail, last[tail])
            if apart:
                self._move_branch(after, last[tail], (step[0] * (count - 1), step[1] * (count - 1)))
        copies = tuple(range(first, len(self.atoms)))
        self.groups[place] = replace(group, atoms=group.atoms + copies, drawn=group.atoms)
        for number, other in enumerate(self.groups):
            if number != place and inside <= set(other.atoms):
                self.groups[number] = replace(other, atoms=other.atoms + copies)

    def _inner_and_outer(self, bond: int, inside: frozenset[int]) -> tuple[int, int]:
        begin, end = self.bonds[bond].begin, self.bonds[bond].end
        return (begin, end) if begin in inside else (end, begin)

    def _copies(self, atoms: Sequence[int], shift: _Shift) -> dict[int, int]:
        """New atoms like these, by their originals."""
        copy = {atom: len(self.atoms) + n for n, atom in enumerate(atoms)}
        for atom in atoms:
            self.atoms.append(self._moved(atom, shift))
        return copy

    def _moved(self, atom: int, shift: _Shift) -> Atom:
        old = self.atoms[atom]
        return replace(old, x=old.x + shift[0], y=old.y + shift[1])

    def _step(self, ends: Sequence[tuple[int, int]]) -> _Shift:
        """How far a copy of a row is moved: the atom behind the brackets is where it begins."""
        if len(ends) != 2:
            return (0.0, 0.0)
        head, after = self.atoms[ends[0][0]], self.atoms[ends[1][1]]
        return (after.x - head.x, after.y - head.y)

    def _joining_order(self, crossing: Sequence[int]) -> BondOrder:
        """Of the bonds between copies: as the brackets are crossed, where both ends agree."""
        first, second = (self.bonds[n].order for n in crossing)
        return first if first == second and not first.is_directed else BondOrder.SINGLE

    def _move_branch(self, start: int, behind: int, shift: _Shift) -> None:
        """Move what hangs on an atom, unless it leads back round a ring."""
        bonded: dict[int, list[int]] = {}
        for bond in self.bonds:
            if {bond.begin, bond.end} != {start, behind}:
                bonded.setdefault(bond.begin, []).append(bond.end)
                bonded.setdefault(bond.end, []).append(bond.begin)
        branch, pending = {start}, [start]
        while pending:
            new = [n for n in bonded.get(pending.pop(), []) if n not in branch]
            branch.update(new)
            pending += new
        if behind not in branch:
            for atom in branch:
                self.atoms[atom] = self._moved(atom, shift)


def _rebound(bond: Bond, old: int, new: int) -> Bond:
    """The bond with one of its atoms exchanged."""
    begin, end = (new if atom == old else atom for atom in (bond.begin, bond.end))
    return Bond(begin, end, bond.order)


def _renumbered(group: SGroup, number: dict[int, int]) -> SGroup:
    atoms, drawn = ([number[atom] for atom in row] for row in (group.atoms, group.drawn))
    return replace(group, atoms=tuple(atoms), drawn=tuple(drawn))
