"""The report's charts, as SVG that takes its colours from the page, light or dark.

Matplotlib draws them with placeholder colours, which become the page's CSS variables: ``--ink``,
``--soft`` and ``--line``, and ``--s1`` to ``--s6`` for the systems, in their order.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from eyesmol.evaluation.error_analysis import ERROR_KINDS
from eyesmol.evaluation.metrics import Evaluation, Share
from eyesmol.evaluation.subsets import SIZES, subset_shares

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["by_size", "error_kinds_chart", "loss_curve", "reliability_chart", "seconds_chart"]

_PLACEHOLDERS = {"--ink": "#010101", "--soft": "#020202", "--line": "#030303"} | {
    f"--s{number}": f"#0{number}fe0{number}" for number in range(1, 7)
}
_INK, _SOFT, _LINE, *_SYSTEMS = _PLACEHOLDERS.values()


def _colour(index: int) -> str:
    return _SYSTEMS[index % len(_SYSTEMS)]


def _drawn(paint: Callable[[Axes], None], name: str, size: tuple[float, float]) -> str:
    """An SVG of one pair of axes; `name` keeps its ids apart from those of other charts."""
    # Only charts need matplotlib, whose import takes longer than the rest of the page.
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style = {"svg.fonttype": "none", "svg.hashsalt": name, "font.family": "sans-serif",
             "font.size": 9.0, "text.color": _INK, "axes.labelcolor": _SOFT,
             "legend.labelcolor": _INK}  # fmt: skip
    with mpl.rc_context(style):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots()
        axes.grid(axis="y", color=_LINE, lw=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(_SOFT)
        axes.tick_params(colors=_SOFT, length=0)
        paint(axes)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return _of_the_page(buffer.getvalue(), name)


def _of_the_page(svg: str, name: str) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    # Ids and what points at them; several charts share a page.
    svg = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    for variable, colour in _PLACEHOLDERS.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg.replace('font-family="sans-serif"', "").replace("sans-serif", "inherit")


# ---- the charts ----


def by_size(evaluations: Sequence[Evaluation]) -> str:
    """Exact match by the number of heavy atoms, with intervals; empty without rows."""
    columns = [
        {name: share for name, share in subset_shares(evaluation).items() if name in SIZES}
        for evaluation in evaluations
    ]
    names = [name for name in SIZES if any(name in column for column in columns)]
    if not names:
        return ""

    def paint(axes: Axes) -> None:
        width = 0.8 / len(columns)
        for index, (evaluation, column) in enumerate(zip(evaluations, columns, strict=True)):
            places = [n + (index - (len(columns) - 1) / 2) * width for n in range(len(names))]
            shares = [column.get(name) for name in names]
            _bars(axes, places, shares, width * 0.86, _colour(index), evaluation.name)
        rows = {name: max(c[name].n for c in columns if name in c) for name in names}
        words = [name.replace(" heavy atoms", "").replace(" to ", "-") for name in names]
        ticks = [f"{word}\nn = {rows[name]}" for word, name in zip(words, names, strict=True)]
        axes.set_xticks(range(len(names)), ticks)
        axes.set_xlabel("heavy atoms")
        _per_cent(axes, "exact match")
        if len(columns) > 1:
            _legend_above(axes)

    return _drawn(paint, "size", (4.8, 2.9))


def _bars(
    axes: Axes,
    places: Sequence[float],
    shares: Sequence[Share | None],
    width: float,
    colour: str,
    label: str,
) -> None:
    known = [(place, share) for place, share in zip(places, shares, strict=True) if share]
    at = [place for place, _ in known]
    axes.bar(at, [s.value for _, s in known], width, color=colour, label=label, alpha=0.85)
    low = [s.value - s.low for _, s in known]
    high = [s.high - s.value for _, s in known]
    axes.errorbar(at, [s.value for _, s in known], [low, high], fmt="none", ecolor=_INK,
                  elinewidth=1, capsize=2)  # fmt: skip


def _legend_above(axes: Axes) -> None:
    # The figure's own: wide labels beside the axes leave those too narrow for it.
    axes.get_figure().legend(  # type: ignore[union-attr]
        frameon=False, loc="outside upper left", ncols=3, borderaxespad=0.2
    )


def _per_cent(axes: Axes, label: str) -> None:
    axes.set_ylim(0, 1.02)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    axes.set_ylabel(label)


def reliability_chart(
    systems: Mapping[str, Sequence[tuple[float, float, int]]], *, probability: bool
) -> str:
    """Share of right readings by confidence.

    Args:
        systems: by name (in their order) bins of (mean confidence, share right, pictures).
        probability: confidences lie between 0 and 1, so that a diagonal is what to expect;
            otherwise the bins stand side by side in their order.
    """

    def paint(axes: Axes) -> None:
        if probability:
            axes.plot([0, 1], [0, 1], color=_SOFT, lw=1, ls=(0, (3, 3)))
            axes.set_xlabel("confidence")
            axes.set_xlim(0, 1.02)
        else:
            axes.set_xlabel("confidence, from the least sure tenth to the surest")
            axes.set_xticks([])
        for index, (name, bins) in enumerate(systems.items()):
            if bins:
                where = [b[0] for b in bins] if probability else list(range(len(bins)))
                axes.plot(where, [b[1] for b in bins], color=_colour(index), lw=1.6, marker="o",
                          ms=4, label=name)  # fmt: skip
        _per_cent(axes, "read right")
        if len(systems) > 1:
            _legend_above(axes)

    return _drawn(paint, "reliability" if probability else "ranking", (4.8, 2.9))


def seconds_chart(systems: Mapping[str, Sequence[float]]) -> str:
    """How many pictures took how long; logarithmic, by name in their order."""
    every = [value for values in systems.values() for value in values]
    low, high = min(every), max(every)
    low, high = (low / 1.5, high * 1.5) if low == high else (low, high)
    edges = [low * (high / low) ** (step / 24) for step in range(25)]

    def paint(axes: Axes) -> None:
        for index, (name, values) in enumerate(systems.items()):
            if values:
                axes.hist(values, edges, color=_colour(index), alpha=0.7, label=name)
        axes.set_xscale("log")
        ticks = [t for t in _round_seconds() if low / 1.2 <= t <= high * 1.2]
        axes.set_xticks(ticks, [f"{t:g}" for t in ticks], minor=False)
        axes.set_xticks([], minor=True)
        axes.set_xlabel("seconds an image")
        axes.set_ylabel("images")
        if len(systems) > 1:
            _legend_above(axes)

    return _drawn(paint, "seconds", (4.8, 2.9))


def _round_seconds() -> Iterable[float]:
    return (step * 10.0**power for power in range(-4, 6) for step in (1, 2, 5))


def error_kinds_chart(evaluations: Sequence[Evaluation]) -> str:
    """Share of the pictures that have each kind of error; empty where all are right."""
    counts = [
        {kind: sum(kind in row.kinds for row in evaluation.rows) for kind in ERROR_KINDS}
        for evaluation in evaluations
    ]
    kinds = [kind for kind in ERROR_KINDS if any(count[kind] for count in counts)]
    if not kinds:
        return ""

    def paint(axes: Axes) -> None:
        width = 0.8 / len(counts)
        for index, (evaluation, count) in enumerate(zip(evaluations, counts, strict=True)):
            places = [n + (index - (len(counts) - 1) / 2) * width for n in range(len(kinds))]
            shares = [100 * count[kind] / max(len(evaluation.rows), 1) for kind in kinds]
            axes.barh(places, shares, width * 0.86, color=_colour(index), alpha=0.85,
                      label=evaluation.name)  # fmt: skip
            for place, kind, share in zip(places, kinds, shares, strict=True):
                axes.text(share, place, f" {count[kind]}", va="center", fontsize=8, color=_SOFT)
        axes.set_yticks(range(len(kinds)), [ERROR_KINDS[kind] for kind in kinds])
        axes.tick_params(axis="y", colors=_INK)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.grid(axis="x", color=_LINE, lw=0.8)
        axes.margins(x=0.12)
        axes.set_xlabel("per cent of the images")
        if len(counts) > 1:
            _legend_above(axes)

    height = 0.9 + 0.24 * len(kinds) * max(1.0, 0.7 * len(counts))
    return _drawn(paint, "kinds", (4.8, max(height, 2.0)))


def loss_curve(history: Sequence[Mapping[str, Any]], name: str) -> str:
    """Training and validation loss over steps; empty without points."""
    train = [(row["step"], row["loss"]) for row in history if "loss" in row]
    valid = [(row["step"], row["eval_loss"]) for row in history if "eval_loss" in row]
    if not train and not valid:
        return ""

    def paint(axes: Axes) -> None:
        for points, colour, label, mark in (
            (train, _SOFT, "training", ""),
            (valid, _colour(0), "validation", "o"),
        ):
            if points:
                steps, values = zip(*points, strict=True)
                single = "o" if len(points) == 1 else mark
                axes.plot(steps, values, colour, lw=1.6, marker=single, ms=3.5, label=label)
        axes.set_xlabel("step")
        axes.set_ylabel("loss")
        top = max(value for _, value in (*train, *valid) if math.isfinite(value))
        axes.set_ylim(0, top * 1.05 or 1)
        axes.legend(frameon=False)

    return _drawn(paint, f"loss-{name}", (4.4, 2.5))
