"""Predictions to score: those of `eyesmol recognize`, and what other tools write.

- a table (CSV, TSV, JSON Lines) with a column for the image and one for the SMILES or the
  molfile: ours, DECIMER's, MolScribe's (``post_SMILES``, abbreviations expanded, comes before
  ``SMILES``), or any other; the names are in `eyesmol.evaluation.tables` and below. One without a
  header has the image first, then the SMILES
- CARBON records (JSON Lines), ours (``.carbon.jsonl``) or another tool's: see `eyesmol.chem.carbon`
- JSON: a list of such rows, or an object with a SMILES or a row for each image's name
- a list ``.smi``: a SMILES, then its image, a line each
- an SDF (MolVec's ``-outSdf``): a record's name is its image's, or its field ``image`` is
- a folder of molfiles (``NAME.mol``; MolVec writes ``NAME.png.mol``) or of OSRA's text
  (``NAME.txt``, ``NAME.smi``), named like the images

In place of one SMILES there may be a list, the likeliest first: of SMILES, of pairs of SMILES and
score, or of objects with both; in CSV it is written as JSON. The first is the answer, the others
are its alternatives.

OSRA prints a line a structure: SMILES, then what was asked for (``-b`` bond length, ``-p``
confidence, ``-e`` page, ``-c`` box). Of two plain numbers with a point the second is the
confidence, of one it is that one. Where OSRA or an SDF has several structures for a picture, the
largest counts (most heavy atoms; of equals the more confident, then the first): a benchmark's
picture shows one compound, and what else is found are specks, captions and counter-ions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

from rdkit import Chem, rdBase

from eyesmol.chem.carbon import Carbon, is_carbon
from eyesmol.chem.labelled_smiles import plain_smiles
from eyesmol.chem.molfile import UnheldError, parse_molblock, read_molblock
from eyesmol.chem.smiles import molblock_to_smiles
from eyesmol.evaluation.gold import ScoreError, carbon_smiles
from eyesmol.evaluation.tables import (
    IMAGE_COLUMNS,
    expected_columns,
    first_of,
    plain_names,
    table_rows,
)
from eyesmol.image.loading import IMAGE_ENDINGS
from eyesmol.outputs import OutputError
from eyesmol.recognition import Molecule, Recognition

__all__ = ["MOLFILE_COLUMNS", "SMILES_COLUMNS", "load_predictions", "osra_reading"]

# In the order in which they are looked for, in any case.
SMILES_COLUMNS = ("post_smiles", "smiles", "predicted_smiles", "pred_smiles", "prediction",
                  "canonical_smiles", "cxsmiles")  # fmt: skip
MOLFILE_COLUMNS = ("molblock", "molfile", "post_molblock", "pred_molblock", "mol")
_CONFIDENCE_COLUMNS = ("confidence", "score", "overall_score", "confidence_estimate")
_SECONDS_COLUMNS = ("seconds", "time", "runtime", "elapsed")
_MEMORY_COLUMNS = ("memory_mib", "peak_memory_mib", "memory")

_SDF_FIELD = re.compile(r"^>[^\n]*<([^>\n]+)>[^\n]*\n([^\n]*)", re.MULTILINE)
_NUMBER = re.compile(r"-?\d+\.\d+(?:[eE][-+]?\d+)?")


def load_predictions(path: Path | str) -> list[Recognition]:
    """Read predictions.

    Args:
        path: see above.

    Raises:
        ScoreError: it cannot be read, or holds none; names the file and the line.
    """
    path = Path(path)
    if path.is_dir():
        found = list(_of_folder(path))
        if not found:
            raise ScoreError(
                f"{path}: no prediction in this folder; expected NAME.mol, NAME.sdf, or OSRA's "
                "NAME.txt or NAME.smi for NAME.png"
            )
        return found
    if path.suffix.lower() in (".sdf", ".sd"):
        return list(_of_sdf(path))
    if path.suffix.lower() == ".smi":
        return list(_of_smi(path))
    return list(_of_rows(path))


# ---- tables ----


def _of_rows(path: Path) -> Iterator[Recognition]:
    columns: dict[str, None] = {}
    try:
        for number, row in table_rows(path):
            columns |= dict.fromkeys(plain_names(row))
            try:
                yield _of_row(row)
            except ValueError as error:
                raise ScoreError(f"{path}, line {number}: {error}") from None
    except OutputError as error:
        raise ScoreError(str(error)) from None
    # A row of JSON may lack its molecule where none was read; that none has one is a mistake.
    if columns and not columns.keys() & {*SMILES_COLUMNS, *MOLFILE_COLUMNS, "symbols", "error"}:
        expected = expected_columns("no molecule", columns, SMILES_COLUMNS + MOLFILE_COLUMNS)
        raise ScoreError(f"{path}: {expected}")


def _of_row(row: dict[str, Any]) -> Recognition:
    """A row of ours as it is; another tool's by the names of its columns.

    Raises:
        ValueError: nothing names the picture, or a number is none.
    """
    if {"image", "smiles"} <= row.keys() and (row.get("answer") or row.get("smiles_from")):
        return Recognition.from_dict(row)
    lower = plain_names(row)
    image = first_of(lower, IMAGE_COLUMNS)
    if image is None:
        raise ValueError(expected_columns("no image", lower, IMAGE_COLUMNS))
    ours = {
        "image": str(image),
        "confidence": first_of(lower, _CONFIDENCE_COLUMNS),
        "seconds": first_of(lower, _SECONDS_COLUMNS),
        "memory_mib": first_of(lower, _MEMORY_COLUMNS),
        "error": lower.get("error") or None,
    }
    if is_carbon(row):
        return _with(_of_carbon(row, ours), ours)
    smiles, block = first_of(lower, SMILES_COLUMNS), first_of(lower, MOLFILE_COLUMNS)
    if smiles is None and block is not None and ours["error"] is None:
        return _with(_of_molblock(ours["image"], str(block)), ours)
    (best, score), *others = _ranked(smiles)
    if ours["confidence"] is None:
        ours["confidence"] = score
    known = {key: row.get(key) for key in ("written_smiles", "graph_smiles", "problems")}
    found = Recognition.from_dict({**known, **ours, "smiles": best})
    return replace(found, alternatives=tuple(smiles for smiles, _ in others if smiles))


def _of_carbon(row: dict[str, Any], ours: dict[str, Any]) -> Recognition:
    """A CARBON record, with its own SMILES or the one of its graph; an empty one is no molecule."""
    carbon = Carbon.from_dict(row)
    if ours["error"] or not carbon.symbols:
        return Recognition(ours["image"], error=ours["error"])
    text = first_of(row, SMILES_COLUMNS)
    smiles = plain_smiles(str(text).strip()) if text is not None else None
    graph_smiles = carbon_smiles(carbon)
    molecule = Molecule(smiles or graph_smiles, graph_smiles=graph_smiles)
    return Recognition(ours["image"], graph=carbon.graph(), molecule=molecule, carbon=carbon)


def _ranked(cell: Any) -> list[tuple[str | None, float | None]]:
    """SMILES and scores of a cell, at least one; None where there is none.

    Raises:
        ValueError: an entry of a list that is no SMILES.
    """
    if isinstance(cell, str) and cell.lstrip().startswith(('["', '[["', "[{", "[]")):
        try:
            cell = json.loads(cell)
        except ValueError:
            raise ValueError(f"found {cell[:60]!r}, expected a SMILES or a list in JSON") from None
    entries = cell if isinstance(cell, list) else [] if cell is None else [cell]
    return [_entry(entry) for entry in entries] or [(None, None)]


def _entry(entry: Any) -> tuple[str | None, float | None]:
    """One of a list: a SMILES, a pair of SMILES and score, or an object with both."""
    score = None
    if isinstance(entry, dict):
        lower = plain_names(entry)
        entry, score = first_of(lower, SMILES_COLUMNS), first_of(lower, _CONFIDENCE_COLUMNS)
    elif isinstance(entry, list) and len(entry) == 2:
        entry, score = entry
    if isinstance(entry, list | dict):
        raise ValueError(f"found {str(entry)[:60]}, expected a SMILES, or a SMILES and its score")
    text = str(entry).strip() if entry is not None else ""
    return plain_smiles(text) if text else None, None if score is None else float(score)


def _with(read: Recognition, more: dict[str, Any]) -> Recognition:
    """Confidence, seconds and memory of a row or a record, where it has them."""
    confidence, memory = more.get("confidence"), more.get("memory_mib")
    return replace(
        read,
        confidence=None if confidence in (None, "") else float(confidence),
        seconds=float(more.get("seconds") or 0),
        memory_mib=None if memory in (None, "") else float(memory),
    )


def _of_smi(path: Path) -> Iterator[Recognition]:
    """A SMILES and its image a line, as `eyesmol recognize` and Open Babel write it."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ScoreError(f"{path}: cannot be read: {error}") from None
    for number, line in enumerate(lines, start=1):
        smiles, _, image = line.strip().partition("\t" if "\t" in line.strip() else " ")
        if image.strip():
            yield Recognition(image.strip(), molecule=Molecule(plain_smiles(smiles.strip())))
        elif smiles:
            raise ScoreError(
                f"{path}, line {number}: found {line[:60]!r}, expected a SMILES and its image"
            )


# ---- folders ----


def _of_folder(folder: Path) -> Iterator[Recognition]:
    for path in sorted(folder.iterdir()):
        ending = path.suffix.lower()
        if ending == ".mol":
            # MolVec writes a.png.mol of a.png.
            is_suffixed = Path(path.stem).suffix.lower() in IMAGE_ENDINGS
            yield _of_molfile(path, path.stem if is_suffixed else path.name)
        elif ending in (".sdf", ".sd"):
            yield _largest(path.stem, list(_records(path, name=path.stem)))
        elif ending in (".txt", ".smi"):
            yield _of_osra(path)


def _of_molfile(path: Path, image: str) -> Recognition:
    try:
        return _of_molblock(image, read_molblock(path))
    except (OSError, ValueError) as error:
        return Recognition(image, error=f"{path.name}: {error}")


def _of_osra(path: Path) -> Recognition:
    try:
        return osra_reading(path.stem, path.read_text(encoding="utf-8", errors="replace"))
    except ValueError as error:
        raise ScoreError(f"{path}, {error}") from None


def osra_reading(image: str, text: str, *, seconds: float = 0.0) -> Recognition:
    """OSRA's words on one picture; no line is a picture in which it found nothing.

    Raises:
        ValueError: a line that is none of OSRA's.
    """
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        smiles, *rest = line.split()
        if not re.search(r"[A-Za-z*]", smiles):
            raise ValueError(
                f"line {number}: found {line[:60]!r}, expected a SMILES and what OSRA prints behind"
            )
        numbers = [float(word) for word in rest if _NUMBER.fullmatch(word)]
        confidence = numbers[min(len(numbers), 2) - 1] if numbers else None
        molecule = Molecule(plain_smiles(smiles))
        found.append(Recognition(image, molecule=molecule, confidence=confidence, seconds=seconds))
    return _largest(image, found) if found else Recognition(image, seconds=seconds)


def _largest(image: str, found: list[Recognition]) -> Recognition:
    """Of several structures for one picture the one that counts; see above."""
    if not found:
        return Recognition(image)
    best = max(found, key=lambda read: (_heavy_atoms(read.smiles), read.confidence or 0.0))
    return replace(best, image=image)


def _heavy_atoms(smiles: str | None) -> int:
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles or "", sanitize=False)
    return int(mol.GetNumHeavyAtoms()) if mol is not None else -1


# ---- molfiles and SDF ----


def _of_sdf(path: Path) -> Iterator[Recognition]:
    """A prediction for each picture; records of one picture that follow each other are several."""
    for name, records in groupby(_records(path), key=lambda read: read.image):
        yield _largest(name, list(records))


def _records(path: Path, *, name: str = "") -> Iterator[Recognition]:
    """Each record of an SDF; `name` is the picture of records that name none."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ScoreError(f"{path}: cannot be read: {error}") from None
    records = re.split(r"^\$\$\$\$[^\n]*\n?", text.replace("\r\n", "\n"), flags=re.MULTILINE)
    for number, record in enumerate(records[:-1] if not records[-1].strip() else records, start=1):
        block, end, rest = record.partition("M  END")
        fields = {name.lower(): value.strip() for name, value in _SDF_FIELD.findall(rest)}
        image = fields.get("image") or name or block.partition("\n")[0].strip()
        if not image:
            raise ScoreError(
                f"{path}, record {number}: no name; expected the picture's in its first line or in "
                "a field <image>"
            )
        if fields.get("error"):
            yield Recognition(image, error=fields["error"])
            continue
        read = _of_molblock(image, block + end + "\n")
        confidence = next((fields[n] for n in _CONFIDENCE_COLUMNS if fields.get(n)), None)
        try:
            yield _with(read, {**fields, "confidence": confidence})
        except ValueError as error:
            raise ScoreError(f"{path}, record {number}: {error}") from None


def _of_molblock(image: str, block: str) -> Recognition:
    """Another tool's molecule; one that RDKit refuses is a prediction without a SMILES."""
    try:
        smiles = molblock_to_smiles(block, source=image)
        # Molfiles have y up, graphs of pictures y down.
        graph = parse_molblock(block, source=image).transformed(1, 0, 0, flip=True)
    except UnheldError as error:  # a dative bond: the SMILES has it, no graph does
        held = Molecule(smiles, "graph", block, None, smiles, (str(error),))
        return Recognition(image, molecule=held)
    except ValueError as error:
        return Recognition(image, molecule=Molecule(problems=(str(error),)))
    if not graph.atoms:
        return Recognition(image)
    molecule = Molecule(smiles, "graph", block, None, smiles)
    return Recognition(image, graph=graph, molecule=molecule)
