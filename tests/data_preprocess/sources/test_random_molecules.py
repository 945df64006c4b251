"""Random molecules: valid, of the size asked for, reproducible, and hardly ever the same twice."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rdkit import Chem

from data_preprocess.sources import random_molecules as module
from data_preprocess.sources.random_molecules import Sizes, random_molecule, random_molecules
from eyesmol.chem.smiles import canonical_smiles


@given(st.integers(0, 2**31), st.integers(0, 2**31))
@example(169, 110491382)
def test_a_molecule_depends_on_seed_and_number_alone(seed: int, number: int) -> None:
    smiles = random_molecule(seed, number)
    assert smiles == random_molecule(seed, number)
    # Of a few cages RDKit writes two SMILES in turn: each is what it reads the other as.
    again = canonical_smiles(smiles) or ""
    assert smiles in (again, canonical_smiles(again))
    assert next(random_molecules(seed, first=number)) == smiles


@pytest.mark.parametrize(("least", "most"), [(3, 8), (10, 20), (40, 60)])
def test_sizes_are_kept(least: int, most: int) -> None:
    sizes = Sizes(mean=(least + most) / 2, spread=10, least=least, most=most)
    heavy = []
    for smiles in itertools.islice(random_molecules(3, sizes), 200):
        largest = max(smiles.split("."), key=len)
        heavy.append(Chem.MolFromSmiles(largest).GetNumHeavyAtoms())
    assert max(heavy) <= most
    # A molecule can run out of places to grow, but seldom does.
    assert sum(count < least for count in heavy) <= 10
    assert len(set(heavy)) >= min(5, most - least)


def test_they_do_not_repeat_and_no_two_seeds_are_alike() -> None:
    first = set(itertools.islice(random_molecules(1), 500))
    assert len(first) >= 490
    assert len(first & set(itertools.islice(random_molecules(2), 500))) <= 5


def test_every_piece_of_the_tables_can_be_bound() -> None:
    for table in (module._RINGS, module._LINKERS, module._ENDS):
        for fragment in module._table(table)[0]:
            assert any(fragment.free), Chem.MolToSmiles(fragment.mol)
    for linker in module._table(module._LINKERS)[0]:
        needed = 2 if linker.last == 0 else 1
        assert linker.free[0] >= 1, Chem.MolToSmiles(linker.mol)
        assert linker.free[linker.last] >= needed, Chem.MolToSmiles(linker.mol)
    for end in module._table(module._ENDS)[0]:
        assert end.free[0], Chem.MolToSmiles(end.mol)


def test_what_patents_have_is_there() -> None:
    text = " ".join(itertools.islice(random_molecules(5), 2_000))
    for part in ("@", "[N+](=O)[O-]", "[1*]", "S(=O)(=O)", "Br", "#", "B(O)O", "."):
        assert part in text, part
