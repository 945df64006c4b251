"""One model behind one queue: images that wait together are read together, requests in turn.

A `Recognizer` is used by one thread, the worker. Whoever wants images read puts them into the
queue, a few ahead, and gets the results in order, each as soon as it is there. The queue takes one
image of each request in turn, a first one before the others, so that a request of fifty keeps one
of a single image waiting no longer than for the batch that is being read.
"""

from __future__ import annotations

import heapq
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from PIL import Image

from eyesmol.recognition import Recognition

if TYPE_CHECKING:
    from eyesmol.reader.base import Recognizer

__all__ = ["Drawing", "ReadingService", "ServiceBusyError"]

_MOST_REQUESTS = 32  # at a time; more are told to come again


class ServiceBusyError(Exception):
    """Too many requests at a time."""


@dataclass(frozen=True)
class Drawing:
    """An image to read; its name is its ``filename``.

    Attributes:
        image: the image.
        any_picture: read it even if it shows no drawing of a molecule at first sight.
    """

    image: Image.Image
    any_picture: bool = False


@dataclass(frozen=True, order=True)
class _Job:
    """An image that waits; jobs are ordered by their turn, then by their arrival."""

    turn: int
    arrival: int
    drawing: Drawing = field(compare=False)
    min_confidence: float = field(compare=False)
    future: Future[Recognition] = field(default_factory=Future, compare=False)

    @property
    def options(self) -> tuple[bool, float]:
        return self.drawing.any_picture, self.min_confidence


@dataclass
class _Request:
    """Whose jobs are read one a turn.

    Attributes:
        min_confidence: of all its images.
        turn: of its latest job.
    """

    min_confidence: float
    turn: int = 0


class ReadingService:
    """Reads drawings for many at a time with one model; close it when it is no longer needed."""

    def __init__(
        self, reader: Recognizer, *, batch_size: int = 8, max_new_tokens: int | None = None
    ) -> None:
        """
        Args:
            reader: the model, which nobody else may use meanwhile.
            batch_size: images that are read at a time, whoever sent them.
            max_new_tokens: where to cut an answer off.
        """
        self._reader, self._batch_size, self._limit = reader, batch_size, max_new_tokens
        self._jobs: list[_Job] = []  # a heap
        self._turn = self._arrivals = 0  # the turn that is being read; the number of jobs so far
        self._changed = threading.Condition()
        self._closed = False
        self._seats = threading.BoundedSemaphore(_MOST_REQUESTS)
        self._worker = threading.Thread(target=self._work, name="reader", daemon=True)
        self._worker.start()

    @property
    def waiting(self) -> int:
        """Images in the queue."""
        return len(self._jobs)

    def read(
        self, sources: Iterable[Drawing | Recognition], *, min_confidence: float = 0.0
    ) -> Generator[tuple[Drawing | Recognition, Recognition], None, None]:
        """Read drawings, in order; what is a recognition already (a file that is broken) passes.

        Args:
            sources: opened no further ahead than two batches.
            min_confidence: below it no molecule is given, see `Recognizer.recognize`.

        Yields:
            Each source with what was read of it.

        Raises:
            ServiceBusyError: too many others are reading.
        """
        ahead: deque[tuple[Drawing | Recognition, Future[Recognition]]] = deque()
        request = _Request(min_confidence)
        with self._seat():
            try:
                for source in sources:
                    ahead.append((source, self._submitted(source, request)))
                    if len(ahead) > 2 * self._batch_size:
                        first, future = ahead.popleft()
                        yield first, future.result()
                while ahead:
                    first, future = ahead.popleft()
                    yield first, future.result()
            finally:  # nobody listens any more: what still waits need not be read
                for _, future in ahead:
                    future.cancel()

    def close(self) -> None:
        """Finish the batch that is being read, drop the others, and stop."""
        with self._changed:
            self._closed = True
            for job in self._jobs:
                job.future.cancel()
            self._jobs.clear()
            self._changed.notify_all()
        self._worker.join()

    @contextmanager
    def _seat(self) -> Iterator[None]:
        if not self._seats.acquire(blocking=False):
            raise ServiceBusyError(f"{_MOST_REQUESTS} requests are being read; try again later")
        try:
            yield
        finally:
            self._seats.release()

    def _submitted(self, source: Drawing | Recognition, request: _Request) -> Future[Recognition]:
        if isinstance(source, Recognition):
            done: Future[Recognition] = Future()
            done.set_result(source)
            return done
        with self._changed:
            if self._closed:
                raise ServiceBusyError("the server is stopping")
            # Each image counts two turns and a first one half of that: it comes before the further
            # ones of others, and still cannot keep them waiting for ever. A request that was quiet
            # for a while has no turns saved up.
            request.turn = max(request.turn + 2, self._turn + 1)
            self._arrivals += 1
            job = _Job(request.turn, self._arrivals, source, request.min_confidence)
            heapq.heappush(self._jobs, job)
            self._changed.notify_all()
        return job.future

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._closed)
                if self._closed:
                    return
                batch = self._next_batch()
            self._answer(batch)

    def _next_batch(self) -> list[_Job]:
        """The job whose turn it is, and those after it with its options, in order."""
        options = self._jobs[0].options
        chosen: list[_Job] = []
        left: list[_Job] = []
        while self._jobs and len(chosen) < self._batch_size:
            job = heapq.heappop(self._jobs)
            if job.options == options:
                chosen.append(job)
                self._turn = job.turn
            else:
                left.append(job)
        for job in left:
            heapq.heappush(self._jobs, job)
        return [job for job in chosen if job.future.set_running_or_notify_cancel()]

    def _answer(self, batch: list[_Job]) -> None:
        if not batch:
            return
        any_picture, min_confidence = batch[0].options
        unread = deque(batch)
        try:
            for result in self._reader.recognize(
                [job.drawing.image for job in batch],
                batch_size=self._batch_size,
                max_new_tokens=self._limit,
                pages=False,  # pages were searched when they were opened
                any_picture=any_picture,
                min_confidence=min_confidence,
            ):
                unread.popleft().future.set_result(result)
            if unread:
                raise RuntimeError(f"the reader gave no result for {len(unread)} images")
        # Whatever it is (memory, a driver), those who wait must hear of it and the next be read.
        except Exception as error:
            for job in unread:
                job.future.set_exception(error)
