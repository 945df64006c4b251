"""Substituents collapsed into one labelled atom: OMe, CO2Et, NHBoc, Ph, written as chemists do.

No second table of chemistry stands here. A label's meaning is what the house's own reader of labels
(`eyesmol.chem.expansion`) makes of it; this file only lists which labels people draw, in both
writing directions, and finds the substituents that they stand for. A whole side of a bond is
compared, by its SMILES, and not a pattern matched: the SMARTS of Et is found in every longer chain
too.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import lru_cache

from rdkit import Chem, rdBase

from eyesmol.chem.expansion import read_label
from eyesmol.chem.group_table import COMMON_GROUPS

__all__ = ["BACKWARD", "FORWARD", "collapsed"]

# Properties of a collapsed atom: its label where the neighbour stands left, and where it stands
# right, so that the letter that is bonded is next to the bond (OMe, MeO).
FORWARD, BACKWARD = "_labelForward", "_labelBackward"

# An element with its hydrogens (OH, NH2) is no abbreviation in this house: its label is O, N.
_FORMULAS = """
OCH3 H3CO, OC2H5 C2H5O, OCF3 F3CO, OCHF2 F2HCO, OCH2CF3 F3CCH2O, OCH2Ph PhH2CO, ONO2 O2NO,
CF3 F3C, CHF2 F2HC, CH2F FH2C, CCl3 Cl3C, C2H5 C2H5, C2F5 F5C2, C6H5 C6H5,
CH2OH HOH2C, CH2NH2 H2NH2C, CH2Cl ClH2C, CH2Br BrH2C, CH2CN NCH2C, CH2CO2H HO2CH2C,
CO2H HO2C, COOH HOOC, CHO OHC, CN NC, COCl ClOC, COCH3 H3COC, COCF3 F3COC,
COOCH3 H3COOC, COOMe MeOOC, COOEt EtOOC, CO2CH3 H3CO2C, CO2CF3 F3CO2C,
CONH2 H2NOC, CONHMe MeHNOC, CONMe2 Me2NOC, CONHOH HOHNOC,
NO2 O2N, NO ON, NHMe MeHN, NHCH3 H3CHN, NMe2 Me2N, N(CH3)2 (H3C)2N, NEt2 Et2N,
NHOH HOHN, NHNH2 H2NHN, NHCOCH3 H3COCHN, NHCOMe MeOCHN, NHSO2Me MeO2SHN, NHCF3 F3CHN,
NCO OCN, NCS SCN, N3 N3, NBn2 Bn2N, NHCO2Me MeO2CHN, NHCONH2 H2NOCHN, N(Boc)2 (Boc)2N,
SCH3 H3CS, SCF3 F3CS, SO2CH3 H3CO2S, SO2CF3 F3CO2S, SO2NH2 H2NO2S, SO3H HO3S, SO2Cl ClO2S,
SO2NMe2 Me2NO2S, SO2F FO2S, PO3H2 H2O3P, P(O)(OH)2 (HO)2(O)P, PPh2 Ph2P, B(OH)2 (HO)2B,
SiMe3 Me3Si, OSiMe3 Me3SiO, CPh3 Ph3C, C(CH3)3 (H3C)3C, CH(CH3)2 (H3C)2HC, SF5 F5S
"""
# What ties a group to the rest, written forward and backward, and the groups that people tie so.
_ALKYL = "Me Et Pr iPr i-Pr nBu n-Bu tBu t-Bu iBu Cy cPr Ph Bn"
_TIES = {
    ("O", "O"): f"{_ALKYL} PMB MOM MEM SEM BOM THP Tr Trt TMS TES TBS TBDMS TIPS TBDPS Ac Bz Piv "
    "Boc Ms Ts Tf Ns PMP",
    ("S", "S"): "Me Et tBu Ph Bn Tr Trt Ac Tol",
    ("NH", "HN"): f"{_ALKYL} PMB Tr Ac Bz Boc Cbz Fmoc Alloc Troc Ms Ts Tf Ns PMP",
    ("CO2", "O2C"): f"{_ALKYL} PMB",
    ("CO", "OC"): "Me Et iPr tBu cPr Cy Ph",
    ("SO2", "O2S"): "Me Et iPr tBu cPr Ph Tol",
}
# Names that few would draw as a label of their own; PO3H2 is among the formulas, both ways.
_NOT_DRAWN = {"D", "T", "N2+", "PO3H2", "H2O3P"}
_LARGEST = 24  # atoms of the largest group that has a name (DMTr)
_MUST_STAY = 3  # atoms that stay drawn: a molecule of labels alone teaches no bonds


def collapsed(mol: Chem.Mol, share: float, rng: random.Random, *, hyphens: bool = True) -> Chem.Mol:
    """A copy in which some substituents are one dummy atom, with the two texts as its properties.

    The dummy keeps the place, the bond and so the stereo of the atom that it replaces. Its isotope
    is a number for each kind of group, so that RDKit can tell two groups at a stereocentre apart.

    Args:
        mol: sanitised.
        share: of the substituents that have a label, larger ones asked first.
        rng: chooses which, and how each is written.
        hyphens: labels such as t-Bu may be used.
    """
    found = [group for group in _substituents(mol) if rng.random() < share]
    edited = Chem.RWMol(mol)
    drawn, taken, gone = mol.GetNumAtoms(), set[int](), set[int]()
    kinds: dict[str, int] = {}
    labels, _ = _table()
    for key, anchor, members in sorted(found, key=lambda group: -len(group[2])):
        if taken & members or drawn - len(members) < _MUST_STAY:
            continue
        texts = [t for t in labels[key] if hyphens or "-" not in t[0]]
        if not texts:
            continue
        forward, backward = rng.choice(texts)
        drawn -= len(members)
        taken |= members
        gone |= members - {anchor}
        dummy = Chem.Atom(0)
        dummy.SetIsotope(200 + kinds.setdefault(key, len(kinds)))  # no R group has such a number
        dummy.SetProp(FORWARD, forward)
        dummy.SetProp(BACKWARD, backward)
        edited.ReplaceAtom(anchor, dummy)
    edited.BeginBatchEdit()
    for index in gone:
        edited.RemoveAtom(index)
    edited.CommitBatchEdit()
    result = edited.GetMol()
    Chem.SanitizeMol(result)
    return result


def _substituents(mol: Chem.Mol) -> Iterator[tuple[str, int, frozenset[int]]]:
    """Each side of a bond that has a label: its key, the atom that is bonded, all its atoms."""
    labels, compositions = _table()
    for bond in mol.GetBonds():
        if bond.IsInRing() or bond.GetBondType() != Chem.BondType.SINGLE:
            continue
        ends = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        for anchor, outside in (ends, ends[::-1]):
            members = _side(mol, anchor, outside)
            if members is None or not _is_plain(mol, members):
                continue
            if _composition(mol, members) in compositions:
                key = _key(mol, anchor, members)
                if key in labels:
                    yield key, anchor, members


def _side(mol: Chem.Mol, anchor: int, outside: int) -> frozenset[int] | None:
    """The atoms on one side of a bond; None where they are too many."""
    members, waiting = {anchor}, [anchor]
    while waiting:
        for neighbour in mol.GetAtomWithIdx(waiting.pop()).GetNeighbors():
            index = neighbour.GetIdx()
            if index not in members and index != outside:
                members.add(index)
                waiting.append(index)
        if len(members) > _LARGEST:
            return None
    return frozenset(members)


def _is_plain(mol: Chem.Mol, members: frozenset[int]) -> bool:
    """Nothing that a label would hide: stereo, isotopes, R groups."""
    atoms = [mol.GetAtomWithIdx(index) for index in members]
    return all(
        atom.GetAtomicNum()
        and not atom.GetIsotope()
        and atom.GetChiralTag() == Chem.ChiralType.CHI_UNSPECIFIED
        and all(bond.GetStereo() <= Chem.BondStereo.STEREOANY for bond in atom.GetBonds())
        for atom in atoms
    )


_Composition = frozenset[tuple[int, int]]


def _composition(mol: Chem.Mol, members: frozenset[int]) -> _Composition:
    counted = Counter(mol.GetAtomWithIdx(index).GetAtomicNum() for index in members)
    return frozenset(counted.items())


def _key(mol: Chem.Mol, anchor: int, members: frozenset[int]) -> str:
    """A canonical text of a side, in which the atom that is bonded is marked."""
    symbols = [_symbol(atom) for atom in mol.GetAtoms()]
    symbols[anchor] += "<"
    return str(Chem.MolFragmentToSmiles(mol, list(members), atomSymbols=symbols))


def _symbol(atom: Chem.Atom) -> str:
    symbol = atom.GetSymbol().lower() if atom.GetIsAromatic() else atom.GetSymbol()
    hydrogen = "H" if atom.GetIsAromatic() and atom.GetTotalNumHs() and symbol != "c" else ""
    return f"{symbol}{hydrogen}{atom.GetFormalCharge() or ''}"


@lru_cache(maxsize=1)
def _table() -> tuple[dict[str, list[tuple[str, str]]], set[_Composition]]:
    """Substituents -> their labels (forward, backward), and the elements of all of them.

    The elements are a cheap question that spares most substituents their key.
    """
    table: dict[str, list[tuple[str, str]]] = defaultdict(list)
    compositions: set[_Composition] = set()
    for forward, backward in dict.fromkeys(_drawn_labels()):
        meaning = _meaning(forward, from_right=False)
        # A text that reads otherwise from its other end would teach the wrong molecule.
        if meaning is not None and meaning == _meaning(backward, from_right=True):
            key, composition = meaning
            table[key].append((forward, backward))
            compositions.add(composition)
    return dict(table), compositions


def _drawn_labels() -> Iterator[tuple[str, str]]:
    for pair in _FORMULAS.replace("\n", " ").split(","):
        forward, backward = pair.split()
        yield forward, backward
    for name in COMMON_GROUPS:
        if name not in _NOT_DRAWN:
            yield name, name
    for (tie, reverse), names in _TIES.items():
        for name in names.split():
            yield f"{tie}{name}", f"{name}{reverse}"


def _meaning(label: str, *, from_right: bool) -> tuple[str, _Composition] | None:
    fragment = read_label(label, [1], from_right=from_right)
    if fragment is None:
        return None
    mol = Chem.RWMol(fragment.mol)
    outside = mol.AddAtom(Chem.Atom(0))
    (anchor,) = fragment.sites
    mol.AddBond(anchor, outside, Chem.BondType.SINGLE)
    with rdBase.BlockLogs():
        Chem.SanitizeMol(mol)
    members = frozenset(range(mol.GetNumAtoms())) - {outside}
    return _key(mol, anchor, members), _composition(mol, members)
