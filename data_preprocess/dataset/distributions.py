"""What a dataset is made of, as bars: splits, tasks, lengths, atoms, bonds, sizes, drops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from data_preprocess.dataset.info import DatasetInfo
from data_preprocess.dataset.lengths import TokenCounter
from data_preprocess.dataset.schema import images_of
from eyesmol import BondOrder
from eyesmol.answer.text import read_answer

__all__ = ["Bar", "Chart", "charts_of"]

_MOST = 24  # bars of a chart
_NUMBERS = 16  # columns of a histogram

Rows = Sequence[tuple[str, dict[str, Any]]]


@dataclass(frozen=True)
class Bar:
    """One bar: its name, how many, and its length as a fraction of the longest."""

    name: str
    count: int
    fraction: float


@dataclass(frozen=True)
class Chart:
    """Some bars.

    Attributes:
        title: what is counted.
        bars: in order.
        note: what is left out.
        is_histogram: numbers in order, to be drawn as columns side by side.
    """

    title: str
    bars: list[Bar]
    note: str = ""
    is_histogram: bool = False

    @property
    def longest_name(self) -> int:
        """Letters of the longest name."""
        return max(len(bar.name) for bar in self.bars)


def charts_of(
    lists: Mapping[str, int],
    tasks: Mapping[str, int],
    rows: Rows,
    folder: Path,
    info: DatasetInfo,
) -> list[Chart]:
    """The distributions of a dataset; one with nothing to show is left out.

    Args:
        lists, tasks: rows of each, all of them.
        rows: some at random, for what has to be looked at.
        folder: where their images are.
        info: what the dataset says of itself.
    """
    graphs = [
        read_answer(row["conversations"][-1].get("value") or "").graph
        for _, row in rows
        if row.get("task") == "cot" and row["conversations"]
    ]
    labels = Counter(atom.text for graph in graphs for atom in graph.atoms)
    bonds = Counter(bond.order for graph in graphs for bond in graph.bonds)
    drops = {reason: drop["count"] for reason, drop in info.drops.items()}
    charts = [
        _bars("Rows of each split", lists, keep_order=True),
        _bars("Rows of each task", tasks),
        _histogram("Answer length, tokens (estimated)", _answer_lengths(rows)),
        _histogram("Atoms and labels of a molecule", [len(graph.atoms) for graph in graphs]),
        _bars("Elements and labels", labels),
        _bars("Bonds by order", {_order_name(order): count for order, count in bonds.items()}),
        _bars("Image sizes, pixels", _sizes(rows, folder)),
        _bars("Dropped drawings, by reason", drops),
    ]
    return [chart for chart in charts if chart.bars]


def _order_name(order: BondOrder) -> str:
    return order.name.lower().replace("_", " ")


def _answer_lengths(rows: Rows) -> list[int]:
    counter = TokenCounter()
    return [
        counter.text(str(turn.get("value")))
        for _, row in rows
        for turn in row["conversations"]
        if turn.get("from") == "gpt"
    ]


def _sizes(rows: Rows, folder: Path) -> Counter[str]:
    sizes: Counter[str] = Counter()
    for _, row in rows:
        for path in images_of(row) or []:
            try:
                with Image.open(folder / path) as image:  # the header alone is read
                    sizes[f"{image.width} x {image.height}"] += 1
            except (OSError, SyntaxError, ValueError):
                sizes["cannot be read"] += 1
    return sizes


def _bars(title: str, counts: Mapping[str, int], *, keep_order: bool = False) -> Chart:
    """A bar for each name, the longest first; what does not fit is named in the note."""
    ordered = list(counts.items())
    if not keep_order:
        ordered.sort(key=lambda item: (-item[1], item[0]))
    shown, rest = ordered[:_MOST], ordered[_MOST:]
    longest = max((count for _, count in shown), default=1) or 1
    note = f"and {len(rest)} more, {sum(count for _, count in rest):,} together" if rest else ""
    return Chart(title, [Bar(name, count, count / longest) for name, count in shown], note)


def _histogram(title: str, values: Sequence[int]) -> Chart:
    """Columns of equal width; values beyond the 99th percentile fall into the last one."""
    if not values:
        return Chart(title, [])
    ordered = sorted(values)
    low, high = ordered[0], ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    step = max(1, -(-(high - low + 1) // _NUMBERS))
    columns = Counter(min((value - low) // step, (high - low) // step) for value in ordered)
    highest = max(columns.values())
    bars = []
    for column in range((high - low) // step + 1):
        first, last = low + column * step, low + (column + 1) * step - 1
        name = str(first) if step == 1 else f"{first} to {last}"
        bars.append(Bar(name, columns[column], columns[column] / highest))
    median = ordered[len(ordered) // 2]
    note = f"median {median:,}, longest {ordered[-1]:,}"
    return Chart(title, bars, note, is_histogram=True)
