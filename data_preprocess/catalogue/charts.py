"""Charts with questions about them: what ``collect pixmo`` writes and the builders mix in.

A folder with ``charts.parquet``, a row a picture with all its questions, and the pictures that its
rows name. It is written and read in a stream, so its length does not matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data_preprocess.catalogue.row_writer import RowWriter, read_batches
from eyesmol.exceptions import InputError

__all__ = ["CHARTS", "Chart", "ChartWriter", "charts_file", "read_charts"]

CHARTS = "charts.parquet"


@dataclass(frozen=True)
class Chart:
    """One picture and what is asked about it.

    Attributes:
        id: unique in its folder and fit for a file name.
        source: such as ``pixmo-docs charts``.
        licence: of picture and questions, as the source states it.
        image: path of the picture relative to the folder, ``/`` between its parts; read it with
            `data_preprocess.catalogue.compounds.read_file`.
        questions: at least one, none empty.
        answers: one for each question, none empty.
    """

    id: str
    source: str
    licence: str
    image: str
    questions: tuple[str, ...]
    answers: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in ("id", "source", "licence", "image"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty")
        if not self.questions or len(self.questions) != len(self.answers):
            raise ValueError(
                f"{len(self.questions)} questions and {len(self.answers)} answers; expected as "
                "many of the one as of the other, and at least one"
            )
        if not all(self.questions) or not all(self.answers):
            raise ValueError("an empty question or answer")


_LISTS = ("questions", "answers")
_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("id", "source", "licence", "image")]
    + [(name, pa.list_(pa.string())) for name in _LISTS]
)


class ChartWriter(RowWriter[Chart]):
    """Writes ``charts.parquet`` under a temporary name; it appears when the block ends well.

    >>> with ChartWriter(folder) as charts:  # doctest: +SKIP
    ...     charts.add(Chart("a", "mine", "CC0-1.0", "images/a.png", ("How many?",), ("3",)))
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / CHARTS, _SCHEMA)


def charts_file(path: Path) -> Path:
    """The Parquet file of a folder of charts given as the folder or as the file itself.

    Raises:
        InputError: nothing there.
    """
    file = path / CHARTS if path.is_dir() else path
    if not file.is_file():
        raise InputError(
            f"{path}: no charts there; expected a folder with {CHARTS}, as `collect pixmo` writes "
            "it, or a Parquet file of the same columns"
        )
    return file


def read_charts(path: Path) -> Iterator[Chart]:
    """Every chart, in order, a row group in memory at a time; other columns are passed over.

    Raises:
        InputError: no Parquet file there, a column is missing, or a row is no `Chart`.
    """
    file = charts_file(path)
    try:
        parquet = pq.ParquetFile(file)
    except pa.ArrowInvalid as error:
        raise InputError(f"{file}: not a whole Parquet file: {error}") from None
    with parquet:
        names = parquet.schema_arrow.names
        if missing := [name for name in _SCHEMA.names if name not in names]:
            raise InputError(
                f"{file}: found the columns {', '.join(names)}; expected {', '.join(missing)} too"
            )
        number = 0
        for batch in read_batches(parquet, _SCHEMA.names):
            for row in batch.to_pylist():
                number += 1
                try:
                    yield Chart(**row | {name: tuple(row[name] or ()) for name in _LISTS})
                except ValueError as error:
                    raise InputError(f"{file}, row {number}: {error}") from None
