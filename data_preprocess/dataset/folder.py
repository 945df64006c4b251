"""The dataset folder: parts while it is being built, one list a split when it is done.

A build is cut into parts. A part is one file under ``parts/``, moved into place only when its
images are written, so a build that was killed resumes after the last whole part. When all parts
are there they are streamed into the lists; ``dataset_info.json`` comes last and means: finished.

A list is one LLaVA JSON file, ``train.json``, or with shards JSON Lines such as
``train-00000-of-00004.jsonl``. A record goes to the shard that its molecule's key falls into, so
all that has to be decided across rows is decided within one shard, and shards are written side by
side. In the file of a part the records of each shard stand together, behind a line with the bytes
of each, so that a shard reads no others.

A record of a part is ``{"split": ..., "row": {...}}`` or ``{"drop": reason, "name": file}``. Where
they are known, the molecule's connectivity key stands under ``key``, the name of the item under
``item``, what would be drawn twice under ``drawn``, how a row's graph reads back under
``reads_back``, and what was changed of a graph that the detector saw under ``labelled``.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from data_preprocess.dataset.info import INFO, DatasetInfo
from data_preprocess.dataset.splits import SPLITS, number_of
from data_preprocess.tally import Tally
from eyesmol.atomic import atomic_path, write_bytes, write_json, write_text
from eyesmol.exceptions import InputError

__all__ = [
    "SPLITS",
    "WHOLE",
    "Parts",
    "Record",
    "Shard",
    "total",
    "write_lists",
    "write_part",
    "write_records",
]

_DROPS = "drops"  # every item that became no row, and why
Record = dict[str, Any]


@dataclass(frozen=True)
class Shard:
    """One of `of` shards, counted from 0."""

    number: int
    of: int

    def name(self, what: str) -> str:
        """Of its file of a list, such as ``train-00000-of-00004.jsonl``."""
        return f"{what}-{self.number:05d}-of-{self.of:05d}.jsonl"


WHOLE = Shard(0, 1)  # no shards: all of it, as LLaVA JSON


def shard_of(record: Record, shards: int) -> int:
    """Which shard a record falls into, by its molecule; a drop or a chart by its name."""
    what = record.get("key") or record.get("name") or record["row"]["id"]
    return number_of(f"shard {what}") % shards


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
        (self._folder / INFO).unlink(missing_ok=True)
        for name in (*SPLITS, _DROPS):
            for pattern in (f"{name}.json", f"{name}.jsonl", f"{name}-*-of-*.jsonl"):
                for path in self._folder.glob(pattern):
                    path.unlink()
        for folder in (self._parts, self._folder / "images"):
            shutil.rmtree(folder, ignore_errors=True)

    def discard(self) -> None:
        """Remove the parts of a finished dataset."""
        shutil.rmtree(self._parts, ignore_errors=True)

    def path(self, number: int) -> Path:
        """Where the records of a part lie once it is whole."""
        return self._parts / f"{number:06d}.part"

    def records(self, numbers: Iterable[int], shard: Shard = WHOLE) -> Iterator[Record]:
        """The records of a shard in these parts, one at a time."""
        for number in numbers:
            with self.path(number).open("rb") as file:
                lengths = json.loads(file.readline())
                file.seek(sum(lengths[: shard.number]), os.SEEK_CUR)
                end = file.tell() + lengths[shard.number]
                while file.tell() < end:
                    yield json.loads(file.readline())


def write_records(path: Path, records: list[Record]) -> None:
    """Write records as JSON Lines, in one step."""
    write_text(path, "".join(f"{_dumps(record)}\n" for record in records))


def write_part(path: Path, records: list[Record], shards: int = 1) -> None:
    """Write the records of a part in one step."""
    blocks = [bytearray() for _ in range(shards)]
    for record in records:
        blocks[shard_of(record, shards)] += f"{_dumps(record)}\n".encode()
    write_bytes(path, b"\n".join([_dumps([*map(len, blocks)]).encode(), b"".join(blocks)]))


def write_lists(
    folder: Path, records: Iterator[Record], shard: Shard | None = None
) -> dict[str, Any]:
    """Stream records into ``train.json``, ``valid.json`` and ``test.json``, one row a line.

    What was dropped goes to ``drops.jsonl``, a name and a reason a line.

    Args:
        folder: the dataset folder.
        records: of the whole, or of a shard.
        shard: writes JSON Lines of its own.

    Returns:
        What was counted: `splits`, `tasks`, `drops`, `reads_back` and `labelled` of
        `dataset_info.json`.
    """
    counts: dict[str, Counter[str]] = {name: Counter() for name in _COUNTS}
    drops = Tally()
    with ExitStack() as stack:
        lists = {split: _List(folder, split, shard, stack) for split in SPLITS}
        dropped = _opened(folder / (shard.name(_DROPS) if shard else f"{_DROPS}.jsonl"), stack)
        for record in records:
            if "drop" in record:
                drops.add(record["drop"], record["name"])
                dropped.write(f"{_dumps({'name': record['name'], 'reason': record['drop']})}\n")
                continue
            lists[record["split"]].add(record["row"])
            counts["splits"][record["split"]] += 1
            counts["tasks"][record["row"]["task"]] += 1
            for name in ("reads_back", "labelled"):
                if name in record:
                    counts[name][record[name]] += 1
        for one in lists.values():
            one.end()
    return total([{**counts, "drops": drops.to_dict()}])


_COUNTS = ("splits", "tasks", "reads_back", "labelled", "molecules")


def total(counted: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """What `write_lists` counted of several shards, together."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in _COUNTS}
    drops = Tally()
    for one in counted:
        for name, counter in counts.items():
            counter.update(one.get(name, {}))
        drops.update(one["drops"])
    return {
        "splits": {split: counts["splits"][split] for split in SPLITS},
        "drops": drops.to_dict(),
        "molecules": dict(counts["molecules"]),
        **{
            name: dict(sorted(counts[name].items())) for name in ("tasks", "reads_back", "labelled")
        },
    }


class _List:
    """The rows of a split, as LLaVA JSON or, of a shard, as JSON Lines."""

    def __init__(self, folder: Path, split: str, shard: Shard | None, stack: ExitStack) -> None:
        self._lines = shard is not None
        self._file = _opened(folder / (shard.name(split) if shard else f"{split}.json"), stack)
        self._empty = True

    def add(self, row: dict[str, Any]) -> None:
        if self._lines:
            self._file.write(f"{_dumps(row)}\n")
        else:
            self._file.write(("[\n" if self._empty else ",\n") + _dumps(row))
        self._empty = False

    def end(self) -> None:
        """Write what stands behind the last row."""
        if not self._lines:
            self._file.write("[]\n" if self._empty else "\n]\n")


def _opened(path: Path, stack: ExitStack) -> TextIO:
    """A file that appears under its name when the stack ends."""
    draft = stack.enter_context(atomic_path(path))
    return stack.enter_context(draft.open("w", encoding="utf-8", newline="\n"))


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
