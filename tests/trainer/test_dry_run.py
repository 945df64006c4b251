"""`--dry_run` says what the run then does; nothing is loaded or written."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from qwen_vl_finetune import label_loss
from qwen_vl_finetune.dry_run import cache_bytes, logit_bytes, shape_of_model, weight_bytes
from qwen_vl_finetune.parsing import parse_arguments

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


def test_evaluation_has_a_line_of_its_own(
    nano: Path, data: Path, train: Train, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nothing trains there; generated answers keep their keys and values."""
    flags = ["--eval_path", str(data), "--per_device_eval_batch_size", "5", "--dry_run", "true"]
    scored = ["--eval_score", "json:dumps", "--eval_max_new_tokens", "7"]
    train(tmp_path / "run", *LORA, *flags, *scored)
    (line,) = re.findall(r"^in evaluation .*$", capfd.readouterr().out, re.MULTILINE)
    assert "gradients" not in line
    assert "keys and values" in line
    words = ["--model_id", str(nano), "--data_path", str(data), "--output_dir", "unused", *LORA]
    arguments = parse_arguments([*words, *flags, *scored])
    model = shape_of_model(arguments, nano)
    text = json.loads((nano / "config.json").read_text())["text_config"]
    width = text["num_key_value_heads"] * text["hidden_size"] // text["num_attention_heads"]
    assert cache_bytes(arguments, model, longest=20, rows=3) == (
        4 * 2 * text["num_hidden_layers"] * width * (20 + 7) * 3
    )


def test_no_more_logits_than_a_chunk_are_counted(
    nano: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--model_id", str(nano), "--data_path", str(data), "--output_dir", "unused", *LORA]
    model = shape_of_model(parse_arguments(words), nano)
    vocabulary = json.loads((nano / "config.json").read_text())["text_config"]["vocab_size"]
    assert logit_bytes(model, tokens=50, copies=2) == 2 * 4 * 50 * vocabulary
    monkeypatch.setattr(label_loss, "CHUNK_BYTES", 4 * vocabulary * 9)
    assert logit_bytes(model, tokens=50, copies=1) == 4 * 9 * vocabulary


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
