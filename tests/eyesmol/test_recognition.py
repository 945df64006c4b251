"""What a result gives to programs and notebooks: a molecule, depictions, HTML."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rdkit import Chem
from rdkit.Chem import Draw

from eyesmol import Bracket, ReadOptions, Recognition, Recognizer
from eyesmol.chem.molfile import parse_molblock

ESTER = "CCOC(=O)c1ccccc1"


@pytest.fixture(scope="module")
def drawing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("drawings") / "a.png"
    Draw.MolToImage(Chem.MolFromSmiles(ESTER), (300, 200)).save(path)
    return path


@pytest.fixture(scope="module")
def reader() -> Recognizer:
    return Recognizer.from_pretrained()


@pytest.fixture(scope="module")
def result(reader: Recognizer, drawing: Path) -> Recognition:
    [found] = reader.recognize(str(drawing))  # one image is no list of letters
    return found


def test_the_molecule_stands_where_it_was_drawn(result: Recognition) -> None:
    assert result.mol is not None
    assert Chem.MolToSmiles(result.mol) == ESTER
    drawn = result.mol.GetConformer().GetPositions()[:, :2]
    assert result.graph
    places = np.array([(atom.x, -atom.y) for atom in result.graph.atoms])
    # The same shape, whatever the scale: distances are in proportion.
    ratio = (
        np.linalg.norm(drawn - drawn[0], axis=1)[1:]
        / np.linalg.norm(places - places[0], axis=1)[1:]
    )
    assert np.ptp(ratio) < 0.02 * ratio.mean()
    assert Recognition("none").mol is None


def test_it_is_drawn_and_laid_over_its_image(result: Recognition, drawing: Path) -> None:
    depiction, over = result.draw((240, 180)), result.overlay()
    assert depiction is not None
    assert over is not None
    assert (depiction.size, over.size) == ((240, 180), (300, 200))
    assert len(np.unique(np.asarray(depiction.convert("L")))) > 10
    assert over.tobytes() != Image.open(drawing).convert("RGB").tobytes()
    assert Recognition("none").draw() is Recognition("none").overlay() is None


def test_a_notebook_shows_it(result: Recognition) -> None:
    page = result._repr_html_()
    assert page.count("data:image/png;base64,") == 2
    assert ESTER in page
    bad = Recognition("<b>.png", error="<b>.png: the file is missing")
    assert "<b>" not in bad._repr_html_()
    assert "the file is missing" in bad._repr_html_()


def test_one_image_or_many_and_options_once_or_for_all(reader: Recognizer, drawing: Path) -> None:
    image = Image.open(drawing)
    for one in (drawing, image, np.asarray(image), drawing.read_bytes()):
        assert [found.smiles for found in reader.recognize(one)] == [ESTER]
    assert len(list(reader.recognize([drawing, image]))) == 2
    assert len(list(reader.recognize(drawing.parent))) == 1
    [missing] = reader.recognize("nowhere/")
    assert missing.error
    [strict] = reader.recognize(image, ReadOptions(min_confidence=1.0))
    assert (strict.smiles, strict.withheld_smiles) == (None, ESTER)
    # Names of earlier versions.
    [found] = reader.recognize(image, any_picture=True, looks=1)
    assert found.smiles == ESTER
    with pytest.raises(TypeError, match="sharpness"):
        reader.recognize(image, sharpness=3)
    with pytest.raises(ValueError, match="views 9: expected 1 to 3"):
        reader.recognize(image, views=9)


def test_several_structures_in_one_image_are_hinted_at(reader: Recognizer) -> None:
    both = Image.new("RGB", (640, 220), "white")
    for left, smiles in ((0, ESTER), (330, "CC(=O)Nc1ccc(Cl)cc1")):
        both.paste(Draw.MolToImage(Chem.MolFromSmiles(smiles), (300, 200)), (left, 10))
    [found] = reader.recognize(both)
    assert found.smiles
    assert "." in found.smiles
    assert any("2 structures, of" in problem for problem in found.problems)


REPEAT = """20 20 O
40 30 C -0
60 20 C -1
80 30 N -2
SRU 1,2 n
AND 1
smiles NCCO"""


def test_brackets_are_read_told_and_kept() -> None:
    found = Recognition.from_answer("a.png", REPEAT, size=(100, 50), frame_size=(100, 50))
    assert found.graph
    assert found.graph.brackets == (Bracket((1, 2), "n"),)
    assert found.smiles == "NCCO"
    assert found.molecule.cxsmiles == "NCCO |Sg:n:1,2:n:ht:::|"
    assert any("the repeat unit marked 'n' once" in problem for problem in found.problems)
    row = json.loads(json.dumps(found.to_dict()))
    assert Recognition.from_dict(row).graph == found.graph
    assert parse_molblock(found.molecule.molblock or "").brackets == found.graph.brackets
    assert parse_molblock(found.as_v3000().molecule.molblock or "").brackets


def test_a_reading_without_brackets_has_no_columns_for_them(result: Recognition) -> None:
    assert not {"brackets", "stereo_groups"} & result.to_dict().keys()
