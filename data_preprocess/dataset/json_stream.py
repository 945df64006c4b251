"""A JSON list of objects read one at a time, whatever its length."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from eyesmol.exceptions import InputError

__all__ = ["json_objects"]

_CHUNK = 1 << 20  # characters read at once
_LARGEST = 64 << 20  # characters of one object: what has no end for so long is no LLaVA JSON
_BETWEEN = re.compile(r"[\s,]*")


def json_objects(
    path: Path, progress: Callable[[int], object] | None = None
) -> Iterator[dict[str, Any]]:
    """The objects of a JSON list, or of JSON Lines, in order; one chunk in memory at a time.

    Args:
        path: a file in UTF-8.
        progress: is told how many characters were read since the last call.

    Raises:
        InputError: no such file, not UTF-8, or no JSON list of objects; it says after which one.
    """
    decoder = json.JSONDecoder()
    count = 0
    try:
        with path.open(encoding="utf-8-sig") as file:
            buffer, place, ended = _after_bracket(file.read(_CHUNK)), 0, False
            while True:
                match = _BETWEEN.match(buffer, place)
                place = match.end() if match else place
                if buffer.startswith("]", place):
                    return
                try:
                    value, place = decoder.raw_decode(buffer, place)
                except json.JSONDecodeError as error:
                    # The chunk may end inside the object.
                    if ended or len(buffer) - place > _LARGEST:
                        if not buffer[place:]:
                            return  # JSON Lines have no bracket at the end
                        raise InputError(
                            f"{path}: broken JSON after object {count}: {error.msg}; expected a "
                            "list of objects; a truncated download looks like this: fetch it anew"
                        ) from None
                    more = file.read(_CHUNK)
                    buffer, place, ended = buffer[place:] + more, 0, not more
                    if progress is not None:
                        progress(len(more))
                    continue
                if not isinstance(value, dict):
                    raise InputError(
                        f"{path}: item {count + 1} is a {type(value).__name__}; expected a list of "
                        "objects, as LLaVA has it"
                    )
                count += 1
                yield value
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 after object {count}: {error.reason}") from None


def _after_bracket(text: str) -> str:
    text = text.lstrip()
    return text[1:] if text.startswith("[") else text
