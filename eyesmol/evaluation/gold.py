"""The truth to score against: a dataset of ours, a table, CARBON records, a folder of molfiles.

A row that cannot be scored is kept with its reason, never dropped in silence.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eyesmol.answer.text import read_answer
from eyesmol.chem.carbon import Carbon, CarbonError, is_carbon
from eyesmol.chem.graph import BondOrder, MolGraph
from eyesmol.chem.labelled_smiles import plain_smiles
from eyesmol.chem.molfile import parse_molblock, read_molblock
from eyesmol.chem.smiles import canonical_smiles, graph_to_smiles, molblock_to_smiles
from eyesmol.evaluation.tables import (
    IMAGE_COLUMNS,
    TABLE_ENDINGS,
    expected_columns,
    first_of,
    plain_names,
    table_rows,
)
from eyesmol.outputs import OutputError

__all__ = [
    "Gold",
    "GoldSet",
    "ScoreError",
    "carbon_golds",
    "carbon_smiles",
    "gold_set",
    "load_gold",
    "molfile_golds",
    "table_golds",
]


class ScoreError(Exception):
    """Gold or predictions that cannot be scored; names the file, what was found and what to do."""


@dataclass(frozen=True)
class Gold:
    """One true row.

    Attributes:
        image: the picture's name.
        smiles: canonical; empty where a CARBON record says what no SMILES does.
        graph: None where none is known; y down, in pixels or another unit.
        carbon: the record, where the truth is one.
    """

    image: str
    smiles: str
    graph: MolGraph | None = None
    carbon: Carbon | None = None


@dataclass(frozen=True)
class GoldSet:
    """The rows that can be scored, and picture and reason of those that cannot."""

    source: str
    rows: tuple[Gold, ...]
    unscorable: tuple[tuple[str, str], ...] = ()


def load_gold(path: Path | str) -> GoldSet:
    """Read a gold set.

    Args:
        path: a dataset JSON of LLaVA rows (the rows of task ``cot`` count), a table (CSV, TSV,
            JSON Lines) with columns ``image`` and ``smiles`` or others that mean the same, JSON
            Lines of CARBON records, or a folder of molfiles named like their pictures.

    Raises:
        ScoreError: it is none of these, or holds no gold row at all.
    """
    path = Path(path)
    if path.is_dir():
        found = list(molfile_golds(path))
    elif path.suffix.lower() == ".json":
        found = list(_dataset_rows(path))
    elif path.suffix.lower() == ".jsonl" and _holds_carbon(path):
        found = list(carbon_golds(path))
    elif path.suffix.lower() in TABLE_ENDINGS:
        found = list(table_golds(path))
    else:
        raise ScoreError(
            f"{path}: {'is no gold set' if path.exists() else 'no such file'}; expected a dataset "
            "(test.json), a .csv with columns image and smiles, or a folder of molfiles"
        )
    if not found:
        raise ScoreError(
            f"{path}: holds no gold row; expected rows of task cot (JSON), rows (CSV) or .mol files"
        )
    return gold_set(str(path), found)


def gold_set(source: str, found: Iterable[Gold | tuple[str, str]]) -> GoldSet:
    """Golds and those that cannot be scored, told apart."""
    items = list(found)
    rows = tuple(item for item in items if isinstance(item, Gold))
    return GoldSet(source, rows, tuple(item for item in items if not isinstance(item, Gold)))


def _dataset_rows(path: Path) -> Iterator[Gold | tuple[str, str]]:
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


# In the order in which they are looked for, in any case.
SMILES_COLUMNS = ("smiles", "canonical_smiles", "gold_smiles", "isomeric_smiles", "cxsmiles",
                  "label", "answer")  # fmt: skip


def table_golds(
    path: Path,
    image_columns: Sequence[str] = IMAGE_COLUMNS,
    smiles_columns: Sequence[str] = SMILES_COLUMNS,
) -> Iterator[Gold | tuple[str, str]]:
    """Golds of a table, or picture and reason where one cannot be scored.

    Raises:
        ScoreError: it cannot be read, or has no column for the picture or the SMILES.
    """
    try:
        for number, row in table_rows(path):
            lower = plain_names(row)
            for what, names in (("no picture", image_columns), ("no SMILES", smiles_columns)):
                if not lower.keys() & set(names):
                    raise ScoreError(f"{path}: {expected_columns(what, lower, names)}")
            image, smiles = first_of(lower, image_columns), first_of(lower, smiles_columns)
            if image is None:
                yield f"line {number}", "no image"
            elif (canonical := canonical_smiles(plain_smiles(str(smiles or "").strip()))) is None:
                yield str(image), "its SMILES is none that RDKit reads"
            else:
                yield Gold(str(image), canonical)
    except OutputError as error:
        raise ScoreError(str(error)) from None


def _holds_carbon(path: Path) -> bool:
    try:
        return any(is_carbon(row) for _, row in itertools.islice(table_rows(path), 1))
    except OutputError as error:
        raise ScoreError(str(error)) from None


def carbon_golds(path: Path) -> Iterator[Gold | tuple[str, str]]:
    """Golds of CARBON records (JSON Lines), or image and reason where one is no record.

    Raises:
        ScoreError: it cannot be read, or a line is no JSON.
    """
    try:
        for number, row in table_rows(path):
            image = first_of(plain_names(row), IMAGE_COLUMNS)
            if image is None:
                yield f"line {number}", "no id"
            else:
                yield _carbon_gold(str(image), row)
    except OutputError as error:
        raise ScoreError(str(error)) from None


def _carbon_gold(image: str, row: dict[str, Any]) -> Gold | tuple[str, str]:
    try:
        carbon = Carbon.from_dict(row)
    except CarbonError as error:
        return image, str(error)
    if not carbon.symbols:
        return image, "the record has no atoms"
    return Gold(image, carbon_smiles(carbon) or "", carbon.graph(), carbon)


def carbon_smiles(carbon: Carbon) -> str | None:
    """Canonical SMILES of a record, None where it has none that says it all.

    Every label has to expand and RDKit to accept the molecule. As in the benchmark's simplified
    graph a dative bond, a bold one and one of any kind are single; brackets are left out.
    """
    graph = carbon.with_simple_bonds().graph()
    bonds = (
        replace(bond, order=BondOrder.SINGLE) if bond.order is BondOrder.ATTACHMENT else bond
        for bond in graph.bonds
    )
    smiles, problems = graph_to_smiles(MolGraph(graph.atoms, tuple(bonds)))
    return smiles if smiles and not problems and any(map(str.isalpha, smiles)) else None


def molfile_golds(folder: Path) -> Iterator[Gold | tuple[str, str]]:
    """Golds of a folder of molfiles (.mol, or an .sdf of one record), by name."""
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in (".mol", ".sdf"):
            continue
        try:
            block = read_molblock(path).partition("$$$$")[0]
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
