"""The picture, the graph and the SMILES of a drawing say the same."""

from __future__ import annotations

import io
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rdkit import Chem
from rdkit.Chem import rdDepictor
from rdkit.Chem.Draw import rdMolDraw2D

from data_preprocess.drawing.render import RenderError, Style, render
from data_preprocess.sources.small_molecules import small_molecules
from eyesmol.chem.smiles import graph_to_smiles

# Rings, charges, isotopes, tetrahedral and double-bond stereo, an axis, two fragments, one atom.
MOLECULES = [
    "C",
    "Cl",
    "C=C=C",
    "C[C@H](N)C(=O)O",
    "C/C=C/C",
    r"F/C=C\Cl",
    "C[N+](C)(C)CC(=O)[O-]",
    "[2H]C(F)(Cl)Br",
    "Oc1ccc2[nH]ccc2c1",
    "C[C@@H]1CC[C@H](O)[C@@H](C)C1",
    "N#Cc1ccncc1",
    "CC(=O)O[C@@H]1C=C[C@H]2C[C@@H]1O2",
    "[Na+].CC(=O)[O-]",
    "CS(=O)(=O)N=[N+]=[N-]",
    "OC[C@H]1O[C@@H](O)[C@H](O)[C@@H](O)[C@@H]1O",
]


@given(st.sampled_from(MOLECULES), st.integers(0, 10_000))
def test_the_graph_is_the_molecule(smiles: str, seed: int) -> None:
    drawing = render(smiles, (224, 168), seed=seed)
    found, problems = graph_to_smiles(drawing.graph.rounded())
    assert (found, problems) == (Chem.CanonSmiles(smiles), [])
    assert drawing.smiles == found


@given(st.sampled_from(MOLECULES), st.integers(0, 10_000))
def test_atoms_lie_on_the_ink(smiles: str, seed: int) -> None:
    """A label or a bond's end is drawn where the graph says, give or take a letter's size."""
    drawing = render(smiles, (224, 168), seed=seed)
    ink = np.asarray(drawing.image) < 200
    for atom in drawing.graph.atoms:
        x, y = round(atom.x), round(atom.y)
        assert 0 <= x < 224
        assert 0 <= y < 168
        assert ink[max(y - 7, 0) : y + 8, max(x - 7, 0) : x + 8].any()


def test_an_open_double_bond_reads_as_it_is_drawn() -> None:
    assert render("CC=CC", (112, 112)).smiles in {r"C/C=C\C", "C/C=C/C"}


def test_the_same_seed_gives_the_same_picture() -> None:
    first, second, third = (render("CCOC(=O)C", (112, 112), seed=seed) for seed in (7, 7, 8))
    assert first == second
    assert first.image.tobytes() != third.image.tobytes()


def test_a_seed_keeps_its_clean_style() -> None:
    """What was trained on clean pictures can be drawn again: a seed is a style for good."""
    style = Style.random(random.Random(7), (224, 168))
    assert style == Style(
        rotation=30,
        mirror=False,
        bond_length=34.41358678279203,
        bond_width=1.1619816981701256,
        font_size=0.5249018410626038,
        margin=0.1118733656828792,
    )


@pytest.mark.parametrize("smiles", ["C[C@H](N)C(=O)O", "Oc1ccc2[nH]ccc2c1", "[Na+].CC(=O)[O-]"])
def test_a_clean_picture_is_rdkits_own(smiles: str) -> None:
    """Nothing of the varied styles touches it."""
    mol = Chem.MolFromSmiles(smiles)
    rdDepictor.Compute2DCoords(mol)
    mol = rdMolDraw2D.PrepareMolForDrawing(mol, addChiralHs=False, forceCoords=False)
    drawer = rdMolDraw2D.MolDraw2DCairo(224, 168)
    options: Any = drawer.drawOptions()
    options.prepareMolsBeforeDrawing = False
    options.useBWAtomPalette()
    options.fixedBondLength, options.bondLineWidth, options.scaleBondWidth = 30.0, 1.5, False
    options.padding, options.minFontSize, options.maxFontSize = 0.06, 9, 60
    options.baseFontSize = 0.75
    drawer.DrawMolecule(mol)
    drawer.FinishDrawing()
    direct = Image.open(io.BytesIO(drawer.GetDrawingText())).convert("L")
    assert render(smiles, (224, 168), style=Style()).image.tobytes() == direct.tobytes()


def test_a_mirrored_layout_is_the_same_molecule() -> None:
    smiles = "C[C@H](F)Cl"
    one, other = (render(smiles, (112, 112), style=Style(mirror=m)) for m in (False, True))
    assert one.smiles == other.smiles == smiles
    assert one.image.tobytes() != other.image.tobytes()


@pytest.mark.parametrize(
    ("smiles", "reason"),
    [("not a SMILES", "cannot read"), ("C[CH2]", "radical"), ("", "no atoms")],
)
def test_what_cannot_be_drawn_says_why(smiles: str, reason: str) -> None:
    with pytest.raises(RenderError, match=reason):
        render(smiles, (112, 112))


def test_small_molecules_are_all_different_sane_and_in_order() -> None:
    found = list(small_molecules(4))
    assert len(found) == len(set(found)) == 5 + 10 + 58 + 316
    assert found == list(small_molecules(4))
    assert all(Chem.CanonSmiles(smiles) == smiles for smiles in found)
    sizes = [Chem.MolFromSmiles(smiles).GetNumHeavyAtoms() for smiles in found]
    assert sizes == sorted(sizes)
    expected = {"CCO", "CC(N)=O", "C1CCC1", "C=C(F)Cl", "CC#N", "O=C=O", "CN(C)C", "O"}
    silly = {"OOO", "NN", "OF", "C1#CC1", "C=C=C=C", "C1=CC=C1"}
    assert expected <= set(found)
    assert not silly & set(found)


def test_small_molecules_with_stereo() -> None:
    found = list(small_molecules(5, elements=("C", "F", "Cl"), stereo=True))
    assert {"C/C=C/C", r"C/C=C\C", "C[C@H](F)Cl", "C[C@@H](F)Cl"} <= set(found)
    assert "CC(F)Cl" not in found
