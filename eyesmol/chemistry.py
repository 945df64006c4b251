"""From a drawn graph to chemistry: abbreviations expanded, canonical SMILES, and back to a graph.

SMILES and molblock of a graph always describe the same molecule: the one is made from the other.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

from rdkit import Chem, rdBase
from rdkit.Chem import rdDepictor

from eyesmol.abbreviations import fragment_smiles
from eyesmol.graph import Atom, Bond, MolGraph
from eyesmol.molfile import block_to_mol, graph_to_molblock, mol_to_graph

__all__ = [
    "canonical_smiles",
    "expand_abbreviations",
    "graph_from_smiles",
    "graph_to_smiles",
    "molblock_to_smiles",
]


def canonical_smiles(smiles: str, *, stereo: bool = True) -> str | None:
    """RDKit's canonical SMILES, or None where the text is no SMILES of a sane molecule.

    Without `stereo`, only tetrahedral and double-bond stereo goes; isotopes and R groups stay.
    """
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles) if smiles else None
    if mol is None:
        return None
    if not stereo:
        # Not isomericSmiles=False, which also drops isotopes and the numbers of R groups.
        Chem.RemoveStereochemistry(mol)
    return str(Chem.MolToSmiles(mol))


def molblock_to_smiles(block: str, *, source: str = "molblock") -> str:
    """Canonical SMILES of a molfile as RDKit reads it, the hidden atoms of abbreviations included.

    Raises:
        MolfileError: RDKit cannot parse or sanitise it.
    """
    return _smiles(block_to_mol(block, sanitize=True, source=source))


def _smiles(mol: Chem.Mol) -> str:
    # Once round: RDKit drops stereo marks that only the parsed SMILES shows to be none.
    smiles = Chem.MolToSmiles(mol)
    return canonical_smiles(smiles) or smiles


def graph_to_smiles(graph: MolGraph) -> tuple[str | None, list[str]]:
    """Canonical SMILES of a graph in picture coordinates, and what stands in its way.

    R groups read as ``[1*]``, labels that do not expand as ``*``; both are still a SMILES, the
    second with a problem. A graph that RDKit refuses (a carbon with five bonds) has no SMILES, and
    the reason is the problem.
    """
    expanded, problems = expand_abbreviations(graph)
    try:
        mol = block_to_mol(graph_to_molblock(expanded), sanitize=True, source="graph")
    except ValueError as error:
        return None, [*problems, str(error)]
    return _smiles(mol), problems


def expand_abbreviations(graph: MolGraph) -> tuple[MolGraph, list[str]]:
    """Every known abbreviation replaced by its atoms; the labels that are not known as problems.

    The attachment atom keeps the place and the bonds of the label (so wedges stay valid); the rest
    of the fragment is laid out behind it, away from the neighbour.
    """
    atoms, bonds = list(graph.atoms), list(graph.bonds)
    neighbours = graph.neighbours()
    length = graph.median_bond_length() or 1.0
    problems: list[str] = []
    for index, atom in enumerate(graph.atoms):
        if atom.is_element or _is_r_group(atom.label):
            continue
        charge_in_label = f"{'+' if atom.charge > 0 else '-'}" if abs(atom.charge) == 1 else ""
        smiles = fragment_smiles(atom.label + charge_in_label)
        if smiles is not None:
            charge = 0
        else:
            smiles, charge = fragment_smiles(atom.label), atom.charge
        if smiles is None:
            problems.append(f"atom {index}: the label {atom.label!r} has no known expansion")
            continue
        fragment_atoms, fragment_bonds = _fragment(smiles)
        angle = _outward_angle(graph, index, neighbours[index])
        turned = [_turn(a, angle, length, atom) for a in fragment_atoms]
        first = replace(turned[0], x=atom.x, y=atom.y, charge=turned[0].charge + charge)
        atoms[index] = first
        places = [index, *range(len(atoms), len(atoms) + len(turned) - 1)]
        atoms.extend(turned[1:])
        bonds.extend(Bond(places[b.begin], places[b.end], b.order) for b in fragment_bonds)
    return MolGraph(tuple(atoms), tuple(bonds)), problems


def _is_r_group(label: str) -> bool:
    return label == "*" or (label[0] == "R" and label[1:].isdigit() and len(label) <= 3)


@lru_cache(maxsize=1024)
def _fragment(smiles: str) -> tuple[tuple[Atom, ...], tuple[Bond, ...]]:
    """Atoms of a fragment, the first at the origin and the rest to its right, bond length 1."""
    mol = Chem.MolFromSmiles(smiles)
    Chem.Kekulize(mol, clearAromaticFlags=True)
    rdDepictor.Compute2DCoords(mol)
    graph = mol_to_graph(mol)
    origin = graph.atoms[0]
    others = graph.atoms[1:]
    mid_x = sum(a.x - origin.x for a in others) / max(len(others), 1)
    mid_y = sum(a.y - origin.y for a in others) / max(len(others), 1)
    turn, unit = -math.atan2(mid_y, mid_x), graph.median_bond_length() or 1.0
    atoms = (_turn(replace(a, x=a.x - origin.x, y=a.y - origin.y), turn, 1 / unit, Atom("*"))
             for a in graph.atoms)  # fmt: skip
    return tuple(atoms), graph.bonds


def _turn(atom: Atom, angle: float, scale: float, origin: Atom) -> Atom:
    cos, sin = math.cos(angle) * scale, math.sin(angle) * scale
    return replace(
        atom,
        x=origin.x + atom.x * cos - atom.y * sin,
        y=origin.y + atom.x * sin + atom.y * cos,
    )


def _outward_angle(graph: MolGraph, index: int, neighbours: list[tuple[int, Bond]]) -> float:
    """The direction that leads away from an atom's neighbours, in radians."""
    here = graph.atoms[index]
    dx = sum(here.x - graph.atoms[other].x for other, _ in neighbours)
    dy = sum(here.y - graph.atoms[other].y for other, _ in neighbours)
    return math.atan2(dy, dx)


def graph_from_smiles(smiles: str) -> MolGraph:
    """A graph with RDKit's layout: places in angstrom with y up, wedges where stereo is known.

    Raises:
        ValueError: RDKit cannot read the SMILES.
    """
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
    if mol is None:
        raise ValueError(f"{smiles!r} is not a SMILES that RDKit can read")
    rdDepictor.Compute2DCoords(mol)
    # The molblock writer kekulises and draws the wedges.
    return mol_to_graph(block_to_mol(Chem.MolToMolBlock(mol), sanitize=False, source=smiles))
