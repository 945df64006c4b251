"""The layout holds: arrows run one way, launchers only call entry points, pins name no host."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# What each package may import of ours besides itself. Arrows run one way: downwards.
MAY_IMPORT: dict[str, set[str]] = {
    "eyesmol": set(),
    "data_preprocess": {"eyesmol"},
    "Qwen2-VL-Finetune": {"qwen_vl_finetune"},
    "nano": {"eyesmol", "data_preprocess", "qwen_vl_finetune", "scripts"},
}
OURS = {"eyesmol", "data_preprocess", "qwen_vl_finetune", "nano", "scripts", "tests"}

_LANGUAGE = {"chem", "answer", "image"}
_READING = {*_LANGUAGE, "recognition", "outputs"}
_MAKING = {"engine", "tally", "sources", "catalogue", "dataset", "tasks"}
# The same for what lies in a package: its sub-packages and the modules beside them, from below to
# above. What all may use: the exceptions, and but for `chem` the atomic write.
MAY_IMPORT_INSIDE: dict[str, dict[str, set[str]]] = {
    "eyesmol": {
        "exceptions": set(),
        "atomic": set(),
        "memory": set(),
        "chem": set(),
        "answer": {"chem"},
        "image": {"chem"},
        "depiction": set(),
        "recognition": {*_LANGUAGE, "depiction"},
        "outputs": {*_LANGUAGE, "recognition"},
        "detector": _READING,
        "reader": {*_READING, "detector"},  # one reader reads with it, another drafts
        "evaluation": {*_READING, "detector", "reader"},
        "serve": {*_READING, "detector", "reader"},
        "cli": {*_READING, "detector", "reader", "evaluation", "serve"},
        "__main__": {"cli"},
    },
    "data_preprocess": {
        "engine": set(),
        "tally": set(),
        "closing": set(),
        "web": {"closing"},
        "sources": set(),
        "drawing": set(),
        "tasks": set(),
        "recipes": {"tasks"},
        "gemini_models": set(),
        "catalogue": {"sources"},
        "dataset": {"engine", "tally", "closing", "sources", "tasks"},
        "collect": {"engine", "tally", "closing", "web", "catalogue", "dataset"},
        "describe": {"tally", "closing", "web", "gemini_models", "catalogue"},
        "build": {*_MAKING, "drawing", "recipes"},
        "original": {*_MAKING, "build"},
        "commands": {
            *(*_MAKING, "drawing", "recipes", "build", "original", "collect", "describe"),
            "gemini_models",
        },
        "__main__": {"commands"},
    },
}
_FOR_ALL = {"exceptions", "atomic", "memory"}


def modules(source: str) -> set[str]:
    """Dotted names of what a file imports, wherever in it: of modules, and of what is in them."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            home = "." * node.level + (node.module or "")
            names |= {f"{home}.{alias.name}" for alias in node.names}
    return names


def imported(file: Path) -> set[str]:
    """Top-level packages that a file imports."""
    return {name.partition(".")[0] for name in modules(file.read_text("utf-8"))}


def upward(package: str, part: str, source: str) -> set[str]:
    """Parts of a package that one of them imports and may not."""
    inside = MAY_IMPORT_INSIDE[package]
    names = modules(source)
    assert not any(name.startswith(".") for name in names), "a relative import hides its arrow"
    found = {name.split(".")[1] for name in names if name.startswith(f"{package}.")}
    common = set() if part in _FOR_ALL else {"exceptions"} if part == "chem" else _FOR_ALL
    return found - {part, "__version__"} - inside[part] - common


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_arrows_between_packages_run_one_way(package: str) -> None:
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for file in files:
        own = {package} if package in OURS else set()
        assert imported(file) & OURS <= MAY_IMPORT[package] | own, file


@pytest.mark.parametrize("package", MAY_IMPORT_INSIDE)
def test_arrows_inside_a_package_run_one_way(package: str) -> None:
    for file in (ROOT / package).rglob("*.py"):
        part = file.relative_to(ROOT / package).parts[0].removesuffix(".py")
        if part != "__init__":  # the package's own, which names what is public
            assert not upward(package, part, file.read_text("utf-8")), file


@pytest.mark.parametrize(
    "line",
    [
        "from eyesmol.reader.base import Reader",
        "from eyesmol.reader import base",
        "from eyesmol import reader",
        "import eyesmol.reader.base as base",
        "def read():\n    from eyesmol.reader.local import Recognizer",
        "if TYPE_CHECKING:\n    from eyesmol.reader.base import Reader",
    ],
)
def test_an_arrow_upward_would_be_seen(line: str) -> None:
    assert upward("eyesmol", "chem", line) == {"reader"}
    assert not upward("eyesmol", "serve", line)


def test_every_arrow_that_is_allowed_points_down() -> None:
    for inside in MAY_IMPORT_INSIDE.values():
        order = list(inside)
        for part, below in inside.items():
            assert all(order.index(other) < order.index(part) for other in below), part


def test_nothing_loads_pickles_or_code_from_checkpoints() -> None:
    for package in MAY_IMPORT:
        for file in (ROOT / package).rglob("*.py"):
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


def launch(
    step: str, *options: str | Path, gpus: Path | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a launcher on a machine without a GPU, whatever this one has.

    Args:
        step: which launcher.
        options: its options.
        gpus: a folder with an `nvidia-smi` that lists some.
        env: variables of the environment.
    """
    script = ROOT / "scripts" / f"run_lora_finetuning_{step}.sh"
    path = f"{f'{gpus}:' if gpus else ''}{Path(sys.executable).parent}:/usr/bin:/bin"
    return subprocess.run(
        ["bash", script, *options],
        env={"PATH": path, "HOME": os.environ.get("HOME", "/"), **env},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("step", LAUNCHERS)
def test_a_dry_run_prints_the_one_call_of_the_entry_point(step: str, tmp_path: Path) -> None:
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


def number(name: str, text: str) -> int:
    """The value of a flag in a command line."""
    return int(re.search(rf"--{name} (\d+)", text)[1])  # type: ignore[index]


@pytest.mark.parametrize("gpus", range(1, 9))
def test_any_number_of_gpus_starts(gpus: int, tmp_path: Path) -> None:
    """Also those that do not divide the global batch; what it comes to is said."""
    shown = launch("instruction", "--dry-run", "--data", tmp_path, "--gpus", str(gpus))
    assert shown.returncode == 0, shown.stderr
    batch = number("per_device_train_batch_size", shown.stdout)
    total = gpus * batch * number("gradient_accumulation_steps", shown.stdout)
    assert 56 <= total <= 72
    assert (f"the global batch is {total}, not 64" in shown.stderr) == (total != 64)


def test_a_launcher_sees_the_gpus_that_are_visible(tmp_path: Path) -> None:
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\nfor i in 0 1 2 3; do echo GPU $i; done\n")
    smi.chmod(0o755)

    def seen(**env: str) -> int:
        shown = launch("cot", "--dry-run", "--data", tmp_path, gpus=tmp_path, **env)
        assert shown.returncode == 0, shown.stderr
        return number("nproc_per_node", shown.stdout)

    assert seen() == 4
    assert seen(CUDA_VISIBLE_DEVICES="1,3") == 2
    assert seen(CUDA_VISIBLE_DEVICES="0,2,-1,3") == 2
    assert seen(GPUS="3") == 3
    many = launch("cot", "--dry-run", "--gpus", "3", gpus=tmp_path, CUDA_VISIBLE_DEVICES="1,3")
    assert many.returncode == 2
    assert "--gpus 3, but 2 can be seen (CUDA_VISIBLE_DEVICES=1,3)" in many.stderr


def test_names_with_blanks_and_own_micro_batches_reach_the_trainer(tmp_path: Path) -> None:
    folder = tmp_path / "my data"
    shown = launch(
        "cot_stack", "--dry-run", "--data", folder, "--output", "my run", "--gpus", "3",
        "--", "--gradient_accumulation_steps", "5", FIRST_LORA="my first:my second",
    )  # fmt: skip
    words = shlex.split(shown.stdout)
    where = words.index("--first_lora_path")
    assert words[where + 1 : where + 3] == ["my first", "my second"]
    assert words[words.index("--data_path") + 1] == f"{folder}/train.json"
    assert words[words.index("--output_dir") + 1] == "my run"
    assert words.count("--gradient_accumulation_steps") == 1


def test_what_a_launcher_needs_is_looked_for_and_not_imported(tmp_path: Path) -> None:
    """An import of the two takes ten seconds, and says nothing that the trainer will not say."""
    for name in ("bitsandbytes", "deepspeed"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('imported')")
    answer = launch("cot", PYTHONPATH=str(tmp_path))
    assert "GPU" in answer.stderr
    assert "not installed" not in answer.stderr


@pytest.mark.parametrize("step", LAUNCHERS)
def test_what_a_launcher_misses_is_said_at_once(step: str) -> None:
    answer = launch(step)
    assert answer.returncode == 2
    for missing in ("--data", "--output", "GPU"):
        assert missing in answer.stderr
    assert ("--first-lora" in answer.stderr) == (step == "cot_stack")
