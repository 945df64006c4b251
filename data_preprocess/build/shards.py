"""From parts to lists: what is decided across rows, shard by shard, each by a process of its own.

A molecule's records all fall into one shard, so a shard knows by itself on which side a molecule
was seen first, and which drawing would be its second. What it has seen lies on disk; nothing of a
shard is in memory but a row.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_preprocess.build.exclude import excluded_in
from data_preprocess.dataset.folder import Parts, Record, Shard, write_lists
from data_preprocess.dataset.splits import Ledger
from eyesmol.atomic import write_json

__all__ = ["ShardJob", "count_rows", "write_shard"]


@dataclass(frozen=True)
class ShardJob:
    """One shard for one process; small and picklable.

    Attributes:
        out: the dataset folder.
        shard: which, and of how many.
        sharded: False for the only one of a dataset without shards.
        count: of the parts of molecules, which come first; those of charts follow.
        charts: mix them in.
        seed: of the mixing.
        excluded: see `data_preprocess.build.rows.Job`.
    """

    out: Path
    shard: Shard
    sharded: bool
    count: int
    charts: bool
    seed: int
    excluded: Path | None


def write_shard(job: ShardJob) -> dict[str, Any]:
    """Write the lists of a shard, unless they are there.

    Returns:
        What `write_lists` counted, with the proof of its molecules.
    """
    parts = _parts(job)
    done = parts.folder / f"shard-{job.shard.number:05d}.json"
    if done.exists():
        counted: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
        return counted
    with _ledger(job, "molecules") as ledger:
        records = _of_molecules(job, parts, ledger)
        if job.charts:
            records = _with_charts(records, job, parts)
        counted = write_lists(job.out, records, job.shard if job.sharded else None)
        counted |= {
            "molecules": ledger.proof(excluded_in(job.excluded)),
            "shard": job.shard.number,
        }
    write_json(done, counted)
    return counted


def count_rows(job: ShardJob) -> int:
    """Rows about molecules that a shard keeps; counted once, then noted beside the parts."""
    noted = _parts(job).folder / f"rows-{job.shard.number:05d}.json"
    if not noted.exists():
        with _ledger(job, "rows") as ledger:
            rows = sum("row" in record for record in _of_molecules(job, _parts(job), ledger))
        write_json(noted, rows)
    return int(json.loads(noted.read_text(encoding="utf-8")))


def _parts(job: ShardJob) -> Parts:
    return Parts(job.out, {})


def _ledger(job: ShardJob, what: str) -> Ledger:
    return Ledger(_parts(job).folder / f"{what}-{job.shard.number:05d}.sqlite")


def _of_molecules(job: ShardJob, parts: Parts, ledger: Ledger) -> Iterator[Record]:
    """The records about molecules, each molecule kept on the side where it was seen first, and
    each drawing once.

    Only a split by groups can want a molecule on two sides. The first to be seen decides, rows and
    drops alike, so that cot and instruction sets decide alike.

    Args:
        ledger: a new one; it holds afterwards what was written.
    """
    dropped = None
    for record in parts.records(range(job.count), job.shard):
        if "key" not in record:
            yield record
            continue
        key, split = record["key"], record["split"]
        same_side = ledger.side(key, split) == split
        if (row := record.get("row")) is None:
            yield record
            continue
        drawing, item = record.get("drawn"), record["item"]
        if same_side and (drawing is None or ledger.is_first(drawing, item)):
            ledger.wrote(key, split)
            yield record
        elif dropped != (dropped := item):  # once for an item's rows
            reason = (
                "drawn already" if same_side else "its molecule stands in another split already"
            )
            yield {"drop": reason, "name": item}
            if "image" in row:
                (job.out / row["image"]).unlink(missing_ok=True)


def _with_charts(records: Iterator[Record], job: ShardJob, parts: Parts) -> Iterator[Record]:
    from data_preprocess.build.chart_mixing import shuffled_in

    counts = count_rows(job), sum("row" in record for record in _of_charts(job, parts))
    return shuffled_in(records, _of_charts(job, parts), counts, job.seed)


def _of_charts(job: ShardJob, parts: Parts) -> Iterator[Record]:
    numbers = itertools.takewhile(lambda n: parts.path(n).exists(), itertools.count(job.count))
    return parts.records(numbers, job.shard)
