"""Which split a molecule belongs to, and the proof that it stands in no other.

A molecule goes by its connectivity key: the first block of the InChIKey of what is left without
counter-ions, charges, isotopes and stereo, so that near twins, a base and its salts among them,
stay together. The split is a hash of the key (or of the group, such as a patent number), so it
depends on nothing else: not on the order of the rows, the task or the seed.
"""

from __future__ import annotations

import hashlib
import sqlite3
from functools import lru_cache
from pathlib import Path
from typing import Literal

from rdkit import Chem, rdBase
from rdkit.Chem import Descriptors
from rdkit.Chem.MolStandardize import rdMolStandardize

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


_UNCHARGER = rdMolStandardize.Uncharger()
_SALT_FORMER = rdMolStandardize.MetalDisconnector()
_SALT_METALS = frozenset({3, 11, 19, 37, 55, 12, 20, 38, 56})  # alkali and alkaline earth
# What stands beside a molecule in a bottle: organic acids, bases and solvents, uncharged.
_BESIDE_WRITTEN = """
    OC(=O)O CS(=O)(=O)O CCS(=O)(=O)O OS(=O)(=O)c1ccccc1 Cc1ccc(S(=O)(=O)O)cc1 OS(=O)(=O)C(F)(F)F
    OS(=O)(=O)c1cccc2ccccc12 OS(=O)(=O)c1ccc2ccccc2c1 CC1(C)C2CCC1(CS(=O)(=O)O)C(=O)C2
    OC=O CC(=O)O OC(=O)C(F)(F)F OC(=O)C(=O)O OC(=O)CC(=O)O OC(=O)CCC(=O)O OC(=O)C=CC(=O)O
    OC(=O)CC(O)C(=O)O OC(=O)C(O)C(O)C(=O)O OC(=O)CC(O)(C(=O)O)CC(=O)O CC(O)C(=O)O OCC(=O)O
    OC(=O)c1ccccc1 CCN(CC)CC NCCO NC(CO)(CO)CO CO CCO CC(C)O CC(C)=O CC#N ClCCl ClC(Cl)Cl
    CCOC(C)=O CN(C)C=O CS(C)=O C1CCOC1 Cc1ccccc1
"""
_BESIDE = frozenset(map(Chem.CanonSmiles, _BESIDE_WRITTEN.split()))


@lru_cache(maxsize=256)  # copies and questions of a molecule follow each other
def connectivity_key(smiles: str) -> str | None:
    """First block of the parent's InChIKey; where it has none (R groups), its SMILES.

    Returns:
        None where RDKit cannot read the SMILES.
    """
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles) if smiles else None
        if mol is None or not mol.GetNumAtoms():
            return None
        parent = _parent(mol)
        key = Chem.MolToInchiKey(parent)
        return str(key[:14] or Chem.MolToSmiles(parent, isomericSmiles=False))


def _parent(mol: Chem.Mol) -> Chem.Mol:
    """The molecule without counter-ions, solvents and charges."""
    if any(atom.GetAtomicNum() in _SALT_METALS for atom in mol.GetAtoms()):
        mol = _SALT_FORMER.Disconnect(mol)
    if len(Chem.GetMolFrags(mol)) == 1:
        return _uncharged(mol)
    # Apart first: what is uncharged may be a molecule that RDKit refuses to part, as of PF6.
    return max(map(_uncharged, Chem.GetMolFrags(mol, asMols=True)), key=_weight)


def _uncharged(mol: Chem.Mol) -> Chem.Mol:
    charged = any(atom.GetFormalCharge() for atom in mol.GetAtoms())
    return _UNCHARGER.uncharge(mol) if charged else mol


def _weight(fragment: Chem.Mol) -> tuple[bool, bool, int, float, str]:
    """How much a fragment is what the whole is about; equal for equal fragments alone."""
    smiles = Chem.MolToSmiles(fragment, isomericSmiles=False)
    return (
        any(atom.GetAtomicNum() in (0, 6) for atom in fragment.GetAtoms()),
        smiles not in _BESIDE,
        fragment.GetNumHeavyAtoms(),
        Descriptors.HeavyAtomMolWt(fragment),
        smiles,
    )


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
            CREATE TABLE drawings (drawing TEXT PRIMARY KEY, item TEXT) WITHOUT ROWID;
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

    def is_first(self, drawing: str, item: str) -> bool:
        """True for all rows of the item whose drawing this was first."""
        self._database.execute("INSERT OR IGNORE INTO drawings VALUES (?, ?)", (drawing, item))
        query = "SELECT item FROM drawings WHERE drawing = ?"
        (found,) = self._database.execute(query, (drawing,))
        return bool(found[0] == item)

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
