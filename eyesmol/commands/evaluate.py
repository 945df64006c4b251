"""``evaluate``: score predictions against the truth."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from eyesmol.commands import UsageError
from eyesmol.outputs import replacing


def add(commands: Any) -> None:
    """Add the command to the parsers."""
    parser = commands.add_parser(
        "evaluate",
        help="score predictions against the truth",
        description="Score what was read against the truth. Every gold row counts: a picture "
        "without a prediction is wrong, a gold row that cannot be scored is listed.",
    )
    parser.add_argument(
        "gold",
        metavar="GOLD",
        help="a dataset's test.json, a .csv with columns image and smiles, or a folder of molfiles",
    )
    parser.add_argument(
        "predictions",
        nargs="+",
        metavar="PREDICTIONS",
        help=".jsonl, .csv or .sdf of eyesmol recognize; of other tools a .csv with columns file "
        "and smiles, an .sdf, or a folder of molfiles. Several are compared with each other",
    )
    parser.add_argument("--out", metavar="FILE.json", help="scores and every row as JSON")
    parser.add_argument("--report", metavar="FILE.html", help="a page with pictures and scores")
    parser.add_argument(
        "--name",
        action="append",
        help="the system's name (the file name of its predictions); once for each of several",
    )
    parser.add_argument(
        "--subsets",
        action="store_true",
        help="exact match by size, stereo, abbreviations, R groups and fragments too",
    )
    parser.set_defaults(run=_evaluate)


def _evaluate(options: argparse.Namespace) -> None:
    from eyesmol.compare import comparison_dict, comparison_table
    from eyesmol.gold import load_gold
    from eyesmol.scores import evaluate, load_predictions
    from eyesmol.subsets import subset_table

    for name, ending in (("out", ".json"), ("report", ".html")):
        path = getattr(options, name)
        if path and Path(path).suffix.lower() != ending:
            raise UsageError(f"--{name} {path}: expected a file that ends in {ending}")
    names = options.name or [Path(path).stem for path in options.predictions]
    if len(names) != len(options.predictions):
        raise UsageError(
            f"{len(options.predictions)} predictions, but {len(names)} times --name: give as many"
        )
    gold = load_gold(options.gold)
    results = [
        evaluate(gold, load_predictions(path), name=name)
        for path, name in zip(options.predictions, names, strict=True)
    ]
    print(results[0].table() if len(results) == 1 else comparison_table(results))
    if options.subsets:
        print(subset_table(results))
    if options.out:
        path = Path(options.out)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = results[0].to_dict() if len(results) == 1 else comparison_dict(results)
        with replacing(path) as file:
            json.dump(content, file, ensure_ascii=False, indent=2)
            file.write("\n")
    if options.report:
        from eyesmol.report import pictures_of, write_report

        write_report(
            options.report,
            title=f"{results[-1].name}: what was read",
            evaluations=results,
            pictures=pictures_of(results[-1], folder=Path(options.gold).parent),
        )
