"""Start-up of a run on many rows: the first time, later times, and the memory of a process.

    python benchmarks/start_up.py --rows 660000

Rows are made up (an image of several that lie there, a question, an answer as long as a small
molecule's). Each start is a process of its own: it opens and checks the rows, and asks for all
their lengths, as a packed run does. Counting tokens is measured on `--counted` rows, as it takes as
long for each; the other lengths are made up, so that what a later start reads is as large. Seconds
are of processor time.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from unittest.mock import patch

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "Qwen2-VL-Finetune" / "src")]


def write_rows(folder: Path, rows: int, images: int) -> None:
    """A LLaVA JSON of so many rows, and its images."""
    from PIL import Image

    (folder / "images").mkdir()
    for number in range(images):
        Image.new("L", (224, 224), 255).save(folder / "images" / f"{number}.png")
    answer = json.dumps([{"atom": "C", "x": 10 * i, "y": 200 - 10 * i} for i in range(20)])
    with (folder / "train.json").open("w", encoding="utf-8") as file:
        for number in range(rows):
            turns = [
                {"from": "human", "value": "<image>\nRead the molecule atom by atom."},
                {"from": "gpt", "value": f"{answer}, molecule {number}"},
            ]
            image = f"images/{number % images}.png"
            row = {"id": str(number), "image": image, "conversations": turns}
            file.write(("[" if number == 0 else ",\n") + json.dumps(row))
        file.write("]\n")


def start(folder: Path, counted: int) -> dict[str, float]:
    """One start, in a fresh process: seconds, and MiB held beyond the libraries'."""
    from qwen_vl_finetune.dataset import LlavaDataset
    from qwen_vl_finetune.processing import load_processor

    processor = load_processor(folder / "model")
    before, begun = held(), time.process_time()
    dataset = LlavaDataset(folder / "train.json", folder, processor)
    opened = time.process_time()
    with patch.object(dataset, "length", lambda index: 100 + index % 7):
        dataset.lengths()
    listed = time.process_time()
    for index in range(counted):
        dataset.length(index)
    each = (time.process_time() - listed) / counted if counted else 0.0
    return {
        "rows": opened - begun,
        "lengths": listed - opened,
        "a length": each,
        "memory": (held() - before) / 2**20,
    }


def held() -> int:
    """Bytes of this process's own memory; what is mapped from files is shared and not counted."""
    for line in Path("/proc/self/status").read_text("utf-8").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=str(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=66_000, help="how many (66000)")
    parser.add_argument("--images", type=int, default=1000, help="different ones (1000)")
    parser.add_argument("--counted", type=int, default=1000, help="rows whose tokens are counted")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["HF_HOME"] = str(folder / "home")
        from eyesmol.image.pixel_frame import PixelFrame
        from nano.model import create_nano

        create_nano(folder / "model", width=32, layers=2, frame=PixelFrame(224 * 224, 224 * 224))
        write_rows(folder, options.rows, options.images)
        size = (folder / "train.json").stat().st_size / 2**20
        print(f"{options.rows:,} rows, {size:,.0f} MiB of JSON; seconds of processor time")
        for what, counted in (("first start", options.counted), ("second start", 0)):
            with ProcessPoolExecutor(1, get_context("spawn")) as worker:
                found = worker.submit(start, folder, counted).result()
            count = found["a length"] * options.rows
            print(
                f"{what:<13} rows {found['rows']:.1f}, lengths {found['lengths'] + count:.1f}, "
                f"memory of the process {found['memory']:,.0f} MiB",
                flush=True,
            )


if __name__ == "__main__":
    main()
