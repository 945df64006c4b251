"""The house keeps its shape: arrows run one way, launchers only call doors, pins name no host."""

from __future__ import annotations

import ast
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAY_IMPORT: dict[str, set[str]] = {
    "eyesmol": set(),
    "data_preprocess": {"eyesmol"},
    "Qwen2-VL-Finetune": {"qwen_vl_finetune"},
}
OURS = {"eyesmol", "data_preprocess", "qwen_vl_finetune"}


def imported(file: Path) -> set[str]:
    """Top-level packages that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_arrows_run_one_way(room: str) -> None:
    files = list((ROOT / room).rglob("*.py"))
    assert files
    for file in files:
        own = {room} if room in OURS else set()
        assert imported(file) & OURS <= MAY_IMPORT[room] | own, file


def test_nothing_loads_pickles_or_code_from_checkpoints() -> None:
    for room in MAY_IMPORT:
        for file in (ROOT / room).rglob("*.py"):
            text = file.read_text("utf-8")
            assert "pickle" not in imported(file), file
            assert not re.search(r"trust_remote_code\s*=\s*True", text), file
            for call in re.findall(r"torch\.load\([^)]*\)", text):
                assert "weights_only=True" in call, file


def test_pins_name_no_host_and_every_dependency() -> None:
    pins = (ROOT / "requirements.txt").read_text("utf-8")
    assert "://" not in pins
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    block = re.search(r"^dependencies = \[(.*?)^\]", project, re.MULTILINE | re.DOTALL)
    assert block
    for name in re.findall(r'"([a-z0-9-]+)>=', block[1]):
        assert re.search(rf"^{name}==", pins, re.MULTILINE), name


LAUNCHERS = ("instruction", "cot", "cot_stack")


def launch(step: str, *options: str | Path) -> subprocess.CompletedProcess[str]:
    script = ROOT / "scripts" / f"run_lora_finetuning_{step}.sh"
    # A machine without a GPU, whatever this one has.
    path = f"{ROOT}/.venv/bin:/usr/bin:/bin"
    return subprocess.run(
        ["bash", script, *options],
        env={"PATH": path, "HOME": os.environ.get("HOME", "/")},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("step", LAUNCHERS)
def test_a_dry_run_prints_the_one_call_of_the_door(step: str, tmp_path: Path) -> None:
    shown = launch(
        step, "--dry-run", "--data", tmp_path, "--output", "o", "--gpus", "2", "--first-lora", "f",
        "--", "--lora_rank", "8",
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    assert f"--config Qwen2-VL-Finetune/configs/{step}.yaml" in shown.stdout
    batch = int(re.search(r"--per_device_train_batch_size (\d+)", shown.stdout)[1])  # type: ignore[index]
    times = int(re.search(r"--gradient_accumulation_steps (\d+)", shown.stdout)[1])  # type: ignore[index]
    assert 2 * batch * times == 64
    assert shown.stdout.rstrip().endswith("--lora_rank 8")


@pytest.mark.parametrize("step", LAUNCHERS)
def test_what_a_launcher_misses_is_said_at_once(step: str) -> None:
    answer = launch(step)
    assert answer.returncode == 2
    for missing in ("--data", "--output", "GPU"):
        assert missing in answer.stderr
    assert ("--first-lora" in answer.stderr) == (step == "cot_stack")
