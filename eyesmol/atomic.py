"""Files and folders that appear whole or not at all.

What is written goes under a temporary name of its own in the same folder, reaches the disk, and
then takes the place of what was there (`os.replace`). Whoever reads sees the old or the new, never
a part, and two processes that write the same file cannot take each other's: the last one wins.
What a process that was killed left half written is removed when the same file is written again.
"""

from __future__ import annotations

import json
import os
import platform
import re
import secrets
import shutil
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["atomic_path", "write_bytes", "write_json", "write_text"]

_STALE = 86_400.0  # seconds: a draft of another machine that nobody touched for so long is nobody's


@contextmanager
def atomic_path(path: Path | str, *, sync: bool = True) -> Iterator[Path]:
    """A path to write a file or a folder at, which becomes `path` when the block ends well.

    ::

        with atomic_path(folder / "rows.parquet") as draft:
            pyarrow.parquet.write_table(table, draft)

    When the block raises, the draft is removed and what was at `path` stays as it was. A folder
    takes the place of a folder, with all that the old one held; for an instant there is neither,
    since two folders cannot be exchanged in one step on every file system.

    Args:
        path: the file or folder to be; its parent exists.
        sync: wait for the disk. Without, a crash of the machine (not of the process) may leave a
            file without content: for what is one of very many, and can be made again.

    Raises:
        FileNotFoundError: the parent is missing, or the block wrote nothing at the draft.
        OSError: the disk is full, or what is at `path` is of the other kind.
    """
    path = Path(path)
    _remove_leftovers(path)
    draft = _beside(path, "tmp")
    try:
        yield draft
        if sync:
            _to_disk(draft)
        _move(draft, path)
    finally:
        _remove(draft)
    if sync:
        _sync(path.parent)


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write a file in one step; raises as `atomic_path` does."""
    with atomic_path(path) as draft:
        draft.write_bytes(data)


def write_text(path: Path | str, text: str) -> None:
    """Write a file of UTF-8 in one step, its ends of line as they are; raises as `atomic_path`."""
    write_bytes(path, text.encode())


def write_json(path: Path | str, value: Any, *, indent: int | None = 2) -> None:
    """Write a JSON file in one step, in UTF-8 and with an end of line; raises as `atomic_path`.

    Raises:
        TypeError: the value is none of JSON's.
    """
    write_text(path, json.dumps(value, indent=indent, ensure_ascii=False) + "\n")


def _beside(path: Path, ending: str) -> Path:
    """A name in the same folder that nobody else has; it says which process it belongs to."""
    owner = f"{_machine()}-{os.getpid()}-{secrets.token_hex(4)}"
    return path.with_name(f".{path.name}.{owner}.{ending}")


def _machine() -> str:
    """Where a process's number means something: the machine, and the container that it runs in."""
    try:
        numbers = Path("/proc/self/ns/pid").readlink().name
    except OSError:  # not on Linux
        numbers = ""
    return f"{zlib.crc32(f'{platform.node()} {numbers}'.encode()):08x}"


def _remove_leftovers(path: Path) -> None:
    """Remove the drafts of `path` whose processes were killed."""
    drafts = re.compile(rf"\.{re.escape(path.name)}\.([0-9a-f]{{8}})-(\d+)-[0-9a-f]{{8}}\.tmp")
    with os.scandir(path.parent) as entries:
        found = [
            (Path(entry), match) for entry in entries if (match := drafts.fullmatch(entry.name))
        ]
    for draft, match in found:
        gone = match[1] == _machine() and not _is_running(int(match[2]))
        if gone or time.time() - _touched(draft) > _STALE:
            _remove(draft)


def _is_running(process: int) -> bool:
    if os.name == "nt":
        return True  # there, asking would end it
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


def _touched(draft: Path) -> float:
    try:
        return draft.stat().st_mtime
    except FileNotFoundError:  # its process was done just now
        return time.time()


def _move(draft: Path, path: Path) -> None:
    if not (draft.is_dir() and path.is_dir()):
        draft.replace(path)
        return
    old = _beside(path, "old")  # a folder that is not empty cannot be replaced in one step
    path.replace(old)
    try:
        draft.replace(path)
    except BaseException:
        old.replace(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _remove(draft: Path) -> None:
    if draft.is_dir():
        shutil.rmtree(draft, ignore_errors=True)
    else:
        draft.unlink(missing_ok=True)


def _to_disk(draft: Path) -> None:
    """Without this a crash of the machine may leave the new name on a file without content."""
    if not draft.is_dir():
        _sync(draft)
        return
    for folder, _, files in os.walk(draft):
        for name in files:
            _sync(Path(folder, name))
        _sync(Path(folder))


def _sync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folders
    handle = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
