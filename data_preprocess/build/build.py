"""Build a dataset folder: drawings in, LLaVA JSON with images on the model's grid out.

The folder holds ``train.json``, ``valid.json``, ``test.json``, ``images/`` and
``dataset_info.json``. A row is ::

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
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from data_preprocess.build.exclude import Excluded
from data_preprocess.build.rows import Job, build_part
from data_preprocess.build.settings import Settings
from data_preprocess.dataset.folder import Parts, Record, write_lists
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
_UNFIT = re.compile(r"[/\\\x00]|^\.|.{200}", re.DOTALL)  # as a file's name


def build(
    sources: Source | Sequence[Source],
    out: Path,
    settings: Settings,
    *,
    charts: ChartFolder | None = None,
    excluded: Excluded | None = None,
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
    made_with = _made_with(sources, settings, charts, excluded)
    out = out.absolute()  # a worker of a cluster may stand in another folder
    parts = Parts(out, made_with)
    if overwrite:
        parts.clear()
    if (info := parts.finished()) is not None:
        return info
    try:
        parts.begin()
        maker = _Maker(
            parts, out, settings, excluded.write(parts.folder), workers, engine, progress
        )
        count = sum(about["items"] for about in made_with["sources"])
        items = itertools.chain.from_iterable(source.items() for source in sources)
        maker.make(items, first=0, count=count, unit="drawings")
        molecules = _Molecules(parts, -(-count // _PART), out)
        if charts:
            _make_charts(charts, molecules, maker)
        info = _finish(out, molecules, settings, made_with, excluded)
    except (OSError, sqlite3.OperationalError) as error:
        raise _explained(error, out) from error
    parts.discard()
    return info


def _made_with(
    sources: Sequence[Source],
    settings: Settings,
    charts: ChartFolder | None,
    excluded: Excluded,
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
    workers: int
    engine: Engine
    progress: bool

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
                chunk = tuple(itertools.islice(checked, _PART))
                if not chunk:
                    return
                path = self.parts.path(number)
                if path.exists():
                    bar.update(len(chunk))
                else:
                    yield Job(number, chunk, self.settings, self.out, path, self.excluded)


def _checked(item: Item | ChartItem, ledger: Ledger) -> Item | ChartItem:
    """The item, with its problem where its name cannot be that of its rows and image."""
    if _UNFIT.search(item.name):
        return replace(item, problem="an id that cannot be a file's name")
    return item if ledger.is_new(item.name) else replace(item, problem="duplicate id")


class _Molecules:
    """The records of all molecule parts, each molecule kept on the side where it was seen first.

    Only a split by groups can want a molecule on two sides. The first to be seen decides, rows and
    drops alike, so that cot and instruction sets decide alike.

    Args:
        parts: of the build; those of molecules come first.
        count: of the parts of molecules.
        out: the dataset folder.
    """

    def __init__(self, parts: Parts, count: int, out: Path) -> None:
        self.parts, self.count, self._out = parts, count, out

    def records(self, ledger: Ledger) -> Iterator[Record]:
        """One at a time; `ledger` is a new one, and holds afterwards what was written."""
        dropped = None
        for record in self.parts.records(range(self.count)):
            if "key" not in record:
                yield record
                continue
            key, split = record["key"], record["split"]
            same_side = ledger.side(key, split) == split
            if (row := record.get("row")) is None:
                yield record
            elif same_side:
                ledger.wrote(key, split)
                yield record
            elif dropped != (dropped := (key, row.get("image"))):  # once for an image's rows
                yield {"drop": "its molecule stands in another split already", "name": row["id"]}
                if "image" in row:
                    (self._out / row["image"]).unlink(missing_ok=True)

    def rows(self) -> int:
        """Rows that are kept."""
        with Ledger(self.parts.folder / "rows.sqlite") as ledger:
            return sum("row" in record for record in self.records(ledger))

    def charts(self) -> Iterator[Record]:
        """The records of the charts, whose parts follow."""
        numbers = itertools.takewhile(lambda n: self.parts.path(n).exists(),
                                      itertools.count(self.count))  # fmt: skip
        return self.parts.records(numbers)


def _make_charts(charts: ChartFolder, molecules: _Molecules, maker: _Maker) -> None:
    from data_preprocess.build.chart_mixing import charts_wanted

    settings = maker.settings
    wanted = charts_wanted(molecules.rows(), settings.chart_fraction)
    count = int(charts.describe()["items"])
    items = charts.items(wanted, count, settings.seed)
    maker.make(items, first=molecules.count, count=min(wanted, count), unit="charts")


def _finish(
    out: Path,
    molecules: _Molecules,
    settings: Settings,
    made_with: dict[str, Any],
    excluded: Excluded,
) -> DatasetInfo:
    """Stream the parts into the lists, then say that it is done."""
    with Ledger(molecules.parts.folder / "molecules.sqlite") as ledger:
        records = molecules.records(ledger)
        if made_with["charts"]:
            records = _with_charts(records, molecules, settings.seed)
        counted = write_lists(out, records)
        proof = ledger.proof(excluded.keys)
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
        molecules=proof,
        chart_rows=_chart_rows(rows, counted["tasks"].get("chart", 0), settings.chart_fraction),
        items=items,
        licences=_licences(made_with),
        seed=settings.seed,
    )
    info.write(out)
    return info


def _with_charts(records: Iterator[Record], molecules: _Molecules, seed: int) -> Iterator[Record]:
    from data_preprocess.build.chart_mixing import shuffled_in

    counts = molecules.rows(), sum("row" in record for record in molecules.charts())
    return shuffled_in(records, molecules.charts(), counts, seed)


def _chart_rows(rows: int, written: int, fraction: float) -> dict[str, int]:
    return {"wanted": round((rows - written) * fraction / (1 - fraction)), "written": written}


def _licences(made_with: dict[str, Any]) -> list[str]:
    abouts = [*made_with["sources"], *([made_with["charts"]] if made_with["charts"] else [])]
    return sorted({one for about in abouts for one in about.get("licences", [about["licence"]])})
