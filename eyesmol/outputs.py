"""Recognitions as files, written as they come, and never half finished: JSON Lines, CSV, SDF,
Parquet.

A run keeps a journal beside its output (``out.sdf.part``, JSON Lines whatever the output is). When
the last picture is read the journal becomes the output and goes away. A run that was stopped finds
its journal and goes on where it was.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, TextIO

from eyesmol.chem.graph import MolGraph
from eyesmol.chem.molfile import graph_to_molblock
from eyesmol.recognition import Recognition

__all__ = [
    "FORMATS",
    "Journal",
    "OutputError",
    "check_output",
    "read_rows",
    "replacing",
    "write_as",
]


class OutputError(Exception):
    """An output that cannot be written, or a file of rows that cannot be read."""


# ---- formats ----


def _write_jsonl(file: TextIO, rows: Iterable[dict[str, Any]]) -> None:
    for row in rows:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")


# What a table and an SDF hold of a row: all but the graph and the answer.
_CSV_COLUMNS = (
    "image", "page", "box", "smiles", "cxsmiles", "smiles_from", "smiles_why", "written_smiles",
    "graph_smiles", "confidence", "raw_confidence", "reason", "withheld_smiles", "problems",
    "error", "seconds",
)  # fmt: skip


def _as_text(row: dict[str, Any], name: str) -> Any:
    """A field of one line; lists become text."""
    if name == "problems":
        return "; ".join(row[name])
    value = row.get(name)
    return " ".join(map(str, value)) if isinstance(value, list) else value


def _write_csv(file: TextIO, rows: Iterable[dict[str, Any]]) -> None:
    writer = csv.DictWriter(file, _CSV_COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _as_text(row, name) for name in _CSV_COLUMNS})


_NO_ATOMS = graph_to_molblock(MolGraph())


def _write_sdf(file: TextIO, rows: Iterable[dict[str, Any]]) -> None:
    """One record a picture; one that gave no molecule is a record without atoms."""
    for row in rows:
        _, _, rest = (row["molblock"] or _NO_ATOMS).partition("\n")
        file.write(f"{_sdf_line(Path(row['image']).name)[:80]}\n{rest.rstrip()}\n")
        for name in _CSV_COLUMNS:
            value = _as_text(row, name)
            if value not in (None, ""):
                file.write(f">  <{name}>\n{_sdf_line(str(value))}\n\n")
        file.write("$$$$\n")


def _sdf_line(text: str) -> str:
    """One line, since a blank one ends an SDF field, and none that looks like SDF's own marks."""
    line = " ".join(text.split())
    return f" {line}" if line.startswith(("$$$$", ">")) else line


_ROW_GROUP = 1000  # rows of a Parquet file that are in memory at a time


def _write_parquet(file: BinaryIO, rows: Iterable[dict[str, Any]]) -> None:
    """All of each row, atoms and bonds as lists of structures."""
    import pyarrow
    import pyarrow.parquet

    schema = _parquet_schema()
    # A dictionary of molblocks is as large as they are.
    with pyarrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        rows = iter(rows)
        while chunk := list(islice(rows, _ROW_GROUP)):
            writer.write_table(pyarrow.Table.from_pylist(chunk, schema=schema))


def _parquet_schema() -> Any:
    import pyarrow as pa

    text, number, count = pa.string(), pa.float64(), pa.int32()
    atom = pa.struct([("label", text), ("x", number), ("y", number), ("confidence", number)])
    bond = pa.struct([("begin", count), ("end", count), ("order", pa.int8()),
                      ("confidence", number)])  # fmt: skip
    kinds = {
        "page": count, "box": pa.list_(count), "confidence": number, "raw_confidence": number,
        "problems": pa.list_(text), "seconds": number, "width": count, "height": count,
        "atoms": pa.list_(atom), "bonds": pa.list_(bond),
    }  # fmt: skip
    names = Recognition("-").to_dict()
    return pa.schema([(name, kinds.get(name, text)) for name in names])


_TEXT: dict[str, Callable[[TextIO, Iterable[dict[str, Any]]], None]] = {
    ".jsonl": _write_jsonl,
    ".csv": _write_csv,
    ".sdf": _write_sdf,
}
FORMATS = (*_TEXT, ".parquet")


def check_output(path: Path) -> None:
    """Refuse an output early, before a model is loaded for it.

    Raises:
        OutputError: an ending that is not known, or a folder that cannot be made.
    """
    if path.suffix.lower() not in FORMATS:
        raise OutputError(
            f"{path}: found the ending {path.suffix!r}, expected one of {', '.join(FORMATS)}; "
            "or leave --out away to have JSON Lines printed"
        )
    if path.suffix.lower() == ".parquet":
        _need_pyarrow(path)
    if path.is_dir():
        raise OutputError(f"{path}: is a folder, expected a file to write")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path.parent}: cannot be made: {error}") from None


def _need_pyarrow(path: Path) -> None:
    if find_spec("pyarrow") is None:
        raise OutputError(f"{path}: Parquet needs pyarrow: pip install 'eyesmol[data]'")


@contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """A text file under a temporary name, moved into place when all went well."""
    with (
        _replacing_bytes(path) as file,
        io.TextIOWrapper(file, encoding="utf-8", newline="") as text,
    ):
        yield text
        text.flush()


@contextmanager
def _replacing_bytes(path: Path) -> Iterator[BinaryIO]:
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            yield file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_as(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Rows (`Recognition.to_dict`) into a file, in the format that its ending names."""
    check_output(path)
    if path.suffix.lower() == ".parquet":
        with _replacing_bytes(path) as data:
            _write_parquet(data, rows)
        return
    with replacing(path) as file:
        _TEXT[path.suffix.lower()](file, rows)


# ---- the journal ----


class Journal:
    """The rows of a run, safe on disk after each one, and the way to go on after a stop.

    ::

        with Journal(Path("out.sdf"), settings) as journal:
            todo = images[len(journal.done) :]
            for recognition in reader.recognize(todo):
                journal.add(recognition)
            journal.finish()

    Args:
        output: the file that the run is for.
        settings: what the answers depend on (model, form, limits). A journal that was begun with
            other settings is not continued.
        images: names of all pictures of this run; the journal's must be the first of them.

    Attributes:
        done: names of the pictures that an earlier run has read.
    """

    def __init__(self, output: Path, settings: dict[str, Any], images: list[str]) -> None:
        check_output(output)
        self.output = output
        self.path = output.with_name(output.name + ".part")
        self.done: list[str] = []
        kept = self._readable_lines(settings, images)
        self._file = self.path.open("r+" if kept else "w", encoding="utf-8", newline="")
        if kept:
            # A line that was cut off by the stop is written over.
            self._file.seek(kept)
            self._file.truncate()
        else:
            self._write({"settings": settings})

    def _readable_lines(self, settings: dict[str, Any], images: list[str]) -> int:
        """Bytes of an earlier journal that this run can build on; fills `done`."""
        if not self.path.is_file():
            return 0
        kept = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file):
                try:
                    row = json.loads(line) if line.endswith(b"\n") else None
                except ValueError:
                    row = None
                if not isinstance(row, dict):
                    break
                if number == 0:
                    if row.get("settings") != settings:
                        return 0
                elif number > len(images) or row.get("image") != images[number - 1]:
                    self.done.clear()
                    return 0
                else:
                    self.done.append(row["image"])
                kept += len(line)
        return kept

    def _write(self, row: dict[str, Any]) -> None:
        self._file.write(json.dumps(row, ensure_ascii=False) + "\n")
        self._file.flush()

    def add(self, recognition: Recognition) -> None:
        """Put a row on disk."""
        self._write(recognition.to_dict())

    def rows(self) -> Iterator[dict[str, Any]]:
        """All rows so far, read from disk one at a time."""
        with self.path.open(encoding="utf-8") as file:
            next(file)
            yield from map(json.loads, file)

    def finish(self) -> None:
        """Turn the journal into the output and remove it."""
        write_as(self.output, self.rows())
        self._file.close()
        self.path.unlink()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()


# ---- reading rows back ----


_READABLE = (".jsonl", ".csv", ".parquet")


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers and rows of a JSON Lines, CSV or Parquet file.

    Raises:
        OutputError: the file cannot be read, is none of the three, or has a broken line.
    """
    if path.suffix.lower() not in _READABLE:
        raise OutputError(
            f"{path}: found the ending {path.suffix!r}, expected {', '.join(_READABLE)}"
        )
    if path.suffix.lower() == ".parquet":
        yield from _parquet_rows(path)
        return
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix.lower() == ".csv":
                reader = csv.DictReader(file)
                for row in reader:
                    yield reader.line_num, dict(row)
                return
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, _json_row(path, number, line)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise OutputError(f"{path}: cannot be read: {error}") from None


def _parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    _need_pyarrow(path)
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            # One reader over all row groups would keep a part of each until the end.
            for group in range(file.num_row_groups):
                for batch in file.iter_batches(_ROW_GROUP, row_groups=[group]):
                    for row in batch.to_pylist():
                        number += 1
                        yield number, row
    except (OSError, pyarrow.ArrowException) as error:
        raise OutputError(f"{path}: cannot be read: {error}") from None


def _json_row(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise OutputError(f"{path}, line {number}: not JSON ({error})") from None
    if not isinstance(row, dict):
        raise OutputError(f"{path}, line {number}: found {type(row).__name__}, expected an object")
    return row
