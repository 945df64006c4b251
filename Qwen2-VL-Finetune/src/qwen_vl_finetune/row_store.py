"""Checked rows in an Arrow file that is mapped into memory, and their lengths beside it.

The first start with some data reads and checks its JSON, and writes one Arrow file under `HF_HOME`;
all processes, and every later start, map that file and hold no row themselves. A name tells the
content of the data, so data that changed is another file, and the old one goes, as does what has
not been used for longest. Lengths are kept alike: they belong to the rows, to the processor that
makes tokens of them, and to the images' sizes and dates.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from filelock import FileLock
from tqdm import tqdm

from .errors import DataError, UserError, raise_all
from .rows import Row, content_fingerprint, image_names, read_rows, row_label, row_problem

FORMAT = 1
KEPT = 16  # files of rows, those that were used last
BLOCK = 10_000  # rows of a record batch

SCHEMA = pa.schema(
    [
        ("row", pa.large_binary()),  # as JSON: rows may differ in their fields
        ("images", pa.list_(pa.string())),
        ("bytes", pa.int64()),  # of the text of all turns
        ("turns", pa.int32()),
    ]
)


def cache_folder() -> Path:
    """Where rows and lengths are kept."""
    home = os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface"
    return Path(home) / "qwen_vl_finetune"


@dataclass(frozen=True)
class RowStore:
    """The rows of some data, read when they are asked for.

    Attributes:
        path: the data, for messages.
        folder: the folder that image paths start from.
        key: what tells these rows and their images from any others.
        file: the Arrow file.
        table: its content, mapped into memory, a line a row.
        kept: the numbers of the rows that are left, in order.
    """

    path: Path
    folder: Path
    key: str
    file: Path
    table: Any
    kept: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.kept)

    def __getitem__(self, index: int) -> Row:
        row: Row = json.loads(self.table["row"][int(self.kept[index])].as_py())
        return row

    def __reduce__(self) -> tuple[Any, ...]:
        """A process that is handed the rows maps the file itself."""
        return _reopened, (self.path, self.folder, self.key, self.file, self.kept)

    def column(self, name: str) -> npt.NDArray[np.int64]:
        """A number of every row that is left."""
        numbers: npt.NDArray[np.int64] = self.table[name].to_numpy()[self.kept]
        return numbers

    def image_counts(self) -> npt.NDArray[np.int64]:
        """How many images every row has."""
        counts = self.table["images"].combine_chunks().value_lengths().to_numpy()
        return np.asarray(counts, dtype=np.int64)[self.kept]

    def without(self, indices: set[int]) -> RowStore:
        """The rows but for some, by their place among those that are left."""
        mask = np.ones(len(self), dtype=bool)
        mask[list(indices)] = False
        return replace(self, kept=self.kept[mask])

    def lengths(self, count: Callable[[int], int], maker: str) -> npt.NDArray[np.int64]:
        """The lengths of all rows that are left, counted once for data, processor and images.

        Args:
            count: the tokens of a row, by its place.
            maker: what shapes them besides rows and images.
        """
        digest = hashlib.sha256(f"{self.key} {maker}".encode())
        digest.update(self.kept.tobytes())
        file = self.file.with_name(f"{self.file.stem}-{digest.hexdigest()[:32]}.npy")
        with _alone(file):
            if not file.is_file():
                steps = tqdm(range(len(self)), desc="counting tokens", unit="row", leave=False)
                counted = np.fromiter(map(count, steps), dtype=np.int64, count=len(self))
                draft = file.with_suffix(".part")
                with draft.open("wb") as stream:
                    np.save(stream, counted)
                draft.replace(file)
        return np.asarray(np.load(file, allow_pickle=False))


def open_rows(path: Path, folder: Path) -> RowStore:
    """The rows of LLaVA JSON or JSONL, checked; raises one `DataError` that lists faulty ones.

    Args:
        path: the file, or shards.
        folder: the folder that image paths start from.
    """
    digest = hashlib.sha256(f"{FORMAT} {folder.absolute()} {content_fingerprint(path)}".encode())
    file = _file(path, folder, digest.hexdigest())
    with _alone(file):
        if not file.is_file():
            draft = file.with_suffix(".part")
            try:
                _write(path, folder, draft)
                draft.replace(file)
            finally:
                draft.unlink(missing_ok=True)
        file.touch()
        table = _mapped(file)
    _forget(file)
    store = RowStore(path, folder, digest.hexdigest(), file, table, np.arange(len(table)))
    return replace(store, key=_check_images(store))


def _mapped(file: Path) -> Any:
    with pa.memory_map(str(file)) as source:
        return pa.ipc.open_file(source).read_all()


def _reopened(path: Path, folder: Path, key: str, file: Path, kept: Any) -> RowStore:
    return RowStore(path, folder, key, file, _mapped(file), kept)


def _write(path: Path, folder: Path, draft: Path) -> None:
    """Check all rows and write them; raises one `DataError` that lists the faulty ones."""
    problems: list[str] = []
    with pa.OSFile(str(draft), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        for block in _blocks(read_rows(path)):
            for number, row in block:
                if problem := row_problem(row, folder):
                    problems.append(f"{row_label(row, number)}: {problem}")
            if not problems:
                writer.write_batch(_batch([row for _, row in block]))
    try:
        raise_all(problems, f"{path}: rows that can't be trained on")
    except UserError as error:
        raise DataError(str(error)) from None


def _blocks(rows: Iterator[Row]) -> Iterator[list[tuple[int, Row]]]:
    """Numbered rows, some thousands at a time."""
    block: list[tuple[int, Row]] = []
    for numbered in enumerate(rows):
        block.append(numbered)
        if len(block) == BLOCK:
            yield block
            block = []
    if block:
        yield block


def _batch(rows: list[Row]) -> Any:
    texts = [[turn["value"] for turn in row["conversations"]] for row in rows]
    columns = {
        "row": [json.dumps(row).encode() for row in rows],
        "images": [image_names(row) for row in rows],
        "bytes": [sum(len(text.encode()) for text in turns) for turns in texts],
        "turns": [len(turns) for turns in texts],
    }
    return pa.RecordBatch.from_pydict(columns, schema=SCHEMA)


def _check_images(store: RowStore) -> str:
    """A digest of the images' sizes and dates; raises if one has gone since rows were checked."""
    images = store.table["images"].combine_chunks()
    named = images.flatten().dictionary_encode()  # each file is looked at once
    stats = [_stat(store.folder, name) for name in named.dictionary.to_pylist()]
    gone = np.isin(named.indices.to_numpy(), [i for i, stat in enumerate(stats) if stat is None])
    if gone.any():
        problems = []
        for number in np.unique(images.value_parent_indices().to_numpy()[gone]).tolist():
            row = store[number]
            problems.append(f"{row_label(row, number)}: {row_problem(row, store.folder)}")
        try:
            raise_all(problems, f"{store.path}: rows that can't be trained on")
        except UserError as error:
            raise DataError(str(error)) from None
    digest = hashlib.sha256(f"{store.key} {stats}".encode())
    return digest.hexdigest()


def _stat(folder: Path, name: str) -> tuple[int, int] | None:
    """Size and date of an image; None where there is no such file. A Path takes twice as long."""
    try:
        found = os.stat(os.path.join(folder, name))  # noqa: PTH116, PTH118
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


# ---- files ----


def _file(path: Path, folder: Path, key: str) -> Path:
    """The Arrow file of a key; what is called alike in its first part belongs to the same data."""
    place = hashlib.sha256(f"{path.absolute()} {folder.absolute()}".encode()).hexdigest()[:16]
    return cache_folder() / f"{place}-{key[:32]}.arrow"


def _alone(file: Path) -> FileLock:
    """Let one process make a file; the others wait, and find it."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{file.parent}: rows are kept there, mapped into memory, but it can't be made "
            f"({error}). Let HF_HOME name a folder that can be written to."
        ) from error
    return FileLock(file.with_suffix(f"{file.suffix}.lock"))


def _forget(file: Path) -> None:
    """Remove what was made of earlier content of the same data, and what has long not been used."""
    place, _, _ = file.name.partition("-")
    files = sorted(file.parent.glob("*.arrow"), key=_last_use)
    lately = files[-KEPT:]
    for old in files:
        if old != file and (old not in lately or old.name.startswith(f"{place}-")):
            for part in file.parent.glob(f"{old.stem}*"):
                part.unlink(missing_ok=True)  # who has it mapped keeps it


def _last_use(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:  # another process forgets, too
        return 0
