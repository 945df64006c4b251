"""Qwen2-VL and Qwen3-VL train, stack and merge as Qwen2.5-VL does; lengths and best model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from qwen_vl_finetune.adapters import ADAPTER, PARTS, part_of
from qwen_vl_finetune.collator import Collator
from qwen_vl_finetune.dataset import LlavaDataset
from qwen_vl_finetune.merge import merge
from qwen_vl_finetune.model import load_checked
from qwen_vl_finetune.processing import load_processor
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForImageTextToText

from .conftest import LORA, Train, make_rows, write_rows

VISION = {"depth": 2, "num_heads": 2, "spatial_merge_size": 2, "temporal_patch_size": 2}
FAMILIES = {
    "qwen2_vl": {**VISION, "embed_dim": 32, "hidden_size": 32, "mlp_ratio": 2, "patch_size": 14},
    "qwen3_vl": {
        **VISION,
        "hidden_size": 32,
        "intermediate_size": 64,
        "out_hidden_size": 32,
        "patch_size": 14,
        "deepstack_visual_indexes": [0],
        "num_position_embeddings": 16,
    },
}


def make_model(family: str, nano: Path, folder: Path) -> Path:
    """A tiny model of another family, with nano's tokenizer and image processor."""
    shutil.copytree(nano, folder)
    settings = json.loads((nano / "config.json").read_text())
    text = {k: v for k, v in settings["text_config"].items() if k != "model_type"}
    if family == "qwen3_vl":
        text["head_dim"] = 32
    tokens = {k: v for k, v in settings.items() if k.endswith("_token_id")}
    config = AutoConfig.for_model(
        family, text_config=text, vision_config=FAMILIES[family], tie_word_embeddings=True, **tokens
    )
    torch.manual_seed(0)
    AutoModelForImageTextToText.from_config(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_other_families_stack_and_merge(
    family: str, nano: Path, data: Path, train: Train, tmp_path: Path
) -> None:
    base = make_model(family, nano, tmp_path / "base")
    model = load_checked(base)
    assert model.config.model_type == family
    assert {part_of(name) for name, _ in model.named_parameters()} == set(PARTS) - {"head"}
    processor = load_processor(base)
    dataset = LlavaDataset(data, data.parent, processor)
    batch = Collator(processor)([dataset[0], dataset[7]])
    keys = ("input_ids", "mm_token_type_ids", "image_grid_thw", "attention_mask")
    expected, _ = model.model.get_rope_index(**{key: batch[key] for key in keys})
    assert torch.equal(batch["position_ids"], expected)
    one = train(tmp_path / "one", *LORA, "--max_steps", "2", model=base)
    flags = ["--max_steps", "2", "--first_lora_path", str(one)]
    two = train(tmp_path / "two", *LORA, *flags, model=base)
    merge(str(base), [one, two], tmp_path / "merged", verify=True, tol=1e-5)


@pytest.mark.parametrize("kind", ["stack", "full"])
def test_best_model_is_the_best(
    kind: str, train: Train, data: Path, first: Path, tmp_path: Path
) -> None:
    """Stock keeps the last weights of a stack, and of a full fine-tune, instead of the best.

    The highest loss stands for the best here: at this rate the second step reaches it.
    """
    flags = "--eval_strategy steps --eval_steps 1 --save_strategy steps --save_steps 1"
    best = "--load_best_model_at_end true --greater_is_better true --learning_rate 0.3"
    what = [*LORA, "--first_lora_path", str(first)] if kind == "stack" else []
    run = train(
        tmp_path / "run", *what, "--eval_path", str(data),
        "--train_sampling_strategy", "group_by_length", *flags.split(), *best.split(),
    )  # fmt: skip
    history = json.loads((run / "trainer_state.json").read_text())["log_history"]
    scores = {e["step"]: e["eval_loss"] for e in history if "eval_loss" in e}
    winner = max(scores, key=lambda step: scores[step])
    assert winner != max(scores), "the last step should not be the best one here"
    name = ADAPTER if kind == "stack" else "model.safetensors"
    kept, found = load_file(run / f"checkpoint-{winner}" / name), load_file(run / name)
    assert all(torch.equal(kept[key], found[key]) for key in kept)


def test_lengths_are_exact(nano: Path, tmp_path: Path) -> None:
    dataset = LlavaDataset(
        write_rows(tmp_path, make_rows(tmp_path)), tmp_path, load_processor(nano)
    )
    assert dataset.lengths() == [len(dataset[i]["input_ids"]) for i in range(len(dataset))]
