"""What training on a batch costs, against sums done by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from qwen_vl_finetune.adapters import part_of, set_trainable
from qwen_vl_finetune.collator import BatchNote
from qwen_vl_finetune.flops import peak_flops, training_cost
from qwen_vl_finetune.parsing import parse_arguments
from qwen_vl_finetune.train import build_model
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForImageTextToText

from .conftest import LORA

# one image of 8 x 8 patches (16 image tokens) and a text, in samples of 20 and 10 tokens
NOTE = BatchNote(rows=[0, 1], lengths=[20, 10], grids=[(1, 8, 8)], problems={})
WIDTH, INNER, LAYERS, PATCH = 32, 96, 2, 3 * 2 * 14 * 14
VISION = PATCH * WIDTH + LAYERS * (4 * WIDTH**2 + 3 * WIDTH * INNER)
MERGER = (4 * WIDTH) ** 2 + 4 * WIDTH * WIDTH
LANGUAGE = LAYERS * (4 * WIDTH**2 + 3 * WIDTH * INNER)


def shape_of(nano: Path, parts: set[str]) -> torch.nn.Module:
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(AutoConfig.from_pretrained(nano))
    set_trainable(model, parts)
    return model


def test_a_full_fine_tune_costs_six_a_weight(nano: Path) -> None:
    model = shape_of(nano, {"vision", "merger", "language", "head"})
    vocabulary = AutoConfig.from_pretrained(nano).text_config.vocab_size
    matrices = 6 * (VISION * 64 + MERGER * 16 + (LANGUAGE + vocabulary * WIDTH) * 30)
    attention = LAYERS * WIDTH * 4 * 3 * ((20**2 + 10**2) / 2 + 64**2)
    assert training_cost(model)(NOTE) == pytest.approx(matrices + attention)


def test_a_frozen_tower_is_only_passed_forward(nano: Path) -> None:
    """With the merger alone in training, the gradient goes through the language model to it."""
    model = shape_of(nano, {"merger"})
    vocabulary = AutoConfig.from_pretrained(nano).text_config.vocab_size
    matrices = 2 * VISION * 64 + 6 * MERGER * 16 + 4 * (LANGUAGE + vocabulary * WIDTH) * 30
    attention = LAYERS * WIDTH * 4 * (3 * (20**2 + 10**2) / 2 + 1 * 64**2)
    assert training_cost(model)(NOTE) == pytest.approx(matrices + attention)


def test_lora_on_a_frozen_base_costs_four_a_weight(nano: Path, data: Path) -> None:
    words = ["--model_id", str(nano), "--data_path", str(data), "--output_dir", "unused"]
    model = build_model(parse_arguments([*words, *LORA, "--freeze_merger", "true"]), nano, [])
    lora = {"vision": 0, "language": 0}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            lora[part_of(name.removeprefix("base_model.model."))] += parameter.numel()
    vocabulary = model.config.text_config.vocab_size
    matrices = 4 * VISION * 64 + 4 * MERGER * 16 + 4 * (LANGUAGE + vocabulary * WIDTH) * 30
    matrices += 6 * (lora["vision"] * 64 + lora["language"] * 30)
    attention = LAYERS * WIDTH * 4 * 3 * ((20**2 + 10**2) / 2 + 64**2)
    assert training_cost(model)(NOTE) == pytest.approx(matrices + attention)


def test_windows_cost_less_than_whole_images(nano: Path) -> None:
    config = AutoConfig.from_pretrained(nano)
    config.vision_config.fullatt_block_indexes = [1]
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    image = BatchNote([0], [0], [(1, 16, 16)], {})
    cost = training_cost(model)
    attention = WIDTH * 4 * 3 * (256**2 + 256 * 64)  # a layer of each kind; windows of 8 x 8
    assert cost(image) == pytest.approx(6 * VISION * 256 + 6 * MERGER * 64 + attention)


def test_torch_counts_the_same_matrices(nano: Path) -> None:
    """PyTorch's own counter, over forward and backward of a text: matrices and attention."""
    model = AutoModelForImageTextToText.from_config(
        AutoConfig.from_pretrained(nano), attn_implementation="eager"
    )
    ids = torch.arange(40)[None]
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids, labels=ids).loss.backward()
    ours = training_cost(model)(BatchNote([0], [40], [], {}))
    # eager attention looks at all pairs, ours at those that count; M-RoPE costs a little
    assert ours == pytest.approx(counter.get_total_flops(), rel=0.08)


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H200", 989e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA L4", 121e12),
        ("Tesla T4", 65e12),
        ("NVIDIA GeForce GTX 1080", None),
    ],
)
def test_peaks_by_name(name: str, peak: float | None) -> None:
    assert peak_flops(name) == peak
