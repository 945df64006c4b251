"""A catalogue of compounds as a source of the builder; read as it goes, however long it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_preprocess.catalogue.compounds import Compound, catalogue_file, read_catalogue
from data_preprocess.catalogue.row_writer import read_batches
from data_preprocess.sources.files import Filed, Item, file_digest
from eyesmol.exceptions import InputError

__all__ = ["CompoundCatalogue"]


class CompoundCatalogue:
    """What ``collect`` and ``import`` write.

    Args:
        folder: with ``catalogue.parquet``, or the Parquet file.

    Raises:
        InputError: no catalogue there, or its columns are others.
    """

    def __init__(self, folder: Path) -> None:
        self._file = catalogue_file(folder).absolute()
        next(_rows(self._file), None)  # what is wrong with its columns is said before any work

    @property
    def name(self) -> str:
        return self._file.parent.name

    def describe(self) -> dict[str, Any]:
        """Rows are counted by Parquet's own metadata, licences and the like from their columns."""
        licences = sorted({value for value in _column(self._file, "licence") if value})
        models = sorted({value for value in _column(self._file, "visual_model") if value})
        return {
            "name": self.name,
            "kind": "compound catalogue",
            "items": pq.read_metadata(self._file).num_rows,
            "groups": sum(1 for value in _column(self._file, "group") if value),
            "licence": "; ".join(licences),
            "licences": licences,
            "visual_models": models,
            "sha256": file_digest(self._file),
        }

    def items(self) -> Iterator[Item]:
        folder = self._file.parent
        for row in _rows(self._file):
            yield Item(
                row.id,
                row.source,
                smiles=row.smiles or None,
                image=Filed(folder, row.image) if row.image else None,
                molfile=row.molfile or None,
                group=row.group or None,
                title=row.name or None,
                description=row.description or None,
                visual_description=row.visual_description or None,
            )


def _rows(file: Path) -> Iterator[Compound]:
    """The rows, with whatever Arrow says about a broken file said about the file."""
    try:
        _check_types(file)
        yield from read_catalogue(file)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise InputError(
            f"{file}: cannot be read: {error}; expected UTF-8 text in every column; collect or "
            "import it anew"
        ) from None
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error}; copy or collect it anew") from None


def _check_types(file: Path) -> None:
    with pq.ParquetFile(file) as parquet:
        for column in parquet.schema_arrow:
            text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
            if column.name in Compound.__dataclass_fields__ and not text:
                raise InputError(
                    f"{file}: found {column.type} in the column {column.name}; expected text"
                )


def _column(file: Path, name: str) -> Iterator[Any]:
    with pq.ParquetFile(file) as parquet:
        if name in parquet.schema_arrow.names:
            for batch in read_batches(parquet, [name]):
                yield from batch.column(0).to_pylist()
