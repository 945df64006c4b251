"""Lists of JSON read one element at a time, whatever their length.

Not by ijson, which is no faster here and reads less: it takes half a surrogate pair for a question
mark, so that `check` could not find one, and refuses whole files for a NaN or a long number.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from eyesmol.exceptions import InputError

__all__ = ["json_objects", "read_list"]

_CHUNK = 1 << 20  # characters read at once
_LONGEST = 1 << 26  # characters of an element: a broken file must not be read into memory as one
_BLANK = re.compile(r"\s*")
_ENDS = (",", "]", "{", "[", " ", "\n", "\r", "\t")  # what may stand right behind an element


def read_list(path: Path) -> Iterator[Any]:
    """Every element of the JSON list in a file, or in shards that a name with ``*`` stands for.

    Shards are JSON Lines, and read in the order of their names.

    Raises:
        InputError: not UTF-8, not JSON, or no list; said when the reading gets there, so the
            elements before it have been seen. No such shard.
        OSError: the file cannot be read.
    """
    if "*" not in path.name:
        yield from _elements(path, lines=False)
        return
    if not (shards := sorted(path.parent.glob(path.name))):
        raise InputError(f"{path}: no such file")
    for shard in shards:
        if shard.stat().st_size:  # a small data set leaves some empty
            yield from _elements(shard, lines=True)


def json_objects(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON list, or of JSON Lines.

    Raises:
        InputError: as `read_list`, or no such file, or an element that is no object.
    """
    try:
        for number, value in enumerate(_elements(path, lines=True), start=1):
            if not isinstance(value, dict):
                raise InputError(
                    f"{path}: row {number} is a {type(value).__name__}; expected a list of "
                    "objects, as LLaVA has it"
                )
            yield value
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None


def _elements(path: Path, *, lines: bool) -> Iterator[Any]:
    with path.open(encoding="utf-8-sig" if lines else "utf-8") as file:
        window = _Window(file)
        try:
            yield from window.lines() if lines and window.next() == "{" else window.list()
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: not UTF-8: {error.reason} at byte {error.start}") from None
        except ValueError as error:
            raise InputError(f"{path}: {error}") from None


class _Window:
    """Elements decoded from a window that moves over the text."""

    def __init__(self, file: TextIO) -> None:
        self._file, self._text, self._at = file, "", 0
        self._decoder = json.JSONDecoder()

    def list(self) -> Iterator[Any]:
        """The elements of a list, and nothing behind it."""
        if (found := self.next()) != "[":
            raise ValueError(f"begins with {found!r}; expected a JSON list of rows")
        self._at += 1
        if self.next() == "]":
            self._at += 1
        else:
            yield from self._rows()
        if rest := self.next():
            raise ValueError(f"{rest!r} behind the end of the list; expected nothing")

    def _rows(self) -> Iterator[Any]:
        for row in itertools.count(1):
            self.next()
            yield self._decoded(row)
            found = self.next()
            if found not in (",", "]"):
                raise ValueError(f"{found or 'the end'!r} behind row {row}; expected , or ]")
            self._at += 1
            if found == "]":
                return

    def lines(self) -> Iterator[Any]:
        """One element after the other, as JSON Lines has them."""
        row = 0
        while self.next():
            row += 1
            yield self._decoded(row)

    def next(self) -> str:
        """The next character that is no blank, not yet taken; empty at the end."""
        while True:
            blank = _BLANK.match(self._text, self._at)
            self._at = blank.end() if blank else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def _more(self) -> bool:
        chunk = self._file.read(_CHUNK)
        self._text = self._text[self._at :] + chunk
        self._at = 0
        return bool(chunk)

    def _decoded(self, row: int) -> Any:
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except (json.JSONDecodeError, RecursionError) as error:
                # Cut at the window's edge, or broken: only more text can tell.
                if len(self._text) - self._at > _LONGEST or not self._more():
                    said = error.msg if isinstance(error, json.JSONDecodeError) else error
                    raise ValueError(
                        f"row {row} is not JSON: {said}; a file that was cut off looks like this: "
                        "fetch it again"
                    ) from None
                continue
            # A number that the window's edge cuts is a number too: 1 of 1.5.
            if self._text[end : end + 1] not in _ENDS and self._more():
                continue
            self._at = end
            return value
