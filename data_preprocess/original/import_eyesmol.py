"""The published EyesMol data set as a dataset folder of today, repaired or dropped row by row.

It has three files: ``cot_result_v2_train.json`` and ``instruction_result_v2_train.json``, LLaVA
JSON of hundreds of megabytes, and ``instruction_data_id.parquet``, a list of compounds. They are
read as they are, in a stream. What is wrong with a chain of thought, and how it is repaired, says
`data_preprocess.original.legacy_cot`.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from tqdm import tqdm

from data_preprocess.build.examples import (
    Drop,
    Example,
    Molecule,
    fit_to_frame,
    opened,
    render_or_load,
    save,
)
from data_preprocess.catalogue.table import read_batches
from data_preprocess.dataset.folder import Parts, Record, write_lists, write_part
from data_preprocess.dataset.info import DatasetInfo
from data_preprocess.dataset.json_stream import json_objects
from data_preprocess.dataset.splits import Ledger, connectivity_key, split_of
from data_preprocess.engine import run
from data_preprocess.original.legacy_cot import numbered_as_smiles, repair
from data_preprocess.sources.files import Item, file_digest
from data_preprocess.tally import summary
from data_preprocess.tasks import cot_turn
from eyesmol import __version__
from eyesmol.answer.text import PROMPT_VERSION, AnswerForm
from eyesmol.atomic import atomic_path
from eyesmol.chem.labelled_smiles import plain_smiles
from eyesmol.chem.smiles import canonical_smiles
from eyesmol.exceptions import InputError
from eyesmol.image.pixel_frame import PixelFrame

__all__ = ["Published", "Settings", "import_dataset"]

SOURCE = "eyesmol-dataset"
_LICENCE = "as the published data set states"
_PART = 100  # rows of a part: seconds of work
_MARK = "<image>"

Kind = Literal["cot", "instruction"]


@dataclass(frozen=True)
class Published:
    """The published files, and where their images lie.

    Attributes:
        cot, instruction: LLaVA JSON; at least one of the two.
        ids: Parquet with the ids of the instruction data.
        images: folder of the images that the rows name.
    """

    images: Path
    cot: Path | None = None
    instruction: Path | None = None
    ids: Path | None = None

    def lists(self) -> list[tuple[Kind, Path]]:
        """The JSON files that there are."""
        kinds: list[tuple[Kind, Path | None]] = [
            ("cot", self.cot),
            ("instruction", self.instruction),
        ]
        return [(kind, path) for kind, path in kinds if path is not None]


@dataclass(frozen=True)
class Settings:
    """What decides how rows are written.

    Attributes:
        form: of chain-of-thought answers.
        frame: the size at which the model sees the images.
        valid, test: fractions of the molecules.
    """

    form: AnswerForm = "compact"
    frame: PixelFrame = field(default_factory=PixelFrame)
    valid: float = 0.0
    test: float = 0.0

    def __post_init__(self) -> None:
        if not (self.valid >= 0 and self.test >= 0 and self.valid + self.test < 1):
            raise InputError(
                f"valid {self.valid} and test {self.test}: expected fractions of at least 0 that "
                "leave something for training"
            )


def import_dataset(
    published: Published,
    out: Path,
    settings: Settings,
    *,
    workers: int = 1,
    overwrite: bool = False,
    progress: bool = True,
) -> DatasetInfo:
    """Write a dataset folder, or resume one that was interrupted.

    Returns:
        What the dataset is.

    Raises:
        InputError: a file is missing or not what it should be, the folder holds another dataset, or
            not one row came out.
    """
    made_with = _made_with(published, settings, progress)
    out = out.absolute()
    parts = Parts(out, made_with)
    if overwrite:
        parts.clear()
    if (info := parts.finished()) is not None:
        return info
    parts.begin()
    listed = _write_ids(published.ids, parts.folder / "listed.sqlite")
    items = sum(source["items"] for source in made_with["sources"])
    own = any(source.get("atom_numbers") == "of the SMILES" for source in made_with["sources"])
    jobs = _jobs(published, out, settings, parts, own)
    with tqdm(total=items, unit=" rows", desc=out.name, disable=not progress) as bar:
        for done in run(jobs, _work, workers):
            bar.update(done)
    info = _finish(out, parts, made_with, items, listed, settings)
    parts.discard()
    return info


def _made_with(published: Published, settings: Settings, progress: bool) -> dict[str, Any]:
    lists = published.lists()
    if not lists:
        raise InputError("give --cot FILE, --instruction FILE, or both")
    if not published.images.is_dir():
        raise InputError(f"--images {published.images}: no such folder")
    sources = []
    for kind, path in lists:
        count = _counted(path, progress)
        own = kind == "cot" and _own_numbers(path)
        sources.append(
            {
                "name": f"{SOURCE} {kind}",
                "kind": "published LLaVA JSON",
                "items": count,
                **(
                    {"atom_numbers": "of the SMILES" if own else "of the walk"}
                    if kind == "cot"
                    else {}
                ),
                "licence": _LICENCE,
                "sha256": file_digest(path),
            }
        )
    ids = published.ids
    made_with = {
        "version": __version__,
        "made_by": "import eyesmol-dataset",
        "settings": {
            "task": " and ".join(kind for kind, _ in lists),
            **asdict(settings),
            "split_by": "molecule",
        },
        "sources": sources,
        "exclude": [],
        "charts": None,
        "ids_file": {"name": ids.name, "sha256": file_digest(ids)} if ids else None,
    }
    # Through JSON, so that it compares equal to what is read back from a file.
    values: dict[str, Any] = json.loads(json.dumps(made_with))
    return values


def _counted(path: Path, progress: bool) -> int:
    """The rows of a file."""
    rows = tqdm(json_objects(path), unit=" rows", desc=path.name, disable=not progress)
    return sum(1 for _ in rows)


_LOOKED_AT = 1_000  # answers, the first ones
_MOST = 0.9  # of them; with numbers of another order fewer than half fit by chance


def _own_numbers(path: Path) -> bool:
    """Whether the answers of a file number their atoms as their SMILES do."""
    answers = (
        str(_value(row["conversations"][-1]))
        for row in itertools.islice(json_objects(path), _LOOKED_AT)
        if isinstance(row.get("conversations"), list) and row["conversations"]
    )
    found = [fits for fits in map(numbered_as_smiles, answers) if fits is not None]
    return sum(found) >= _MOST * len(found)


# ---- the list of ids ----


_ID_COLUMNS = (
    "id", "ids", "cid", "chebiid", "pubchemcid", "pubchemid", "compoundid", "moleculeid", "molid",
    "chebi", "identifier", "accession", "name", "imageid", "image",
)  # fmt: skip
_ID = re.compile(r"(CID|CHEBI)?[\s:_-]*(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class _Listed:
    """The list of ids in a scratch file."""

    path: Path
    column: str
    count: int


def _write_ids(ids: Path | None, path: Path) -> _Listed | None:
    """The ids of a Parquet file, normalised, in a SQLite file that workers look into.

    Raises:
        InputError: no Parquet file, or no column of it looks like one of ids.
    """
    if ids is None:
        return None
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        parquet = pq.ParquetFile(ids)
    except FileNotFoundError:
        raise InputError(f"--ids {ids}: no such file") from None
    except pa.ArrowInvalid as error:
        raise InputError(f"--ids {ids}: not a whole Parquet file: {error}") from None
    with parquet, closing(sqlite3.connect(path, isolation_level=None)) as base:
        column = _id_column(ids, parquet.schema_arrow.names)
        prefix = next((p for p in ("CID", "CHEBI") if p.lower() in column.lower()), "")
        base.executescript(
            "PRAGMA synchronous = OFF; DROP TABLE IF EXISTS ids; CREATE TABLE ids (prefix TEXT, "
            "number TEXT, seen INTEGER DEFAULT 0, PRIMARY KEY (number, prefix)); BEGIN"
        )
        for batch in read_batches(parquet, [column]):
            values = (v for v in batch.column(0).to_pylist() if v not in (None, ""))
            base.executemany(
                "INSERT OR IGNORE INTO ids (prefix, number) VALUES (?, ?)",
                (_normal(value, prefix) for value in values),
            )
        base.execute("COMMIT")
        (count,) = base.execute("SELECT count(*) FROM ids").fetchone()
    return _Listed(path, column, count)


def _id_column(ids: Path, names: list[str]) -> str:
    plain = {re.sub(r"[^a-z]", "", name.lower()): name for name in reversed(names)}
    found = next((plain[name] for name in _ID_COLUMNS if name in plain), None)
    if found is None and len(names) == 1:
        found = names[0]
    if found is None:
        raise InputError(
            f"--ids {ids}: found the columns {', '.join(names)}; expected one of ids, called id, "
            "cid, chebi_id or the like"
        )
    return found


def _normal(value: Any, prefix: str = "") -> tuple[str, str]:
    """(``CID``, ``CHEBI`` or nothing, number), or (nothing, the text) of an id without a number."""
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    match = _ID.fullmatch(text.strip()) or re.search(r"(CID|CHEBI)[\s:_-]*(\d+)", text, re.I)
    if match is None:
        return "", text.strip()
    return (match[1] or prefix).upper(), match[2]


def _row_of(base: sqlite3.Connection, name: str) -> int | None:
    """The entry of the list that a row's id stands for; a side without a prefix agrees with all."""
    prefix, number = _normal(name)
    row = base.execute(
        "SELECT rowid FROM ids WHERE number = ? AND (prefix = ? OR prefix = '' OR ? = '') LIMIT 1",
        (number, prefix, prefix),
    ).fetchone()
    return row[0] if row else None


# ---- the work ----


@dataclass(frozen=True)
class _Job:
    """Some rows for one process; small and picklable. `first` is the number of the first row."""

    kind: Kind
    first: int
    rows: tuple[dict[str, Any], ...]
    images: Path
    out: Path
    path: Path
    settings: Settings
    own_numbers: bool


def _jobs(
    published: Published, out: Path, settings: Settings, parts: Parts, own_numbers: bool
) -> Iterator[_Job]:
    number = itertools.count()
    for kind, path in published.lists():
        rows = json_objects(path)
        first = 1
        while chunk := tuple(itertools.islice(rows, _PART)):
            part = parts.path(next(number))
            yield _Job(kind, first, chunk, published.images, out, part, settings, own_numbers)
            first += len(chunk)


def _work(job: _Job) -> int:
    if not job.path.exists():
        records = [_record(row, position, job) for position, row in enumerate(job.rows, job.first)]
        write_part(job.path, records)
    return len(job.rows)


def _record(row: Mapping[str, Any], position: int, job: _Job) -> Record:
    name = str(row.get("id") or f"row-{position}")
    # Ids repeat in the original; here no two rows share one.
    row_id = f"{name}~{job.kind}-{position}"
    try:
        question, turns, repairs = _turns(row)
        about: Record = {"name": name, "asked": question, "repairs": repairs}
        make = _cot if job.kind == "cot" else _instruction
        return {**about, **make(row, row_id, turns, about, job)}
    except Drop as drop:
        return {"drop": f"{job.kind}: {drop}", "name": f"row {position} {name}"}


_SPEAKERS = {"human": "human", "user": "human", "gpt": "gpt", "assistant": "gpt", "model": "gpt"}


def _turns(row: Mapping[str, Any]) -> tuple[str, list[dict[str, str]], list[str]]:
    """The first question without its mark, the conversation in LLaVA's form, what was repaired."""
    turns = row.get("conversations")
    if not isinstance(turns, list) or not turns or len(turns) % 2:
        raise Drop("no conversation of questions and answers")
    kept = []
    for number, turn in enumerate(turns):
        value = _value(turn)
        speaker = _SPEAKERS.get(str(turn.get("from"))) if isinstance(turn, dict) else None
        if speaker != ("human", "gpt")[number % 2] or not isinstance(value, str):
            raise Drop("no conversation of questions and answers")
        if not value.replace(_MARK, "").strip():
            raise Drop("an empty question or answer")
        kept.append({"from": speaker, "value": value})
    marks = sum(turn["value"].count(_MARK) for turn in kept)
    asked = sum(turn["value"].count(_MARK) for turn in kept[::2])
    wanted = len(_images(row))
    repairs = []
    if wanted == 1 and marks == 0:
        kept[0]["value"] = f"{_MARK}\n{kept[0]['value']}"
        repairs.append("image mark put in")
    elif marks != wanted or asked != marks:
        raise Drop("image marks do not fit the images")
    return kept[0]["value"].replace(_MARK, "").strip(), kept, repairs


def _value(turn: Any) -> Any:
    return turn.get("value") if isinstance(turn, dict) else None


def _images(row: Mapping[str, Any]) -> list[str]:
    value = row.get("image")
    values = value if isinstance(value, list) else [value]
    return [str(name) for name in values if name]


def _cot(
    row: Mapping[str, Any], row_id: str, turns: list[dict[str, str]], about: Record, job: _Job
) -> Record:
    names = _images(row)
    if len(names) != 1 or len(turns) != 2:
        raise Drop("not one image with one question")
    repaired = repair(turns[1]["value"], own_numbers=job.own_numbers)
    path = _found(job.images, names[0])
    molecule = Molecule(repaired.smiles, repaired.graph)
    item = Item(row_id, SOURCE, image=path, molfile=path)
    example = render_or_load(item, molecule, task="cot", draw=False, size=(448, 448), seed=0)
    example = fit_to_frame(example, job.settings.frame)
    assert example.graph is not None
    turn = cot_turn(example.graph, example.smiles, job.settings.form)
    conversations = [
        {"from": "human", "value": f"{_MARK}\n{turn.question}"},
        {"from": "gpt", "value": turn.answer},
    ]
    image = _saved(example, names[0], job)
    repairs = [*about["repairs"], *repaired.repairs, "positions fitted onto the image, y down"]
    return {
        **_split(repaired.smiles, job.settings),
        "repairs": repairs,
        "reads_back": "same",
        "row": _row(row_id, [image], conversations, "cot"),
    }


def _instruction(
    row: Mapping[str, Any], row_id: str, turns: list[dict[str, str]], about: Record, job: _Job
) -> Record:
    smiles = _smiles_in(row, turns)
    key = smiles or f"id {about['name']}"
    images = []
    for name in _images(row):
        image = opened(_found(job.images, name))
        images.append(_saved(fit_to_frame(Example(image, None, ""), job.settings.frame), name, job))
    task = next((str(row[key]) for key in ("task", "type", "task_type") if row.get(key)), "")
    return {**_split(key, job.settings), "row": _row(row_id, images, turns, task or "instruction")}


def _split(molecule: str, settings: Settings) -> Record:
    key = connectivity_key(molecule) or molecule
    return {"key": key, "split": split_of(key, settings.valid, settings.test)}


def _row(row_id: str, images: list[str], turns: list[dict[str, str]], task: str) -> dict[str, Any]:
    return {
        "id": row_id,
        **({"image": images[0] if len(images) == 1 else images} if images else {}),
        "conversations": turns,
        "source": SOURCE,
        "task": task,
    }


# "The SMILES of this molecule is CCO." and the like, in an answer.
_SMILES_SAID = re.compile(
    r"\bsmiles\b[^\n:=]{0,80}?(?::|=|\bis\b)\s*[`'\"*<]*([^\s`'\"*<>,;]+)", re.IGNORECASE
)


def _smiles_in(row: Mapping[str, Any], turns: list[dict[str, str]]) -> str | None:
    """The SMILES that a row says; None for one that says none.

    Raises:
        Drop: it says one that RDKit cannot read.
    """
    said = row.get("smiles")
    for question, answer in zip(turns[::2], turns[1::2], strict=True):
        if said:
            break
        text = answer["value"].strip()
        if match := _SMILES_SAID.search(text):
            said = match[1].rstrip(".")
        elif "smiles" in question["value"].lower() and not re.search(r"\s", text):
            said = text
    if not said:
        return None
    smiles = canonical_smiles(plain_smiles(str(said)))
    if not smiles:
        raise Drop("RDKit cannot read the SMILES")
    return smiles


# ---- images ----


def _found(folder: Path, name: str) -> Path:
    """A row's image: its path below the folder, or the end of it (the rest was another machine).

    Raises:
        Drop: no such file, or the path leads out.
    """
    parts = [part for part in PurePosixPath(name.replace("\\", "/")).parts if part != "/"]
    if ".." in parts:
        raise Drop("image path that leads out of the folder")
    for start in range(len(parts)):
        path = folder.joinpath(*parts[start:])
        if path.is_file():
            return path
    raise Drop("missing image")


def _saved(example: Example, name: str, job: _Job) -> str:
    """Save an image, once for all rows that name it; returns its path in the dataset."""
    assert example.image is not None
    digest = hashlib.sha256(name.encode()).hexdigest()
    stem = re.sub(r"[^\w.-]", "_", PurePosixPath(name.replace("\\", "/")).stem, flags=re.ASCII)
    path = Path("images") / digest[:2] / f"{stem[:80]}-{digest[2:10]}.png"
    there = job.out / path
    if not there.exists():
        there.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(there, sync=False) as draft:  # another process may save the same one
            save(example.image, draft)
    return path.as_posix()


# ---- the end ----


@dataclass
class _Counts:
    """What is counted besides rows and drops."""

    repairs: Counter[str] = field(default_factory=Counter)
    prompts: Counter[str] = field(default_factory=Counter)
    listed: int = 0
    not_listed: int = 0


_PROMPTS = 10  # that are named
_PROMPT = 120  # characters of each


def _finish(
    out: Path,
    parts: Parts,
    made_with: dict[str, Any],
    items: int,
    listed: _Listed | None,
    settings: Settings,
) -> DatasetInfo:
    """Stream the parts into the lists, then say that it is done."""
    numbers = itertools.takewhile(lambda number: parts.path(number).exists(), itertools.count())
    counts = _Counts()
    with Ledger(parts.folder / "molecules.sqlite") as ledger:
        records = _counting(parts.records(numbers), counts, ledger, listed)
        written = write_lists(out, records)
        written["molecules"] = ledger.proof(frozenset())
    if not sum(written["splits"].values()):
        reasons = summary(written["drops"])
        raise InputError(f"{out}: of {items} rows not one could be kept ({reasons})")
    cot = "cot" in written["tasks"]
    info = DatasetInfo(
        **made_with,
        **written,
        pixel_frame=settings.frame,
        answer_form=settings.form if cot else None,
        prompt_version=PROMPT_VERSION if cot else None,
        items=items,
        licences=[_LICENCE],
        seed=0,
        repairs=dict(counts.repairs.most_common()),
        prompts=dict(counts.prompts.most_common(_PROMPTS)),
        ids=_id_counts(listed, counts),
    )
    info.write(out)
    return info


def _counting(
    records: Iterable[Record], counts: _Counts, ledger: Ledger, listed: _Listed | None
) -> Iterator[Record]:
    base = sqlite3.connect(listed.path, isolation_level=None) if listed else None
    try:
        if base:
            base.execute("BEGIN")
        for record in records:
            if "row" in record:
                ledger.wrote(record["key"], record["split"])
                counts.repairs.update(record["repairs"])
                # Instruction sets ask thousands of things; the chain of thought asks one.
                if record["row"]["task"] == "cot":
                    counts.prompts[record["asked"][:_PROMPT]] += 1
                elif base:
                    _join(base, record["name"], counts)
            yield record
        if base:
            base.execute("COMMIT")
    finally:
        if base:
            base.close()


def _join(base: sqlite3.Connection, name: str, counts: _Counts) -> None:
    entry = _row_of(base, name)
    if entry is None:
        counts.not_listed += 1
        return
    counts.listed += 1
    base.execute("UPDATE ids SET seen = 1 WHERE rowid = ?", (entry,))


def _id_counts(listed: _Listed | None, counts: _Counts) -> dict[str, Any] | None:
    if listed is None:
        return None
    with closing(sqlite3.connect(listed.path)) as base:
        (unused,) = base.execute("SELECT count(*) FROM ids WHERE NOT seen").fetchone()
    return {
        "column": listed.column,
        "listed": listed.count,
        "rows_listed": counts.listed,
        "rows_not_listed": counts.not_listed,
        "listed_without_a_row": unused,
    }
