"""``collect_info.json``: what a collection was made with, and that it is finished."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from eyesmol.exceptions import InputError

__all__ = ["INFO", "finished"]

INFO = "collect_info.json"


def finished(out: Path, made_with: dict[str, Any]) -> dict[str, Any] | None:
    """The content of a finished collection's `collect_info.json`; None where there is none.

    Raises:
        InputError: the folder holds a collection that was made with something else.
    """
    path = out / INFO
    if not path.exists():
        return None
    info: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if other := [key for key, value in made_with.items() if info.get(key) != value]:
        raise InputError(
            f"{path}: the folder holds a collection with other values of {', '.join(other)}; "
            "choose another --out"
        )
    return info
