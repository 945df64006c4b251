"""Small repairs of a graph that RDKit refuses: a charge that was forgotten, a bond too many.

A repair is tried only where neither opinion of an answer is a sane molecule, or where it makes the
graph what the model wrote as SMILES; the recognition says that it is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rdkit import Chem, rdBase

from eyesmol.chem.expansion import expand_abbreviations
from eyesmol.chem.graph import Bond, BondOrder, MolGraph
from eyesmol.chem.molfile import block_to_mol, graph_to_molblock

__all__ = ["repaired", "valence_problems"]

_MOST_REPAIRS = 4
# A neutral atom with one bond more than it can have is drawn with a charge that is easily missed.
_CHARGE = {"N": 1, "O": 1, "S": 1, "P": 1, "B": -1}
_LOWER = {
    BondOrder.DOUBLE: BondOrder.SINGLE,
    BondOrder.CROSSED_DOUBLE: BondOrder.SINGLE,
    BondOrder.TRIPLE: BondOrder.DOUBLE,
    BondOrder.AROMATIC: BondOrder.SINGLE,
}


def valence_problems(graph: MolGraph) -> dict[int, str]:
    """What RDKit says about each atom with an impossible valence.

    Keys are atoms of the graph with its abbreviations expanded; the drawn atoms keep their numbers.
    """
    expanded, _ = expand_abbreviations(graph)
    try:
        mol = block_to_mol(graph_to_molblock(expanded), sanitize=False, source="graph")
    except ValueError:
        return {}
    with rdBase.BlockLogs():
        found = Chem.DetectChemistryProblems(mol)
    return {
        problem.GetAtomIdx(): problem.Message()
        for problem in found
        if problem.GetType() == "AtomValenceException"
    }


def repaired(graph: MolGraph, bonds: Sequence[float] = ()) -> MolGraph | None:
    """The graph with its valences mended; None where a few small repairs do not suffice.

    Args:
        graph: as listed.
        bonds: confidence of each bond; the least certain one of an atom is lowered first.
    """
    for _ in range(_MOST_REPAIRS):
        wrong = [atom for atom in valence_problems(graph) if atom < len(graph.atoms)]
        if not wrong:
            return graph
        mended = _charged(graph, wrong[0]) or _lowered(graph, wrong[0], bonds)
        if mended is None:
            return None
        graph = mended
    return None if valence_problems(graph) else graph


def _charged(graph: MolGraph, index: int) -> MolGraph | None:
    atom = graph.atoms[index]
    if atom.charge or atom.label not in _CHARGE:
        return None
    atoms = list(graph.atoms)
    atoms[index] = replace(atom, charge=_CHARGE[atom.label])
    mended = replace(graph, atoms=tuple(atoms))
    return None if index in valence_problems(mended) else mended


def _lowered(graph: MolGraph, index: int, confidence: Sequence[float]) -> MolGraph | None:
    """The least certain multiple bond of an atom made one lower."""
    bonds = [
        place
        for place, bond in enumerate(graph.bonds)
        if index in (bond.begin, bond.end) and bond.order in _LOWER
    ]
    if not bonds:
        return None
    place = min(bonds, key=lambda n: confidence[n] if n < len(confidence) else 1.0)
    bond = graph.bonds[place]
    lower = Bond(bond.begin, bond.end, _LOWER[bond.order])
    return replace(graph, bonds=(*graph.bonds[:place], lower, *graph.bonds[place + 1 :]))
