"""`eyesmol recognize` with the detector: what a person sees, and what a script can go by."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from rdkit import Chem
from rdkit.Chem import Draw

from eyesmol.cli.main import main
from eyesmol.outputs import Journal

ESTER, AMIDE = "CCOC(=O)c1ccccc1", "CC(=O)Nc1ccc(Cl)cc1"


def drawing(smiles: str = ESTER, size: tuple[int, int] = (300, 200)) -> Image.Image:
    return Draw.MolToImage(Chem.MolFromSmiles(smiles), size)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a drawing in it."""
    monkeypatch.chdir(tmp_path)
    drawing().save("a.png")
    return tmp_path


def sheet() -> Image.Image:
    """A sheet of paper at 150 dpi with two structures and lines of text."""
    page = Image.new("RGB", (1240, 1754), "white")
    for smiles, top in ((ESTER, 300), (AMIDE, 900)):
        page.paste(drawing(smiles, (400, 260)), (300, top))
    pen = ImageDraw.Draw(page)
    for top in (120, 160, 640, 680, 1300, 1340, 1380):
        pen.text((150, top), "The compounds were stirred for two hours at room temperature " * 2)
    return page


def test_a_line_an_image(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recognize", "a.png"]) == 0
    said = capsys.readouterr()
    smiles, confidence, image = said.out.rstrip("\n").split("\t")
    assert (smiles, image, said.err) == (ESTER, "a.png", "")
    assert 0.5 < float(confidence) <= 1

    # What cannot be read has a line, too, and the exit status says so.
    assert main(["recognize", "missing.png", "a.png"]) == 1
    said = capsys.readouterr()
    first, second = said.out.splitlines()
    assert first == "-\t-\tmissing.png\terror: missing.png: cannot be read as an image: the file " \
                    "is missing"  # fmt: skip
    assert second.startswith(ESTER)
    assert "2 images, 1 molecules, 1 could not be read" in said.err
    assert main(["recognize", "missing.png", "a.png", "--allow-errors"]) == 0
    assert main(["recognize", "missing.png", "--allow-errors"]) == 1


def test_a_guess_is_withheld_and_said_to_be(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recognize", "a.png", "--min-confidence", "1"]) == 1
    smiles, _, _, reason = capsys.readouterr().out.rstrip("\n").split("\t")
    assert smiles == "-"
    assert reason.startswith("abstained: confidence 0.")
    assert main(["recognize", "a.png", "--min-confidence", "1", "--json", "--allow-errors"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["smiles"], row["withheld_smiles"]) == (None, ESTER)


def test_pages_are_found_by_themselves(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pypdfium2")
    blank = Image.new("RGB", (1240, 1754), "white")
    sheet().save("paper.pdf", resolution=150, save_all=True, append_images=[blank])
    sheet().save("scan.png")
    assert main(["recognize", "paper.pdf", "scan.png", "a.png"]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == [ESTER, AMIDE, "-", ESTER, AMIDE, ESTER]
    assert [line[2].partition("@")[0] for line in lines] == [
        "paper.pdf#1", "paper.pdf#1", "paper.pdf#2", "scan.png", "scan.png", "a.png",
    ]  # fmt: skip
    assert lines[2][3] == "no molecule: no drawing of a structure was found on this page"


def test_standard_input(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(Path("a.png").read_bytes())))
    assert main(["recognize", "-"]) == 0
    assert capsys.readouterr().out.split("\t")[::2] == [ESTER, "stdin\n"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"no image")))
    assert main(["recognize", "-", "--out", "out.jsonl"]) == 1
    row = json.loads(Path("out.jsonl").read_text())
    assert row["image"] == "stdin"
    assert row["error"].startswith("stdin: cannot be read")


def test_one_molecule_is_a_molfile(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recognize", "a.png", "--out", "a.mol"]) == 0
    assert Chem.MolToSmiles(Chem.MolFromMolFile("a.mol")) == ESTER
    assert "1 images, 1 molecules -> a.mol" in capsys.readouterr().err


def test_two_runs_with_one_output_exclude_each_other_until_one_is_killed(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = (
        "import time; from pathlib import Path; from eyesmol.outputs import Journal\n"
        "with Journal(Path('out.csv'), {}, ['a.png']):\n"
        "    print('locked', flush=True); time.sleep(600)\n"
    )
    other = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout
        assert other.stdout.readline() == "locked\n"
        assert main(["recognize", "a.png", "--out", "out.csv"]) == 2
        assert "out.csv: another process is writing it" in capsys.readouterr().err
    finally:
        other.kill()
        other.wait()
    assert main(["recognize", "a.png", "--out", "out.csv"]) == 0
    assert sorted(path.name for path in here.iterdir()) == ["a.png", "out.csv"]


def test_a_page_that_was_read_in_part_is_read_again(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sheet().save("scan.png")
    command = ["recognize", "a.png", "scan.png", "--out", "out.smi"]
    add, count = Journal.add, 0

    def stop_at_third(self: Journal, *rest: object) -> None:
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt
        add(self, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as stopped:
        stopped.setattr(Journal, "add", stop_at_third)
        assert main(command) == 130
    assert main(command) == 0
    assert "resuming after 1 of 2 images" in capsys.readouterr().err
    lines = [line.split("\t") for line in Path("out.smi").read_text().splitlines()]
    assert [line[0] for line in lines] == [ESTER, ESTER, AMIDE]


@pytest.mark.parametrize("command", ["", "recognize", "evaluate", "calibrate", "serve"])
def test_help_loads_nothing_that_computes(command: str) -> None:
    program = (
        "import sys; from eyesmol.cli.main import main\n"
        "try:\n"
        f"    main([*{command.split()!r}, '--help'])\n"
        "finally:\n"
        "    heavy = {'numpy', 'PIL', 'rdkit', 'scipy', 'torch', 'onnxruntime'} & {*sys.modules}\n"
        "    assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "usage: " in done.stdout
