"""LoRA on a 4 or 8-bit base: what is packed, what trains, stacks, evaluation and resume."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from qwen_vl_finetune import adapters
from qwen_vl_finetune.merge import merge
from qwen_vl_finetune.model import load_checked, load_model
from qwen_vl_finetune.parsing import parse_arguments
from qwen_vl_finetune.processing import load_processor
from qwen_vl_finetune.train import build_model
from qwen_vl_finetune.verify import logits_of, sample_inputs
from safetensors.torch import load_file
from torch import nn

from .conftest import LORA, Train
from .test_run import SAVING, Killed, kill_after, losses
from .test_stack import EXCLUDE, PARTS, bare

bitsandbytes = pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")


def loaded(nano: Path, data: Path, bits: int, *flags: str) -> nn.Module:
    words = ["--model_id", str(nano), "--data_path", str(data), "--output_dir", "unused"]
    arguments = parse_arguments([*words, *LORA, "--bits", str(bits), "--use_cpu", "true", *flags])
    return load_model(nano, arguments)


@pytest.mark.parametrize("bits", [4, 8])
def test_language_matrices_are_packed_and_nothing_else(bits: int, nano: Path, data: Path) -> None:
    model = loaded(nano, data, bits)
    kind = bitsandbytes.nn.Linear4bit if bits == 4 else bitsandbytes.nn.Linear8bitLt
    packed = {name for name, module in model.named_modules() if isinstance(module, kind)}
    assert packed == set(adapters.find_targets(bare(nano), {"language"}, EXCLUDE))
    for name, parameter in model.named_parameters():
        if name.removesuffix(".weight") not in packed:
            assert parameter.dtype == torch.float32, name
    if bits == 4:
        weights: list[Any] = [model.get_submodule(name).weight for name in packed]
        assert {weight.quant_state.quant_type for weight in weights} == {"nf4"}
        assert all(weight.quant_state.nested for weight in weights)  # double quantisation


@pytest.mark.parametrize("half", [False, True])
def test_four_bits_are_multiplied_in_the_precision_of_training(
    half: bool, nano: Path, data: Path
) -> None:
    """In fp16, bitsandbytes' own choice for some, what bf16 was chosen for overflows."""
    model = loaded(nano, data, 4, "--bf16", str(half))
    modules = [m for m in model.modules() if isinstance(m, bitsandbytes.nn.Linear4bit)]
    expected = torch.bfloat16 if half else torch.float32
    assert {module.compute_dtype for module in modules} == {expected}


@pytest.mark.parametrize("bits", [4, 8])
def test_checkpointing_reaches_every_adapter(
    bits: int, nano: Path, train: Train, tmp_path: Path
) -> None:
    """Each LoRA matrix moves, those of the vision tower among them, and the result merges."""
    flags = [*LORA, "--bits", str(bits), "--gradient_checkpointing", "true", "--max_steps", "2"]
    run = train(tmp_path / "run", *flags)
    state = load_file(run / adapters.ADAPTER)
    moved = {k.partition(".lora_B")[0] for k, v in state.items() if "lora_B" in k and v.any()}
    expected = adapters.find_targets(bare(nano), PARTS, EXCLUDE)
    assert moved == {f"base_model.model.{name}" for name in expected}
    merge(str(nano), [run], tmp_path / "merged", verify=True, tol=1e-5)


@pytest.mark.parametrize("bits", [4, 8])
def test_a_stack_on_a_packed_base_resumes_to_the_bit(
    bits: int,
    nano: Path,
    data: Path,
    train: Train,
    first: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With evaluations between its steps, which on some CPUs repack 4-bit weights."""
    stack = ["--first_lora_path", str(first)]
    evaluating = ["--eval_path", str(data), "--eval_strategy", "steps", "--eval_steps", "1"]
    flags = [*LORA, *stack, "--bits", str(bits), *evaluating, *SAVING]
    whole = train(tmp_path / "whole", *flags)
    history = json.loads((whole / "trainer_state.json").read_text())["log_history"]
    evaluated = [entry["eval_loss"] for entry in history if "eval_loss" in entry]
    assert len(set(evaluated)) == 4
    with monkeypatch.context() as patch:
        kill_after(3, patch)
        with pytest.raises(Killed):
            train(tmp_path / "cut", *flags)
    cut = train(tmp_path / "cut", *flags)
    assert losses(cut) == losses(whole)
    for name in (adapters.ADAPTER, adapters.FULL_MODULES):
        one, two = load_file(whole / name), load_file(cut / name)
        assert all(torch.equal(one[key], two[key]) for key in one)
    merge(str(nano), [first, whole], tmp_path / "merged", verify=True, tol=1e-5)


def test_a_stack_on_a_packed_base_starts_as_base_plus_first(
    nano: Path, data: Path, first: Path
) -> None:
    words = ["--model_id", str(nano), "--data_path", str(data), "--output_dir", "unused"]
    flags = [*LORA, "--bits", "4", "--use_cpu", "true", "--first_lora_path", str(first)]
    stack = build_model(parse_arguments([*words, *flags]), nano, [first])
    plain = adapters.load_adapters(loaded(nano, data, 4), [first])
    samples = sample_inputs(load_processor(nano))
    alone, beside = logits_of(plain, samples), logits_of(stack, samples)
    whole = logits_of(adapters.load_adapters(load_checked(nano), [first]), samples)
    for name in samples:
        assert torch.equal(alone[name], beside[name])
        assert not torch.equal(alone[name], whole[name])  # the base is packed indeed
