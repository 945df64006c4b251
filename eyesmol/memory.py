"""The main memory that a process has taken at most, for the table of speed and memory."""

from __future__ import annotations

import re
import sys
from pathlib import Path

__all__ = ["peak_memory_mib"]

_HIGHEST = re.compile(r"^VmHWM:\s*(\d+) kB", re.MULTILINE)


def peak_memory_mib(process: int | None = None) -> float | None:
    """Peak resident memory in MiB, libraries included, a GPU's memory not.

    Args:
        process: the id of another process that still runs; this one by default.

    Returns:
        None where the system does not say (Windows; of another process, all but Linux).
    """
    try:
        # Not ru_maxrss first: on Linux it begins with that of the process which started this one.
        found = _HIGHEST.search(
            Path(f"/proc/{process or 'self'}/status").read_text(encoding="ascii")
        )
        if found:
            return round(int(found[1]) / 1024, 1)
    except OSError:
        pass
    if process is not None:
        return None
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak * unit / 2**20, 1)
