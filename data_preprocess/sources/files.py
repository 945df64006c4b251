"""Where drawings come from: a folder of images with a folder of molfiles, or a list of SMILES.
(Catalogues of compounds are a third kind: `data_preprocess.catalogue.source`.)

A source lists its items without opening them, in an order that never changes, so that a build can
be cut into parts, spread over processes and resumed later.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, Protocol

from rdkit import Chem, rdBase

from data_preprocess.sources.small_molecules import DEFAULT_ELEMENTS, small_molecules
from eyesmol.exceptions import InputError

__all__ = [
    "Filed",
    "Item",
    "PairedFolders",
    "SmilesList",
    "Source",
    "file_digest",
]

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp"})
MOLFILE_SUFFIXES = frozenset({".mol", ".mdl"})


@dataclass(frozen=True)
class Filed:
    """An image that a catalogue names: a path inside its folder, or ``archive.zip!member``."""

    folder: Path
    reference: str

    @property
    def name(self) -> str:
        """For messages, as `Path.name` is."""
        return self.reference


@dataclass(frozen=True)
class Item:
    """One drawing to be: a SMILES, or an image and its molfile, or all that a catalogue knows.

    Attributes:
        name: unique within its source; rows and images are named after it.
        source: the `source` field of its rows.
        smiles: of the compound; to be drawn where there is no image.
        image: read this one; None where it is missing.
        molfile: a file, or the molblock itself; None where it is missing.
        group: what a split by groups keeps together, such as a patent number.
        title: the compound's name for people.
        description: of the compound.
        visual_description: of `image`, and of no other image.
        copy: which of several drawings of one entry of a list; 0 for the first.
        problem: why it becomes no row, where the list shows it already.
    """

    name: str
    source: str
    smiles: str | None = None
    image: Path | Filed | None = None
    molfile: Path | str | None = None
    group: str | None = None
    title: str | None = None
    description: str | None = None
    visual_description: str | None = None
    copy: int = 0
    problem: str | None = None


class Source(Protocol):
    """What a builder asks of a source; a new kind of source is one more class with these three."""

    @property
    def name(self) -> str:
        """For people, and the `source` field of rows that say no other."""
        ...

    def describe(self) -> dict[str, Any]:
        """For `dataset_info.json`: name, kind, items, licence, and a digest (`sha256`).

        A source that knows `licences` or `groups` says so: the licences of its rows, and how many
        rows have a group.
        """
        ...

    def items(self) -> Iterator[Item]:
        """Every item, always in the same order."""
        ...


class PairedFolders:
    """Images and molfiles that share a stem, such as ``a12.png`` and ``a12.MOL``.

    Every file of either folder is an item; one without its partner is an item with a gap, which the
    builder counts. Files of other kinds are passed over.

    Raises:
        InputError: a folder is missing, or not one pair is found.
    """

    def __init__(self, images: Path, molfiles: Path) -> None:
        self._folders = (images.absolute(), molfiles.absolute())
        # A database without a name lies on the disk and goes with its connection: the names of a
        # million files take no memory.
        self._files = sqlite3.connect("")
        self._files.execute("CREATE TABLE files (stem BLOB, kind INTEGER, name BLOB)")
        for kind, (folder, suffixes, option) in enumerate(
            [(images, IMAGE_SUFFIXES, "--images"), (molfiles, MOLFILE_SUFFIXES, "--molfiles")]
        ):
            rows = ((os.fsencode(stem), kind, os.fsencode(name))
                    for stem, name in _names(folder, suffixes, option))  # fmt: skip
            self._files.executemany("INSERT INTO files VALUES (?, ?, ?)", rows)
        self._files.execute("CREATE INDEX by_stem ON files (stem, kind, name)")
        pair = "SELECT 1 FROM files i JOIN files m USING (stem) WHERE i.kind = 0 AND m.kind = 1"
        if self._files.execute(f"{pair} LIMIT 1").fetchone() is None:
            raise InputError(
                f"no image in {images} shares its name with a molfile in {molfiles}: found "
                f"{self._found(0)} images (such as {self._an_example(0)}) and {self._found(1)} "
                f"molfiles (such as {self._an_example(1)}); expected pairs such as a12.png and "
                "a12.mol; give the folders that hold the files themselves"
            )

    def _found(self, kind: int) -> int:
        query = "SELECT count(*) FROM files WHERE kind = ?"
        return int(self._files.execute(query, (kind,)).fetchone()[0])

    def _an_example(self, kind: int) -> str:
        query = "SELECT min(name) FROM files WHERE kind = ?"
        (name,) = self._files.execute(query, (kind,)).fetchone()
        return os.fsdecode(name) if name else "none"

    @property
    def name(self) -> str:
        return "drawings"

    def describe(self) -> dict[str, Any]:
        digest = hashlib.sha256()
        count = 0
        for item in self.items():
            files = [
                path.name if isinstance(path, Path) else "" for path in (item.image, item.molfile)
            ]
            digest.update("\0".join([item.name, *files, "\n"]).encode(errors="surrogateescape"))
            count += 1
        return {
            "name": self.name,
            "kind": "images and molfiles",
            "items": count,
            "licence": "as the images and molfiles given",
            "sha256": digest.hexdigest(),
        }

    def items(self) -> Iterator[Item]:
        query = "SELECT stem, kind, name FROM files ORDER BY stem, kind, name"
        rows = self._files.execute(query)
        for stem_bytes, files in itertools.groupby(rows, key=itemgetter(0)):
            stem = os.fsdecode(stem_bytes)
            paths: tuple[list[Path], list[Path]] = ([], [])
            for _, kind, name in files:
                paths[kind].append(self._folders[kind] / os.fsdecode(name))
            images, molfiles = paths
            pairs = itertools.zip_longest(images[:1], molfiles[:1])
            for image, molfile in pairs:
                missing = "missing image" if image is None else "missing molfile"
                problem = None if image and molfile else missing
                yield Item(stem, self.name, image=image, molfile=molfile, problem=problem)
            # Two files of one stem: the first of the alphabet is used, the others are gaps.
            for number, extra in enumerate(images[1:], start=2):
                name = f"{stem}~{number}"
                yield Item(name, self.name, image=extra, problem="missing molfile")
            for number, extra in enumerate(molfiles[1:], start=2):
                name = f"{stem}~{number}"
                yield Item(name, self.name, molfile=extra, problem="missing image")


def _names(folder: Path, suffixes: frozenset[str], option: str) -> Iterator[tuple[str, str]]:
    """Stem and name of every file of these kinds, in no order."""
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise InputError(f"{option} {folder}: found {found} there; expected a folder")
    with os.scandir(folder) as entries:
        for entry in entries:
            stem, suffix = os.path.splitext(entry.name)  # noqa: PTH122  # no Path for a name alone
            if suffix.lower() in suffixes:
                yield stem, entry.name


class SmilesList:
    """SMILES to draw: a text or CSV file, or ``small`` for the enumeration of small molecules.

    A text file has one SMILES a line, followed by anything after a blank; a CSV or TSV file has a
    column called SMILES (in any case). The file is read as it goes, so its length does not matter.

    Args:
        what: path of the file, or ``small``.
        copies: drawings of each molecule, every one in another style.
        max_atoms: size of the enumeration; not used for a file.
        stereo: stereoisomers in the enumeration; not used for a file.

    Raises:
        InputError: no such file, or none of its first lines is a SMILES.
    """

    def __init__(
        self, what: str, *, copies: int = 1, max_atoms: int = 5, stereo: bool = False
    ) -> None:
        if copies < 1 or max_atoms < 1:
            raise InputError(f"copies {copies}, max atoms {max_atoms}: expected at least 1 of each")
        self._copies, self._max_atoms, self._stereo = copies, max_atoms, stereo
        self._path = None if what == "small" else Path(what)
        if self._path is not None:
            self._check(self._path)

    @property
    def name(self) -> str:
        return "small" if self._path is None else self._path.stem

    def describe(self) -> dict[str, Any]:
        if self._path is None:
            digest = hashlib.sha256("\n".join(self._smiles()).encode()).hexdigest()
        else:
            digest = file_digest(self._path)
        about: dict[str, Any] = {
            "name": self.name,
            "kind": "drawn from SMILES",
            "items": sum(1 for _ in self._smiles()) * self._copies,
            "copies": self._copies,
            "licence": "as the SMILES given",
            "sha256": digest,
        }
        if self._path is None:
            about |= {
                "kind": "enumerated small molecules, drawn",
                "max_atoms": self._max_atoms,
                "elements": list(DEFAULT_ELEMENTS),
                "stereo": self._stereo,
                "licence": "CC0-1.0",
            }
        return about

    def items(self) -> Iterator[Item]:
        for number, smiles in enumerate(self._smiles()):
            for copy in range(self._copies):
                name = f"{self.name}-{number:06d}-{copy}"
                yield Item(name, self.name, smiles=smiles, copy=copy)

    def _smiles(self) -> Iterator[str]:
        if self._path is None:
            return small_molecules(self._max_atoms, stereo=self._stereo)
        return _smiles_in(self._path)

    @staticmethod
    def _check(path: Path) -> None:
        """Refuse a file that holds no SMILES at all, before thousands of lines become drops."""
        if not path.is_file():
            raise InputError(
                f"--smiles {path}: no such file; expected a text or CSV file of SMILES, or the "
                "word small"
            )
        try:
            first = list(itertools.islice(_smiles_in(path), 50))
        except (UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"--smiles {path}: not a text file: {error}") from None
        if not first:
            raise InputError(f"--smiles {path}: the file is empty; {_EXPECTED_SMILES}")
        with rdBase.BlockLogs():
            readable = any(text and Chem.MolFromSmiles(text) is not None for text in first)
        if not readable:
            raise InputError(
                f"--smiles {path}: none of its first {len(first)} entries is a SMILES (the first: "
                f"{first[0][:60]!r}); {_EXPECTED_SMILES}"
            )


_EXPECTED_SMILES = "expected one SMILES a line, or a .csv or .tsv file with a column called SMILES"


def _smiles_in(path: Path) -> Iterator[str]:
    """The SMILES of a text or CSV file, blank lines left out, unchecked."""
    delimiter = {".csv": ",", ".tsv": "\t"}.get(path.suffix.lower())
    with path.open(encoding="utf-8-sig", newline="") as file:
        if delimiter is None:
            yield from (line.split()[0] for line in file if line.strip())
            return
        rows = csv.reader(file, delimiter=delimiter)
        header = [name.strip().lower() for name in next(rows, [])]
        if "smiles" not in header:
            raise InputError(
                f"--smiles {path}: found the columns {', '.join(header) or 'none'}; expected one "
                "called SMILES"
            )
        column = header.index("smiles")
        yield from (row[column].strip() if column < len(row) else "" for row in rows if row)


def file_digest(path: Path) -> str:
    """SHA-256 of a file, read as it goes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
