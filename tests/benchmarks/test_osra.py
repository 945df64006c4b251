"""OSRA over a folder: what it says becomes rows, what goes wrong is said, a stopped run goes on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

SCRIPTS = Path(__file__).resolve().parents[2] / "benchmarks"

# Stands in for the program where it is not installed; it does what OSRA does in each case.
_STAND_IN = """#!/bin/sh
case "$*" in
  --version) echo 2.1.3 ;;
  *empty*) ;;
  *broken*) echo "cannot open file" >&2; exit 252 ;;
  *slow*) exec sleep 60 ;;
  *) echo "CCO 2.5"; echo "Cl 9.0" ;;
esac
echo "$2" >> "$(dirname "$0")/calls"
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    command = [sys.executable, str(SCRIPTS / "osra.py"), str(folder / "pictures"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/osra"
    program.write_text(_STAND_IN)
    program.chmod(0o755)
    (tmp_path / "pictures").mkdir()
    for name in ("good", "empty", "broken", "slow", "stopped"):
        Image.new("L", (20, 20), "white").save(tmp_path / f"pictures/{name}.png")
    return tmp_path


def test_every_picture_is_a_row_and_a_stopped_run_goes_on(folder: Path) -> None:
    out = folder / "out/osra.jsonl"
    arguments = ("--out", str(out), "--workers", "2", "--timeout", "5")
    assert run(folder, *arguments).returncode == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    found = {Path(row["image"]).stem: row for row in rows}
    assert found["good"]["smiles"] == "CCO", "the largest of the structures"
    assert found["good"]["confidence"] == 2.5
    assert (found["empty"]["smiles"], found["empty"]["error"]) == (None, None)
    assert "osra ended with 252: cannot open file" in found["broken"]["error"]
    assert "took more than 5 s" in found["slow"]["error"]

    again = run(folder, *arguments)
    assert "holds these pictures already" in again.stderr

    # As a kill leaves it: four rows are safe, the fifth is cut off.
    settings = {"tool": "osra", "version": "2.1.3", "timeout": 5.0}
    lines = [json.dumps({"settings": settings}), *out.read_text().splitlines()[:4], '{"image"']
    out.with_name("osra.jsonl.part").write_text("\n".join(lines))
    out.unlink()
    (folder / "bin/calls").unlink()
    assert run(folder, *arguments).returncode == 0
    assert [json.loads(line)["image"] for line in out.read_text().splitlines()] == [
        row["image"] for row in rows
    ]
    calls = [Path(line).name for line in (folder / "bin/calls").read_text().splitlines()]
    assert calls.count("stopped.png") == 1
    assert "good.png" not in calls, "that one was safe"


def test_without_the_program_it_says_what_to_install(tmp_path: Path) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    (tmp_path / "bin").mkdir()
    done = subprocess.run(
        [bash, str(SCRIPTS / "osra.sh"), "a", "b", "c"],
        capture_output=True, text=True, check=False, env={"PATH": str(tmp_path / "bin")},
    )  # fmt: skip
    assert done.returncode == 2
    assert "apt-get install osra" in done.stderr


@pytest.mark.skipif(shutil.which("osra") is None, reason="osra is not installed")
def test_the_real_program(shared_data: Path, tmp_path: Path) -> None:
    pictures = sorted((shared_data / "clef300/images").iterdir())[4:6]
    script = [str(SCRIPTS / "osra.py"), *map(str, pictures), "--out", str(tmp_path / "o.jsonl")]
    subprocess.run([sys.executable, *script], check=True, capture_output=True)
    rows = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert [Path(row["image"]).name for row in rows] == [p.name for p in pictures]
    assert all(row["smiles"] and row["seconds"] > 0 and row["confidence"] for row in rows)
