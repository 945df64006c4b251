"""Check a dataset: every row against the contract, every row against all others, and the counts.

Rows are looked at in parts, by several processes; what must be compared across rows goes as 16-byte
digests into a scratch database on disk, so memory stays flat however long the lists are. (A set in
memory would take about 100 bytes for each row, image and molecule: 200 MB for the 660,000 rows of
the original, and no bound.) Two digests of 128 bits are alike by chance once in 10^26 for a million
rows.

Whether a task can be answered without its image is judged by some rows of each (`text_only`).
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from data_preprocess.closing import Closing
from data_preprocess.dataset.info import INFO, DatasetInfo
from data_preprocess.dataset.json_stream import read_list
from data_preprocess.dataset.lengths import Lengths, TokenCounter
from data_preprocess.dataset.reading import find_lists
from data_preprocess.dataset.schema import WARNINGS, Row, check_row
from data_preprocess.dataset.text_only import Asked, Sample, Solved, asked_in
from data_preprocess.engine import run
from eyesmol.exceptions import InputError
from eyesmol.image.pixel_frame import PixelFrame

__all__ = ["Finding", "Report", "check"]

_PART = 200  # rows: a second of work
_EXAMPLES = 5
_GUESSABLE = "task is answered without its image"


@dataclass(frozen=True)
class Finding:
    """One kind of thing that is wrong.

    Attributes:
        kind: in words.
        count: how often.
        examples: the first five, each with its list, its row and what was found.
    """

    kind: str
    count: int
    examples: tuple[str, ...]

    @property
    def is_error(self) -> bool:
        """False for what may be meant so."""
        return self.kind not in WARNINGS


@dataclass(frozen=True)
class Report:
    """What a check found.

    Attributes:
        rows: of each list.
        findings: errors first, the most frequent ones first.
        lengths: of the rows, in tokens.
        solved: how often each task is answered without its image, the most guessable first.
        skipped: what could not be checked, and why.
    """

    rows: dict[str, int]
    findings: tuple[Finding, ...]
    lengths: Lengths
    solved: tuple[Solved, ...]
    skipped: tuple[str, ...]

    @property
    def errors(self) -> int:
        """How many things are wrong, warnings left out."""
        return sum(finding.count for finding in self.findings if finding.is_error)


def check(
    dataset: Path,
    *,
    workers: int = 1,
    model: str | None = None,
    max_tokens: int | None = None,
    progress: bool = True,
) -> Report:
    """Check a dataset folder, any folder of LLaVA JSON, or one such file.

    Args:
        dataset: folder or file; image paths start at the folder.
        workers: processes.
        model: folder or name of a model whose tokenizer counts the tokens; without one the number
            is estimated.
        max_tokens: rows of more tokens, image included, are errors.
        progress: show a bar.

    Raises:
        InputError: nothing to check there, or no such tokenizer.
    """
    lists, info = find_lists(dataset), DatasetInfo.of(dataset)
    counter = TokenCounter(model)
    counter.text("")  # a tokenizer that cannot be loaded is said before any work
    folder = dataset if dataset.is_dir() else dataset.parent
    frame = info.pixel_frame if info else None
    tally = _Tally()
    with (
        tempfile.TemporaryDirectory(prefix="eyesmol-check-") as scratch,
        _Marks(Path(scratch) / "marks.sqlite") as marks,
    ):
        jobs = _jobs(lists, tally, _Settings(folder, frame, counter, max_tokens))
        with tqdm(unit=" rows", desc=dataset.name, disable=not progress) as bar:
            for part in run(jobs, _check_part, workers):
                tally.add(part)
                marks.add(part.marks)
                bar.update(part.rows)
        for kind, where, detail in marks.findings():
            tally.found(kind, where, detail)
    solved = tuple(tally.sample.solved())
    for task in solved:
        if task.is_guessable:
            tally.found(_GUESSABLE, (-1, task.task, 0), task.in_words())
    skipped = []
    if info is None:
        skipped = ["no dataset_info.json: counts, splits and the pixel frame are not checked"]
    elif dataset.is_dir():
        _compare(info, tally)
    return Report(dict(tally.rows), tally.findings(), tally.lengths, solved, tuple(skipped))


# ---- parts ----

_Where = tuple[int, str, int]  # number and name of the list, row from 1
_Mark = tuple[int, bytes, str, int, str, int]  # what, digest, name, list's number and name, row


@dataclass(frozen=True)
class _Settings:
    folder: Path
    frame: PixelFrame | None
    counter: TokenCounter
    max_tokens: int | None


@dataclass(frozen=True)
class _Job:
    number: int
    name: str
    first: int
    rows: tuple[Any, ...]
    settings: _Settings


@dataclass
class _Part:
    """What was found in some rows of one list."""

    name: str
    rows: int
    problems: list[tuple[str, _Where, str]] = field(default_factory=list)
    marks: list[_Mark] = field(default_factory=list)
    tasks: Counter[str] = field(default_factory=Counter)
    lengths: Lengths = field(default_factory=Lengths)
    asked: list[Asked] = field(default_factory=list)


def _jobs(lists: dict[str, Path], tally: _Tally, settings: _Settings) -> Iterator[_Job]:
    for number, (name, path) in enumerate(lists.items()):
        tally.rows[name] = 0
        rows = iter(read_list(path))
        first = 1
        try:
            while chunk := tuple(itertools.islice(rows, _PART)):
                yield _Job(number, name, first, chunk, settings)
                first += len(chunk)
        except (InputError, OSError) as error:
            tally.found("list cannot be read", (number, path.name, first), str(error))
        else:
            if first == 1:
                kind = "split is empty" if len(lists) > 1 else "list is empty"
                tally.found(kind, (number, path.name, 0), "no rows")


def _check_part(job: _Job) -> _Part:
    part = _Part(job.name, len(job.rows))
    look = partial(check_row, folder=job.settings.folder, frame=job.settings.frame)
    for number, row in enumerate(job.rows, start=job.first):
        where = (job.number, job.name, number)
        found = look(row)
        part.problems += [(kind, where, detail) for kind, detail in found.problems]
        part.marks += _marks_of(found, where)
        if isinstance(row, dict):
            part.tasks[str(row.get("task"))] += 1
            if (asked := asked_in(row)) is not None:
                part.asked.append(asked)
            _measure(row, found, where, job.settings, part)
    return part


def _measure(row: Any, found: Row, where: _Where, settings: _Settings, part: _Part) -> None:
    turns = row.get("conversations")
    if not isinstance(turns, list):
        return
    total = part.lengths.add(turns, found.sizes, settings.counter, settings.frame)
    if settings.max_tokens is not None and total > settings.max_tokens:
        detail = f"{total} tokens; expected at most {settings.max_tokens}"
        part.problems.append(("row is too long", where, detail))


# ---- across rows ----

_ID, _CONTENT, _PICTURE, _MOLECULE = range(4)


def _marks_of(found: Row, where: _Where) -> Iterator[_Mark]:
    if found.identifier:
        yield (_ID, _digest(found.identifier), found.identifier, *where)
    if found.content:
        yield (_CONTENT, found.content, found.identifier, *where)
    for path, pixels in found.images:
        yield (_PICTURE, pixels, path, *where)
    if found.molecule:
        yield (_MOLECULE, _digest(found.molecule), found.molecule, *where)


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class _Marks(Closing):
    """What rows may not share, on disk."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        # Nothing here outlives the check, so nothing needs to reach the disk safely.
        self._database.executescript(
            """
            PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
            CREATE TABLE marks (what INT, digest BLOB, name TEXT, number INT, list TEXT, row INT);
            BEGIN;
            """
        )

    def add(self, marks: Iterable[_Mark]) -> None:
        self._database.executemany("INSERT INTO marks VALUES (?, ?, ?, ?, ?, ?)", marks)

    def findings(self) -> Iterator[tuple[str, _Where, str]]:
        """Each mark that repeats an earlier one where it may not, with the earlier one."""
        self._database.execute("CREATE INDEX by_digest ON marks (what, digest, number, row)")
        yield from self._repeated(_ID, "id stands twice", "")
        yield from self._repeated(_CONTENT, "row stands twice", "")
        yield from self._repeated(
            _PICTURE,
            "image stands twice under two names",
            "AND mark.number = first.number AND mark.name != first.name",
        )
        yield from self._repeated(
            _PICTURE, "image stands in two splits", "AND mark.number != first.number"
        )
        yield from self._repeated(
            _MOLECULE, "molecule stands in two splits", "AND mark.number != first.number"
        )

    def _repeated(self, what: int, kind: str, where: str) -> Iterator[tuple[str, _Where, str]]:
        query = f"""
            WITH firsts AS (
                SELECT digest, number, list, row, name FROM (
                    SELECT *, row_number() OVER (PARTITION BY digest ORDER BY number, row) AS turn
                    FROM marks WHERE what = {what})
                WHERE turn = 1)
            SELECT mark.number, mark.list, mark.row, mark.name, first.list, first.row, first.name
            FROM firsts AS first JOIN marks AS mark
                ON mark.what = {what} AND mark.digest = first.digest
            WHERE (mark.number, mark.row) != (first.number, first.row) {where}
            """
        for number, name, row, words, other, other_row, other_words in self._database.execute(
            query
        ):
            also = f" ({other_words})" if other_words != words else ""
            yield kind, (number, name, row), f"{words} as in {other} row {other_row}{also}"

    def close(self) -> None:
        self._database.close()


# ---- together ----


class _Tally:
    """Counts of everything, and the first examples of each kind."""

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        self.tasks: Counter[str] = Counter()
        self.lengths = Lengths()
        self.sample = Sample()
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, list[tuple[_Where, str]]] = {}

    def add(self, part: _Part) -> None:
        self.rows[part.name] += part.rows
        self.tasks += part.tasks
        self.lengths.merge(part.lengths)
        for asked in part.asked:
            self.sample.add(asked)
        for problem in part.problems:
            self.found(*problem)

    def found(self, kind: str, where: _Where, detail: str) -> None:
        # Parts come in any order; the examples are the first ones all the same.
        kept = self._examples.get(kind, [])
        self._counts[kind] += 1
        self._examples[kind] = heapq.nsmallest(_EXAMPLES, [*kept, (where, detail)])

    def findings(self) -> tuple[Finding, ...]:
        found = [
            Finding(kind, count, tuple(_example(*entry) for entry in self._examples[kind]))
            for kind, count in self._counts.items()
        ]
        return tuple(sorted(found, key=lambda f: (not f.is_error, -f.count, f.kind)))


def _example(where: _Where, detail: str) -> str:
    _, name, row = where
    return f"{name} row {row}: {detail}" if row else f"{name}: {detail}"


def _compare(info: DatasetInfo, tally: _Tally) -> None:
    """The counts that `dataset_info.json` states beside those of the rows."""
    counts = (("splits", info.splits, tally.rows), ("tasks", info.tasks, tally.tasks))
    for key, stated, found in counts:
        if not stated:
            continue
        for name in sorted(stated.keys() | found.keys()):
            if stated.get(name, 0) != found[name]:
                detail = f"{key}.{name}: stated {stated.get(name, 0)}, counted {found[name]}"
                tally.found(f"count differs from {INFO}", (-1, INFO, 0), detail)
