"""A molecule that is changed in one way shows that kind of error, and no other."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from rdkit import Chem, rdBase
from rdkit.Chem import rdRascalMCES

from eyesmol.chem.smiles import canonical_smiles
from eyesmol.evaluation.align import Skeleton, align
from eyesmol.evaluation.error_analysis import ERROR_KINDS, error_kinds

# Drugs and patent molecules: chains, rings of all sorts, symmetry, salts, stereo, R groups.
MOLECULES = [
    "CC(=O)Oc1ccccc1C(=O)O",
    "CN1CCC[C@H]1c1cccnc1",
    "CC(C)Cc1ccc(cc1)[C@@H](C)C(=O)O",
    "Cn1c(=O)c2c(ncn2C)n(C)c1=O",
    "CC1(C)S[C@@H]2[C@H](NC(=O)Cc3ccccc3)C(=O)N2[C@H]1C(=O)O",
    "O=C(O)c1cn(C2CC2)c2cc(N3CCNCC3)c(F)cc2c1=O",
    "CC(C)(C)OC(=O)N1CCN(S(=O)(=O)c2ccc(-c3ccccc3)cc2)CC1C(=O)O",
    "COc1cc2nccc(Oc3ccc(NC(=O)C4(C(=O)Nc5ccc(F)cc5)CC4)cc3)c2cc1OC",
    "[1*]N([2*])C(=O)c1ccc(C#N)cc1",
    "FC(F)(F)c1ccc(/C=C/C2CCNCC2)cc1",
    "Cl.CCN(CC)CCNC(=O)c1ccc(N)cc1",
    "CCCCCCCC(=O)NCCO",
    "OC[C@H]1O[C@@H](O)[C@H](O)[C@@H](O)[C@@H]1O",
    "Clc1ccc(C(c2ccc(Cl)cc2)C(Cl)(Cl)Cl)cc1",
]


@cache
def parsed(smiles: str) -> Chem.Mol:
    return Chem.MolFromSmiles(smiles)


Change = Callable[[Chem.RWMol, random.Random], None]


def some(rng: random.Random, things: list[Any]) -> Any:
    """One of them; an example without any is no example."""
    assume(things)
    return rng.choice(things)


def filled(*atoms: Chem.Atom) -> None:
    """Let hydrogens take the place of what is cut off; RDKit would leave a radical."""
    for atom in atoms:
        atom.SetNoImplicit(False)


def lose_atom(mol: Chem.RWMol, rng: random.Random) -> None:
    end = some(rng, [a for a in mol.GetAtoms() if a.GetDegree() == 1])
    filled(*end.GetNeighbors())
    mol.RemoveAtom(end.GetIdx())


def gain_atom(mol: Chem.RWMol, rng: random.Random) -> None:
    place = some(rng, [a.GetIdx() for a in mol.GetAtoms() if a.GetTotalNumHs()])
    mol.AddBond(place, mol.AddAtom(Chem.Atom(rng.choice([6, 9, 17]))), Chem.BondType.SINGLE)


def misname(mol: Chem.RWMol, rng: random.Random) -> None:
    atom = some(rng, [a for a in mol.GetAtoms() if a.GetSymbol() in "CNO" and a.IsInRing()])
    atom.SetAtomicNum({"C": 7, "N": 6, "O": 16}[atom.GetSymbol()])
    atom.SetNoImplicit(False)
    atom.SetNumExplicitHs(0)


def misorder(mol: Chem.RWMol, rng: random.Random) -> None:
    bond = some(rng, [b for b in mol.GetBonds() if not b.GetIsAromatic()
                      and b.GetBondType() != Chem.BondType.TRIPLE])  # fmt: skip
    single = bond.GetBondType() == Chem.BondType.SINGLE
    bond.SetBondType(Chem.BondType.DOUBLE if single else Chem.BondType.SINGLE)


def break_ring(mol: Chem.RWMol, rng: random.Random) -> None:
    bond = some(rng, [b for b in mol.GetBonds() if b.IsInRing() and not b.GetIsAromatic()])
    filled(bond.GetBeginAtom(), bond.GetEndAtom())
    mol.RemoveBond(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())


def charge(mol: Chem.RWMol, rng: random.Random) -> None:
    atom = some(rng, [a for a in mol.GetAtoms() if a.GetSymbol() in "NO" and not a.GetIsAromatic()])
    if atom.GetTotalNumHs() and atom.GetSymbol() == "O":
        atom.SetFormalCharge(-1)
    else:
        atom.SetIsotope(15)


def mirror(mol: Chem.RWMol, rng: random.Random) -> None:
    centre = some(rng, [a for a in mol.GetAtoms() if a.GetChiralTag()])
    centre.InvertChirality()


def lose_fragment(mol: Chem.RWMol, rng: random.Random) -> None:
    parts = Chem.GetMolFrags(mol)
    assume(len(parts) > 1)
    for atom in sorted(rng.choice(parts), reverse=True):
        mol.RemoveAtom(atom)


CHANGES: list[tuple[Change, str]] = [
    (lose_atom, "missing_atom"),
    (gain_atom, "extra_atom"),
    (misname, "label"),
    (misorder, "order"),
    (break_ring, "connectivity"),
    (charge, "charge"),
    (mirror, "stereo"),
    (lose_fragment, "fragment"),
]


@pytest.mark.parametrize(("change", "kind"), CHANGES, ids=[kind for _, kind in CHANGES])
@given(smiles=st.sampled_from(MOLECULES), rng=st.randoms(use_true_random=False))
def test_one_change_is_one_kind(change: Change, kind: str, smiles: str, rng: random.Random) -> None:
    with rdBase.BlockLogs():
        mol = Chem.RWMol(parsed(smiles))
        change(mol, rng)
        changed = canonical_smiles(Chem.MolToSmiles(mol))
    true = canonical_smiles(smiles)
    assert true is not None
    # Valences that RDKit refuses are another kind; an inverted centre may be the same molecule.
    assume(changed is not None and changed != true)
    if kind in ("missing_atom", "fragment"):
        # The last atom of a fragment is a fragment.
        assume(("." in true) == ("." in (changed or "")) or kind == "fragment")
    assert error_kinds(true, changed) == (kind,)


def test_what_is_no_molecule_has_its_own_kinds() -> None:
    assert error_kinds("CCO", "CCO") == ()
    assert error_kinds("CCO", None) == error_kinds("CCO", "") == ("no_answer",)
    assert error_kinds("CCO", "C(C)(C)(C)(C)C") == error_kinds("CCO", "C1CO(") == ("invalid",)
    assert error_kinds("CCO.Cl", "CCN") == ("fragment", "label")
    assert error_kinds("N", "O") == error_kinds("CCO.Cl", "Br.CCO") == ("label",)
    assert list(ERROR_KINDS)[:2] == ["no_answer", "invalid"]


def test_atoms_inside_a_chain_may_be_missing() -> None:
    assert error_kinds("FCCCCN", "FCCCN") == ("missing_atom",)
    assert error_kinds("FC(Cl)CN", "FCCN") == ("missing_atom",)
    assert error_kinds("NCCOCCF", "NCCCCF") == ("missing_atom",)


@given(st.sampled_from(MOLECULES), st.randoms(use_true_random=False))
def test_alignment_is_as_good_as_the_exact_one(smiles: str, rng: random.Random) -> None:
    """Against RDKit's exact maximum common edge subgraph, for molecules changed in two places."""
    mol = Chem.RWMol(parsed(smiles))
    with rdBase.BlockLogs():
        for change in rng.sample([lose_atom, gain_atom, break_ring], 2):
            change(mol, rng)
        changed = canonical_smiles(Chem.MolToSmiles(mol))
    assume(changed is not None)
    other = Chem.MolFromSmiles(changed)
    options: Any = rdRascalMCES.RascalOptions()
    options.similarityThreshold = 0.0
    options.completeAromaticRings = False
    found = rdRascalMCES.FindMCES(parsed(smiles), other, options)
    best = len(found[0].bondMatches()) if found else 0
    alignment = align(Skeleton.of(parsed(smiles)), Skeleton.of(other))
    assert alignment.same_bonds >= best - 1
    assert 0 <= alignment.atom_f1 <= 1
    back = align(Skeleton.of(other), Skeleton.of(parsed(smiles)))
    assert back.bond_f1 == pytest.approx(alignment.bond_f1, abs=0.1)


@given(st.sampled_from(MOLECULES), st.randoms(use_true_random=False))
def test_renumbered_atoms_are_found_again(smiles: str, rng: random.Random) -> None:
    mol = parsed(smiles)
    order = rng.sample(range(mol.GetNumAtoms()), mol.GetNumAtoms())
    alignment = align(Skeleton.of(mol), Skeleton.of(Chem.RenumberAtoms(mol, order)))
    assert (alignment.atom_f1, alignment.bond_f1) == (1, 1)


def test_f1_by_hand() -> None:
    def f1(first: str, second: str) -> tuple[float, float]:
        found = align(Skeleton.of(parsed(first)), Skeleton.of(parsed(second)))
        return found.atom_f1, found.bond_f1

    assert f1("CCO", "CCN") == (pytest.approx(4 / 6), 1)
    assert f1("CCO", "CC") == (pytest.approx(4 / 5), pytest.approx(2 / 3))
    assert f1("CC=O", "CCO") == (1, pytest.approx(2 / 4))
    assert f1("C", "C") == (1, 1)
    assert f1("O", "C") == (0, 1)
    assert f1("CC[O-]", "CCO") == (pytest.approx(4 / 6), 1)
