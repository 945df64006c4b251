"""The learning curve of a run as a PNG: losses and shares of right answers over hours of training.

    python -m detector_training.curve RUN [--out curve.png]

Takes the run folder's `log.jsonl` and, where there is one, its `scores.jsonl`: exact match on real
drawings, a line for each set that ``benchmarks/real.py --run RUN --append RUN/scores.jsonl`` read.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["curve", "main"]

_LOSSES = ("heat", "offset", "label", "bond", "spell")
_SHARES = {"labels": "labels but C", "bonds": "bonds", "no bonds": "no bonds",
           "false": "no atoms", "words": "spelt labels"}  # fmt: skip


def curve(run: Path) -> Figure:
    """The figure of a run.

    Args:
        run: a run folder.

    Raises:
        FileNotFoundError: it has no log.
    """
    file = run / "log.jsonl"
    if not file.is_file():
        raise FileNotFoundError(
            f"{run}: found no log.jsonl; expected the folder of detector_training.train --out"
        )
    rows = _rows(file)
    scores = _rows(run / "scores.jsonl") if (run / "scores.jsonl").is_file() else []
    figure = Figure(figsize=(15 if scores else 10, 4.5), layout="constrained")
    axes = figure.subplots(1, 3 if scores else 2, squeeze=False)[0]
    hours = [row["minutes"] / 60 for row in rows]
    for name in _LOSSES:
        axes[0].plot(hours, [row[name] for row in rows], label=name)
    axes[0].set(yscale="log", ylabel="loss, running mean")
    for name, title in _SHARES.items():
        axes[1].plot(hours, [100 * row[name] for row in rows], label=title)
    axes[1].set(ylim=(0, 100), ylabel="right on what is drawn for training, %")
    if scores:
        _draw_scores(axes[2], scores)
    for one in axes:
        one.set_xlabel("hours of training")
        one.grid(alpha=0.3)
        one.legend()
    return figure


def _rows(file: Path) -> list[dict[str, Any]]:
    """The lines of a file; one that a stop cut off is left out."""
    lines = file.read_text(encoding="utf-8").split("\n")[:-1]
    return [json.loads(line) for line in lines if line]


def _draw_scores(axes: Axes, scores: list[dict[str, Any]]) -> None:
    sets: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in scores:
        sets[row["set"]].append(row)
    for name, found in sets.items():
        found.sort(key=lambda row: float(row["minutes"]))
        exact = [100 * row["exact"] for row in found]
        errors = [[100 * (row["exact"] - row["low"]) for row in found],
                  [100 * (row["high"] - row["exact"]) for row in found]]  # fmt: skip
        axes.errorbar(
            [row["minutes"] / 60 for row in found], exact, errors, marker="o", capsize=2, label=name
        )
    axes.set_ylabel("exact match on real drawings, % (95 %)")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m detector_training.curve",
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument("--out", type=Path, help="the PNG (RUN/curve.png)")
    options = parser.parse_args(arguments)
    out = options.out or options.run / "curve.png"
    curve(options.run).savefig(out, dpi=110)
    print(out)


if __name__ == "__main__":
    main()
