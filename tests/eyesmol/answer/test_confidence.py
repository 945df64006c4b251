"""Doubt goes to the part that was doubted, opinions are weighed, and calibration keeps its word."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eyesmol.answer.confidence import (
    Calibration,
    CalibrationError,
    Confidences,
    TokenTrace,
    cross_validated,
    reliability,
)
from eyesmol.answer.text import AnswerForm, read_answer, write_answer
from eyesmol.chem.graph import Atom, Bond, BondOrder, MolGraph
from eyesmol.chem.smiles import graph_from_smiles
from eyesmol.chem.valence_repair import repaired
from eyesmol.cli.main import main
from eyesmol.recognition import Molecule, Recognition

forms = pytest.mark.parametrize("form", get_args(AnswerForm))


def drawn(smiles: str) -> MolGraph:
    return graph_from_smiles(smiles).transformed(25, 150, 150, flip=True)


def of_letters(text: str, doubted: set[int]) -> TokenTrace:
    """A token a letter, those that are doubted with probability one half."""
    logs = [math.log(0.5) if n in doubted else 0.0 for n in range(len(text))]
    return TokenTrace([*range(1, len(text) + 1), len(text)], [*logs, 0.0])


@forms
def test_doubt_of_a_letter_is_doubt_of_its_part(form: AnswerForm) -> None:
    graph = MolGraph((Atom("C", 10, 10), Atom("OMe", 40, 10), Atom("N", 70, 10)),
                     (Bond(0, 1), Bond(1, 2, BondOrder.DOUBLE)))  # fmt: skip
    text = write_answer(graph, "COC#N", form)
    answer = read_answer(text)

    def sure(doubted: set[int]) -> Confidences:
        return Confidences.of(answer, text, of_letters(text, doubted))

    assert sure(set()) == Confidences((1, 1, 1), (1, 1), 1, 1)
    assert sure({text.index("OMe")}) == Confidences((1, 0.5, 1), (1, 1), 0.5, 1)
    assert sure({text.index("COC") + 1}) == Confidences((1, 1, 1), (1, 1), 1, 0.5)
    assert sure({text.index("70"), text.index("40") + 1}) == sure(set()), "places do not count"
    sign = text.index("=1") if form == "compact" else text.index('"b":2') + 4
    assert sure({sign}) == Confidences((1, 1, 1), (1, 0.5), 0.5, 1)


@forms
@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_token_counts_once(form: AnswerForm, seed: int) -> None:
    """Graph and SMILES together are all tokens but those of places, however the text is cut."""
    chance = random.Random(seed)
    text = write_answer(drawn("C[C@H](N)C(=O)[O-]"), "C[C@H](N)C(=O)[O-]", form)
    cuts = sorted(chance.sample(range(1, len(text)), chance.randint(0, len(text) // 2)))
    ends = [*cuts, len(text), len(text)]
    logs = [-chance.random() for _ in ends]
    found = Confidences.of(read_answer(text), text, TokenTrace(ends, logs))
    assert math.exp(sum(logs)) * 0.999 <= found.graph * found.smiles <= 1
    certain = Confidences.of(read_answer(text), text, TokenTrace(ends, [0.0] * len(ends)))
    assert certain.graph == certain.smiles == 1
    with pytest.raises(ValueError, match="log-probabilities"):
        TokenTrace(ends, logs[1:])


def read(graph: MolGraph, written: str, doubted: str = "") -> Recognition:
    """An answer whose graph or whose SMILES was doubted."""
    text = write_answer(graph, written, "compact")
    begin = text.index("smiles")
    letters = {"graph": range(begin), "smiles": range(begin + 7, len(text))}.get(doubted, range(0))
    trace = of_letters(text, set(letters))
    return Recognition.from_answer("a", text, size=(300, 300), frame_size=(300, 300), trace=trace)


def test_the_opinion_that_is_taken_is_named() -> None:
    both = read(drawn("CCO"), "OCC")
    assert (both.smiles, both.molecule.smiles_from, both.molecule.why) == (
        "CCO", "graph", "both agree",
    )  # fmt: skip
    differ = read(drawn("CCO"), "CCN", doubted="smiles")
    assert (differ.smiles, differ.molecule.smiles_from) == ("CCO", "graph")
    assert differ.raw_confidence == 1
    far_likelier = read(drawn("CCCCCCO"), "CCN", doubted="graph")
    assert (far_likelier.smiles, far_likelier.molecule.smiles_from) == ("CCN", "written")
    assert "far likelier" in (far_likelier.molecule.why or "")
    assert far_likelier.raw_confidence == 1, "that of the opinion that was taken"


def test_impossible_valences_are_mended_only_where_nothing_speaks_against_it() -> None:
    charged = drawn("C[N+](C)(C)C")
    forgotten = MolGraph(tuple(Atom(a.label, a.x, a.y) for a in charged.atoms), charged.bonds)
    for written in ("C[N+](C)(C)C", "not a SMILES"):
        found = read(forgotten, written)
        assert (found.smiles, found.molecule.smiles_from) == ("C[N+](C)(C)C", "repaired")
        assert any("impossible valence" in problem for problem in found.problems)
    other = read(forgotten, "CCC")
    assert (other.smiles, other.molecule.smiles_from) == ("CCC", "written")

    five = MolGraph(
        tuple(Atom("C", x * 20, x * x) for x in range(4)),
        (Bond(0, 1, BondOrder.DOUBLE), Bond(1, 2, BondOrder.DOUBLE), Bond(1, 3)),
    )
    mended = repaired(five, (0.9, 0.2, 1.0))
    assert mended is not None
    assert [b.order for b in mended.bonds] == [2, 1, 1], "the least certain one is lowered"


def test_a_row_keeps_everything() -> None:
    found = read(drawn("CC[N+](C)(C)C.[Cl-]"), "CCO", doubted="graph").abstained("not sure")
    again = Recognition.from_dict(json.loads(json.dumps(found.to_dict())))
    assert again.to_dict() == found.to_dict()
    assert again.atom_confidence == found.atom_confidence
    assert len(again.bond_confidence) == 5
    assert (again.smiles, again.withheld_smiles, again.reason) == (None, "CCO", "not sure")


def synthetic(rows: int) -> tuple[list[float], list[bool]]:
    """Raw confidences that are far too small, and what came of them: right with raw ** 0.2."""
    chance = np.random.default_rng(0)
    raw = np.exp(-chance.exponential(4, rows))
    return raw.tolist(), (chance.random(rows) < raw**0.2).tolist()


def test_calibration_makes_probabilities(tmp_path: Path) -> None:
    raw, right = synthetic(600)
    before, after = reliability(raw, right), reliability(cross_validated(raw, right), right)
    assert before.error > 0.2
    assert after.error < 0.08
    assert after.brier < before.brier
    assert after.top_half > after.rest + 0.1
    assert sum(n for _, _, n in after.bins) == 600

    learnt = Calibration.learnt(raw, right)
    ordered = [learnt(value) for value in sorted(raw)]
    assert ordered == sorted(ordered), "the order stays"
    assert 0 <= learnt(0.0) < learnt(1e-4) < learnt(1.0) < 1
    learnt.write(tmp_path / "c.json")
    assert Calibration.read(tmp_path / "c.json") == learnt
    backwards = Calibration.learnt([1 - value for value in raw], right)
    assert backwards(0.1) == backwards(0.9), "a confidence that misleads is not used"


def test_what_cannot_be_calibrated_is_said(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="at least 30"):
        Calibration.learnt([0.5] * 29, [True] * 29)
    path = tmp_path / "c.json"
    for content in ("", "[]", '{"slope": 1}', '{"slope": -1, "offset": 0, "rows": 1, "right": 1}'):
        path.write_text(content)
        with pytest.raises(CalibrationError, match=r"c\.json"):
            Calibration.read(path)


def test_calibrate_and_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw, right = synthetic(80)
    gold, rows = tmp_path / "gold.csv", tmp_path / "read.jsonl"
    gold.write_text("image,smiles\n" + "".join(f"{n}.png,CCO\n" for n in range(80)))
    with rows.open("w") as file:
        for number, (value, good) in enumerate(zip(raw, right, strict=True)):
            molecule = Molecule("CCO" if good else "CC", "graph")
            row = Recognition(f"{number}.png", molecule=molecule, raw_confidence=value).to_dict()
            file.write(json.dumps(row) + "\n")
    out = tmp_path / "model" / "calibration.json"
    assert main(["calibrate", str(gold), str(rows), "--out", str(out)]) == 0
    assert "calibration error" in capsys.readouterr().out
    assert Calibration.read(out) == Calibration.learnt(raw, right)

    withheld = Recognition("0.png", answer="smiles C", raw_confidence=0.5, withheld_smiles="CCO")
    rows.write_text(json.dumps(withheld.to_dict()) + "\n")
    assert main(["calibrate", str(gold), str(rows), "--out", str(out)]) == 2
    assert "with --min-confidence 0" in capsys.readouterr().err
