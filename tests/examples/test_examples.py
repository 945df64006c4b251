"""The examples run as they stand."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

from PIL import Image
from rdkit import Chem
from rdkit.Chem import Draw

from eyesmol.reader.local import LocalRecognizer

ROOT = Path(__file__).resolve().parents[2]
SMILES = {"aspirin": "CC(=O)Oc1ccccc1C(=O)O", "phenol": "Oc1ccccc1"}


def run(name: str, *options: str | Path) -> str:
    """What an example prints."""
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / name, *options],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def test_a_folder_becomes_a_table(tmp_path: Path) -> None:
    folder, table = tmp_path / "drawings", tmp_path / "molecules.csv"
    folder.mkdir()
    for name, smiles in SMILES.items():
        Draw.MolToImage(Chem.MolFromSmiles(smiles), size=(400, 300)).save(folder / f"{name}.png")
    (folder / "notes.txt").write_text("no image")
    run("read_folder.py", folder, table)
    with table.open(newline="") as file:
        rows = {Path(row["image"]).stem: row for row in csv.DictReader(file)}
    assert rows.keys() == {*SMILES, "notes"}
    assert rows["phenol"]["smiles"]
    assert rows["notes"]["error"]


def test_two_tools_side_by_side(tmp_path: Path) -> None:
    for name, last in (("gold", "CCO"), ("one", "CCO"), ("two", "CCN")):
        lines = ["image,smiles", *(f"{n}.png,{s}" for n, s in SMILES.items()), f"c.png,{last}"]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines))
    said = run("score_two_tools.py", *(tmp_path / f"{n}.csv" for n in ("gold", "one", "two")))
    assert "3 pictures scored" in said or "3 images scored" in said
    assert "1 right only by one, 0 by two" in said


def test_a_reader_learns_from_a_list_of_smiles(tmp_path: Path) -> None:
    (tmp_path / "molecules.smi").write_text("\n".join(["CCO", "CCN", "CC(C)O", "OCCN"] * 2))
    run("fine_tune.py", tmp_path / "molecules.smi", tmp_path / "run", "--steps", "2")
    reader = LocalRecognizer.from_folder(tmp_path / "run" / "model")
    (result,) = reader.recognize([Image.new("RGB", (112, 112), "white")], max_new_tokens=8)
    assert result.error is None
