"""All valid small molecules up to a number of heavy atoms, grown atom by atom, from no list.

Every connected graph has an atom whose removal leaves it connected, so every molecule of n atoms
is one of n - 1 atoms plus an atom. The rules of what is valid only ever forbid patterns, and a part
of a molecule holds no pattern that the whole lacks; hence growing from valid molecules misses none.
(The one rule that asks for something, a carbon, is safe too: there are always two such atoms, and
so one can be taken away that is not the only carbon.)
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import lru_cache

from rdkit import Chem, rdBase
from rdkit.Chem import EnumerateStereoisomers

__all__ = ["DEFAULT_ELEMENTS", "small_molecules"]

# C, N, O carry organic chemistry; F and Cl are what patents hang on it. Their labels differ even at
# 10 pixels, while S, P, Br or I would ask a small model for letters that it rarely sees.
DEFAULT_ELEMENTS = ("C", "N", "O", "F", "Cl")

_VALENCE = {"C": 4, "N": 3, "O": 2, "S": 2, "F": 1, "Cl": 1, "Br": 1, "I": 1}
_BOND_TYPE = {1: Chem.BondType.SINGLE, 2: Chem.BondType.DOUBLE, 3: Chem.BondType.TRIPLE}
# Cheap rules for what nobody keeps in a bottle.
_NOT_SANE = {
    name: Chem.MolFromSmarts(smarts)
    for name, smarts in {
        "halogen on a hetero atom": "[F,Cl,Br,I]~[!#6]",
        "three hetero atoms in a row": "[!#6]~[!#6]~[!#6]",
        "triple bond in a ring": "*#@*",
        "cumulated double bonds in a ring": "*=@*=@*",
        "three cumulated double bonds": "*=*=*=*",
        "double bond at a three-ring": "[r3]=,:*",
        "cyclobutadiene": "*1=**=*1",
        "two hetero atoms side by side in a small ring": "[!#6;r3,r4]@[!#6;r3,r4]",
        "hetero atom on an alkyne": "[#6]#[#6]~[#7,#8,#16]",
        "atom shared by a small ring and another": "[!R0;!R1;r3,r4]",
    }.items()
}
_CARBON = Chem.MolFromSmarts("[#6]")
_HETERO_PAIR = Chem.MolFromSmarts("[!#6]~[!#6]")


def small_molecules(
    max_atoms: int = 5,
    *,
    elements: tuple[str, ...] = DEFAULT_ELEMENTS,
    stereo: bool = False,
) -> Iterator[str]:
    """Canonical SMILES, smallest molecules first, the same list in the same order every time.

    Single fragments, neutral, filled up with hydrogens, at least one carbon beside other atoms (so
    H2O and HCl are in, hydrazine is not). With the default elements there are 5, 10, 58, 316, 1,925
    and 13,645 molecules of 1 to 6 heavy atoms; with `stereo` 5, 10, 58, 367 and 2,682 of 1 to 5.

    Args:
        max_atoms: heavy atoms of the largest molecules; one more, seven times as many molecules.
        elements: a selection of C, N, O, S, F, Cl, Br, I.
        stereo: list every stereoisomer in place of the molecule without stereo.

    Raises:
        ValueError: an element that is not known here, or `max_atoms` below 1.
    """
    if max_atoms < 1:
        raise ValueError(f"max_atoms {max_atoms}: expected at least 1")
    if unknown := [element for element in elements if element not in _VALENCE]:
        raise ValueError(f"elements {unknown}: expected some of {', '.join(_VALENCE)}")
    for size in range(1, max_atoms + 1):
        for smiles in _of_size(size, elements):
            yield from _stereoisomers(smiles) if stereo else (smiles,)


@lru_cache(maxsize=64)
def _of_size(size: int, elements: tuple[str, ...]) -> tuple[str, ...]:
    if size == 1:
        return tuple(Chem.CanonSmiles(f"[{e}H{_VALENCE[e]}]") for e in elements)
    found: set[str] = set()
    with rdBase.BlockLogs():
        for parent in _of_size(size - 1, elements):
            found.update(_grown(parent, elements))
    return tuple(sorted(found, key=lambda smiles: (len(smiles), smiles)))


def _grown(parent: str, elements: tuple[str, ...]) -> Iterator[str]:
    """All valid molecules that are `parent` and one atom more, bonded in every possible way."""
    mol = Chem.MolFromSmiles(parent)
    Chem.Kekulize(mol, clearAromaticFlags=True)
    free = [min(atom.GetTotalNumHs(), 3) for atom in mol.GetAtoms()]
    for element in elements:
        request_options = (range(min(hydrogens, _VALENCE[element]) + 1) for hydrogens in free)
        for orders in itertools.product(*request_options):
            if 0 < sum(orders) <= _VALENCE[element]:
                child = _with_atom(mol, element, orders)
                if child is not None and _is_valid(child):
                    yield Chem.MolToSmiles(child)


def _with_atom(mol: Chem.Mol, element: str, orders: tuple[int, ...]) -> Chem.Mol | None:
    grown = Chem.RWMol(mol)
    new = grown.AddAtom(Chem.Atom(element))
    for index, order in enumerate(orders):
        if order:
            grown.AddBond(index, new, _BOND_TYPE[order])
            grown.GetAtomWithIdx(index).SetNoImplicit(False)
            grown.GetAtomWithIdx(index).SetNumExplicitHs(0)
    # Read again: hydrogens, aromaticity and rings are then exactly those of the SMILES.
    return Chem.MolFromSmiles(Chem.MolToSmiles(grown))


def _is_valid(mol: Chem.Mol) -> bool:
    if not mol.HasSubstructMatch(_CARBON):
        return False
    if any(mol.HasSubstructMatch(pattern) for pattern in _NOT_SANE.values()):
        return False
    return len(mol.GetSubstructMatches(_HETERO_PAIR)) <= 1


def _stereoisomers(smiles: str) -> Iterator[str]:
    options = EnumerateStereoisomers.StereoEnumerationOptions(tryEmbedding=False, unique=True)
    isomers = EnumerateStereoisomers.EnumerateStereoisomers(
        Chem.MolFromSmiles(smiles), options=options
    )
    yield from sorted({Chem.MolToSmiles(isomer) for isomer in isomers})
