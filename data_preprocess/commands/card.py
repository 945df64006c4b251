"""``card``: the README.md of a dataset."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from data_preprocess.dataset.card import write_card


def add(commands: Any) -> None:
    """Add the command to the parsers."""
    parser = commands.add_parser(
        "card",
        help="write a dataset's card: sources, licences, counts, splits, drops, examples",
        description="Write README.md with Hugging Face's front matter into a dataset folder, from "
        "what dataset_info.json and the rows say.",
        epilog="example:\n  python -m data_preprocess card data/cot",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dataset", type=Path, metavar="DATASET", help="dataset folder")
    parser.add_argument("--out", type=Path, metavar="FILE", help="instead of DATASET/README.md")
    parser.add_argument("--rows", type=int, default=3, metavar="N", help="examples (3)")
    parser.add_argument("--seed", type=int, default=0, help="chooses them (0)")
    parser.add_argument("--overwrite", action="store_true", help="replace a card that is there")
    parser.set_defaults(run=_card)


def _card(options: argparse.Namespace) -> int:
    path = write_card(
        options.dataset,
        options.out,
        rows=options.rows,
        seed=options.seed,
        overwrite=options.overwrite,
    )
    print(f"{path}: the card of {options.dataset}")
    return 0
