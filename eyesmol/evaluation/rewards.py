"""Rewards for reinforcement learning on pictures: format, graph overlap, SMILES.

Plug-ins of the trainer (``--reward eyesmol.evaluation.rewards:graph``): each takes answers and
references and gives a number from 0 to 1 for each pair. A reference is a true answer, or a SMILES
alone, as it is for hand-drawn pictures whose atoms nobody has placed. They follow GTR-CoT (arXiv
2506.07553).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from zlib import crc32

from rdkit import Chem, rdBase
from rdkit.Chem import rdFMCS

from eyesmol.answer.text import read_answer
from eyesmol.chem.differences import aromatic_bonds, differences
from eyesmol.chem.expansion import expand_abbreviations
from eyesmol.chem.graph import BondOrder, MolGraph, is_element
from eyesmol.chem.smiles import canonical_smiles, graph_from_smiles
from eyesmol.evaluation.metrics import same_smiles, tanimoto

if TYPE_CHECKING:
    from eyesmol.reader.base import Recognizer

__all__ = ["detector_graph", "format", "graph", "smiles"]

_SECONDS = 2  # a search for the common part; then its best so far counts
_NEARLY = 0.5  # of the reward goes to a SMILES that is only like the true one
_ORDERS = {
    BondOrder.DOUBLE: Chem.BondType.DOUBLE,
    BondOrder.CROSSED_DOUBLE: Chem.BondType.DOUBLE,
    BondOrder.TRIPLE: Chem.BondType.TRIPLE,
    BondOrder.AROMATIC: Chem.BondType.AROMATIC,
}


def format(answers: list[str], references: list[str]) -> list[float]:
    """1 for an answer that reads without a problem: atoms, bonds between them, a SMILES last."""
    return [float(not read_answer(answer).problems) for answer in answers]


def smiles(answers: list[str], references: list[str]) -> list[float]:
    """1 for the SMILES of the true molecule, stereo included; half its likeness for another.

    Likeness is the Tanimoto similarity of Morgan fingerprints. The half keeps a stereoisomer, whose
    fingerprint is the same, well below the molecule itself.
    """
    rewards = []
    for answer, reference in zip(answers, references, strict=True):
        read, truth = read_answer(answer).smiles, _truth(reference).smiles
        same = same_smiles(read, truth)
        rewards.append(1.0 if same else _NEARLY * tanimoto(read, truth))
    return rewards


def graph(answers: list[str], references: list[str]) -> list[float]:
    """How much of the listed graph is the true one, by their maximum common substructure.

    ``atoms in common / (atoms of both) + bonds in common / (bonds of both)``: 1 for the same graph,
    and lower for every atom or bond that is missing or too many. Abbreviations count as the atoms
    that they stand for; charges, stereo and the Kekulé form do not count. The common part is
    connected, so of a salt the largest piece counts.
    """
    return [
        overlap(read_answer(answer).graph, _truth(reference).graph)
        for answer, reference in zip(answers, references, strict=True)
    ]


def detector_graph(
    answers: list[str], references: list[str], images: list[list[str]]
) -> list[float | None]:
    """How much of the listed graph is what the detector sees, and where it sees it.

    A weak reference, for images with a SMILES alone: half of it is `overlap`, half the atoms that
    lie where the detector has one of the same label (F1). None, nothing to say, where the reference
    has a graph itself, where the detector's molecule is not that of the reference (stereo left
    aside), and for a prompt that has not just one image.

    Args:
        answers, references: see above.
        images: files of each prompt's images, as the model sees them.
    """
    return [
        None if (seen := _seen(reference, *files) if len(files) == 1 else None) is None
        else _as_seen(read_answer(answer).graph, seen)
        for answer, reference, files in zip(answers, references, images, strict=True)
    ]  # fmt: skip


@lru_cache(maxsize=1024)  # every answer of a group has the same image
def _seen(reference: str, image: str) -> MolGraph | None:
    """The detector's graph of an image, where it is the molecule of a reference without a graph."""
    answer = read_answer(reference)
    if answer.graph.atoms:
        return None
    known = canonical_smiles(answer.smiles or reference.strip(), stereo=False)
    [found] = _detector().recognize(image, pages=False)
    same = found.smiles is not None and canonical_smiles(found.smiles, stereo=False) == known
    return found.graph if same else None


@lru_cache(maxsize=1)
def _detector() -> Recognizer:
    from eyesmol.reader.base import Recognizer
    from eyesmol.reader.embedded import DETECTOR

    return Recognizer.from_pretrained(DETECTOR)


def _as_seen(read: MolGraph, seen: MolGraph) -> float:
    """Half `overlap`, half F1 of the atoms of one label at one place."""
    if not read.atoms:
        return 0.0
    unlike = sum(not d.is_bond and d.first is not None for d in differences(read, seen))
    common = len(read.atoms) - unlike
    return overlap(read, seen) / 2 + common / (len(read.atoms) + len(seen.atoms))


def overlap(read: MolGraph, true: MolGraph) -> float:
    """The reward of `graph` for one pair; 0 where one of the two has no atom."""
    if not read.atoms or not true.atoms:
        return 0.0
    first, second = _skeleton(read), _skeleton(true)
    atoms, bonds = _in_common(first, second)
    all_bonds = first.GetNumBonds() + second.GetNumBonds()
    # two lone atoms have no bond to get wrong
    bond_term = bonds / all_bonds if all_bonds else atoms / 2
    return float(atoms / (first.GetNumAtoms() + second.GetNumAtoms()) + bond_term)


def _in_common(first: Chem.Mol, second: Chem.Mol) -> tuple[int, int]:
    """Atoms and bonds of the maximum common substructure."""
    found = rdFMCS.FindMCS(
        [first, second],
        atomCompare=rdFMCS.AtomCompare.CompareIsotopes,  # the isotope is the label, see below
        bondCompare=rdFMCS.BondCompare.CompareOrder,  # an aromatic bond is like its Kekulé forms
        ringMatchesRingOnly=False,
        timeout=_SECONDS,
    )
    if found.numAtoms:
        return found.numAtoms, found.numBonds
    # RDKit starts from a bond, so it finds no lone atom
    labels = [{atom.GetIsotope() for atom in mol.GetAtoms()} for mol in (first, second)]
    return int(bool(labels[0] & labels[1])), 0


def _skeleton(drawn: MolGraph) -> Chem.Mol:
    """Labels and bonds as a molecule that is compared and never sanitised.

    What a model lists need not be a molecule, so a label becomes the isotope of a dummy atom.
    """
    expanded, _ = expand_abbreviations(drawn)
    mol = Chem.RWMol()
    for atom in expanded.atoms:
        place = Chem.Atom(0)
        place.SetIsotope(_number(atom.label))
        mol.AddAtom(place)
    aromatic = aromatic_bonds(expanded)
    for bond in expanded.bonds:
        order = _ORDERS.get(bond.order, Chem.BondType.SINGLE)
        if frozenset((bond.begin, bond.end)) in aromatic:
            order = Chem.BondType.AROMATIC
        mol.AddBond(bond.begin, bond.end, order)
    mol.UpdatePropertyCache(strict=False)
    Chem.FastFindRings(mol)
    return mol.GetMol()


def _number(label: str) -> int:
    """One number a label, under 2**16: the atomic number, or a checksum."""
    if is_element(label):
        return int(Chem.GetPeriodicTable().GetAtomicNumber(label))
    return 200 + crc32(label.encode()) % 65_000


@dataclass(frozen=True)
class _Truth:
    graph: MolGraph
    smiles: str | None


@lru_cache(maxsize=1024)  # every answer of a group has the same one
def _truth(reference: str) -> _Truth:
    """Graph and SMILES of a reference; raises ValueError where it is neither answer nor SMILES."""
    answer = read_answer(reference)
    if answer.graph.atoms:
        return _Truth(answer.graph, answer.smiles)
    text = answer.smiles or reference.strip()
    with rdBase.BlockLogs():
        return _Truth(graph_from_smiles(text), text)
