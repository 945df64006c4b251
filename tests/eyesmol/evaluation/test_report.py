"""The report holds what it must, and nothing that it would have to fetch."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

from PIL import Image
from rdkit import Chem
from rdkit.Chem import Draw

from eyesmol.answer.text import write_answer
from eyesmol.chem.smiles import graph_from_smiles
from eyesmol.evaluation.gold import Gold, GoldSet
from eyesmol.evaluation.metrics import Evaluation, evaluate
from eyesmol.evaluation.opinions import opinions
from eyesmol.evaluation.report import (
    ReportPicture,
    pictures_of,
    write_evaluation_report,
    write_report,
)
from eyesmol.recognition import Molecule, Recognition


def evaluation(folder: Path) -> Evaluation:
    """Right, stereo wrong, unreadable, missing; the last two of the pictures have no file."""
    truth = {"right.png": "CCO", "stereo.png": "C[C@H](N)O", "bad.png": "CC", "missing.png": "C#N"}
    guesses = {"right.png": "CCO", "stereo.png": "C[C@@H](N)O"}
    predictions = [Recognition("bad.png", error="<b>bad.png</b>: cannot be read")]
    for name, smiles in guesses.items():
        Image.new("L", (90, 90), "white").save(folder / name)
        graph = graph_from_smiles(smiles).transformed(15, 45, 45, flip=True)
        text = write_answer(graph, smiles, "compact")
        predictions.append(
            Recognition.from_answer(str(folder / name), text, size=(90, 90), frame_size=(90, 90))
        )
    rows = tuple(Gold(name, smiles, graph_from_smiles(smiles)) for name, smiles in truth.items())
    gold = GoldSet("gold", rows, (("odd.png", "its SMILES is none"),))
    return evaluate(gold, predictions, name="stacked")


def test_report_is_whole_and_self_contained(tmp_path: Path) -> None:
    result = evaluation(tmp_path)
    path = write_report(
        tmp_path / "deep" / "report.html",
        title="A <quick> look",
        evaluations=[result, result],
        pictures=pictures_of(result, folder=tmp_path),
        losses={
            "first stage": [
                {"step": 1, "loss": 3.0},
                {"step": 2, "loss": 2.0, "epoch": 1},
                {"step": 2, "eval_loss": 2.1},
                {"train_runtime": 9.0, "step": 2},
            ],
            "silent stage": [],
        },
        seconds={"first stage": 61.0, "reading": 0.4},
        facts={"Model": "nano"},
    )
    html = path.read_text(encoding="utf-8")
    for expected in (
        "A &lt;quick&gt; look", "CCO", "C[C@H](N)O", "C[C@@H](N)O", "stereo only", "no prediction",
        "Gen-SMILES", "25.0 %", "first stage", "no loss was logged", "1 min 01 s", "odd.png",
        "nano", "&lt;b&gt;bad.png&lt;/b&gt;: cannot be read",
    ):  # fmt: skip
        assert expected in html, expected
    assert html.count('class="badge">right') == 1
    assert html.count('class="badge">wrong') == 3
    assert html.index(">stereo.png<") < html.index(">right.png<"), "wrong ones come first"

    assert "<script src" not in html
    references = re.findall(r'(?:src|href|xlink:href)\s*=\s*["\']?([^"\'\s>]+)', html)
    references += re.findall(r"url\(([^)]+)\)", html) + re.findall(r"@import\s+(\S+)", html)
    assert references
    assert all(reference.startswith(("data:", "#")) for reference in references)
    # Drawing and overlay of each of the two that were read; the truth of all four, and what was
    # read instead of one.
    images = re.findall(r"data:image/webp;base64,([A-Za-z0-9+/=]+)", html)
    assert len(images) == 4 + 4 + 1
    for data in images:
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            assert image.format == "WEBP"
            assert max(image.size) <= 390
    assert "4 images of 4 different molecules with 2 to 4 heavy atoms" in html


def test_a_gallery_of_three_hundred_can_be_mailed(tmp_path: Path) -> None:
    """Under 3 MB, even where all that is shown was read wrong."""
    smiles = "COC(=O)c1ccc(NC(=O)C2CCN(C)CC2)c(Cl)c1"
    other = smiles.replace("Cl", "Br")
    Draw.MolToImage(Chem.MolFromSmiles(other), (900, 700)).save(tmp_path / "a.png")
    graph = graph_from_smiles(other)
    placed = graph.transformed(30, 450, 350, flip=True)
    picture = ReportPicture("a.png", tmp_path / "a.png", "wrong", placed, smiles, other)
    few, many = (
        write_report(tmp_path / "r.html", title="x", pictures=[picture] * count).stat().st_size
        for count in (1, 6)
    )
    assert few + 199 * (many - few) / 5 < 3_000_000


def test_every_part_is_optional_and_large_galleries_are_cut(tmp_path: Path) -> None:
    empty = write_report(tmp_path / "empty.html", title="Nothing yet").read_text()
    assert "<h1>Nothing yet</h1>" in empty
    assert "<h2>" not in empty
    pictures = pictures_of(evaluation(tmp_path)) * 10
    cut = write_report(tmp_path / "cut.html", title="x", pictures=pictures, max_pictures=8)
    html = cut.read_text()
    assert html.count("<article") == 8
    assert html.count('<tr class="row"') == 32, "the others are listed"
    assert "Showing the images of 8 of 40 rows" in html
    assert html.count('class="badge">right') == 2, "a quarter is kept for right ones"
    more = write_report(tmp_path / "more.html", title="x", pictures=pictures, max_pictures=36)
    assert more.read_text().count('class="badge">wrong') == 27
    most = write_report(tmp_path / "most.html", title="x", pictures=pictures[:20], max_pictures=19)
    assert most.read_text().count('class="badge">wrong') == 15, "all of them before right ones"


def test_rows_are_grouped_by_kind_and_can_be_filtered(tmp_path: Path) -> None:
    html = write_report(
        tmp_path / "r.html", title="x", pictures=pictures_of(evaluation(tmp_path))
    ).read_text()
    heads = re.findall(r"<h3>([^<]+)<span>(\d+)", html)
    assert heads == [("No answer", "2"), ("Wedge or stereo", "1"), ("Right", "1")]
    [stereo] = re.findall(r'<article[^>]*data-kinds="stereo" data-subsets="([^"]*)"', html)
    assert stereo.split("|") == ["1 to 10 heavy atoms", "tetrahedral stereo"]
    for option in ("no answer (2)", "wedge or stereo (1)", "tetrahedral stereo (1)"):
        assert f">{option}</option>" in html
    assert "missing atom" not in html, "a kind that nobody has is no choice"
    assert "crossed double" in html


def system(name: str, answers: dict[str, tuple[str, float, float]]) -> Evaluation:
    rows = tuple(Gold(f"{n}.png", "CCO" if n == "a" else "C[C@H](N)O") for n in "abcd")
    found = [Recognition(f"{n}.png", molecule=Molecule(smiles), confidence=sure, seconds=seconds)
             for n, (smiles, sure, seconds) in answers.items()]  # fmt: skip
    return evaluate(GoldSet("gold", rows), found, name=name)


def test_systems_side_by_side(tmp_path: Path) -> None:
    sure = {n: ("C[C@H](N)O", 0.25 * k, 0.5) for k, n in enumerate("abcd", start=1)}
    first = system("sure", sure)
    second = system("a & b", {n: ("CCO", 9.5 + k, 2.0) for k, n in enumerate("abcd")})
    html = write_evaluation_report(
        tmp_path / "r.html", [first, second], gold_source="there/gold.csv"
    ).read_text()
    assert "a &amp; b" in html
    assert "a & b" not in html
    cells = re.findall(
        r'<td data-title="[^"]+" data-value="([^"]+)"( class="best")?><b>([^<]+)</b>', html
    )
    assert ("0.75", ' class="best"', "75.0 %") in cells
    assert ("0.5", ' class="best"', "0.50 s") in cells, "of times the least is best"
    assert ("2.0", "", "2.00 s") in cells
    assert "sure &middot; a &amp; b</td><td>tetrahedral stereo" in html
    # Confidences 0.25, 0.5, 0.75, 1 of which the last three are right.
    assert "expected calibration error 0.250" in html
    assert "its confidence is no probability" in html
    for chart in ("Accuracy by size", "Kinds of error", "Reliability", "Confidence", "Time"):
        assert f"<figcaption>{chart}</figcaption><svg" in html
    assert html.count("var(--s2)") > 3, "charts take their colours from the page"
    assert not re.search("#0[1-6]fe0[1-6]|#010101|#020202|#030303", html)
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(ids) == len(set(ids)), "charts keep their ids apart"


def test_pictures_are_found_by_the_gold_s_name(tmp_path: Path) -> None:
    """A gold of molfiles names no picture: it is looked for beside, with a picture's ending."""
    Image.new("L", (40, 40), "white").save(tmp_path / "a.tif")
    gold = GoldSet("gold", (Gold("a.mol", "CC"), Gold("b.mol", "CC")))
    result = evaluate(gold, [Recognition("else/a.png", molecule=Molecule("CC"))], name="x")
    found = {p.name: p.picture for p in pictures_of(result, folder=tmp_path)}
    assert found == {"a.mol": tmp_path / "a.tif", "b.mol": None}


def test_two_readers_are_told_apart_by_who_was_right(tmp_path: Path) -> None:
    cases = {
        "both.png": ("CCO", "OCC"), "alike.png": ("CCC", "CCC"), "taken.png": ("CCO", "CC"),
        "other.png": ("CCC", "CCO"), "neither.png": ("CCC", "C"), "alone.png": ("CCC", None),
    }  # fmt: skip
    gold = GoldSet("gold", tuple(Gold(name, "CCO") for name in cases))
    read = [
        Recognition(name, molecule=Molecule(taken), second_smiles=other)
        for name, (taken, other) in cases.items()
    ]
    result = evaluate(gold, read, name="model and detector")
    counted = opinions(result)
    assert counted is not None
    assert counted.images == 5
    assert list(counted.cases.values()) == [1] * 5
    path = write_evaluation_report(tmp_path / "two.html", [result], gold_source="gold.csv")
    html = path.read_text(encoding="utf-8")
    assert "who was right?" in html
    assert "the other reader is right" in html
