"""Charts among the molecules: how many, which questions of which chart, and where they stand.

The fraction of chart rows is the recipe's. All three choices are rules that look at one chart or
one row at a time, so that neither list is ever in memory.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_preprocess.catalogue.charts import CHARTS
from data_preprocess.dataset.folder import Record
from data_preprocess.dataset.splits import number_of
from data_preprocess.sources.files import Filed, file_digest

__all__ = ["ChartFolder", "ChartItem", "charts_wanted", "shuffled_in"]


@dataclass(frozen=True)
class ChartItem:
    """A chart with the questions that are asked about it in this dataset."""

    name: str
    source: str
    image: Filed
    turns: tuple[tuple[str, str], ...]
    problem: str | None = None  # see `data_preprocess.sources.files.Item`


class ChartFolder:
    """Charts to mix in, as ``collect pixmo`` writes them.

    Raises:
        InputError: no charts there, or they cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self._file = CHARTS.file(folder).absolute()
        # What is wrong with its columns is said before any work.
        next(CHARTS.read(self._file), None)

    def describe(self) -> dict[str, Any]:
        """For `dataset_info.json`, as a source's."""
        licences = sorted(set(CHARTS.column(self._file, "licence")))
        return {
            "name": self._file.parent.name,
            "kind": "charts with questions",
            "items": CHARTS.count(self._file),
            "licence": "; ".join(licences),
            "licences": licences,
            "sha256": file_digest(self._file),
        }

    def items(self, wanted: int, count: int, seed: int) -> Iterator[ChartItem]:
        """`wanted` questions, spread evenly over the `count` charts; fewer where they have fewer.

        With more charts than questions every n-th chart is asked one; with fewer, each is asked as
        many as it takes and has.
        """
        for number, chart in enumerate(CHARTS.read(self._file)):
            fraction = (number + 1) * wanted // count - number * wanted // count
            rng = random.Random(number_of(f"{seed} chart {chart.id}"))
            pairs = list(zip(chart.questions, chart.answers, strict=True))
            chosen = rng.sample(pairs, min(fraction, len(pairs)))
            if chosen:
                image = Filed(self._file.parent, chart.image)
                yield ChartItem(chart.id, chart.source, image, tuple(chosen))


def charts_wanted(molecule_rows: int, fraction: float) -> int:
    """Chart rows that make up `fraction` of all rows."""
    return round(molecule_rows * fraction / (1 - fraction))


def shuffled_in(
    molecules: Iterator[Record], charts: Iterator[Record], counts: tuple[int, int], seed: int
) -> Iterator[Record]:
    """Two lists as one, each in its own order, every way of laying them together alike likely.

    Args:
        molecules, charts: records; those that are no rows (drops) pass at once.
        counts: rows of each.
        seed: of the shuffle.
    """
    rng = random.Random(number_of(f"{seed} shuffle"))
    left = list(counts)
    streams = (molecules, charts)
    while sum(left):
        which = int(rng.random() * sum(left) >= left[0])
        for record in streams[which]:
            yield record
            if "row" in record:
                break
        left[which] -= 1
    yield from molecules
    yield from charts
