"""The compound catalogue: what the collectors write and the builders read.

A catalogue is a folder with ``catalogue.parquet``, a row a compound or drawing, and the images
that its rows name. It is written and read in a stream, so its length does not matter.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path, PurePosixPath

import pyarrow as pa

from data_preprocess.catalogue.table import Table
from eyesmol.exceptions import InputError

__all__ = ["COMPOUNDS", "Compound", "has_file", "read_file"]

_MOST_BYTES = 256 << 20  # of a member of an archive: a few bytes can claim to be any number
_ARCHIVE_MARK = ".zip!"  # in an image's path: what stands before is the archive, behind its member


@dataclass(frozen=True)
class Compound:
    """One row. A field that a source does not have is None.

    Attributes:
        id: unique in its catalogue and fit for a file name, such as ``CID2244``, ``CHEBI15377`` or
            ``US06838576-20050104-C00012``.
        source: ``pubchem``, ``chebi``, ``uspto`` ...
        licence: of the row, as the source states it.
        smiles: with stereo where the source has it.
        inchikey: of `smiles`.
        name: for people.
        description: of the compound, plain text.
        description_source: who wrote it.
        visual_description: of the image, by a model.
        visual_model: the version of the model that answered.
        image: path of the image relative to the catalogue's folder, ``/`` between its parts;
            ``archive.zip!member`` names an image inside an archive.
        molfile: the molblock itself.
        group: what must not be torn apart by a split besides the molecule, such as a patent number.
    """

    id: str
    source: str
    licence: str
    smiles: str | None = None
    inchikey: str | None = None
    name: str | None = None
    description: str | None = None
    description_source: str | None = None
    visual_description: str | None = None
    visual_model: str | None = None
    image: str | None = None
    molfile: str | None = None
    group: str | None = None


_REQUIRED = ("id", "source", "licence")


def _parsed(values: dict[str, str | None]) -> Compound:
    if empty := [name for name in _REQUIRED if not values[name]]:
        raise ValueError(f"{', '.join(empty)} is empty")
    return Compound(**values)  # type: ignore[arg-type]  # the required ones are there


COMPOUNDS: Table[Compound] = Table(
    name="catalogue.parquet",
    what="catalogue",
    made_by="`collect` and `import` write",
    schema=pa.schema([(column.name, pa.string()) for column in fields(Compound)]),
    required=_REQUIRED,
    parse=_parsed,
)
"""The catalogue itself.

>>> with COMPOUNDS.writer(folder) as catalogue:  # doctest: +SKIP
...     catalogue.add(Compound("CID2244", "pubchem", "public domain", smiles="..."))
"""


def read_file(folder: Path, reference: str) -> bytes:
    """The bytes of an image that a row of a catalogue in `folder` names.

    Raises:
        InputError: the path leads out of the folder.
        OSError: no such file, no such member of the archive, or one too large to be an image.
        zipfile.BadZipFile: a broken archive.
    """
    path, member = _located(folder, reference)
    if member is None:
        return path.read_bytes()
    try:
        archive = _archive(path)
        if (size := archive.getinfo(member).file_size) > _MOST_BYTES:
            raise OSError(f"{path}: the member {member} unpacks to {size:,} bytes")
        return archive.read(member)
    except KeyError:
        raise FileNotFoundError(f"{path}: the archive has no member {member}") from None


def has_file(folder: Path, reference: str) -> bool:
    """Whether `read_file` would find something there; nothing is read.

    Raises:
        InputError: the path leads out of the folder.
    """
    path, member = _located(folder, reference)
    return path.is_file() and (member is None or member in _archive(path).NameToInfo)


def _located(folder: Path, reference: str) -> tuple[Path, str | None]:
    """The file, and the member where the file is an archive."""
    name, mark, member = reference.partition(_ARCHIVE_MARK)
    inside = PurePosixPath(name + mark.rstrip("!"))
    if inside.is_absolute() or ".." in inside.parts or "\\" in reference:
        raise InputError(f"{reference}: leads out of the catalogue's folder {folder}")
    return folder / inside, member if mark else None


@lru_cache(maxsize=4)
def _archive(path: Path) -> zipfile.ZipFile:
    """Opened once a process: the directory of a large archive takes seconds to read."""
    return zipfile.ZipFile(path)
