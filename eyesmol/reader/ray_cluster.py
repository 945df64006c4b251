"""A Ray cluster for long work: the one that runs, or a local one that comes and goes with the work.

Ray is optional, so it is asked for here, where it is used.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["ClusterError", "available_cores", "cluster"]


class ClusterError(Exception):
    """Ray is not installed, or no cluster can be reached or is large enough."""


@contextmanager
def cluster(cores: int) -> Iterator[Any]:
    """Ray's module, connected: to the cluster at RAY_ADDRESS, else to a local one.

    What a task raises is raised as it was, not wrapped in Ray's own error.

    Args:
        cores: of a local cluster; one that runs brings its own.

    Raises:
        ClusterError: see there.
    """
    try:
        import ray
        import ray.exceptions
    except ImportError:
        raise ClusterError("--engine ray needs Ray: pip install 'eyesmol[ray]'") from None
    mine = not ray.is_initialized()
    if mine:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        local = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": max(cores, 1)}
        try:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR", **local)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ClusterError(f"--engine ray: no cluster could be reached: {error}") from None
    try:
        yield ray
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayActorError as error:
        raise ClusterError(
            f"--engine ray: a worker died again and again: {error}. If memory ran out, give fewer "
            "--workers"
        ) from None
    finally:
        if mine:
            ray.shutdown()


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
