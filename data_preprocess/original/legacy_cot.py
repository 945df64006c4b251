"""Chain-of-thought answers as the original EyesMol data set has them, read and repaired.

Such an answer is Python text, published as one dict, ``{'cot': [{'a': 'C', 'id': 12, 'xy': [5.0,
-0.48]}, {'b': 1, 'a1': 11, 'a2': 12}, ...], 'smiles': 'CC'}``; atoms and bonds one after the other,
without the dict, are read too. Its program left four faults in it:

- Labels stand in the order of the molfile, positions and bonds in that of the SMILES, so labels sit
  on wrong atoms wherever the two orders differ.
- The label of an abbreviation is repeated on each of the atoms that it hides.
- Wedges that the walk met from behind have their ends exchanged.
- Only the first fragment of a drawing was walked.

The SMILES of the row is taken for the truth, since it came from the table and not from the program.
A graph is repaired only in ways that leave no choice, and it is kept only if it then gives the
SMILES back, stereo included. Everything else is dropped with its reason.
"""

from __future__ import annotations

import ast
import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rdkit import Chem, rdBase

from data_preprocess.build.examples import Drop
from eyesmol.chem.abbreviations import is_label
from eyesmol.chem.expansion import read_label
from eyesmol.chem.graph import Atom, Bond, BondOrder, MolGraph
from eyesmol.chem.labelled_smiles import plain_smiles
from eyesmol.chem.smiles import canonical_smiles, graph_to_smiles

__all__ = ["Repaired", "numbered_as_smiles", "repair"]

CHARGES = "charges taken from the SMILES"
LABELS = "labels put on their atoms"
COLLAPSED = "repeated labels collapsed to one atom"
WEDGES = "wedge ends exchanged"
TWICE = "bonds listed twice"
JSON = "Python text made an answer"

_LABEL = "label"
_BRACKETS = re.compile(r"\[((?:[^\[\]]|\[[^\[\]]*\])*)\]")  # brackets may stand inside: [[B1]p]
_AS_WRITTEN: Any = Chem.SmilesParserParams()
_AS_WRITTEN.removeHs = False
_LONGEST = 1_000_000  # characters of an answer
_FREE_WEDGES = 8  # wedges with two possible narrow ends; 256 combinations are tried


@dataclass(frozen=True)
class Repaired:
    """An answer that says what its SMILES says.

    Attributes:
        graph: positions in the units of the molfile, y up, abbreviations as one atom.
        smiles: canonical.
        repairs: what was repaired, from a few fixed phrases.
    """

    graph: MolGraph
    smiles: str
    repairs: tuple[str, ...]


def numbered_as_smiles(text: str) -> bool | None:
    """Whether the bonds are those of the SMILES, atom by atom, as the answer numbers its atoms.

    A symmetrical molecule may be so by chance; most answers of a data set are not.

    Returns:
        None for an answer that cannot be read.
    """
    try:
        written = _read(text)
        target = _Target.of(written.smiles)
    except Drop:
        return None
    return target.admits(written.graph, range(len(written.graph.atoms)))


def repair(text: str, *, own_numbers: bool) -> Repaired:
    """Read an answer and repair it.

    Args:
        text: the answer.
        own_numbers: the atoms' numbers are those of the SMILES, as in the published files; else the
            walk has numbered them again. A data set is the one or the other: see
            `numbered_as_smiles`.

    Raises:
        Drop: it cannot be read, or not be repaired for certain; the message is the reason, one of a
            few fixed phrases.
    """
    written = _read(text)
    target = _Target.of(written.smiles)
    smiles = canonical_smiles(plain_smiles(written.smiles))
    if not smiles:
        raise Drop("RDKit cannot read the SMILES")
    if _components(written.graph) < smiles.count(".") + 1:
        raise Drop("fragments are missing from the answer")
    reason = "graph and SMILES disagree"
    for candidate in _candidates(written.graph, target, own_numbers):
        if isinstance(candidate, str):
            reason = candidate
            continue
        turned = _with_wedges(candidate.graph, smiles)
        if turned is None:
            if _without_stereo(_smiles_of(candidate.graph)) == _without_stereo(smiles):
                reason = "stereo of graph and SMILES disagree"
            continue
        repairs = [*written.repairs, *candidate.repairs]
        if turned != candidate.graph:
            repairs.append(WEDGES)
        return Repaired(turned, smiles, tuple(repairs))
    raise Drop(reason)


# ---- reading ----


@dataclass(frozen=True)
class _Written:
    """An answer as it was written, its atoms in the order of their numbers."""

    graph: MolGraph
    smiles: str
    repairs: tuple[str, ...]


_QUOTED = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
_OBJECT = re.compile(rf"\{{(?:[^{{}}'\"]|{_QUOTED})*\}}", re.DOTALL)
_SMILES_AFTER = re.compile(r"smiles\b\W*?[:=]\s*['\"`]*([^\s'\"`,}\]]\S*?)['\"`.,]*\s*$", re.I)


def _read(text: str) -> _Written:
    if len(text) > _LONGEST:
        raise Drop("answer of more than a million characters")
    found, rest = _objects(text)
    atoms = _atoms([item for item in found if "a" in item])
    index_of = {number: index for index, number in enumerate(sorted(atoms))}
    bonds, twice = _bonds([item for item in found if "b" in item and "a" not in item], index_of)
    graph = MolGraph(tuple(atoms[number] for number in index_of), bonds)
    smiles = [value for item in found for key, value in item.items() if key.lower() == "smiles"]
    if not smiles and (match := _SMILES_AFTER.search(rest)):
        smiles = [match[1]]
    if len(smiles) != 1 or not isinstance(smiles[0], str) or not smiles[0].strip():
        raise Drop("answer without a SMILES, or with several")
    repairs = [JSON] * ("'" in text) + [TWICE] * twice
    return _Written(graph, smiles[0].strip(), tuple(repairs))


def _objects(text: str) -> tuple[list[dict[str, Any]], str]:
    """All dicts of a text, and what stands between them; of one nested value, those inside it.

    Raises:
        Drop: there are none, or what there is does not end.
    """
    whole, rest = [_literal(text.strip())], ""
    if whole == [None]:
        whole, rest = (
            [_literal(match[0]) for match in _OBJECT.finditer(text)],
            _OBJECT.sub("", text),
        )
    found = [item for value in whole for item in _dicts(value)]
    if not found or None in whole or "{" in rest or "}" in rest:
        raise Drop("answer is no list of atoms and bonds, or is cut off")
    return found, rest


def _literal(text: str) -> Any:
    """A value of Python text (or of JSON, which reads the same here); None for what is none."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    """The dicts of a value, those inside lists and other dicts too."""
    if isinstance(value, dict):
        yield {key: inside for key, inside in value.items() if isinstance(key, str)}
        value = value.values()
    elif not isinstance(value, list | tuple):
        return
    for inside in value:
        yield from _dicts(inside)


def _atoms(items: Sequence[Mapping[str, Any]]) -> dict[int, Atom]:
    """Atoms by their numbers."""
    atoms: dict[int, Atom] = {}
    for item in items:
        label, number, position = item["a"], item.get("id"), item.get("xy")
        if not (isinstance(label, str) and label.strip() and isinstance(number, int)):
            raise Drop("atom without a label or a number")
        if not (
            isinstance(position, list | tuple)
            and len(position) == 2
            and all(map(_finite, position))
        ):
            raise Drop("atom without a position")
        if number in atoms:
            raise Drop("atom listed twice")
        atoms[number] = Atom.from_text(label, float(position[0]), float(position[1]))
    if not atoms:
        raise Drop("answer is no list of atoms and bonds, or is cut off")
    return atoms


def _finite(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and abs(value) < 1e6


def _bonds(
    items: Sequence[Mapping[str, Any]], index_of: Mapping[int, int]
) -> tuple[tuple[Bond, ...], bool]:
    """Bonds, and whether some were listed twice."""
    bonds: dict[tuple[int, int], Bond] = {}
    twice = False
    for item in items:
        order, begin, end = item["b"], item.get("a1", -1), item.get("a2", -1)
        if order not in set(map(int, BondOrder)):
            raise Drop("bond of unknown order")
        if begin not in index_of or end not in index_of or begin == end:
            raise Drop("bond to an atom that is not listed")
        a, b = index_of[begin], index_of[end]
        pair = (min(a, b), max(a, b))
        twice |= pair in bonds
        bonds.setdefault(pair, Bond(a, b, BondOrder(order)))
    return tuple(bonds.values()), twice


# ---- what the graph may have meant ----


@dataclass(frozen=True)
class _Candidate:
    graph: MolGraph
    repairs: tuple[str, ...] = ()


def _candidates(graph: MolGraph, target: _Target, ordered: bool) -> Iterator[_Candidate | str]:
    """Readings of a graph, the most faithful first; or why a reading is not to be had."""
    own = tuple(range(len(graph.atoms)))
    identical = ordered and target.admits(graph, own)
    # Displaced labels may agree by chance where the molecule has a symmetry without its labels.
    as_it_is = target.admits(graph, own, elements=True) if identical else _is_distinct(graph)
    if as_it_is:
        yield _Candidate(*_collapsed(graph))
        match = own if identical else target.match(graph, elements=True)
        if match and (identical or target.distinct(elements=True)):
            charged, repairs = _collapsed(target.charged(graph, match))
            yield _Candidate(charged, (CHARGES, *repairs))
    match = own if identical else target.match(graph)
    if not match:
        return
    if not identical and not target.distinct():
        yield "labels cannot be put on their atoms for certain"
        return
    try:
        relabelled, collapsed = target.relabelled(graph, match)
    except Drop as drop:
        yield str(drop)
        return
    yield _Candidate(relabelled, (LABELS, *([COLLAPSED] if collapsed else [])))


class _Target:
    """The molecule of the SMILES, and how a graph lies on it.

    Args:
        mol: sanitised, in the order of the SMILES; labels are dummies with the property `_LABEL`.
    """

    def __init__(self, mol: Chem.Mol) -> None:
        self._mol = mol

    @classmethod
    def of(cls, smiles: str) -> _Target:
        """From a SMILES with labels, such as ``[R5]OP([OR])(=O)c1ccccc1``.

        Raises:
            Drop: RDKit cannot read it.
        """
        labels: list[str] = []

        def dummy(match: re.Match[str]) -> str:
            if Chem.AtomFromSmiles(match[0]) is not None and "*" not in match[0]:
                return match[0]
            labels.append(match[1])
            return f"[*:{len(labels)}]"

        with rdBase.BlockLogs():
            mol = Chem.MolFromSmiles(_BRACKETS.sub(dummy, smiles), _AS_WRITTEN)
        if mol is None:
            raise Drop("RDKit cannot read the SMILES")
        for atom in mol.GetAtoms():
            if not atom.GetAtomicNum() and (number := atom.GetAtomMapNum()):
                atom.SetProp(_LABEL, labels[number - 1])
                atom.SetAtomMapNum(0)
        return cls(mol)

    def fits(self, graph: MolGraph) -> bool:
        """True where the graph has as many atoms and bonds, the hidden ones included."""
        return (self._mol.GetNumAtoms(), self._mol.GetNumBonds()) == (
            len(graph.atoms),
            len(graph.bonds),
        )

    def match(self, graph: MolGraph, *, elements: bool = False) -> tuple[int, ...] | None:
        """For each atom of the graph its atom of the SMILES, by bonds and their orders.

        Args:
            graph: the drawn one, hidden atoms included.
            elements: atoms must be of one element too; labels are anything.
        """
        if not self.fits(graph):
            return None
        found = self._mol.GetSubstructMatch(_query(graph, elements))
        return tuple(found) or None

    def admits(self, graph: MolGraph, match: Sequence[int], *, elements: bool = False) -> bool:
        """True where a given match is one."""
        if not self.fits(graph):
            return False
        query = _query(graph, elements)
        for bond in query.GetBonds():
            there = self._mol.GetBondBetweenAtoms(
                match[bond.GetBeginAtomIdx()], match[bond.GetEndAtomIdx()]
            )
            if there is None or not bond.Match(there):
                return False
        return all(
            atom.Match(self._mol.GetAtomWithIdx(match[atom.GetIdx()])) for atom in query.GetAtoms()
        )

    def distinct(self, *, elements: bool = False) -> bool:
        """True where atoms that the bonds (and elements) cannot tell apart are the same."""
        labels = [(a.GetAtomicNum(), a.GetFormalCharge(), a.GetIsotope(), _label_of(a))
                  for a in self._mol.GetAtoms()]  # fmt: skip
        return _told_apart(self._mol, [label[0] if elements else 0 for label in labels], labels)

    def charged(self, graph: MolGraph, match: Sequence[int]) -> MolGraph:
        """The graph with the charges and isotopes of the SMILES on its elements."""
        atoms = [
            _atom(self._mol.GetAtomWithIdx(match[index]), atom) if atom.is_element else atom
            for index, atom in enumerate(graph.atoms)
        ]
        return MolGraph(tuple(atoms), graph.bonds)

    def relabelled(self, graph: MolGraph, match: Sequence[int]) -> tuple[MolGraph, bool]:
        """The graph with the labels of the SMILES, abbreviations drawn where they must have been.

        Returns:
            The graph, and whether it has abbreviations.

        Raises:
            Drop: the SMILES does not tell which atoms a label stands for.
        """
        written = Counter(
            atom.label for atom, degree in _with_degrees(graph) if is_label(atom, degree)
        )
        atoms = [
            _atom(self._mol.GetAtomWithIdx(match[index]), atom)
            for index, atom in enumerate(graph.atoms)
        ]
        here = {there: index for index, there in enumerate(match)}
        open_ends = [index for index, atom in enumerate(atoms) if atom.label == "*"]
        if open_ends:
            label = _only_unreadable(written, len(open_ends))
            for index in open_ends:
                atoms[index] = replace(atoms[index], label=label)
            del written[label]
        # What the SMILES names stands where it is; what it spells out has to be found.
        written -= Counter(_label_of(atom) for atom in self._mol.GetAtoms())
        groups = []
        for label, members in self._hidden(written):
            groups.append((label, [here[there] for there in members]))
        plain = MolGraph(tuple(atoms), graph.bonds)
        return _merged(plain, groups), bool(groups)

    def _hidden(self, written: Counter[str]) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Labels with the atoms of the SMILES that they hide, the attached one first."""
        taken: set[int] = set()
        fragments = []
        for label, count in written.items():
            fragment = read_label(label, [1])
            size = fragment.mol.GetNumAtoms() if fragment else 0
            if fragment is None or count % size or len(fragment.sites) != 1:
                raise Drop("which atom a label stands for cannot be told")
            # CH2CH2CH reads as an alkene, but may as well stand between two neighbours.
            if fragment.mol.HasSubstructMatch(_ALKENE):
                raise Drop("which atom a label stands for cannot be told")
            fragments.append((size, label, fragment.mol, fragment.sites[0], count // size))
        for _, label, mol, site, count in sorted(fragments, key=lambda f: -f[0]):
            found = [m for m in self._places(mol, site) if not taken & set(m)]
            if len(found) != count or len({i for m in found for i in m}) != sum(map(len, found)):
                raise Drop("which atom a label stands for cannot be told")
            for members in found:
                taken |= set(members)
                yield label, members

    def _places(self, part: Chem.Mol, site: int) -> Iterator[tuple[int, ...]]:
        """Where a group is bonded to the rest by one single bond of its site, and by no other."""
        query = Chem.Mol(part)
        with rdBase.BlockLogs():
            Chem.SanitizeMol(query)
        seen: set[frozenset[int]] = set()
        # Not only one match for a set of atoms: its site may be at the other end.
        for found in self._mol.GetSubstructMatches(query, uniquify=False, maxMatches=_MATCHES):
            inside = frozenset(found)
            if inside in seen:
                continue
            outward = [
                (index, bond.GetBondType())
                for index in found
                for bond in self._mol.GetAtomWithIdx(index).GetBonds()
                if bond.GetOtherAtomIdx(index) not in inside
            ]
            hydrogens = all(
                query.GetAtomWithIdx(i).GetTotalNumHs() - (i == site)
                == self._mol.GetAtomWithIdx(there).GetTotalNumHs()
                for i, there in enumerate(found)
            )
            if hydrogens and outward == [(found[site], Chem.BondType.SINGLE)]:
                seen.add(inside)
                yield (found[site], *(index for index in found if index != found[site]))


def _only_unreadable(written: Counter[str], count: int) -> str:
    """The one label that no SMILES has a word for, if it stands `count` times."""
    unreadable = [label for label in written if read_label(label, [1]) is None]
    numbered = [label for label in unreadable if re.fullmatch(r"R\d+", label)]
    unreadable = [label for label in unreadable if label not in numbered]
    if len(unreadable) != 1 or written[unreadable[0]] != count:
        raise Drop("which atom a label stands for cannot be told")
    return unreadable[0]


_ALKENE = Chem.MolFromSmarts("[#6]=,#[#6]")


def _told_apart(mol: Chem.Mol, marks: Sequence[int], labels: Sequence[Any]) -> bool:
    """True where atoms that bonds and `marks` cannot tell apart have the same label.

    By RDKit's symmetry classes, which are at least as coarse as what a match may exchange.
    """
    blank = Chem.RWMol(mol)
    for index, mark in enumerate(marks):
        blank.ReplaceAtom(index, Chem.Atom(mark))
    blank.UpdatePropertyCache(strict=False)
    Chem.FastFindRings(blank)
    classes = Chem.CanonicalRankAtoms(blank, breakTies=False, includeChirality=False)
    label_of: dict[int, Any] = {}
    pairs = zip(classes, labels, strict=True)
    return all(label_of.setdefault(rank, label) == label for rank, label in pairs)


def _is_distinct(graph: MolGraph) -> bool:
    """True where atoms that the bonds cannot tell apart have the same label.

    Ring bonds count as alike: which of them are double is a choice of the drawing.
    """
    mol = Chem.RWMol()
    for _ in graph.atoms:
        mol.AddAtom(Chem.Atom(0))
    for bond in graph.bonds:
        mol.AddBond(bond.begin, bond.end, _KIND.get(bond.order, Chem.BondType.SINGLE))
    Chem.FastFindRings(mol)
    for bond in mol.GetBonds():
        if bond.IsInRing():
            bond.SetBondType(Chem.BondType.SINGLE)
    return _told_apart(mol, [0] * len(graph.atoms), [atom.text for atom in graph.atoms])


_KIND = {
    BondOrder.DOUBLE: Chem.BondType.DOUBLE,
    BondOrder.CROSSED_DOUBLE: Chem.BondType.DOUBLE,
    BondOrder.TRIPLE: Chem.BondType.TRIPLE,
}
_MATCHES = 10_000
_LIKE = {
    BondOrder.DOUBLE: "=,:",
    BondOrder.CROSSED_DOUBLE: "=,:",
    BondOrder.TRIPLE: "#",
    BondOrder.AROMATIC: ":",
}


def _query(graph: MolGraph, elements: bool) -> Chem.Mol:
    """The graph as a pattern; a single or double bond may be one of an aromatic ring."""
    table = Chem.GetPeriodicTable()
    query = Chem.RWMol()
    for atom, degree in _with_degrees(graph):
        bound = elements and not is_label(atom, degree)
        pattern = f"[#{table.GetAtomicNumber(atom.label)}]" if bound else "*"
        query.AddAtom(Chem.AtomFromSmarts(pattern))
    for number, bond in enumerate(graph.bonds):
        query.AddBond(bond.begin, bond.end, Chem.BondType.SINGLE)
        query.ReplaceBond(number, Chem.BondFromSmarts(_LIKE.get(bond.order, "-,:")))
    return query.GetMol()


def _with_degrees(graph: MolGraph) -> Iterator[tuple[Atom, int]]:
    return zip(graph.atoms, map(len, graph.neighbours()), strict=True)


def _label_of(atom: Chem.Atom) -> str:
    """What stands in the brackets of a SMILES where it names a label; empty for an element."""
    label = atom.GetProp(_LABEL) if atom.HasProp(_LABEL) else ""
    return f"R{label[:-1]}" if re.fullmatch(r"\d+\*", label) else label.strip("*")


def _atom(there: Chem.Atom, here: Atom) -> Atom:
    """An atom of the SMILES at its position in the drawing."""
    if not there.GetAtomicNum():
        return Atom(_label_of(there) or "*", here.x, here.y)
    return Atom(
        there.GetSymbol(),
        here.x,
        here.y,
        there.GetFormalCharge(),
        there.GetIsotope(),
        min(there.GetNumRadicalElectrons(), 2),
    )


# ---- abbreviations ----


def _collapsed(graph: MolGraph) -> tuple[MolGraph, tuple[str, ...]]:
    """Neighbours with one and the same label drawn as one atom, if they are as many as it hides."""
    neighbours = graph.neighbours()
    groups: list[tuple[str, list[int]]] = []
    seen: set[int] = set()
    for start, atom in enumerate(graph.atoms):
        if start in seen or not is_label(atom, len(neighbours[start])):
            continue
        members = _alike(graph, start)
        seen.update(members)
        inside = set(members)
        outward = [
            (index, bond)
            for index in members
            for other, bond in neighbours[index]
            if other not in inside
        ]
        label = atom.text.removeprefix("[").removesuffix("]")
        fragment = read_label(label, [min(int(bond.order), 3) for _, bond in outward])
        size = fragment.mol.GetNumAtoms() if fragment else len(members)
        if len(members) == 1 or len(members) != size or (not fragment and len(outward) > 1):
            continue
        first = [index for index, _ in outward] or members
        groups.append((label, [first[0], *(index for index in members if index != first[0])]))
    return _merged(graph, groups), (COLLAPSED,) if groups else ()


def _alike(graph: MolGraph, start: int) -> list[int]:
    """Atoms that hang together and have one label."""
    neighbours, label = graph.neighbours(), graph.atoms[start].text
    found, pending = [start], [start]
    while pending:
        for other, _ in neighbours[pending.pop()]:
            if other not in found and graph.atoms[other].text == label:
                found.append(other)
                pending.append(other)
    return found


def _merged(graph: MolGraph, groups: Sequence[tuple[str, Sequence[int]]]) -> MolGraph:
    """Each group drawn as one atom with its label, at the position of its first member."""
    into = {member: members[0] for _, members in groups for member in members}
    label_of = {members[0]: label for label, members in groups}
    kept = [index for index in range(len(graph.atoms)) if into.get(index, index) == index]
    new_index = {old: new for new, old in enumerate(kept)}
    atoms = []
    for old in kept:
        atom = graph.atoms[old]
        atoms.append(Atom.from_text(label_of[old], atom.x, atom.y) if old in label_of else atom)
    bonds: dict[tuple[int, int], Bond] = {}
    for bond in graph.bonds:
        begin, end = (new_index[into.get(i, i)] for i in (bond.begin, bond.end))
        if begin != end:
            bonds.setdefault((min(begin, end), max(begin, end)), Bond(begin, end, bond.order))
    return MolGraph(tuple(atoms), tuple(bonds.values()))


# ---- wedges and the proof ----


def _with_wedges(graph: MolGraph, smiles: str) -> MolGraph | None:
    """The graph, its wedges turned round where they must be; None if it never gives the SMILES."""
    found = _smiles_of(graph)
    if found == smiles:
        return graph
    if found is None or _without_stereo(found) != _without_stereo(smiles):
        return None
    degree = [len(row) for row in graph.neighbours()]
    choices: list[list[Bond]] = []
    for bond in graph.bonds:
        turned = replace(bond, begin=bond.end, end=bond.begin)
        # A narrow end has three bonds or more; where both have, both are tried.
        both = [b for b in (bond, turned) if bond.order.is_directed and degree[b.begin] > 2]
        choices.append(both or [bond])
    free = sum(len(choice) > 1 for choice in choices)
    if free > _FREE_WEDGES:
        return None
    for bonds in itertools.product(*choices):
        candidate = MolGraph(graph.atoms, bonds)
        if _smiles_of(candidate) == smiles:
            return candidate
    return None


def _smiles_of(graph: MolGraph) -> str | None:
    return graph_to_smiles(graph.transformed(1, 0, 0, flip=True))[0]


def _without_stereo(smiles: str | None) -> str | None:
    return canonical_smiles(smiles, stereo=False) if smiles else None


def _components(graph: MolGraph) -> int:
    parent = list(range(len(graph.atoms)))

    def root(atom: int) -> int:
        while parent[atom] != atom:
            parent[atom] = parent[parent[atom]]
            atom = parent[atom]
        return atom

    for bond in graph.bonds:
        parent[root(bond.begin)] = root(bond.end)
    return sum(root(atom) == atom for atom in range(len(parent)))
