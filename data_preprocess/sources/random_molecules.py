"""Molecules invented on the spot: ring systems, linkers and groups put together at random.

To draw training images without a download, one needs molecules that look like those of patents
without being those of patents. The ring systems are the common ones of drugs (after Taylor,
MacCoss and Lawson, J. Med. Chem. 2014, 57, 5845: a few hundred cover most drugs), with linkers and
end groups as medicinal chemistry uses them; the weights were set so that sizes, rings, elements and
stereo come out near those of 3,994 USPTO molfiles (`benchmarks/random_molecules.py` shows the two
side by side). Nothing but those fractions was taken from them.

Every molecule depends on the seed and its number alone, so any worker can make any of them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from rdkit import Chem, rdBase

__all__ = ["STEREO", "Sizes", "random_molecule", "random_molecules"]

STEREO = 0.30  # fraction of the molecules whose stereo centres are drawn as such, near USPTO's


@dataclass(frozen=True)
class Sizes:
    """How many heavy atoms the molecules have: a normal distribution, cut at both ends.

    The default is that of the USPTO molfiles (5th, 50th, 95th percentile: 13, 31, 47).
    """

    mean: float = 30.5
    spread: float = 10.0
    least: int = 3
    most: int = 60

    def draw(self, rng: random.Random) -> int:
        """One size."""
        while True:
            size = round(rng.gauss(self.mean, self.spread))
            if self.least <= size <= self.most:
                return size


def random_molecules(seed: int = 0, sizes: Sizes | None = None, *, first: int = 0) -> Iterator[str]:
    """Molecules without end, from number `first` on."""
    number = first
    while True:
        yield random_molecule(seed, number, sizes)
        number += 1


def random_molecule(
    seed: int, number: int, sizes: Sizes | None = None, *, stereo: float = STEREO
) -> str:
    """One molecule, as a canonical SMILES; the same arguments give the same one.

    Args:
        seed: of the whole series.
        number: of the molecule in the series.
        sizes: USPTO's by default.
        stereo: fraction of the molecules whose stereo centres are drawn as such.
    """
    rng = random.Random(f"{seed} {number}")
    target = (sizes or Sizes()).draw(rng)
    while True:  # one in a hundred has no valid valence, and is made again
        smiles = _finished(_assembled(target, rng), rng, stereo)
        if smiles is not None:
            return smiles


# SMILES and weight. An atom with a hydrogen is a position where something can be attached.
_RINGS = """
c1ccccc1 420            c1ccncc1 45             c1cncnc1 22             c1cnccn1 8
c1ccnnc1 6              c1ncncn1 4              c1cc[nH]c1 8            c1cn[nH]c1 18
c1c[nH]cn1 16           c1nc[nH]n1 5            c1nnn[nH]1 3            c1ccoc1 10
c1ccsc1 16              c1cocn1 6               c1cscn1 18              c1cnoc1 8
c1nocn1 3               c1nnco1 4               c1nncs1 4               c1ccc2[nH]ccc2c1 18
c1ccc2[nH]cnc2c1 14     c1ccc2[nH]ncc2c1 9      c1ccc2occc2c1 8         c1ccc2sccc2c1 8
c1ccc2ocnc2c1 5         c1ccc2scnc2c1 8         c1ccc2ncccc2c1 16       c1ccc2cnccc2c1 6
c1ccc2ncncc2c1 12       c1ccc2nccnc2c1 5        c1ccc2ccccc2c1 16       c1ccc2c(c1)OCO2 10
c1ccc2c(c1)OCCO2 4      c1ncc2nc[nH]c2n1 10     c1cnc2[nH]ccc2c1 6      c1cnn2ccnc2c1 2
c1ccn2ccnc2c1 4         c1cnc2ccnn2c1 4         c1ccc2c(c1)CCN2 4       c1ccc2c(c1)CCC2 5
c1ccc2c(c1)CCCC2 4      c1ccc2c(c1)CCNC2 5      c1ccc2c(c1)CNC2 2       c1ccc2c(c1)[nH]c1ccccc12 5
c1ccc2c(c1)Cc1ccccc12 3 c1ccc2c(c1)ccc1ccccc12 2 c1ccc2nc3ccccc3cc2c1 2 c1ccc2c(c1)Oc1ccccc1C2 1
C1CCNCC1 45             C1CNCCN1 38             C1COCCN1 24             C1CCNC1 28
C1CCCCC1 34             C1CCCC1 15              C1CC1 16                C1CCC1 4
C1CNC1 5                C1CCOC1 12              C1CCOCC1 10             C1COCO1 3
C1COCCO1 2              C1CSCCN1 2              C1CCSC1 2               C1CCCNCC1 4
C1CCCCCC1 2             C1CNCCNC1 2             O=C1CCCN1 10            O=C1CCCCN1 5
O=C1CNCCN1 3            O=C1NCCN1 3             O=C1CSC(=O)N1 2         O=C1NC(=O)CN1 3
O=C1C=CC(=O)N1 2        O=C1NC(=O)c2ccccc12 4  O=C1Nc2ccccc2C1 4       O=c1cc[nH]cc1 3
O=c1cccc[nH]1 9         O=c1cc[nH]c(=O)[nH]1 7  O=c1[nH]cnc2ccccc12 4   O=c1ccoc2ccccc12 4
O=c1ccc2ccccc2o1 3      O=C1C=CC(=O)C=C1 2      O=C1CCCCC1 3            O=C1CCCC1 2
O=C1CCO1 1              O=C1CCCO1 2             C1=CCCCC1 6             C1=CCCC1 2
C1=CCNCC1 3             C1CC2CCC1C2 3           C1CC2CCC1CC2 2          C1CN2CCC1CC2 3
C1CC2CCC(C1)N2 4        C1C2CC3CC1CC(C2)C3 3    C1CCC2CCCCC2C1 3        C1CCC2NCCCC2C1 1
C1CCC2(CC1)OCCO2 2      C1CC11CCNCC1 1          C1CCC2C(C1)CCC1C2CCC2CCCC12 3
C1CNCC2CC12 1           O=C1CC2SCC=CN12 2       c1ccc2c(c1)C=NCCN2 2    c1ccc2c(c1)Nc1ccccc1S2 2
c1ccc2c(c1)CCc1ccccc1N2 1 c1cnc2sccc2n1 2       c1nc2cncnc2[nH]1 2      c1cc2sccc2s1 1
"""
# Attached by its first atom; what comes next hangs on the last.
_LINKERS = """
C 45        CC 22       CCC 8       CCCC 3      O 45        OC 22       CO 22       N 34
NC 16       CN 14       S 6         SC 4        CS 3        C=C 5       C#C 1       C(=O) 16
C(=O)N 42   NC(=O) 42   C(=O)O 8    OC(=O) 8    C(=O)NC 12  CNC(=O) 10  [SH2](=O)(=O) 8 S(=O)(=O)N 9
NS(=O)(=O) 9 NC(=O)N 7  OC(=O)N 4   NC(=O)O 4   N(C) 6      C(C) 8      C(C)(C) 4   C(O) 4
OCC 10      OCCC 4      OCCO 4      OCCN 4      NCC 7       NCCC 4      CCN 6       CCO 4
C(=O)C 5    CC(=O) 5    CC(=O)N 7   C(F)(F) 1   C=N 2       N=N 1       CON 1       C=NN 1
C=CC(=O) 2  [SH2](=O) 1     C(N)C(=O)N 3 NC(C)C(=O)N 2 CCCCC 2  OCC(O)C 2   C(=O)NCC 4
P(=O)(O)O 0.4
"""
# Attached by its first atom; an end.
_ENDS = """
C 150       F 50        Cl 36       Br 9        I 1         O 80        OC 70       N 34
C#N 1.5     CC 34       C(C)C 18    C(C)(C)C 22 CCC 10      CCCC 6      C(F)(F)F 26 OC(F)(F)F 6
C(=O)O 34   C(=O)N 10   C(=O)OC 16  C(=O)OCC 12 C(=O)OC(C)(C)C 5        C=O 4       C(C)=O 9
[NH+](=O)[O-] 8 N(C)C 14 NC 8        NC(C)=O 8   OCC 12      OC(C)C 4    OC(C)=O 4   CO 12
CN 4        COC 6       CCO 6       CC(=O)O 8   CC(=O)OCC 3 S(C)(=O)=O 6 S(N)(=O)=O 3
NS(C)(=O)=O 3 SC 4      S 1.5       S(=O)(=O)O 2 C=C 3      C#C 0.5     CC=C 3      OCC=C 1
CC(C)C 6    C1CC1 4     OCC1CC1 1   NC(=O)OC(C)(C)C 4 N=[N+]=[N-] 0.6   B(O)O 0.8   P(=O)(O)O 1
[SiH](C)(C)C 1 O[Si](C)(C)C(C)(C)C 1 NC(=O)C(F)(F)F 1 C(N)=N 2           NC(N)=N 1.5 NO 0.6
C(=O)NO 1.5 C(=O)Cl 0.8 OS(C)(=O)=O 1 CCCCC 3   CCCCCC 2    CCCCCCCC 1.2 CCCCCCCCCCCC 0.6
OCCCC 2     OCCOC 3     C=NO 1      C(O)C(F)(F)F 1          c1ccccc1 20 Cc1ccccc1 9 OCc1ccccc1 6
C(=O)c1ccccc1 5         S(=O)(=O)c1ccc(C)cc1 3              Oc1ccccc1 5 C(O)=O 3    CCN(C)C 3
"""
_IONS = ["Cl", "Br", "[Cl-].[Na+]", "OC(=O)C(F)(F)F", "O", "CS(=O)(=O)O", "OC(=O)C=CC(=O)O"]

_RING_BY_LINKER = 0.72  # the rest is bound directly, as in biaryls
_RING = 0.42  # where there is room for a ring or an end
_CENTRE = 0.9  # of the molecules with stereo, how many of their centres have it
_SALT = 0.02
_R_GROUP = 0.03
_SMALLEST_RING = 6  # room that is left before a ring is worth a try


@dataclass(frozen=True)
class _Fragment:
    """A piece of a molecule.

    Attributes:
        free: how many bonds each atom can still form.
        last: the end of the chain that the SMILES spells; a linker goes on from here.
    """

    mol: Chem.Mol
    free: tuple[int, ...]
    last: int

    @property
    def size(self) -> int:
        return len(self.free)


@cache
def _table(text: str) -> tuple[list[_Fragment], list[float]]:
    words = text.split()
    fragments = []
    for smiles in words[::2]:
        mol = Chem.MolFromSmiles(smiles)
        # What is written behind a SMILES hangs on the last atom of its chain.
        behind = Chem.MolFromSmiles(f"{smiles}*", sanitize=False).GetAtomWithIdx(mol.GetNumAtoms())
        free = tuple(atom.GetTotalNumHs() for atom in mol.GetAtoms())
        fragments.append(_Fragment(mol, free, behind.GetNeighbors()[0].GetIdx()))
    return fragments, [float(weight) for weight in words[1::2]]


class _Assembly:
    """A molecule that grows, and the number of bonds that each of its atoms can still form."""

    def __init__(self, fragment: _Fragment) -> None:
        self.mol = Chem.RWMol(fragment.mol)
        self.free = list(fragment.free)

    def __len__(self) -> int:
        return len(self.free)

    def attach(self, site: int, fragment: _Fragment, at: int) -> int:
        """Bind atom `at` of a fragment to the atom `site`; returns the fragment's first index."""
        offset = len(self.free)
        self.mol.InsertMol(fragment.mol)
        self.mol.AddBond(site, offset + at, Chem.BondType.SINGLE)
        self.free.extend(fragment.free)
        for index in (site, offset + at):
            self.free[index] -= 1
            atom = self.mol.GetAtomWithIdx(index)
            if atom.GetNumExplicitHs():  # [nH] gives its hydrogen up
                atom.SetNumExplicitHs(atom.GetNumExplicitHs() - 1)
        return offset

    def sites(self, begin: int = 0) -> list[int]:
        """Atoms from `begin` on that can still form a bond."""
        return [index for index in range(begin, len(self.free)) if self.free[index] > 0]


def _assembled(target: int, rng: random.Random) -> Chem.RWMol:
    """Put pieces together until about `target` heavy atoms are there."""
    rings, ring_weights = _table(_RINGS)
    start = rng.choices(rings, ring_weights)[0]
    if start.size > target or rng.random() < 0.08:
        start = _fitting(_LINKERS, target, rng)
    grown = _Assembly(start)
    for _ in range(4 * target):
        room = target - len(grown)
        sites = grown.sites()
        if room <= 0 or not sites:
            break
        site = rng.choices(sites, [_appeal(grown, index) for index in sites])[0]
        if room >= _SMALLEST_RING and rng.random() < _RING:
            _add_ring(grown, site, room, rng)
        else:
            _add_end(grown, site, room, rng)
    return grown.mol


def _appeal(grown: _Assembly, index: int) -> float:
    """Rings and chain ends are where chemists put things; a crowded atom is not."""
    atom = grown.mol.GetAtomWithIdx(index)
    if atom.GetSymbol() in ("N", "O", "S"):
        return 0.5 if atom.GetDegree() > 1 or atom.GetSymbol() == "N" else 0.25
    if atom.GetSymbol() != "C":
        return 0.02
    if atom.GetIsAromatic():
        return 1.0
    return 0.45 if atom.GetDegree() < 3 else 0.08


def _add_ring(grown: _Assembly, site: int, room: int, rng: random.Random) -> None:
    ring = _fitting(_RINGS, room, rng)
    if rng.random() < _RING_BY_LINKER and room - ring.size > 0:
        linker = _fitting(_LINKERS, room - ring.size, rng)
        if not _agree(grown.mol, site, linker.mol, 0):
            return
        last = linker.last
        ends = [at for at in range(ring.size) if ring.free[at]]
        ends = [at for at in ends if _agree(linker.mol, last, ring.mol, at)]
        if not ends or linker.free[last] < (2 if last == 0 else 1):
            return
        site = grown.attach(site, linker, 0) + last
        grown.attach(site, ring, rng.choice(ends))
        return
    ends = [
        at for at in range(ring.size) if ring.free[at] and _agree(grown.mol, site, ring.mol, at)
    ]
    if ends:
        grown.attach(site, ring, rng.choice(ends))


def _add_end(grown: _Assembly, site: int, room: int, rng: random.Random) -> None:
    end = _fitting(_ENDS, room, rng)
    if end.free[0] and _agree(grown.mol, site, end.mol, 0):
        grown.attach(site, end, 0)


def _fitting(table: str, room: int, rng: random.Random) -> _Fragment:
    """A fragment that is not larger than the room; a single carbon where nothing else fits."""
    fragments, weights = _table(table)
    for _ in range(20):
        fragment = rng.choices(fragments, weights)[0]
        if fragment.size <= room:
            return fragment
    return _table("C 1")[0][0]


def _agree(one: Chem.Mol, first: int, other: Chem.Mol, second: int) -> bool:
    """Whether chemists would bind these two: hetero atoms keep apart, but for S-N and rare N-N."""
    atoms = one.GetAtomWithIdx(first), other.GetAtomWithIdx(second)
    symbols = sorted(atom.GetSymbol() for atom in atoms)
    if "C" in symbols or "*" in symbols:
        # No acyl or alkenyl halides but those in the table, and no halogen beside another group.
        halogen = {"F", "Cl", "Br", "I"} & set(symbols)
        carbon = next((atom for atom in atoms if atom.GetSymbol() == "C"), None)
        if halogen and carbon is not None and not carbon.GetIsAromatic():
            return all(n.GetSymbol() == "C" for n in carbon.GetNeighbors())
        return True
    return symbols == ["N", "S"] and any(
        atom.GetSymbol() == "S" and atom.GetDegree() > 1 for atom in atoms
    )


def _finished(mol: Chem.RWMol, rng: random.Random, stereo: float) -> str | None:
    """R groups, stereo, salts; None where RDKit finds the molecule invalid."""
    if rng.random() < _R_GROUP:
        _add_r_group(mol, rng)
    with rdBase.BlockLogs():
        try:
            Chem.SanitizeMol(mol)
        except Chem.MolSanitizeException:
            return None
    if rng.random() < stereo:
        _set_stereo(mol, rng)
    smiles = Chem.MolToSmiles(mol)
    if rng.random() < _SALT:
        smiles = f"{smiles}.{rng.choice(_IONS)}"
    with rdBase.BlockLogs():
        valid = Chem.MolFromSmiles(smiles)
    return None if valid is None else str(Chem.MolToSmiles(valid))


def _add_r_group(mol: Chem.RWMol, rng: random.Random) -> None:
    """One of the single-bonded ends becomes R1 to R6 or a plain open position."""
    ends = [
        atom.GetIdx()
        for atom in mol.GetAtoms()
        if atom.GetDegree() == 1
        and atom.GetSymbol() in ("C", "F", "Cl", "O")
        and atom.GetBonds()[0].GetBondType() == Chem.BondType.SINGLE
        and not atom.GetFormalCharge()
    ]
    if ends:
        dummy = Chem.Atom(0)
        dummy.SetIsotope(rng.choice([0, 1, 1, 1, 2, 2, 3, 4, 5, 6]))
        mol.ReplaceAtom(rng.choice(ends), dummy)


def _set_stereo(mol: Chem.RWMol, rng: random.Random) -> None:
    tags = [Chem.ChiralType.CHI_TETRAHEDRAL_CW, Chem.ChiralType.CHI_TETRAHEDRAL_CCW]
    for position in Chem.FindPotentialStereo(mol):
        if position.type == Chem.StereoType.Atom_Tetrahedral and rng.random() < _CENTRE:
            mol.GetAtomWithIdx(position.centeredOn).SetChiralTag(rng.choice(tags))
    Chem.AssignStereochemistry(mol, cleanIt=True, force=True)
