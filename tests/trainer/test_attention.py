"""The vision tower in one call for all images of a size: stock's logits and gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from qwen_vl_finetune.attention import register, speed_up_vision
from qwen_vl_finetune.collator import Collator
from qwen_vl_finetune.dataset import LlavaDataset
from qwen_vl_finetune.model import load_checked
from qwen_vl_finetune.model_folder import PixelFrame
from qwen_vl_finetune.processing import load_processor

from .conftest import write_rows
from .test_families import FAMILIES, make_model

# Two alike, one of two windows and a half, one alone, and again the first size.
SIZES = [(56, 56), (56, 56), (280, 112), (84, 56), (56, 56)]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows with images of several sizes."""
    folder = tmp_path_factory.mktemp("images")
    rows = []
    for number, size in enumerate(SIZES):
        Image.effect_noise(size, 80 + number).save(folder / f"{number}.png")
        turns = [{"from": "human", "value": "<image>\nWhat is it?"},
                 {"from": "gpt", "value": f"noise {number}"}]  # fmt: skip
        rows.append({"id": str(number), "image": f"{number}.png", "conversations": turns})
    return write_rows(folder, rows)


def loss_and_gradients(model: Any, batch: dict[str, Any]) -> tuple[Any, dict[str, torch.Tensor]]:
    model.zero_grad()
    output = model(**batch, use_cache=False)
    output.loss.backward()
    return output, {name: p.grad.clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize("family", ["qwen2_5_vl", *FAMILIES])
def test_all_images_at_once_are_as_one_by_one(
    family: str, nano: Path, images: Path, tmp_path: Path
) -> None:
    base = nano if family == "qwen2_5_vl" else make_model(family, nano, tmp_path / "base")
    processor = load_processor(base, PixelFrame(28 * 28, 300 * 300))
    dataset = LlavaDataset(images, images.parent, processor)
    batch = Collator(processor)([dataset[i] for i in range(len(dataset))])
    stock = load_checked(base, dtype=torch.float32, attn_implementation="sdpa")
    if family == "qwen2_5_vl":  # windows of 112 pixels in its first layer
        stock.model.visual.fullatt_block_indexes = [1]
    expected, gradients = loss_and_gradients(stock, batch)
    ours = load_checked(base, dtype=torch.float32, attn_implementation=register())
    ours.model.visual.fullatt_block_indexes = getattr(
        stock.model.visual, "fullatt_block_indexes", None
    )
    speed_up_vision(ours)
    found, own = loss_and_gradients(ours, batch)
    torch.testing.assert_close(found.logits, expected.logits, rtol=0, atol=1e-5)
    assert own.keys() == gradients.keys()
    for name, gradient in own.items():
        torch.testing.assert_close(gradient, gradients[name], rtol=1e-3, atol=1e-5)


def test_half_precision_on_a_cpu_is_near_full(nano: Path, images: Path) -> None:
    """There attention itself is computed in fp32, whatever it is given."""
    processor = load_processor(nano, PixelFrame(28 * 28, 300 * 300))
    dataset = LlavaDataset(images, images.parent, processor)
    batch = Collator(processor)([dataset[i] for i in range(len(dataset))])
    model = load_checked(nano, dtype=torch.float32, attn_implementation=register())
    speed_up_vision(model)
    full, _ = loss_and_gradients(model, batch)
    with torch.autocast("cpu", torch.bfloat16):
        half, gradients = loss_and_gradients(model, batch)
    assert half.loss.item() == pytest.approx(full.loss.item(), rel=0.02)
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    model.to(torch.bfloat16)
    assert loss_and_gradients(model, batch)[0].loss.isfinite()
