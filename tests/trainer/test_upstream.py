"""Adapters that the upstream trainer left: stacked and merged with all that they trained."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from qwen_vl_finetune.adapters import ADAPTER, FULL_MODULES, load_adapters
from qwen_vl_finetune.errors import UserError
from qwen_vl_finetune.merge import merge
from qwen_vl_finetune.model import load_checked
from qwen_vl_finetune.processing import load_processor
from qwen_vl_finetune.upstream import NON_LORA, in_our_form
from qwen_vl_finetune.verify import logits_of, sample_inputs
from safetensors.torch import load_file, save_file
from torch import nn

from .conftest import FROZEN_MERGER, LORA, Train


def wrapped(nano: Path) -> Any:
    """What upstream trains: LoRA on all linear layers, the merger in full under its LoRA."""
    model = load_checked(nano, dtype=torch.float32)
    linear = [n for n, m in model.named_modules() if isinstance(m, nn.Linear) and "head" not in n]
    config = LoraConfig(r=4, lora_alpha=8, lora_dropout=0.1, target_modules=linear)
    peft = get_peft_model(model, config)
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in peft.named_parameters():
            parameter.requires_grad = "lora_" in name or "merger" in name
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))
    return peft


def write_upstream(peft: Any, folder: Path, kind: str) -> Path:
    """An adapter folder as upstream's code writes it.

    Args:
        peft: the trained model.
        folder: where to.
        kind: "run" (what trained), "checkpoint" (all weights, the language model's packed in 4
            bits) or "old" (a run, with the names that transformers had before 4.52).
    """
    peft.save_pretrained(folder)
    own = {k: v.detach().clone() for k, v in peft.named_parameters() if "lora_" not in k}
    if kind == "checkpoint":
        for key, value in own.items():
            if "language_model" in key and value.ndim == 2 and "embed" not in key:
                own[key] = torch.zeros(value.numel() // 2, 1, dtype=torch.uint8)
    else:
        own = {k: v for k, v in own.items() if "merger" in k}
    if kind == "old":
        own = {old_name(k): v for k, v in own.items()}
        state = {old_name(k): v for k, v in load_file(folder / ADAPTER).items()}
        save_file(state, folder / ADAPTER)
        config = json.loads((folder / "adapter_config.json").read_text())
        config["target_modules"] = [old_name(name) for name in config["target_modules"]]
        (folder / "adapter_config.json").write_text(json.dumps(config))
    torch.save(own, folder / NON_LORA)
    return folder


def old_name(name: str) -> str:
    return name.replace("model.language_model.", "model.").replace("model.visual.", "visual.")


def difference(nano: Path, one: nn.Module, two: nn.Module) -> float:
    samples = sample_inputs(load_processor(nano))
    a, b = logits_of(one, samples), logits_of(two, samples)
    return max(float((a[name] - b[name]).abs().max()) for name in samples)


@pytest.mark.parametrize("kind", ["run", "checkpoint", "old"])
def test_an_upstream_adapter_merges_to_what_was_trained(
    kind: str, nano: Path, tmp_path: Path
) -> None:
    """With the merger, which lies under a LoRA layer, and whatever its names are."""
    trained = wrapped(nano)
    folder = write_upstream(trained, tmp_path / "upstream", kind)
    merge(str(nano), [folder], tmp_path / "merged", verify=True, tol=1e-5)
    merged = load_checked(tmp_path / "merged", dtype=torch.float32)
    assert difference(nano, trained, merged) < 1e-5
    (folder / NON_LORA).unlink()  # the check can tell: without the merger it is another model
    merge(str(nano), [folder], tmp_path / "without", verify=True, tol=1e-5)
    without = load_checked(tmp_path / "without", dtype=torch.float32)
    assert difference(nano, trained, without) > 1e-3
    (adapter,) = json.loads((tmp_path / "merged" / "merge.json").read_text())["adapters"]
    assert adapter["path"] == str(folder)
    assert adapter["converted_to"] == str(folder / "converted")
    assert adapter["full_modules"]


@pytest.mark.parametrize("flags", [[], FROZEN_MERGER])
def test_a_stack_on_an_upstream_adapter_merges(
    flags: list[str], nano: Path, train: Train, tmp_path: Path
) -> None:
    trained = wrapped(nano)
    first = write_upstream(trained, tmp_path / "first", "run")
    run = train(tmp_path / "run", *LORA, *flags, "--first_lora_path", str(first))
    (parent,) = json.loads((run / "run.json").read_text())["parents"]
    assert parent["path"] == str(first)
    assert parent["converted_to"] == str(first / "converted")
    merge(str(nano), [first, run], tmp_path / "merged", verify=True, tol=1e-5)
    merged = load_checked(tmp_path / "merged", dtype=torch.float32)
    converted = in_our_form(first, nano)
    base = load_checked(nano, dtype=torch.float32)
    assert difference(nano, load_adapters(base, [converted, run]), merged) < 1e-5
    assert difference(nano, trained, merged) > 1e-4  # the second adapter has learnt something


def test_verify_sees_a_lost_merger(
    nano: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_upstream(wrapped(nano), tmp_path / "upstream", "run")
    (in_our_form(folder, nano) / FULL_MODULES).unlink()
    with pytest.raises(UserError, match=r"merger.* trained in full, but its weights were not"):
        merge(str(nano), [folder], tmp_path / "merged", verify=True, tol=1e-5)
    assert not (tmp_path / "merged").exists()


def test_a_conversion_is_made_once_and_again_when_its_source_changes(
    nano: Path, tmp_path: Path
) -> None:
    folder = write_upstream(wrapped(nano), tmp_path / "upstream", "run")
    mark = in_our_form(folder, nano) / "mark"
    mark.touch()
    in_our_form(folder, nano)
    assert mark.exists()
    state = torch.load(folder / NON_LORA, weights_only=True)
    torch.save({key: value + 1 for key, value in state.items()}, folder / NON_LORA)
    in_our_form(folder, nano)
    assert not mark.exists()


def test_what_has_no_place_is_refused(nano: Path, tmp_path: Path) -> None:
    trained = wrapped(nano)
    for name, change, words in (
        ("more", {"base_model.model.score.weight": torch.ones(2)}, r"1 tensors have no place in"),
        ("shape", {"base_model.model.model.visual.merger.mlp.2.bias": torch.ones(3)}, r"is \(3,\)"),
    ):
        folder = write_upstream(trained, tmp_path / name, "run")
        state = torch.load(folder / NON_LORA, weights_only=True)
        state = {k.replace(".base_layer", ""): v for k, v in state.items()}
        torch.save({**state, **change}, folder / NON_LORA)
        with pytest.raises(UserError, match=words):
            merge(str(nano), [folder], tmp_path / "merged", verify=False, tol=None)
        assert not (folder / "converted").exists()


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("code was run",))


def test_code_in_the_file_is_not_run(
    nano: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_upstream(wrapped(nano), tmp_path / "upstream", "run")
    torch.save({"x": Evil()}, folder / NON_LORA)
    with pytest.raises(UserError, match="not a file of tensors alone"):
        merge(str(nano), [folder], tmp_path / "merged", verify=False, tol=None)
    assert "code was run" not in capsys.readouterr().out


def test_our_own_adapters_stay_as_they_are(nano: Path, first: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(first, tmp_path / "first")
    assert in_our_form(copy, nano) == copy
    assert not (copy / "converted").exists()
