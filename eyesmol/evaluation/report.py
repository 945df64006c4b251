"""The report: one HTML file that opens offline and shows what was read, how well, and at what cost.

Pictures, overlays, depictions and charts are embedded, so the file can be mailed or archived as it
is. The page itself is `templates/report.html`; this file prepares what it shows. Its few lines of
script sort tables and filter the gallery; without them everything is there, unsorted.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image
from rdkit import Chem, rdBase
from rdkit.Chem import rdDepictor
from rdkit.Chem.Draw import rdMolDraw2D

from eyesmol import __version__
from eyesmol.answer.confidence import reliability
from eyesmol.chem.graph import BondOrder, MolGraph
from eyesmol.chem.molfile import graph_to_molblock
from eyesmol.chem.smiles import expand_abbreviations
from eyesmol.evaluation import report_charts as charts
from eyesmol.evaluation.compare import SURE, Comparison, all_pairs
from eyesmol.evaluation.error_analysis import ERROR_KINDS
from eyesmol.evaluation.metrics import METRICS, Evaluation, RowScore, Share, same_smiles
from eyesmol.evaluation.opinions import opinions
from eyesmol.evaluation.subsets import SUBSETS, subset_comparisons, subsets_of
from eyesmol.image.levels import on_white
from eyesmol.image.loading import IMAGE_ENDINGS
from eyesmol.image.overlay import BOND_COLOURS, draw_overlay
from eyesmol.outputs import replacing

__all__ = [
    "LossHistory",
    "ReportPicture",
    "Verdict",
    "pictures_of",
    "write_evaluation_report",
    "write_report",
]

# What a transformers trainer logs: dicts with "step" and "loss" or "eval_loss", among others.
LossHistory = Sequence[Mapping[str, float]]
Verdict = Literal["right", "wrong"]

_PICTURE_SIDE = 320  # pixels: about twice what a card shows, so it is sharp on any screen
_COLOURS = 16  # of an embedded image


@dataclass(frozen=True)
class ReportPicture:
    """One picture of the gallery; `pictures_of` makes them from an evaluation.

    Attributes:
        name: its caption.
        picture: the drawing: a path or an image; None leaves it out.
        graph: what was read, places in the drawing's pixels.
        truth, read: SMILES; None where there is none.
        truth_block, read_block: molblocks to depict them by, where the drawn places are known.
        verdict: right or wrong.
        note: a few words beside the verdict, such as "stereo only".
        closeness: 0 to 1, Tanimoto similarity; near misses come before far ones.
        confidence: of the reader; 0 to 1 where it is a probability.
        problems: what speaks against the answer, one sentence each.
        kinds: of error, keys of `eyesmol.evaluation.error_analysis.ERROR_KINDS`; the first is its
            group.
        subsets: names of the subsets that it belongs to.
        before: name and verdict of an earlier system on the same picture, and what it read.
    """

    name: str
    picture: Path | str | Image.Image | None
    verdict: Verdict
    graph: MolGraph | None = None
    truth: str | None = None
    read: str | None = None
    truth_block: str | None = None
    read_block: str | None = None
    note: str = ""
    closeness: float = 0.0
    confidence: float | None = None
    problems: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    subsets: tuple[str, ...] = ()
    before: tuple[str, Verdict, str | None] | None = None


_KIND_ORDER = {kind: place for place, kind in enumerate(ERROR_KINDS)}


def pictures_of(
    evaluation: Evaluation,
    *,
    folder: Path | str | Sequence[Path] | None = None,
    before: Evaluation | None = None,
) -> list[ReportPicture]:
    """The gallery of an evaluation: a picture for each row, by kind of error, near misses first.

    Args:
        evaluation: of the system to show.
        folder: where the gold set's picture names start from, or several such. Without it, or
            where a picture is not there, it is looked for where the prediction says that it was
            read.
        before: an earlier system on the same gold set, to show what has changed.
    """
    folders = [Path(folder)] if isinstance(folder, Path | str) else list(folder or ())
    pictures = [_picture_of(row, folders) for row in evaluation.rows]
    if before is not None:
        earlier = {Path(row.gold.image).name: _before(before.name, row) for row in before.rows}
        pictures = [replace(picture, before=earlier.get(picture.name)) for picture in pictures]
    return sorted(
        pictures,
        key=lambda p: (p.verdict == "right", _KIND_ORDER[p.kinds[0]] if p.kinds else 0,
                       -p.closeness),
    )  # fmt: skip


def _picture_file(row: RowScore, folders: Sequence[Path]) -> Path | None:
    """The picture of a row: by its gold name, that with a picture's ending, or as it was read."""
    names = [row.gold.image]
    stem = Path(row.gold.image).with_suffix("")
    names += [f"{stem}{ending}" for ending in sorted(IMAGE_ENDINGS)]
    names += [f"{row.gold.image}{ending}" for ending in sorted(IMAGE_ENDINGS)]
    read = [row.prediction.image] if row.prediction else []
    if row.prediction and folders:
        names.append(Path(row.prediction.image).name)
    places = [*(folder / name for folder in folders for name in names), *map(Path, read)]
    return next(
        (p for p in places if p.suffix.lower() in IMAGE_ENDINGS and p.is_file()), None
    )  # fmt: skip


def _picture_of(row: RowScore, folders: Sequence[Path]) -> ReportPicture:
    read = row.prediction
    return ReportPicture(
        name=Path(row.gold.image).name,
        picture=_picture_file(row, folders),
        verdict="right" if row.is_right else "wrong",
        # Places of a molfile or an SDF are its own units, and no pixels.
        graph=read.graph if read and read.size else None,
        truth=row.gold.smiles,
        read=read.smiles if read else None,
        truth_block=_block(row.gold.graph),
        read_block=read.molecule.molblock if read else None,
        note=_note(row),
        closeness=row.tanimoto,
        confidence=read.confidence if read else None,
        problems=(read.error,) if read and read.error else read.problems if read else (),
        kinds=row.kinds,
        subsets=tuple(subsets_of(row.gold)),
    )


def _before(name: str, row: RowScore) -> tuple[str, Verdict, str | None]:
    smiles = row.prediction.smiles if row.prediction else None
    return name, "right" if row.is_right else "wrong", smiles


def _note(row: RowScore) -> str:
    if row.is_right:
        return ""
    if row.prediction and same_smiles(row.prediction.second_smiles, row.gold.smiles):
        return "the other reader is right"
    if row.prediction is None:
        return "no prediction"
    if row.prediction.error:
        return "not read"
    if row.exact_without_stereo:
        return "stereo only"
    if row.any_r:
        return "R numbers only"
    if not row.valid:
        return "no molecule"
    return f"similarity {row.tanimoto:.2f}"


def _block(graph: MolGraph | None) -> str | None:
    if graph is None:
        return None
    try:
        return graph_to_molblock(expand_abbreviations(graph)[0])
    except ValueError:
        return None


def write_report(
    path: Path | str,
    *,
    title: str,
    subtitle: str = "",
    evaluations: Sequence[Evaluation] = (),
    pictures: Iterable[ReportPicture] = (),
    losses: Mapping[str, LossHistory] | None = None,
    seconds: Mapping[str, float] | None = None,
    facts: Mapping[str, str] | None = None,
    max_pictures: int = 200,
) -> Path:
    """Write the page. Every part is optional; one that is not given is not shown.

    Args:
        path: the HTML file; its folder is made if need be.
        title, subtitle: the head of the page.
        evaluations: one column of the score table each, in the order of progress; the last one is
            the headline.
        pictures: the gallery, in this order.
        losses: the log history of each training stage, by its name.
        seconds: how long each stage took, by its name.
        facts: short facts for the foot of the page, such as the model's size, by their name.
        max_pictures: rows of the gallery that show their pictures; the others are listed below
            them, and the page says so.

    Returns:
        The path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    gallery = list(pictures)
    shown = _chosen(gallery, max_pictures)
    environment = Environment(
        loader=PackageLoader("eyesmol.evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    html = environment.get_template("report.html").render(
        title=title,
        subtitle=subtitle,
        difficulty=_difficulty(evaluations[-1]) if evaluations else "",
        headline=_headline(evaluations[-1]) if evaluations else None,
        score_tables=_score_tables(evaluations),
        notes=_count_notes(evaluations),
        unscorable=evaluations[-1].unscorable if evaluations else (),
        comparisons=_comparisons(evaluations),
        sure=SURE,
        opinions=[found for e in evaluations if (found := opinions(e))],
        charts=_charts(evaluations),
        curves={
            name: Markup(charts.loss_curve(history, str(number)))
            for number, (name, history) in enumerate((losses or {}).items())
        },
        times=_times(seconds or {}),
        groups=_groups(gallery, shown),
        kinds=ERROR_KINDS,
        counts={v: sum(p.verdict == v for p in gallery) for v in ("right", "wrong")},
        kind_counts={kind: sum(kind in p.kinds for p in gallery) for kind in ERROR_KINDS},
        subset_counts={name: sum(name in p.subsets for p in gallery) for name in SUBSETS},
        shown=len(shown),
        system=evaluations[-1].name if evaluations else "",
        legend=_LEGEND,
        facts={
            **(facts or {}),
            "Written": f"{datetime.now():%Y-%m-%d %H:%M}, EyesMol {__version__}",
        },
    )
    with replacing(path) as file:
        file.write(html)
    return path


def write_evaluation_report(
    path: Path | str,
    evaluations: Sequence[Evaluation],
    *,
    gold_source: str,
    folders: Sequence[Path] = (),
    max_pictures: int = 200,
) -> Path:
    """The page of `eyesmol evaluate`: scores of all systems, the gallery of the last.

    Args:
        path: the HTML file.
        evaluations: of one gold set.
        gold_source: where the truth comes from, for the foot of the page.
        folders: where pictures may lie.
        max_pictures: see `write_report`.
    """
    names = [evaluation.name for evaluation in evaluations]
    return write_report(
        path,
        title=f"{' and '.join(names) if len(names) < 3 else names[-1]}: what was read",
        subtitle=f"Set: {'/'.join(Path(gold_source).parts[-2:])}"
        + (f", read by {len(names)} systems." if len(names) > 1 else "."),
        evaluations=evaluations,
        pictures=pictures_of(evaluations[-1], folder=folders),
        facts={"Truth": Path(gold_source).name, "Gallery": names[-1]},
        max_pictures=max_pictures,
    )


# ---- scores and times ----


@dataclass(frozen=True)
class _Headline:
    right: int
    total: int
    system: str
    tiles: list[tuple[str, str, str]]  # title, value, interval


def _headline(evaluation: Evaluation) -> _Headline:
    shares = evaluation.shares()
    keys = ("exact", "any_r", "validity", "tanimoto")
    tiles = [(METRICS[k].title, _value(k, shares[k]), _interval(k, shares[k]))
             for k in keys if k in shares]  # fmt: skip
    right = sum(row.is_right for row in evaluation.rows)
    return _Headline(right, len(evaluation.rows), evaluation.name, tiles)


def _difficulty(evaluation: Evaluation) -> str:
    """What the images show, in words: a figure means nothing without it."""
    molecules = {row.gold.smiles for row in evaluation.rows}
    parsed = [mol for smiles in molecules if (mol := Chem.MolFromSmiles(smiles)) is not None]
    if not parsed:
        return ""
    atoms = sorted(mol.GetNumHeavyAtoms() for mol in parsed)
    stereo = sum("@" in smiles for smiles in molecules)
    return (
        f"{len(evaluation.rows):,} images of {len(molecules):,} different molecules with "
        f"{atoms[0]} to {atoms[-1]} heavy atoms, half of them with {atoms[len(atoms) // 2]} or "
        f"more; {stereo:,} have stereocentres."
    )


def _value(key: str, share: Share) -> str:
    unit = METRICS[key].unit
    return f"{METRICS[key].text(share.value)}{f' {unit}' if unit else ''}"


def _interval(key: str, share: Share) -> str:
    return f"{METRICS[key].text(share.low)} to {METRICS[key].text(share.high)}"


@dataclass(frozen=True)
class _Cell:
    number: float  # to sort by
    value: str
    interval: str
    width: float | None  # of the bar, per cent
    is_best: bool


@dataclass(frozen=True)
class _ScoreTable:
    """Systems and some of the columns."""

    title: str
    columns: list[tuple[str, str]]  # title, and rows that it is taken over where not all
    rows: list[tuple[str, list[_Cell | None]]]  # system, cells


_TABLES = {
    "Molecules": ("exact", "top_3", "top_5", "top_10", "exact_without_cis_trans",
                  "exact_without_stereo", "any_r", "chirality", "inchi", "validity"),
    "MolRecBench-Wild": ("wild_smiles", "wild_simplified", "wild_graph"),
    "Graphs, closeness and cost": ("gen_smiles", "gra_smiles", "graph", "agreement", "tanimoto",
                                   "atom_f1", "bond_f1", "seconds", "memory"),
}  # fmt: skip


def _score_tables(evaluations: Sequence[Evaluation]) -> list[_ScoreTable]:
    columns = [evaluation.shares() for evaluation in evaluations]
    tables = []
    for title, wanted in _TABLES.items():
        keys = [key for key in wanted if any(key in column for column in columns)]
        heads = [(METRICS[key].title, _rows_of(key, columns, evaluations)) for key in keys]
        cells = [[_cell(key, column, columns) for key in keys] for column in columns]
        rows = [(e.name, row) for e, row in zip(evaluations, cells, strict=True)]
        if keys:
            tables.append(_ScoreTable(title, heads, rows))
    return tables


def _rows_of(
    key: str, columns: Sequence[Mapping[str, Share]], evaluations: Sequence[Evaluation]
) -> str:
    """ "n = 94" where a column is taken over fewer rows than there are."""
    counts = {column[key].n for column in columns if key in column}
    if counts == {len(evaluations[0].rows)}:
        return ""
    return f"n = {'/'.join(str(count) for count in sorted(counts))}"


def _cell(
    key: str, column: Mapping[str, Share], columns: Sequence[Mapping[str, Share]]
) -> _Cell | None:
    share = column.get(key)
    if share is None:
        return None
    values = {other[key].value for other in columns if key in other}
    metric = METRICS[key]
    best = (min if metric.less_is_better else max)(values)
    return _Cell(
        number=share.value,
        value=_value(key, share),
        # A highest value has no interval.
        interval="" if metric.unit == "MiB" else _interval(key, share),
        width=None if metric.less_is_better else round(share.value * 100, 1),
        # Where all are equal there is nothing to be best of.
        is_best=len(values) > 1 and share.value == best,
    )


def _comparisons(evaluations: Sequence[Evaluation]) -> list[tuple[str, int, Comparison]]:
    """Subset, its rows, and the test, for each pair: of all rows, then of each subset."""
    if len(evaluations) < 2:
        return []
    found = [("all", len(evaluations[0].rows), comparison) for comparison in all_pairs(evaluations)]
    for name, tests in subset_comparisons(evaluations).items():
        rows = sum(SUBSETS[name](row.gold) for row in evaluations[0].rows)
        found += [(name, rows, comparison) for comparison in tests]
    return found


@dataclass(frozen=True)
class _Chart:
    title: str
    svg: Markup
    words: tuple[str, ...] = ()


def _charts(evaluations: Sequence[Evaluation]) -> list[_Chart]:
    """What can be drawn of the systems; a chart without data is left out."""
    if not evaluations or not evaluations[0].rows:
        return []
    found = [
        _Chart("Accuracy by size", Markup(charts.by_size(evaluations)), ("Bars: 95 % intervals.",)),
        _Chart(
            "Kinds of error",
            Markup(charts.error_kinds_chart(evaluations)),
            ("One image may have several.",),
        ),
        *_reliability(evaluations),
        *_seconds(evaluations),
    ]
    return [chart for chart in found if chart.svg]


def _reliability(evaluations: Sequence[Evaluation]) -> list[_Chart]:
    """Confidence against the truth: of probabilities, and of confidences that only rank."""
    groups: dict[bool, dict[str, Any]] = {True: {}, False: {}}
    for evaluation in evaluations:
        sure = [
            (row.prediction.confidence, row.exact)
            for row in evaluation.rows
            if row.prediction is not None and row.prediction.confidence is not None
        ]
        if len(sure) > 1 and all(math.isfinite(value) for value, _ in sure):
            confidence, right = zip(*sure, strict=True)
            probability = min(confidence) >= 0 and max(confidence) <= 1
            groups[probability][evaluation.name] = reliability(confidence, right)
    found = []
    for probability, systems in groups.items():
        if not systems:
            continue
        words = [
            (f"{name}: expected calibration error {r.error:.3f}, Brier score {r.brier:.3f}; "
             if probability else f"{name}: its confidence is no probability, so only its order "
             "counts; ")
            + f"read right {r.top_half:.1%} of the surer half, {r.rest:.1%} of the other."
            for name, r in systems.items()
        ]  # fmt: skip
        # Colours stay those of the systems, so each keeps its place.
        bins = {e.name: systems[e.name].bins if e.name in systems else () for e in evaluations}
        svg = charts.reliability_chart(bins, probability=probability)
        found.append(_Chart("Reliability" if probability else "Confidence", Markup(svg),
                            tuple(words)))  # fmt: skip
    return found


def _seconds(evaluations: Sequence[Evaluation]) -> list[_Chart]:
    systems = {e.name: [row.seconds for row in e.rows if row.seconds] for e in evaluations}
    known = {name: values for name, values in systems.items() if values}
    if not known:
        return []
    words = []
    for name, values in known.items():
        middle, slow = np.quantile(values, [0.5, 0.95])
        words.append(f"{name}: median {middle:.2g} s, 95 % under {slow:.2g} s.")
    return [_Chart("Time", Markup(charts.seconds_chart(systems)), tuple(words))]


def _count_notes(evaluations: Sequence[Evaluation]) -> list[str]:
    """What each system's columns leave out or count as wrong; equal notes once."""
    systems: dict[str, list[str]] = {}
    for evaluation in evaluations:
        counts = (
            (evaluation.missing, "without a prediction (counted as wrong)"),
            (evaluation.errors, "could not be read (counted as wrong)"),
            (len(evaluation.unscorable), "of the gold rows cannot be scored (left out)"),
        )
        if note := "; ".join(f"{count} {what}" for count, what in counts if count):
            systems.setdefault(note, []).append(evaluation.name)
    return [f"{', '.join(names)}: {note}." for note, names in systems.items()]


def _times(seconds: Mapping[str, float]) -> list[tuple[str, str, float]]:
    """Name, time in words, and width of its bar in per cent; the sum last, without a bar."""
    longest = max(seconds.values(), default=0.0) or 1.0
    rows = [(name, _words(s), round(100 * s / longest, 1)) for name, s in seconds.items()]
    if len(rows) > 1:
        rows.append(("Together", _words(sum(seconds.values())), 0.0))
    return rows


def _words(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


# ---- the gallery ----

# Colour and, where another bond has it too, a sign.
_LEGEND = {
    "single": (BOND_COLOURS[BondOrder.SINGLE], ""),
    "double": (BOND_COLOURS[BondOrder.DOUBLE], "="),
    "crossed double": (BOND_COLOURS[BondOrder.CROSSED_DOUBLE], "\u00d7"),
    "triple": (BOND_COLOURS[BondOrder.TRIPLE], ""),
    "aromatic": (BOND_COLOURS[BondOrder.AROMATIC], ""),
    "wedge": (BOND_COLOURS[BondOrder.SOLID_WEDGE], ""),
    "wavy": (BOND_COLOURS[BondOrder.WAVY], ""),
}


@dataclass(frozen=True)
class _Group:
    """Rows of one kind of error, or the right ones: with pictures, and without."""

    key: str
    title: str
    cards: list[_Card]
    rest: list[ReportPicture]


def _groups(gallery: Sequence[ReportPicture], shown: set[int]) -> list[_Group]:
    """The gallery by verdict and first kind of error, errors first."""
    titles = {**ERROR_KINDS, "wrong": "wrong", "right": "right"}
    groups: dict[str, list[int]] = {key: [] for key in titles}
    for place, picture in enumerate(gallery):
        key = "right" if picture.verdict == "right" else next(iter(picture.kinds), "wrong")
        groups[key].append(place)
    return [
        _Group(
            key,
            titles[key].capitalize(),
            [_card(gallery[place]) for place in places if place in shown],
            [gallery[place] for place in places if place not in shown],
        )
        for key, places in groups.items()
        if places
    ]


@dataclass(frozen=True)
class _Card:
    picture: ReportPicture
    drawing: str
    overlay: str
    truth: str
    read: str
    trouble: str


def _chosen(gallery: Sequence[ReportPicture], limit: int) -> set[int]:
    """Places of at most `limit` rows: wrong ones first, but a quarter for right ones.

    Of each an even spread, so that all kinds of error keep their proportion.
    """
    wrong = [place for place, picture in enumerate(gallery) if picture.verdict == "wrong"]
    right = [place for place, picture in enumerate(gallery) if picture.verdict == "right"]
    rights = min(len(right), max(limit - len(wrong), limit // 4))
    return {*_spread(wrong, limit - rights), *_spread(right, rights)}


def _spread(places: Sequence[int], limit: int) -> list[int]:
    count = min(len(places), limit)
    return [places[step * len(places) // count] for step in range(count)]


def _card(picture: ReportPicture) -> _Card:
    drawing = overlay = trouble = ""
    try:
        image = _opened(picture.picture)
        if image is not None:
            scale = _PICTURE_SIDE / max(image.size)
            side = tuple(max(1, round(s * min(scale, 1.0))) for s in image.size)
            drawing = _embedded(image if scale >= 1 else image.resize((side[0], side[1])))
            if picture.graph is not None and picture.graph.atoms:
                overlay = _embedded(draw_overlay(image, picture.graph, scale=scale))
    # Whatever a picture holds, the report must come out; the reader has named the error already.
    except Exception as error:
        trouble = f"the drawing cannot be shown: {error}"
    return _Card(
        picture,
        drawing,
        overlay,
        _depiction(picture.truth, picture.truth_block),
        # Of a right one the page shows the molecule once.
        "" if picture.verdict == "right" else _depiction(picture.read, picture.read_block),
        trouble,
    )


def _opened(source: Path | str | Image.Image | None) -> Image.Image | None:
    if source is None or isinstance(source, Image.Image):
        return source and on_white(source)
    with Image.open(source) as image:
        return on_white(image)


def _embedded(image: Image.Image) -> str:
    """An image in a few colours, which line drawings do not miss, without loss after that."""
    buffer = io.BytesIO()
    image.quantize(_COLOURS).convert("RGB").save(buffer, format="WEBP", lossless=True)
    return _data_uri(buffer.getvalue(), "image/webp")


def _depiction(smiles: str | None, block: str | None) -> str:
    """The molecule as RDKit draws it, at the drawn places where a molblock has them.

    As pixels: an SVG is seven times as large, since every letter in it is a path of its own.
    """
    if not smiles:
        return ""
    with rdBase.BlockLogs():
        mol = Chem.MolFromMolBlock(block) if block else None
        if mol is None:
            mol = Chem.MolFromSmiles(smiles)
            if mol is None:
                return ""
            rdDepictor.Compute2DCoords(mol)
    drawer = rdMolDraw2D.MolDraw2DCairo(390, 300)
    options: Any = drawer.drawOptions()
    options.padding = 0.05
    options.fixedBondLength = 69
    options.bondLineWidth = 3
    options.scaleBondWidth = False
    rdMolDraw2D.PrepareAndDrawMolecule(drawer, mol)
    drawer.FinishDrawing()
    with Image.open(io.BytesIO(drawer.GetDrawingText())) as image:
        return _embedded(image.convert("RGB"))


def _data_uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
