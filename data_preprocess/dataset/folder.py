"""The dataset folder: parts while it is being built, one JSON list a split when it is done.

A build is cut into parts. A part is one JSON Lines file under ``parts/``, moved into place only
when its images are written, so a build that was killed resumes after the last whole part. When
all parts are there they are streamed into the lists; ``dataset_info.json`` comes last and means:
finished.

A record of a part is ``{"split": ..., "row": {...}}`` or ``{"drop": reason, "name": file}``. Where
they are known, the molecule's connectivity key stands under ``key``, how a row's graph reads back
under ``reads_back``, and what was changed of a graph that the detector saw under ``labelled``.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from data_preprocess.dataset.info import INFO, DatasetInfo
from data_preprocess.dataset.splits import SPLITS
from data_preprocess.tally import Tally
from eyesmol.atomic import atomic_path, write_json, write_text
from eyesmol.exceptions import InputError

__all__ = ["DROPS", "SPLITS", "Parts", "Record", "write_lists", "write_part"]

DROPS = "drops.jsonl"  # every item that became no row, and why
Record = dict[str, Any]


class Parts:
    """The parts of one build, and the settings that they were made with.

    Args:
        folder: the dataset folder.
        made_with: everything that decides what the rows are, as JSON; it stands in
            `dataset_info.json` under the same keys. Parts made otherwise are refused.
    """

    def __init__(self, folder: Path, made_with: dict[str, Any]) -> None:
        self._folder, self._made_with = folder, made_with
        self._parts = folder / "parts"

    @property
    def folder(self) -> Path:
        """Where the parts lie, and scratch files of the build."""
        return self._parts

    def finished(self) -> DatasetInfo | None:
        """What a finished dataset with these settings is; None for one that is not finished.

        Raises:
            InputError: the folder holds, finished or not, a dataset built with other settings.
        """
        for path in self._marks():
            if not path.exists():
                continue
            found = json.loads(path.read_text(encoding="utf-8"))
            self._check_same(path, found)
            return DatasetInfo.parse(path) if path.name == INFO else None
        return None

    def _check_same(self, path: Path, found: dict[str, Any]) -> None:
        other = []
        for key, wanted in self._made_with.items():
            if isinstance(wanted, dict) and isinstance(found.get(key), dict):
                other += [f"{key}.{k}" for k in wanted if wanted[k] != found[key].get(k)]
            elif wanted != found.get(key):
                other.append(key)
        if other:
            raise InputError(
                f"{path}: begun with other values of {', '.join(other)}; choose another --out, or "
                "give --overwrite to build it again"
            )

    def _marks(self) -> tuple[Path, Path]:
        """The files that show that a build made this folder: finished, and begun."""
        return self._folder / INFO, self._parts / "made_with.json"

    def begin(self) -> None:
        """Make the folders and note the settings.

        Raises:
            InputError: the folder is a file, or has images that no build put there.
        """
        if self._folder.exists() and not self._folder.is_dir():
            raise InputError(f"{self._folder}: found a file; expected a folder, or nothing yet")
        # A later --overwrite would take them for its own.
        if (self._folder / "images").exists() and not any(mark.exists() for mark in self._marks()):
            raise InputError(
                f"{self._folder}: holds an images folder that no build made; choose another --out"
            )
        self._parts.mkdir(parents=True, exist_ok=True)
        write_json(self._parts / "made_with.json", self._made_with)

    def clear(self) -> None:
        """Remove what an earlier build wrote, and nothing else."""
        if not any(mark.exists() for mark in self._marks()):
            return
        for name in (INFO, DROPS, *(f"{split}.json" for split in SPLITS)):
            (self._folder / name).unlink(missing_ok=True)
        for folder in (self._parts, self._folder / "images"):
            shutil.rmtree(folder, ignore_errors=True)

    def discard(self) -> None:
        """Remove the parts of a finished dataset."""
        shutil.rmtree(self._parts, ignore_errors=True)

    def path(self, number: int) -> Path:
        """Where the records of a part lie once it is whole."""
        return self._parts / f"{number:06d}.jsonl"

    def records(self, numbers: Iterable[int]) -> Iterator[Record]:
        """All records of these parts, one at a time."""
        for number in numbers:
            with self.path(number).open(encoding="utf-8") as file:
                yield from map(json.loads, file)


def write_part(path: Path, records: list[Record]) -> None:
    """Write the records of a part in one step."""
    write_text(path, "".join(f"{_dumps(record)}\n" for record in records))


def write_lists(folder: Path, records: Iterator[Record]) -> dict[str, Any]:
    """Stream records into ``train.json``, ``valid.json`` and ``test.json``, one row a line.

    What was dropped goes to ``drops.jsonl``, a name and a reason a line.

    Returns:
        What was counted: `splits`, `tasks`, `drops`, `reads_back` and `labelled` of
        `dataset_info.json`.
    """
    counts: Counter[str] = Counter()
    tasks: Counter[str] = Counter()
    reads_back: Counter[str] = Counter()
    labelled: Counter[str] = Counter()
    drops = Tally()
    with ExitStack() as stack:
        files = {split: _opened(folder / f"{split}.json", stack) for split in SPLITS}
        dropped = _opened(folder / DROPS, stack)
        for record in records:
            if "drop" in record:
                drops.add(record["drop"], record["name"])
                dropped.write(f"{_dumps({'name': record['name'], 'reason': record['drop']})}\n")
            else:
                if "reads_back" in record:
                    reads_back[record["reads_back"]] += 1
                if "labelled" in record:
                    labelled[record["labelled"]] += 1
                split = record["split"]
                files[split].write(("[\n" if not counts[split] else ",\n") + _dumps(record["row"]))
                counts[split] += 1
                tasks[record["row"]["task"]] += 1
        for split, file in files.items():
            file.write("\n]\n" if counts[split] else "[]\n")
    return {
        "splits": {split: counts[split] for split in SPLITS},
        "tasks": dict(sorted(tasks.items())),
        "drops": drops.to_dict(),
        "reads_back": dict(sorted(reads_back.items())),
        "labelled": dict(sorted(labelled.items())),
    }


def _opened(path: Path, stack: ExitStack) -> TextIO:
    """A file that appears under its name when the stack ends."""
    draft = stack.enter_context(atomic_path(path))
    return stack.enter_context(draft.open("w", encoding="utf-8", newline="\n"))


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
