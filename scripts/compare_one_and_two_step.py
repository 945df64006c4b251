"""Does the first step help the second? Base, instruction, one-step and two-step chain of thought.

All start from the same base and see equally many rows: questions only; chains of thought only; or
questions first, and then, in a second LoRA on the frozen first, chains of thought. Each is trained
from several seeds (of the adapter's weights and of the order of rows), merged, and read from the
same held-out pictures. The doors, stages and settings are those of the quickstart.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scripts.quickstart import (
    NANO_FOLDER,
    Lesson,
    add_data_options,
    build_data,
    check_data_options,
    hold_out,
    longest_answer,
    nano_lessons,
    read,
    settings_of,
    train,
)
from scripts.stages import ROOT, TRAINER, StageError, StageRunner, run

BASE, INSTRUCTION, ONE, TWO = "base", "instruction only", "one-step CoT", "two-step CoT"
FOLDERS = {BASE: "base", INSTRUCTION: "instruction", ONE: "one_step", TWO: "two_step"}


def main() -> int:
    """Train, read and compare; returns the exit status."""
    options = parse_options()
    os.chdir(ROOT)
    try:
        run_stages(StageRunner(options.out, settings_of(options)), options)
    except StageError as error:
        print(f"\ncompare: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\ncompare: stopped; the same command resumes", file=sys.stderr)
        return 130
    return 0


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="bash scripts/compare_one_and_two_step.sh",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Without options: three seeds from nano on the quickstart's drawings, about half an "
        "hour on two CPU cores.",
    )
    parser.add_argument("--base", type=Path, default=NANO_FOLDER, metavar="DIR",
                        help="a small model to start from (nano)")  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("runs/one_and_two_step"), metavar="DIR",
                        help="where everything goes (runs/one_and_two_step)")  # fmt: skip
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="runs of each kind (3)")
    add_data_options(parser)
    parser.add_argument("--scale", type=float, default=1.0, metavar="X",
                        help="train X times as long as the quickstart (1)")  # fmt: skip
    parser.add_argument("--read", type=int, default=500, metavar="N",
                        help="held-out pictures to read (500)")  # fmt: skip
    options = parser.parse_args()
    check_data_options(parser, options)
    if not (options.base / "config.json").is_file():
        parser.error(f"{options.base} is no model folder")
    options.base = options.base.resolve()
    options.out = options.out.resolve()
    options.images = options.molfiles = options.model = None  # always the invented molecules
    return options


def run_stages(runner: StageRunner, options: argparse.Namespace) -> None:
    """All stages in order."""
    folder = runner.folder
    cot, questions, held_out = folder / "data/cot", folder / "data/instruction", folder / "held_out"
    lessons = nano_lessons(options)

    def build() -> None:
        build_data(options, cot, "cot")
        build_data(options, questions, "instruction")
        hold_out(cot, held_out, options.read)

    runner.stage("data", build)
    systems = {FOLDERS[BASE]: str(options.base)}
    for seed in range(options.seeds):
        systems |= one_seed(runner, options.base, cot, questions, lessons, seed)
    pictures, found, longest = held_out / "images", folder / "predictions", longest_answer(options)
    runner.stage("read", lambda: read(systems, pictures, found, longest))
    report(folder, list(systems), held_out / "gold.json")
    minutes = sum(runner.seconds.values()) / 60
    print(f"\nall done: {minutes:.1f} minutes of work. Look at {folder / 'comparison.svg'}")


def one_seed(
    runner: StageRunner,
    base: Path,
    cot: Path,
    questions: Path,
    lessons: dict[str, Lesson],
    seed: int,
) -> dict[str, str]:
    """Train and merge the three kinds from one seed; the merged folders by name."""
    folder = runner.folder / f"seed_{seed}"
    first, second = lessons["instruction"], lessons["cot"]
    total = first.samples + second.samples  # what each of the three sees
    chosen = ("--seed", str(seed))
    below = folder / "two_step_first"

    def stage(name: str, *words: Any) -> None:
        runner.stage(f"seed {seed}: {name}", lambda: train(*words, *chosen))

    stage(INSTRUCTION, base, questions, folder / "instruction", replace(first, samples=total))
    stage(ONE, base, cot, folder / "one_step", replace(second, samples=total))
    stage(f"{TWO}, first", base, questions, below, first)
    stage(f"{TWO}, second", base, cot, folder / "two_step", second, "--first_lora_path", below)
    runner.stage(f"seed {seed}: merge", lambda: merge(base, folder, below))
    names = [name for kind, name in FOLDERS.items() if kind != BASE]
    return {f"{name}_{seed}": str(folder / f"merged_{name}") for name in names}


def merge(base: Path, folder: Path, below: Path) -> None:
    """The three kinds of one seed, each merged into the base."""
    for name in ("instruction", "one_step"):
        target = folder / f"merged_{name}"
        run(f"{TRAINER}/merge_lora_weights.py", "--model-path", folder / name,
            "--model-base", base, "--save-model-path", target, "--verify")  # fmt: skip
    run(f"{TRAINER}/merge_lora_stack_weights.py", "--checkpoint-path", folder / "two_step",
        "--first-lora-path", below, "--model-base", base,
        "--save-model-path", folder / "merged_two_step", "--verify")  # fmt: skip


# --- the comparison -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Arm:
    """One kind of training over its seeds.

    Attributes:
        name: of the kind.
        exact: exact match of each seed, 0 to 1.
        pictures: for each held-out picture the share of seeds that read it right.
    """

    name: str
    exact: list[float]
    pictures: list[float]

    @property
    def mean(self) -> float:
        """Mean exact match."""
        return statistics.fmean(self.exact)

    @property
    def spread(self) -> float | None:
        """Standard deviation over seeds; None for a single one."""
        return statistics.stdev(self.exact) if len(self.exact) > 1 else None


def interval(values: list[float]) -> tuple[float, float]:
    """95 % interval of the mean over pictures: percentile bootstrap, the same resamples always."""
    import numpy as np

    array = np.asarray(values)
    drawn = np.random.default_rng(0).integers(0, len(array), (2000, len(array)))
    low, high = np.quantile(array[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def load_arms(folder: Path, systems: list[str], gold_file: Path) -> list[Arm]:
    """Score every system's predictions and put the seeds of a kind together."""
    from eyesmol.evaluation.gold import load_gold
    from eyesmol.evaluation.metrics import evaluate, load_predictions

    gold = load_gold(gold_file)
    right: dict[str, list[list[float]]] = {name: [] for name in FOLDERS.values()}
    for system in systems:
        file = folder / f"predictions/{system}.jsonl"
        found = evaluate(gold, load_predictions(file), name=system)
        right[re.sub(r"_\d+$", "", system)].append([float(row.exact) for row in found.rows])
    return [
        Arm(
            kind,
            [statistics.fmean(seed) for seed in right[name]],
            [statistics.fmean(picture) for picture in zip(*right[name], strict=True)],
        )
        for kind, name in FOLDERS.items()
    ]


def report(folder: Path, systems: list[str], gold_file: Path) -> None:
    """The table on the screen and in `comparison.md`, figures as JSON, the plot as PNG and SVG."""
    arms = load_arms(folder, systems, gold_file)
    text = table(arms)
    (folder / "comparison.md").write_text(text + "\n", "utf-8")
    rows = [{"name": a.name, "exact": a.exact, "mean": a.mean, "spread": a.spread,
             "interval": interval(a.pictures)} for a in arms]  # fmt: skip
    (folder / "comparison.json").write_text(json.dumps(rows, indent=2) + "\n", "utf-8")
    plot(folder, arms)
    print(f"\n{text}")


def table(arms: list[Arm]) -> str:
    """Markdown: a row for each kind, then the difference between two steps and one."""
    pictures, seeds = len(arms[0].pictures), max(len(arm.exact) for arm in arms)
    lines = [
        f"Exact match on {pictures} held-out pictures; mean of {seeds} seed(s) with its 95 % "
        "interval over pictures, and the standard deviation over seeds.",
        "",
        "| training | exact match | 95 % interval | over seeds | each seed |",
        "|---|---|---|---|---|",
    ]
    for arm in arms:
        low, high = interval(arm.pictures)
        spread = "" if arm.spread is None else f"± {arm.spread:.1%}"
        each = ", ".join(f"{value:.1%}" for value in arm.exact)
        lines.append(
            f"| {arm.name} | {arm.mean:.1%} | {low:.1%} to {high:.1%} | {spread} | {each} |"
        )
    by_name = {arm.name: arm for arm in arms}
    difference = [
        two - one for one, two in zip(by_name[ONE].pictures, by_name[TWO].pictures, strict=True)
    ]
    low, high = interval(difference)
    each = ", ".join(
        f"{100 * (two - one):+.1f}"
        for one, two in zip(by_name[ONE].exact, by_name[TWO].exact, strict=True)
    )
    return "\n".join([
        *lines, "",
        f"Two steps against one, same pictures: {100 * statistics.fmean(difference):+.1f} points "
        f"({100 * low:+.1f} to {100 * high:+.1f}); by seed {each}.",
    ])  # fmt: skip


def plot(folder: Path, arms: list[Arm]) -> None:
    """Mean and interval of each kind, a dot for each seed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for place, arm in enumerate(arms):
        low, high = interval(arm.pictures)
        bars = [[100 * max(0.0, arm.mean - low)], [100 * max(0.0, high - arm.mean)]]
        axes.bar(place, 100 * arm.mean, width=0.6, color="#9ec5e8")
        axes.errorbar(place, 100 * arm.mean, yerr=bars, color="#1b4f72", capsize=4)
        shift = [0.06 * (i - (len(arm.exact) - 1) / 2) for i in range(len(arm.exact))]
        axes.plot([place + s for s in shift], [100 * v for v in arm.exact], "o", color="#d35400",
                  markersize=4)  # fmt: skip
    axes.set_xticks(range(len(arms)), [arm.name for arm in arms])
    axes.set_ylabel("exact match (%)")
    axes.set_title("bar: mean, 95 % interval over pictures; dots: seeds", fontsize=9)
    axes.grid(axis="y", alpha=0.3)
    for end in ("png", "svg"):
        figure.savefig(folder / f"comparison.{end}", dpi=150)


if __name__ == "__main__":
    sys.exit(main())
