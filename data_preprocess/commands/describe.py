"""``describe``: images of a catalogue described in words by Gemini."""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_preprocess.gemini_models import DEFAULT_MODEL, THINKING_LEVELS, Prices, prices_of
from data_preprocess.tally import print_drops
from eyesmol.exceptions import InputError

if TYPE_CHECKING:
    from data_preprocess.describe import Summary
    from data_preprocess.describe.budget import Budget

_EXAMPLES = """\
examples (the key stands in GOOGLE_API_KEY or GEMINI_API_KEY, and nowhere else):
  # a first look: twenty images
  python -m data_preprocess describe data/pubchem --limit 20

  # all of them at half the price, within a day, for at most 50 dollars at the prices that
  # data_preprocess/gemini_models.yaml has (yours: --price-in and --price-out)
  python -m data_preprocess describe data/pubchem --batch --budget '50 USD'

  # several at a time, at most two million tokens
  python -m data_preprocess describe data/pubchem --workers 16 --budget '2M tok'

Stop it whenever you like: the same command resumes, and no image is asked about
twice that was answered once. Every call stands in describe.sqlite in the catalogue's folder; the
budget counts all of them, those of earlier runs too. Google's terms forbid the use of the answers
to train models that compete with its own.
"""


def add(commands: Any) -> None:
    """Add the command to the parsers."""
    parser = commands.add_parser(
        "describe",
        help="have Gemini describe a catalogue's images",
        description="Ask Gemini about each image of a catalogue and write the answers into its "
        "columns visual_description and visual_model.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("catalogue", type=Path, metavar="CATALOGUE", help="folder, or its file")
    parser.add_argument("--model", default=DEFAULT_MODEL, help=f"that is asked ({DEFAULT_MODEL})")
    parser.add_argument(
        "--thinking",
        choices=THINKING_LEVELS,
        default="low",
        help="how much the model thinks before an answer; thoughts cost as answers do (low)",
    )
    parser.add_argument(
        "--base-url", metavar="URL", help="of the service (GOOGLE_GEMINI_BASE_URL, or Google's)"
    )
    parser.add_argument(
        "--max-output-tokens",
        type=_positive,
        default=8_192,
        metavar="N",
        help="of an answer with its thoughts (8192)",
    )
    parser.add_argument("--limit", type=_positive, metavar="N", help="images in this run (all)")
    parser.add_argument(
        "--retry-failed", action="store_true", help="images that were blocked or cut off, again"
    )
    money = parser.add_argument_group("budget")
    money.add_argument("--budget", metavar="AMOUNT", help="as '2M tok' or '5 USD'; none is set")
    money.add_argument("--price-in", type=float, metavar="X", help="of a million prompt tokens")
    money.add_argument("--price-out", type=float, metavar="X", help="of a million answer tokens")
    _add_ways(parser)
    parser.set_defaults(run=_describe)


def _add_ways(parser: argparse.ArgumentParser) -> None:
    single = parser.add_argument_group("one by one")
    single.add_argument("--workers", type=_positive, default=8, metavar="N", help="at a time (8)")
    single.add_argument(
        "--longest-wait",
        type=float,
        default=600,
        metavar="SECONDS",
        help="stop where the service, over quota, asks for more (600)",
    )
    batch = parser.add_argument_group("batch jobs")
    batch.add_argument("--batch", action="store_true", help="half the price, within a day")
    batch.add_argument(
        "--job-size", type=_positive, default=5_000, metavar="N", help="images a job (5000)"
    )
    batch.add_argument(
        "--poll", type=float, default=60, metavar="SECONDS", help="between looks at the jobs (60)"
    )


def _positive(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number of at least 1")
    return int(text)


def _describe(options: argparse.Namespace) -> int:
    try:
        from data_preprocess.describe import RequestOptions, describe
        from data_preprocess.describe.budget import Budget
        from data_preprocess.describe.gemini import Gemini
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is missing: pip install -e '.[data]'") from None
    prices = prices_of(
        options.model, datetime.datetime.now(datetime.UTC).date(), batch=options.batch
    )
    budget = Budget.read(options.budget, options.price_in, options.price_out, prices)
    gemini = Gemini(
        options.model,
        max_output_tokens=options.max_output_tokens,
        thinking=options.thinking,
        base_url=options.base_url,
    )
    request_options = RequestOptions(
        batch=options.batch,
        workers=options.workers,
        longest_wait=options.longest_wait,
        job_size=options.job_size,
        poll=options.poll,
        limit=options.limit,
        retry_failed=options.retry_failed,
    )
    summary = describe(options.catalogue, gemini, budget, request_options)
    return _report(summary, budget, prices, options)


def _report(
    summary: Summary, budget: Budget, prices: Prices | None, options: argparse.Namespace
) -> int:
    from data_preprocess.describe import BUDGET_SPENT

    outcomes, passed = summary.outcomes, summary.passed
    answered = outcomes.count("answered")
    print(f"{options.catalogue}: {summary.described:,} rows described, {answered:,} in this run")
    print_drops({outcome: entry for outcome, entry in outcomes.items() if outcome != "answered"})
    unreadable = passed.to_dict().get("unreadable image")
    for count, words in (
        (passed.count("no image"), "no image"),
        (passed.count("failed"), "failed before, not asked again (see --retry-failed)"),
        (passed.count("unreadable image"),
         f"unreadable, such as {', '.join(unreadable['examples'] if unreadable else ())}"),
        (summary.waiting, "in batch jobs (--batch fetches their answers)"),
        (summary.lost,
         "calls were in flight when an earlier run was stopped: they may have been paid, and count "
         "at their dearest"),
    ):  # fmt: skip
        if count:
            print(f"  {count:>9,}  {words}")
    spent = summary.spent
    cost = "" if budget.unit == "tokens" else f", {budget.cost(spent):.2f} {budget.unit}"
    if prices and (budget.price_in, budget.price_out) == (prices.prompt, prices.answer):
        cost += f" at the prices of {prices.looked_up}"
    print(f"all runs: {spent.prompt:,} tokens of prompts, {spent.answer:,} of answers{cost}")
    if summary.stopped:
        print(f"stopped: {summary.stopped}; the same command resumes from here")
    return 1 if summary.stopped and summary.stopped != BUDGET_SPENT else 0
