"""One step against two: every kind sees as much from every seed, and the figures add up."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def compare() -> ModuleType:
    """The script as a module."""
    import scripts.compare_one_and_two_step

    return scripts.compare_one_and_two_step


def test_every_kind_sees_as_many_rows_from_the_same_seeds(
    compare: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[tuple[Path, Path, int, tuple[str, ...]]] = []
    merged: list[list[str]] = []

    def train(base: Path, data: Path, out: Path, lesson: Any, *more: str) -> None:
        assert base == tmp_path / "base"
        trained.append((data, out, lesson.samples, more))

    monkeypatch.setattr(compare, "train", train)
    monkeypatch.setattr(compare, "run", lambda *words: merged.append([str(w) for w in words]))
    monkeypatch.setattr(sys, "argv", ["compare", "--out", str(tmp_path / "out")])
    options = compare.parse_options()
    runner = compare.StageRunner(options.out, {})
    lessons = compare.nano_lessons(options)
    cot, questions = tmp_path / "cot", tmp_path / "questions"
    systems: dict[str, str] = {}
    for seed in (0, 1):
        systems |= compare.one_seed(runner, tmp_path / "base", cot, questions, lessons, seed)

    assert len(systems) == 6
    rows = {out.relative_to(options.out).as_posix(): count for _, out, count, _ in trained}
    seeds = {out.relative_to(options.out).parts[0]: more[-2:] for _, out, _, more in trained}
    assert seeds == {"seed_0": ("--seed", "0"), "seed_1": ("--seed", "1")}
    for name in seeds:
        both = rows[f"{name}/two_step_first"] + rows[f"{name}/two_step"]
        assert rows[f"{name}/instruction"] == rows[f"{name}/one_step"] == both
    data = {out.name: data for data, out, _, _ in trained}
    assert data == {
        "instruction": questions, "one_step": cot, "two_step_first": questions, "two_step": cot,
    }  # fmt: skip
    stacked = [(out, more[1]) for _, out, _, more in trained if "--first_lora_path" in more]
    assert stacked == [(out, out.parent / "two_step_first") for out, _ in stacked]
    assert all("--verify" in words for words in merged)
    made = [words[words.index("--save-model-path") + 1] for words in merged]
    assert sorted(made) == sorted(systems.values())


def test_figures_of_known_predictions(compare: ModuleType, tmp_path: Path) -> None:
    """Two seeds over four pictures: each kind's share of right ones is known."""
    gold = [
        {"id": str(i), "image": f"images/{i}.png", "task": "cot",
         "conversations": [{"from": "human", "value": "<image>\nRead."},
                           {"from": "gpt", "value": "10 10 C\nsmiles C"}]}
        for i in range(4)
    ]  # fmt: skip
    (tmp_path / "gold.json").write_text(json.dumps(gold))
    (tmp_path / "predictions").mkdir()
    right = {"base": 0, "instruction_0": 1, "instruction_1": 1, "one_step_0": 2, "one_step_1": 1,
             "two_step_0": 4, "two_step_1": 3}  # fmt: skip
    for name, count in right.items():
        lines = [f"{i}.png,{'C' if i < count else 'CC'}" for i in range(4)]
        text = "\n".join(
            json.dumps({"image": image, "smiles": smiles})
            for image, smiles in (line.split(",") for line in lines)
        )
        (tmp_path / f"predictions/{name}.jsonl").write_text(text + "\n")
    compare.report(tmp_path, list(right), tmp_path / "gold.json")

    found = {row["name"]: row for row in json.loads((tmp_path / "comparison.json").read_text())}
    assert [row["exact"] for row in found.values()] == [[0], [0.25, 0.25], [0.5, 0.25], [1, 0.75]]
    assert found["one-step CoT"]["spread"] == pytest.approx(0.25 / 2**0.5)
    low, high = found["one-step CoT"]["interval"]
    assert 0 <= low < found["one-step CoT"]["mean"] < high <= 1
    table = (tmp_path / "comparison.md").read_text()
    assert "| two-step CoT | 87.5%" in table
    assert "Two steps against one, same pictures: +50.0 points" in table
    for end in ("png", "svg"):
        assert (tmp_path / f"comparison.{end}").stat().st_size > 5_000
