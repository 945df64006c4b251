"""Molecules that may stand in no split, such as those of a benchmark."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from data_preprocess.build.examples import Drop, molecule_in
from data_preprocess.dataset.splits import connectivity_key
from data_preprocess.sources.files import MOLFILE_SUFFIXES, file_digest
from eyesmol.atomic import write_text
from eyesmol.exceptions import InputError

__all__ = ["Excluded", "excluded_in", "read_excluded"]

_INCHIKEY = re.compile(r"[A-Z]{14}(-[A-Z]{10}-[A-Z])?")
_EXAMPLES = 5


@dataclass(frozen=True)
class Excluded:
    """The molecules to keep out.

    Attributes:
        keys: their connectivity keys.
        about: for `dataset_info.json`: name, digest, number of entries and of connectivity keys of
            each list, and what could not be read of it.
    """

    keys: frozenset[str] = frozenset()
    about: tuple[dict[str, Any], ...] = ()

    def write(self, folder: Path) -> Path | None:
        """One connectivity key a line, for the workers; the name changes with the content."""
        if not self.keys:
            return None
        text = "".join(f"{key}\n" for key in sorted(self.keys))
        path = folder / f"exclude-{hashlib.sha256(text.encode()).hexdigest()[:16]}.txt"
        write_text(path, text)
        return path


@lru_cache(maxsize=1)
def excluded_in(path: Path | None) -> frozenset[str]:
    """What `Excluded.write` wrote, read once a process."""
    return frozenset(path.read_text(encoding="utf-8").split("\n")) if path else frozenset()


def read_excluded(paths: Sequence[Path]) -> Excluded:
    """Read lists of molecules to keep out.

    Args:
        paths: each a text file (a SMILES or an InChIKey a line), a ``.csv`` or ``.tsv`` file with
            a column SMILES or InChIKey (a gold CSV is one), a dataset JSON, or a folder of
            molfiles.

    Raises:
        InputError: no such file, no such column, or not one entry that can be read.
    """
    keys: set[str] = set()
    about = []
    for path in paths:
        found: set[str] = set()
        unreadable: list[str] = []
        entries = 0
        for name, key in _entries(path):
            entries += 1
            if key is None:
                unreadable.append(name)
            else:
                found.add(key)
        if not found:
            raise InputError(
                f"--exclude {path}: {entries} entries, not one that can be read "
                f"({', '.join(unreadable[:3]) or 'empty'}); {_EXPECTED}"
            )
        keys |= found
        about.append(
            {
                "name": path.name,
                "sha256": _digest(path),
                "entries": entries,
                "molecules": len(found),
                "unreadable": {"count": len(unreadable), "examples": unreadable[:_EXAMPLES]},
            }
        )
    return Excluded(frozenset(keys), tuple(about))


_EXPECTED = (
    "expected a SMILES or an InChIKey a line, a .csv or .tsv file with a column SMILES or "
    "InChIKey, a dataset's .json or a folder of molfiles"
)


def _entries(path: Path) -> Iterator[tuple[str, str | None]]:
    """Name and connectivity key of every entry; None for one that cannot be read."""
    if path.is_dir():
        files = (file for file in path.iterdir() if file.suffix.lower() in MOLFILE_SUFFIXES)
        yield from ((file.name, _key_in(file)) for file in sorted(files))
        return
    if not path.is_file():
        raise InputError(f"--exclude {path}: no such file; {_EXPECTED}")
    if path.suffix.lower() == ".json":
        yield from _gold_entries(path)
        return
    try:
        yield from ((text, _key_of(text)) for text in _texts(path))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"--exclude {path}: not a text file: {error}; {_EXPECTED}") from None


def _key_in(molfile: Path) -> str | None:
    """As the builder reads molfiles, so that a row of the same file has the same key."""
    try:
        return connectivity_key(molecule_in(molfile, molfile.name, repeat_once=True).smiles)
    except Drop:
        return None


def _gold_entries(path: Path) -> Iterator[tuple[str, str | None]]:
    from eyesmol.evaluation.gold import ScoreError, load_gold  # takes a second, and few need it

    try:
        gold = load_gold(path)
    except ScoreError as error:
        raise InputError(f"--exclude {error}") from None
    yield from ((row.image, connectivity_key(row.smiles)) for row in gold.rows)
    yield from ((name, None) for name, _ in gold.unscorable)


def _texts(path: Path) -> Iterator[str]:
    delimiter = {".csv": ",", ".tsv": "\t"}.get(path.suffix.lower())
    with path.open(encoding="utf-8-sig", newline="") as file:
        if delimiter is None:
            yield from (line.split()[0] for line in file if line.strip())
            return
        rows = csv.reader(file, delimiter=delimiter)
        header = [name.strip().lower() for name in next(rows, [])]
        column = next((header.index(name) for name in ("inchikey", "smiles") if name in header), -1)
        if column < 0:
            raise InputError(
                f"--exclude {path}: found the columns {', '.join(header) or 'none'}; {_EXPECTED}"
            )
        yield from (row[column].strip() if column < len(row) else "" for row in rows if row)


def _key_of(text: str) -> str | None:
    return text[:14] if _INCHIKEY.fullmatch(text) else connectivity_key(text)


def _digest(path: Path) -> str:
    if path.is_file():
        return file_digest(path)
    digest = hashlib.sha256()
    for file in sorted(path.iterdir()):
        if file.is_file():
            digest.update(f"{file.name}\0{file_digest(file)}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()
