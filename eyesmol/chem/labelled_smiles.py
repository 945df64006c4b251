"""SMILES as other tools and tables write them: with labels in place of atoms.

MolScribe, DECIMER and the public benchmarks write `[R1]`, `[X]`, `[OMe]` where SMILES knows only
elements. One rule for all: an R group with a number is that dummy atom (`[R1]`, `[1*]`), an
abbreviation that EyesMol can read is its atoms, as in a graph, and every other label (`[Ra]`,
`[X]`) is `*`, as in MolScribe's evaluation. Texts that are an element and a label both (Ar, U, Y,
Rb) are what `eyesmol.chem.abbreviations.is_label` says.
"""

from __future__ import annotations

import re

from rdkit import Chem, rdBase

from eyesmol.chem.abbreviations import is_label
from eyesmol.chem.condensed_parts import Fragment
from eyesmol.chem.expansion import read_label
from eyesmol.chem.graph import Atom, is_element

__all__ = ["plain_smiles"]

_TOKEN = re.compile(r"\[((?:[^\[\]]|\[[^\[\]]*\])*)\]")  # brackets may stand inside: [[B1]p]
_R_GROUP = re.compile(r"(\d{0,2})R[ _-]?(\d{0,2})['\"a-z]?")
# Stands for a label while RDKit reads the rest: no SMILES of a tool has so high a map number.
_FIRST_MARK = 9000


def plain_smiles(text: str) -> str:
    """The text with its labels replaced; text without any, and what is no SMILES, as it is.

    Total: the result may be no SMILES, which canonicalisation then finds.
    """
    labels: list[str] = []

    def replaced(match: re.Match[str]) -> str:
        both = is_element(match[1]) and is_label(Atom(match[1]), 1)
        if _is_atom(match[0]) and not both:
            return match[0]
        r_group = _R_GROUP.fullmatch(match[1])
        if r_group:
            return f"[{r_group[1] or r_group[2]}*]"
        labels.append(match[1])
        return f"[*:{_FIRST_MARK + len(labels) - 1}]"

    marked = _TOKEN.sub(replaced, text)
    if not labels:
        return marked
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(marked, sanitize=False)
    if mol is None:
        return text
    return str(Chem.MolToSmiles(_expanded(mol, labels)))


def _is_atom(token: str) -> bool:
    with rdBase.BlockLogs():
        return Chem.AtomFromSmiles(token) is not None


def _expanded(mol: Chem.Mol, labels: list[str]) -> Chem.Mol:
    """Marked dummies replaced by the atoms of their labels, or left as `*`."""
    grown = Chem.RWMol(mol)
    for atom in mol.GetAtoms():
        number = atom.GetAtomMapNum() - _FIRST_MARK
        if atom.GetAtomicNum() or not 0 <= number < len(labels):
            continue
        label = labels[number]
        grown.GetAtomWithIdx(atom.GetIdx()).SetAtomMapNum(0)
        bonds = list(atom.GetBonds())
        if not is_label(Atom(label), len(bonds)):
            grown.ReplaceAtom(atom.GetIdx(), Chem.Atom(label))
            continue
        # What stands first in the SMILES is on the left, as it is in the text.
        bonds.sort(key=lambda bond: bond.GetOtherAtomIdx(atom.GetIdx()))
        fragment = read_label(label, [int(bond.GetBondTypeAsDouble()) for bond in bonds])
        if fragment is not None:
            others = [bond.GetOtherAtomIdx(atom.GetIdx()) for bond in bonds]
            _put(grown, atom.GetIdx(), fragment, others)
    return grown.GetMol()


def _put(mol: Chem.RWMol, index: int, fragment: Fragment, neighbours: list[int]) -> None:
    """A fragment in the place of one atom, which becomes the site of its first neighbour.

    The atom keeps its bonds, so that the stereo of its neighbours stays what it was. Where the
    fragment's ends are different atoms, a bond has to be made anew, and a stereocentre at its other
    end would turn over: such a label stays `*`.
    """
    part, sites = fragment.mol, fragment.sites or (0,)
    moved = [(n, site) for n, site in zip(neighbours, sites, strict=False) if site != sites[0]]
    if any(mol.GetAtomWithIdx(n).GetChiralTag() for n, _ in moved):
        return
    number = {sites[0]: index}
    mol.ReplaceAtom(index, part.GetAtomWithIdx(sites[0]), preserveProps=False)
    for atom in part.GetAtoms():
        if atom.GetIdx() != sites[0]:
            number[atom.GetIdx()] = mol.AddAtom(atom)
    for bond in part.GetBonds():
        ends = (number[bond.GetBeginAtomIdx()], number[bond.GetEndAtomIdx()])
        mol.AddBond(*ends, bond.GetBondType())
    for neighbour, site in moved:
        order = mol.GetBondBetweenAtoms(index, neighbour).GetBondType()
        mol.RemoveBond(index, neighbour)
        mol.AddBond(number[site], neighbour, order)
