"""The loss of labelled tokens alone: stock's loss and gradients, never more logits than a chunk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from qwen_vl_finetune import label_loss
from qwen_vl_finetune.attention import register
from qwen_vl_finetune.collator import Collator
from qwen_vl_finetune.dataset import LlavaDataset
from qwen_vl_finetune.label_loss import label_positions, lean_loss
from qwen_vl_finetune.model import load_checked
from qwen_vl_finetune.packing import PackCollator
from qwen_vl_finetune.processing import IGNORED, load_processor
from torch.utils._python_dispatch import TorchDispatchMode

from .conftest import LORA, Train
from .test_families import FAMILIES, make_model

COUNT = 1000  # stands for the labelled tokens of a whole step


class LargestLogits(TorchDispatchMode):
    """Remembers the most rows of any tensor as wide as the vocabulary, but for the head's own."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.vocabulary, self.width, self.rows = vocabulary, width, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else [made]:
            if isinstance(tensor, torch.Tensor) and tensor.shape[-1:] == (self.vocabulary,):
                rows = tensor.numel() // self.vocabulary
                self.rows = max(self.rows, rows if rows != self.width else 0)
        return made


def batch_of(base: Path, data: Path, packed: bool) -> dict[str, Any]:
    dataset = LlavaDataset(data, data.parent, load_processor(base))
    collate = (PackCollator if packed else Collator)(dataset.processor)
    return collate([dataset[i] for i in range(len(dataset))])


def loss_and_gradients(model: Any, batch: dict[str, Any]) -> tuple[float, dict[str, torch.Tensor]]:
    model.zero_grad()
    loss = model(**batch, num_items_in_batch=torch.tensor(COUNT), use_cache=False).loss
    loss.backward()
    return loss.item(), {name: p.grad.clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize("tokens", [7, 10**6])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("family", ["qwen2_5_vl", *FAMILIES])
def test_it_is_the_loss_of_stock(
    family: str,
    packed: bool,
    tokens: int,
    nano: Path,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In one chunk and in many, with gradients in every parameter, the tied head among them."""
    base = nano if family == "qwen2_5_vl" else make_model(family, nano, tmp_path / "base")
    model: Any = load_checked(base, dtype=torch.float32, attn_implementation=register())
    config = model.config.get_text_config()
    batch = batch_of(base, data, packed)
    expected, gradients = loss_and_gradients(model, batch)
    lean_loss(model)
    monkeypatch.setattr(label_loss, "CHUNK_BYTES", 4 * config.vocab_size * tokens)
    with LargestLogits(config.vocab_size, config.hidden_size) as largest:
        found, own = loss_and_gradients(model, batch)
    assert found == pytest.approx(expected, rel=1e-6)
    for name, gradient in own.items():
        torch.testing.assert_close(gradient, gradients[name], rtol=1e-4, atol=1e-7)
    labelled = int((batch["labels"] != IGNORED).sum())
    assert 7 < labelled < batch["labels"].numel()
    assert largest.rows == min(tokens, labelled)


def test_without_labels_the_model_answers_as_before(nano: Path, data: Path) -> None:
    model: Any = load_checked(nano, dtype=torch.float32)
    batch = batch_of(nano, data, packed=False)
    labels = batch.pop("labels")
    expected = model(**batch, use_cache=False).logits
    lean_loss(model)
    assert torch.equal(model(**batch, use_cache=False).logits, expected)
    nothing = model(**batch, labels=torch.full_like(labels, IGNORED), use_cache=False)
    del batch["label_positions"]
    nothing = model(**batch, labels=torch.full_like(labels, IGNORED), use_cache=False)
    assert nothing.loss.item() == 0
    nothing.loss.backward()
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


def test_a_row_asks_nothing_of_the_row_before() -> None:
    """The first label of a row belongs to no token, and the last token is asked nothing."""
    labels = torch.tensor([[5, IGNORED, 6], [7, 8, IGNORED]])
    assert label_positions(labels).tolist() == [1, 3]


def test_half_precision_sums_in_full(nano: Path, data: Path) -> None:
    model: Any = load_checked(nano, dtype=torch.float32)
    batch = batch_of(nano, data, packed=True)
    full, _ = loss_and_gradients(model, batch)
    lean_loss(model)
    with torch.autocast("cpu", torch.bfloat16):
        output = model(**batch, num_items_in_batch=COUNT, use_cache=False)
    assert output.loss.dtype == torch.float32
    assert output.loss.item() == pytest.approx(full, rel=0.02)


def test_a_run_makes_no_logits_but_a_chunk(
    train: Train, nano: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In training and in evaluation, under PEFT."""
    config = json.loads((nano / "config.json").read_text())["text_config"]
    monkeypatch.setattr(label_loss, "CHUNK_BYTES", 4 * config["vocab_size"] * 3)
    flags = ["--max_steps", "1", "--eval_path", str(data), "--eval_strategy", "steps"]
    with LargestLogits(config["vocab_size"], config["hidden_size"]) as largest:
        train(tmp_path / "run", *LORA, *flags, "--eval_steps", "1")
    assert largest.rows == 3
