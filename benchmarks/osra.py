"""OSRA over many pictures: its SMILES, its confidence, and the seconds that each picture takes.

    python benchmarks/osra.py IMAGES... --out osra.jsonl [--workers N]

The seconds are processor time: what OSRA's one thread takes on an idle core, however busy this
machine is; the memory is the most that its process had resident. Its confidence is a number of its
own making, no probability: it may lie above 1. Of several structures in one image the largest
counts, see `eyesmol.evaluation.predictions`. Stopped, the same command resumes where it was.
`osra.sh` scores the result as well.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from tqdm import tqdm

from eyesmol.evaluation.predictions import osra_reading
from eyesmol.image.loading import list_pictures
from eyesmol.memory import peak_memory_mib
from eyesmol.outputs import Journal, read_rows
from eyesmol.recognition import Recognition


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the pictures; returns the exit status."""
    options = _options(arguments)
    if shutil.which("osra") is None:
        print("osra is not installed. Debian and Ubuntu: apt-get install osra", file=sys.stderr)
        return 2
    images = [name for given in options.images for name in list_pictures(given)]
    if options.out.is_file() and [row["image"] for _, row in read_rows(options.out)] == images:
        print(f"{options.out} holds these pictures already; delete it to read them anew",
              file=sys.stderr)  # fmt: skip
        return 0
    version = subprocess.run(["osra", "--version"], capture_output=True, text=True, check=False)
    settings = {"tool": "osra", "version": version.stdout.strip(), "timeout": options.timeout}
    with Journal(options.out, settings, images) as journal:
        todo = images[journal.done :]
        # A process a picture does the work; threads only wait for it.
        with ThreadPoolExecutor(options.workers) as pool:
            readings = pool.map(partial(read, timeout=options.timeout), todo)
            for reading in tqdm(readings, desc="osra", unit="picture", total=len(todo)):
                journal.add(reading)
        journal.finish()
    print(f"{len(images)} pictures -> {options.out}", file=sys.stderr)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", nargs="+", metavar="IMAGES", help="pictures, or folders of them")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.jsonl")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, metavar="N",
                        help="pictures at a time (all cores)")  # fmt: skip
    parser.add_argument("--timeout", type=float, default=300, metavar="SECONDS",
                        help="of one picture, which is then an error (300)")  # fmt: skip
    return parser.parse_args(arguments)


def read(image: str, timeout: float) -> Recognition:
    """What OSRA says of one picture; a picture on which it fails is a row with its error."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(["osra", "-p", image], stdout=output, stderr=errors)
        deadline, in_time, memory = time.monotonic() + timeout, True, None
        # wait4 and not wait: it also tells the time of this one process. Its peak of memory counts
        # what this process had when it started the other, so that is asked for meanwhile.
        while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
            memory = peak_memory_mib(process.pid) or memory
            if in_time and time.monotonic() > deadline:
                in_time = False
                process.kill()
            time.sleep(0.01)
        _, status, used = ended
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read()
        errors.seek(0)
        complaint = " ".join(errors.read().split())[:300] or "it said nothing"
    if not in_time:
        return Recognition(image, error=f"{image}: osra took more than {timeout:g} s")
    if process.returncode:
        return Recognition(
            image, error=f"{image}: osra ended with {process.returncode}: {complaint}"
        )
    try:
        found = osra_reading(image, said, seconds=round(used.ru_utime + used.ru_stime, 3))
        return replace(found, memory_mib=memory)
    except ValueError as error:
        return Recognition(image, error=f"{image}: {error}")


if __name__ == "__main__":
    sys.exit(main())
