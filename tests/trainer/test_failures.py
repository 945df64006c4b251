"""What goes wrong in the middle of a run: it stops and says where, or continues if asked to."""

from __future__ import annotations

import json
import math
import re
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from qwen_vl_finetune import resume, run_record
from qwen_vl_finetune import train as training
from qwen_vl_finetune.adapters import ADAPTER
from qwen_vl_finetune.errors import DataError, UserError, plain
from qwen_vl_finetune.parsing import parse_arguments
from qwen_vl_finetune.processing import Processor
from safetensors.torch import load_file
from torch import nn

from .conftest import LORA, Train, make_rows, write_rows
from .test_run import SAVING, Killed, kill_after, losses

EPOCH = ["--max_steps", "-1", "--num_train_epochs", "1"]


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """Rows of which one has an image that breaks off, and one an image that is none."""
    path = write_rows(tmp_path / "data", make_rows(tmp_path / "data"))
    whole = tmp_path / "data" / "images" / "3.png"
    whole.write_bytes(whole.read_bytes()[:60])
    (tmp_path / "data" / "images" / "6.png").write_bytes(b"no image")
    return path


def test_an_unreadable_image_stops_the_run_and_is_named(
    damaged: Path, train: Train, tmp_path: Path
) -> None:
    """Also out of a worker process, whose traceback nobody asked for."""
    flags = [*LORA, "--dataloader_num_workers", "1", "--max_steps", "8"]
    with pytest.raises(DataError) as error:
        train(tmp_path / "run", *flags, rows=damaged)
    message = plain(error.value)
    assert re.match(rf"{damaged}: row (3|6) \(id 'r\d'\): image .*png can't be read", message)
    assert "--skip_bad_images true" in message
    assert "Traceback" not in message


@pytest.mark.parametrize(
    "batches",
    [
        ["--per_device_train_batch_size", "1"],  # a whole step without anything to learn
        ["--per_device_train_batch_size", "2", "--gradient_accumulation_steps", "2"],
        ["--packing", "true", "--tokens_per_batch", "100"],
        ["--train_sampling_strategy", "group_by_length", "--dataloader_num_workers", "2"],
    ],
)
def test_unreadable_images_are_skipped_when_asked(
    batches: list[str], damaged: Path, train: Train, tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """They are named once, counted, and nothing is learnt of them; the others are."""
    flags = [*LORA, "--skip_bad_images", "true", *batches, "--max_steps", "-1"]
    run = train(tmp_path / "run", *flags, "--num_train_epochs", "2", rows=damaged)
    shown = capfd.readouterr().out
    assert shown.count("skipped: ") == 2
    assert "2 rows taught nothing (unreadable image)" in shown
    named = [json.loads(line) for line in (run / "skipped.jsonl").read_text().splitlines()]
    assert sorted(entry["row"] for entry in named) == [3, 6]
    assert all("can't be read" in entry["problem"] for entry in named)
    assert all(math.isfinite(loss) for loss in losses(run))
    assert json.loads((run / "run.json").read_text())["data"]["dropped"] == {"unreadable image": 2}
    assert "- dropped: 2 rows unreadable image" in (run / "summary.md").read_text()


def test_a_skipped_row_changes_nothing_for_its_batch(
    damaged: Path, train: Train, tmp_path: Path
) -> None:
    """The loss of a batch with a skipped row is that of its other rows."""
    rows = json.loads(damaged.read_text())
    step = ["--max_steps", "1", "--learning_rate", "0", "--lora_dropout", "0"]
    with_bad = write_rows(damaged.parent, rows[2:5], "bad.json")
    without = write_rows(damaged.parent, [rows[2], rows[4]], "good.json")
    found = [
        losses(train(tmp_path / path.stem, *LORA, *step, *flags, rows=path))
        for path, flags in (
            (with_bad, ["--per_device_train_batch_size", "3", "--skip_bad_images", "true"]),
            (without, []),
        )
    ]
    assert found[0] == pytest.approx(found[1], abs=1e-5)


def test_rows_to_evaluate_on_are_read_beforehand(
    damaged: Path, train: Train, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    flags = ["--eval_path", str(damaged), "--image_folder", str(damaged.parent), "--max_steps", "1"]
    good = write_rows(damaged.parent, json.loads(damaged.read_text())[:2], "train2.json")
    run = train(tmp_path / "run", *LORA, *flags, "--skip_bad_images", "true", rows=good)
    shown = capfd.readouterr().out
    assert shown.count("left out: ") == 2
    history = json.loads((run / "trainer_state.json").read_text())["log_history"]
    assert all(math.isfinite(entry["eval_loss"]) for entry in history if "eval_loss" in entry)


# ---- losses that are no numbers ----


@pytest.mark.parametrize("kind", ["nan", "inf"])
def test_a_loss_that_is_no_number_names_its_rows(
    kind: str, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One image, known by its shade, becomes NaN on its way into the model."""
    path = write_rows(tmp_path / "data", make_rows(tmp_path / "data"))
    Image.new("L", (56, 56), 77).save(tmp_path / "data" / "images" / "5.png")
    stock = Processor.pixel_values

    def poisoned(self: Processor, pixels: np.ndarray) -> torch.Tensor:
        values = stock(self, pixels)
        if (pixels == 77).all(axis=(1, 2, 3)).any():
            values[:] = float(kind)
        return values

    monkeypatch.setattr(Processor, "pixel_values", poisoned)
    flags = [*LORA, *EPOCH, "--gradient_accumulation_steps", "2", *SAVING, "--save_steps", "1"]
    with pytest.raises(UserError, match=r"step \d: the loss is nan. It comes from") as error:
        train(tmp_path / "run", *flags, rows=path)
    named = str(error.value).split("these rows: ")[1]
    assert "row 5 (id 'r5')" in named
    assert named.count("(id ") == 2  # the micro-batch's, not all four rows of the step
    for checkpoint in (tmp_path / "run").glob("checkpoint-*"):
        assert all(v.isfinite().all() for v in load_file(checkpoint / ADAPTER).values())


def test_a_gradient_that_is_no_number_stops_the_run(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock = training.build_model

    def poisoned(*args: object) -> nn.Module:
        model = stock(*args)  # type: ignore[arg-type]
        last = [p for p in model.parameters() if p.requires_grad][-1]
        last.register_hook(lambda gradient: gradient * math.inf)
        return model

    monkeypatch.setattr(training, "build_model", poisoned)
    with pytest.raises(UserError, match=r"step 1: the gradient's norm is (inf|nan).*row \d"):
        train(tmp_path / "run", *LORA)


# ---- a full disk ----


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    """Writing on behind so many bytes fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("written", ["nothing", "weights"])
def test_a_full_disk_leaves_the_earlier_checkpoint(
    written: str, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run says so and stops; with space again it resumes as if nothing had happened."""
    flags = [*LORA, "--freeze_merger", "true", *SAVING]
    whole = train(tmp_path / "whole", *flags)
    cut = tmp_path / "cut"
    with monkeypatch.context() as patch:
        kill_after(3, patch)
        with pytest.raises(Killed):
            train(cut, *flags)
    sizes = {file.name: file.stat().st_size for file in (cut / "checkpoint-2").iterdir()}
    limit = {"nothing": sizes[ADAPTER] // 2, "weights": sizes["optimizer.pt"] - 1}[written]
    assert (sizes[ADAPTER] < limit) == (written == "weights")
    with no_file_longer_than(limit), pytest.raises(UserError) as error:
        train(cut, *flags)
    assert f"{cut / 'checkpoint-4'} could not be written" in str(error.value)
    assert f"{cut / 'checkpoint-2'} is whole" in str(error.value)
    assert not (cut / "checkpoint-4").exists()
    train(cut, *flags)
    assert losses(cut) == losses(whole)
    one, two = load_file(whole / ADAPTER), load_file(cut / ADAPTER)
    assert all(torch.equal(one[key], two[key]) for key in one)


@pytest.fixture(scope="module")
def saved(train: Train, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with two checkpoints."""
    return train(tmp_path_factory.mktemp("saved") / "run", *LORA, *SAVING)


@pytest.mark.parametrize("name", [ADAPTER, "optimizer.pt", "rng_state.pth", "trainer_state.json"])
def test_a_checkpoint_with_a_torn_file_is_passed_over(
    name: str, saved: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(saved, tmp_path / "run")
    assert run_record.last_whole_checkpoint(run) == run / "checkpoint-4"
    torn = run / "checkpoint-4" / name
    torn.write_bytes(torn.read_bytes()[:-8])
    assert run_record.last_whole_checkpoint(run) == run / "checkpoint-2"


@pytest.mark.parametrize("name", [ADAPTER, "optimizer.pt", "scheduler.pt", "rng_state.pth"])
def test_a_checkpoint_that_was_damaged_inside_is_passed_over(
    name: str, saved: Path, tmp_path: Path
) -> None:
    """As long as before, with other bytes in the middle of its largest tensor."""
    run = shutil.copytree(saved, tmp_path / "run")
    assert run_record.last_whole_checkpoint(run) == run / "checkpoint-4"
    file = run / "checkpoint-4" / name
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 16] = bytes(byte ^ 0xFF for byte in data[middle : middle + 16])
    file.write_bytes(data)
    assert run_record.last_whole_checkpoint(run) == run / "checkpoint-2"


def test_a_checkpoint_without_checksums_is_taken_as_before(saved: Path, tmp_path: Path) -> None:
    run = shutil.copytree(saved, tmp_path / "run")
    record = run_record.read_record(run / "checkpoint-4")
    assert record
    assert record.pop("checksums").keys() == {ADAPTER, run_record.FULL_MODULES}
    run_record.write_record(run / "checkpoint-4", record)
    assert run_record.last_whole_checkpoint(run) == run / "checkpoint-4"


def test_nodes_that_see_different_run_folders_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one node would begin again while the others resume, and all would wait for ever."""
    found = {"alike": ["checkpoint-2"] * 2, "apart": ["checkpoint-2", ""]}
    monkeypatch.setattr(resume, "gather_object", lambda own: found["alike"])
    assert resume.agreed_checkpoint(tmp_path, 2) is None
    monkeypatch.setattr(resume, "gather_object", lambda own: found["apart"])
    with pytest.raises(UserError, match="some processes find checkpoint-2 there and others"):
        resume.agreed_checkpoint(tmp_path, 2)


# ---- no GPU ----


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--bf16 true", "--bf16: --use_cpu true if"),
        ("--fp16 true --use_cpu true", "--fp16: processors have"),
        ("--tf32 true", "--tf32: a format of NVIDIA"),
        ("--use_liger true", "--use_liger: its kernels"),
        ("--torch_compile true --use_cpu true", "--torch_compile: here each"),
    ],
)
def test_cuda_that_is_not_there_is_named_before_anything_is_read(
    flags: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=f"no CUDA device was found.*{said}"):
        parse_arguments(["--output_dir", "run", *flags.split()])


def test_a_visible_gpu_that_torch_does_not_find(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(UserError, match="CUDA_VISIBLE_DEVICES=0: --use_cpu true trains without"):
        parse_arguments(["--output_dir", "run"])
