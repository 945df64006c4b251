"""Recognitions as files, written as they come, and never half finished, and as a DataFrame.

A run keeps a journal beside its output (``out.sdf.part``, JSON Lines whatever the output is), which
it locks. When the last image is read the journal becomes the output and goes away. A run that was
stopped finds its journal and resumes.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, TextIO

from eyesmol.atomic import atomic_path

if TYPE_CHECKING:
    import pandas

    from eyesmol.recognition import Recognition

# What computes is imported where it is used: the command's --help needs the names of formats alone.

__all__ = [
    "FORMATS",
    "Counts",
    "Journal",
    "OutputError",
    "check_output",
    "lock_or_refuse",
    "read_rows",
    "replacing",
    "to_dataframe",
    "write_as",
]


class OutputError(Exception):
    """An output that cannot be written, or a file of rows that cannot be read."""


@dataclass
class Counts:
    """What came out: rows, those with an error, those without a molecule for another reason."""

    rows: int = 0
    failed: int = 0
    without: int = 0

    @property
    def molecules(self) -> int:
        return self.rows - self.failed - self.without

    def add(self, row: dict[str, Any]) -> None:
        """Count a row of `Recognition.to_dict`."""
        self.rows += 1
        if row["error"] is not None:
            self.failed += 1
        elif not row.get("smiles"):
            self.without += 1

    def counted(self, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The same rows, counted as they go by."""
        for row in rows:
            self.add(row)
            yield row


# ---- formats ----


def _write_jsonl(file: TextIO, rows: Iterable[dict[str, Any]]) -> None:
    for row in rows:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")


# What a table and an SDF hold of a row: all but the graph and the answer.
_COLUMNS = (
    "image", "page", "box", "smiles", "cxsmiles", "smiles_from", "smiles_why", "written_smiles",
    "graph_smiles", "confidence", "raw_confidence", "reason", "withheld_smiles", "problems",
    "error", "seconds", "memory_mib",
)  # fmt: skip


def _as_text(row: dict[str, Any], name: str) -> Any:
    """A field of one line; lists become text."""
    if name == "problems":
        return "; ".join(row[name])
    value = row.get(name)
    return " ".join(map(str, value)) if isinstance(value, list) else value


# What a spreadsheet would take for the beginning of a formula. No SMILES begins so.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def _as_cell(value: Any) -> Any:
    """Text that a spreadsheet will not run: the usual apostrophe before it, where it matters."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _from_cell(value: str) -> str:
    return value[1:] if value[:1] == "'" and value[1:].startswith(_FORMULA) else value


def _write_carbon(file: TextIO, rows: Iterable[dict[str, Any]]) -> None:
    """CARBON records: what MolRecBench-Wild scores; see `eyesmol.chem.carbon`. One an image."""
    from eyesmol.chem.carbon import Carbon
    from eyesmol.recognition import Recognition

    for row in rows:
        graph = Recognition.from_dict(row).graph
        record = (Carbon.of_graph(graph) if graph else Carbon()).to_dict()
        named = {"id": Path(row["image"]).name, "smiles": row["smiles"] or "", **record}
        file.write(json.dumps(named, ensure_ascii=False) + "\n")


def _write_csv(file: TextIO, rows: Iterable[dict[str, Any]], delimiter: str = ",") -> None:
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row in rows:
        writer.writerow([_as_cell(_as_text(row, name)) for name in _COLUMNS])


def _write_tsv(file: TextIO, rows: Iterable[dict[str, Any]]) -> None:
    _write_csv(file, rows, "\t")


def _write_smi(file: TextIO, rows: Iterable[dict[str, Any]]) -> None:
    """SMILES and the image's name. An image without a molecule has no line: see `Counts`."""
    for row in rows:
        if row["smiles"]:
            file.write(f"{row['smiles']}\t{_one_line(row['image'])}\n")


def _write_mol(file: TextIO, rows: Iterable[dict[str, Any]]) -> None:
    """The one molecule."""
    found = list(islice(rows, 2))
    if len(found) != 1:
        several = "several molecules" if found else "no image"
        raise OutputError(f"found {several}, expected one in a .mol: give an --out with .sdf")
    if not found[0]["molblock"]:
        why = found[0]["error"] or found[0]["reason"]
        raise OutputError(f"{found[0]['image']}: no molecule to write: {why}")
    _write_molblock(file, found[0])


def _write_sdf(file: TextIO, rows: Iterable[dict[str, Any]]) -> None:
    """One record an image; one that gave no molecule is a record without atoms."""
    for row in rows:
        _write_molblock(file, row)
        for name in _COLUMNS:
            value = _as_text(row, name)
            if value not in (None, ""):
                file.write(f">  <{name}>\n{_sdf_line(str(value))}\n\n")
        file.write("$$$$\n")


def _write_molblock(file: TextIO, row: dict[str, Any]) -> None:
    from eyesmol.chem.graph import MolGraph
    from eyesmol.chem.molfile import graph_to_molblock

    _, _, rest = (row["molblock"] or graph_to_molblock(MolGraph())).partition("\n")
    file.write(f"{_sdf_line(Path(row['image']).name)[:80]}\n{rest.rstrip()}\n")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _sdf_line(text: str) -> str:
    """One line, since a blank one ends an SDF field, and none that looks like SDF's own marks."""
    line = _one_line(text)
    return f" {line}" if line.startswith(("$$$$", ">")) else line


_LONGEST_CELL = 32_767  # characters that Excel takes


def _write_xlsx(file: BinaryIO, rows: Iterable[dict[str, Any]]) -> None:
    """The table that CSV holds; text stays text, whatever it begins with."""
    import xlsxwriter

    # Rows go to the disk as they come.
    with xlsxwriter.Workbook(file, {"constant_memory": True}) as book:
        sheet = book.add_worksheet("molecules")
        sheet.freeze_panes(1, 1)
        sheet.set_column(0, len(_COLUMNS) - 1, 20)
        sheet.write_row(0, 0, _COLUMNS, book.add_format({"bold": True}))
        for number, row in enumerate(rows, start=1):
            for column, name in enumerate(_COLUMNS):
                value = _as_text(row, name)
                if isinstance(value, int | float):
                    sheet.write_number(number, column, value)
                elif value:
                    sheet.write_string(number, column, value[:_LONGEST_CELL])


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
        "problems": pa.list_(text), "seconds": number, "memory_mib": number,
        "width": count, "height": count,
        "atoms": pa.list_(atom), "bonds": pa.list_(bond),
    }  # fmt: skip
    from eyesmol.recognition import Recognition

    names = Recognition("-").to_dict()
    return pa.schema([(name, kinds.get(name, text)) for name in names])


_TEXT: dict[str, Callable[[TextIO, Iterable[dict[str, Any]]], None]] = {
    ".smi": _write_smi,
    ".mol": _write_mol,
    ".sdf": _write_sdf,
    ".csv": _write_csv,
    ".tsv": _write_tsv,
    ".jsonl": _write_jsonl,
    ".carbon.jsonl": _write_carbon,
}
_BYTES: dict[str, Callable[[BinaryIO, Iterable[dict[str, Any]]], None]] = {
    ".xlsx": _write_xlsx,
    ".parquet": _write_parquet,
}
FORMATS = (*_TEXT, *_BYTES)
_NEEDS = {".xlsx": "xlsxwriter", ".parquet": "pyarrow"}  # of the extra `tables`


def _ending(path: Path) -> str:
    """The ending that names the format: ``.jsonl``, or the two of ``.carbon.jsonl``."""
    name = path.name.lower()
    return ".carbon.jsonl" if name.endswith(".carbon.jsonl") else path.suffix.lower()


def check_output(path: Path) -> None:
    """Refuse an output early, before a model is loaded for it.

    Raises:
        OutputError: an ending that is not known, or a folder that cannot be made.
    """
    if _ending(path) not in FORMATS:
        raise OutputError(
            f"{path}: found the ending {path.suffix!r}, expected one of {', '.join(FORMATS)}"
        )
    _check_installed(path)
    if path.is_dir():
        raise OutputError(f"{path}: is a folder, expected a file to write")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path.parent}: cannot be made: {error}") from None


def _check_installed(path: Path) -> None:
    needed = _NEEDS.get(path.suffix.lower())
    if needed and find_spec(needed) is None:
        raise OutputError(
            f"{path}: {path.suffix} needs {needed}: pip install 'eyesmol[tables]'"
        )  # fmt: skip


@contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """A text file under a temporary name, moved into place when all went well."""
    with atomic_path(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        yield file


def write_as(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Rows (`Recognition.to_dict`) into a file, in the format that its ending names."""
    check_output(path)
    ending = _ending(path)
    if ending in _BYTES:
        with atomic_path(path) as draft, draft.open("wb") as data:
            _BYTES[ending](data, rows)
        return
    with replacing(path) as file:
        _TEXT[ending](file, rows)


def to_dataframe(results: Iterable[Recognition] | Recognition) -> pandas.DataFrame:
    """A table with a row for each result: what a CSV holds, and the molblock.

    Args:
        results: of `Recognizer.recognize`, which are read meanwhile.

    Raises:
        OutputError: pandas is not installed.
    """
    if find_spec("pandas") is None:
        raise OutputError("a DataFrame needs pandas: pip install 'eyesmol[tables]'")
    import pandas

    from eyesmol.recognition import Recognition

    results = [results] if isinstance(results, Recognition) else results
    columns = [*_COLUMNS, "molblock"]
    return pandas.DataFrame([result.to_dict() for result in results], columns=columns)


# ---- the journal ----


class Journal:
    """The rows of a run, safe on disk after each one, and the way to resume after a stop.

    ::

        with Journal(Path("out.sdf"), settings, images) as journal:
            todo = images[journal.done :]
            for recognition in reader.recognize(todo):
                journal.add(recognition)
            counts = journal.finish()

    Only one process at a time has a journal: it is locked, and the lock goes with the process.

    Args:
        output: the file that the run is for.
        settings: what the answers depend on (model, form, limits). A journal that was begun with
            other settings is not continued.
        images: names of all images of this run; the journal's must be the first of them. What was
            found on one of them is a row each.
        overwrite: replace an output that is there.

    Attributes:
        done: how many of the images an earlier run has read.

    Raises:
        OutputError: another process is writing this output, it is there already, or it cannot be
            written.
    """

    def __init__(
        self, output: Path, settings: dict[str, Any], images: list[str], *, overwrite: bool = False
    ) -> None:
        check_output(output)
        self.output = output
        self.path = output.with_name(output.name + ".part")
        self.done = 0
        self._file = self._locked()
        if output.exists() and not overwrite:
            if not self.path.stat().st_size:
                self._remove()
            self._file.close()
            raise OutputError(
                f"{output}: is there already; --overwrite replaces it, another --out keeps it"
            )
        # A line that was cut off by the stop goes, and a page that may have been read in part.
        kept = self._readable_bytes(settings, images)
        self._file.truncate(kept)
        if not kept:
            self._write({"settings": settings})

    def _locked(self) -> TextIO:
        """The journal, opened for this process alone."""
        while True:
            file = self.path.open("a", encoding="utf-8", newline="")
            try:
                lock_or_refuse(file, self.output)
                # Another run may have finished, and removed it, just before it could be locked.
                if _is_at(file, self.path):
                    return file
            except BaseException:
                file.close()
                raise
            file.close()

    def _readable_bytes(self, settings: dict[str, Any], images: list[str]) -> int:
        """Length of an earlier journal that this run can build on; sets `done`."""
        from eyesmol.image.loading import whole_of

        starts: list[int] = []  # of the rows of each image
        at = 0
        last: dict[str, Any] = {}
        with self.path.open("rb") as file:
            for line in file:
                row = _journal_row(line)
                if row is None:
                    break
                page = whole_of(str(row.get("image")))
                if not at:
                    if row.get("settings") != settings:
                        return 0
                elif images[len(starts) : len(starts) + 1] in ([row["image"]], [page]):
                    starts.append(at)
                elif not (last.get("box") and whole_of(last["image"]) == page):
                    return 0
                at, last = at + len(line), row
        if starts and last.get("box"):
            at = starts.pop()
        self.done = len(starts)
        return at

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

    def finish(self) -> Counts:
        """Turn the journal into the output and remove it."""
        counts = Counts()
        write_as(self.output, counts.counted(self.rows()))
        self._remove()
        return counts

    def _remove(self) -> None:
        if os.name == "nt":  # which removes no file that is open
            self._file.close()
        self.path.unlink()
        self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _journal_row(line: bytes) -> dict[str, Any] | None:
    """A whole line of a journal; None of one that was cut off."""
    try:
        row = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    return row if isinstance(row, dict) and row.keys() & {"settings", "image"} else None


def lock_or_refuse(file: IO[Any], output: Path) -> None:
    """Lock an open file for this process; closing it, or a kill, releases it.

    A file system without locks is trusted to have one process at a time.

    Args:
        file: to be locked.
        output: what it is locked for, for the message.

    Raises:
        OutputError: another process has it.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            at = os.lseek(file.fileno(), 0, os.SEEK_CUR)
            os.lseek(file.fileno(), 1 << 40, os.SEEK_SET)  # beyond what anybody reads
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            os.lseek(file.fileno(), at, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        raise OutputError(
            f"{output}: another process is writing it; wait for that, or give another --out"
        ) from None
    except OSError:
        return


def _is_at(file: IO[Any], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


# ---- reading rows back ----


_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_READABLE = (".jsonl", *_DELIMITERS, ".parquet")


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers and rows of a JSON Lines, CSV, TSV or Parquet file.

    Raises:
        OutputError: the file cannot be read, is none of these, or has a broken line.
    """
    ending = path.suffix.lower()
    if ending not in _READABLE:
        raise OutputError(
            f"{path}: found the ending {path.suffix!r}, expected {', '.join(_READABLE)}"
        )
    if ending == ".parquet":
        yield from _parquet_rows(path)
        return
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if ending in _DELIMITERS:
                reader = csv.DictReader(file, delimiter=_DELIMITERS[ending])
                for row in reader:
                    yield (
                        reader.line_num,
                        {
                            name: _from_cell(value) if isinstance(value, str) else value
                            for name, value in row.items()
                        },
                    )
                return
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, _json_row(path, number, line)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise OutputError(f"{path}: cannot be read: {error}") from None


def _parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    _check_installed(path)
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
