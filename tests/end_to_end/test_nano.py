"""The embedded reader: it is what its checksums say, it reads, and its recipe makes it again."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rdkit import Chem
from rdkit.Chem import Draw
from safetensors import safe_open

from data_preprocess.build.online import Drawings
from data_preprocess.dataset.splits import connectivity_key, split_of
from eyesmol.answer.grammar import State
from eyesmol.answer.text import prompt, read_answer, write_answer
from eyesmol.chem.smiles import graph_from_smiles
from eyesmol.evaluation.metrics import same_smiles
from eyesmol.reader.embedded import NANO, model_folder
from eyesmol.reader.local import LocalRecognizer
from nano.model import create_nano

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = Path(model_folder(NANO))


def sums(folder: Path) -> dict[str, str]:
    lines = (folder / "SHA256SUMS").read_text("utf-8").splitlines()
    return {name: digest for digest, name in (line.split("  ") for line in lines)}


def test_the_shipped_files_are_those_that_were_trained() -> None:
    files = {path.name: path for path in SHIPPED.iterdir() if path.name != "SHA256SUMS"}
    found = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    assert found == sums(SHIPPED)
    assert sum(path.stat().st_size for path in files.values()) <= 25_000_000
    pieces = json.loads(files["training.json"].read_text("utf-8"))
    assert sum(piece["pictures"] for piece in pieces) > 100_000
    assert "/" not in json.dumps([piece["rows"] for piece in pieces])  # no path of any machine


def test_it_loads_in_stock_transformers() -> None:
    from transformers import AutoModelForImageTextToText

    _, info = AutoModelForImageTextToText.from_pretrained(SHIPPED, output_loading_info=True)
    assert not any(info.values())


def test_it_reads_drawings_of_molecules_that_it_has_never_seen() -> None:
    """Far under what docs/nano.md says of it, and far over what chance or memory could give."""
    rows = Drawings(30, seed=5, side=112, varied=0.0, least=5, most=8, mean=7.0, spread=1.0,
                    part="held_out")  # fmt: skip
    drawn = [rows[index] for index in range(len(rows))]
    truth = [read_answer(row["conversations"][1]["value"]).smiles for row in drawn]
    assert {split_of(connectivity_key(smiles or "") or "", 0.01, 0.0) for smiles in truth} == {
        "valid"
    }
    reader = LocalRecognizer.from_folder(NANO)
    read = reader.recognize([row["image"] for row in drawn], batch_size=30)
    right = sum(same_smiles(a.smiles, b) for a, b in zip(read, truth, strict=True))
    assert right >= 0.3 * len(truth)
    # As other people draw: RDKit's own picture, in colour, larger.
    pictures = [Draw.MolToImage(Chem.MolFromSmiles(smiles), size=(300, 300)) for smiles in truth]
    read = reader.recognize(pictures, batch_size=30)
    right = sum(same_smiles(a.smiles, b) for a, b in zip(read, truth, strict=True))
    assert right >= 0.15 * len(truth)


def test_it_is_asked_in_the_words_that_it_was_trained_with() -> None:
    """Its tokenizer holds them as one token, so that newer ones would be seen at once."""
    known = json.loads((SHIPPED / "dataset_info.json").read_text("utf-8"))["prompt_version"]
    reader = LocalRecognizer.from_folder(NANO)
    assert reader.prompt_version == known == 2
    words = reader._tokenizer(prompt("compact", known), add_special_tokens=False).input_ids
    assert len(words) == 1
    assert prompt("compact", known) in reader._prompt
    # It may write no sign and no line that its version does not have.
    grammar = reader._tokens_of_answers().grammar(100, 100)
    text = write_answer(graph_from_smiles("CC").transformed(9, 40, 40), "CC", "compact")
    for new in ("*0", "/0", "-0\nSRU 0 n"):
        state: State | None = grammar.start
        for byte in text.replace("-0", new).encode():
            state = grammar.step(state, byte) if state else None
        assert state is None


def test_a_picture_is_read_without_naming_a_model(tmp_path: Path) -> None:
    Draw.MolToImage(Chem.MolFromSmiles("CCO"), size=(200, 200)).save(tmp_path / "a.png")
    done = subprocess.run(
        [sys.executable, "-m", "eyesmol", "recognize", tmp_path / "a.png"],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout.split("\t")[0] == "CCO"


def train(out: Path, *options: str | Path, width: int = 32) -> Path:
    """A piece of a model of some hundred thousand weights, two processes, a few steps."""
    command = [
        sys.executable, "-m", "nano.train_nano", "--out", out, "--width", str(width),
        "--layers", "1", "--rows", '{"most": 5, "mean": 4.0}', "--batch", "2", *options,
        "--", "--logging_steps", "1",
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return out / "nano"


def test_the_recipe_makes_the_same_weights_again_in_one_go_or_in_pieces(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    whole = train(tmp_path / "whole", "--steps", "3", "--keep", kept)
    cut = train(tmp_path / "cut", "--steps", "3", "--minutes", "1e-9")  # one step
    assert json.loads((cut / "training.json").read_text("utf-8"))[0]["steps"] == 1
    assert sums(cut)["model.safetensors"] != sums(whole)["model.safetensors"]
    cut = train(tmp_path / "cut", "--steps", "3")
    for name in ("model.safetensors", "tokenizer.json", "config.json", "preprocessor_config.json"):
        assert sums(cut)[name] == sums(whole)[name], name

    # Handed on in small files, a wider piece resumes with other molecules and larger images.
    larger = '{"most": 5, "mean": 4.0, "side": 140}'
    more = train(tmp_path / "more", "--start", kept, "--steps", "1", "--rows", larger,
                 width=64)  # fmt: skip
    first, second = json.loads((more / "training.json").read_text("utf-8"))
    assert (first["steps"], second["steps"]) == (3, 1)
    assert (first["width"], second["width"]) == (32, 64)
    assert first["rows"]["seed"] != second["rows"]["seed"]
    with (
        safe_open(more / "model.safetensors", "pt") as new,
        safe_open(whole / "model.safetensors", "pt") as old,
    ):
        assert set(new.keys()) == set(old.keys())
    assert first["pictures"] == first["rows"]["count"] == first["rows"]["alike"] * 3
    assert LocalRecognizer.from_folder(whole).frame.max_pixels == 112 * 112
    wide = LocalRecognizer.from_folder(more)
    assert wide.frame.max_pixels == 140 * 140
    assert wide._model.config.get_text_config().hidden_size == 64


def test_torn_files_are_no_beginning(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/nano.tar.000").write_bytes(b"no archive")
    done = subprocess.run(
        [sys.executable, "-m", "nano.train_nano", "--out", tmp_path / "out", "--start",
         tmp_path / "kept"], capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 1
    assert "found 1 parts nano.tar.NNN that make no whole archive" in done.stderr


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (["--width", "32"], "is 64 wide; expected more"),
        (["--layers", "2"], "it has 1 layers, and only its width can grow"),
    ],
)
def test_a_piece_can_be_neither_narrower_nor_deeper(
    tmp_path: Path, shape: list[str], message: str
) -> None:
    start = create_nano(tmp_path / "wide", width=64, layers=1)
    done = subprocess.run(
        [sys.executable, "-m", "nano.train_nano", "--out", tmp_path / "out", "--start",
         start, *shape], capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 1
    assert message in done.stderr


@pytest.mark.parametrize("bad", [["--minutes", "0"], ["--steps", "0"], ["--rows", "{"]])
def test_wrong_options_are_answered_at_once(bad: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nano.train_nano", *bad], capture_output=True, text=True,
        check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 2
    assert bad[0] in done.stderr
