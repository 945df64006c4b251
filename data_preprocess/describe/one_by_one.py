"""Ask about images one by one, several at a time, patiently, and within a budget."""

from __future__ import annotations

import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from data_preprocess.describe import journal as outcomes
from data_preprocess.describe.budget import Budget
from data_preprocess.describe.gemini import Fault, Gemini, SentImage
from data_preprocess.describe.journal import Journal, Reply
from data_preprocess.describe.question import QUESTION

__all__ = ["BUDGET_SPENT", "ask_one_by_one"]

BUDGET_SPENT = "the budget does not allow another call"

_FIRST_PAUSE = 1.0  # seconds after a fault; doubled with each further one of the same image
_LONGEST_PAUSE = 60.0
_FAULTS_OF_A_PICTURE = 5  # after so many it stays open for the next run
_PICTURES_IN_A_ROW = 3  # given up so, with no answer between: the service is down
_QUOTA_PAUSES = 20  # in a row, with no answer between


@dataclass
class _Turn:
    """An image and what it has been through in this run."""

    image: SentImage
    faults: int = 0


class _Stop(Exception):
    """No further call; the message says why."""


def ask_one_by_one(
    images: Iterator[SentImage],
    gemini: Gemini,
    journal: Journal,
    budget: Budget,
    *,
    workers: int,
    longest_wait: float,
    told: Callable[[str, Reply], None],
) -> str | None:
    """Ask about every image; returns why it ended early, None where it did not.

    Replies of calls that are in flight when it ends, however it ends, are still noted.

    Args:
        longest_wait: seconds; a service that asks for more is left for another day.
        told: hears of each image that is done with: answered, failed or given up.
    """
    asking = _Asking(images, gemini, journal, budget, longest_wait, told)
    with ThreadPoolExecutor(workers) as pool:
        try:
            while asking.go_on(pool, workers):
                asking.settle_first()
        except _Stop as stop:
            return str(stop)
        finally:
            asking.settle_all()
    return None


class _Asking:
    """One run. Only the calls themselves are made in other threads."""

    def __init__(
        self,
        images: Iterator[SentImage],
        gemini: Gemini,
        journal: Journal,
        budget: Budget,
        longest_wait: float,
        told: Callable[[str, Reply], None],
    ) -> None:
        self._new, self._again = images, deque[_Turn]()
        self._gemini, self._journal, self._budget = gemini, journal, budget
        self._longest_wait, self._told = longest_wait, told
        self._flying: dict[Future[Reply], tuple[int, _Turn]] = {}
        self._resume_at = 0.0  # on the monotonic clock; nothing is sent before
        self._in_a_row: Counter[str] = Counter()  # quota pauses and given-up images

    def go_on(self, pool: ThreadPoolExecutor, workers: int) -> bool:
        """Send as many calls as may be in flight; False when all is done."""
        while len(self._flying) < workers:
            pause = self._resume_at - time.monotonic()
            if pause > 0:
                if self._flying:
                    return True
                time.sleep(pause)
            turn = self._again.popleft() if self._again else self._next()
            if turn is None:
                break
            if not self._send(pool, turn):
                self._again.appendleft(turn)
                if not self._flying:
                    raise _Stop(BUDGET_SPENT)
                break  # what is in flight may turn out cheaper
        return bool(self._flying)

    def _next(self) -> _Turn | None:
        image = next(self._new, None)
        return _Turn(image) if image else None

    def _send(self, pool: ThreadPoolExecutor, turn: _Turn) -> bool:
        reserve = self._journal.dearest(self._gemini.estimate(turn.image))
        if not self._budget.admits(self._journal.spent, reserve):
            return False
        number = self._journal.begin(turn.image.name, self._gemini.model, QUESTION, reserve)
        self._flying[pool.submit(self._gemini.ask, turn.image)] = number, turn
        return True

    def settle_first(self) -> None:
        """Wait for a reply, and note all that are there."""
        done, _ = wait(self._flying, return_when=FIRST_COMPLETED)
        for future in done:
            self._settle(future)

    def settle_all(self) -> None:
        """Note the replies of all that is in flight."""
        for future in list(self._flying):
            try:
                self._settle(future)
            except _Stop:
                continue

    def _settle(self, future: Future[Reply]) -> None:
        number, turn = self._flying.pop(future)
        try:
            reply = future.result()
        except Fault as fault:
            self._journal.end(number, fault.reply)
            self._after(fault, turn)
            return
        self._journal.end(number, reply)
        self._in_a_row.clear()
        name = turn.image.name
        if self._journal.verdict(name, retry_failed=False) == "open":  # failed by chance
            self._again.append(turn)
        else:
            self._told(name, reply)

    def _after(self, fault: Fault, turn: _Turn) -> None:
        """Pause, ask again, give the image up, or stop."""
        outcome = fault.reply.outcome
        if fault.stop:
            raise _Stop(fault.stop)
        if outcome == outcomes.REFUSED:
            self._give_up(fault, turn)
            return
        turn.faults += 1
        if outcome == outcomes.OVER_QUOTA:
            self._over_quota(fault, turn)
        elif turn.faults < _FAULTS_OF_A_PICTURE:
            self._pause(fault.wait or _backoff(turn.faults))
            self._again.append(turn)
        else:
            self._give_up(fault, turn)

    def _over_quota(self, fault: Fault, turn: _Turn) -> None:
        self._again.append(turn)
        seconds = fault.wait if fault.wait is not None else _backoff(turn.faults)
        if seconds > self._longest_wait:
            raise _Stop(f"over quota, and the service asks to wait {seconds:.0f} s")
        if self._pause(seconds):
            self._in_a_row["pauses"] += 1
        if self._in_a_row["pauses"] > _QUOTA_PAUSES:
            raise _Stop(f"over quota, and waiting does not help ({fault.reply.detail})")

    def _give_up(self, fault: Fault, turn: _Turn) -> None:
        self._told(turn.image.name, fault.reply)
        self._in_a_row["images"] += 1
        if self._in_a_row["images"] >= _PICTURES_IN_A_ROW:
            raise _Stop(f"{fault.reply.outcome}, again and again ({fault.reply.detail})")

    def _pause(self, seconds: float) -> bool:
        """Send nothing for a while; True where this is a new pause and not a part of one."""
        now = time.monotonic()
        new = now >= self._resume_at
        self._resume_at = max(self._resume_at, now + seconds)
        return new


def _backoff(faults: int) -> float:
    longest = min(_FIRST_PAUSE * 2 ** (faults - 1), _LONGEST_PAUSE)
    return longest * random.uniform(0.5, 1)
