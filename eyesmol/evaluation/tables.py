"""Tables of images and molecules: CSV, TSV, JSON Lines and JSON, columns by any name in use."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from eyesmol.image.loading import IMAGE_ENDINGS
from eyesmol.outputs import OutputError, read_rows

__all__ = ["IMAGE_COLUMNS", "TABLE_ENDINGS", "expected_columns", "first_of", "plain_names",
           "table_rows"]  # fmt: skip

# In the order in which they are looked for, in any case.
IMAGE_COLUMNS = ("image", "file", "filename", "file_name", "file_path", "image_path", "image_name",
                 "path", "image_id", "name", "id")  # fmt: skip
TABLE_ENDINGS = (".csv", ".tsv", ".jsonl")


def table_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers and rows of a table, or numbers and rows of a JSON list or object.

    A CSV or TSV whose first cell is the name of an image has no header: its columns are ``image``
    and ``smiles``.

    Raises:
        OutputError: the file cannot be read, is no table, or has a broken line.
    """
    ending = path.suffix.lower()
    if ending == ".json":
        return _json_rows(path)
    if ending in _DELIMITERS and _is_headless(path, _DELIMITERS[ending]):
        return _headless_rows(path, _DELIMITERS[ending])
    return read_rows(path)


_DELIMITERS = {".csv": ",", ".tsv": "\t"}


def _is_headless(path: Path, delimiter: str) -> bool:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = next(csv.reader(file, delimiter=delimiter), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return False  # `read_rows` says what is wrong with it
    return len(first) > 1 and Path(first[0].strip()).suffix.lower() in IMAGE_ENDINGS


def _headless_rows(path: Path, delimiter: str) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, delimiter=delimiter)
            for line in filter(None, lines):
                yield lines.line_num, dict(zip(("image", "smiles"), line, strict=False))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise OutputError(f"{path}: cannot be read: {error}") from None


def _json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Of a list of rows, or of an object with a SMILES, a list of them or a row for each image."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: cannot be read as JSON: {error}") from None
    if isinstance(content, dict):
        content = [
            {"image": name, **(row if isinstance(row, dict) else {"smiles": row})}
            for name, row in content.items()
        ]
    for number, row in enumerate(content if isinstance(content, list) else [content], start=1):
        if not isinstance(row, dict):
            raise OutputError(
                f"{path}, row {number}: found {type(row).__name__}, expected an object"
            )
        yield number, row


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
