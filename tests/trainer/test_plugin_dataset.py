"""Rows that a plug-in makes: taken in order, made again alike after a kill, checked when made."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageDraw
from qwen_vl_finetune.errors import UserError
from qwen_vl_finetune.trainer import QwenTrainer
from safetensors.torch import load_file

from .conftest import Train

FULL = ["--freeze_llm", "false", "--freeze_vision_tower", "false", "--freeze_merger", "false"]
SAVING = ["--save_strategy", "steps", "--save_steps", "2"]

asked_for: list[int] = []  # numbers of the rows that were made


class Squares:
    """Rows about a black square on white, the image inside."""

    pixel_frame = {"min_pixels": 56 * 56, "max_pixels": 56 * 56}  # noqa: RUF012

    def __init__(self, count: int, answer: str = "at {}") -> None:
        self.count, self.answer = count, answer

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        asked_for.append(index)
        if self.answer == "raise":
            raise LookupError("no such square")
        image = Image.new("L", (56, 56), 255)
        ImageDraw.Draw(image).rectangle([index, 8, index + 12, 20], fill=0)
        turns = [
            {"from": "human", "value": "<image>\nWhere is it?"},
            {"from": "gpt", "value": self.answer.format(index)},
        ]
        return {"id": f"made-{index}", "image": image, "conversations": turns}


def flags(**options: Any) -> list[str]:
    return ["--data_options", json.dumps(options)]


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The name of `Squares`, as the trainer is given it."""
    monkeypatch.setitem(sys.modules, "squares_plugin", sys.modules[__name__])
    asked_for.clear()
    return Path("squares_plugin:Squares")


def test_rows_are_taken_in_order_and_each_once(train: Train, plugin: Path, tmp_path: Path) -> None:
    run = train(tmp_path / "run", *FULL, *flags(count=100), rows=plugin)
    # The first row is read beforehand (does it hold an image?), one batch is made ahead.
    assert asked_for == [0, *range(10)]
    record = json.loads((run / "run.json").read_text("utf-8"))
    assert record["pixel_frame"] == Squares.pixel_frame
    assert record["data"]["rows"] == 100


class Killed(BaseException):
    """Stands for the end of the process."""


def test_resume_makes_the_same_rows_and_no_others(
    train: Train, plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(tmp_path / "whole", *FULL, *SAVING, *flags(count=100), rows=plugin)
    stock = QwenTrainer.training_step
    steps = iter(range(3))

    def dies(self: QwenTrainer, *args: Any) -> torch.Tensor:
        if next(steps, None) is None:
            raise Killed
        return stock(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(QwenTrainer, "training_step", dies)
        with pytest.raises(Killed):
            train(tmp_path / "cut", *FULL, *SAVING, *flags(count=100), rows=plugin)
    asked_for.clear()
    cut = train(tmp_path / "cut", *FULL, *SAVING, *flags(count=100), rows=plugin)
    assert asked_for == [0, *range(4, 10)]
    one, two = load_file(whole / "model.safetensors"), load_file(cut / "model.safetensors")
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_pieces_of_a_run_add_up_to_the_whole(train: Train, plugin: Path, tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", *FULL, *flags(count=100), rows=plugin)
    pieces = tmp_path / "pieces"
    for step in range(
        1, 5
    ):  # each is over after its first step; the last has none left to wait for
        train(pieces, *FULL, "--max_minutes", "1e-9", *flags(count=100), rows=plugin)
        assert (pieces / f"checkpoint-{step}").exists() == (step < 4)
        assert json.loads((pieces / "run.json").read_text("utf-8"))["finished"] == (step == 4)
    one, two = load_file(whole / "model.safetensors"), load_file(pieces / "model.safetensors")
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_dry_run_needs_a_few_rows_only(
    train: Train, plugin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path / "run", *FULL, "--dry_run", "true", *flags(count=1_000_000), rows=plugin)
    assert len(asked_for) < 1_000
    assert "1,000,000" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "more", "message"),
    [
        ({"count": 0}, [], "it gives no rows"),
        ({"number": 3}, [], "unexpected keyword argument 'number'"),
        ({"count": 9, "answer": "raise"}, [], r"row 0: LookupError: no such square \(.*, line \d+"),
        ({"count": 9, "answer": "a <image> {}"}, [], r"row 0 \(id 'made-0'\): an answer holds"),
        ({"count": 9, "answer": "x" * 900}, ["--max_seq_length", "64"], "over --max_seq_length"),
        ({"count": 9}, ["--packing", "true"], "--packing is for the rows of a file"),
    ],
)
def test_faults_are_named(
    options: dict[str, Any],
    more: list[str],
    message: str,
    train: Train,
    plugin: Path,
    tmp_path: Path,
) -> None:
    with pytest.raises(UserError, match=message):
        train(tmp_path / "run", *FULL, *flags(**options), *more, rows=plugin)


def test_a_plugin_that_is_not_there_is_named(train: Train, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--data_path no_such_module:Rows: expected module:name"):
        train(tmp_path / "run", *FULL, rows=Path("no_such_module:Rows"))
