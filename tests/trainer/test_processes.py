"""Several processes give the losses and the weights of one, however they share the work.

The global batch is the same, and every second row has no image, so that some batch of a process
has none either. DDP and FSDP2 need nothing more; ZeRO needs deepspeed, which compiles a small
extension when it is first used (g++ and ninja, about a minute).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from qwen_vl_finetune.adapters import ADAPTER, FULL_MODULES
from qwen_vl_finetune.run_record import last_whole_checkpoint
from safetensors.torch import load_file

from .conftest import LORA, TRAINER, Train
from .test_run import losses

needs_deepspeed = pytest.mark.skipif(
    find_spec("deepspeed") is None or shutil.which("g++") is None,
    reason="deepspeed is not installed, or no compiler for its extension is there",
)
# a rate and a decay a part: shards have other shapes than what they are shards of
SETTINGS = [
    *LORA,
    *("--lora_dropout", "0", "--vision_lr", "1e-3", "--weight_decay", "0.5"),
    *("--save_strategy", "steps", "--save_steps", "2"),
]
COMMON = "--max_steps 4 --logging_steps 1 --learning_rate 1e-2"
QUIET = "--use_cpu true --report_to none --disable_tqdm true"


@pytest.fixture(scope="module")
def mixed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The eight rows, every second one without an image."""
    folder = tmp_path_factory.mktemp("mixed")
    shutil.copytree(data.parent / "images", folder / "images")
    rows = json.loads(data.read_text())
    for row in rows[::2]:
        del row["image"]
        row["conversations"][0]["value"] = "Where is it?"
    (folder / "train.json").write_text(json.dumps(rows))
    return folder / "train.json"


def launch(nano: Path, rows: Path, output: Path, *flags: str) -> Path:
    """Run `train_sft.py` as two processes on the CPU."""
    torchrun = "-m torch.distributed.run --standalone --nproc_per_node 2"
    words = f"--model_id {nano} --data_path {rows} --output_dir {output} {COMMON} {QUIET}"
    script = [str(TRAINER / "src" / "train_sft.py"), *words.split(), *flags]
    process = subprocess.Popen(
        [sys.executable, *torchrun.split(), *script, "--per_device_train_batch_size", "1"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    try:
        text, _ = process.communicate(timeout=400)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # the launcher's workers hang with it
    assert process.returncode == 0, text[-3000:]
    return output


@pytest.fixture(scope="module")
def alone(train: Train, mixed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One process that takes the whole global batch."""
    output = tmp_path_factory.mktemp("runs") / "alone"
    return train(output, *SETTINGS, "--per_device_train_batch_size", "2", rows=mixed)


def zero(name: str) -> list[str]:
    return ["--deepspeed", str(TRAINER / "scripts" / f"{name}.json")]


WAYS = {
    "ddp": [],
    "fsdp": ["--fsdp", "true"],
    "zero2": zero("zero2"),
    "zero3": zero("zero3"),
}


@pytest.mark.parametrize(
    "way",
    [pytest.param(w, marks=needs_deepspeed if w.startswith("zero") else ()) for w in WAYS],
)
def test_two_processes_learn_what_one_learns(
    way: str, nano: Path, mixed: Path, alone: Path, tmp_path: Path
) -> None:
    run = launch(nano, mixed, tmp_path / "run", *SETTINGS, *WAYS[way])
    assert losses(run) == pytest.approx(losses(alone), abs=1e-3)
    for name in (ADAPTER, FULL_MODULES):
        one, two = load_file(alone / name), load_file(run / name)
        assert one.keys() == two.keys()
        assert max(float((one[key] - two[key]).abs().max()) for key in one) < 1e-3
    assert last_whole_checkpoint(run) == run / "checkpoint-4"


@needs_deepspeed
def test_a_stack_goes_on_under_zero_2(
    nano: Path, mixed: Path, train: Train, tmp_path: Path
) -> None:
    """From its middle it takes the steps of an uninterrupted run, on top of the first adapter."""
    first = train(tmp_path / "first", *SETTINGS, "--max_steps", "1", rows=mixed)  # no dropout
    flags = [*SETTINGS, "--first_lora_path", str(first)]
    whole = train(tmp_path / "whole", *flags, "--per_device_train_batch_size", "2", rows=mixed)
    run = launch(nano, mixed, tmp_path / "run", *flags, *WAYS["zero2"])
    before, weights = losses(run), load_file(run / ADAPTER)
    assert before == pytest.approx(losses(whole), abs=1e-3)
    shutil.rmtree(run / "checkpoint-4")
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, "finished": False}))
    launch(nano, mixed, run, *flags, *WAYS["zero2"])
    assert losses(run) == before
    again = load_file(run / ADAPTER)
    assert all(torch.equal(weights[key], again[key]) for key in weights)


def test_a_missing_process_makes_a_checkpoint_torn(alone: Path, tmp_path: Path) -> None:
    """Without the random state of one of its processes, a checkpoint is passed over."""
    run = shutil.copytree(alone, tmp_path / "run")
    assert last_whole_checkpoint(run) == run / "checkpoint-4"
    record = json.loads((run / "checkpoint-4" / "run.json").read_text())
    record["settings"]["processes"] = 2
    (run / "checkpoint-4" / "run.json").write_text(json.dumps(record))
    assert last_whole_checkpoint(run) == run / "checkpoint-2"


def test_packs_without_images_on_two_processes(nano: Path, mixed: Path, tmp_path: Path) -> None:
    """DDP waits for ever for a process whose pack holds no image, unless it gets a blank one."""
    flags = [*SETTINGS, "--packing", "true", "--tokens_per_batch", "60"]
    run = launch(nano, mixed, tmp_path / "run", *flags)
    assert len(losses(run)) == 4
