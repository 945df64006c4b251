"""What a run says of itself: speed in its log, a plot and a summary at its end."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from PIL import Image
from qwen_vl_finetune.collator import NOTE, BatchNote, Collator, NotedCollator
from qwen_vl_finetune.dataset import LlavaDataset
from qwen_vl_finetune.packing import PackCollator
from qwen_vl_finetune.processing import load_processor
from qwen_vl_finetune.progress import training_line
from qwen_vl_finetune.summary import evaluations, summary
from qwen_vl_finetune.throughput import Throughput

from .conftest import LORA, Train


def test_a_note_counts_real_tokens(nano: Path, data: Path) -> None:
    """The same for a padded batch and a pack: padding is not counted, nor a blank image."""
    dataset = LlavaDataset(data, data.parent, load_processor(nano))
    samples = [dataset[0], dataset[7]]
    for collate in (Collator(dataset.processor), PackCollator(dataset.processor)):
        note = NotedCollator(collate)(samples)[NOTE]
        assert note.rows == [0, 7]
        assert note.lengths == [len(sample["input_ids"]) for sample in samples]
        assert note.grids == [(1, 4, 4), (1, 4, 4)]


def test_speed_leaves_pauses_out_and_adds_processes() -> None:
    now = [100.0]
    meter = Throughput(lambda note: 2e12 * sum(note.lengths), lambda: now[0], peak=16e12)
    cpu = torch.device("cpu")
    assert meter.read(lambda counts: counts, cpu) == {}
    batch = BatchNote(rows=[4, 2], lengths=[3, 1], grids=[], problems={})
    meter.add(batch)
    now[0] += 2
    with meter.pause():
        now[0] += 50
    found = meter.read(lambda counts: torch.cat([counts, counts]), cpu)
    assert 0.01 < found.pop("memory_gib") < 100
    speed = {"tokens_per_second": 4.0, "samples_per_second": 2.0}
    # operations and MFU are those of one device
    assert found == {**speed, "tflops_per_second": 4.0, "mfu": 0.25}
    meter.add(batch)
    now[0] += 1
    alone = meter.read(lambda counts: counts, cpu)
    assert alone["tokens_per_second"] == 4.0
    assert alone["mfu"] == 0.5


def test_a_run_leaves_a_plot_and_a_summary(train: Train, data: Path, tmp_path: Path) -> None:
    flags = f"--eval_path {data} --eval_strategy steps --eval_steps 2"
    run = train(tmp_path / "run", *LORA, *flags.split())
    history = json.loads((run / "trainer_state.json").read_text())["log_history"]
    steps = [entry for entry in history if "loss" in entry]
    assert all(e["tokens_per_second"] > 0 and e["samples_per_second"] > 0 for e in steps)
    assert Image.open(run / "loss.png").size[0] > 400
    text = (run / "summary.md").read_text()
    assert "- LoRA on language, vision; trained in full: merger" in text
    assert f"`{data}`, 8 rows" in text
    assert "real tokens/s" in text
    last = evaluations(history)[-1]
    assert f"| 4 | {last['eval_loss']:.4f} |" in text


def test_a_summary_shows_scores_and_drops() -> None:
    record = {
        "base": {"path": "b", "model_type": "qwen2_vl"},
        "parents": [{"path": "first"}],
        "lora_parts": [],
        "full_parts": ["merger"],
        "data": {"path": "d", "rows": 1200, "dropped": {"longer than max_seq_length": 3}},
        "settings": {"processes": 2},
        "steps": 10,
    }
    speed = {"tokens_per_second": 1500.0, "samples_per_second": 3.0, "memory_gib": 41.2}
    history: list[dict[str, float]] = [
        {"step": 1, "loss": 2.0, **speed, "mfu": 0.25},
        {"step": 2, "loss": 1.5, **speed, "mfu": 0.35},
    ]
    history += [{"step": 5, "eval_loss": 1.0, "eval_exact": 0.5, "eval_runtime": 9.0, "epoch": 1}]
    text = summary("run", record, history)
    for line in (
        "- stacked on: `first`",
        "- LoRA on nothing; trained in full: merger",
        "- dropped: 3 rows longer than max_seq_length",
        "- 10 steps on 2 process(es)",
        "Median speed: 1,500 real tokens/s, 3.0 samples/s, 30.0% MFU. Memory: at most 41.2 GiB.",
        "| step | loss | exact |",
        "| 5 | 1.0000 | 0.5000 |",
    ):
        assert line in text.splitlines()


def test_the_bar_shows_speed_and_memory() -> None:
    logs = {"loss": 1.25, "learning_rate": 1e-3, "tokens_per_second": 1234.0, "memory_gib": 3.26}
    assert training_line(logs) == "loss 1.250, lr 1.0e-03, 1,234 tokens/s, 3.3 GiB"
    assert ", MFU 31%, 3.3 GiB" in training_line({**logs, "mfu": 0.31})
