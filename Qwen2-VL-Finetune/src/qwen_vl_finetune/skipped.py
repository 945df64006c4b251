"""Rows that were met in training and teach nothing, because an image of theirs can't be read."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from .collator import BatchNote
from .dataset import SampleDataset

SKIPPED = "skipped.jsonl"
REASON = "unreadable image"


class SkippedRows:
    """Names every row that teaches nothing once, on the screen and in `skipped.jsonl`.

    Args:
        output: the run folder; what an earlier start of the run skipped is read from it.
    """

    def __init__(self, output: Path) -> None:
        self.path = output / SKIPPED
        self.rows = set(read_skipped(output))

    def add(self, dataset: SampleDataset, note: BatchNote) -> None:
        """Note what was skipped in a batch."""
        for row, problem in note.problems.items():
            number = dataset.numbers[row]
            if number in self.rows:
                continue
            self.rows.add(number)
            print(f"skipped: {problem}", flush=True)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            line = json.dumps({"row": number, "problem": problem}, ensure_ascii=False)
            with self.path.open("a", encoding="utf-8") as file:  # processes append line by line
                file.write(line + "\n")


def read_skipped(output: Path) -> list[int]:
    """The rows of a run's `skipped.jsonl`, each once; a line cut off by a crash is passed over."""
    path = output / SKIPPED
    rows = set()
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        with contextlib.suppress(ValueError, KeyError):
            rows.add(int(json.loads(line)["row"]))
    return sorted(rows)
