"""The answers into the catalogue's columns `visual_description` and `visual_model`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_preprocess.catalogue.row_writer import read_batches
from data_preprocess.describe.journal import Journal
from data_preprocess.describe.question import PictureDescription

__all__ = ["write_back"]

_COLUMNS = ("visual_description", "visual_model")


def write_back(file: Path, journal: Journal) -> int:
    """Rewrite a catalogue with its answers, under a temporary name first; returns how many it has.

    All other columns stay as they are, and so does a description that no call of the journal gave.
    Where nothing is new the file is not touched.
    """
    temporary = file.with_name(f"{file.name}.tmp")
    described, changed = 0, False
    with pq.ParquetFile(file) as old:
        schema = old.schema_arrow
        for name in _COLUMNS:
            if name not in schema.names:
                schema = schema.append(pa.field(name, pa.string()))
        try:
            with pq.ParquetWriter(temporary, schema, compression="zstd") as new:
                for batch in read_batches(old):
                    filled = _filled(pa.Table.from_batches([batch]), journal).cast(schema)
                    columns = [filled[name].to_pylist() for name in _COLUMNS]
                    before = [_column(batch, name) for name in _COLUMNS]
                    changed |= columns != before
                    described += sum(bool(text) for text in columns[0])
                    new.write_table(filled)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    if changed:
        temporary.replace(file)
    else:
        temporary.unlink()
    return described


def _filled(table: pa.Table, journal: Journal) -> pa.Table:
    """The table with both columns at their places, or at its end where it had none."""
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
