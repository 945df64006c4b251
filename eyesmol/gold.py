"""The truth to score against: a dataset of ours, a CSV, or a folder of molfiles.

A row that cannot be scored is kept with its reason, never dropped in silence.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eyesmol.answer import read_answer
from eyesmol.chemistry import canonical_smiles, molblock_to_smiles
from eyesmol.graph import MolGraph
from eyesmol.molfile import parse_molblock, read_molblock

__all__ = ["Gold", "GoldSet", "ScoreError", "load_gold"]


class ScoreError(Exception):
    """Gold or predictions that cannot be scored; names the file, what was found and what to do."""


@dataclass(frozen=True)
class Gold:
    """One true row.

    Attributes:
        image: the picture's name.
        smiles: canonical.
        graph: None where none is known; y down, in pixels or another unit.
    """

    image: str
    smiles: str
    graph: MolGraph | None = None


@dataclass(frozen=True)
class GoldSet:
    """The rows that can be scored, and picture and reason of those that cannot."""

    source: str
    rows: tuple[Gold, ...]
    unscorable: tuple[tuple[str, str], ...] = ()


def load_gold(path: Path | str) -> GoldSet:
    """Read a gold set.

    Args:
        path: a dataset JSON of LLaVA rows (the rows of task ``cot`` count), a CSV with columns
            ``image`` and ``smiles``, or a folder of molfiles named like their pictures.

    Raises:
        ScoreError: it is none of these, or holds no gold row at all.
    """
    path = Path(path)
    if path.is_dir():
        found = list(_molfile_rows(path))
    elif path.suffix.lower() == ".json":
        found = list(_dataset_rows(path))
    elif path.suffix.lower() == ".csv":
        found = list(_csv_rows(path))
    else:
        raise ScoreError(
            f"{path}: {'is no gold set' if path.exists() else 'no such file'}; expected a dataset "
            "(test.json), a .csv with columns image and smiles, or a folder of molfiles"
        )
    if not found:
        raise ScoreError(
            f"{path}: holds no gold row; expected rows of task cot (JSON), rows (CSV) or .mol files"
        )
    rows = tuple(item for item in found if isinstance(item, Gold))
    return GoldSet(str(path), rows, tuple(item for item in found if not isinstance(item, Gold)))


_Found = Iterator[Gold | tuple[str, str]]


def _dataset_rows(path: Path) -> _Found:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ScoreError(f"{path}: cannot be read as JSON: {error}") from None
    if not isinstance(rows, list):
        raise ScoreError(
            f"{path}: found {type(rows).__name__}, expected a list of rows "
            '{"id", "image", "conversations", "task"}'
        )
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            yield f"row {number}", f"found {type(row).__name__}, expected an object"
        elif row.get("task", "cot") == "cot":
            yield _dataset_row(row, number)


def _dataset_row(row: dict[str, Any], number: int) -> Gold | tuple[str, str]:
    image = row.get("image")
    if not isinstance(image, str) or not image:
        return f"row {number} (id {row.get('id')!r})", 'no "image"'
    try:
        answers = [t["value"] for t in row["conversations"] if t["from"] == "gpt"]
        answer = read_answer(answers[0])
    except (KeyError, IndexError, TypeError, AttributeError):
        return image, "no gpt answer among its conversations"
    smiles = canonical_smiles(answer.smiles or "")
    if smiles is None:
        return image, "its answer holds no SMILES that RDKit reads"
    if answer.problems:
        return image, f"its answer is broken: {answer.problems[0]}"
    return Gold(image, smiles, answer.graph)


def _csv_rows(path: Path) -> _Found:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if not {"image", "smiles"} <= set(reader.fieldnames or ()):
                raise ScoreError(
                    f"{path}: found the columns {', '.join(reader.fieldnames or ()) or 'none'}; "
                    "expected image and smiles"
                )
            for row in reader:
                image = row["image"] or f"line {reader.line_num}"
                smiles = canonical_smiles(row["smiles"] or "")
                if not row["image"]:
                    yield image, "no image"
                elif smiles is None:
                    yield image, "its SMILES is none that RDKit reads"
                else:
                    yield Gold(image, smiles)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ScoreError(f"{path}: cannot be read as CSV: {error}") from None


def _molfile_rows(folder: Path) -> _Found:
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() != ".mol":
            continue
        try:
            block = read_molblock(path)
            smiles = molblock_to_smiles(block, source=path.name)
            # Molfiles have y up, graphs of pictures y down; wedges would turn over otherwise.
            graph = parse_molblock(block, source=path.name).transformed(1, 0, 0, flip=True)
        except (OSError, ValueError) as error:
            # Without its own name, equal reasons can be counted together.
            yield path.name, str(error).replace(f"{path}: ", "").replace(f"{path.name}: ", "")
            continue
        if smiles:
            yield Gold(path.name, smiles, graph)
        else:
            yield path.name, "the molfile has no atoms"
