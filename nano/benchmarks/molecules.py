"""Which molecules was the embedded reader shown? How many, and is any of a benchmark among them?

    python -m nano.benchmarks.molecules --benchmarks clef/molfiles uspto_molfiles

Every row of its training depends on seed and number alone, so its molecules are made once more, as
`training.json` in the model's folder says, and compared by the first block of the InChIKey. Those
that share it with a benchmark were passed over in training (``train_nano.sh --exclude``); the
folders given here must be the same ones.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from data_preprocess.build.exclude import read_excluded
from data_preprocess.build.online import Drawings
from data_preprocess.dataset.splits import connectivity_key, split_of
from eyesmol.reader.embedded import NANO, model_folder

_CHUNK = 2_000


def main() -> int:
    """Make the molecules again, and count; returns 1 where one is of a benchmark, or held out."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--benchmarks", type=Path, nargs="+", required=True, metavar="FILE",
                        help="as for build --exclude: folders of molfiles, lists")  # fmt: skip
    parser.add_argument("--model", default=NANO, help="a folder with training.json (nano)")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes (all)")
    options = parser.parse_args()
    pieces = json.loads(Path(model_folder(options.model), "training.json").read_text("utf-8"))
    smiles: set[str] = set()
    total = 0
    for piece in pieces:
        rows = {**piece["rows"], "exclude": [str(path) for path in options.benchmarks]}
        with ProcessPoolExecutor(options.workers, initializer=begin, initargs=(rows,)) as pool:
            drawings = Drawings(**piece["rows"] | {"exclude": []}).drawings(piece["pictures"])
            starts = range(0, drawings, _CHUNK)
            chunks = pool.map(partial(shown, end=drawings), starts)
            for chunk in tqdm(chunks, total=len(starts), unit=f"{_CHUNK:,} rows"):
                smiles |= chunk
        total += drawings
    known = read_excluded(options.benchmarks).keys
    keys = {connectivity_key(one) or one for one in tqdm(smiles, unit="molecule")}
    common = len(keys & known)
    kept = sum(split_of(key, piece["rows"]["held_out"], 0.0) != "train" for key in keys)
    print(f"{total:,} drawings of {len(smiles):,} molecules ({len(keys):,} without stereo);")
    print(f"{common} of them are among the {len(known):,} molecules of the benchmarks,")
    print(f"{kept} among those that are kept for scoring")
    return 1 if common or kept else 0


_rows: Drawings


def begin(options: dict[str, Any]) -> None:
    """In each worker: the rows, once."""
    global _rows
    _rows = Drawings(**options)


def shown(start: int, end: int) -> set[str]:
    """SMILES of the drawings from `start` on; one in some hundred could not be drawn, and gave way
    to another one, which is not counted."""
    numbers = range(start, min(start + _CHUNK, end))
    return {next(_rows.molecules(number))[1] for number in numbers}


if __name__ == "__main__":
    sys.exit(main())
