"""The answers into the catalogue's columns `visual_description` and `visual_model`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_preprocess.catalogue.table import read_batches
from data_preprocess.describe.journal import Journal
from data_preprocess.describe.question import PictureDescription
from eyesmol.atomic import atomic_path

__all__ = ["write_back"]

_COLUMNS = ("visual_description", "visual_model")


def write_back(file: Path, journal: Journal) -> int:
    """Rewrite a catalogue with its answers, in one step; returns how many it has.

    All other columns stay as they are, and so does a description that no call of the journal gave.
    Where nothing is new the file is not touched.
    """
    with pq.ParquetFile(file) as table:
        described, changed = _described(table, journal)
    if changed:
        with atomic_path(file) as draft:
            _rewrite(file, draft, journal)
    return described


def _rewrite(file: Path, draft: Path, journal: Journal) -> None:
    with pq.ParquetFile(file) as old:
        schema = old.schema_arrow
        for name in _COLUMNS:
            if name not in schema.names:
                schema = schema.append(pa.field(name, pa.string()))
        with pq.ParquetWriter(draft, schema, compression="zstd") as new:
            for batch in read_batches(old):
                new.write_table(_filled(pa.Table.from_batches([batch]), journal).cast(schema))


def _described(file: pq.ParquetFile, journal: Journal) -> tuple[int, bool]:
    """How many rows will have a description, and whether any of them is new."""
    names = [name for name in ("image", *_COLUMNS) if name in file.schema_arrow.names]
    described, changed = 0, False
    for batch in read_batches(file, names):
        filled = _filled(pa.Table.from_batches([batch]), journal)
        columns = [_column(filled, name) for name in _COLUMNS]
        changed |= columns != [_column(batch, name) for name in _COLUMNS]
        described += sum(bool(text) for text in columns[0])
    return described, changed


def _filled(table: pa.Table, journal: Journal) -> pa.Table:
    """The table with both columns at their positions, or at its end where it had none."""
    pairs = list(zip(*(_column(table, name) for name in _COLUMNS), strict=True))
    for row, image in enumerate(_column(table, "image")):
        if image and (found := journal.answer(image)):
            fields, model = found
            pairs[row] = PictureDescription.model_validate(fields).text(), model
    for name, values in zip(_COLUMNS, zip(*pairs, strict=True), strict=True):
        column = pa.array(values, pa.string())
        if name in table.column_names:
            table = table.set_column(table.column_names.index(name), name, column)
        else:
            table = table.append_column(name, column)
    return table


def _column(rows: pa.Table | pa.RecordBatch, name: str) -> list[Any]:
    if name not in rows.schema.names:
        return [None] * len(rows)
    values: list[Any] = rows.column(name).to_pylist()
    return values
