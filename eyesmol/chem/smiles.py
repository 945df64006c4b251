"""From a drawn graph to chemistry: abbreviations expanded, canonical SMILES, and back to a graph.

SMILES and molblock of a graph always describe the same molecule: the one is made from the other.
"""

from __future__ import annotations

from functools import lru_cache

from rdkit import Chem, rdBase
from rdkit.Chem import rdDepictor

from eyesmol.chem.expansion import expand_abbreviations
from eyesmol.chem.graph import MolGraph
from eyesmol.chem.molfile import (
    MolfileError,
    block_to_mol,
    check_held_by_smiles,
    graph_to_molblock,
    has_open_labels,
    mol_to_graph,
)

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


def molblock_to_smiles(block: str, *, source: str = "molblock", mol: Chem.Mol | None = None) -> str:
    """Canonical SMILES of a molfile as RDKit reads it, the hidden atoms of abbreviations included.

    Labels with no atoms behind them are the exception. RDKit reads an alias (``X`` on a carbon) as
    carbon and the variable ``Y`` as yttrium; here they are what the file says: expanded where the
    label can be read, else ``*``.

    Args:
        block: the molfile.
        source: its name, for messages.
        mol: the same, parsed without sanitising, where it is at hand: parsing takes the time.

    Raises:
        MolfileError: RDKit cannot parse or sanitise it.
        UnheldError: it says what no SMILES does (query bonds, repeat units).
    """
    mol = mol or block_to_mol(block, sanitize=False, source=source)
    check_held_by_smiles(mol)
    if not has_open_labels(mol):
        return _smiles(block_to_mol(block, sanitize=True, source=source))
    graph = mol_to_graph(mol, collapse=False).transformed(1, 0, 0, flip=True)
    smiles, problems = graph_to_smiles(graph)
    if smiles is None:
        raise MolfileError(f"{source}: {problems[-1]}")
    return smiles


def _smiles(mol: Chem.Mol) -> str:
    return _once_round(Chem.MolToSmiles(mol))


@lru_cache(maxsize=256)  # a drawing and what is read back from it say the same, one after the other
def _once_round(smiles: str) -> str:
    """RDKit drops stereo marks that only the parsed SMILES shows to be none."""
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
