"""Lists of compound ids: a column of a CSV, TSV or Parquet file, or a text file with one a line.

``CID2SMILES.csv`` of MoleculeSTM has the header ``,CID,SMILES``, other lists call their column
``cid``, ``chebi_id`` or only ``id``: the column is found by name, and the report says which it was.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_preprocess.catalogue.table import read_batches
from data_preprocess.collect.files import text_lines
from data_preprocess.tally import Tally
from eyesmol.exceptions import InputError

__all__ = ["CHEBI", "PUBCHEM", "IdKind", "IdList", "read_ids"]


@dataclass(frozen=True)
class IdKind:
    """What an id looks like.

    Attributes:
        name: for people.
        prefixes: that may stand before the number; in catalogues the first does.
        columns: names of its column, the likeliest first, without blanks, dashes and underscores.
    """

    name: str
    prefixes: tuple[str, ...]
    columns: tuple[str, ...]

    def parse(self, text: object) -> int | None:
        """The number of an id such as ``2244``, ``CID2244``, ``CHEBI:15377`` or ``2244.0``.

        (Parquet and CSV written by pandas have ``2244.0`` where the column has gaps.)
        """
        found = _ID.fullmatch(str(text).strip())
        if found is None or found.group(1).upper() not in ("", *self.prefixes):
            return None
        return int(found.group(2)) or None


# More digits are no id: PubChem's longest has nine. `re.ASCII`: other scripts' digits are no ids.
_ID = re.compile(r"([A-Za-z]*)[:_ ]?0*(\d{1,10})(?:\.0+)?", re.ASCII)

PUBCHEM = IdKind(
    "CID", ("CID",), ("cid", "pubchemcid", "compoundcid", "pubchemid", "compoundid", "id")
)
CHEBI = IdKind("ChEBI id", ("CHEBI",), ("chebiid", "chebi", "chebiaccession", "compoundid", "id"))


@dataclass
class IdList:
    """What a file of ids holds.

    Attributes:
        ids: each once, in the order of the file.
        where: they stood, in words.
        drops: rows that hold no id, or one that stood above already.
    """

    ids: list[int]
    where: str
    drops: Tally = field(default_factory=Tally)


def read_ids(path: Path, kind: IdKind, column: str | None = None) -> IdList:
    """Read a list of ids.

    Args:
        path: ``.csv``, ``.tsv`` (also ``.gz``), ``.parquet``, or any text file with one id a line.
        kind: of ids.
        column: its name; found by itself when left away.

    Raises:
        InputError: no such file, no such column, or not one id in it.
    """
    where, cells = _cells(path, kind, column)
    found = IdList([], where)
    seen: set[int] = set()
    for row, cell in cells:
        number = kind.parse(cell)
        if number is None:
            found.drops.add(f"not a {kind.name}", f"{path.name} {row}: {str(cell).strip()[:40]!r}")
        elif number in seen:
            found.drops.add(f"{kind.name} listed before", f"{path.name} {row}: {number}")
        else:
            seen.add(number)
            found.ids.append(number)
    if not found.ids:
        examples = "; ".join(
            example for _, drop in found.drops.items() for example in drop["examples"]
        )
        raise InputError(
            f"{path}: found no {kind.name} in {where} ({examples or 'it is empty'}); expected "
            f"numbers such as 2244 or {kind.prefixes[0]}:2244"
        )
    return found


def _cells(
    path: Path, kind: IdKind, column: str | None
) -> tuple[str, Iterator[tuple[str, object]]]:
    """Where the ids stand, and each with its position in the file."""
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    suffix = suffixes[-1] if suffixes else ""
    if suffix in (".parquet", ".pq"):
        return _parquet_cells(path, kind, column)
    if suffix in (".csv", ".tsv"):
        rows = csv.reader(text_lines(path), delimiter="," if suffix == ".csv" else "\t")
        header = next(rows, [])
        index = _column(path, kind, column, header)
        return f"column {header[index]!r}", _csv_cells(path, rows, index)
    if column is not None:
        raise InputError(f"{path}: a text file has no columns; leave --column {column} away")
    lines = ((f"line {n}", line) for n, line in enumerate(text_lines(path), start=1))
    return "its lines", ((position, line) for position, line in lines if line.strip())


def _csv_cells(path: Path, rows: Any, index: int) -> Iterator[tuple[str, object]]:
    try:
        for number, row in enumerate(rows, start=1):
            if row:
                yield f"row {number}", row[index] if index < len(row) else ""
    except csv.Error as error:
        raise InputError(f"{path}, line {rows.line_num}: not a table ({error})") from None


def _parquet_cells(
    path: Path, kind: IdKind, column: str | None
) -> tuple[str, Iterator[tuple[str, object]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        parquet = pq.ParquetFile(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: not a whole Parquet file: {error}") from None
    header = parquet.schema_arrow.names
    name = header[_column(path, kind, column, header)]

    def cells() -> Iterator[tuple[str, object]]:
        number = 0
        with parquet:
            for batch in read_batches(parquet, [name]):
                for value in batch.column(0).to_pylist():
                    number += 1
                    yield f"row {number}", value

    return f"column {name!r}", cells()


def _column(path: Path, kind: IdKind, wanted: str | None, header: Sequence[str]) -> int:
    """Which column of the header holds the ids."""
    plain = [re.sub(r"[^a-z0-9]", "", name.lower()) for name in header]
    if wanted is not None and wanted in header:
        return list(header).index(wanted)
    if wanted is None:
        for name in kind.columns:
            if name in plain:
                return plain.index(name)
    looked_for = wanted or ", ".join(kind.columns)
    raise InputError(
        f"{path}: found the columns {', '.join(map(repr, header)) or 'none'}; expected one called "
        f"{looked_for} (in any case); name yours with --column"
    )
