"""Which split a molecule belongs to, which molecules stay out, and the proof that it is so.

A molecule goes by its skeleton: the first block of the InChIKey, which leaves out stereo, isotopes
and protonation, so that near twins stay together. The split is a hash of the skeleton (or of the
group, such as a patent number), so it depends on nothing else: not on the order of the rows, not on
the task, not on the seed.
"""

from __future__ import annotations

import csv
import hashlib
import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from rdkit import Chem, rdBase

from data_preprocess.sources import InputError, file_digest

__all__ = [
    "SPLITS",
    "Excluded",
    "Ledger",
    "SplitBy",
    "number_of",
    "read_excluded",
    "skeleton",
    "split_of",
]

SPLITS = ("train", "valid", "test")
SplitBy = Literal["molecule", "group"]

_INCHIKEY = re.compile(r"[A-Z]{14}(-[A-Z]{10}-[A-Z])?")
_EXAMPLES = 5


@lru_cache(maxsize=256)  # copies and questions of a molecule follow each other
def skeleton(smiles: str) -> str | None:
    """First block of the InChIKey; of a molecule that has none (R groups), SMILES without stereo.

    Returns:
        None where RDKit cannot read the SMILES.
    """
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles) if smiles else None
        if mol is None or not mol.GetNumAtoms():
            return None
        key = Chem.MolToInchiKey(mol)
        return str(key[:14] or Chem.MolToSmiles(mol, isomericSmiles=False))


def split_of(what: str, valid: float, test: float) -> str:
    """Train, valid or test, by a hash of a skeleton or a group."""
    share = number_of(what) / 2**64
    if share < test:
        return "test"
    return "valid" if share < test + valid else "train"


def number_of(text: str) -> int:
    """64 bits that depend on the text alone, on every machine."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


@dataclass(frozen=True)
class Excluded:
    """Molecules that may stand in no split, such as those of a benchmark.

    Attributes:
        keys: their skeletons.
        about: for `dataset_info.json`: name, digest, number of entries and of skeletons of each
            list, and what could not be read of it.
    """

    keys: frozenset[str] = frozenset()
    about: tuple[dict[str, Any], ...] = ()

    def write(self, folder: Path) -> Path | None:
        """One skeleton a line, for the workers; the name changes with the content."""
        if not self.keys:
            return None
        text = "".join(f"{key}\n" for key in sorted(self.keys))
        path = folder / f"exclude-{hashlib.sha256(text.encode()).hexdigest()[:16]}.txt"
        temporary = path.with_suffix(".tmp")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
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
    """Name and skeleton of every entry; None for one that cannot be read."""
    if path.is_dir() or path.suffix.lower() == ".json":
        from eyesmol.gold import ScoreError, load_gold  # takes a second, and few need it

        try:
            gold = load_gold(path)
        except ScoreError as error:
            raise InputError(f"--exclude {error}") from None
        yield from ((row.image, skeleton(row.smiles)) for row in gold.rows)
        yield from ((name, None) for name, _ in gold.unscorable)
        return
    if not path.is_file():
        raise InputError(f"--exclude {path}: no such file; {_EXPECTED}")
    try:
        yield from ((text, _key_of(text)) for text in _texts(path))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"--exclude {path}: not a text file: {error}; {_EXPECTED}") from None


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
    return text[:14] if _INCHIKEY.fullmatch(text) else skeleton(text)


def _digest(path: Path) -> str:
    if path.is_file():
        return file_digest(path)
    digest = hashlib.sha256()
    for file in sorted(path.iterdir()):
        if file.is_file():
            digest.update(f"{file.name}\0{file_digest(file)}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


class Ledger:
    """What has been seen, on disk, so that memory does not grow with the rows.

    A scratch file (SQLite, from nothing each time), used as ``with Ledger(path) as ledger``.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.unlink(missing_ok=True)
        # Nothing here outlives the process, so nothing needs to reach the disk safely.
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.executescript(
            """
            PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE;
            CREATE TABLE ids (id TEXT PRIMARY KEY) WITHOUT ROWID;
            CREATE TABLE sides (key TEXT PRIMARY KEY, split TEXT) WITHOUT ROWID;
            CREATE TABLE written (key TEXT, split TEXT, PRIMARY KEY (key, split)) WITHOUT ROWID;
            BEGIN;
            """
        )

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._database.close()
        self._path.unlink(missing_ok=True)

    def is_new(self, identifier: str) -> bool:
        """True at the first call with this id."""
        added = self._database.execute("INSERT OR IGNORE INTO ids VALUES (?)", (identifier,))
        return added.rowcount == 1

    def side(self, key: str, split: str) -> str:
        """The split of a molecule: the one that it was first seen in."""
        self._database.execute("INSERT OR IGNORE INTO sides VALUES (?, ?)", (key, split))
        (found,) = self._database.execute("SELECT split FROM sides WHERE key = ?", (key,))
        return str(found[0])

    def wrote(self, key: str, split: str) -> None:
        """Note that a row of a molecule was written."""
        self._database.execute("INSERT OR IGNORE INTO written VALUES (?, ?)", (key, split))

    def proof(self, excluded: frozenset[str]) -> dict[str, int]:
        """Molecules written to each split, to more than one, and although they are excluded."""
        rows = self._database.execute("SELECT split, count(*) FROM written GROUP BY split")
        counts = dict.fromkeys(SPLITS, 0) | dict(rows.fetchall())
        ((overlap,),) = self._database.execute(
            "SELECT count(*) FROM (SELECT key FROM written GROUP BY key HAVING count(*) > 1)"
        )
        written = self._database.execute("SELECT DISTINCT key FROM written")
        leaked = sum(key in excluded for (key,) in written) if excluded else 0
        return {**counts, "in_two_splits": overlap, "on_the_exclude_list": leaked}
