"""What fills a state: files that are read once, and a service that is asked what is missing."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from data_preprocess.collect.files import Progress
from data_preprocess.collect.state import Absent, State, batches
from data_preprocess.tally import Tally
from data_preprocess.web import Unavailable, Web
from eyesmol.exceptions import InputError

__all__ = ["FileReader", "FileRows", "ask_all", "read_files"]

FileRows = Iterator["tuple[int, Any] | Absent | None"]
"""Id and value of each row of a file, `Absent` where it has none, None to pass it over."""


class FileReader(Protocol):
    """Reads one file, telling how far it is; of all compounds, or only of those wanted."""

    def __call__(
        self, path: Path, progress: Progress, *, wanted: frozenset[int] | None
    ) -> FileRows: ...


def read_files(
    state: State,
    files: Mapping[str, Sequence[Path]],
    readers: Mapping[str, FileReader],
    wanted: Iterable[int] | None,
    drops: Tally,
) -> dict[str, list[str]]:
    """Read files into the state, each once, resuming where an earlier run was stopped.

    Each file has a kind of answers of its own, so that a catalogue holds what the files of its
    command say, and nothing of files that were read before.

    Args:
        state: gets the answers.
        files: kind of file -> files.
        readers: kind of file -> how to read it.
        wanted: ids; None for all.
        drops: gets the rows that had no answer.

    Returns:
        Kind of file -> the kind of answers of each file.

    Raises:
        InputError: no such file, a faulty one, or one without a row.
    """
    chosen = None if wanted is None else frozenset(wanted)
    choice = "all" if chosen is None else hashlib.sha256(array("q", sorted(chosen))).hexdigest()
    kinds: dict[str, list[str]] = {}
    for kind, paths in files.items():
        kinds[kind] = []
        for path in paths:
            try:
                size = path.stat().st_size
            except FileNotFoundError:
                raise InputError(f"{path}: no such file") from None
            name = f"{kind}|{path.name}|{size}|{choice}"
            answers = f"{kind} {hashlib.sha256(name.encode()).hexdigest()[:12]}"
            with tqdm(total=size, unit="B", unit_scale=True, desc=path.name) as bar:
                rows = readers[kind](path, bar.update, wanted=chosen)
                if not state.read_once(name, answers, rows):
                    raise InputError(f"{path}: the file holds not one record")
            kinds[kind].append(answers)
            drops.update(state.rejects(name, f"{path.name} record"))
    return kinds


def ask_all(
    web: Web,
    state: State,
    kind: str,
    ask: Callable[[list[int]], dict[int, Any]],
    *,
    size: int = 1,
    among: Sequence[str] = (),
) -> None:
    """Ask for all answers of one kind that are missing; each is on disk before the next is seen.

    Args:
        web: whose pace is kept.
        state: knows what is missing, and gets what comes.
        kind: of answer.
        ask: takes at most `size` ids and returns the answers, some of them `Absent`.
        size: ids of one question.
        among: ask only about compounds that have an answer of one of these kinds.

    Raises:
        ServiceError: the service does not answer any more.
    """
    total = state.count_missing(kind, among)
    if not total:
        return
    with tqdm(total=total, unit=" compounds", desc=kind) as bar:
        for ids, answers in web.gather(batches(state.missing(kind, among), size), ask):
            if isinstance(answers, Unavailable):
                state.fail(kind, ids, str(answers))
            else:
                state.save(kind, answers)
            bar.update(len(ids))
