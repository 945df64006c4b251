"""Rows into a Parquet file, whole or not at all, and out of one; in a stream both ways."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from eyesmol.atomic import atomic_path

__all__ = ["ROW_GROUP", "RowWriter", "read_batches"]

ROW_GROUP = 2_000  # rows: some megabytes with molfiles, the most that is ever held in memory

Row = TypeVar("Row", bound=Any)  # a dataclass
Self = TypeVar("Self", bound="RowWriter[Any]")


def read_batches(
    parquet: pq.ParquetFile, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """The rows of a file, some thousand at a time.

    Row group by row group: one reader over all of them keeps a part of each until the end.
    """
    for group in range(parquet.num_row_groups):
        yield from parquet.iter_batches(ROW_GROUP, row_groups=[group], columns=columns)


class RowWriter(Generic[Row]):
    """Writes a file that appears when the block ends well.

    Args:
        path: the file; its folder is made if need be.
        schema: its columns are the fields of the dataclass that is added.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path, self._schema = path, schema
        self._rows: list[dict[str, Any]] = []
        self._open = ExitStack()

    def add(self, row: Row) -> None:
        """Add one row, at the end."""
        self._rows.append(asdict(row))
        if len(self._rows) == ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows.clear()

    def __enter__(self: Self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as opening:
            draft = opening.enter_context(atomic_path(self._path))
            self._writer = opening.enter_context(
                pq.ParquetWriter(draft, self._schema, compression="zstd")
            )
            self._open = opening.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._open.callback(self._flush)  # what fails in it leaves no file either
        self._open.__exit__(kind, error, trace)
