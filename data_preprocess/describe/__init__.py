"""Descriptions of a catalogue's images, by Gemini: asked once, noted at once, within a budget.

Google's terms forbid the use of the answers to train models that compete with Google's own; a data
set that holds them should say so.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from data_preprocess.catalogue.compounds import COMPOUNDS
from data_preprocess.describe.batch import ask_in_batches
from data_preprocess.describe.budget import Budget, Tokens
from data_preprocess.describe.gemini import Gemini
from data_preprocess.describe.images import open_images
from data_preprocess.describe.journal import ANSWERED, Journal, Reply
from data_preprocess.describe.one_by_one import BUDGET_SPENT, ask_one_by_one
from data_preprocess.describe.write_back import write_back
from data_preprocess.tally import Tally

__all__ = ["BUDGET_SPENT", "RequestOptions", "Summary", "describe"]


@dataclass(frozen=True)
class RequestOptions:
    """How to ask.

    Attributes:
        batch: in batch jobs, else one by one.
        workers: calls in flight, one by one.
        longest_wait: seconds that the service may ask for, one by one.
        job_size: images a batch job.
        poll: seconds between looks at batch jobs.
        limit: images to ask about in this run; None for all.
        retry_failed: ask again about images that were blocked, refused or cut off.
    """

    batch: bool = False
    workers: int = 8
    longest_wait: float = 600
    job_size: int = 5_000
    poll: float = 60
    limit: int | None = None
    retry_failed: bool = False


@dataclass
class Summary:
    """What a run did.

    Attributes:
        outcomes: replies of this run, by their kind; one for each image, one by one. The examples
            are images and what was said about them.
        passed: rows that were not asked about.
        described: rows of the catalogue that have a description now.
        spent: tokens of all runs so far.
        waiting: images that are in batch jobs still.
        lost: calls that an earlier run had in flight when it was stopped.
        stopped: why it ended early, None where it did not.
    """

    outcomes: Tally = field(default_factory=Tally)
    passed: Tally = field(default_factory=Tally)
    described: int = 0
    spent: Tokens = field(default_factory=Tokens)
    waiting: int = 0
    lost: int = 0
    stopped: str | None = None


def describe(
    catalogue: Path,
    gemini: Gemini,
    budget: Budget,
    request_options: RequestOptions,
    *,
    progress: bool = True,
) -> Summary:
    """Describe the images of a catalogue, and fill its two columns with the answers.

    Raises:
        InputError: no catalogue, or another run is at work on it.
    """
    file = COMPOUNDS.file(catalogue)
    rows = sum(1 for _ in COMPOUNDS.read(catalogue))  # names a faulty row before a call is paid
    summary = Summary()
    with Journal(file.parent) as journal:
        summary.lost = journal.lost
        with closing(tqdm(total=rows, unit=" rows", disable=not progress)) as bar:
            summary.stopped = _ask(
                catalogue, gemini, journal, budget, request_options, summary, bar
            )
        summary.described = write_back(file, journal)
        summary.spent, summary.waiting = journal.spent, journal.calls_in_jobs()
    return summary


def _ask(
    catalogue: Path,
    gemini: Gemini,
    journal: Journal,
    budget: Budget,
    request_options: RequestOptions,
    summary: Summary,
    bar: tqdm,
) -> str | None:
    note = _noting(summary, journal, bar)
    images = islice(
        open_images(catalogue, journal, summary.passed, retry_failed=request_options.retry_failed),
        request_options.limit,
    )
    if request_options.batch:
        return ask_in_batches(
            images,
            gemini,
            journal,
            budget,
            COMPOUNDS.file(catalogue).parent,
            job_size=request_options.job_size,
            poll=request_options.poll,
            told=note,
        )
    return ask_one_by_one(
        images,
        gemini,
        journal,
        budget,
        workers=request_options.workers,
        longest_wait=request_options.longest_wait,
        told=note,
    )


def _noting(summary: Summary, journal: Journal, bar: tqdm) -> Callable[[str, Reply], None]:
    def note(image: str, reply: Reply) -> None:
        said = f": {reply.detail}" if reply.detail else ""
        summary.outcomes.add(reply.outcome, f"{image}{said}")
        bar.n = summary.outcomes.total() + summary.passed.total()
        answered = summary.outcomes.count(ANSWERED)
        spent = journal.spent
        bar.set_postfix(answered=answered, tokens=spent.prompt + spent.answer)

    return note
