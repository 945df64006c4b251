"""Which split a molecule belongs to, and the proof that it stands in no other.

A molecule goes by its connectivity key: the first block of the InChIKey, which leaves out stereo,
isotopes and protonation, so that near twins stay together. The split is a hash of the key (or of
the group, such as a patent number), so it depends on nothing else: not on the order of the rows,
the task or the seed.
"""

from __future__ import annotations

import hashlib
import sqlite3
from functools import lru_cache
from pathlib import Path
from typing import Literal

from rdkit import Chem, rdBase

from data_preprocess.closing import Closing

__all__ = [
    "SPLITS",
    "Ledger",
    "SplitBy",
    "connectivity_key",
    "number_of",
    "split_of",
]

SPLITS = ("train", "valid", "test")
SplitBy = Literal["molecule", "group"]


@lru_cache(maxsize=256)  # copies and questions of a molecule follow each other
def connectivity_key(smiles: str) -> str | None:
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
    """Train, valid or test, by a hash of a connectivity key or a group."""
    fraction = number_of(what) / 2**64
    if fraction < test:
        return "test"
    return "valid" if fraction < test + valid else "train"


def number_of(text: str) -> int:
    """64 bits that depend on the text alone, on every machine."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


class Ledger(Closing):
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

    def close(self) -> None:
        """Remove the scratch file."""
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
