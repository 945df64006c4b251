"""`--dry_run` says what the run then does; nothing is loaded or written."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from qwen_vl_finetune.dataset import LlavaDataset
from qwen_vl_finetune.dry_run import eval_logit_bytes, shape_of_model, weight_bytes
from qwen_vl_finetune.parsing import parse_arguments
from qwen_vl_finetune.processing import load_processor

from .conftest import LORA, Train


def table_of(text: str) -> list[str]:
    """The lines of the parts table."""
    return re.findall(r"^(?:part|vision|merger|language|head) .*$", text, re.MULTILINE)


@pytest.mark.parametrize(
    "flags",
    [
        ["--optim_muon", "true", "--max_steps", "-1", "--gradient_accumulation_steps", "3"],
        [*LORA, "--max_steps", "-1", "--num_train_epochs", "2"],
        [*LORA, "--max_steps", "-1", "--packing", "true", "--tokens_per_batch", "80"],
    ],
)
def test_a_dry_run_says_what_the_run_does(
    flags: list[str], train: Train, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    flags = ["--num_train_epochs", "1", *flags]
    train(tmp_path / "run", *flags, "--dry_run", "true")
    planned = capfd.readouterr().out
    assert not (tmp_path / "run").exists()
    run = train(tmp_path / "run", *flags)
    assert table_of(planned) == table_of(capfd.readouterr().out) != []
    steps = json.loads((run / "trainer_state.json").read_text())["global_step"]
    assert f"\n{steps} steps, " in planned
    assert "memory at least" in planned


def test_evaluation_may_need_more_than_training(
    nano: Path, data: Path, train: Train, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The logits of an evaluation batch, which is padded and as large as stock has it."""
    flags = ["--eval_path", str(data), "--per_device_eval_batch_size", "5", "--dry_run", "true"]
    train(tmp_path / "run", *LORA, *flags)
    (line,) = re.findall(r"^in evaluation .*$", capfd.readouterr().out, re.MULTILINE)
    dataset = LlavaDataset(data, data.parent, load_processor(nano))
    vocabulary = json.loads((nano / "config.json").read_text())["text_config"]["vocab_size"]
    gib = 4 * 5 * max(dataset.lengths()) * vocabulary / 2**30
    assert f"logits {gib:.2f}" in line
    assert "gradients" not in line
    words = ["--model_id", str(nano), "--data_path", str(data), "--output_dir", "unused", *LORA]
    arguments = parse_arguments([*words, "--per_device_eval_batch_size", "5"])
    assert eval_logit_bytes(arguments, shape_of_model(arguments, nano), dataset.lengths()) == (
        4 * 5 * max(dataset.lengths()) * vocabulary
    )


def test_no_weight_is_loaded(
    first: Path,
    train: Train,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("weights were asked for")

    for name in ("load_model", "load_adapters"):
        monkeypatch.setattr(f"qwen_vl_finetune.train.{name}", refuse)
    stack = [*LORA, "--first_lora_path", str(first)]
    train(tmp_path / "stack", *stack, "--dry_run", "true")
    assert f"stacked on {first}" in capfd.readouterr().out


def test_quantised_weights_are_counted_packed(nano: Path, data: Path) -> None:
    words = ["--model_id", str(nano), "--data_path", str(data), "--output_dir", "unused", *LORA]
    arguments = parse_arguments(words)
    model = shape_of_model(arguments, nano)
    assert all(parameter.is_meta for parameter in model.parameters())
    whole = weight_bytes(arguments, model, [])
    assert whole == sum(p.numel() * p.element_size() for p in model.parameters())
    arguments.model.bits = 4
    packed = sum(
        p.numel()
        for name, p in model.named_parameters()
        if "language_model" in name and "base_layer.weight" in name
    )
    assert weight_bytes(arguments, model, []) == whole - packed * 4 + packed // 2
