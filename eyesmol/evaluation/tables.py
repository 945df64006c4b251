"""Tables of pictures and molecules: CSV, TSV and JSON Lines, columns by any name that is in use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from eyesmol.outputs import read_rows

__all__ = ["IMAGE_COLUMNS", "TABLE_ENDINGS", "expected_columns", "first_of", "plain_names",
           "table_rows"]  # fmt: skip

# In the order in which they are looked for, in any case.
IMAGE_COLUMNS = ("image", "file", "filename", "file_name", "file_path", "image_path", "image_name",
                 "path", "image_id", "name", "id")  # fmt: skip
TABLE_ENDINGS = (".csv", ".tsv", ".jsonl")


def table_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers and rows.

    Raises:
        OutputError: the file cannot be read, is no table, or has a broken line.
    """
    yield from read_rows(path)


def plain_names(row: Mapping[Any, Any]) -> dict[str, Any]:
    """The row with its columns' names in small letters, without blanks around them."""
    return {str(name).strip().lower(): value for name, value in row.items()}


def first_of(row: Mapping[str, Any], names: Iterable[str]) -> Any:
    """The value of the first of some columns that has one; None where none has."""
    return next((row[name] for name in names if row.get(name) not in (None, "")), None)


def expected_columns(what: str, found: Iterable[str], names: Iterable[str]) -> str:
    """Words for a table that lacks a column."""
    had, expected = ", ".join(found) or "none", ", ".join(names)
    return f"{what}: found the columns {had}; expected one of {expected}"
