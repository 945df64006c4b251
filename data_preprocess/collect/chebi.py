"""ChEBI: curated compounds with definitions (https://www.ebi.ac.uk/chebi), CC BY 4.0.

Three ways: the SDF of a release, which holds all that is needed; the flat files; or the REST API
for a list of ids. Names of tags and columns are those since autumn 2025; those before are read too.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tqdm import tqdm

from data_preprocess.collect.files import Progress, Record, sdf_records, table_rows, write_file
from data_preprocess.collect.ids import CHEBI, read_ids
from data_preprocess.collect.stages import FileRows, ask_all, read_files
from data_preprocess.collect.state import Absent, State
from data_preprocess.engine import available_cores
from data_preprocess.tally import Tally
from data_preprocess.web import NotFound, Refused, Web, add_rate_limit, rate_limit_of
from eyesmol.exceptions import InputError

if TYPE_CHECKING:
    from data_preprocess.catalogue.compounds import Compound
    from data_preprocess.collect.finish import Drop

BASE_URL = "https://www.ebi.ac.uk/chebi/backend/api/public"
T = TypeVar("T")

LICENCE = "CC BY 4.0 (ChEBI, EMBL-EBI)"

_EXAMPLES = """\
examples:
  # the release of ftp.ebi.ac.uk/pub/databases/chebi/SDF: structures, drawings and definitions
  python -m data_preprocess collect chebi --sdf chebi.sdf.gz --out data/chebi

  # only what curators have checked; only the compounds of a list
  python -m data_preprocess collect chebi --sdf chebi_3_stars.sdf.gz --ids ids.csv --out data/chebi

  # from flat_files/ of the same site
  python -m data_preprocess collect chebi --compounds compounds.tsv.gz \\
    --structures structures.tsv.gz --stars 3 --out data/chebi

  # a list of ids over the network; old ids lead to the compounds that replaced them
  python -m data_preprocess collect chebi --ids ids.txt --out data/chebi

Stop it whenever you like: the same command resumes and asks for nothing twice. Entries
without a structure (classes, groups) are dropped and counted. Counts and reasons stand in
collect_info.json.
"""


def add(sources: Any) -> None:
    """Add the parser of ``collect chebi``."""
    parser = sources.add_parser(
        "chebi",
        help="compounds of ChEBI, from its files or its web service",
        description="Collect compounds of ChEBI into a catalogue.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    compounds = parser.add_argument_group("which compounds")
    compounds.add_argument(
        "--ids",
        type=Path,
        metavar="FILE",
        help="CSV, TSV or Parquet with a column of ChEBI ids, or a text file with an id a line",
    )
    compounds.add_argument("--column", metavar="NAME", help="of the ids (found by itself)")
    compounds.add_argument(
        "--stars", type=int, choices=[1, 2, 3], help="at least so many: 3 is checked by curators"
    )
    files = parser.add_argument_group("ChEBI's files, instead of asking the web service")
    files.add_argument(
        "--sdf", type=Path, nargs="+", default=[], metavar="FILE", help="chebi.sdf.gz or the like"
    )
    files.add_argument("--compounds", type=Path, metavar="FILE", help="compounds.tsv.gz")
    files.add_argument("--structures", type=Path, metavar="FILE", help="structures.tsv.gz")
    what = parser.add_argument_group("what to ask the web service for besides structures and texts")
    what.add_argument(
        "--molfiles",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="molfiles with the positions of the drawing, a request a compound (yes)",
    )
    what.add_argument(
        "--images",
        action="store_true",
        help="images as SVG under images/, a request a compound; for people: the builder reads "
        "no SVG, so the catalogue does not name them",
    )
    what.add_argument(
        "--image-size", type=_image_size, default="300x300", metavar="WxH", help="(300x300)"
    )
    add_rate_limit(parser, BASE_URL)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="catalogue folder")
    parser.add_argument(
        "--workers",
        type=int,
        default=available_cores(),
        metavar="N",
        help="processes for the chemistry (all cores)",
    )
    parser.set_defaults(run=_run)


def _image_size(text: str) -> str:
    if not re.fullmatch(r"[1-9]\d{1,3}x[1-9]\d{1,3}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r}: expected WIDTHxHEIGHT, as 300x300")
    return text


# ---- the command ----


def _run(options: argparse.Namespace) -> int:
    from data_preprocess.collect.finish import finish

    stored = _stored(options)
    wanted = read_ids(options.ids, CHEBI, options.column) if options.ids else None
    drops = wanted.drops if wanted else Tally()
    questions = [] if stored else _questions(options)
    foreign = Tally()
    with State(options.out, "chebi") as state:
        read = read_files(state, stored, _FILES, wanted.ids if wanted else None, drops)
        entries = read.get("sdf") or read.get("compounds") or ["compound"]
        if wanted:
            print(f"{options.ids}: {len(wanted.ids):,} ChEBI ids in {wanted.where}")
            state.want(wanted.ids)
        else:
            state.want_all(entries)
        if not stored:
            _ask(options, state, questions)
        about = {
            "source": "chebi",
            "licence": LICENCE,
            "base_url": None if stored else options.base_url,
            "files": [path.name for paths in stored.values() for path in paths],
            "ids": {"file": options.ids.name, "where": wanted.where} if wanted else None,
            "stars": options.stars,
        }
        structures = read.get("structures", [])
        return finish(
            state,
            _rows(state, entries, structures, questions, options.stars, foreign),
            about,
            drops,
            prefix="CHEBI",
            entries=entries,
            questions=questions,
            absent={"molfile": foreign} if "molfile" in questions else {},
            failed=Tally(),
            workers=options.workers,
        )


def _stored(options: argparse.Namespace) -> dict[str, list[Path]]:
    """The files by kind."""
    flat = [path for path in (options.compounds, options.structures) if path]
    if options.column and not options.ids:
        raise InputError(f"--column {options.column}: names a column of --ids, which is not given")
    if len(flat) == 1 or (flat and options.sdf):
        raise InputError("give --sdf FILE, or both --compounds FILE and --structures FILE")
    if (flat or options.sdf) and options.images:
        raise InputError("--images: images come from the web service; leave the files away")
    if flat:
        return {"compounds": flat[:1], "structures": flat[1:]}
    if options.sdf:
        return {"sdf": options.sdf}
    if not options.ids:
        raise InputError("give --sdf FILE, --compounds with --structures FILE, or --ids FILE")
    return {}


def _questions(options: argparse.Namespace) -> list[str]:
    molfiles = ["molfile"] if options.molfiles else []
    return molfiles + ([f"picture {options.image_size}"] if options.images else [])


# ---- the web service ----


def _ask(options: argparse.Namespace, state: State, questions: list[str]) -> None:
    """Ask for all that is missing."""
    limit, say = rate_limit_of(options), partial(tqdm.write, file=sys.stderr)
    with Web(options.base_url, limit, faults=False, say=say) as web:
        _ask_in_turn(web, options, state, questions)


def _ask_in_turn(web: Web, options: argparse.Namespace, state: State, questions: list[str]) -> None:
    ask_all(web, state, "compound", partial(_ask_compounds, web), size=200)
    # Where the number to ask for is not the id itself: an old id, or (None) one without structure.
    number = {
        id: known["primary"] if known["drawn"] else None
        for id, answers in state.rows(["compound"])
        if isinstance(known := answers.get("compound"), dict)
        and not (known["drawn"] and known["primary"] == id)
    }
    size = options.image_size
    asks: dict[str, Callable[[int], Any]] = {
        "molfile": partial(_ask_molfile, web),
        f"picture {size}": partial(_ask_image, web, options.out, size),
    }

    def ask(about: Callable[[int], Any], ids: list[int]) -> dict[int, Any]:
        return {
            id: Absent("no structure") if (n := number.get(id, id)) is None else about(n)
            for id in ids
        }

    for kind in questions:
        ask_all(web, state, kind, partial(ask, asks[kind]), among=["compound"])


def _ask_compounds(web: Web, ids: list[int]) -> dict[int, Any]:
    body = {"chebi_ids": [f"CHEBI:{id}" for id in ids]}
    try:
        found = web.ask("POST", "/compounds/", _read_compounds, json=body)
    except NotFound as error:  # of the page: an id that is not there has its own answer
        raise Refused(f"{error} at {web.base_url}/compounds/") from None
    return {id: found.get(id, Absent("not in the answer")) for id in ids}


def _read_compounds(body: bytes) -> dict[int, Any]:
    """What is kept of each compound: as of a record of the SDF, and ``primary``, its id of now."""
    answers: dict[int, Any] = {}
    for asked, entry in json.loads(body).items():
        id = CHEBI.parse(asked)
        if id is None:
            raise ValueError(f"{asked!r} is no ChEBI id")
        data = entry.get("data")
        if not entry.get("exists", bool(data)) or not data:
            answers[id] = Absent("not found")
            continue
        structure = data.get("default_structure") or {}
        primary = entry.get("primary_chebi_id") or data.get("chebi_accession") or asked
        answers[id] = {
            "primary": CHEBI.parse(primary) or id,
            "name": data.get("name") or data.get("ascii_name"),
            "definition": data.get("definition"),
            "stars": data.get("stars"),
            "smiles": structure.get("smiles"),
            "inchikey": structure.get("standard_inchi_key"),
            "drawn": bool(structure),
        }
    return answers


def _ask_molfile(web: Web, id: int) -> str | Absent:
    return _or_absent(web, f"/molfile/{id}/", _read_molfile)


def _ask_image(web: Web, folder: Path, size: str, id: int) -> str | Absent:
    """The path of the image, which is written on the way."""
    width, height = size.split("x")
    path = f"/compound/{id}/structure/?width={width}&height={height}"
    image = _or_absent(web, path, _read_svg)
    if isinstance(image, Absent):
        return image
    file = f"images/{size}/{id % 1000:03d}/CHEBI{id}.svg"  # at most 1,000 folders
    write_file(folder / file, image)
    return file


def _or_absent(web: Web, path: str, read: Callable[[bytes], T]) -> T | Absent:
    try:
        return web.ask("GET", path, read)
    except NotFound as error:
        return Absent(str(error))


def _read_molfile(body: bytes) -> str:
    text = body.decode()
    if text.lstrip().startswith(('"', "{")):  # some versions wrap it
        text = json.loads(text)
        text = text["molfile"] if isinstance(text, dict) else text
    if "M  END" not in text:
        raise ValueError("no M  END")
    return text


def _read_svg(body: bytes) -> bytes:
    if b"<svg" not in body[:2000] or not body.rstrip().endswith(b"</svg>"):
        raise ValueError("not a whole SVG")
    return body


# ---- files ----


def _values(text: str | None) -> list[str]:
    """The values of a tag that may have several: ``;`` stands between them.

    Not for InChI and SMILES, which have one, with ``;`` inside.
    """
    return [value for part in (text or "").split(";") if (value := part.strip())]


def _sdf_rows(path: Path, progress: Progress, *, wanted: frozenset[int] | None) -> FileRows:
    for record in sdf_records(path, progress=progress):
        id = CHEBI.parse(record.tags.get("CHEBI_ID", ""))
        if id is None:
            yield Absent("record without ChEBI ID")
            continue
        if wanted is None or id in wanted:
            yield id, _structure(record, id)
        else:
            yield None


def _structure(record: Record, id: int) -> dict[str, Any]:
    tags = record.tags
    names = _values(tags.get("CHEBI_NAME")) and [tags["CHEBI_NAME"]]
    return {
        "primary": id,
        "name": next(iter(names or _values(tags.get("IUPAC_NAME", tags.get("IUPAC_NAMES")))), None),
        "definition": tags.get("DEFINITION"),
        "stars": tags.get("STAR"),
        "smiles": tags.get("SMILES"),
        "inchikey": tags.get("INCHIKEY"),
        "molfile": record.molblock if record.atoms else None,
    }


def _compound_rows(path: Path, progress: Progress, *, wanted: frozenset[int] | None) -> FileRows:
    for row in table_rows(path, ("id", "name"), progress=progress):
        id = CHEBI.parse(row["id"])
        if id is None:
            yield Absent("row without an id")
        elif wanted is not None and id not in wanted:
            yield None
        elif CHEBI.parse(row.get("parent_id", "")):
            yield id, Absent("merged into another entry")
        else:
            yield (
                id,
                {
                    "primary": id,
                    "name": row["name"] or row.get("ascii_name"),
                    "definition": row.get("definition"),
                    "stars": row.get("stars"),
                },
            )


def _structure_rows(path: Path, progress: Progress, *, wanted: frozenset[int] | None) -> FileRows:
    """The default structure of each compound; some have others besides."""
    for row in table_rows(path, ("compound_id", "smiles", "molfile"), progress=progress):
        id = CHEBI.parse(row["compound_id"])
        if id is None:
            yield Absent("row without a compound_id")
        elif (wanted is None or id in wanted) and _true(row.get("default_structure", "true")):
            molblock = row["molfile"].replace("\r\n", "\n")
            yield (
                id,
                {
                    "smiles": row["smiles"],
                    "inchikey": row.get("standard_inchi_key"),
                    "molfile": molblock if Record(molblock, {}).atoms else None,
                },
            )
        else:
            yield None


def _true(text: str) -> bool:
    return text.strip().lower() in ("true", "t", "1", "yes")


_FILES = {"sdf": _sdf_rows, "compounds": _compound_rows, "structures": _structure_rows}


# ---- rows ----

_NOWHERE = Absent("in none of the files")


def _rows(
    state: State,
    entries: list[str],
    structures: list[str],
    questions: list[str],
    stars: int | None,
    foreign: Tally,
) -> Iterator[Compound | Drop]:
    """What ChEBI said of each wanted compound.

    Args:
        state: knows.
        entries: kinds of answers, one of which a compound must have.
        structures: kinds that bring structures to them.
        questions: further kinds.
        stars: at least so many.
        foreign: counts molfiles that came for a compound and are of another.
    """
    from data_preprocess.collect.finish import Drop

    seen: set[int] = set()
    for id, answers in state.rows([*entries, *structures, *questions]):
        entry = next((answers[kind] for kind in entries if kind in answers), _NOWHERE)
        if isinstance(entry, Absent):
            yield Drop(f"CHEBI{id}", entry.reason)
            continue
        known = dict(entry)
        for kind in structures:
            known.update(answers.get(kind, {}))
        extras = {
            kind.split()[0]: answer
            for kind in questions
            if isinstance(answer := answers.get(kind), str)
        }
        if known["primary"] in seen:
            yield Drop(f"CHEBI{id}", "the same compound as another id of the list")
        elif stars is not None and _stars(known) < stars:
            yield Drop(f"CHEBI{id}", f"fewer than {stars} stars")
        else:
            seen.add(known["primary"])
            yield _compound(known, extras, foreign)


def _stars(known: dict[str, Any]) -> int:
    found = re.match(r"\d+", str(known.get("stars") or ""))
    return int(found.group()) if found else 0


def _compound(known: dict[str, Any], extras: dict[str, str], foreign: Tally) -> Compound:
    from data_preprocess.catalogue.compounds import Compound
    from data_preprocess.collect.finish import plain_text

    id = f"CHEBI{known['primary']}"
    molfile = known.get("molfile") or extras.get("molfile")
    if "molfile" in extras and not _agrees(extras["molfile"], known.get("inchikey")):
        foreign.add("the molfile is of another compound", id)
        molfile = None
    definition = plain_text(known.get("definition"))
    return Compound(
        id=id,
        source="chebi",
        licence=LICENCE,
        smiles=known.get("smiles") or None,
        inchikey=known.get("inchikey") or None,
        name=plain_text(known.get("name")),
        description=definition,
        description_source="ChEBI" if definition else None,
        molfile=molfile,
    )


def _agrees(molfile: str, inchikey: str | None) -> bool:
    """Whether a molfile has the connectivity key that an InChIKey says, as far as RDKit can tell.

    The API's molfiles have numbers of their own, and not everybody agrees whose they are.
    """
    from rdkit import Chem, rdBase

    from eyesmol.chem.molfile import MolfileError, block_to_mol

    try:
        mol = block_to_mol(molfile, sanitize=True)
    except MolfileError:
        return True
    with rdBase.BlockLogs():
        found = Chem.MolToInchiKey(mol)
    return not (found and inchikey) or found.split("-")[0] == inchikey.split("-")[0]
