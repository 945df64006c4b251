"""Every call that was ever made for a catalogue, in one SQLite file beside it.

A call is written down before it is sent and again when its reply is there, each time on disk, so a
kill at any point loses no answer that was received, and no call goes unaccounted. An image is
described when one of its calls was answered.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from data_preprocess.closing import Closing
from data_preprocess.describe.budget import Tokens
from eyesmol.exceptions import InputError

__all__ = ["ANSWERED", "JOURNAL", "Job", "Journal", "Reply", "Verdict"]

JOURNAL = "describe.sqlite"

ANSWERED = "answered"
PROMPT_BLOCKED = "prompt blocked"
OUTPUT_BLOCKED = "output blocked"
CUT_OFF = "answer cut off at the token limit"
NO_TEXT = "no text in the answer"
NOT_THE_JSON = "answer is not the JSON asked for"
REFUSED = "request refused"
NOT_ALLOWED = "key or model refused"
OVER_QUOTA = "over quota"
SERVER_ERROR = "server error"
NOT_REACHED = "service not reached"
CONNECTION_LOST = "connection lost after the request"
IN_FLIGHT = "in flight when an earlier run was stopped"
NO_REPLY = "no reply in the batch"

# What a call costs whose reply has no count of tokens: nothing, or, to be safe, the most possible.
_FREE = frozenset({REFUSED, NOT_ALLOWED, OVER_QUOTA, SERVER_ERROR, NOT_REACHED, NO_REPLY})
# A second try may go better; the model writes each answer again.
_BY_CHANCE = frozenset({NO_TEXT, NOT_THE_JSON})
_TRIES = 3
# A second try would end alike.
_FINAL = frozenset({PROMPT_BLOCKED, OUTPUT_BLOCKED, CUT_OFF, REFUSED})

Verdict = Literal["answered", "failed", "pending", "open"]


@dataclass(frozen=True)
class Reply:
    """What became of a call.

    Attributes:
        outcome: one of the phrases above.
        detail: what the service said about a failure; never the key.
        answer: the fields of a `PictureDescription`.
        tokens: as the service counted them; None where it did not.
        thoughts: the part of `tokens.answer` that was thinking.
    """

    outcome: str
    detail: str | None = None
    answer: dict[str, Any] | None = None
    model_version: str | None = None
    finish_reason: str | None = None
    tokens: Tokens | None = None
    thoughts: int | None = None


@dataclass(frozen=True)
class Job:
    """A batch job. `name` is the service's; None until it has confirmed the job."""

    number: int
    label: str
    name: str | None


_TABLES = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY, label TEXT NOT NULL, name TEXT, begun TEXT NOT NULL, ended TEXT,
    state TEXT
);
CREATE TABLE IF NOT EXISTS calls (
    number INTEGER PRIMARY KEY, picture TEXT NOT NULL, job INTEGER REFERENCES jobs,
    model TEXT NOT NULL, question TEXT NOT NULL, reserved_prompt INTEGER NOT NULL,
    reserved_answer INTEGER NOT NULL, begun TEXT NOT NULL, ended TEXT, outcome TEXT, detail TEXT,
    answer TEXT, model_version TEXT, finish_reason TEXT, prompt_tokens INTEGER,
    candidate_tokens INTEGER, thought_tokens INTEGER
);
CREATE INDEX IF NOT EXISTS calls_of_picture ON calls (picture);
CREATE INDEX IF NOT EXISTS open_calls ON calls (job) WHERE ended IS NULL;
"""


class Journal(Closing):
    """The calls of one catalogue; held by one process at a time.

    Attributes:
        spent: tokens of all calls so far, those in flight at their dearest.
        lost: calls that an earlier run had in flight when it was stopped. They may have been paid.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / JOURNAL
        self._base = sqlite3.connect(path, timeout=0, isolation_level=None)
        try:
            # One process at a time, or an image could be asked twice; a kill frees the lock.
            self._base.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = FULL")
            self._base.executescript(_TABLES)
            self.lost = self._close_lost()
        except sqlite3.OperationalError as error:
            self._base.close()
            raise InputError(
                f"{path}: {error}; is another `describe` at work on this catalogue?"
            ) from None
        except sqlite3.DatabaseError as error:
            self._base.close()
            raise InputError(f"{path}: not the journal of `describe`: {error}") from None
        self.spent = self._sum()
        self._most = Tokens(
            *self._base.execute(
                "SELECT coalesce(max(prompt_tokens), 0), "
                "coalesce(max(candidate_tokens + coalesce(thought_tokens, 0)), 0) FROM calls"
            ).fetchone()
        )

    def _close_lost(self) -> int:
        cursor = self._base.execute(
            "UPDATE calls SET ended = ?, outcome = ? WHERE ended IS NULL AND job IS NULL",
            (_now(), IN_FLIGHT),
        )
        return cursor.rowcount

    def _sum(self) -> Tokens:
        free = ", ".join("?" * len(_FREE))
        sums = self._base.execute(
            "SELECT total(coalesce(prompt_tokens, reserved_prompt)), total(CASE WHEN prompt_tokens "
            "IS NULL THEN reserved_answer ELSE coalesce(candidate_tokens, 0) + "
            "coalesce(thought_tokens, 0) END) FROM calls WHERE prompt_tokens IS NOT NULL OR "
            f"outcome IS NULL OR outcome NOT IN ({free})",
            sorted(_FREE),
        ).fetchone()
        return Tokens(*map(int, sums))

    # ---- before and after a call ----

    def dearest(self, estimate: Tokens) -> Tokens:
        """The most that a call may cost: as estimated, or as the dearest one so far."""
        return _larger(estimate, self._most)

    def begin(
        self, image: str, model: str, question: str, reserve: Tokens, job: Job | None = None
    ) -> int:
        """Note a call that is about to be sent; returns its number."""
        cursor = self._base.execute(
            "INSERT INTO calls (picture, job, model, question, reserved_prompt, reserved_answer, "
            "begun) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (image, job.number if job else None, model, question, reserve.prompt, reserve.answer,
             _now()),
        )  # fmt: skip
        self.spent += reserve
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def end(self, number: int, reply: Reply) -> str | None:
        """Note what became of it; returns its image.

        None where there is no such call, or where it is known already what became of it.
        """
        row = self._base.execute(
            "SELECT picture, reserved_prompt, reserved_answer FROM calls "
            "WHERE number = ? AND ended IS NULL",
            (number,),
        ).fetchone()
        if row is None:
            return None
        image, reserve = str(row[0]), Tokens(*row[1:])
        tokens, thoughts = reply.tokens, reply.thoughts or 0
        self._base.execute(
            "UPDATE calls SET ended = ?, outcome = ?, detail = ?, answer = ?, model_version = ?, "
            "finish_reason = ?, prompt_tokens = ?, candidate_tokens = ?, thought_tokens = ? "
            "WHERE number = ?",
            (_now(), reply.outcome, reply.detail,
             json.dumps(reply.answer, ensure_ascii=False) if reply.answer else None,
             reply.model_version, reply.finish_reason, tokens.prompt if tokens else None,
             tokens.answer - thoughts if tokens else None, reply.thoughts, number),
        )  # fmt: skip
        if tokens is not None:
            self.spent += tokens - reserve
            self._most = _larger(self._most, tokens)
        elif reply.outcome in _FREE:
            self.spent -= reserve
        return image

    def verdict(self, image: str, *, retry_failed: bool) -> Verdict:
        """Whether an image still needs to be asked about."""
        counts: Counter[str | None] = Counter(
            dict(
                self._base.execute(
                    "SELECT outcome, count(*) FROM calls WHERE picture = ? GROUP BY outcome",
                    (image,),
                ).fetchall()
            )
        )
        if counts[ANSWERED]:
            return "answered"
        if counts[None]:
            return "pending"
        if retry_failed:
            return "open"
        by_chance = sum(counts[outcome] for outcome in _BY_CHANCE)
        if by_chance >= _TRIES or any(counts[outcome] for outcome in _FINAL):
            return "failed"
        return "open"

    def answer(self, image: str) -> tuple[dict[str, Any], str] | None:
        """The fields of an image's description and the model version that gave them."""
        row = self._base.execute(
            "SELECT answer, coalesce(model_version, model) FROM calls WHERE picture = ? AND "
            "outcome = ? ORDER BY number DESC LIMIT 1",
            (image, ANSWERED),
        ).fetchone()
        return (json.loads(row[0]), row[1]) if row else None

    # ---- batch jobs ----

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """What is noted inside goes to disk at once, or not at all."""
        self._base.execute("BEGIN")
        spent = self.spent
        try:
            yield
        except BaseException:
            self._base.execute("ROLLBACK")
            self.spent = spent
            raise
        self._base.execute("COMMIT")

    def begin_job(self, label: str) -> Job:
        """Note a batch job that is about to be put together."""
        cursor = self._base.execute(
            "INSERT INTO jobs (label, begun) VALUES (?, ?)", (label, _now())
        )
        assert cursor.lastrowid is not None
        return Job(cursor.lastrowid, label, None)

    def confirm_job(self, job: Job, name: str) -> None:
        """The service has the job, under this name."""
        self._base.execute("UPDATE jobs SET name = ? WHERE number = ?", (name, job.number))

    def end_job(self, job: Job, state: str, reply: Reply) -> int:
        """Close a job; its calls that have no reply get this one. Returns their number."""
        rows = self._base.execute(
            "SELECT number FROM calls WHERE job = ? AND ended IS NULL", (job.number,)
        ).fetchall()
        with self.all_or_nothing():
            for (number,) in rows:
                self.end(number, reply)
            self._base.execute(
                "UPDATE jobs SET ended = ?, state = ? WHERE number = ?",
                (_now(), state, job.number),
            )
        return len(rows)

    def open_jobs(self) -> list[Job]:
        """Jobs that are not closed, oldest first."""
        rows = self._base.execute(
            "SELECT number, label, name FROM jobs WHERE ended IS NULL ORDER BY number"
        )
        return [Job(*row) for row in rows]

    def calls_in_jobs(self) -> int:
        """Calls of batch jobs that have no reply yet."""
        (count,) = self._base.execute(
            "SELECT count(*) FROM calls WHERE job IS NOT NULL AND ended IS NULL"
        ).fetchone()
        return int(count)

    # ---- the end ----

    def close(self) -> None:
        """Close the file."""
        self._base.close()


def _larger(one: Tokens, other: Tokens) -> Tokens:
    return Tokens(max(one.prompt, other.prompt), max(one.answer, other.answer))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
