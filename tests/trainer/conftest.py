"""What the trainer's tests share: a tiny model, a few images, and a way to train."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageDraw

TRAINER = Path(__file__).parents[2] / "Qwen2-VL-Finetune"
sys.path.insert(0, str(TRAINER / "src"))

torch.set_num_threads(1)

LORA = [
    *("--lora_enable", "true", "--vision_lora", "true", "--lora_rank", "4", "--lora_alpha", "8"),
    *("--freeze_llm", "true", "--freeze_vision_tower", "true"),
]
FROZEN_MERGER = ["--freeze_merger", "true"]

Train = Callable[..., Path]


@pytest.fixture(scope="session", autouse=True)
def kept_rows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of the tests' own for rows that are mapped into memory."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("home")
        patch.setenv("HF_HOME", str(home))
        yield home


@pytest.fixture(scope="session")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Qwen2.5-VL folder of some hundred thousand random weights."""
    from eyesmol.image.pixel_frame import PixelFrame
    from nano.model import create_nano

    folder = tmp_path_factory.mktemp("models") / "nano"
    return create_nano(folder, width=32, layers=2, frame=PixelFrame(56 * 56, 56 * 56))


def make_rows(folder: Path, count: int = 8) -> list[dict[str, Any]]:
    """Rows about a black square on white; their images go into `folder`/images."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(count):
        image = Image.new("L", (56, 56), 255)
        ImageDraw.Draw(image).rectangle([4 * i, 8, 4 * i + 12, 20], fill=0)
        image.save(folder / "images" / f"{i}.png")
        turns = [
            {"from": "human", "value": "<image>\nWhere is it?"},
            {"from": "gpt", "value": f"at {4 * i}, 8"},
        ]
        rows.append({"id": f"r{i}", "image": f"images/{i}.png", "conversations": turns})
    return rows


def write_rows(folder: Path, rows: Any, name: str = "train.json") -> Path:
    """Write rows as a LLaVA JSON file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaVA JSON file of eight rows with images."""
    folder = tmp_path_factory.mktemp("data")
    return write_rows(folder, make_rows(folder))


@pytest.fixture(scope="session")
def train(nano: Path, data: Path) -> Train:
    """Run `train_sft.py` in this process: `train(output, *flags)` gives the output folder."""
    from qwen_vl_finetune.train import main

    def run(output: Path, *flags: str, model: Path = nano, rows: Path = data) -> Path:
        words = [
            *("--model_id", str(model), "--data_path", str(rows), "--output_dir", str(output)),
            *("--per_device_train_batch_size", "2", "--max_steps", "4", "--logging_steps", "1"),
            *("--learning_rate", "1e-2", "--disable_tqdm", "true", "--use_cpu", "true"),
            *("--save_strategy", "no", "--report_to", "none", *flags),
        ]
        assert main(words) == 0
        return output

    return run


@pytest.fixture(scope="session")
def first(train: Train, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A first adapter: LoRA on language and vision, the merger trained in full."""
    return train(tmp_path_factory.mktemp("runs") / "first", *LORA)


@pytest.fixture(scope="session")
def second(train: Train, first: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second adapter, stacked on the frozen first."""
    folder = tmp_path_factory.mktemp("runs") / "second"
    return train(folder, *LORA, "--first_lora_path", str(first))
