"""``check``: is a dataset what the trainer expects?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from data_preprocess.dataset.check import Report, check
from data_preprocess.dataset.lengths import quantile
from data_preprocess.engine import available_cores

_EXAMPLES = """\
examples:
  python -m data_preprocess check data/cot
  python -m data_preprocess check data/cot --model Qwen2.5-VL-7B-Instruct --max-tokens 4096
  python -m data_preprocess check somebody_elses.json

Everything that is wrong is found in one go. The exit status is 1 where there is an error, 0 where
there are only warnings or nothing.
"""


def add(commands: Any) -> None:
    """Add the command to the parsers."""
    parser = commands.add_parser(
        "check",
        help="check a dataset: rows, images, answers, duplicates, leaks, counts, lengths",
        description="Check every row of a dataset folder, of any folder of LLaVA JSON, or of one "
        "such file: turns, images, answers that read back, duplicates, molecules and images in "
        "two splits, counts, tasks that are answered without their images, and how long the rows "
        "are.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dataset", type=Path, metavar="DATASET", help="folder or JSON file")
    parser.add_argument(
        "--model",
        metavar="PATH|NAME",
        help="whose tokenizer counts the tokens; without it they are estimated",
    )
    parser.add_argument(
        "--max-tokens", type=int, metavar="N", help="longer rows, image included, are errors"
    )
    parser.add_argument(
        "--workers", type=int, default=available_cores(), metavar="N", help="processes (all cores)"
    )
    parser.set_defaults(run=_check)


def _check(options: argparse.Namespace) -> int:
    report = check(
        options.dataset,
        workers=options.workers,
        model=options.model,
        max_tokens=options.max_tokens,
    )
    rows = ", ".join(f"{count:,} {name}" for name, count in report.rows.items())
    print(f"{options.dataset}: {sum(report.rows.values()):,} rows ({rows})")
    for note in report.skipped:
        print(f"not checked: {note}")
    _print_lengths(report, options.model)
    _print_solved(report)
    _print_findings(report)
    return 1 if report.errors else 0


def _print_lengths(report: Report, model: str | None) -> None:
    by = f"by the tokenizer of {model}" if model else "estimated; --model counts them"
    print(f"\ntokens a row ({by})\n  {'':10}{'median':>9}{'95 %':>9}{'longest':>9}")
    for name in ("question", "image", "answer", "total"):
        histogram = getattr(report.lengths, name)
        values = [quantile(histogram, fraction) for fraction in (0.5, 0.95, 1)]
        print(f"  {name:10}" + "".join(f"{value:>9,}" for value in values))


def _print_solved(report: Report) -> None:
    if not report.solved:
        return
    print(
        f"\nanswered without the image\n  {'':22}{'rows':>9}{'right':>9}{'by chance':>11}"
        f"{'spelling':>10}  guess"
    )
    for task in report.solved:
        spelling = "" if task.spelling is None else f"{task.spelling:.1%}"
        print(
            f"  {task.task:22}{task.rows:>9,}{task.right:>9.1%}{task.chance:>11.1%}{spelling:>10}  "
            f"{task.guess}"
        )


def _print_findings(report: Report) -> None:
    if not report.findings:
        print("\nnothing wrong")
        return
    print(f"\n  {'count':>9}  {'':8}kind")
    for finding in report.findings:
        print(
            f"  {finding.count:>9,}  {'error' if finding.is_error else 'warning':8}{finding.kind}"
        )
        for example in finding.examples:
            print(f"  {'':19}{example[:160]}")
    warnings = sum(finding.count for finding in report.findings if not finding.is_error)
    print(f"\n{report.errors:,} errors, {warnings:,} warnings")
