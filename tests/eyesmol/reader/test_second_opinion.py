"""Two readings of one image: which is taken, how sure that is, and where they differ."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from data_preprocess.drawing.render import render
from eyesmol.chem.smiles import graph_from_smiles
from eyesmol.reader.base import Recognizer
from eyesmol.reader.embedded import NANO
from eyesmol.reader.options import ReadOptions
from eyesmol.reader.second_opinion import both_read
from eyesmol.recognition import Recognition


def read(smiles: str, confidence: float) -> Recognition:
    graph = graph_from_smiles(smiles).transformed(40, 300, 300, flip=True)
    return Recognition.from_graph("a.png", graph, size=(600, 600), raw_confidence=confidence)


def test_agreement_makes_surer_than_either() -> None:
    both = both_read(read("CCO", 0.8), read("OCC", 0.5))
    assert both.smiles == both.second_smiles == "CCO"
    assert both.confidence == pytest.approx(0.9)
    assert both.differences == ()


@pytest.mark.parametrize(
    ("first", "second", "taken", "confidence"),
    [
        (0.9, 0.6, "CCN", 0.06 / (0.06 + 0.36 + 0.04)),  # not twice as sure
        (0.6, 0.9, "CCN", 0.36 / (0.06 + 0.36 + 0.04)),
        (0.9, 0.3, "CCO", 0.63 / (0.63 + 0.03 + 0.07)),
    ],
)
def test_second_one_is_taken_unless_the_first_is_far_surer(
    first: float, second: float, taken: str, confidence: float
) -> None:
    found = both_read(read("CCO", first), read("CCN", second))
    assert {found.smiles, found.second_smiles} == {"CCO", "CCN"}
    assert found.smiles == taken
    assert found.confidence == pytest.approx(confidence, abs=1e-4)
    [difference] = found.differences
    assert {difference.first, difference.second} == {"O", "N"}
    assert f"the other reader reads {found.second_smiles}" in found.problems


def test_reading_without_a_molecule_gives_way() -> None:
    none = replace(read("CCO", 0.4), molecule=replace(read("CCO", 0.4).molecule, smiles=None))
    assert both_read(none, read("CCO", 0.3)).smiles == "CCO"
    assert both_read(read("CCO", 0.3), none).smiles == "CCO"


def test_image_that_cannot_be_read_stays_an_error() -> None:
    error = Recognition("a.png", error="a.png: broken")
    assert both_read(error, read("CCO", 0.9)) == error


def test_differences_survive_a_row_of_json() -> None:
    taken = both_read(read("CCO", 0.9), read("CCN", 0.3))
    row = json.loads(json.dumps(taken.to_dict()))
    again = Recognition.from_dict(row)
    assert again.second_smiles == "CCN"
    assert [str(d) for d in again.differences] == [str(d) for d in taken.differences]
    assert "second_smiles" not in read("CCO", 0.9).to_dict()


def test_reader_asks_the_detector() -> None:
    image = render("CC(=O)Nc1ccc(O)cc1", (300, 200), seed=1).image
    nano = Recognizer.from_pretrained(NANO, views=1, pages=False, max_new_tokens=60)
    [result] = nano.recognize(image, second_opinion="detector")
    assert result.smiles == "CC(=O)Nc1ccc(O)cc1"
    with pytest.raises(ValueError, match="to have the first"):
        Recognizer.from_pretrained(options=ReadOptions(second_opinion="detector"))
