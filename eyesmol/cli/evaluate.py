"""``evaluate``: score predictions against the truth."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eyesmol.cli import UsageError, positive
from eyesmol.outputs import replacing

if TYPE_CHECKING:
    from eyesmol.evaluation.gold import GoldSet
    from eyesmol.evaluation.metrics import Evaluation

_EXAMPLES = """examples:
  eyesmol evaluate data/cot/test.json mine.jsonl --report report.html
  eyesmol evaluate molfiles mine.jsonl osra.jsonl --images images --subsets --out scores.json
  eyesmol evaluate --benchmark clef --data OCSR_Review mine.jsonl
  eyesmol evaluate --list-benchmarks"""


def add(commands: Any) -> None:
    """Add the command to the parsers."""
    parser = commands.add_parser(
        "evaluate",
        help="score predictions against the truth",
        description="Score what was read against the truth. Every gold row counts: an image "
        "without a prediction is wrong, a gold row that cannot be scored is listed.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "files",
        nargs="*",
        metavar="[GOLD] PREDICTIONS",
        help="gold (not with --benchmark): a dataset's test.json, a table (.csv, .tsv, .jsonl) "
        "with columns image and smiles, a .jsonl of CARBON records, or a folder of molfiles. "
        "Predictions: .jsonl, .csv or .sdf of eyesmol recognize; of other tools a table with "
        "columns for file and SMILES or molfile, CARBON records, an .sdf, or a folder of molfiles "
        "or of OSRA's text. Several are compared",
    )
    parser.add_argument(
        "--benchmark",
        metavar="NAME",
        help="the truth is a public benchmark (see --list-benchmarks), or one that a YAML file "
        "of yours describes",
    )
    parser.add_argument("--data", metavar="DIR", help="folder that holds the benchmark")
    parser.add_argument("--list-benchmarks", action="store_true", help="list them and stop")
    parser.add_argument(
        "--images", metavar="DIR", help="folder of images for the report, named as in the gold"
    )
    parser.add_argument("--out", metavar="FILE.json", help="scores and every row as JSON")
    parser.add_argument("--report", metavar="FILE.html", help="a page with images and scores")
    parser.add_argument(
        "--report-pictures",
        type=positive,
        default=200,
        metavar="N",
        help="rows of the report that show their images (200); the others are listed",
    )
    parser.add_argument(
        "--name",
        action="append",
        help="the system's name (the file name of its predictions); once for each of several",
    )
    parser.add_argument(
        "--subsets",
        action="store_true",
        help="print exact match by size, stereo, abbreviations, R groups and fragments too",
    )
    parser.set_defaults(run=_evaluate)


def _evaluate(options: argparse.Namespace) -> None:
    from eyesmol.evaluation.compare import comparison_table
    from eyesmol.evaluation.metrics import evaluate, load_predictions
    from eyesmol.evaluation.subsets import subset_table

    if options.list_benchmarks:
        _list_benchmarks()
        return
    _check_endings(options)
    gold, paths, folders = _truth(options)
    names = options.name or [Path(path).stem for path in paths]
    if len(names) != len(paths):
        raise UsageError(f"{len(paths)} predictions, but {len(names)} times --name: give as many")
    results = [
        evaluate(gold, load_predictions(path), name=name)
        for path, name in zip(paths, names, strict=True)
    ]
    print(results[0].table() if len(results) == 1 else comparison_table(results))
    if options.subsets:
        print(subset_table(results))
    if options.out:
        _write_scores(Path(options.out), results)
    if options.report:
        from eyesmol.evaluation.report import write_evaluation_report

        write_evaluation_report(
            options.report,
            results,
            gold_source=gold.source,
            folders=folders,
            max_pictures=options.report_pictures,
        )


def _check_endings(options: argparse.Namespace) -> None:
    for name, ending in (("out", ".json"), ("report", ".html")):
        path = getattr(options, name)
        if path and Path(path).suffix.lower() != ending:
            raise UsageError(f"--{name} {path}: expected a file that ends in {ending}")


def _truth(options: argparse.Namespace) -> tuple[GoldSet, list[str], list[Path]]:
    """The gold, the predictions' paths, and the folders where images may lie."""
    from eyesmol.evaluation.gold import load_gold

    folders = [Path(options.images)] if options.images else []
    if folders and not folders[0].is_dir():
        raise UsageError(f"--images {options.images}: no such folder")
    if bool(options.benchmark) != bool(options.data):
        raise UsageError("--benchmark NAME and --data DIR belong together")
    if options.benchmark:
        from eyesmol.evaluation.benchmarks import load_benchmark

        found = load_benchmark(options.benchmark, options.data)
        print("\n".join(found.used), file=sys.stderr)
        gold, paths = found.gold, options.files
        folders += [found.images] if found.images else []
    else:
        if not options.files:
            raise UsageError("expected GOLD and PREDICTIONS; see --help")
        gold, paths = load_gold(options.files[0]), options.files[1:]
        folders.append(Path(options.files[0]).parent)
    if not paths:
        raise UsageError("expected at least one file or folder of predictions; see --help")
    return gold, paths, folders


def _list_benchmarks() -> None:
    from eyesmol.evaluation.benchmarks import benchmark_names, read_benchmark

    for name in benchmark_names():
        benchmark = read_benchmark(name)
        count = f", {benchmark.pictures:,} images" if benchmark.pictures else ""
        print(f"{name}: {benchmark.title}{count}\n  {benchmark.source}")
        for layout in benchmark.layouts:
            print(f"  --data DIR with {layout.place}  ({layout.publisher})")
        if benchmark.note:
            print(f"  {benchmark.note}")


def _write_scores(path: Path, results: Sequence[Evaluation]) -> None:
    from eyesmol.evaluation.compare import comparison_dict
    from eyesmol.evaluation.subsets import subset_dict

    path.parent.mkdir(parents=True, exist_ok=True)
    content = results[0].to_dict() if len(results) == 1 else comparison_dict(results)
    with replacing(path) as file:
        json.dump({**content, "subsets": subset_dict(results)}, file, ensure_ascii=False, indent=2)
        file.write("\n")
