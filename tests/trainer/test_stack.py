"""A stack of adapters does what it says: traps A to G of LoRA fine-tuning, one test each."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from qwen_vl_finetune import adapters
from qwen_vl_finetune.attention import register, speed_up_vision
from qwen_vl_finetune.errors import UserError
from qwen_vl_finetune.merge import merge
from qwen_vl_finetune.model import load_checked
from qwen_vl_finetune.parsing import parse_arguments
from qwen_vl_finetune.processing import load_processor
from qwen_vl_finetune.train import build_model
from qwen_vl_finetune.verify import logits_of, sample_inputs
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForImageTextToText, PreTrainedModel

from .conftest import FROZEN_MERGER, LORA, Train

PARTS = {"language", "vision"}
EXCLUDE = ["lm_head", "embed_tokens"]


def bare(nano: Path) -> PreTrainedModel:
    """The base as a run loads it, attention included: to the last bit."""
    model = load_checked(nano, dtype=torch.float32, attn_implementation=register())
    speed_up_vision(model)
    return model


def difference(nano: Path, one: nn.Module, two: nn.Module) -> float:
    """The largest difference of a logit, over a text and a text with an image."""
    samples = sample_inputs(load_processor(nano))
    a, b = logits_of(one, samples), logits_of(two, samples)
    return max(float((a[name] - b[name]).abs().max()) for name in samples)


def stack_on(first: Path, nano: Path, data: Path, *flags: str) -> nn.Module:
    """The model of a stack run, before its first step."""
    words = ["--model_id", str(nano), "--data_path", str(data), "--output_dir", "unused"]
    arguments = parse_arguments([*words, *LORA, "--first_lora_path", str(first), *flags])
    return build_model(arguments, nano, [first])


def test_a_stack_starts_as_base_plus_first(nano: Path, data: Path, first: Path) -> None:
    """Trap A: switching to the second adapter switches the first one off."""
    stack = stack_on(first, nano, data)
    only_first = adapters.load_adapters(bare(nano), [first])
    assert difference(nano, stack, only_first) == 0
    assert difference(nano, stack, bare(nano)) > 1e-3


def test_frozen_adapters_drop_nothing_while_another_trains(
    nano: Path, data: Path, first: Path
) -> None:
    """The first was trained with dropout; under the second it is part of the base."""
    assert json.loads((first / "adapter_config.json").read_text("utf-8"))["lora_dropout"] > 0
    stack = stack_on(first, nano, data, "--lora_dropout", "0").train()
    inputs = next(iter(sample_inputs(load_processor(nano)).values()))
    one, two = (stack(**inputs, use_cache=False).logits for _ in range(2))
    assert torch.equal(one, two)


def test_b_targets_are_those_of_the_bare_model(nano: Path, data: Path, first: Path) -> None:
    """Trap B: names looked up after injection include PEFT's own layers."""
    stack = stack_on(first, nano, data)
    expected = set(adapters.find_targets(bare(nano), PARTS, EXCLUDE))
    adapted = {
        adapters.bare_name(name).partition(".lora_")[0]
        for name, _ in stack.named_parameters()
        if adapters.adapter_of(name) == adapters.TRAINED
    }
    assert adapted == expected
    assert isinstance(stack, PeftModel)
    targets = str(stack.peft_config[adapters.TRAINED].target_modules)
    assert "base_layer" not in targets
    assert "lora_" not in targets
    with pytest.raises(TypeError, match="bare base model"):
        adapters.find_targets(stack, PARTS, EXCLUDE)


def test_b_regex_matches_its_names_and_nothing_else(nano: Path) -> None:
    model = bare(nano)
    names = adapters.find_targets(model, {"language", "vision", "merger"}, EXCLUDE, last=7)
    expression = adapters.target_regex(names)
    matched = [name for name, _ in model.named_modules() if re.fullmatch(expression, name)]
    assert sorted(matched) == sorted(names)
    assert len(names) == 7


@pytest.mark.parametrize("flags", [[], FROZEN_MERGER, [*FROZEN_MERGER, "--merger_lora", "true"]])
def test_c_only_what_was_asked_for_trains(
    flags: list[str], nano: Path, data: Path, train: Train, tmp_path: Path
) -> None:
    """Trap C: `"merger" in name` frees the tensors of a frozen adapter on the merger."""
    first = train(
        tmp_path / "first", *LORA, *FROZEN_MERGER, "--merger_lora", "true", "--max_steps", "1"
    )
    stack = stack_on(first, nano, data, *flags)
    own: set[str] = set()
    others: set[str] = set()
    for name, parameter in stack.named_parameters():
        if adapters.is_adapter_parameter(name):
            trained = adapters.adapter_of(name) == adapters.TRAINED
            assert parameter.requires_grad == trained, name
        else:
            bare_name = adapters.bare_name(name)
            (own if parameter.requires_grad else others).add(adapters.part_of(bare_name))
    assert own == (set() if flags else {"merger"})
    assert {"language", "vision"} <= others


def test_d_merged_equals_stack(nano: Path, first: Path, second: Path, tmp_path: Path) -> None:
    """Trap D: a merge that leaves layers out, silently."""
    merge(str(nano), [first, second], tmp_path / "merged", verify=True, tol=1e-5)
    found = json.loads((tmp_path / "merged" / "merge.json").read_text())
    assert found["verified"]["max_abs_difference"] <= 1e-5
    assert [a["path"] for a in found["adapters"]] == [str(first), str(second)]
    merged = AutoModelForImageTextToText.from_pretrained(tmp_path / "merged")
    assert difference(nano, merged, bare(nano)) > 1e-3
    changed = {name.removesuffix(".weight") for name in changed_weights(nano, tmp_path / "merged")}
    assert set(adapters.find_targets(bare(nano), PARTS, EXCLUDE)) <= changed


def changed_weights(before: Path, after: Path) -> list[str]:
    """Bare names of the weights that differ between two model folders."""
    one, two = (
        dict(load_checked(folder, dtype=torch.float32).named_parameters())
        for folder in (before, after)
    )
    return [name for name, value in one.items() if not torch.equal(value, two[name])]


def test_d_merge_equals_peft(nano: Path, first: Path, second: Path, tmp_path: Path) -> None:
    """Our arithmetic on files equals PEFT's on a loaded model."""
    merge(str(nano), [first, second], tmp_path / "merged", verify=False, tol=None)
    stack = adapters.load_adapters(bare(nano), [first, second])
    peft_merged = stack.merge_and_unload(adapter_names=list(stack.peft_config), safe_merge=True)
    ours = dict(load_checked(tmp_path / "merged", dtype=torch.float32).named_parameters())
    for name, value in peft_merged.named_parameters():
        torch.testing.assert_close(ours[name], value, rtol=0, atol=1e-6)


def test_d_failed_verification_keeps_nothing(nano: Path, first: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="differs from its adapters"):
        merge(str(nano), [first], tmp_path / "merged", verify=True, tol=-1.0)
    assert list(tmp_path.iterdir()) == []


def test_dora_merge_equals_its_forward(nano: Path, train: Train, tmp_path: Path) -> None:
    run = train(tmp_path / "dora", *LORA, "--use_dora", "true", "--max_steps", "2")
    merge(str(nano), [run], tmp_path / "merged", verify=True, tol=1e-5)


def test_e_lora_on_a_tied_head_is_refused(nano: Path, train: Train, tmp_path: Path) -> None:
    """Trap E: a merged tied head answers differently from the adapter."""
    with pytest.raises(UserError, match="lm_head"):
        train(tmp_path / "run", *LORA, "--lora_namespan_exclude", "[]")


@pytest.mark.parametrize("checkpointing", ["false", "true"])
def test_f_every_requested_module_gets_a_gradient_and_moves(
    checkpointing: str, nano: Path, train: Train, tmp_path: Path
) -> None:
    """Trap F: reentrant checkpointing gives a frozen tower's LoRA no gradient."""
    run = train(tmp_path / "run", *LORA, "--gradient_checkpointing", checkpointing)
    state = load_file(run / adapters.ADAPTER)
    moved = {k.partition(".lora_B")[0] for k, v in state.items() if "lora_B" in k and v.any()}
    expected = adapters.find_targets(bare(nano), PARTS, EXCLUDE)
    assert moved == {f"base_model.model.{name}" for name in expected}
    merger = load_file(run / adapters.FULL_MODULES)
    before = dict(bare(nano).named_parameters())
    assert all(not torch.equal(value, before[name]) for name, value in merger.items())


def test_f_reentrant_checkpointing_is_refused(nano: Path, train: Train, tmp_path: Path) -> None:
    flags = ["--gradient_checkpointing", "true"]
    with pytest.raises(UserError, match="use_reentrant"):
        train(tmp_path, *LORA, *flags, "--gradient_checkpointing_kwargs", '{"use_reentrant": true}')


def test_g_full_modules_have_clean_names_and_load_strictly(
    nano: Path, first: Path, second: Path, tmp_path: Path
) -> None:
    """Trap G: names with PEFT's `base_layer`, loaded without strictness, are dropped in silence."""
    expected = {
        name for name, _ in bare(nano).named_parameters() if adapters.part_of(name) == "merger"
    }
    for run in (first, second):
        with safe_open(run / adapters.FULL_MODULES, framework="pt") as file:
            assert set(file.keys()) == expected
    stack = adapters.load_adapters(bare(nano), [first, second])
    saved = load_file(second / adapters.FULL_MODULES)
    loaded = {adapters.bare_name(n): p for n, p in stack.named_parameters()}
    assert all(torch.equal(loaded[name], value) for name, value in saved.items())
    broken = shutil.copytree(first, tmp_path / "broken")
    state = {n.replace("mlp.0.", "mlp.0.base_layer."): v for n, v in saved.items()}
    from safetensors.torch import save_file

    save_file(state, broken / adapters.FULL_MODULES)
    with pytest.raises(UserError, match="do not fit"):
        adapters.load_full_modules(bare(nano), broken)


def test_first_adapter_never_moves(
    nano: Path, data: Path, train: Train, first: Path, tmp_path: Path
) -> None:
    """A stack run with frozen merger: base plus second minus second is base plus first, exactly."""
    before = (first / adapters.ADAPTER).read_bytes()
    run = train(tmp_path / "run", *LORA, *FROZEN_MERGER, "--first_lora_path", str(first))
    assert (first / adapters.ADAPTER).read_bytes() == before
    stack = adapters.load_adapters(bare(nano), [first, run])
    assert difference(nano, stack, adapters.load_adapters(bare(nano), [first])) > 1e-4
    stack.base_model.set_adapter(["frozen_0"])
    assert difference(nano, stack, adapters.load_adapters(bare(nano), [first])) == 0


def test_first_adapter_does_not_move_in_memory(
    nano: Path,
    data: Path,
    train: Train,
    first: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also with the merger in full and an optimizer with weight decay."""
    from qwen_vl_finetune import train as training

    kept = {}

    def keep(*args: object) -> nn.Module:
        kept["model"] = build_model(*args)  # type: ignore[arg-type]
        return kept["model"]

    monkeypatch.setattr(training, "build_model", keep)
    train(tmp_path / "r", *LORA, "--first_lora_path", str(first), "--weight_decay", "0.1")
    adapters.check_loaded(kept["model"], "frozen_0", first)  # raises unless equal bit by bit


def test_three_adapters_stack_and_merge(
    nano: Path, train: Train, first: Path, second: Path, tmp_path: Path
) -> None:
    run = train(tmp_path / "third", *LORA, "--first_lora_path", str(first), str(second))
    merge(str(nano), [first, second, run], tmp_path / "merged", verify=True, tol=1e-5)


def test_wrong_base_and_wrong_order_are_refused(
    nano: Path, data: Path, train: Train, first: Path, second: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    from nano.model import create_nano

    create_nano(other, width=32, layers=2, seed=1)
    for folders, base, words in (
        ([first], other, "another base"),
        ([second], nano, "trained on top of"),
        ([second, first], nano, "trained on top of"),
        ([first, first], nano, "no other adapter"),
    ):
        with pytest.raises(UserError, match=words):
            merge(str(base), folders, tmp_path / "merged", verify=False, tol=None)
    with pytest.raises(UserError, match="another base"):
        train(tmp_path / "run", *LORA, "--first_lora_path", str(first), model=other)
