"""OSRA over many pictures: its SMILES, its confidence, and the seconds that each picture took.

    python benchmarks/osra.py IMAGES... --out osra.jsonl [--workers N]

OSRA's confidence is a number of its own making, no probability: it may lie above 1. Of several
structures in one picture the largest counts, see `eyesmol.predictions`. Stopped, the same command
goes on where it was. `osra.sh` scores the result as well.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tqdm import tqdm

from eyesmol.outputs import Journal
from eyesmol.pictures import list_pictures
from eyesmol.predictions import osra_reading
from eyesmol.recognition import Recognition


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the pictures; returns the exit status."""
    options = _options(arguments)
    if shutil.which("osra") is None:
        print("osra is not installed. Debian and Ubuntu: apt-get install osra", file=sys.stderr)
        return 2
    images = [name for given in options.images for name in list_pictures(given)]
    version = subprocess.run(["osra", "--version"], capture_output=True, text=True, check=False)
    settings = {"tool": "osra", "version": version.stdout.strip(), "timeout": options.timeout}
    with Journal(options.out, settings, images) as journal:
        todo = images[len(journal.done) :]
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
    began = time.perf_counter()
    try:
        done = subprocess.run(
            ["osra", "-p", image], capture_output=True, text=True, timeout=timeout, check=True
        )
        return osra_reading(image, done.stdout, seconds=round(time.perf_counter() - began, 4))
    except subprocess.TimeoutExpired:
        return Recognition(image, error=f"{image}: osra took more than {timeout:g} s")
    except subprocess.CalledProcessError as error:
        said = " ".join(error.stderr.split())[:300] or "it said nothing"
        return Recognition(image, error=f"{image}: osra ended with {error.returncode}: {said}")
    except ValueError as error:
        return Recognition(image, error=f"{image}: {error}")


if __name__ == "__main__":
    sys.exit(main())
