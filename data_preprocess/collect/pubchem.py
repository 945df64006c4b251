"""PubChem: structures, names, descriptions and images of compounds.

Two ways, which may be mixed: PUG REST (https://pubchem.ncbi.nlm.nih.gov/docs/pug-rest), a request
at a time, and the files of the FTP site (https://ftp.ncbi.nlm.nih.gov/pubchem/Compound), which hold
all compounds and need no network here.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from data_preprocess.collect.files import Progress, sdf_records, text_lines, write_file
from data_preprocess.collect.ids import PUBCHEM, read_ids
from data_preprocess.collect.notes import choose, terms
from data_preprocess.collect.pug import Pug, record_cid, record_structure
from data_preprocess.collect.stages import FileRows, ask_all, read_files
from data_preprocess.collect.state import Absent, State
from data_preprocess.engine import available_cores
from data_preprocess.tally import Tally
from data_preprocess.web import Unavailable, Web, add_rate_limit, rate_limit_of
from eyesmol.exceptions import InputError

if TYPE_CHECKING:
    from data_preprocess.catalogue.compounds import Compound
    from data_preprocess.collect.finish import Drop

BASE_URL = "https://pubchem.ncbi.nlm.nih.gov/rest"
LICENCE = "NCBI: no restrictions of its own (https://www.ncbi.nlm.nih.gov/home/about/policies/)"

_EXAMPLES = """\
examples:
  # structures, names, a description and an image of each compound of MoleculeSTM's list
  python -m data_preprocess collect pubchem --cids CID2SMILES.csv --out data/pubchem

  # a quarter of a million compounds: descriptions in pages, molfiles in batches of a hundred, no
  # images (the builder draws them): some 4,000 requests instead of 500,000
  python -m data_preprocess collect pubchem --cids CID2SMILES.csv --descriptions bulk --no-images \\
    --molfiles --out data/pubchem

  # without the network, from files of ftp.ncbi.nlm.nih.gov/pubchem/Compound: CURRENT-Full/SDF holds
  # drawings, Extras/CID-SMILES.gz only SMILES; with --cids only those compounds, else all
  python -m data_preprocess collect pubchem --sdf Compound_000000001_000500000.sdf.gz \\
    --cids list.txt --out data/pubchem

Stop it whenever you like: the same command resumes and asks for nothing twice. The
same command with other options (images too, a longer list) asks only for what is new. Counts and
reasons stand in collect_info.json.

Of several descriptions one is taken: first those whose licence is known and allows commercial use,
then those of unknown licence, then those that do not allow it; among equals the longest. The
row's licence names its source and terms.
"""


def add(sources: Any) -> None:
    """Add the parser of ``collect pubchem``."""
    parser = sources.add_parser(
        "pubchem",
        help="compounds of PubChem, from its web service or its files",
        description="Collect compounds of PubChem into a catalogue.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    compounds = parser.add_argument_group("which compounds")
    compounds.add_argument(
        "--cids",
        type=Path,
        metavar="FILE",
        help="CSV, TSV or Parquet with a column of CIDs (such as CID2SMILES.csv), or a text file "
        "with a CID a line",
    )
    compounds.add_argument("--column", metavar="NAME", help="of the CIDs (found by itself)")
    files = parser.add_argument_group("PubChem's files, instead of asking for structures")
    files.add_argument(
        "--sdf", type=Path, nargs="+", default=[], metavar="FILE", help="Compound_*.sdf.gz"
    )
    files.add_argument(
        "--cid-smiles", type=Path, nargs="+", default=[], metavar="FILE", help="CID-SMILES.gz"
    )
    what = parser.add_argument_group("what to ask for besides structures and names")
    what.add_argument(
        "--descriptions",
        choices=["each", "bulk", "none"],
        help="each: a request a compound; bulk: all that PubChem has, in some hundred requests, "
        "better from a few thousand compounds on (each; none with --sdf or --cid-smiles)",
    )
    what.add_argument(
        "--images",
        action=argparse.BooleanOptionalAction,
        help="images, a request a compound (yes; no with --sdf or --cid-smiles)",
    )
    what.add_argument(
        "--image-size",
        type=_image_size,
        default="300x300",
        metavar="WxH",
        help="of the images; or large, small (300x300)",
    )
    what.add_argument(
        "--molfiles",
        action="store_true",
        help="molfiles with the positions of the drawing, a hundred a request; --sdf brings them",
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
    if not re.fullmatch(r"large|small|[1-9]\d{1,3}x[1-9]\d{1,3}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r}: expected large, small or as 300x300")
    return text


# ---- the command ----

_BULK = "description pages"


def _run(options: argparse.Namespace) -> int:
    from data_preprocess.collect.finish import finish

    stored = {kind: paths for kind in _FILES if (paths := getattr(options, kind))}
    _check(options, bool(stored))
    wanted = read_ids(options.cids, PUBCHEM, options.column) if options.cids else None
    drops = wanted.drops if wanted else Tally()
    questions = _questions(options, bool(stored))
    with State(options.out, "pubchem") as state:
        read = read_files(state, stored, _FILES, wanted.ids if wanted else None, drops)
        structures = [kind for kinds in read.values() for kind in kinds] or ["structure"]
        if wanted:
            print(f"{options.cids}: {len(wanted.ids):,} CIDs in {wanted.where}")
            state.want(wanted.ids)
        else:
            state.want_all(structures)
        failed = _ask(options, state, structures, questions)
        about = {
            "source": "pubchem",
            "licence": LICENCE,
            "base_url": options.base_url,
            "files": [path.name for paths in stored.values() for path in paths],
            "ids": {"file": options.cids.name, "where": wanted.where} if wanted else None,
        }
        return finish(
            state,
            _rows(state, structures, questions),
            about,
            drops,
            prefix="CID",
            entries=structures,
            questions=questions,
            absent={_BULK: _orphans(state)} if _BULK in questions else {},
            failed=failed,
            workers=options.workers,
        )


def _check(options: argparse.Namespace, stored: bool) -> None:
    if not (options.cids or stored):
        raise InputError(
            "give --cids FILE, or --sdf FILE or --cid-smiles FILE, or a list and files"
        )
    if options.column and not options.cids:
        raise InputError(f"--column {options.column}: names a column of --cids, which is not given")
    if options.molfiles and options.sdf:
        raise InputError("--molfiles: the files of --sdf bring the molfiles; leave it away")


def _questions(options: argparse.Namespace, stored: bool) -> list[str]:
    """Kinds of answers to ask for besides structures, by the options or their defaults."""
    questions = []
    descriptions = options.descriptions or ("none" if stored else "each")
    if descriptions != "none":
        questions.append("description" if descriptions == "each" else _BULK)
    if options.molfiles:
        questions.append("molfile")
    if options.images if options.images is not None else not stored:
        questions.append(f"picture {options.image_size}")
    return questions


def _ask(
    options: argparse.Namespace, state: State, structures: list[str], questions: list[str]
) -> Tally:
    """Ask for all that is missing; returns pages without an answer."""
    failed = Tally()
    if structures != ["structure"] and not questions:
        return failed
    with Web(
        options.base_url, rate_limit_of(options), say=partial(tqdm.write, file=sys.stderr)
    ) as web:
        pug = Pug(web)
        # A question: how to ask it, and for how many compounds at once (answers come within 30 s).
        asks: dict[str, tuple[Callable[[list[int]], dict[int, Any]], int]] = {
            "structure": (pug.structures, 200),
            "description": (lambda cids: {cid: pug.descriptions(cid) for cid in cids}, 1),
            "molfile": (pug.molblocks, 100),
            f"picture {options.image_size}": (
                partial(_save_images, pug, options.out, options.image_size),
                1,
            ),
        }
        if structures == ["structure"]:
            ask, size = asks["structure"]
            ask_all(web, state, "structure", ask, size=size)
        for kind in questions:
            if kind == _BULK:
                _ask_pages(web, pug, state, failed)
            else:
                ask, size = asks[kind]
                ask_all(web, state, kind, ask, size=size, among=structures)
    return failed


def _ask_pages(web: Web, pug: Pug, state: State, failed: Tally) -> None:
    """All descriptions that PubChem has, page by page; the first says how many there are."""
    tried: set[int] = set()
    while True:
        known = state.pages(_BULK)
        total = max((page["pages"] for page in known.values()), default=1)
        jobs = [page for page in range(1, total + 1) if page not in known and page not in tried]
        if not jobs:
            return
        with tqdm(total=len(jobs), unit=" pages", desc=_BULK) as bar:
            for page, answer in web.gather(jobs, pug.annotations):
                tried.add(page)
                if isinstance(answer, Unavailable):
                    failed.add(f"{_BULK}: {answer}", f"page {page}")
                else:
                    pages, orphans, found = answer
                    about = {"pages": pages, "orphans": orphans}
                    state.save_page(_BULK, page, about, found)
                bar.update()


def _orphans(state: State) -> Tally:
    """Annotations of the pages that are of no use."""
    tally = Tally()
    for number, page in state.pages(_BULK).items():
        for name in page["orphans"]:
            tally.add("an annotation without a CID or a text", f"{name} on page {number}")
    return tally


def _save_images(pug: Pug, folder: Path, size: str, cids: list[int]) -> dict[int, Any]:
    answers: dict[int, Any] = {}
    for cid in cids:
        image = pug.image(cid, size)
        if isinstance(image, bytes):
            path = f"images/{size}/{cid % 1000:03d}/CID{cid}.png"  # at most 1,000 folders
            write_file(folder / path, image)
            answers[cid] = path
        else:
            answers[cid] = image
    return answers


# ---- files ----


def _sdf_rows(path: Path, progress: Progress, *, wanted: frozenset[int] | None) -> FileRows:
    for record in sdf_records(path, progress=progress):
        cid = record_cid(record)
        if cid is None:
            yield Absent("record without PUBCHEM_COMPOUND_CID")
        elif wanted is None or cid in wanted:
            yield cid, record_structure(record)
        else:
            yield None


def _smiles_rows(path: Path, progress: Progress, *, wanted: frozenset[int] | None) -> FileRows:
    for line in text_lines(path, progress=progress):
        left, _, smiles = line.strip().partition("\t")
        cid = PUBCHEM.parse(left)
        if cid is None or not smiles:
            yield Absent("line without a CID, a tab and a SMILES")
        elif wanted is None or cid in wanted:
            yield cid, {"smiles": smiles}
        else:
            yield None


_FILES = {"sdf": _sdf_rows, "cid_smiles": _smiles_rows}  # by option


# ---- rows ----


def _rows(state: State, structures: list[str], questions: list[str]) -> Iterator[Compound | Drop]:
    from data_preprocess.collect.finish import Drop

    for cid, answers in state.rows([*structures, *questions]):
        found = [answers[kind] for kind in structures if kind in answers]
        there = [answer for answer in found if not isinstance(answer, Absent)]
        if there:
            extras = {
                kind.split()[0]: answers[kind]
                for kind in questions
                if kind in answers and not isinstance(answers[kind], Absent)
            }
            described = extras.get("description", {"title": None, "notes": []})
            if _BULK in questions:
                described["notes"] = state.notes(cid)
            yield _compound(cid, there, described, extras)
        else:
            yield Drop(f"CID{cid}", found[0].reason if found else "in none of the files")


def _compound(
    cid: int, structures: list[dict[str, Any]], described: dict[str, Any], extras: dict[str, Any]
) -> Compound:
    from data_preprocess.catalogue.compounds import Compound
    from data_preprocess.collect.finish import plain_text

    def first(field: str) -> str | None:
        return next((s[field] for s in structures if s.get(field)), None)

    note = choose(described["notes"])
    return Compound(
        id=f"CID{cid}",
        source="pubchem",
        licence=f"{LICENCE}; description by {note['source']}: {terms(note)}" if note else LICENCE,
        smiles=first("smiles"),
        inchikey=first("inchikey"),
        name=plain_text(described["title"] or first("name")),
        description=plain_text(note["text"]) if note else None,
        description_source=note["source"] if note else None,
        image=extras.get("picture"),
        molfile=extras.get("molfile") or first("molfile"),
    )
