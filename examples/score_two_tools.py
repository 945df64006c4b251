"""Score two tools on the same images, and test whether they differ.

python examples/score_two_tools.py gold.csv ours.jsonl other_tool.csv

The gold is a table with the columns image and smiles, a folder of molfiles or a dataset's JSON; the
predictions are what `eyesmol recognize` wrote, or a table of another tool.
"""

from __future__ import annotations

import sys
from pathlib import Path

from eyesmol.evaluation.compare import comparison_table
from eyesmol.evaluation.gold import load_gold
from eyesmol.evaluation.metrics import evaluate
from eyesmol.evaluation.predictions import load_predictions


def score(gold_file: Path, *prediction_files: Path) -> str:
    """One column for each tool, one row for each metric, and McNemar's test."""
    gold = load_gold(gold_file)
    return comparison_table(
        [evaluate(gold, load_predictions(file), name=file.stem) for file in prediction_files]
    )


if __name__ == "__main__":
    print(score(*map(Path, sys.argv[1:])))
