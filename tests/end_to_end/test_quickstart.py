"""The quickstart from drawings to report on little data: every stage is real, none learns much."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from data_preprocess.dataset.splits import connectivity_key, split_of
from eyesmol.chem.molfile import graph_to_molblock
from eyesmol.evaluation.gold import load_gold
from eyesmol.reader.embedded import NANO, model_folder
from eyesmol.reader.local import LocalRecognizer
from scripts import quickstart

ROOT = Path(__file__).resolve().parents[2]
Walk = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def walk() -> Walk:
    """Run the quickstart with options; its output is captured."""

    def run(*options: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "scripts.quickstart", *options]
        return subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


# A few molecules, a few steps: the stages are the same, only what it learns is not.
READ = 6
SMALL = ("--molecules", "40", "--max-atoms", "7", "--copies", "2", "--scale", "0.01",
         "--read", str(READ))  # fmt: skip
OWN = ["CCO", "CCN", "c1ccccc1O", "CC(=O)O", "CCCl", "C1CCCC1", "CC#N", "COC", "CCCO", "CNC",
       "OCCO", "CC(C)C", "NCCO", "C=CC", "CCF", "CC=O"]  # fmt: skip


@pytest.fixture(scope="module")
def small_run(walk: Walk, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a finished small quickstart."""
    folder = tmp_path_factory.mktemp("quickstart")
    done = walk("--out", folder, *SMALL)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return folder


@pytest.fixture(scope="module")
def own_drawings(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Images and molfiles as a user has them: an image is torn, another has no molfile."""
    from data_preprocess.drawing.render import render

    folder = tmp_path_factory.mktemp("own")
    images, molfiles = folder / "images", folder / "molfiles"
    images.mkdir()
    molfiles.mkdir()
    for number, text in enumerate(OWN):
        drawing = render(text, size=(300, 220), seed=number)
        drawing.image.save(images / f"d{number:02d}.png")
        (molfiles / f"d{number:02d}.mol").write_text(graph_to_molblock(drawing.graph))
    (images / "torn.png").write_bytes((images / "d00.png").read_bytes()[:200])
    shutil.copy(molfiles / "d00.mol", molfiles / "torn.mol")
    (images / "lonely.png").write_bytes((images / "d01.png").read_bytes())
    return images, molfiles


def test_every_stage_leaves_what_the_next_one_needs(small_run: Path) -> None:
    stages = json.loads((small_run / "stages.json").read_text())["seconds"]
    assert list(stages) == [
        "data",
        "instruction LoRA",
        "chain-of-thought LoRA, stacked",
        "merge",
        "read",
    ]
    record = json.loads((small_run / "merged" / "merge.json").read_text())
    assert [Path(a["path"]).name for a in record["adapters"]] == ["instruction", "cot_stack"]
    verified = record["verified"]  # as a share of the largest logit: a trained base has large ones
    assert verified["max_abs_difference"] < 5e-6 * verified["largest_logit"]
    for name in ("instruction", "cot_stack"):
        history = json.loads((small_run / name / "trainer_state.json").read_text())["log_history"]
        assert any("eval_loss" in row for row in history)
    rows = [json.loads(line) for line in (small_run / "predictions/stack.jsonl").open()]
    assert len(rows) == READ
    page = (small_run / "report.html").read_text()
    assert all(name in page for name in stages)
    assert page.count("data:image/webp") >= READ
    assert page.count("before, by nano") == READ


def test_a_finished_run_says_so_and_another_one_is_not_mixed_in(
    small_run: Path, walk: Walk
) -> None:
    weights = small_run / "merged" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    again = walk("--out", small_run, *SMALL)
    assert again.returncode == 0
    assert again.stdout.count(": done") == 5
    assert weights.stat().st_mtime_ns == before
    other = walk("--out", small_run, *SMALL, "--copies", "3")
    assert other.returncode != 0
    assert "other options" in other.stderr


def test_what_is_read_in_the_end_is_new_to_nano_and_to_every_lesson(small_run: Path) -> None:
    def part(smiles: str) -> str:  # as in nano's own training
        return split_of(connectivity_key(smiles) or smiles, 0.01, 0.0)

    gold = load_gold(small_run / "held_out/gold.json").rows
    molecules = (small_run / "data/molecules.smi").read_text("utf-8").split()
    read = {molecules[int(Path(row.image).stem.split("-")[1])] for row in gold}
    assert {part(smiles) for smiles in read} == {"valid"}
    for data in ("cot", "instruction"):
        rows = json.loads((small_run / "data" / data / "train.json").read_text("utf-8"))
        shown = {molecules[int(row["id"].split("-")[1])] for row in rows}
        assert {part(smiles) for smiles in shown} == {"train"}
        assert len(shown) > 30


def test_the_reader_sees_what_the_trainer_trained_on(small_run: Path) -> None:
    """Same tokens before the answer, same pixels, same answer form: nothing may differ."""
    from qwen_vl_finetune.collator import Collator
    from qwen_vl_finetune.dataset import LlavaDataset
    from qwen_vl_finetune.processing import load_processor

    data, model = small_run / "data" / "cot", small_run / "merged"
    processor = load_processor(model)
    dataset = LlavaDataset(data / "test.json", data, processor, False)
    batch = Collator(processor)([dataset[0]])
    labels = batch["labels"][0]
    prompt_length = int((labels != -100).nonzero()[0])

    reader = LocalRecognizer.from_folder(model)
    row = json.loads((data / "test.json").read_text())[0]
    with Image.open(data / row["image"]) as image:
        seen = reader._inputs([reader.frame.fit(image)])
    assert seen["input_ids"][0].tolist() == batch["input_ids"][0][:prompt_length].tolist()
    assert (seen["pixel_values"] - batch["pixel_values"]).abs().max() == 0
    assert reader.form == json.loads((data / "dataset_info.json").read_text())["answer_form"]


def test_the_notebook_runs_top_to_bottom(
    small_run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("EYESMOL_RUN", str(small_run))
    notebook = nbformat.read(ROOT / "inference" / "simple_inference_cot.ipynb", as_version=4)
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()  # raises where a cell fails
    shown = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    said = "".join(out.get("text", "") for out in shown)
    assert "Cn1c(=O)c2c(ncn2C)n(C)c1=O        right" in said  # caffeine, by the detector
    assert "blank sheet: no molecule" in said
    assert "Exact match" in said
    assert re.search("merged, verified, and reads .* as the quickstart's", said)
    assert sum("image/png" in out.get("data", {}) for out in shown) >= 4


def test_drawings_and_a_checkpoint_of_the_users_go_through_the_same_stages(
    walk: Walk, own_drawings: tuple[Path, Path], tmp_path: Path
) -> None:
    """Images and molfiles in, a report out; what is broken is counted, not fatal."""
    images, molfiles = own_drawings
    done = walk("--images", images, "--molfiles", molfiles, "--model", model_folder(NANO),
                "--out", tmp_path, "--scale", "0.005", "--max-new-tokens", "120")  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    info = json.loads((tmp_path / "merged" / "dataset_info.json").read_text())
    rows, drops = sum(info["splits"].values()), {k: v["count"] for k, v in info["drops"].items()}
    assert rows + sum(drops.values()) == len(OWN) + 2, drops
    assert rows >= len(OWN) - 2, drops
    assert info["pixel_frame"]["min_pixels"] > 112 * 112  # a real model sees larger images
    assert (tmp_path / "report.html").exists()


def test_nano_sees_the_users_drawings_six_times_as_large_as_its_own(
    own_drawings: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it is taught a tenth of what it is taught of many small drawings."""
    images, molfiles = map(str, own_drawings)
    words = ["quickstart", "--images", images, "--molfiles", molfiles, "--scale", "0.1"]
    monkeypatch.setattr(sys, "argv", words)
    options = quickstart.parse_options()
    quickstart.build_data(options, tmp_path / "data/cot", "cot")
    side = quickstart.nano_side()
    info = json.loads((tmp_path / "data/cot/dataset_info.json").read_text())
    assert info["pixel_frame"]["min_pixels"] == side**2
    assert info["pixel_frame"]["max_pixels"] == 6 * side**2
    assert info["splits"]["test"] > 0
    assert quickstart.nano_lessons(options)["cot"].samples == 160
    assert quickstart.longest_answer(options) == 800


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--images", "."], "--images goes with --molfiles"),
        (
            ["--images", ".", "--molfiles", ".", "--smiles", "a.csv"],
            "--images goes with --molfiles",
        ),
        (["--images", ".", "--smiles", "no.csv"], "no.csv is no file"),
        (["--images", "no", "--molfiles", "no"], "no is no folder"),
        (["--max-new-tokens", "0"], "--max-new-tokens: expected at least 1"),
    ],
)
def test_wrong_options_are_answered_at_once(walk: Walk, wrong: list[str], said: str) -> None:
    answer = walk(*wrong)
    assert answer.returncode == 2
    assert said in answer.stderr
