"""Build a dataset folder: drawings in, LLaVA JSON with images on the model's grid out.

The folder holds ``train.json``, ``valid.json``, ``test.json``, ``images/`` and
``dataset_info.json``; with shards JSON Lines such as ``train-00000-of-00004.jsonl`` instead of the
three. A row is ::

    {"id": "a12", "image": "images/000000/a12.png", "conversations": [
        {"from": "human", "value": "<image>\\nRead the molecule ..."},
        {"from": "gpt", "value": "824 133 [OMe]\\n..."}], "source": "drawings", "task": "cot"}

with the image's path relative to the folder, and every position in whole pixels of that image.
What ``dataset_info.json`` says is `DatasetInfo`.

Placed graphs come from the drawing itself (SMILES) or from a fit onto the ink (molfiles).
"""

from __future__ import annotations

import errno
import itertools
import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from data_preprocess.build.exclude import Excluded
from data_preprocess.build.rows import Job, build_part
from data_preprocess.build.settings import Settings
from data_preprocess.build.shards import ShardJob, count_rows, write_shard
from data_preprocess.build.survey import balanced
from data_preprocess.dataset.folder import Parts, Shard, total
from data_preprocess.dataset.info import DatasetInfo
from data_preprocess.dataset.splits import Ledger
from data_preprocess.engine import Engine, run
from data_preprocess.sources.files import Item, Source
from data_preprocess.tally import summary
from eyesmol import __version__
from eyesmol.exceptions import InputError

if TYPE_CHECKING:
    from data_preprocess.build.chart_mixing import ChartFolder, ChartItem

__all__ = ["Settings", "build"]

_PART = 100  # items of a part: seconds of work, so a kill costs little and progress is smooth
_SHARDED_PART = 1_000  # where there may be millions: a tenth of the files
_UNFIT = re.compile(r"[/\\\x00]|^\.|.{200}", re.DOTALL)  # as a file's name


def build(
    sources: Source | Sequence[Source],
    out: Path,
    settings: Settings,
    *,
    charts: ChartFolder | None = None,
    excluded: Excluded | None = None,
    shards: int | None = None,
    workers: int = 1,
    engine: Engine = "processes",
    overwrite: bool = False,
    progress: bool = True,
) -> DatasetInfo:
    """Build a dataset folder, or resume one that was interrupted.

    Byte for byte the same whatever the number of `workers`, the `engine`, and however often it was
    stopped.

    Args:
        sources: one or several; the rows stand in their order.
        out: the dataset folder.
        settings: what the rows are.
        charts: mixed in at the fraction that the recipe says.
        excluded: molecules that become no row.
        shards: into so many JSON Lines files a split, each written by itself; None for one LLaVA
            JSON a split.
        workers, engine: see `data_preprocess.engine.run`.
        overwrite: build again what `out` holds.
        progress: show bars.

    Returns:
        What the dataset is, of one that is already finished too.

    Raises:
        InputError: the sources do not go together, the folder holds a dataset of other settings,
            or not one row came out.
        OSError: the disk is full, or cannot be written to. What is done stays done.
    """
    sources = list(sources) if isinstance(sources, Sequence) else [sources]
    excluded = excluded or Excluded()
    if shards is not None and shards < 1:
        raise InputError(f"--shards {shards}: expected at least 1")
    settings = balanced(settings, sources)
    made_with = _made_with(sources, settings, charts, excluded, shards)
    out = out.absolute()  # a worker of a cluster may stand in another folder
    parts = Parts(out, made_with)
    if overwrite:
        parts.clear()
    if (info := parts.finished()) is not None:
        return info
    try:
        parts.begin()
        file = excluded.write(parts.folder)
        maker = _Maker(parts, out, settings, file, shards, workers, engine, progress)
        count = sum(about["items"] for about in made_with["sources"])
        items = itertools.chain.from_iterable(source.items() for source in sources)
        maker.make(items, first=0, count=count, unit="drawings")
        jobs = [
            ShardJob(
                out,
                Shard(number, shards or 1),
                sharded=shards is not None,
                count=-(-count // maker.part),
                charts=charts is not None,
                seed=settings.seed,
                excluded=file,
            )
            for number in range(shards or 1)
        ]
        if charts:
            _make_charts(charts, jobs, maker)
        counted = run(jobs, write_shard, workers if shards else 1, engine)
        in_order = sorted(counted, key=itemgetter("shard"))  # so that examples are the same ones
        info = _finish(out, total(in_order), settings, made_with)
    except (OSError, sqlite3.OperationalError) as error:
        raise _explained(error, out) from error
    parts.discard()
    return info


def _made_with(
    sources: Sequence[Source],
    settings: Settings,
    charts: ChartFolder | None,
    excluded: Excluded,
    shards: int | None,
) -> dict[str, Any]:
    """What stands in `dataset_info.json` before any work, checked for what cannot go together."""
    abouts = [source.describe() for source in sources]
    lists = Counter(about["name"] for about in abouts if "copies" in about)
    if twice := [name for name, count in lists.items() if count > 1]:
        raise InputError(
            f"two lists of SMILES are called {twice[0]}, and rows are named after them; rename one"
        )
    if settings.split_by == "group" and not any(about.get("groups") for about in abouts):
        raise InputError(
            "--split-by group: no row of the sources has a group; expected a catalogue with a "
            "column group, such as patent numbers; leave the option out to split by molecule"
        )
    if charts and not settings.chart_fraction:
        raise InputError(
            "--charts: the recipe asks for no charts; expected build instruction with --recipe v2, "
            "or with a recipe that has a fraction of charts"
        )
    made_with = {
        "version": __version__,
        "settings": asdict(settings),
        "sources": abouts,
        "exclude": excluded.about,
        "charts": charts.describe() if charts else None,
        "shards": shards,
    }
    # Through JSON, so that it compares equal to what is read back from a file.
    values: dict[str, Any] = json.loads(json.dumps(made_with))
    return values


def _explained(error: OSError | sqlite3.OperationalError, out: Path) -> Exception:
    """The error; of a full disk, with what to do about it."""
    if isinstance(error, OSError) and error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return error
    # All that SQLite can fail in here is writing its scratch file.
    return OSError(
        f"{out}: no room to write ({error}); what is done stays: make room, and the same command "
        "resumes"
    )


@dataclass(frozen=True)
class _Maker:
    """Builds the parts that are missing."""

    parts: Parts
    out: Path
    settings: Settings
    excluded: Path | None
    shards: int | None
    workers: int
    engine: Engine
    progress: bool

    @property
    def part(self) -> int:
        """Items of a part."""
        return _PART if self.shards is None else _SHARDED_PART

    def make(self, items: Iterable[Item | ChartItem], *, first: int, count: int, unit: str) -> None:
        """Build the parts of `count` items, numbered from `first` on."""
        with tqdm(
            total=count, unit=f" {unit}", desc=self.out.name, disable=not self.progress
        ) as bar:
            jobs = self._missing(items, first, bar)
            for done in run(jobs, build_part, self.workers, self.engine):
                bar.update(done)

    def _missing(self, items: Iterable[Item | ChartItem], first: int, bar: Any) -> Iterator[Job]:
        with Ledger(self.parts.folder / "ids.sqlite") as ledger:
            checked = (_checked(item, ledger) for item in items)
            for number in itertools.count(first):
                chunk = tuple(itertools.islice(checked, self.part))
                if not chunk:
                    return
                path = self.parts.path(number)
                if path.exists():
                    bar.update(len(chunk))
                else:
                    shards = self.shards or 1
                    yield Job(number, chunk, self.settings, self.out, path, self.excluded, shards)


def _checked(item: Item | ChartItem, ledger: Ledger) -> Item | ChartItem:
    """The item, with its problem where its name cannot be that of its rows and image."""
    if _UNFIT.search(item.name):
        return replace(item, problem="an id that cannot be a file's name")
    return item if ledger.is_new(item.name) else replace(item, problem="duplicate id")


def _make_charts(charts: ChartFolder, jobs: Sequence[ShardJob], maker: _Maker) -> None:
    from data_preprocess.build.chart_mixing import charts_wanted

    settings = maker.settings
    rows = sum(run(jobs, count_rows, maker.workers if maker.shards else 1, maker.engine))
    wanted = charts_wanted(rows, settings.chart_fraction)
    count = int(charts.describe()["items"])
    items = charts.items(wanted, count, settings.seed)
    maker.make(items, first=jobs[0].count, count=min(wanted, count), unit="charts")


def _finish(
    out: Path, counted: dict[str, Any], settings: Settings, made_with: dict[str, Any]
) -> DatasetInfo:
    """Say that it is done."""
    items = sum(about["items"] for about in made_with["sources"])
    rows = sum(counted["splits"].values())
    if not rows:
        raise InputError(
            f"{out}: of {items} drawings not one became a row ({summary(counted['drops'])})"
        )
    cot = settings.task == "cot"
    info = DatasetInfo(
        **made_with,
        **counted,
        pixel_frame=settings.frame,
        answer_form=settings.form if cot else None,
        prompt_version=settings.prompt_version if cot else None,
        chart_rows=_chart_rows(rows, counted["tasks"].get("chart", 0), settings.chart_fraction),
        items=items,
        licences=_licences(made_with),
        seed=settings.seed,
    )
    info.write(out)
    return info


def _chart_rows(rows: int, written: int, fraction: float) -> dict[str, int]:
    return {"wanted": round((rows - written) * fraction / (1 - fraction)), "written": written}


def _licences(made_with: dict[str, Any]) -> list[str]:
    abouts = [*made_with["sources"], *([made_with["charts"]] if made_with["charts"] else [])]
    return sorted({one for about in abouts for one in about.get("licences", [about["licence"]])})
