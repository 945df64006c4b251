"""Reading datasets: LLaVA JSON of any length and layout, a row in memory at a time."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from data_preprocess.dataset.splits import SPLITS
from eyesmol.exceptions import InputError

__all__ = ["find_lists", "read_info", "read_list"]

_CHUNK = 1 << 20  # characters
_ENDS = (",", "]", " ", "\n", "\r", "\t")  # what may stand right behind a row
_LONGEST = 1 << 26  # characters of a row: a broken file must not be read into memory as one row


def find_lists(dataset: Path) -> dict[str, Path]:
    """The JSON lists of a dataset by name (``train`` ...): one file, or those of a folder.

    In a folder without ``dataset_info.json`` every JSON file is taken for a list.

    Raises:
        InputError: nothing there.
    """
    if dataset.is_file():
        return {dataset.stem: dataset}
    if not dataset.is_dir():
        raise InputError(f"{dataset}: nothing there; {_EXPECTED}")
    if (dataset / "dataset_info.json").is_file():
        return {split: dataset / f"{split}.json" for split in SPLITS}
    paths = sorted(dataset.glob("*.json"))
    if not paths:
        raise InputError(f"{dataset}: no JSON file in this folder; {_EXPECTED}")
    order = {split: number for number, split in enumerate(SPLITS)}
    paths.sort(key=lambda path: (order.get(path.stem, len(order)), path.name))
    return {path.stem: path for path in paths}


def read_info(dataset: Path) -> dict[str, Any] | None:
    """What ``dataset_info.json`` says; None where there is none.

    Raises:
        InputError: it is there but no JSON object.
    """
    path = (dataset if dataset.is_dir() else dataset.parent) / "dataset_info.json"
    if not path.is_file():
        return None
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: not JSON: {error}; build the dataset anew") from None
    if not isinstance(info, dict):
        raise InputError(f"{path}: found {type(info).__name__}; expected an object")
    return info


_EXPECTED = "expected a dataset folder, as `build` makes it, or a LLaVA JSON file"


def read_list(path: Path) -> Iterator[Any]:
    """Every element of the JSON list in a file, one at a time.

    Raises:
        InputError: not UTF-8, not JSON, or no list; said when the reading gets there, so the rows
            before it have been seen.
        OSError: the file cannot be read.
    """
    with path.open(encoding="utf-8") as file:
        try:
            yield from _Elements(file)
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: not UTF-8: {error.reason} at byte {error.start}") from None
        except ValueError as error:
            raise InputError(f"{path}: {error}") from None


class _Elements:
    """The elements of a list, decoded from a window that moves over the text."""

    def __init__(self, file: TextIO) -> None:
        self._file, self._text, self._place = file, "", 0
        self._decoder = json.JSONDecoder()

    def __iter__(self) -> Iterator[Any]:
        if (found := self._next()) != "[":
            raise ValueError(f"begins with {found!r}; expected a JSON list of rows")
        self._place += 1
        if self._next() == "]":
            self._place += 1
        else:
            yield from self._rows()
        if rest := self._next():
            raise ValueError(f"{rest!r} behind the end of the list; expected nothing")

    def _rows(self) -> Iterator[Any]:
        for row in itertools.count(1):
            self._next()
            yield self._decoded(row)
            found = self._next()
            if found not in (",", "]"):
                raise ValueError(f"{found or 'the end'!r} behind row {row}; expected , or ]")
            self._place += 1
            if found == "]":
                return

    def _next(self) -> str:
        """The next character that is no blank, not yet taken; empty at the end."""
        while True:
            while self._place < len(self._text):
                if not self._text[self._place].isspace():
                    return self._text[self._place]
                self._place += 1
            if not self._more():
                return ""

    def _more(self) -> bool:
        chunk = self._file.read(_CHUNK)
        self._text = self._text[self._place :] + chunk
        self._place = 0
        return bool(chunk)

    def _decoded(self, row: int) -> Any:
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._place)
            except (json.JSONDecodeError, RecursionError) as error:
                # Cut at the window's edge, or broken: only more text can tell.
                if len(self._text) - self._place > _LONGEST or not self._more():
                    raise ValueError(f"row {row} is not JSON: {error}") from None
                continue
            # A number that the window's edge cuts is a number too: 1 of 1.5.
            if self._text[end : end + 1] not in _ENDS and self._more():
                continue
            self._place = end
            return value
