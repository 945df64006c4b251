"""Tables on disk: a Parquet file whose rows are a dataclass, written and read in a stream.

The length of a table does not matter: a row group is in memory at a time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from eyesmol.atomic import atomic_path
from eyesmol.exceptions import InputError

__all__ = ["ROW_GROUP", "Table", "Writer", "read_batches"]

ROW_GROUP = 2_000  # rows: some megabytes with molfiles, the most that is ever held in memory

Row = TypeVar("Row", bound=Any)  # a dataclass


def read_batches(
    parquet: pq.ParquetFile, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """The rows of a file, some thousand at a time.

    Row group by row group: one reader over all of them keeps a part of each until the end.
    """
    for group in range(parquet.num_row_groups):
        yield from parquet.iter_batches(ROW_GROUP, row_groups=[group], columns=columns)


class Writer(Generic[Row]):
    """Adds rows to a table that is being written."""

    def __init__(self, file: pq.ParquetWriter, schema: pa.Schema) -> None:
        self._file, self._schema = file, schema
        self._rows: list[dict[str, Any]] = []

    def add(self, row: Row) -> None:
        """Add one row, at the end."""
        self._rows.append(dataclasses.asdict(row))
        if len(self._rows) == ROW_GROUP:
            self.flush()

    def flush(self) -> None:
        """Put on disk what is held."""
        self._file.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows.clear()


@dataclass(frozen=True)
class Table(Generic[Row]):
    """A kind of table.

    Attributes:
        name: of its file in a folder, such as ``catalogue.parquet``.
        what: the table, in messages: ``catalogue``.
        made_by: the commands that write it, in messages.
        schema: its columns; they are the fields of the rows.
        required: columns that a file must have. It may lack the others, and what it has besides is
            passed over.
        parse: a row from the values of its columns.

            Raises:
                ValueError: they make no row; the message says why.
    """

    name: str
    what: str
    made_by: str
    schema: pa.Schema
    required: Sequence[str]
    parse: Callable[[dict[str, Any]], Row]

    @contextmanager
    def writer(self, folder: Path) -> Iterator[Writer[Row]]:
        """Write the table of a folder, which is made if need be; it appears when the block ends.

        A block that raises leaves what was there.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with (
            atomic_path(folder / self.name) as draft,
            pq.ParquetWriter(draft, self.schema, compression="zstd") as file,
        ):
            rows: Writer[Row] = Writer(file, self.schema)
            yield rows
            rows.flush()

    def file(self, path: Path) -> Path:
        """The Parquet file of a table given as its folder or as the file itself.

        Raises:
            InputError: nothing there.
        """
        file = path / self.name if path.is_dir() else path
        if not file.is_file():
            raise InputError(
                f"{path}: no {self.what} there; expected a folder with {self.name}, as "
                f"{self.made_by} it, or a Parquet file of the same columns"
            )
        return file

    def read(self, path: Path) -> Iterator[Row]:
        """Every row, in order.

        Raises:
            InputError: nothing there, no Parquet file, a required column is missing, a column is of
                another type, or a row is none.
        """
        file = self.file(path)
        number = 0
        with self._opened(file) as parquet:
            names = parquet.schema_arrow.names
            if missing := [name for name in self.required if name not in names]:
                raise InputError(
                    f"{file}: found the columns {', '.join(names)}; expected {', '.join(missing)} "
                    "too"
                )
            self._check_types(file, parquet.schema_arrow)
            columns = [name for name in self.schema.names if name in names]
            for batch in read_batches(parquet, columns):
                for values in batch.to_pylist():
                    number += 1
                    yield self._parsed(file, number, values)

    def column(self, path: Path, name: str) -> Iterator[Any]:
        """The values of one column, in order; none where there is no such column."""
        with self._opened(self.file(path)) as parquet:
            if name in parquet.schema_arrow.names:
                for batch in read_batches(parquet, [name]):
                    yield from batch.column(0).to_pylist()

    def count(self, path: Path) -> int:
        """Rows, by Parquet's own metadata."""
        return int(pq.read_metadata(self.file(path)).num_rows)

    def _parsed(self, file: Path, number: int, values: dict[str, Any]) -> Row:
        try:
            return self.parse(values)
        except ValueError as error:
            raise InputError(f"{file}, row {number}: {error}") from None

    @contextmanager
    def _opened(self, file: Path) -> Iterator[pq.ParquetFile]:
        """The file; what Arrow says about a broken one is said about the file."""
        try:
            parquet = pq.ParquetFile(file)
        except pa.ArrowInvalid as error:
            raise InputError(f"{file}: not a whole Parquet file: {error}") from None
        try:
            with parquet:
                yield parquet
        except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
            raise InputError(
                f"{file}: cannot be read: {error}; expected UTF-8 text in every column, as "
                f"{self.made_by} it; copy it or make it again"
            ) from None

    def _check_types(self, file: Path, found: pa.Schema) -> None:
        for column in found:
            if column.name not in self.schema.names:
                continue
            wanted = self.schema.field(column.name).type
            if _plain(column.type) != _plain(wanted):
                expected = "text" if pa.types.is_string(wanted) else "lists of text"
                raise InputError(
                    f"{file}: found {column.type} in the column {column.name}; expected {expected}"
                )


def _plain(kind: pa.DataType) -> str:
    """A type of text or of lists of it; Arrow has several that hold the same."""
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "text"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"list of {_plain(kind.value_type)}"
    return str(kind)
