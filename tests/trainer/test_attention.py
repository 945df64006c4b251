"""The vision tower in one call for all images of a size: stock's logits and gradients."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from qwen_vl_finetune import attention
from qwen_vl_finetune.attention import register, speed_up_vision
from qwen_vl_finetune.collator import Collator
from qwen_vl_finetune.dataset import LlavaDataset
from qwen_vl_finetune.label_loss import lean_loss
from qwen_vl_finetune.model import load_checked
from qwen_vl_finetune.model_folder import PixelFrame
from qwen_vl_finetune.packing import TELLS_BORDERS, PackCollator
from qwen_vl_finetune.processing import load_processor
from transformers import AutoConfig, AutoModelForImageTextToText

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


# ---- torch's variable-length attention, by a stand-in: its kernels are for GPUs only ----


def varlen_stand_in(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    cu_seq_q: torch.Tensor,
    cu_seq_k: torch.Tensor,
    max_q: int,
    max_k: int,
    *,
    scale: float,
    window_size: tuple[int, int],
    enable_gqa: bool,
) -> torch.Tensor:
    """What `torch.nn.attention.varlen.varlen_attn` gives, by a mask; reads nothing to the host."""
    assert cu_seq_q.dtype == torch.int32
    assert cu_seq_q is cu_seq_k
    assert enable_gqa == (q.shape[1] != k.shape[1])
    where = torch.arange(len(q))
    piece = torch.bucketize(where, cu_seq_q[1:].long(), right=True)
    mask = piece[:, None] == piece[None]
    if window_size == (-1, 0):
        mask = mask & (where[:, None] >= where[None])
    q, k, v = (t.transpose(0, 1)[None] for t in (q, k, v))
    attended = torch.nn.functional.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, scale=scale, enable_gqa=enable_gqa
    )
    return attended[0].transpose(0, 1)


@pytest.fixture
def varlen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the stand-in take every pack and every image."""
    monkeypatch.setattr(attention, "varlen_attn", varlen_stand_in)
    monkeypatch.setattr(attention, "_takes_varlen", lambda query, value: True)


def packed_batch(base: Path, images: Path) -> dict[str, Any]:
    dataset = LlavaDataset(images, images.parent, load_processor(base, PixelFrame(784, 300 * 300)))
    return PackCollator(dataset.processor)([dataset[i] for i in range(len(dataset))])


@pytest.mark.skipif(not TELLS_BORDERS, reason="this transformers passes no borders on")
@pytest.mark.parametrize("family", ["qwen2_5_vl", *FAMILIES])
def test_one_call_for_all_pieces_is_as_one_each(
    family: str, nano: Path, images: Path, tmp_path: Path, varlen: None
) -> None:
    base = nano if family == "qwen2_5_vl" else make_model(family, nano, tmp_path / "base")
    batch = packed_batch(base, images)
    stock = load_checked(base, dtype=torch.float32, attn_implementation="sdpa")
    expected, gradients = loss_and_gradients(stock, batch)
    ours = load_checked(base, dtype=torch.float32, attn_implementation=register())
    speed_up_vision(ours)
    found, own = loss_and_gradients(ours, batch)
    torch.testing.assert_close(found.logits, expected.logits, rtol=0, atol=1e-5)
    for name, gradient in own.items():
        torch.testing.assert_close(gradient, gradients[name], rtol=1e-3, atol=1e-5)


def deeper(base: Path, layers: int, folder: Path) -> Path:
    """A model of more layers, in the language model and in the vision tower."""
    shutil.copytree(base, folder)
    settings = json.loads((base / "config.json").read_text())
    settings["text_config"] |= {"num_hidden_layers": layers, "layer_types": None}
    settings["vision_config"] |= {"depth": layers, "fullatt_block_indexes": [1]}
    config = AutoConfig.for_model(**settings)
    AutoModelForImageTextToText.from_config(config).save_pretrained(folder)
    return folder


def reads(model: Any, batch: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> int:
    """How often a forward and a backward read a tensor to the host."""
    count = [0]
    with monkeypatch.context() as patch:
        for name in ("item", "tolist", "nonzero", "__bool__", "__int__"):
            stock = getattr(torch.Tensor, name)

            def counting(self: torch.Tensor, *args: Any, stock: Any = stock) -> Any:
                count[0] += 1
                return stock(self, *args)

            patch.setattr(torch.Tensor, name, counting)
        model(**batch, use_cache=False).loss.backward()
    return count[0]


@pytest.mark.parametrize("way", ["varlen", "sdpa"])
def test_layers_read_nothing_to_the_host(
    way: str,
    nano: Path,
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """On a GPU every such reading waits for all that was asked of it; more layers, no more."""
    if way == "varlen":
        request.getfixturevalue("varlen")
    found = []
    for layers in (2, 5):
        base = deeper(nano, layers, tmp_path / str(layers))
        model = load_checked(base, dtype=torch.float32, attn_implementation=register())
        speed_up_vision(model)
        lean_loss(model)
        found.append(reads(model, packed_batch(base, images), monkeypatch))
    assert found[0] == found[1]
    assert found[0] < 20


@pytest.mark.skipif(not TELLS_BORDERS, reason="this transformers passes no borders on")
def test_the_language_model_compiles_whole(nano: Path, images: Path, varlen: None) -> None:
    """One graph from the embedded pack to the loss: nothing in it depends on values."""
    batch = packed_batch(nano, images)
    model: Any = load_checked(nano, dtype=torch.float32, attn_implementation=register())
    lean_loss(model)
    told = {k: v for k, v in batch.items() if "image" not in k and "pixel" not in k}
    told.pop("input_ids")
    told["inputs_embeds"] = torch.randn(
        *batch["input_ids"].shape, model.config.text_config.hidden_size
    )
    found = torch._dynamo.explain(model)(**told, use_cache=False)
    assert found.graph_break_count == 0, found.break_reasons
    assert found.graph_count == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="the kernels are for GPUs")
def test_the_gpus_kernel_is_as_one_call_each(nano: Path) -> None:
    borders = torch.tensor([0, 5, 40, 41], dtype=torch.int32, device="cuda")
    q = torch.randn(1, 4, 41, 32, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    k, v = (torch.randn_like(q[:, :2]).requires_grad_() for _ in "kv")
    assert attention._takes_varlen(q, v)
    found = []
    for attended in (
        attention._varlen(q, k, v, borders, 35, scaling=0.2),
        attention._attend_apart(Grouped(), q, k, v, [5, 35, 1], scaling=0.2, is_causal=True),
    ):
        found.append([attended, *torch.autograd.grad(attended.float().square().sum(), (q, k, v))])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0.02, atol=0.02)


class Grouped(torch.nn.Module):
    """An attention layer with two heads to a key-value head."""

    num_key_value_groups, is_causal = 2, True
