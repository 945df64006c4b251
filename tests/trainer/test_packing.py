"""Packing: samples of a pack equal samples alone, in logits and loss; resume stays exact."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from qwen_vl_finetune.adapters import ADAPTER, load_adapters
from qwen_vl_finetune.attention import SDPA, register
from qwen_vl_finetune.collator import Collator
from qwen_vl_finetune.dataset import LlavaDataset
from qwen_vl_finetune.errors import UserError
from qwen_vl_finetune.model import load_checked
from qwen_vl_finetune.packing import WINDOW, PackCollator, PackSampler, make_packs
from qwen_vl_finetune.processing import IGNORED, load_processor
from safetensors.torch import load_file

from .conftest import LORA, Train, write_rows
from .test_dataset import mixed_rows
from .test_families import FAMILIES, make_model
from .test_run import FULL, SAVING, Killed, kill_after, losses

register()
PACKING = ["--packing", "true", "--tokens_per_batch", "120"]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows with one image, with two of different shape, and with none; of many lengths."""
    folder = tmp_path_factory.mktemp("mixed")
    rows = mixed_rows(folder)
    for i, row in enumerate(rows):
        row["conversations"][1]["value"] += " and on" * i
    return write_rows(folder, rows)


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=2 * WINDOW),
    st.integers(60, 200),
    st.integers(1, 4),
)
def test_packs_hold_every_sample_once(lengths: list[int], budget: int, processes: int) -> None:
    packs = make_packs(lengths, budget, seed=3, processes=processes)
    assert packs == make_packs(lengths, budget, seed=3, processes=processes)
    assert len(packs) % processes == 0
    assert all(0 < sum(lengths[i] for i in pack) <= budget for pack in packs)
    times = Counter(i for pack in packs for i in pack)
    assert set(times) == set(range(len(lengths)))
    if any(len(pack) > 1 for pack in packs):  # else some repeat, so that no process stands idle
        assert max(times.values()) == 1
    # best fit leaves at most one pack in a window less than half full, and splits a few
    assert len(packs) <= 2 * sum(lengths) / budget + 1 + len(lengths) // WINDOW + processes


def test_processes_share_an_epoch_and_epochs_differ() -> None:
    packs = make_packs([5] * 40, 10, seed=0, processes=2)
    samplers = [PackSampler(packs, seed=0, rank=rank, processes=2) for rank in (0, 1)]
    orders = []
    for epoch in (0, 1):
        for sampler in samplers:
            sampler.sampler.set_epoch(epoch)
        orders_of = [list(sampler) for sampler in samplers]
        assert [len(order) for order in orders_of] == [len(sampler) for sampler in samplers]
        assert sorted(orders_of[0] + orders_of[1]) == sorted(packs)
        orders.append(orders_of)
    assert orders[0] != orders[1]


def packed_and_alone(model: Any, dataset: LlavaDataset) -> tuple[dict[str, Any], list[Any]]:
    """What a model makes of all samples in one pack, and of each by itself."""
    samples = [dataset[i] for i in range(len(dataset))]
    pack, collate = PackCollator(dataset.processor), Collator(dataset.processor)
    together = model(**pack(samples), use_cache=False)
    return together, [model(**collate([sample]), use_cache=False) for sample in samples]


@pytest.mark.parametrize("attention", ["sdpa", SDPA])
@pytest.mark.parametrize("family", ["qwen2_5_vl", *FAMILIES])
def test_a_sample_does_not_see_its_neighbours(
    family: str, attention: str, nano: Path, mixed: Path, tmp_path: Path
) -> None:
    """Three rows of positions instead of four contaminate without a word."""
    base = nano if family == "qwen2_5_vl" else make_model(family, nano, tmp_path / "base")
    dataset = LlavaDataset(mixed, mixed.parent, load_processor(base))
    model = load_checked(base, dtype=torch.float32, attn_implementation=attention).eval()
    with torch.no_grad():
        together, alone = packed_and_alone(model, dataset)
        start = 0
        for index, output in enumerate(alone):
            n = len(dataset[index]["input_ids"])
            packed = together["logits"][0, start : start + n]
            torch.testing.assert_close(packed, output.logits[0, :n], rtol=0, atol=1e-5)
            start += n
        batch = PackCollator(dataset.processor)([dataset[i] for i in range(len(dataset))])
        batch["position_ids"] = batch["position_ids"][1:]
        wrong = model(**batch, use_cache=False).logits
    # the check above can tell: so it would be
    assert float((wrong - together["logits"]).abs().max()) > 1e-3


@pytest.mark.parametrize("attention", ["sdpa", SDPA])
@pytest.mark.parametrize("kind", ["full", "stack"])
def test_loss_and_gradients_equal_the_padded_ones(
    kind: str, attention: str, nano: Path, mixed: Path, first: Path
) -> None:
    dataset = LlavaDataset(mixed, mixed.parent, load_processor(nano))
    model: Any = load_checked(nano, dtype=torch.float32, attn_implementation=attention)
    if kind == "stack":
        model = load_adapters(model, [first])
    model.requires_grad_(True).eval()  # no dropout
    samples = [dataset[i] for i in range(len(dataset))]
    found = []
    for collate in (PackCollator(dataset.processor), Collator(dataset.processor)):
        model.zero_grad()
        loss = model(**collate(samples), use_cache=False).loss
        loss.backward()
        found.append((loss.item(), {n: p.grad.clone() for n, p in model.named_parameters()}))
    (packed, gradients), (padded, expected) = found
    assert packed == pytest.approx(padded, abs=1e-5)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-3, atol=1e-5)


def test_a_pack_without_images_reaches_the_vision_tower(nano: Path, mixed: Path) -> None:
    dataset = LlavaDataset(mixed, mixed.parent, load_processor(nano))
    model = load_checked(nano, dtype=torch.float32)
    text = dataset[2]
    packed = model(**PackCollator(dataset.processor)([text, text]), use_cache=False)
    plain = model(input_ids=text["input_ids"][None], labels=text["labels"][None], use_cache=False)
    assert packed.loss.item() == pytest.approx(plain.loss.item(), abs=1e-5)
    packed.loss.backward()
    assert all(p.grad is not None for p in model.model.visual.parameters())


def test_a_label_on_a_first_token_asks_nothing_of_the_sample_before(
    nano: Path, mixed: Path
) -> None:
    dataset = LlavaDataset(mixed, mixed.parent, load_processor(nano))
    sample = {**dataset[0], "labels": dataset[0]["input_ids"]}
    labels = PackCollator(dataset.processor)([sample, sample])["labels"][0]
    assert [i for i, label in enumerate(labels) if label == IGNORED] == [0, len(labels) // 2]


def test_accumulated_packs_weigh_tokens_alike(train: Train, mixed: Path, tmp_path: Path) -> None:
    """The loss of a step is the mean over the tokens of its packs, not over packs."""
    one_pack = ["--packing", "true", "--tokens_per_batch", "8192", "--max_steps", "1"]
    whole = train(tmp_path / "whole", "--learning_rate", "0", *one_pack, rows=mixed)
    flags = ["--gradient_accumulation_steps", "100", "--num_train_epochs", "1", "--max_steps", "-1"]
    several = train(tmp_path / "several", "--learning_rate", "0", *PACKING, *flags, rows=mixed)
    padded = ["--per_device_train_batch_size", "8", "--max_steps", "1", "--learning_rate", "0"]
    assert losses(several) == pytest.approx(losses(whole), abs=1e-5)
    assert losses(train(tmp_path / "padded", *padded, rows=mixed)) == pytest.approx(
        losses(whole), abs=1e-5
    )


@pytest.mark.parametrize("kind", ["lora", "stack", "full"])
def test_packed_resume_is_exact(
    kind: str,
    train: Train,
    nano: Path,
    mixed: Path,
    first: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed in the middle of the second epoch; epochs differ in the order of their packs."""
    stack = ["--first_lora_path", str(first)] if kind == "stack" else []
    kinds = FULL if kind == "full" else [*LORA, *stack]
    probe = LlavaDataset(mixed, mixed.parent, load_processor(nano))
    epoch = len(make_packs(probe.lengths(), 160, seed=42))
    assert epoch > 2
    flags = [*kinds, *SAVING, "--packing", "true", "--tokens_per_batch", "160"]
    flags += ["--max_steps", str(2 * epoch), "--save_steps", str(epoch + 1)]
    whole = train(tmp_path / "whole", *flags, rows=mixed)
    with monkeypatch.context() as patch:
        kill_after(epoch + 2, patch)
        with pytest.raises(Killed):
            train(tmp_path / "cut", *flags, rows=mixed)
    cut = train(tmp_path / "cut", *flags, rows=mixed)
    assert losses(cut) == losses(whole)
    name = "model.safetensors" if kind == "full" else ADAPTER
    one, two = load_file(whole / name), load_file(cut / name)
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_a_sample_over_the_budget_is_refused_or_dropped(
    train: Train, mixed: Path, tmp_path: Path
) -> None:
    tight = ["--packing", "true", "--tokens_per_batch", "40", "--max_steps", "1"]
    with pytest.raises(UserError, match="samples over --max_seq_length 40"):
        train(tmp_path / "refused", *tight, rows=mixed)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--tokens_per_batch 9", "--tokens_per_batch needs --packing true"),
        ("--packing true --tokens_per_batch -1", "-1: expected at least 1"),
        ("--packing true --train_sampling_strategy group_by_length", "one order, random"),
        ("--packing true --dataloader_drop_last true", "every process has as many packs"),
    ],
)
def test_packing_mistakes(flags: str, said: str, train: Train, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        train(tmp_path / "run", *flags.split())


def test_settings_of_a_packed_run_are_recorded(train: Train, mixed: Path, tmp_path: Path) -> None:
    run = train(tmp_path / "run", *LORA, *PACKING, "--max_steps", "1", rows=mixed)
    settings = json.loads((run / "run.json").read_text())["settings"]
    assert (settings["packing"], settings["tokens_per_batch"]) == (True, 120)
    assert settings["max_seq_length"] == 120
