"""The `eyesmol` command from its arguments to its files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from eyesmol.answer.text import write_answer
from eyesmol.chem.smiles import graph_from_smiles
from eyesmol.cli.main import main
from eyesmol.outputs import Journal, write_as
from eyesmol.recognition import Recognition
from nano.model import create_nano


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(create_nano(tmp_path_factory.mktemp("nano"), width=32, layers=1))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    for name in ("b.png", "a.jpg", "more/c.tif"):
        Image.new("RGB", (80, 80), "white").save(folder / name)
    (folder / "notes.txt").write_text("not a picture")
    (folder / "d.png").write_bytes(b"\x89PNG, and no more")
    return folder


def test_a_folder_becomes_rows(
    model: str, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--model", model, "--max-new-tokens", "8", "--batch-size", "3"]
    out = tmp_path / "new folder" / "rows.jsonl"
    command = ["recognize", str(pictures), "missing.png", *options, "--out", str(out)]
    assert main(command) == 1
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    names = [Path(row["image"]).name for row in rows]
    assert names == ["a.jpg", "b.png", "d.png", "c.tif", "missing.png"]
    assert [row["error"] is not None for row in rows] == [False, False, True, False, True]
    assert "2 could not be read" in capsys.readouterr().err
    # What is finished is kept, unless asked otherwise.
    assert main(command) == 2
    assert "is there already; --overwrite replaces it" in capsys.readouterr().err
    assert main([*command, "--overwrite", "--allow-errors", "--quiet"]) == 0
    assert capsys.readouterr().err == ""

    assert main(["recognize", str(pictures / "b.png"), "--json", "--allow-errors", *options]) == 0
    [printed] = capsys.readouterr().out.splitlines()
    assert json.loads(printed)["answer"] == rows[1]["answer"]


def test_a_stopped_run_is_continued(
    model: str,
    pictures: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "out.sdf"
    command = ["recognize", str(pictures), "--model", model, "--max-new-tokens", "8",
               "--batch-size", "1", "--out", str(out)]  # fmt: skip
    add, count = Journal.add, 0

    def stop_at_third(self: Journal, recognition: Recognition) -> None:
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt
        add(self, recognition)

    monkeypatch.setattr(Journal, "add", stop_at_third)
    assert main(command) == 130
    assert not out.exists()
    assert main(command) == 1
    assert "resuming after 2 of 4 images" in capsys.readouterr().err
    assert out.read_text().count("$$$$") == 4
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.sdf", "pictures"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--model", "nowhere", "--out", "out.xyz"], "found the ending '.xyz'"),
        (["--model", "nowhere"], "nowhere: no such folder"),
        (["--json", "--out", "out.csv"], "--json prints"),
        (["b.png", "--out", "out.mol"], "a .mol holds one molecule"),
        (["https://example.org/a.png"], "nothing is fetched from the network; download it first"),
        (["-", "-"], "- can be given once"),
        (["--draft", "detector"], "--draft goes with a vision-language model in this process"),
        (["--draft", "detector", "--server", "http://a/v1"], "--draft goes with"),
        (["--second-opinion", "detector"], "--second-opinion goes with"),
        (["--model", "nano", "--draft-tolerance", "-1"], "expected at least 0 pixels"),
    ],
)
def test_mistakes_are_said_in_one_line(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recognize", "a.png", *arguments]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("eyesmol: ")
    assert complaint in line


def test_an_empty_folder_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recognize", str(tmp_path), "--model", "nowhere"]) == 2
    assert "no image in this folder" in capsys.readouterr().err


def test_evaluate_prints_and_writes(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = write_answer(graph_from_smiles("CCO").transformed(9, 40, 40, flip=True), "CCO", "json")
    read = Recognition.from_answer(
        str(pictures / "b.png"), text, size=(80, 80), frame_size=(80, 80)
    )
    write_as(tmp_path / "mine.jsonl", [read.to_dict()])
    (tmp_path / "gold.csv").write_text("image,smiles\nb.png,OCC\na.jpg,CC\n")
    files = [str(tmp_path / name) for name in ("gold.csv", "mine.jsonl", "s.json", "r.html")]
    assert main(["evaluate", *files[:2], "--out", files[2], "--report", files[3]]) == 0
    assert "50.0 %" in capsys.readouterr().out
    scores = json.loads(Path(files[2]).read_text())
    assert (scores["name"], scores["missing"], scores["scores"]["exact"]["value"]) == (
        "mine",
        1,
        0.5,
    )
    assert "<!doctype html>" in Path(files[3]).read_text()

    assert main(["evaluate", files[0], "absent.jsonl"]) == 2
    assert main(["evaluate", *files[:2], "--out", "scores.txt"]) == 2
    err = capsys.readouterr().err
    assert "absent.jsonl: cannot be read" in err
    assert "expected a file that ends in .json" in err
