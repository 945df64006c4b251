"""What a run folder may be resumed with, what is refused, and how a run becomes longer."""

from __future__ import annotations

import copy
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from qwen_vl_finetune.adapters import ADAPTER
from qwen_vl_finetune.errors import UserError
from qwen_vl_finetune.grpo import GrpoArguments
from qwen_vl_finetune.parsing import make_parser
from qwen_vl_finetune.resume import LEARNING, is_finished
from safetensors.torch import load_file

from .conftest import LORA, Train, write_rows
from .test_run import SAVING, Killed, kill_after, losses

CONSTANT = ["--lr_scheduler_type", "constant"]


def test_every_setting_that_is_compared_is_a_flag() -> None:
    known = {action.dest for action in make_parser()._actions} | vars(GrpoArguments()).keys()
    assert LEARNING - known == set()


def test_harmless_changes_resume(
    nano: Path, data: Path, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Another name of the same model and data, another evaluation, another split of a batch."""
    whole = train(tmp_path / "whole", *LORA, *SAVING, "--gradient_accumulation_steps", "2")
    cut = tmp_path / "cut"
    with monkeypatch.context() as patch:
        kill_after(6, patch)
        with pytest.raises(Killed):
            train(cut, *LORA, *SAVING, "--gradient_accumulation_steps", "2")
    record = json.loads((cut / "run.json").read_text())
    del record["settings"]["warmup_steps"]  # as if this trainer or its libraries were newer
    record["settings"]["gone"] = 3
    (cut / "run.json").write_text(json.dumps(record))
    moved = shutil.copytree(nano, tmp_path / "another_name")
    (rows := tmp_path / "rows").symlink_to(data.parent)
    monkeypatch.chdir(tmp_path)
    harmless = ["--per_device_eval_batch_size", "3", "--logging_first_step", "true"]
    train(
        cut, *LORA, *SAVING, "--gradient_accumulation_steps", "2", *harmless,
        model=Path(os.path.relpath(moved)), rows=rows / data.name,
    )  # fmt: skip
    assert "resuming from" in capsys.readouterr().out
    assert losses(cut) == losses(whole)
    one, two = load_file(whole / ADAPTER), load_file(cut / ADAPTER)
    assert all(torch.equal(one[key], two[key]) for key in one)


@pytest.fixture(scope="module")
def stopped(train: Train, first: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a stack that was stopped in its middle."""
    run = tmp_path_factory.mktemp("runs") / "stopped"
    return train(
        run, *LORA, *SAVING, "--first_lora_path", str(first), "--max_minutes", "1e-9",
        "--gradient_accumulation_steps", "2",
    )  # fmt: skip


def changed(record: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """A record with some settings changed, or with the fingerprint of `base`, `parents`, `data`."""
    record = copy.deepcopy(record)
    for name, value in settings.items():
        if name == "base":
            record["base"]["fingerprint"] = value
        elif name == "parents":
            record["parents"] = value
        elif name == "data":
            record["data_fingerprint"] = value
        else:
            assert name in record["settings"]
            record["settings"][name] = value
    return record


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lora_dropout": 0.5}, r"lora_dropout: 0\.05 before, 0\.5 now"),
        ({"gradient_accumulation_steps": 4}, "global batch: 4 before, 8 now"),
        ({"processes": 2}, "global batch: 4 before, 8 now"),
        ({"base": "x"}, "model_id: .* with other content"),
        ({"parents": []}, "first_lora_path: .*first before, none now"),
        ({"data": "x"}, "data_path: .* with other content"),
        ({"max_steps": 9}, "max_steps: 4 before, 9 now(.|\n)*--extend true makes a run longer"),
        ({"deepspeed": "zero2.json"}, "deepspeed: False before, True now"),
    ],
)
def test_what_changes_learning_is_refused(
    change: dict[str, Any], words: str, stopped: Path
) -> None:
    record = json.loads((stopped / "run.json").read_text())
    assert not is_finished(stopped, record)
    with pytest.raises(UserError, match=words):
        is_finished(stopped, changed(record, **change))


def test_other_processes_may_resume(stopped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the same global batch, and a note; not where a checkpoint is made of shards."""
    record = json.loads((stopped / "run.json").read_text())
    twice = changed(record, processes=2, gradient_accumulation_steps=1)
    assert not is_finished(stopped, twice)
    assert "note: 1 process(es) before, 2 now" in capsys.readouterr().out
    shutil.copytree(stopped, copied := stopped.with_name("sharded"))
    (copied / "run.json").write_text(json.dumps(changed(record, deepspeed="zero2.json")))
    with pytest.raises(UserError, match="holds the shards of as many"):
        is_finished(copied, changed(twice, deepspeed="zero2.json"))


def test_a_finished_run_becomes_longer(train: Train, tmp_path: Path) -> None:
    """Under a constant rate it is the run that was meant to be as long from the start."""
    flags = [*LORA, *SAVING, *CONSTANT]
    whole = train(tmp_path / "whole", *flags)
    run = train(tmp_path / "run", *flags, "--max_steps", "2")
    train(run, *flags, "--max_steps", "4", "--extend", "true")
    assert json.loads((run / "run.json").read_text())["finished"]
    assert losses(run) == losses(whole)
    one, two = load_file(whole / ADAPTER), load_file(run / ADAPTER)
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_what_can_not_become_longer_is_named(train: Train, tmp_path: Path) -> None:
    run = train(tmp_path / "run", *LORA, "--max_steps", "2")
    with pytest.raises(UserError, match="holds no whole checkpoint to resume from"):
        train(run, *LORA, "--max_steps", "4", "--extend", "true")
    with pytest.raises(UserError, match="max_steps: 2 before, 1 now"):
        train(run, *LORA, "--max_steps", "1", "--extend", "true")


def test_data_is_known_by_its_content(train: Train, data: Path, tmp_path: Path) -> None:
    run = train(tmp_path / "run", *LORA, "--max_steps", "1")
    rows = json.loads(data.read_text())
    other = write_rows(tmp_path, rows[::-1])
    flags = [*LORA, "--max_steps", "1", "--image_folder", str(data.parent)]
    with pytest.raises(UserError, match=r"data_path: .* with other content"):
        train(run, *flags, rows=other)
