"""From what a source said to ``catalogue.parquet``, ``collect_info.json`` and a report."""

from __future__ import annotations

import html.parser
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rdkit import Chem, rdBase
from tqdm import tqdm

from data_preprocess.catalogue.compounds import COMPOUNDS, Compound
from data_preprocess.collect.state import State, batches
from data_preprocess.engine import run
from data_preprocess.tally import Tally, print_drops, summary
from eyesmol import __version__
from eyesmol.atomic import write_json
from eyesmol.chem.molfile import MolfileError, UnheldError
from eyesmol.chem.smiles import molblock_to_smiles
from eyesmol.exceptions import InputError

__all__ = ["INFO", "Drop", "finish", "plain_text", "settle"]

INFO = "collect_info.json"
_BATCH = 200  # compounds: a tenth of a second of work
_WORTH_PROCESSES = 5_000  # compounds: fewer are done before a process has started


@dataclass(frozen=True)
class Drop:
    """A compound that becomes no row; `reason` is one of a few fixed phrases."""

    id: str
    reason: str


def settle(compound: Compound) -> Compound | Drop:
    """The row of a compound, with what RDKit has to compute.

    A SMILES that RDKit reads stays as the source wrote it. One that it cannot read, or none at all,
    is replaced by the canonical one of the molfile. The InChIKey is computed where there is none
    (structures with R groups have none at all).
    """
    if not (compound.smiles or compound.molfile):
        return Drop(compound.id, "no structure")
    mol = _read(compound.smiles)
    if mol is None:
        try:
            smiles = molblock_to_smiles(compound.molfile or "")
        except UnheldError as error:
            return Drop(compound.id, error.reason)
        except MolfileError:
            return Drop(
                compound.id,
                "RDKit reads neither its SMILES nor its molfile"
                if compound.smiles and compound.molfile
                else f"RDKit cannot read its {'SMILES' if compound.smiles else 'molfile'}",
            )
        if not smiles:
            return Drop(compound.id, "no structure")
        compound = replace(compound, smiles=smiles)
        mol = _read(smiles)
    if not compound.inchikey and mol is not None:
        with rdBase.BlockLogs():
            compound = replace(compound, inchikey=Chem.MolToInchiKey(mol) or None)
    return compound


def _read(smiles: str | None) -> Chem.Mol | None:
    with rdBase.BlockLogs():
        return Chem.MolFromSmiles(smiles) if smiles else None


def _settled(rows: Iterable[Compound | Drop], workers: int) -> Iterator[Compound | Drop]:
    """The rows settled, in their order, whatever the number of workers."""
    early: dict[int, list[Compound | Drop]] = {}
    following = 0
    for number, done in run(enumerate(batches(rows, _BATCH)), _settle_batch, workers):
        early[number] = done
        while following in early:
            yield from early.pop(following)
            following += 1


def _settle_batch(job: tuple[int, list[Compound | Drop]]) -> tuple[int, list[Compound | Drop]]:
    number, rows = job
    return number, [row if isinstance(row, Drop) else settle(row) for row in rows]


def finish(
    state: State,
    rows: Iterable[Compound | Drop],
    about: dict[str, Any],
    drops: Tally,
    *,
    prefix: str,
    entries: Sequence[str],
    questions: Sequence[str],
    absent: Mapping[str, Tally],
    failed: Tally,
    workers: int = 1,
) -> int:
    """Write the catalogue and what there is to know of it, and report.

    Args:
        state: all answers, and the folder.
        rows: what the source said, in order; each is settled here.
        about: of the source: name, base, files, licence and the like, for ``collect_info.json``.
        drops: counted before.
        prefix: of ids, in examples.
        entries: kinds of answers that make a compound.
        questions: kinds of answers besides.
        absent: what the source does not have beyond what the state knows, by question; may grow
            while the rows come.
        failed: questions without an answer beyond what the state knows.
        workers: processes for the chemistry.

    Returns:
        The exit status: 1 if questions failed, since the same command may then do better.

    Raises:
        InputError: not one row.
    """
    folder, total = state.folder, state.wanted()
    gaps = {kind: state.gaps(kind, prefix) for kind in [*entries, *questions]}
    filled: Counter[str] = Counter()
    licences: Counter[str] = Counter()
    with COMPOUNDS.writer(folder) as catalogue:
        settled = _settled(rows, workers if total >= _WORTH_PROCESSES else 1)
        for row in tqdm(settled, total=total, desc="catalogue", unit=" compounds"):
            if isinstance(row, Drop):
                drops.add(row.reason, row.id)
                continue
            catalogue.add(row)
            filled["rows"] += 1
            licences[row.licence] += 1
            filled.update(c.name for c in fields(row) if getattr(row, c.name) is not None)
        if not filled["rows"]:
            reasons = summary(drops.to_dict()) or "none came"
            raise InputError(f"{folder}: of {total:,} compounds not one became a row ({reasons})")
    missing = {kind: gaps[kind][0] for kind in questions}
    for kind, more in absent.items():
        missing[kind].update(more)
    for kind, (_, unanswered) in gaps.items():
        failed.update(unanswered, f"{kind}: ")
    info = {
        **about,
        "questions": list(questions),
        "version": __version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "compounds": total,
        "rows": filled.pop("rows"),
        "filled": dict(sorted(filled.items())),
        "licences": dict(licences.most_common()),
        "drops": drops.to_dict(),
        "absent": {kind: tally.to_dict() for kind, tally in missing.items() if len(tally)},
        "failed": failed.to_dict(),
    }
    write_json(folder / INFO, info)
    _report(folder, info)
    return 1 if len(failed) else 0


def _report(folder: Path, info: dict[str, Any]) -> None:
    optional = ("inchikey", "name", "description", "image", "molfile")
    having = ", ".join(f"{info['filled'].get(column, 0):,} {column}" for column in optional)
    print(f"{folder}: {info['rows']:,} rows of {info['compounds']:,} compounds ({having})")
    counts = {f"dropped: {reason}": drop for reason, drop in info["drops"].items()}
    for question, gaps in info["absent"].items():
        counts |= {f"no {question}: {reason}": gap for reason, gap in gaps.items()}
    counts |= {f"no answer to {reason}": gap for reason, gap in info["failed"].items()}
    print_drops(counts)
    if info["failed"]:
        print("  the same command asks again for what found no answer, and for nothing else")
    print(f"  licence: {info['licence']}")


# ---- text ----


# HTML, and the marks of ChEBI's older names. Anything else in angles is text: "pH<pKa; a>b".
_MARKS = frozenset({
    "a", "b", "br", "div", "em", "i", "li", "p", "small", "span", "strong", "sub", "sup", "u", "ul",
    "element", "greek", "ital", "locant", "smallsub", "smallsup", "stereo",
})  # fmt: skip
_BREAKS = frozenset({"br", "div", "li", "p", "ul"})


class _Text(html.parser.HTMLParser):
    """Keeps the text between the marks."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.parts.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _MARKS:
            self.parts.append(self.get_starttag_text() or "")
        elif tag in _BREAKS:
            self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag not in _MARKS:
            self.parts.append(f"</{tag}>")


def plain_text(text: str | None) -> str | None:
    """Text without HTML marks and entities, on one line; None where nothing is left.

    >>> plain_text("An <em>ortho</em>-fused H<sub>2</sub>O &amp; more")
    'An ortho-fused H2O & more'
    """
    if not text:
        return None
    if "<" in text or "&" in text:
        parser = _Text()
        parser.feed(text)
        parser.close()
        text = "".join(parser.parts)
    return " ".join(text.split()) or None
