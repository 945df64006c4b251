"""Which width of nano reads best after the same minutes of training.

    python -m nano.benchmarks.shapes --widths 96 160                   from random weights
    python -m nano.benchmarks.shapes --start nano --widths 96 160      from a model that can read

Each width trains by ``scripts/train_nano.sh``, one after the other on the same machine: two thirds
of the minutes at the full rate, then half as many steps in which the rate falls. A trained model is
made wider first, which changes nothing of what it says (`nano.model.widen_nano`). All read the
same held-out drawings, and one by one for the seconds that a person waits. From random weights five
minutes on two cores were too few to read anything (64 wide); a run that is called again goes on.
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

from safetensors import safe_open
from transformers.utils import logging

from eyesmol.reader.embedded import model_folder
from eyesmol.reader.local import LocalRecognizer
from eyesmol.reader.options import ReadOptions
from nano.benchmarks.sizes import drawn, exact, read

_ROOT = Path(__file__).parents[2]


def main() -> int:
    """Train, read, print; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--widths", type=int, nargs="+", default=[96, 160], help="(96 160)")
    parser.add_argument("--start", help="a model to go on from; nano is the one that is here")
    parser.add_argument("--minutes", type=float, default=15, help="of training, each (15)")
    parser.add_argument("--rows", type=json.loads, metavar="JSON", default={},
                        help="options of the rows, as of train_nano.sh")  # fmt: skip
    parser.add_argument("--each", type=int, default=400, help="pictures to score on (400)")
    parser.add_argument("--looks", type=int, default=1, help="at each of them (1)")
    parser.add_argument("--out", type=Path, default=Path("runs/nano_shapes"), help="a folder")
    options = parser.parse_args()
    logging.disable_progress_bar()
    rows = options.rows = {"side": 112, "most": 10, "mean": 8, "grow": 0.0, **options.rows}
    gold = drawn(options.out / "gold", options.each, (2, rows["most"]), 0.0, rows["side"])
    print(f"2 to {rows['most']} heavy atoms, {rows['side']} pixels, {options.minutes:g} minutes "
          f"each, {options.each} drawings of unseen molecules\n")  # fmt: skip
    print(
        "| width | weights | pictures | a second | exact match (%, 95 % interval) | s a picture |"
    )
    print("|---|---|---|---|---|---|", flush=True)
    for width in options.widths:
        model, pieces = trained(width, options)
        reader = LocalRecognizer.from_folder(model, options=ReadOptions(views=options.looks))
        found, seconds = read(reader, gold, gold.parent)
        pictures = sum(piece["pictures"] for piece in pieces)
        speed = pictures / sum(piece["minutes"] for piece in pieces) / 60
        cells = [str(width), f"{weights(model):,}", f"{pictures:,}", f"{speed:.0f}", exact(found)]
        print(f"| {' | '.join(cells)} | {seconds:.3f} |", flush=True)
    return 0


def trained(width: int, options: argparse.Namespace) -> tuple[Path, list[dict[str, Any]]]:
    """A model of this width, and the record of the two pieces that were trained here."""
    high, falling = (options.out / str(width) / name for name in ("high", "falling"))
    start = ["--start", model_folder(options.start)] if options.start else []
    train(high, options.rows, *start, "--width", str(width), "--more-follows",
          "--minutes", str(2 / 3 * options.minutes), "--steps", "1000000")  # fmt: skip
    steps = str(record(high)[-1]["steps"] // 2)
    train(falling, options.rows, "--start", str(high / "nano"), "--steps", steps, "--decay", steps)
    return falling / "nano", record(falling)[-2:]


def train(out: Path, rows: dict[str, Any], *words: str) -> None:
    """A piece of training, unless it is there; what it prints goes to a file."""
    if (out / "nano").exists():
        return
    out.mkdir(parents=True, exist_ok=True)
    # The recipe's own evaluation is not run here: one set of drawings for it is enough.
    valid = out.parents[1] / "valid"
    if valid.exists():
        shutil.copytree(valid, out / "valid", dirs_exist_ok=True)
    command = ["bash", "scripts/train_nano.sh", "--out", str(out.resolve())]
    command += ["--rows", json.dumps(rows), *words, "--", "--eval_steps", "1000000"]
    command += ["--logging_steps", "10"]  # the speed is taken from the log
    with (out / "log.txt").open("a") as log:
        ran = subprocess.run(command, cwd=_ROOT, stdout=log, stderr=subprocess.STDOUT, check=False)
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
