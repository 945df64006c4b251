"""A reading made to agree with the molecule that is known to be drawn, or refused.

The detector says where the atoms are and how they are labelled; a table says which molecule it is.
Where the two differ in little, the molecule decides among what the detector held possible: a label,
a bond or up to two wedges are changed, the likeliest change first, until the graph gives the
molecule. What the detector gave no chance is not written: a wedge that no one drew would teach a
model to invent.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from rdkit import Chem

from eyesmol.chem.graph import Atom, Bond, BondOrder, MolGraph
from eyesmol.chem.group_table import COMMON_GROUPS
from eyesmol.chem.smiles import canonical_smiles, graph_to_smiles
from eyesmol.detector.assembly import Assembly
from eyesmol.evaluation.error_analysis import ERROR_KINDS, error_kinds

__all__ = ["Correction", "Disagreement", "Settled", "settled"]

Correction = Literal["as read", "stereo", "label", "bond"]

_LEAST = 0.01  # probability of what is taken; the network gives nothing much less than 0.002
_MOST_TESTS = 200  # graphs that are made into SMILES, a millisecond or two each
_MOST_STEREO = 2  # wedges changed
_FLAT = frozenset({
    BondOrder.SINGLE, BondOrder.SOLID_WEDGE, BondOrder.DASHED_WEDGE, BondOrder.WAVY,
})  # fmt: skip
# How labels are written that are read letter by letter, besides the acronyms: a spelling that
# differs from one of them in one letter may be it.
_FORMULAS = """
    OMe MeO OCH3 H3CO CH3O OEt EtO OC2H5 C2H5O CH3 H3C CH2CH3 C2H5 NO2 O2N CN NC CF3 F3C
    CO2H HO2C COOH HOOC CO2Me MeO2C CO2CH3 COOCH3 CO2Et EtO2C CHO OHC OCF3 F3CO
    NHMe MeHN NMe2 Me2N NHCH3 N(CH3)2 (H3C)2N SO2Me SO2NH2 H2NO2S CONH2 H2NOC
    SMe MeS SCH3 H3CS CHF2 F2HC CH2OH HOH2C CCl3 Cl3C SO3H HO3S OAc AcO NHAc AcHN
"""
_WRITTEN = (*COMMON_GROUPS, *_FORMULAS.split())


class Disagreement(Exception):
    """The reading is not the known molecule; the message is the kind of difference."""


@dataclass(frozen=True)
class Settled:
    """A graph that gives the known molecule.

    Attributes:
        graph: places as they were read.
        smiles: canonical, of the graph. A double bond that the known molecule leaves open is as it
            is drawn, and so it stands here.
        correction: what was changed.
    """

    graph: MolGraph
    smiles: str
    correction: Correction


def settled(reading: Assembly, known: str) -> Settled:
    """The reading as the known molecule has it.

    Args:
        reading: of the image.
        known: canonical SMILES.

    Raises:
        Disagreement: no small change gives the known molecule.
    """
    flat = canonical_smiles(known, stereo=False)
    closest = reading.smiles
    for correction, graph in itertools.islice(_constitutions(reading, known), _MOST_TESTS):
        found, problems = graph_to_smiles(graph)
        if found is None or problems or canonical_smiles(found, stereo=False) != flat:
            continue
        if _agree(found, known):
            return Settled(graph, found, correction)
        closest = found
        if _centres(Chem.MolFromSmiles(found)) > _centres(Chem.MolFromSmiles(known)):
            continue  # a table that leaves a centre open does not unmake the wedge that is drawn
        stereo = _stereoisomer(reading, graph, known)
        if stereo is not None:
            return Settled(*stereo, "stereo" if correction == "as read" else correction)
    raise Disagreement(_difference(reading, closest, known))


# ---- the constitution ----


def _constitutions(reading: Assembly, known: str) -> Iterator[tuple[Correction, MolGraph]]:
    """The graph as it was read, then with one label or one bond changed, the likeliest first."""
    graph = reading.graph
    yield "as read", graph
    if "*" not in known and any(atom.label == "*" for atom in graph.atoms):
        yield from (("label", filled) for filled in _filled(reading))
        return
    changes: list[tuple[float, Correction, MolGraph]] = []
    for index, atom in enumerate(graph.atoms):
        for text, cost in _labels(reading, index):
            if text != atom.text:
                changes.append((cost, "label", _relabelled(graph, index, text)))
    for index, bond in enumerate(graph.bonds):
        for other, cost in _bonds(reading, index):
            if _valence(other) != _valence(bond):
                changes.append((cost, "bond", _rebound(graph, index, other)))
    for _, correction, changed in sorted(changes, key=lambda change: change[0]):
        yield correction, changed


def _filled(reading: Assembly) -> Iterator[MolGraph]:
    """Every label that could not be read in the ways that it was spelt, or nearly spelt."""
    graph = reading.graph
    unknown = [n for n, atom in enumerate(graph.atoms) if atom.label == "*"]
    ways = [[text for text, _ in _labels(reading, n) if text != "[*]"] for n in unknown]
    for texts in itertools.product(*ways):
        filled = graph
        for index, text in zip(unknown, texts, strict=True):
            filled = _relabelled(filled, index, text)
        yield filled


def _labels(reading: Assembly, index: int) -> list[tuple[str, float]]:
    """Labels that an atom may have, and what each costs: the surest spelling first."""
    if not reading.atom_options:
        return []
    costs: dict[str, float] = {}
    for text, probability in reading.atom_options[index].items():
        if probability < _LEAST or text == "*":
            continue
        cost = -math.log(probability)
        costs[text] = min(cost, costs.get(text, math.inf))
        if text.startswith("["):
            for near in _WRITTEN:
                if _one_letter_apart(near, text[1:-1]):
                    costs.setdefault(f"[{near}]", cost + 3)
    return sorted(costs.items(), key=lambda item: item[1])


def _one_letter_apart(first: str, second: str) -> bool:
    """True where one letter is another, missing or too many."""
    if len(first) > len(second):
        first, second = second, first
    if len(second) - len(first) > 1 or first == second:
        return False
    same = next(
        (n for n, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), len(first)
    )
    return first[same + (len(first) == len(second)) :] == second[same + 1 :]


def _relabelled(graph: MolGraph, index: int, text: str) -> MolGraph:
    atoms = list(graph.atoms)
    atoms[index] = Atom.from_text(text, atoms[index].x, atoms[index].y)
    return replace(graph, atoms=tuple(atoms))


def _bonds(reading: Assembly, index: int) -> list[tuple[Bond, float]]:
    """Bonds that may stand where one was read, and what each costs."""
    if not reading.bond_options:
        return []
    options = reading.bond_options[index].items()
    return [(bond, -math.log(p)) for bond, p in options if bond is not None and p >= _LEAST]


def _valence(bond: Bond) -> int:
    if bond.order in _FLAT:
        return 1
    return 2 if bond.order == BondOrder.CROSSED_DOUBLE else int(bond.order)


def _rebound(graph: MolGraph, index: int, bond: Bond) -> MolGraph:
    return replace(graph, bonds=(*graph.bonds[:index], bond, *graph.bonds[index + 1 :]))


# ---- stereo ----


def _stereoisomer(reading: Assembly, graph: MolGraph, known: str) -> tuple[MolGraph, str] | None:
    """The graph with one or two wedges changed so that it gives the known molecule."""
    changes = sorted(
        (
            (cost, index, bond)
            for index, chosen in enumerate(graph.bonds)
            for bond, cost in _bonds(reading, index)
            if bond != chosen and bond.order in _FLAT and chosen.order in _FLAT
        ),
        key=lambda change: change[0],
    )
    for chosen_changes in itertools.islice(_cheapest_sets(changes), _MOST_TESTS):
        changed = graph
        for _, index, bond in chosen_changes:
            changed = _rebound(changed, index, bond)
        found, problems = graph_to_smiles(changed)
        if found and not problems and _agree(found, known):
            return changed, found
    return None


def _cheapest_sets(
    changes: list[tuple[float, int, Bond]],
) -> Iterable[tuple[tuple[float, int, Bond], ...]]:
    """Sets of changes of different bonds: of one, then of two."""
    for size in range(1, _MOST_STEREO + 1):
        sets = (s for s in itertools.combinations(changes, size)
                if len({index for _, index, _ in s}) == size)  # fmt: skip
        yield from sorted(sets, key=lambda s: sum(cost for cost, _, _ in s))


def _agree(found: str, known: str) -> bool:
    """The same molecule; double bonds that the known one leaves open may be drawn either way."""
    if found == known:
        return True
    drawn, meant = Chem.MolFromSmiles(found), Chem.MolFromSmiles(known)
    return _says_all_of(drawn, meant) and _centres(drawn) == _centres(meant)


def _says_all_of(more: Chem.Mol, less: Chem.Mol) -> bool:
    """True where all stereo of the second is that of the first; for equal constitutions."""
    return bool(more.HasSubstructMatch(less, useChirality=True))


def _centres(mol: Chem.Mol) -> int:
    open_ = Chem.ChiralType.CHI_UNSPECIFIED
    return sum(atom.GetChiralTag() != open_ for atom in mol.GetAtoms())


# ---- what is wrong ----


def _difference(reading: Assembly, closest: str | None, known: str) -> str:
    """The kind of a difference, one of a few fixed phrases."""
    if not reading.graph.atoms:
        return "no molecule was seen"
    if closest is None:
        return "no valid molecule was seen"
    if canonical_smiles(closest, stereo=False) == canonical_smiles(known, stereo=False):
        drawn, meant = Chem.MolFromSmiles(closest), Chem.MolFromSmiles(known)
        if _says_all_of(drawn, meant):
            return "the drawing shows stereo that the SMILES leaves open"
        if _says_all_of(meant, drawn):
            return "the SMILES has stereo that the drawing does not show"
        return "another stereoisomer was read"
    if "*" in closest and "*" not in known:
        return "a label could not be read"
    kinds = error_kinds(known, closest)
    return f"another molecule was read: {ERROR_KINDS[kinds[0]]}"
