"""``preview``: look at a dataset."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from data_preprocess.dataset.preview import preview


def add(commands: Any) -> None:
    """Add the command to the parsers."""
    parser = commands.add_parser(
        "preview",
        help="look at a dataset: random rows with the answers drawn over the images",
        description="Show random rows of a dataset: a contact sheet (.png), or a page that opens "
        "offline (.html) with whole conversations, filters and the dataset's distributions.",
        epilog="examples:\n  python -m data_preprocess preview data/cot --out cot.html --rows 60\n"
        "  python -m data_preprocess preview data/cot --out cot.png",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dataset", type=Path, metavar="DATASET", help="folder or JSON file")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.png|FILE.html")
    parser.add_argument("--rows", type=int, default=24, metavar="N", help="how many (24)")
    parser.add_argument("--seed", type=int, default=0, help="chooses them (0)")
    parser.set_defaults(run=_preview)


def _preview(options: argparse.Namespace) -> int:
    shown = preview(options.dataset, options.out, rows=options.rows, seed=options.seed)
    print(f"{options.out}: {shown} rows of {options.dataset}")
    return 0
