"""``calibrate``: learn what a confidence is worth from images whose truth is known."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eyesmol.cli import UsageError

if TYPE_CHECKING:
    from eyesmol.answer.confidence import Reliability


def add(commands: Any) -> None:
    """Add the command to the parsers."""
    parser = commands.add_parser(
        "calibrate",
        help="make probabilities of confidences",
        description="Learn from a validation set how likely a molecule is right, given its raw "
        "confidence. Put the file into the model's folder as calibration.json, or give it to "
        "eyesmol recognize with --calibration. Use images that the scores are not taken from.",
    )
    parser.add_argument("gold", metavar="GOLD", help="the truth, as for eyesmol evaluate")
    parser.add_argument(
        "predictions", metavar="PREDICTIONS", help=".jsonl, .csv or .parquet of eyesmol recognize"
    )
    parser.add_argument("--out", metavar="FILE.json", default="calibration.json",
                        help="file to write (calibration.json)")  # fmt: skip
    parser.set_defaults(run=_calibrate)


def _calibrate(options: argparse.Namespace) -> None:
    from eyesmol.answer.confidence import (
        Calibration,
        CalibrationError,
        cross_validated,
        reliability,
    )
    from eyesmol.evaluation.gold import load_gold
    from eyesmol.evaluation.metrics import evaluate, load_predictions

    out = Path(options.out)
    if out.suffix.lower() != ".json":
        raise UsageError(f"--out {out}: expected a file that ends in .json")
    scored = evaluate(load_gold(options.gold), load_predictions(options.predictions), name="read")
    raw, right, unsure = [], [], 0
    for row in scored.rows:
        read = row.prediction
        if read is None or read.raw_confidence is None:
            unsure += 1
        else:
            raw.append(read.raw_confidence)
            right.append(row.exact)
        if read and read.withheld_smiles:
            raise UsageError(
                f"{options.predictions}: holds molecules that were withheld; read the images "
                "again with --min-confidence 0"
            )
    try:
        learnt = Calibration.learnt(raw, right)
        tested = cross_validated(raw, right) if len(raw) >= 50 else None
    except CalibrationError as error:
        raise UsageError(f"{options.predictions}: {error}") from None
    out.parent.mkdir(parents=True, exist_ok=True)
    learnt.write(out)
    print(f"{len(raw)} images, {sum(right)} read right; {unsure} without a confidence left out")
    print(_line("raw", reliability(raw, right)))
    if tested:
        print(_line("calibrated, 5-fold", reliability(tested, right)))
    print(f"{out}: sigmoid({learnt.slope:.4f} * log(raw) + {learnt.offset:.4f})")


def _line(name: str, found: Reliability) -> str:
    return (
        f"  {name:<19} Brier {found.brier:.4f}   calibration error {found.error:.4f}   right: "
        f"{found.top_half:.1%} of the surer half, {found.rest:.1%} of the rest"
    )
