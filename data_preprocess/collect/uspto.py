"""``collect uspto``: patent drawings with molfiles, from MolScribe's ``uspto_mol.zip``.

The release is one archive: ``uspto_mol/train_680k.csv`` (680,220 rows, each naming a TIFF and a
molfile) and the files themselves, folder by folder. Here it is read where it lies, zipped or
unpacked; nothing is copied. The CSV's own graph columns are not used: their atoms stand in another
order than the molfile's (facts of the release: MolScribe, github.com/thomas0809/MolScribe).
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import itertools
import json
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from rdkit import Chem, rdBase
from tqdm import tqdm

from data_preprocess.catalogue.compounds import COMPOUNDS, Compound, has_file, read_file
from data_preprocess.collect.info import finished
from data_preprocess.dataset.folder import Record, write_records
from data_preprocess.dataset.splits import Ledger
from data_preprocess.engine import available_cores, run
from data_preprocess.tally import Tally, print_drops
from eyesmol.atomic import write_json
from eyesmol.chem.molfile import MolfileError, UnheldError, block_to_mol, decode_molblock
from eyesmol.chem.smiles import molblock_to_smiles
from eyesmol.exceptions import InputError

LICENCE = "public domain: drawings of US patents (37 CFR 1.71), collected by MolScribe"

_TABLE = "uspto_mol/train_680k.csv"
_FOLDER = "uspto_mol"  # the first part of every path in the table
_COLUMNS = ("file_path", "mol_path")
_PART = 1_000  # rows of a part: some seconds of work
_PATENT = re.compile(r"(US[A-Z]*\d+)-\d{8}")

_EPILOG = """\
examples:
  python -m data_preprocess collect uspto --zip uspto_mol.zip --out data/uspto
  python -m data_preprocess collect uspto --folder uspto_mol --csv train_200k.csv --out data/uspto

then:
  python -m data_preprocess build cot --catalogue data/uspto --split-by group --out data/cot

A drawing of several molecules is left out, as in the work that this follows; --fragments keeps it.
Every row that is left out is counted by its reason in collect_info.json.
"""


def add(sources: Any) -> None:
    """Add ``collect uspto`` to the parsers."""
    parser = sources.add_parser(
        "uspto",
        help="patent drawings with molfiles: uspto_mol.zip, or its unpacked folder",
        description="Make a catalogue of the patent drawings that MolScribe published.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    release = parser.add_mutually_exclusive_group(required=True)
    release.add_argument("--zip", type=Path, metavar="FILE", help="the archive as published")
    release.add_argument("--folder", type=Path, metavar="DIR", help="the archive unpacked")
    parser.add_argument(
        "--csv",
        metavar="NAME",
        help=f"which table: a file, or a name inside the release ({_TABLE})",
    )
    parser.add_argument(
        "--fragments", action="store_true", help="keep drawings of several molecules"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="catalogue folder")
    parser.add_argument(
        "--workers", type=int, default=available_cores(), metavar="N", help="processes (all cores)"
    )
    parser.set_defaults(run=_collect)


def _collect(options: argparse.Namespace) -> int:
    release: Path = options.zip or options.folder
    info = collect(
        release,
        options.out,
        table=options.csv,
        fragments=options.fragments,
        workers=options.workers,
    )
    print(f"{options.out}: {info['rows']:,} drawings of {info['read']:,} rows")
    print_drops(info["drops"])
    return 0


def collect(
    release: Path,
    out: Path,
    *,
    table: str | None = None,
    fragments: bool = False,
    workers: int = 1,
    progress: bool = True,
) -> dict[str, Any]:
    """Write the catalogue of a release, or resume one that was interrupted.

    Args:
        release: ``uspto_mol.zip``, or the folder that it unpacks to.
        out: catalogue folder; it gets a link to the release, since images are read from there.
        table: the CSV; a file, or a name inside the release.
        fragments: keep drawings of several molecules.
        workers: processes.
        progress: show a bar.

    Returns:
        The content of ``collect_info.json``: `read` rows, `rows` kept, `drops` by reason.

    Raises:
        InputError: no release there, no such table, or the folder holds another collection.
    """
    linked = _linked(release, out)
    made_with = {
        "source": "uspto",
        "release": release.name,
        "size": release.stat().st_size if release.is_file() else None,
        "table": table or _TABLE,
        "fragments": fragments,
    }
    if (info := finished(out, made_with)) is not None:
        return info
    with _rows(release, linked, table) as rows:
        # Named by what makes them, so that parts of another call are never taken.
        digest = hashlib.sha256(json.dumps(made_with).encode()).hexdigest()[:12]
        parts = out / f"parts-{digest}"
        parts.mkdir(exist_ok=True)
        jobs = _jobs(rows, out, linked, parts, fragments)
        count = 0
        with tqdm(unit=" rows", desc=out.name, disable=not progress) as bar:
            for done in run(jobs, _work, workers):
                bar.update(done)
                count += done
    info = {**made_with, "licence": LICENCE, "read": count, **_written(out, parts, count)}
    write_json(out / "collect_info.json", info)
    shutil.rmtree(parts)
    return info


def _linked(release: Path, out: Path) -> str:
    """Link the release into the catalogue's folder; returns what precedes a path of the table."""
    if not release.exists():
        raise InputError(f"{release}: nothing there; expected uspto_mol.zip or its unpacked folder")
    if release.is_file() and not zipfile.is_zipfile(release):
        raise InputError(
            f"{release}: not a whole zip archive (truncated downloads lack the directory at the "
            "end); fetch it again"
        )
    if release.is_dir() and (release / _FOLDER).is_dir():
        release = release / _FOLDER
    link = out / ("uspto_mol.zip" if release.is_file() else _FOLDER)
    out.mkdir(parents=True, exist_ok=True)
    if link.is_symlink():
        link.unlink()
    elif link.exists() and not link.samefile(release):
        raise InputError(f"{link}: in the way of the link to {release}; choose another --out")
    if not link.exists():
        link.symlink_to(release.resolve())
    return f"{link.name}!" if release.is_file() else ""


_Row = tuple[int, str, str]  # number in the table, path of the image, path of the molfile


@contextmanager
def _rows(release: Path, linked: str, table: str | None) -> Iterator[Iterator[_Row]]:
    """The rows of the table, wherever it lies."""
    with _opened_table(release, linked, table) as file:
        yield _read_rows(io.TextIOWrapper(file, encoding="utf-8", newline=""), table or _TABLE)


def _read_rows(file: io.TextIOWrapper, name: str) -> Iterator[_Row]:
    csv.field_size_limit(1 << 24)  # the columns of coordinates are long
    number = 0
    try:
        reader = csv.DictReader(file)
        found = reader.fieldnames or []
        if missing := [column for column in _COLUMNS if column not in found]:
            raise InputError(
                f"{name}: found the columns {', '.join(found) or 'none'}; expected "
                f"{', '.join(missing)} too"
            )
        for number, row in enumerate(reader, start=1):
            yield number, row["file_path"] or "", row["mol_path"] or ""
    except (csv.Error, UnicodeDecodeError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise InputError(
            f"{name}, after row {number}: the table breaks off or is no CSV in UTF-8: {error}; "
            "fetch it again"
        ) from None


@contextmanager
def _opened_table(release: Path, linked: str, table: str | None) -> Iterator[IO[bytes]]:
    if table is not None and Path(table).is_file():
        with Path(table).open("rb") as file:
            yield file
    elif linked:
        with zipfile.ZipFile(release) as archive:
            name = next((n for n in _table_names(table) if n in archive.NameToInfo), None)
            if name is None:
                tables = [n for n in archive.NameToInfo if n.endswith(".csv")][:5]
                raise _no_table(release, table, tables)
            with archive.open(name) as file:
                yield file
    else:
        roots = [release, release.parent]
        paths = [root / name for name in _table_names(table) for root in roots]
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            raise _no_table(release, table, [p.name for p in sorted(release.glob("**/*.csv"))[:5]])
        with path.open("rb") as file:
            yield file


def _table_names(table: str | None) -> list[str]:
    name = table or _TABLE
    return [name, f"{_FOLDER}/{name}", name.removeprefix(f"{_FOLDER}/")]


def _no_table(release: Path, table: str | None, found: list[str]) -> InputError:
    return InputError(
        f"{release}: no table {table or _TABLE}; found {', '.join(found) or 'no CSV'}; "
        "name it with --csv"
    )


@dataclass(frozen=True)
class _Job:
    """Some rows for one process; small and picklable."""

    rows: tuple[_Row, ...]
    folder: Path
    linked: str
    fragments: bool
    path: Path


def _jobs(
    rows: Iterator[_Row], folder: Path, linked: str, parts: Path, fragments: bool
) -> Iterator[_Job]:
    for number in itertools.count():
        if not (chunk := tuple(itertools.islice(rows, _PART))):
            return
        yield _Job(chunk, folder, linked, fragments, parts / f"{number:06d}.jsonl")


def _work(job: _Job) -> int:
    if not job.path.exists():
        write_records(job.path, [_record(row, job) for row in job.rows])
    return len(job.rows)


class _Drop(Exception):
    """This row stays out; the message is the reason, one of a few fixed phrases."""


def _record(row: _Row, job: _Job) -> Record:
    number, _, molfile = row
    try:
        return {"compound": asdict(_compound(row, job))}
    except _Drop as drop:
        return {"drop": str(drop), "name": f"row {number} {molfile}".strip()}


def _compound(row: _Row, job: _Job) -> Compound:
    _, image, molfile = row
    if not image or not molfile:
        raise _Drop("row without file_path or mol_path")
    block = _block(job, molfile)
    try:
        if not has_file(job.folder, job.linked + image):
            raise _Drop("no such image")
    except InputError:
        raise _Drop("path that leaves the folder") from None
    smiles = _smiles(block, job.fragments)
    name = PurePosixPath(molfile).stem
    patent = _PATENT.match(name)
    return Compound(
        id=name,
        source="uspto",
        licence=LICENCE,
        smiles=smiles,
        inchikey=_inchikey(smiles),
        image=job.linked + image,
        molfile=block,
        group=patent.group(1) if patent else PurePosixPath(molfile).parent.name,
    )


def _block(job: _Job, molfile: str) -> str:
    try:
        return decode_molblock(read_file(job.folder, job.linked + molfile))
    except InputError:
        raise _Drop("path that leaves the folder") from None
    except FileNotFoundError:
        raise _Drop("no such molfile") from None
    except MolfileError:
        raise _Drop("empty molfile") from None
    except (OSError, zipfile.BadZipFile, zlib.error):
        raise _Drop("damaged molfile") from None


def _smiles(block: str, fragments: bool) -> str:
    try:
        mol = block_to_mol(block, sanitize=False)
    except MolfileError:
        raise _Drop("RDKit cannot parse the molfile") from None
    if not mol.GetNumAtoms():
        raise _Drop("molfile without atoms")
    if not fragments and len(Chem.GetMolFrags(mol)) > 1:
        raise _Drop("several molecules")
    try:
        return molblock_to_smiles(block)
    except UnheldError as error:
        raise _Drop(error.reason) from None
    except MolfileError:
        raise _Drop("RDKit cannot sanitise the molecule") from None


def _inchikey(smiles: str) -> str | None:
    """None for a molecule with open positions: InChI has no word for them."""
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
        if mol is None or any(atom.GetAtomicNum() == 0 for atom in mol.GetAtoms()):
            return None
        return Chem.MolToInchiKey(mol) or None


def _written(out: Path, parts: Path, count: int) -> dict[str, Any]:
    """Stream the parts into the catalogue; a second row of one id is a drop."""
    drops = Tally()
    rows = 0
    with Ledger(parts / "ids.sqlite") as seen, COMPOUNDS.writer(out) as catalogue:
        for record in _parts_records(parts, count):
            if "compound" in record:
                compound = Compound(**record["compound"])
                if seen.is_new(compound.id):
                    catalogue.add(compound)
                    rows += 1
                    continue
                record = {"drop": "a second drawing of this id", "name": compound.id}
            drops.add(record["drop"], record["name"])
    return {"rows": rows, "drops": drops.to_dict()}


def _parts_records(parts: Path, count: int) -> Iterator[Record]:
    for number in range(-(-count // _PART)):
        with (parts / f"{number:06d}.jsonl").open(encoding="utf-8") as file:
            yield from map(json.loads, file)
