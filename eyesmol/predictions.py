"""Predictions to score: those of `eyesmol recognize`, and what other tools write.

Other tools give an SDF (a record's name is its picture's, or its field ``image``), a folder of
molfiles named like the pictures, or a table of pictures and SMILES.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eyesmol.chemistry import molblock_to_smiles
from eyesmol.gold import ScoreError
from eyesmol.molfile import parse_molblock, read_molblock
from eyesmol.outputs import OutputError, read_rows
from eyesmol.recognition import Molecule, Recognition

__all__ = ["load_predictions"]

_IMAGE_COLUMNS = ("image", "file", "filename", "file_path", "image_id")
_SDF_FIELD = re.compile(r"^>[^\n]*<([^>\n]+)>[^\n]*\n([^\n]*)", re.MULTILINE)


def load_predictions(path: Path | str) -> list[Recognition]:
    """Read predictions.

    Args:
        path: JSON Lines or CSV of `eyesmol recognize`; any CSV with a column for the picture
            (``image``, ``file``, ``filename``, ``file_path`` or ``image_id``) and one for the
            ``smiles``, in any case; an SDF; a folder of molfiles.

    Raises:
        ScoreError: it cannot be read, or holds none; names the line.
    """
    path = Path(path)
    if path.is_dir():
        found = list(_of_molfiles(path))
        if not found:
            raise ScoreError(f"{path}: no molfile in this folder; expected NAME.mol for NAME.png")
        return found
    if path.suffix.lower() in (".sdf", ".sd"):
        return list(_of_sdf(path))
    return list(_of_rows(path))


def _of_rows(path: Path) -> Iterator[Recognition]:
    try:
        for number, row in read_rows(path):
            try:
                yield Recognition.from_dict(_named_as_ours(row))
            except ValueError as error:
                raise ScoreError(
                    f"{path}, line {number}: {error}; expected a row of eyesmol recognize, or "
                    "columns image and smiles"
                ) from None
    except OutputError as error:
        raise ScoreError(str(error)) from None


def _named_as_ours(row: dict[str, Any]) -> dict[str, Any]:
    """A row whose columns for picture and SMILES are called as in our own."""
    if "image" in row:
        return row
    lower = {name.strip().lower(): value for name, value in row.items() if isinstance(name, str)}
    image = next((lower[name] for name in _IMAGE_COLUMNS if lower.get(name)), None)
    return {"image": image, "smiles": lower.get("smiles"), "confidence": lower.get("confidence")}


def _of_molfiles(folder: Path) -> Iterator[Recognition]:
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() == ".mol":
            try:
                block = read_molblock(path)
            except (OSError, ValueError) as error:
                yield Recognition(path.name, error=f"{path.name}: {error}")
            else:
                yield _of_molblock(path.name, block)


def _of_sdf(path: Path) -> Iterator[Recognition]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ScoreError(f"{path}: cannot be read: {error}") from None
    records = re.split(r"^\$\$\$\$[^\n]*\n?", text.replace("\r\n", "\n"), flags=re.MULTILINE)
    for number, record in enumerate(records[:-1] if not records[-1].strip() else records, start=1):
        block, end, rest = record.partition("M  END")
        fields = {name.lower(): value.strip() for name, value in _SDF_FIELD.findall(rest)}
        name = fields.get("image") or block.partition("\n")[0].strip()
        if not name:
            raise ScoreError(
                f"{path}, record {number}: no name; expected the picture's in its first line or in "
                "a field <image>"
            )
        if fields.get("error"):
            yield Recognition(name, error=fields["error"])
        else:
            yield _of_molblock(name, block + end + "\n")


def _of_molblock(image: str, block: str) -> Recognition:
    """Another tool's molecule; one that RDKit refuses is a prediction without a SMILES."""
    try:
        smiles = molblock_to_smiles(block, source=image)
        # Molfiles have y up, graphs of pictures y down.
        graph = parse_molblock(block, source=image).transformed(1, 0, 0, flip=True)
    except ValueError as error:
        return Recognition(image, molecule=Molecule(problems=(str(error),)))
    if not graph.atoms:
        return Recognition(image)
    molecule = Molecule(smiles, "graph", block, None, smiles)
    return Recognition(image, graph=graph, molecule=molecule)
