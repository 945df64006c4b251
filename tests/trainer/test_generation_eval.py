"""Evaluation by generated answers: what is asked, how it is scored, nothing else changes."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from qwen_vl_finetune.attention import SDPA, register
from qwen_vl_finetune.dataset import LlavaDataset
from qwen_vl_finetune.errors import UserError
from qwen_vl_finetune.generation_eval import answer, load_score, prompt_of, untouched_random_state
from qwen_vl_finetune.model import load_checked
from qwen_vl_finetune.processing import load_processor
from qwen_vl_finetune.rows import to_messages
from qwen_vl_finetune.sharding import is_zero3

from .conftest import LORA, TRAINER, Train, write_rows
from .test_dataset import mixed_rows
from .test_run import FULL, SAVING, Killed, kill_after, losses

PLUG_IN = '''
import random
import numpy, torch

calls = []

def score(predictions, references):
    """Counts its calls, so that the second evaluation is the best; draws from every generator."""
    random.random(), numpy.random.rand(), torch.rand(1)
    calls.append((predictions, references))
    return {"agreement": [0.1, 0.7, 0.3, 0.2][len(calls) % 4 - 1], "rows": len(references)}

def odd(predictions, references):
    return 3

def broken(predictions, references):
    return {"x": 1 / 0}
'''


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A scoring function in the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    name = f"plug_in_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(PLUG_IN)
    return f"{name}:score"


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixed")
    rows = mixed_rows(folder)
    rows[3]["conversations"] += [{"from": "human", "value": "Sure?"}, {"from": "gpt", "value": "I"}]
    return write_rows(folder, rows)


@pytest.fixture(scope="module")
def taught(train: Train, mixed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has learnt something of the rows, so that its answers differ."""
    flags = "--max_steps 40 --muon_lr 2e-2 --per_device_train_batch_size 8"
    return train(tmp_path_factory.mktemp("runs") / "taught", *FULL, *flags.split(), rows=mixed)


def asking(data: Path, plug_in: str, rows: int = 5) -> list[str]:
    """Flags for an evaluation by answers at every second step."""
    words = f"--eval_path {data} --eval_strategy steps --eval_steps 2 --eval_score {plug_in}"
    return [*words.split(), "--eval_generate_rows", str(rows), "--eval_max_new_tokens", "6"]


def test_prompt_ends_where_the_last_answer_begins(nano: Path, mixed: Path) -> None:
    dataset = LlavaDataset(mixed, mixed.parent, load_processor(nano))
    for index in (0, 2, 3):
        messages = to_messages(dataset.rows[index])[:-1]
        processor = dataset.processor
        text = processor.render(messages, prompt=True)
        mark = "<|image_pad|>"
        found = processor.tokenizer.decode(prompt_of(dataset[index])).replace(mark * 4, mark)
        assert found.replace(mark * 3, mark) == text.replace(mark * 3, mark)


@pytest.mark.parametrize("attention", ["sdpa", SDPA])
def test_answers_of_a_batch_equal_answers_alone(attention: str, taught: Path, mixed: Path) -> None:
    """Left padding, several images, none: nothing changes an answer."""
    dataset = LlavaDataset(mixed, mixed.parent, load_processor(taught))
    model = load_checked(taught, dtype=torch.float32, attn_implementation=register()).eval()
    model.set_attn_implementation(attention)
    order = list(range(len(dataset)))
    together = answer(model, dataset, order, max_new_tokens=8, batch_size=8)
    alone = answer(model, dataset, order, max_new_tokens=8, batch_size=1)
    assert together == alone
    assert len(set(together)) > 1


def test_a_learnt_answer_is_generated_and_ends(train: Train, mixed: Path, tmp_path: Path) -> None:
    """The one row that was learnt by heart is answered in its words, and no further."""
    rows = json.loads(mixed.read_text())[:1]
    data = write_rows(tmp_path, rows)
    flags = "--max_steps 40 --muon_lr 2e-2 --per_device_train_batch_size 1 --image_folder"
    run = train(tmp_path / "run", *FULL, *flags.split(), str(mixed.parent), rows=data)
    dataset = LlavaDataset(data, mixed.parent, load_processor(run))
    model = load_checked(run, dtype=torch.float32).eval()
    assert answer(model, dataset, [0], max_new_tokens=20, batch_size=1) == ["at 0, 8"]


@pytest.mark.parametrize("kind", ["full", "lora", "stack", "packed"])
def test_training_does_not_notice_and_resume_is_exact(
    kind: str,
    train: Train,
    mixed: Path,
    first: Path,
    plug_in: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Random states, the KV cache and the model's mode are as they were."""
    dropout = [*LORA, "--lora_dropout", "0.3"]
    kinds = {
        "full": FULL,
        "lora": dropout,
        "stack": [*dropout, "--first_lora_path", str(first)],
        "packed": [*dropout, "--packing", "true", "--tokens_per_batch", "120"],
    }
    loss_only = ["--eval_path", str(mixed), "--eval_strategy", "steps", "--eval_steps", "2"]
    plain = train(tmp_path / "plain", *kinds[kind], *loss_only, rows=mixed)
    flags = [*kinds[kind], *asking(mixed, plug_in), *SAVING]
    whole = train(tmp_path / "whole", *flags, rows=mixed)
    assert losses(whole) == losses(plain)
    with monkeypatch.context() as patch:
        kill_after(3, patch)
        with pytest.raises(Killed):
            train(tmp_path / "cut", *flags, rows=mixed)
    cut = train(tmp_path / "cut", *flags, rows=mixed)
    assert losses(cut) == losses(whole)
    history = json.loads((whole / "trainer_state.json").read_text())["log_history"]
    found = [entry for entry in history if "eval_loss" in entry]
    assert [entry["eval_rows"] for entry in found] == [5, 5]
    table = [json.loads(line) for line in (cut / "samples.jsonl").read_text().splitlines()]
    assert [row["step"] for row in table] == [2] * 4 + [4] * 4
    assert (cut / "samples.jsonl").read_text() == (whole / "samples.jsonl").read_text()
    assert table[0].keys() == {"step", "row", "id", "prediction", "reference"}
    assert table[0]["reference"] == "at 0, 8"


def test_best_model_and_early_stopping_go_by_the_score(
    train: Train, mixed: Path, plug_in: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores are 0.1, 0.7, 0.3, 0.2: with a patience of two the run ends at the fourth."""
    flags = "--max_steps 12 --save_strategy steps --save_steps 1 --load_best_model_at_end true "
    flags += "--metric_for_best_model agreement --early_stopping_patience 2"
    words = [*LORA, *asking(mixed, plug_in, rows=2), *flags.split(), "--eval_steps", "1"]
    run = train(tmp_path / "run", *words, rows=mixed)
    state = json.loads((run / "trainer_state.json").read_text())
    assert state["best_metric"] == 0.7
    assert state["best_model_checkpoint"].endswith("checkpoint-2")
    assert state["global_step"] == 4
    assert json.loads((run / "run.json").read_text())["saved"]["step"] == 2
    summary = (run / "summary.md").read_text()
    assert "- saved: the weights of step 2, the best agreement (0.7000)" in summary
    # cut after the third evaluation, the run still remembers one of its two patient ones
    cut = shutil.copytree(run, tmp_path / "cut")
    shutil.rmtree(cut / "checkpoint-4")
    record = json.loads((cut / "run.json").read_text())
    (cut / "run.json").write_text(json.dumps({**record, "finished": False}))
    sys.modules[plug_in.partition(":")[0]].calls[:] = [0] * 3
    train(cut, *words, rows=mixed)
    assert json.loads((cut / "trainer_state.json").read_text())["global_step"] == 4


def test_random_state_is_left_alone() -> None:
    def draw() -> list[float]:
        return [random.random(), float(np.random.rand()), float(torch.rand(1))]  # noqa: NPY002

    for seeding in (random.seed, np.random.seed, torch.manual_seed):
        seeding(5)
    expected = draw()
    for seeding in (random.seed, np.random.seed, torch.manual_seed):
        seeding(5)
    with untouched_random_state():
        draw()
    assert draw() == expected


@pytest.mark.parametrize("name", ["nowhere:score", "json:nothing", "json", "json:__name__"])
def test_odd_plug_ins_are_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"--eval_score {name}"):
        load_score(name)


def test_odd_scores_are_refused(train: Train, mixed: Path, plug_in: str, tmp_path: Path) -> None:
    odd = plug_in.replace(":score", ":odd")
    with pytest.raises(UserError, match="returned 3, expected a dict of numbers"):
        train(tmp_path / "run", *LORA, *asking(mixed, odd), rows=mixed)


def test_a_plug_in_that_raises_is_named(
    train: Train, mixed: Path, plug_in: str, tmp_path: Path
) -> None:
    broken = plug_in.replace(":score", ":broken")
    words = r"--eval_score \w+:broken: ZeroDivisionError: division by zero \(.*\.py, line \d+\)"
    with pytest.raises(UserError, match=words):
        train(tmp_path / "run", *LORA, *asking(mixed, broken), rows=mixed)


def test_a_misspelt_metric_is_named(
    train: Train, mixed: Path, plug_in: str, tmp_path: Path
) -> None:
    best = "--load_best_model_at_end true --save_strategy steps --save_steps 2"
    flags = [*LORA, *best.split(), "--metric_for_best_model", "agrement"]
    with pytest.raises(UserError, match="no such score; found agreement, loss, rows"):
        train(tmp_path / "run", *flags, *asking(mixed, plug_in), rows=mixed)
    loss_only = ["--eval_path", str(mixed), "--eval_strategy", "steps", "--eval_steps", "2"]
    with pytest.raises(UserError, match="agrement: without --eval_score there is none but loss"):
        train(tmp_path / "run", *flags, *loss_only, rows=mixed)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--eval_generate_rows 3", "--eval_generate_rows needs --eval_score"),
        ("--eval_score json:dumps", "--eval_score needs --eval_path"),
        ("--eval_score a:b --eval_max_new_tokens 0", "expected at least 1"),
        ("--early_stopping_patience 2", "needs --load_best_model_at_end true"),
    ],
)
def test_mistakes_are_named(flags: str, said: str, train: Train, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        train(tmp_path / "run", *flags.split())


def test_sharded_weights_are_known() -> None:
    files = {name: str(TRAINER / "scripts" / f"{name}.json") for name in ("zero2", "zero3")}
    assert {name: is_zero3(file) for name, file in files.items()} == {
        "zero2": False,
        "zero3": True,
    }
    assert is_zero3({"zero_optimization": {"stage": 3}})
    assert not is_zero3(None)


def test_two_processes_share_the_answers(
    nano: Path, mixed: Path, plug_in: str, tmp_path: Path
) -> None:
    """Each answers its part; the scores and the table are those of one process."""
    tables = []
    for processes in (1, 2):
        run = tmp_path / f"of_{processes}"
        launch = f"-m torch.distributed.run --standalone --nproc_per_node {processes}"
        words = f"--model_id {nano} --data_path {mixed} --output_dir {run} --max_steps 1"
        flags = "--use_cpu true --save_strategy no --learning_rate 0 --report_to none"
        script = str(TRAINER / "src" / "train_sft.py")
        command = [*launch.split(), script, *words.split(), *flags.split(), *asking(mixed, plug_in)]
        subprocess.run(
            [sys.executable, *command, *LORA, "--eval_steps", "1"],
            env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
            check=True, timeout=500, capture_output=True,
        )  # fmt: skip
        history = json.loads((run / "trainer_state.json").read_text())["log_history"]
        assert [entry["eval_rows"] for entry in history if "eval_rows" in entry] == [5]
        tables.append((run / "samples.jsonl").read_text())
    assert tables[0] == tables[1]
