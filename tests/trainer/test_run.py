"""A run's folder: evaluation, resume to the bit, finished runs, several processes."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from qwen_vl_finetune import run_record, trainer
from qwen_vl_finetune.adapters import ADAPTER, FULL_MODULES
from qwen_vl_finetune.errors import UserError
from qwen_vl_finetune.merge import merge
from qwen_vl_finetune.model import load_checked
from qwen_vl_finetune.parsing import parse_arguments
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText

from .conftest import LORA, TRAINER, Train, make_rows, write_rows

SAVING = ["--save_strategy", "steps", "--save_steps", "2"]


def test_h_eval_loss_is_there_under_peft(train: Train, data: Path, tmp_path: Path) -> None:
    """Trap H: PEFT hides the forward's signature, and eval_loss is missing.

    Newer versions of transformers look through PEFT by themselves, so what is said to the older
    ones is looked at, too.
    """
    words = ["--model_id", "x", "--data_path", str(data), "--output_dir", "unused", *LORA]
    assert parse_arguments(words).train.label_names == ["labels"]
    flags = ["--eval_path", str(data), "--eval_strategy", "steps", "--eval_steps", "2"]
    run = train(tmp_path / "run", *LORA, *flags)
    history = json.loads((run / "trainer_state.json").read_text())["log_history"]
    assert len([entry for entry in history if "eval_loss" in entry]) == 2
    assert [entry["step"] for entry in history if "loss" in entry] == [1, 2, 3, 4]


def test_i_class_comes_from_config_not_from_the_name(
    nano: Path, train: Train, tmp_path: Path
) -> None:
    """Trap I: a folder's name says nothing about the model in it."""
    renamed = shutil.copytree(nano, tmp_path / "Qwen2-VL-2B-llama")
    assert type(load_checked(renamed)).__name__ == "Qwen2_5_VLForConditionalGeneration"
    config = json.loads((renamed / "config.json").read_text())
    (renamed / "config.json").write_text(json.dumps({**config, "model_type": "llama"}))
    with pytest.raises(UserError, match="model_type is 'llama', expected one of qwen2_vl"):
        train(tmp_path / "run", *LORA, model=renamed)


class Killed(BaseException):
    """Stands for the end of the process."""


def kill_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next training end abruptly, when it has taken so many steps."""
    taken: list[int] = []
    stock = trainer.QwenTrainer.training_step

    def step(self: trainer.QwenTrainer, *args: object) -> torch.Tensor:
        if len(taken) == steps:
            raise Killed
        taken.append(1)
        return stock(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(trainer.QwenTrainer, "training_step", step)


def losses(run: Path) -> list[float]:
    """The logged training losses."""
    history = json.loads((run / "trainer_state.json").read_text())["log_history"]
    return [entry["loss"] for entry in history if "loss" in entry]


FULL = ["--optim_muon", "true", "--cache_samples", "true"]


@pytest.mark.parametrize("kind", ["stack", "full"])
def test_resume_is_exact(
    kind: str, train: Train, first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was killed and started again equals an uninterrupted one, bit by bit.

    The stack's resume must re-activate the first adapter and freeze it again; the full
    fine-tune's must map the names on disk to those in memory, and bring Muon's state back.
    """
    flags = [*LORA, "--first_lora_path", str(first)] if kind == "stack" else FULL
    whole = train(tmp_path / "whole", *flags, *SAVING)
    with monkeypatch.context() as patch:
        kill_after(3, patch)
        with pytest.raises(Killed):
            train(tmp_path / "cut", *flags, *SAVING)
    cut = tmp_path / "cut"
    assert not run_record.read_record(cut)["finished"]  # type: ignore[index]
    half = shutil.copytree(cut / "checkpoint-2", cut / "checkpoint-3")
    (half / "trainer_state.json").write_text('{"global_step": 3,')  # cut off while it was written
    assert run_record.last_whole_checkpoint(cut) == cut / "checkpoint-2"
    train(cut, *flags, *SAVING)
    assert losses(cut) == losses(whole)
    for name in (ADAPTER, FULL_MODULES) if kind == "stack" else ("model.safetensors",):
        one, two = load_file(whole / name), load_file(cut / name)
        assert one.keys() == two.keys()
        assert all(torch.equal(one[key], two[key]) for key in one)


def test_finished_run_is_left_alone_and_other_settings_are_refused(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(tmp_path / "run", *LORA, "--max_steps", "1")
    stamp = (run / ADAPTER).stat().st_mtime_ns
    train(run, *LORA, "--max_steps", "1", "--logging_steps", "5")
    assert "is finished" in capsys.readouterr().out
    assert (run / ADAPTER).stat().st_mtime_ns == stamp
    with pytest.raises(UserError, match=r"learning_rate: 0\.01 before, 0\.5 now"):
        train(run, *LORA, "--max_steps", "1", "--learning_rate", "0.5")


def test_run_record_holds_no_secret(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_very_secret")
    monkeypatch.setenv("WANDB_API_KEY", "wandb_very_secret")
    with pytest.raises(UserError, match="--hub_token is not taken: keys come from the environ"):
        train(tmp_path / "run", *LORA, "--hub_token", "hf_very_secret")
    flags = ["--max_steps", "2", *SAVING, "--report_to", "tensorboard"]
    run = train(tmp_path / "run", *LORA, *flags)
    files = [path for path in run.rglob("*") if path.is_file()]
    assert any(path.name.startswith("events.out") for path in files)
    assert any(path.name == "optimizer.pt" for path in files)
    for path in files:
        assert b"very_secret" not in path.read_bytes(), path
    record = json.loads((run / "run.json").read_text())
    assert record["finished"]
    assert record["base"]["model_type"] == "qwen2_5_vl"
    assert record["settings"]["lora_rank"] == 4


def test_settings_that_could_be_keys_are_not_recorded() -> None:
    settings = {"hub_token": "a", "api_key": "b", "tokens_per_batch": 8, "lora_rank": 4}
    assert run_record.without_secrets(settings) == {"tokens_per_batch": 8, "lora_rank": 4}


def test_full_fine_tune_saves_a_plain_folder(train: Train, nano: Path, tmp_path: Path) -> None:
    run = train(tmp_path / "run", *FULL, "--max_steps", "2")
    model = AutoModelForImageTextToText.from_pretrained(run)
    before = dict(load_checked(nano).named_parameters())
    same = [n for n, p in model.named_parameters() if torch.equal(p, before[n])]
    assert same == []  # with 2 steps at 1e-2 every tensor of every part has moved
    for name in ("tokenizer.json", "preprocessor_config.json", "chat_template.jinja"):
        assert (run / name).is_file()
    assert not list(run.rglob("*.bin"))  # no pickled training arguments either


def test_pixel_budget_travels_into_the_merged_model(
    train: Train, nano: Path, tmp_path: Path
) -> None:
    rows = write_rows(tmp_path / "data", make_rows(tmp_path / "data"))
    info = {"pixel_frame": {"min_pixels": 28 * 28, "max_pixels": 28 * 56, "factor": 28}}
    (tmp_path / "data" / "dataset_info.json").write_text(json.dumps(info))
    run = train(tmp_path / "run", *LORA, "--max_steps", "1", rows=rows)
    merge(str(nano), [run], tmp_path / "merged", verify=True, tol=1e-5)
    size = json.loads((tmp_path / "merged" / "preprocessor_config.json").read_text())["size"]
    assert size == {"shortest_edge": 28 * 28, "longest_edge": 28 * 56}
    with pytest.raises(UserError, match=r"disagrees with dataset_info\.json"):
        train(tmp_path / "other", *LORA, "--image_max_pixels", "3136", rows=rows)


def test_vision_without_images_is_refused(train: Train, tmp_path: Path) -> None:
    rows = make_rows(tmp_path / "data")
    for row in rows:
        row["conversations"] = [
            {"from": "human", "value": "Say a."},
            {"from": "gpt", "value": "a"},
        ]
        del row["image"]
    with pytest.raises(UserError, match="holds no image"):
        train(tmp_path / "run", *LORA, rows=write_rows(tmp_path / "data", rows))


def test_detached_part_stops_the_run(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part that was asked to train and receives no gradient in the first step."""
    from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as stock

    forward = stock.Qwen2_5_VLPatchMerger.forward
    monkeypatch.setattr(
        stock.Qwen2_5_VLPatchMerger, "forward", lambda self, x: forward(self, x.detach())
    )
    with pytest.raises(UserError, match=r"asked to train \['vision'\], but no gradient"):
        train(tmp_path / "run", *LORA)


@pytest.mark.parametrize(
    "script", ["train_sft.py", "merge_lora_weights.py", "merge_lora_stack_weights.py"]
)
def test_help_teaches(script: str) -> None:
    path = TRAINER / "src" / script
    done = subprocess.run(
        [sys.executable, str(path), "--help"], capture_output=True, text=True, check=True
    )
    assert "usage:" in done.stdout
    assert "adapter" in done.stdout


def test_room_imports_nothing_of_ours() -> None:
    for path in (TRAINER / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {n.partition(".")[0] for n in names} & {"eyesmol", "data_preprocess"}, path
