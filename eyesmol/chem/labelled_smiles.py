"""SMILES as other tools and tables write them: with labels in place of atoms, CXSMILES among them.

MolScribe, DECIMER and the public benchmarks write `[R1]`, `[X]`, `[OMe]` where SMILES knows only
elements; CXSMILES writes `*` and puts what stands there behind (`*C |$_R1;$|`). One rule for golds
and predictions, however a label is written:

- an R group with a number is that dummy atom: `[R1]`, `[1*]`, `[*:1]` and `*` labelled `_R1` or
  `R1` are all `[1*]`
- an abbreviation that EyesMol can read is its atoms, as in a graph: what is written first has the
  neighbour that stands first. The labels of a CXSMILES have no such order, unless it has
  coordinates; one that reads differently from its other end is `*` there
- every other label (`[Ra]`, `[X]`, `_AP1`, `A_e`) and `*` without any is `*`, as in MolScribe's
  evaluation

Texts that are an element and a label both (Ar, U, Y, Rb) are what
`eyesmol.chem.abbreviations.is_label` says. Map numbers of elements say nothing of the molecule and
go; enhanced stereo, repeat units and variable attachment of a CXSMILES are left out of the score.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

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
# The SMILES, where a label may hold blanks, and the extension of a CXSMILES; a name may follow.
_PARTS = re.compile(r"((?:\[[^\]]*\]|\S)+)(?:\s+(\|[^|]*\|))?")
_MAP_NUMBER = re.compile(r":\d+\]")
# How CXSMILES marks what a label is: an R group, an attachment point, a query or a pseudo-atom.
_CX_R_GROUP = re.compile(r"_(R\d+)")
_CX_POINT = re.compile(r"_AP\d+")
_CX_KIND = re.compile(r"_[ep]$")


class _Label(NamedTuple):
    """A label and whether its neighbours stand in the order in which it is written."""

    text: str
    is_ordered: bool


def plain_smiles(text: str) -> str:
    """The text with its labels replaced; text without any, and what is no SMILES, as it is.

    Total: the result may be no SMILES, which canonicalisation then finds.
    """
    parts = _PARTS.match(text)
    if parts is None or text.startswith(('["', "['")):  # a list is no label
        return text
    smiles, extension = parts[1], parts[2]
    labels: list[_Label] = []

    def replaced(match: re.Match[str]) -> str:
        both = is_element(match[1]) and is_label(Atom(match[1]), 1)
        if _is_atom(match[0]) and not both:
            return match[0]
        if r_group := _R_GROUP.fullmatch(match[1]):
            return f"[{r_group[1] or r_group[2]}*]"
        labels.append(_Label(match[1], True))
        return f"[*:{_FIRST_MARK + len(labels) - 1}]"

    marked = _TOKEN.sub(replaced, smiles)
    if not (labels or extension or _MAP_NUMBER.search(marked)):
        return marked
    mol = _parsed(f"{marked} {extension or ''}")
    if mol is None:
        return text
    _mark_labels(mol, labels)
    return str(Chem.MolToSmiles(_expanded(mol, labels)))


def _parsed(text: str) -> Chem.Mol | None:
    params = Chem.SmilesParserParams()
    for name in ("sanitize", "removeHs", "strictCXSMILES"):
        setattr(params, name, False)
    with rdBase.BlockLogs():
        return Chem.MolFromSmiles(text, params)


def _is_atom(token: str) -> bool:
    with rdBase.BlockLogs():
        return Chem.AtomFromSmiles(token) is not None


def _mark_labels(mol: Chem.Mol, labels: list[_Label]) -> None:
    """Mark the dummies that an extension labels, number the R groups, drop other map numbers."""
    for atom in mol.GetAtoms():
        number = atom.GetAtomMapNum()
        if number >= _FIRST_MARK:
            continue
        atom.SetAtomMapNum(0)
        if atom.GetAtomicNum():
            continue
        text = atom.GetProp("atomLabel") if atom.HasProp("atomLabel") else ""
        text = _CX_KIND.sub("", _CX_R_GROUP.sub(r"\1", _CX_POINT.sub("", text))).strip()
        r_group = _R_GROUP.fullmatch(text)
        if r_group or not text:
            named = r_group and (r_group[1] or r_group[2])
            atom.SetIsotope(int(named or 0) or atom.GetIsotope() or number)
        else:
            labels.append(_Label(text, mol.GetNumConformers() > 0))
            atom.SetAtomMapNum(_FIRST_MARK + len(labels) - 1)


def _expanded(mol: Chem.Mol, labels: list[_Label]) -> Chem.Mol:
    """Marked dummies replaced by the atoms of their labels, or left as `*`."""
    grown = Chem.RWMol(mol)
    for atom in mol.GetAtoms():
        mark = atom.GetAtomMapNum() - _FIRST_MARK
        if atom.GetAtomicNum() or not 0 <= mark < len(labels):
            continue
        label = labels[mark]
        grown.GetAtomWithIdx(atom.GetIdx()).SetAtomMapNum(0)
        others = _neighbours(atom)
        if not is_label(Atom(label.text), len(others)):
            grown.ReplaceAtom(atom.GetIdx(), Chem.Atom(label.text))
            continue
        fragment = _fragment(label, [order for order, _ in others])
        if fragment is not None:
            _put(grown, atom.GetIdx(), fragment, [other for _, other in others])
    grown.RemoveAllConformers()
    return grown.GetMol()


def _neighbours(atom: Chem.Atom) -> list[tuple[int, int]]:
    """Bond orders and neighbours of a label, from the left: as drawn, or else as written."""
    mol, here = atom.GetOwningMol(), atom.GetIdx()
    found = [(int(b.GetBondTypeAsDouble()), b.GetOtherAtomIdx(here)) for b in atom.GetBonds()]
    found.sort(key=lambda item: item[1])
    if mol.GetNumConformers():
        places = mol.GetConformer()
        found.sort(key=lambda item: places.GetAtomPosition(item[1]).x)
    return found


def _fragment(label: _Label, orders: Sequence[int]) -> Fragment | None:
    """What a label stands for; None where that cannot be known."""
    fragment = read_label(label.text, orders)
    if fragment is None or label.is_ordered or len(orders) < 2:
        return fragment
    turned = read_label(label.text, orders[::-1])
    if turned is None or _between(fragment) != _between(Fragment(turned.mol, turned.sites[::-1])):
        return None
    return fragment


def _between(fragment: Fragment) -> str:
    """A fragment with its neighbours numbered, as canonical SMILES."""
    mol = Chem.RWMol(fragment.mol)
    for number, site in enumerate(fragment.sites, start=1):
        neighbour = Chem.Atom(0)
        neighbour.SetIsotope(number)
        mol.AddBond(site, mol.AddAtom(neighbour), Chem.BondType.SINGLE)
    return str(Chem.MolToSmiles(mol))


def _put(mol: Chem.RWMol, index: int, fragment: Fragment, neighbours: list[int]) -> None:
    """A fragment in the place of one atom, which becomes the site of its first neighbour."""
    part, sites = fragment.mol, fragment.sites or (0,)
    number = {sites[0]: index}
    mol.ReplaceAtom(index, part.GetAtomWithIdx(sites[0]), preserveProps=False)
    for atom in part.GetAtoms():
        if atom.GetIdx() != sites[0]:
            number[atom.GetIdx()] = mol.AddAtom(atom)
    for bond in part.GetBonds():
        ends = (number[bond.GetBeginAtomIdx()], number[bond.GetEndAtomIdx()])
        mol.AddBond(*ends, bond.GetBondType())
    for neighbour, site in zip(neighbours, sites, strict=False):
        if site != sites[0]:
            _rebind(mol, neighbour, index, number[site])


def _rebind(mol: Chem.RWMol, atom: int, old: int, new: int) -> None:
    """A bond led to another atom, the stereo of its other end as it was."""
    bond = mol.GetBondBetweenAtoms(atom, old)
    order, direction, begins = bond.GetBondType(), bond.GetBondDir(), bond.GetBeginAtomIdx() == atom
    before = _around(mol, atom)
    mol.RemoveBond(atom, old)
    mol.AddBond(*((atom, new) if begins else (new, atom)), order)
    mol.GetBondBetweenAtoms(atom, new).SetBondDir(direction)
    # Chirality is told by the order of the bonds, and the new one is the last.
    if (len(before) - 1 - before.index(old)) % 2:
        mol.GetAtomWithIdx(atom).InvertChirality()


def _around(mol: Chem.Mol, atom: int) -> list[int]:
    return [bond.GetOtherAtomIdx(atom) for bond in mol.GetAtomWithIdx(atom).GetBonds()]
