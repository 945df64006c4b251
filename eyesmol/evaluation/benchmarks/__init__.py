"""The public benchmarks, read as they are published.

Each is described by a YAML file beside this one; a file of your own works as well. Its fields:

- ``title``: what it is, in a few words
- ``source``: where it is published
- ``pictures``: how many it has (a data folder with another number is said, not refused)
- ``note``: what one should know of its truth
- ``layouts``: the ways in which its files lie in a data folder, tried in turn; of each

  - ``from``: who publishes it so
  - ``images``: the folder of pictures, for the report; may be left out
  - ``molfiles``: the folder of molfiles named like the pictures, or
  - ``carbon``: a JSON Lines file of CARBON records, or
  - ``table``: a CSV, TSV or JSON Lines file, with
  - ``image_columns``, ``smiles_columns``: names of its columns, in any case (the usual ones)

A path may have ``*`` in it. It is looked for from the data folder with its leading folders left off
one after another, so that the folder may be the whole download or the part that holds the files. A
table whose first line is no header but a row is taken as picture first, SMILES wherever one stands.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from eyesmol.chem.smiles import canonical_smiles
from eyesmol.evaluation.gold import (
    SMILES_COLUMNS,
    Gold,
    GoldSet,
    ScoreError,
    carbon_golds,
    gold_set,
    molfile_golds,
    table_golds,
)
from eyesmol.evaluation.tables import IMAGE_COLUMNS

__all__ = [
    "Benchmark",
    "BenchmarkData",
    "Layout",
    "benchmark_names",
    "load_benchmark",
    "read_benchmark",
]


@dataclass(frozen=True)
class Layout:
    """One way in which a benchmark's files lie; see above."""

    publisher: str
    images: str | None
    molfiles: str | None
    table: str | None
    carbon: str | None = None
    image_columns: tuple[str, ...] = IMAGE_COLUMNS
    smiles_columns: tuple[str, ...] = SMILES_COLUMNS

    @property
    def place(self) -> str:
        """Where its truth lies: a folder or a file."""
        return self.molfiles or self.table or self.carbon or ""


@dataclass(frozen=True)
class Benchmark:
    """A public set of pictures with their molecules; see above."""

    name: str
    title: str
    source: str
    pictures: int | None
    note: str
    layouts: tuple[Layout, ...]


def benchmark_names() -> list[str]:
    """Names of the benchmarks that come with EyesMol."""
    return sorted(p.name.removesuffix(".yaml") for p in files(__package__).iterdir()
                  if p.name.endswith(".yaml"))  # fmt: skip


def read_benchmark(name: str) -> Benchmark:
    """The description of a benchmark.

    Args:
        name: one of `benchmark_names`, or the path of a YAML file.

    Raises:
        ScoreError: there is none, or it is broken; says which field.
    """
    known = benchmark_names()
    if name in known:
        text = files(__package__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
        return _described(name, text, f"{name}.yaml")
    path = Path(name)
    if not path.is_file() or path.suffix.lower() not in (".yaml", ".yml"):
        raise ScoreError(
            f"--benchmark {name}: expected one of {', '.join(known)}, or the path of a YAML file "
            "that describes one (fields: eyesmol/benchmarks/__init__.py)"
        )
    try:
        return _described(path.stem, path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ScoreError(f"{path}: cannot be read: {error}") from None


def _described(name: str, text: str, source: str) -> Benchmark:
    try:
        fields = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ScoreError(f"{source}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(fields, dict) or not isinstance(fields.get("layouts"), list):
        raise ScoreError(f"{source}: expected fields title, source, pictures, note and layouts")
    _check_names(fields, {"title", "source", "pictures", "note", "layouts"}, source)
    return Benchmark(
        name,
        str(fields.get("title", name)),
        str(fields.get("source", "")),
        fields.get("pictures"),
        " ".join(str(fields.get("note", "")).split()),
        tuple(
            _layout(layout, f"{source}, layout {number}")
            for number, layout in enumerate(fields["layouts"], start=1)
        ),
    )


_LAYOUT_FIELDS = {"from", "images", "molfiles", "table", "carbon", "image_columns",
                  "smiles_columns"}  # fmt: skip


def _layout(fields: Any, where: str) -> Layout:
    kinds = ("molfiles", "table", "carbon")
    if not isinstance(fields, dict) or sum(bool(fields.get(kind)) for kind in kinds) != 1:
        raise ScoreError(
            f"{where}: expected molfiles (a folder), table or carbon (a file), one of the three"
        )
    _check_names(fields, _LAYOUT_FIELDS, where)
    columns = {
        key: tuple(str(name).lower() for name in fields[key])
        for key in ("image_columns", "smiles_columns")
        if fields.get(key)
    }
    return Layout(
        str(fields.get("from", "")),
        fields.get("images"),
        fields.get("molfiles"),
        fields.get("table"),
        fields.get("carbon"),
        **columns,
    )


def _check_names(fields: dict[str, Any], known: set[str], where: str) -> None:
    if unknown := sorted(set(map(str, fields)) - known):
        raise ScoreError(
            f"{where}: found the field {unknown[0]!r}, expected {', '.join(sorted(known))}"
        )


# ---- its data ----


@dataclass(frozen=True)
class BenchmarkData:
    """What was found in a data folder.

    Attributes:
        gold: the truth.
        images: the folder of pictures, where one is there.
        used: which files and columns were used, one sentence each.
    """

    gold: GoldSet
    images: Path | None
    used: tuple[str, ...]


def load_benchmark(name: str, folder: Path | str) -> BenchmarkData:
    """The truth of a benchmark, from wherever its files lie in a folder.

    Args:
        name: see `read_benchmark`.
        folder: the download, unpacked, or the part of it that holds the files.

    Raises:
        ScoreError: no layout fits; says what was looked for.
    """
    benchmark, folder = read_benchmark(name), Path(folder)
    if not folder.is_dir():
        raise ScoreError(f"--data {folder}: no such folder; expected {benchmark.title}, unpacked")
    for layout in benchmark.layouts:
        place = _find(folder, layout.place, want_folder=bool(layout.molfiles))
        if place is not None:
            return _loaded(benchmark, layout, folder, place)
    looked = "; ".join(
        f"{layout.place}{f' ({layout.publisher})' if layout.publisher else ''}"
        for layout in benchmark.layouts
    )
    raise ScoreError(
        f"--data {folder}: holds no {benchmark.title}; looked for {looked}, with any of the "
        f"leading folders left off; published at {benchmark.source or 'an unknown place'}"
    )


def _find(folder: Path, pattern: str, *, want_folder: bool) -> Path | None:
    """The first place that fits, with as many of the leading folders as there are."""
    parts = PurePosixPath(pattern).parts
    for start in range(len(parts)):
        for place in sorted(folder.glob("/".join(parts[start:]))):
            if place.is_dir() == want_folder:
                return place
    # The folder may be the one that is looked for.
    if want_folder and parts and folder.match(parts[-1]):
        return folder
    return None


def _loaded(benchmark: Benchmark, layout: Layout, folder: Path, place: Path) -> BenchmarkData:
    used = [f"{benchmark.title}: truth from {place}"]
    if layout.molfiles:
        found = list(molfile_golds(place))
    elif layout.carbon:
        found = list(carbon_golds(place))
    else:
        found, columns = _table(place, layout)
        used.append(columns)
    if not found:
        raise ScoreError(f"{place}: holds no molecule; expected those of {benchmark.title}")
    images = _find(folder, layout.images, want_folder=True) if layout.images else None
    used.append(f"pictures from {images}" if images else "no folder of pictures found")
    if benchmark.pictures and len(found) != benchmark.pictures:
        used.append(f"{len(found)} molecules here; as published it has {benchmark.pictures}")
    return BenchmarkData(gold_set(str(place), found), images, tuple(used))


def _table(path: Path, layout: Layout) -> tuple[list[Gold | tuple[str, str]], str]:
    """The rows of a table, with a header or without, and the columns that they come from."""
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, delimiter=delimiter)
            first = next(lines, [])
            if path.suffix.lower() in (".csv", ".tsv") and _is_row(first, layout):
                rows = list(_headless([first, *lines]))
                return rows, "no header: the picture from the first column, the SMILES beside it"
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ScoreError(f"{path}: cannot be read: {error}") from None
    names = [name.strip().lower() for name in first]
    used = [
        next((name for name in wanted if name in names), wanted[0])
        for wanted in (layout.image_columns, layout.smiles_columns)
    ]
    rows = list(table_golds(path, layout.image_columns, layout.smiles_columns))
    return rows, f"columns {used[0]} and {used[1]}"


def _is_row(first: list[str], layout: Layout) -> bool:
    """True where a table's first line is no header but a picture and a SMILES."""
    known = {*layout.image_columns, *layout.smiles_columns}
    return (
        len(first) > 1
        and not known & {name.strip().lower() for name in first}
        and any(canonical_smiles(cell.strip()) for cell in first[1:])
    )


def _headless(lines: list[list[str]]) -> Iterator[Gold | tuple[str, str]]:
    for number, (image, *cells) in enumerate((line for line in lines if line), start=1):
        smiles = next(filter(None, (canonical_smiles(cell.strip()) for cell in cells)), None)
        if smiles is None:
            yield image or f"line {number}", "no SMILES that RDKit reads beside it"
        else:
            yield Gold(image, smiles)
