"""Systems side by side: what differs, and what may be chance."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eyesmol.cli.main import main
from eyesmol.evaluation.compare import compare, comparison_table
from eyesmol.evaluation.gold import Gold, GoldSet, ScoreError
from eyesmol.evaluation.metrics import Evaluation, evaluate
from eyesmol.recognition import Molecule, Recognition


def system(name: str, right: str) -> Evaluation:
    """One that reads rightly the pictures that are marked with an x."""
    gold = GoldSet("gold", tuple(Gold(f"{n}.png", "CCO") for n in range(len(right))))
    predictions = [
        Recognition(f"{n}.png", molecule=Molecule("CCO" if mark == "x" else "CCN"))
        for n, mark in enumerate(right)
    ]
    return evaluate(gold, predictions, name=name)


def test_mcnemar_by_hand() -> None:
    same = compare(system("a", "xx.."), system("b", "xx.."))
    assert (same.only_first, same.only_second, same.p_value) == (0, 0, 1)
    # Six of six for one side: 2 * (1/2)^6.
    six = compare(system("a", "xxxxxxx."), system("b", "......x."))
    assert (six.only_first, six.only_second) == (6, 0)
    assert six.p_value == pytest.approx(2 / 64)
    assert "they differ" in str(six)
    five = compare(system("a", "xxxxx"), system("b", "....."))
    assert five.p_value == pytest.approx(2 / 32)
    assert "may be chance" in str(five)


def test_only_the_same_rows_are_compared() -> None:
    with pytest.raises(ScoreError, match="different gold rows"):
        compare(system("a", "xx"), system("b", "xxx"))
    with pytest.raises(ValueError, match="right and wrong"):
        compare(system("a", "x."), system("b", ".x"), metric="tanimoto")


def test_table_has_a_column_each() -> None:
    systems = [system("first", "xx.."), system("second", "x..."), system("third", "....")]
    table = comparison_table(systems)
    [exact] = [line for line in table.splitlines() if line.strip().startswith("Exact match")]
    assert exact.split()[-3:] == ["50.0", "25.0", "0.0"]
    assert table.count(" against ") == 3


def test_command_takes_several(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "gold.csv").write_text("image,smiles\na.png,CCO\nb.png,CC\n")
    (tmp_path / "one.csv").write_text("image,smiles\na.png,CCO\nb.png,CC\n")
    (tmp_path / "two.csv").write_text("file,smiles\na.png,CCO\n")
    files = [str(tmp_path / name) for name in ("gold.csv", "one.csv", "two.csv")]
    out, report = tmp_path / "scores.json", tmp_path / "report.html"
    assert main(["evaluate", *files, "--out", str(out), "--report", str(report), "--subsets"]) == 0
    printed = capsys.readouterr().out
    assert "one against two: 1 right only by one, 0 by two" in printed
    assert "two: 1 without a prediction" in printed
    assert "exact match by subset" in printed
    content = json.loads(out.read_text())
    assert [s["name"] for s in content["systems"]] == ["one", "two"]
    assert content["comparisons"][0]["p_value"] == 1
    assert ">two<" in report.read_text()
    assert main(["evaluate", *files, "--name", "alone"]) == 2
