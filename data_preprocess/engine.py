"""Where the parts of a long piece of work are done: in this process, in several, or on a cluster.

A job is small and picklable, writes its own part, and passes over a part that is already there; so
a run that was killed resumes, and little more than a count travels back.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from typing import Any, Literal, TypeVar

from eyesmol.exceptions import InputError
from eyesmol.reader.ray_cluster import ClusterError, available_cores, cluster

__all__ = ["Engine", "available_cores", "run"]

Engine = Literal["processes", "ray"]
_AHEAD = 3  # jobs for each worker: enough to keep all busy; more would only hold memory

Job = TypeVar("Job")
Result = TypeVar("Result")


def run(
    jobs: Iterable[Job], work: Callable[[Job], Result], workers: int, engine: Engine = "processes"
) -> Iterator[Result]:
    """Work through the jobs; yields what `work` returns for each as it is done, in any order.

    Args:
        jobs: made only as fast as they are worked through.
        work: a function at the top of a module; a builder's returns how many items were in the job.
        workers: processes; with 1, all happens in this one. A cluster that already runs brings its
            own number.
        engine: ``processes`` on this machine, or ``ray``: the cluster at RAY_ADDRESS, which must
            see the same folders, else a local one.

    Raises:
        InputError: Ray is not installed, or no cluster could be reached.
        Exception: the first that `work` raises.
    """
    if engine == "ray":
        yield from _on_ray(jobs, work, workers)
    elif workers <= 1:
        yield from map(work, jobs)
    else:
        yield from _in_processes(jobs, work, workers)


def _in_processes(
    jobs: Iterable[Job], work: Callable[[Job], Result], workers: int
) -> Iterator[Result]:
    # Spawned, not forked: threads of a parent (a notebook, a test) do not survive a fork.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=_end_with_parent) as pool:
        pending: set[Future[Result]] = set()
        for job in jobs:
            pending.add(pool.submit(work, job))
            if len(pending) >= _AHEAD * workers:
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


def _on_ray(jobs: Iterable[Job], work: Callable[[Job], Result], workers: int) -> Iterator[Result]:
    try:
        with cluster(workers) as ray:
            yield from _on_cluster(ray, jobs, work, workers)
    except ClusterError as error:
        raise InputError(str(error)) from None


def _on_cluster(
    ray: Any, jobs: Iterable[Job], work: Callable[[Job], Result], workers: int
) -> Iterator[Result]:
    # A lost worker is no reason to stop: its part is done again by another.
    task = ray.remote(num_cpus=1, max_retries=3)(work)
    most = _AHEAD * max(int(ray.cluster_resources().get("CPU", workers)), 1)
    pending: list[Any] = []
    for job in jobs:
        pending.append(task.remote(job))
        if len(pending) >= most:
            done, pending = ray.wait(pending, num_returns=1)
            yield from map(ray.get, done)
    yield from map(ray.get, pending)
