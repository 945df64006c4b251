"""Systems side by side: what differs, and what may be chance."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scipy.stats import binomtest

from eyesmol.cli.main import main
from eyesmol.evaluation.compare import _sign_flip, compare, comparison_table
from eyesmol.evaluation.gold import Gold, GoldSet, ScoreError
from eyesmol.evaluation.metrics import Evaluation, evaluate
from eyesmol.recognition import Molecule, Recognition


def system(name: str, right: str) -> Evaluation:
    """One that reads rightly the pictures that are marked with an x."""
    gold = GoldSet("gold", tuple(Gold(f"{n}.png", "C" * n + "O") for n in range(len(right))))
    predictions = [
        Recognition(f"{n}.png", molecule=Molecule("C" * n + ("O" if mark == "x" else "N")))
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


def drawn_often(name: str, right: str) -> Evaluation:
    """Letters are molecules, a capital is a drawing that was read rightly."""
    smiles = {"a": "C", "b": "CC", "c": "CCC", "d": "CCCC", "e": "CCCCC", "f": "CCCCCC"}
    golds = tuple(Gold(f"{n}.png", smiles[m.lower()]) for n, m in enumerate(right))
    read = [
        Recognition(f"{n}.png", molecule=Molecule(smiles[m.lower()] if m.isupper() else "O"))
        for n, m in enumerate(right)
    ]
    return evaluate(GoldSet("gold", golds), read, name=name)


def test_drawings_of_one_molecule_are_no_independent_images() -> None:
    """Six images that only one system reads: of six molecules they tell, of one they do not."""
    six = compare(drawn_often("x", "ABCDEF"), drawn_often("y", "abcdef"))
    assert six.p_value == pytest.approx(2 / 64)
    one = compare(drawn_often("x", "AAAAAA"), drawn_often("y", "aaaaaa"))
    assert (one.only_first, one.p_value) == (6, 1)
    # 3 + 2 + 1 ahead: of the eight sums of either sign two are 6 or -6.
    three = compare(drawn_often("x", "AAABBC"), drawn_often("y", "aaabbc"))
    assert three.p_value == pytest.approx(2 / 8)


@pytest.mark.parametrize(("first", "second"), [(0, 0), (7, 2), (30, 41), (200, 150)])
def test_with_one_drawing_a_molecule_it_is_mcnemars(first: int, second: int) -> None:
    expected = binomtest(first, first + second, 0.5).pvalue if first + second else 1
    assert _sign_flip([1] * first + [-1] * second + [0] * 9) == pytest.approx(expected, rel=1e-9)


def test_intervals_are_clustered_by_molecule() -> None:
    """Ten drawings of each of six molecules, all alike, tell as much as six drawings."""
    often, once = drawn_often("x", "A" * 10 + "BcdEF"), drawn_often("x", "ABcdEF")
    alike = drawn_often("x", "".join(m * 10 for m in "ABcdEF")).shares()["exact"]
    few = once.shares()["exact"]
    assert (alike.n, alike.molecules, few.molecules) == (60, 6, 6)
    # Of so few molecules the variance is estimated with 5 degrees of freedom, hence a bit wider.
    assert alike.low == pytest.approx(few.low, abs=0.03)
    assert alike.high == pytest.approx(few.high, abs=0.03)
    assert alike.bootstrap[1] - alike.bootstrap[0] > 0.4
    assert "images of 6 molecules: intervals and tests are clustered" in often.table()
    assert "clustered" not in once.table()
    sure = drawn_often("x", "A" * 50 + "B" * 50).shares()["exact"]
    assert sure.low < 0.5, "two molecules, however often they are drawn, are two"
