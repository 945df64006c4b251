"""The report holds what it must, and nothing that it would have to fetch."""

from __future__ import annotations

import base64
import re
from pathlib import Path

from PIL import Image

from eyesmol.answer import write_answer
from eyesmol.chemistry import graph_from_smiles
from eyesmol.gold import Gold, GoldSet
from eyesmol.recognition import Recognition
from eyesmol.report import pictures_of, write_report
from eyesmol.scores import Evaluation, evaluate


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

    assert "<script" not in html
    references = re.findall(r'(?:src|href|xlink:href)\s*=\s*["\']?([^"\'\s>]+)', html)
    references += re.findall(r"url\(([^)]+)\)|@import\s+(\S+)", html)
    assert references
    assert all(str(reference).startswith("data:") for reference in references)
    # Drawing and overlay, truth and reading, for each of the two that were read; truth for all.
    kinds = re.findall(r"data:image/(png|svg\+xml);base64,([A-Za-z0-9+/=]+)", html)
    assert sum(kind == "png" for kind, _ in kinds) == 4
    assert sum(kind == "svg+xml" for kind, _ in kinds) == 4 + 2 + 1
    for kind, data in kinds:
        if kind == "svg+xml":
            assert b'href="http' not in base64.b64decode(data)


def test_every_part_is_optional_and_large_galleries_are_cut(tmp_path: Path) -> None:
    empty = write_report(tmp_path / "empty.html", title="Nothing yet").read_text()
    assert "<h1>Nothing yet</h1>" in empty
    assert "<h2>" not in empty
    pictures = pictures_of(evaluation(tmp_path)) * 10
    cut = write_report(tmp_path / "cut.html", title="x", pictures=pictures, max_pictures=8)
    html = cut.read_text()
    assert html.count("<article") == 8
    assert "Showing 8 of 40" in html
    assert html.count('class="badge">right') == 2, "right and wrong keep their proportion"
