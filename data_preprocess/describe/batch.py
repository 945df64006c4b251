"""Ask about images in batch jobs: half the price, an answer within a day.

A job goes through four steps, each on disk before the next: its lines are written and its calls
noted; the service confirms it and gives it a name; it ends; its replies are matched by their keys.
A run that was killed resumes at the step that it had reached: a job that was sent without a name
coming back is found again by its label, and is not sent twice.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from tqdm import tqdm

from data_preprocess.describe import journal as outcomes
from data_preprocess.describe.budget import Budget, Tokens
from data_preprocess.describe.gemini import Fault, FinishedJob, Gemini, SentImage
from data_preprocess.describe.journal import Job, Journal, Reply
from data_preprocess.describe.one_by_one import BUDGET_SPENT
from data_preprocess.describe.question import QUESTION
from eyesmol.atomic import atomic_path

__all__ = ["ask_in_batches"]

_BYTES = 1_900_000_000  # of a job's lines; the service takes 2 GB
_FAULTS_IN_A_ROW = 10


class _Stop(Exception):
    """Leave the jobs alone for now; the message says why."""


def ask_in_batches(
    images: Iterator[SentImage],
    gemini: Gemini,
    journal: Journal,
    budget: Budget,
    folder: Path,
    *,
    job_size: int,
    poll: float,
    told: Callable[[str, Reply], None],
) -> str | None:
    """Ask about every image; returns why it ended early, None where it did not.

    Args:
        folder: the catalogue's; lines and replies of jobs lie there while they are needed.
        job_size: images a job, at most.
        poll: seconds between looks at the jobs.
        told: hears of each image's reply.
    """
    return _Batches(images, gemini, journal, budget, folder, job_size, poll, told).run()


class _Batches:
    def __init__(
        self,
        images: Iterator[SentImage],
        gemini: Gemini,
        journal: Journal,
        budget: Budget,
        folder: Path,
        job_size: int,
        poll: float,
        told: Callable[[str, Reply], None],
    ) -> None:
        self._images = images
        self._held: SentImage | None = None  # read, but in no job yet
        self._gemini, self._journal, self._budget = gemini, journal, budget
        self._folder, self._job_size, self._poll, self._told = folder, job_size, poll, told
        self._sent_before = {job.number for job in journal.open_jobs() if job.name is None}
        self._faults = 0
        self._ended_early: str | None = None

    def run(self) -> str | None:
        try:
            while self._submit_all() or self._journal.open_jobs():
                self._collect_all()
                if self._journal.open_jobs():
                    time.sleep(self._poll)
        except _Stop as stop:
            return str(stop)
        return self._ended_early

    # ---- sending ----

    def _submit_all(self) -> bool:
        """Send jobs until no image is left or no more can be sent; True if one was."""
        sent = False
        while job := self._unconfirmed() or self._prepared():
            if not self._submit(job):
                break
            sent = True
        return sent

    def _unconfirmed(self) -> Job | None:
        return next((job for job in self._journal.open_jobs() if job.name is None), None)

    def _lines(self, job: Job) -> Path:
        return self._folder / f"describe-batch-{job.number}.jsonl"

    def _prepared(self) -> Job | None:
        """The next job, its lines written and its calls noted; None where nothing is left."""
        if self._ended_early or (first := self._next()) is None:
            return None
        if not self._affordable(first):
            self._held = first
            # Jobs at work may turn out cheaper than what is set aside for them.
            if not self._journal.open_jobs():
                self._ended_early = BUDGET_SPENT
            return None
        with self._journal.all_or_nothing():
            job = self._journal.begin_job(f"eyesmol-{uuid.uuid4().hex}")
            with (
                atomic_path(self._lines(job)) as draft,
                draft.open("w", encoding="utf-8") as file,
            ):
                self._fill(file.write, job, first)
        return job

    def _fill(self, write: Callable[[str], int], job: Job, first: SentImage) -> None:
        """Write lines and note calls until the job is full, the budget is, or none is left."""
        count, size = 0, 0
        image: SentImage | None = first
        while image is not None:
            size += 2 * len(image.data)  # base64 and the words around it
            full = count == self._job_size or (count and size > _BYTES)
            if full or not self._affordable(image):
                self._held = image
                return
            number = self._journal.begin(
                image.name, self._gemini.model, QUESTION, self._reserve(image), job=job
            )
            write(self._gemini.batch_line(str(number), image))
            count += 1
            image = self._next()

    def _next(self) -> SentImage | None:
        held, self._held = self._held, None
        return held or next(self._images, None)

    def _reserve(self, image: SentImage) -> Tokens:
        return self._journal.dearest(self._gemini.estimate(image))

    def _affordable(self, image: SentImage) -> bool:
        return self._budget.admits(self._journal.spent, self._reserve(image))

    def _submit(self, job: Job) -> bool:
        """True when the service has confirmed the job; False to try again later."""
        try:
            name = None
            if job.number in self._sent_before:
                # The service may have it, though its confirmation never came.
                name = self._gemini.find_job(job.label)
            if name is None and not self._lines(job).exists():
                reply = Reply(outcomes.NO_REPLY, detail="the job's lines are gone")
                self._journal.end_job(job, "not sent", reply)
                return True
            if name is None:
                self._sent_before.add(job.number)
                name = self._gemini.submit(job.label, self._lines(job))
        except Fault as fault:
            self._after(fault)
            return False
        self._faults = 0
        self._journal.confirm_job(job, name)
        self._lines(job).unlink(missing_ok=True)
        return True

    def _after(self, fault: Fault) -> None:
        if fault.stop:
            raise _Stop(fault.stop)
        if fault.reply.outcome == outcomes.REFUSED:
            raise _Stop(f"the service refuses the job ({fault.reply.detail})")
        # A full queue of jobs empties in hours; everything else is over soon, or stays.
        waiting = any(job.name for job in self._journal.open_jobs())
        if fault.reply.outcome == outcomes.OVER_QUOTA and waiting:
            return
        self._faults += 1
        if self._faults >= _FAULTS_IN_A_ROW:
            raise _Stop(f"{fault.reply.outcome}, again and again ({fault.reply.detail})")

    # ---- collecting ----

    def _collect_all(self) -> None:
        for job in self._journal.open_jobs():
            if job.name is None:
                continue
            try:
                finished = self._gemini.finished(job.name)
                if finished is None:
                    self._faults = 0
                    continue
                self._collect(job, finished)
            except Fault as fault:
                self._lost_job(job, fault)

    def _lost_job(self, job: Job, fault: Fault) -> None:
        """A job that the service no longer knows is over; other faults may pass."""
        if fault.code != 404:
            self._after(fault)
            return
        # It may have been paid for, so its calls count as the dearest.
        reply = Reply(outcomes.CONNECTION_LOST, detail=f"job {job.name} is gone")
        self._journal.end_job(job, "gone", reply)
        raise _Stop(f"the service does not know the job {job.name} any more")

    def _collect(self, job: Job, finished: FinishedJob) -> None:
        if finished.replies:
            replies = self._folder / f"describe-batch-{job.number}.replies.tmp"
            self._gemini.download(finished.replies, replies)
            self._read(replies, job)
            replies.unlink()
        detail = f"job {finished.state} {finished.detail or ''}".strip()
        missing = self._journal.end_job(
            job, finished.state, Reply(outcomes.NO_REPLY, detail=detail)
        )
        self._faults = 0
        if missing:
            # Sent again at once they might fail again at once, and for ever.
            self._ended_early = f"{missing} images have {outcomes.NO_REPLY}: {detail}"

    def _read(self, replies: Path, job: Job) -> None:
        foreign = 0
        with replies.open("rb") as file, self._journal.all_or_nothing():
            for line in file:
                if not line.strip():
                    continue
                key, reply = self._gemini.read_line(line)
                known = key is not None and key.isdigit()
                image = self._journal.end(int(key), reply) if key and known else None
                if image is None:
                    foreign += 1
                else:
                    self._told(image, reply)
        if foreign:
            tqdm.write(f"job {job.name}: {foreign} lines match no open call and are passed over")
