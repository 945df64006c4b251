"""What was asked of a source and what came: one SQLite file, so that nothing is asked twice.

An answer is on disk before the next one is looked at, and belongs to a kind of question
(``properties``, ``png 300x300``) and a compound. Nothing depends on the options of the command that
asked: a later command with more compounds, or with images too, asks for what is missing. The
catalogue is written from here, in a stream.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any, TypeVar

from data_preprocess.closing import Closing
from data_preprocess.tally import Tally
from eyesmol.exceptions import InputError

__all__ = ["Absent", "State", "batches"]

STATE = "state.sqlite"
_ANSWERED, _ABSENT, _FAILED = 0, 1, 2
_PAGE = 1_000  # ids looked up at once
_ROWS = 2_000  # rows of a file committed at once
_PACK = 500  # bytes: shorter answers stay readable for the sqlite3 command

_TABLES = """
CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answers (
  id INTEGER, kind TEXT, status INTEGER, reason TEXT, value BLOB, PRIMARY KEY (id, kind)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pages (
  kind TEXT, page INTEGER, value BLOB, PRIMARY KEY (kind, page)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notes (
  id INTEGER, page INTEGER, number INTEGER, value BLOB, PRIMARY KEY (id, page, number)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS files (name TEXT PRIMARY KEY, rows INTEGER, whole INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rejects (
  file TEXT, row INTEGER, reason TEXT, PRIMARY KEY (file, row)
) WITHOUT ROWID;
CREATE TEMP TABLE wanted (position INTEGER PRIMARY KEY, id INTEGER UNIQUE);
"""


@dataclass(frozen=True)
class Absent:
    """The source's answer is that it has none; `reason` is one of a few fixed phrases."""

    reason: str


T = TypeVar("T")


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of `size`, the last one shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


class State(Closing):
    """The state of one collection.

    ::

        with State(folder, "pubchem") as state:
            state.want([2244, 3672])
            for cid in state.missing("properties"):
                state.save("properties", {cid: ask(cid)})

    Args:
        folder: of the catalogue; made if need be.
        source: of the compounds; a folder holds one source.

    Raises:
        InputError: the folder holds another source, or another process collects into it.
    """

    def __init__(self, folder: Path, source: str) -> None:
        if folder.exists() and not folder.is_dir():
            raise InputError(f"--out {folder}: found a file; expected a folder, or nothing yet")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        path = folder / STATE
        self._db = sqlite3.connect(path, timeout=1)
        try:
            # One process at a time, and held until the end: two would ask everything twice.
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode = WAL")
            # What is committed outlives the process; a power cut may cost the last answers.
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(_TABLES)
            with self._db:
                self._db.execute("INSERT OR IGNORE INTO about VALUES ('source', ?)", (source,))
        except sqlite3.OperationalError as error:
            self._db.close()
            raise InputError(
                f"{path}: {error}; another process collects into this folder: wait for its end, "
                "or choose another --out"
            ) from None
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise InputError(
                f"{path}: not the state of a collection ({error}); choose another --out"
            ) from None
        (found,) = self._db.execute("SELECT value FROM about WHERE key = 'source'").fetchone()
        if found != source:
            self._db.close()
            raise InputError(
                f"{folder}: holds a collection of {found}, expected one of {source}; choose "
                "another --out"
            )

    def close(self) -> None:
        """Let another process collect into the folder."""
        self._db.close()

    # ---- which compounds ----

    def want(self, ids: Iterable[int]) -> None:
        """The compounds of this run, in the order of the catalogue to be; each id once."""
        with self._db:
            self._db.execute("DELETE FROM wanted")
            self._db.executemany("INSERT INTO wanted (id) VALUES (?)", ((id,) for id in ids))

    def want_all(self, kinds: Sequence[str]) -> None:
        """All compounds that have an answer of one of these kinds, by number."""
        with self._db:
            self._db.execute("DELETE FROM wanted")
            self._db.execute(
                "INSERT INTO wanted (id) SELECT DISTINCT id FROM answers WHERE kind IN "
                f"({_marks(kinds)}) ORDER BY id",
                tuple(kinds),
            )

    def wanted(self) -> int:
        """How many compounds this run is about."""
        return int(self._db.execute("SELECT count(*) FROM wanted").fetchone()[0])

    def missing(self, kind: str, among: Sequence[str] = ()) -> Iterator[int]:
        """Wanted compounds without an answer of this kind; what failed before is missing too.

        Args:
            kind: of answer.
            among: only compounds that have an answer of one of these kinds.
        """
        clause = (
            f" AND EXISTS (SELECT 1 FROM answers b WHERE b.id = w.id AND b.status = {_ANSWERED} "
            f"AND b.kind IN ({_marks(among)}))"
            if among
            else ""
        )
        position = 0
        # In pages: the table is written to between two of them.
        while True:
            page = self._db.execute(
                "SELECT position, id FROM wanted w WHERE position > ? AND NOT EXISTS (SELECT 1 "
                f"FROM answers a WHERE a.id = w.id AND a.kind = ? AND a.status < {_FAILED}){clause}"
                f" ORDER BY position LIMIT {_PAGE}",
                (position, kind, *among),
            ).fetchall()
            if not page:
                return
            position = page[-1][0]
            yield from (id for _, id in page)

    def count_missing(self, kind: str, among: Sequence[str] = ()) -> int:
        """How many `missing` gives."""
        return sum(1 for _ in self.missing(kind, among))

    # ---- answers ----

    def save(self, kind: str, answers: Mapping[int, Any]) -> None:
        """Put answers on disk: JSON values, or `Absent`."""
        with self._db:
            self._insert(kind, answers)

    def _insert(self, kind: str, answers: Mapping[int, Any]) -> None:
        self._db.executemany(
            "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?)",
            (
                (id, kind, _ABSENT, value.reason, None)
                if isinstance(value, Absent)
                else (id, kind, _ANSWERED, None, _pack(value))
                for id, value in answers.items()
            ),
        )

    def fail(self, kind: str, ids: Iterable[int], reason: str) -> None:
        """Note questions that found no answer; they are asked again by the next run."""
        with self._db:
            self._db.executemany(
                f"INSERT OR REPLACE INTO answers VALUES (?, ?, {_FAILED}, ?, NULL)",
                ((id, kind, reason) for id in ids),
            )

    def rows(self, kinds: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Every wanted compound in order, with its answers by kind: values, or `Absent`.

        Nothing may be written meanwhile.
        """
        cursor = self._db.execute(
            "SELECT w.id, a.kind, a.status, a.reason, a.value FROM wanted w LEFT JOIN answers a "
            f"ON a.id = w.id AND a.kind IN ({_marks(kinds)}) ORDER BY w.position",
            tuple(kinds),
        )
        for id, found in groupby(cursor, key=lambda row: row[0]):
            yield id, {kind: _answer(*rest) for _, kind, *rest in found if kind is not None}

    def gaps(self, kind: str, prefix: str) -> tuple[Tally, Tally]:
        """Wanted compounds that have no such thing, and those whose question failed, by reason.

        Examples are ids with `prefix`.
        """
        tallies = Tally(), Tally()
        cursor = self._db.execute(
            "SELECT a.status, a.reason, a.id FROM wanted w JOIN answers a ON a.id = w.id "
            f"WHERE a.kind = ? AND a.status > {_ANSWERED} ORDER BY w.position",
            (kind,),
        )
        for status, reason, id in cursor:
            tallies[status - _ABSENT].add(reason, f"{prefix}{id}")
        return tallies

    # ---- pages that are about many compounds ----

    def save_page(self, kind: str, page: int, value: Any, notes: Iterable[tuple[int, Any]]) -> None:
        """Put a page on disk: a JSON value about it, and notes about compounds."""
        with self._db:
            self._db.executemany(
                "INSERT OR REPLACE INTO notes VALUES (?, ?, ?, ?)",
                ((id, page, n, _pack(note)) for n, (id, note) in enumerate(notes)),
            )
            self._db.execute(
                "INSERT OR REPLACE INTO pages VALUES (?, ?, ?)", (kind, page, _pack(value))
            )

    def pages(self, kind: str) -> dict[int, Any]:
        """The pages that are there, by number."""
        cursor = self._db.execute("SELECT page, value FROM pages WHERE kind = ?", (kind,))
        return {page: _unpack(value) for page, value in cursor}

    def notes(self, id: int) -> list[Any]:
        """All notes about a compound, in the order of the pages."""
        cursor = self._db.execute(
            "SELECT value FROM notes WHERE id = ? ORDER BY page, number", (id,)
        )
        return [_unpack(value) for (value,) in cursor]

    # ---- files that are read once ----

    def read_once(
        self, name: str, kind: str, rows: Iterable[tuple[int, Any] | Absent | None]
    ) -> int:
        """Save the rows of a file, resuming after those that an earlier run has saved.

        Args:
            name: of the file and of all that decides which rows it gives.
            kind: of the answers.
            rows: id and value of each row, `Absent` where it has none, None to pass it over.

        Returns:
            How many rows the file has.
        """
        found = self._db.execute("SELECT rows, whole FROM files WHERE name = ?", (name,)).fetchone()
        done, whole = found or (0, 0)
        if whole:
            return int(done)
        for batch in batches(islice(rows, done, None), _ROWS):
            with self._db:
                self._insert(kind, dict(row for row in batch if isinstance(row, tuple)))
                self._db.executemany(
                    "INSERT OR REPLACE INTO rejects VALUES (?, ?, ?)",
                    (
                        (name, number, row.reason)
                        for number, row in enumerate(batch, start=done + 1)
                        if isinstance(row, Absent)
                    ),
                )
                done += len(batch)
                self._db.execute("INSERT OR REPLACE INTO files VALUES (?, ?, 0)", (name, done))
        with self._db:
            self._db.execute("INSERT OR REPLACE INTO files VALUES (?, ?, 1)", (name, done))
        return int(done)

    def rejects(self, name: str, label: str) -> Tally:
        """Rows of a file that were `Absent`, by reason; examples are `label` with their number."""
        tally = Tally()
        cursor = self._db.execute(
            "SELECT reason, row FROM rejects WHERE file = ? ORDER BY row", (name,)
        )
        for reason, row in cursor:
            tally.add(reason, f"{label} {row}")
        return tally


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))


def _answer(status: int, reason: str, value: str | bytes | None) -> Any:
    if status == _ANSWERED:
        assert value is not None
        return _unpack(value)
    return Absent(reason if status == _ABSENT else f"no answer: {reason}")


def _pack(value: Any) -> str | bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # Molfiles shrink to a quarter.
    return text if len(text) < _PACK else zlib.compress(text.encode(), 1)


def _unpack(value: str | bytes) -> Any:
    return json.loads(zlib.decompress(value) if isinstance(value, bytes) else value)
