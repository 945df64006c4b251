"""Splits: near twins of a molecule stand on one side, a base and its salts among them."""

from __future__ import annotations

from pathlib import Path

import pytest
from rdkit import Chem

from data_preprocess.build.examples import Drop, molecule_in
from data_preprocess.build.exclude import read_excluded
from data_preprocess.dataset.splits import connectivity_key, split_of


@pytest.mark.parametrize(
    "twins",
    [
        ["CCN", "OCC.CCN", "CCN.Cl", "CC[NH3+].[Cl-]", "CCN.CCN.OS(=O)(=O)O", "[13CH3]CN",
         "CC[NH3+].Cc1ccc(S(=O)(=O)[O-])cc1", "OC(=O)[C@H](O)[C@@H](O)C(=O)O.CCN"],
        ["CC(=O)O", "CC(=O)[O-].[Na+]", "CC(=O)O[Na]", "CC(=O)[O-].[Ca+2].CC(=O)[O-]"],
        ["C[C@H](N)C(=O)O", "C[C@@H]([NH3+])C(=O)[O-]", "[2H]C(N)(C)C(=O)O"],
        ["C[N+](C)(C)CCO.[Cl-]", "C[N+](C)(C)CCO.[OH-]", "C[N+](C)(C)CCO"],
        ["[1*]CCN", "[2*]CC[NH3+].[Br-]"],
        ["F[P-](F)(F)(F)(F)F.c1cc[nH+]cc1", "c1ccncc1"],
    ],
)  # fmt: skip
def test_twins_have_one_key(twins: list[str]) -> None:
    assert len({connectivity_key(smiles) for smiles in twins}) == 1


def test_other_molecules_have_other_keys() -> None:
    others = ["CCN", "CCNC", "CC(=O)O", "CCC", "Oc1ccccc1", "OC(=O)c1ccccc1", "C[N+](C)(C)C",
              "CC(=O)O.OC(=O)C=CC(=O)O", "O", "[Na+].[Cl-]"]  # fmt: skip
    keys = {connectivity_key(smiles) for smiles in others}
    assert len(keys) == len(others)
    assert connectivity_key("C1CC") is None


_AMINE = Chem.MolFromSmarts("[NX3;H0,H1,H2;+0;!$(N~[!#6]);!$(N-[#6]=,#,:*)]")
_ACID = Chem.MolFromSmarts("[OX2H]C(=O)[#6]")


def _salts(smiles: str) -> list[str]:
    """A neutral molecule as it stands in bottles: with acids, protonated, with bases."""
    mol = Chem.MolFromSmiles(smiles)
    found = [f"{smiles}.Cl", f"{smiles}.OS(=O)(=O)c1ccc(C)cc1", f"{smiles}.O"]
    for pattern, charge, beside in ((_AMINE, 1, "[Cl-]"), (_ACID, -1, "[Na+]")):
        for match in mol.GetSubstructMatches(pattern)[:1]:
            ion = Chem.RWMol(mol)
            atom = ion.GetAtomWithIdx(match[0])
            atom.SetFormalCharge(charge)
            atom.SetNumExplicitHs(atom.GetTotalNumHs() + charge)
            Chem.SanitizeMol(ion)
            found.append(f"{Chem.MolToSmiles(ion)}.{beside}")
    return found


def test_no_patent_base_is_parted_from_its_salts(shared_data: Path) -> None:
    files = sorted((shared_data / "uspto_molfiles").iterdir())[::12]
    seen = ions = 0
    for path in files:
        try:
            smiles = molecule_in(path, path.name).smiles
        except Drop:
            continue
        if "." in smiles or "*" in smiles or "+" in smiles or "-" in smiles:
            continue
        seen += 1
        key = connectivity_key(smiles)
        assert key
        for salt in _salts(smiles):
            ions += "+" in salt
            found = connectivity_key(salt)
            assert found == key, (path.name, smiles, salt)
            assert split_of(found, 0.3, 0.3) == split_of(key, 0.3, 0.3)
    assert seen > 100
    assert ions > 30


def test_an_excluded_base_keeps_its_salts_out_and_the_other_way_round(tmp_path: Path) -> None:
    listed = tmp_path / "listed.smi"
    listed.write_text("CN1CCC(O)CC1.Cl\nC[C@H](N)c1ccccc1\n")
    keys = read_excluded([listed]).keys
    assert connectivity_key("CN1CCC(O)CC1") in keys
    assert connectivity_key("CC([NH3+])c1ccccc1.[Br-]") in keys
    assert connectivity_key("CN1CCCCC1") not in keys
