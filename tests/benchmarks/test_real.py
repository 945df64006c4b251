"""Benchmarks of reading: a run that was stopped resumes, a sample is repeatable, scores add up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from rdkit import Chem
from rdkit.Chem import Draw

ROOT = Path(__file__).resolve().parents[2]
SMILES = {"a": "CCO", "b": "c1ccccc1", "c": "CC(=O)N", "d": "C[C@H](N)O", "e": "CC*"}

# Stands in for OSRA: right but for `b`, silent on `c`.
_STAND_IN = """#!/bin/sh
case "$*" in
  --version) echo 2.1.3 ;;
  *a.png*) echo "CCO 2.5" ;;
  *b.png*) echo "C1CCCCC1 1.0" ;;
  *d.png*) echo "C[C@@H](N)O 2.0" ;;
  *e.png*) echo "CC* 0.5" ;;
esac
echo "$2" >> "$(dirname "$0")/calls"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with one set, and a reader."""
    images = tmp_path / "data/five/images"
    images.mkdir(parents=True)
    for name, smiles in SMILES.items():
        Draw.MolToImage(Chem.MolFromSmiles(smiles), size=(120, 120)).save(images / f"{name}.png")
    Image.new("L", (9, 9)).save(images / "without_gold.png")
    rows = [f"{name}.png,{smiles}" for name, smiles in SMILES.items()]
    (tmp_path / "data/five/smiles.csv").write_text("\n".join(["image,smiles", *rows]) + "\n")
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/osra"
    program.write_text(_STAND_IN)
    program.chmod(0o755)
    return tmp_path


def real(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    command = [sys.executable, str(ROOT / "benchmarks/real.py"), "--out", str(folder / "out"),
               "--data", str(folder / "data"), *arguments]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_scores_resume_and_sheets(folder: Path) -> None:
    first = real(folder, "--osra", "--sample", "2")
    assert first.returncode == 0, first.stderr
    assert "| five | OSRA 2.1.3 | 2 |" in first.stdout

    # The rest is read now, and the line that a stop cut off is read again.
    (kept,) = (folder / "out").glob("five-osra-*.jsonl")
    kept.write_text(kept.read_text() + '{"image": "cut o')
    done = real(folder, "--osra", "--workers", "2", "--errors", str(folder / "sheet.png"))
    assert done.returncode == 0, done.stderr
    calls = [Path(call).name for call in (folder / "bin/calls").read_text().split()
             if call != "--version"]  # fmt: skip
    assert sorted(calls) == [f"{name}.png" for name in SMILES], "each image once"

    (scored,) = json.loads((folder / "out/scores.json").read_text())
    value = {name: share["value"] for name, share in scored["scores"].items()}
    assert scored["scored"] == 5
    assert value["exact"] == pytest.approx(2 / 5)
    assert value["exact_without_stereo"] == pytest.approx(3 / 5)
    assert value["chirality"] == 0
    assert value["validity"] == pytest.approx(4 / 5)
    # The surest two of five are a (right) and d (its mirror image).
    assert scored["surest_half"]["value"] == pytest.approx(1 / 2)
    assert scored["subsets"]["R groups"]["value"] == 1
    assert scored["seconds_median"] > 0
    sheets = {path.name for path in folder.glob("sheet-*.png")}
    assert sheets == {"sheet-no_answer.png", "sheet-order.png", "sheet-stereo.png"}


def test_what_is_missing_is_said(folder: Path) -> None:
    assert "nothing to score" in real(folder).stderr
    nowhere = real(folder, "--osra", "--sets", "six")
    assert nowhere.returncode == 2
    assert "found five; expected six" in nowhere.stderr
    no_run = real(folder, "--run", str(folder))
    assert no_run.returncode == 2
    assert "found no last.json" in no_run.stderr
