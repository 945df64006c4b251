"""Where the parts of a long piece of work are done: in this process, or in several.

A job is small and picklable, writes its own part, and passes over a part that is already there; so
a run that was killed goes on, and nothing but a count travels back.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from typing import TypeVar

__all__ = ["available_cores", "run"]

Job = TypeVar("Job")


def run(jobs: Iterable[Job], work: Callable[[Job], int], workers: int) -> Iterator[int]:
    """Work through the jobs; yields what `work` returns for each as it is done, in any order.

    Args:
        jobs: made only as fast as they are worked through.
        work: a function at the top of a module; it returns how many items were in the job.
        workers: processes; with 1, all happens in this one.
    """
    if workers <= 1:
        yield from map(work, jobs)
        return
    # Spawned, not forked: threads of a parent (a notebook, a test) do not survive a fork.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=_end_with_parent) as pool:
        pending: set[Future[int]] = set()
        for job in jobs:
            pending.add(pool.submit(work, job))
            if len(pending) >= 3 * workers:  # enough to keep all busy; more would only hold memory
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        yield from (future.result() for future in pending)


def _end_with_parent() -> None:
    """End this worker when its parent is killed: it would wait for jobs for ever."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
