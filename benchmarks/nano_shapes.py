"""Which shape of nano reads best for the same minutes of training.

    python benchmarks/nano_shapes.py                               four shapes, 20 minutes in all
    python benchmarks/nano_shapes.py --shapes 96x3 128x4 --minutes 20

Each shape (width x layers of both halves) begins with random weights and trains by
``scripts/train_nano.sh``, one after the other on the same machine: two thirds of the minutes at the
full rate, then half as many steps in which the rate falls. All read the same held-out drawings, and
one by one for the seconds that a person waits. A run that is called again goes on.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from nano import drawn, exact, read
from safetensors import safe_open
from transformers.utils import logging

from eyesmol.recognizer import Recognizer

_ROOT = Path(__file__).parents[1]


def main() -> int:
    """Train, read, print; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument(
        "--shapes", nargs="+", default=["64x3", "96x3", "96x6", "160x4"], help="WIDTHxLAYERS"
    )
    parser.add_argument("--minutes", type=float, default=5, help="of training, each (5)")
    parser.add_argument("--most", type=int, default=7, help="heavy atoms (7)")
    parser.add_argument("--side", type=int, default=112, help="of the pictures, in pixels (112)")
    parser.add_argument("--each", type=int, default=400, help="pictures to score on (400)")
    parser.add_argument("--out", type=Path, default=Path("runs/nano_shapes"), help="a folder")
    options = parser.parse_args()
    logging.disable_progress_bar()
    gold = drawn(options.out / "gold", options.each, (2, options.most), 0.0, options.side)
    print(f"2 to {options.most} heavy atoms, {options.side} pixels, {options.minutes:g} minutes "
          f"each, {options.each} drawings of unseen molecules\n")  # fmt: skip
    print(
        "| shape | weights | pictures | a second | exact match (%, 95 % interval) | s a picture |"
    )
    print("|---|---|---|---|---|---|", flush=True)
    for shape in options.shapes:
        model, pieces = trained(shape, options)
        found, seconds = read(Recognizer.from_pretrained(model), gold, gold.parent)
        pictures = sum(piece["pictures"] for piece in pieces)
        speed = pictures / sum(piece["minutes"] for piece in pieces) / 60
        cells = [shape, f"{weights(model):,}", f"{pictures:,}", f"{speed:.0f}", exact(found)]
        print(f"| {' | '.join(cells)} | {seconds:.3f} |", flush=True)
    return 0


def trained(shape: str, options: argparse.Namespace) -> tuple[Path, list[dict[str, Any]]]:
    """A model of this shape, and the record of its two pieces."""
    width, layers = shape.split("x")
    rows = {"side": options.side, "most": options.most, "mean": options.most - 1, "grow": 0.0}
    high, falling = options.out / shape / "high", options.out / shape / "falling"
    train(high, rows, "--width", width, "--layers", layers, "--more-follows",
          "--minutes", str(2 / 3 * options.minutes), "--steps", "1000000")  # fmt: skip
    [first] = record(high)
    steps = first["steps"] // 2
    train(
        falling, rows, "--start", str(high / "nano"), "--steps", str(steps), "--decay", str(steps)
    )
    return falling / "nano", record(falling)


def train(out: Path, rows: dict[str, Any], *words: str) -> None:
    """A piece of training, unless it is there; what it prints goes to a file."""
    if (out / "nano").exists():
        return
    out.mkdir(parents=True, exist_ok=True)
    # The recipe's own evaluation is not run here: one set of drawings for it is enough.
    valid = out.parents[1] / "valid"
    if valid.exists():
        shutil.copytree(valid, out / "valid", dirs_exist_ok=True)
    command = ["bash", "scripts/train_nano.sh", "--out", out.resolve(), "--rows", json.dumps(rows)]
    with (out / "log.txt").open("a") as log:
        ran = subprocess.run(
            [*command, *words, "--", "--eval_steps", "1000000"],
            cwd=_ROOT, stdout=log, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
    if ran.returncode:
        raise SystemExit(f"{out / 'log.txt'} says why this piece ended with {ran.returncode}")
    shutil.copytree(out / "valid", valid, dirs_exist_ok=True)


def record(out: Path) -> list[dict[str, Any]]:
    """What the pieces so far were."""
    pieces: list[dict[str, Any]] = json.loads((out / "nano/training.json").read_text("utf-8"))
    return pieces


def weights(model: Path) -> int:
    """How many numbers a model is."""
    with safe_open(model / "model.safetensors", "np") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118


if __name__ == "__main__":
    sys.exit(main())
