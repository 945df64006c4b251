"""The report: one HTML file that opens offline and shows what was read, how well, and at what cost.

Pictures, overlays, depictions and curves are embedded, so the file can be mailed or archived as it
is. The page itself is `templates/report.html`; this file prepares what it shows.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image
from rdkit import Chem, rdBase
from rdkit.Chem import rdDepictor
from rdkit.Chem.Draw import rdMolDraw2D

from eyesmol import __version__
from eyesmol.chemistry import expand_abbreviations
from eyesmol.frame import on_white
from eyesmol.graph import BondOrder, MolGraph
from eyesmol.molfile import graph_to_molblock
from eyesmol.outputs import replacing
from eyesmol.overlay import BOND_COLOURS, draw_overlay
from eyesmol.scores import METRICS, Evaluation, RowScore, Share

__all__ = ["LossHistory", "ReportPicture", "Verdict", "pictures_of", "write_report"]

# What a transformers trainer logs: dicts with "step" and "loss" or "eval_loss", among others.
LossHistory = Sequence[Mapping[str, float]]
Verdict = Literal["right", "wrong"]

_PICTURE_SIDE = 320  # pixels: about twice what a card shows, so it is sharp on any screen


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
        confidence: of the reader, 0 to 1.
        problems: what speaks against the answer, one sentence each.
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


def pictures_of(evaluation: Evaluation, *, folder: Path | str | None = None) -> list[ReportPicture]:
    """The gallery of an evaluation: a picture for each row, wrong ones and near misses first.

    Args:
        evaluation: of the system to show.
        folder: where the gold set's picture names start from. Without it, or where a picture is
            not there, it is looked for where the prediction says that it was read.
    """
    pictures = [_picture_of(row, folder) for row in evaluation.rows]
    return sorted(pictures, key=lambda p: (p.verdict == "right", -p.closeness))


def _picture_of(row: RowScore, folder: Path | str | None) -> ReportPicture:
    read = row.prediction
    places = [Path(folder) / row.gold.image] if folder is not None else []
    places += [Path(read.image)] if read else []
    return ReportPicture(
        name=Path(row.gold.image).name,
        picture=next((place for place in places if place.is_file()), None),
        verdict="right" if row.exact else "wrong",
        graph=read.graph if read else None,
        truth=row.gold.smiles,
        read=read.smiles if read else None,
        truth_block=_block(row.gold.graph),
        read_block=read.molecule.molblock if read else None,
        note=_note(row),
        closeness=row.tanimoto,
        confidence=read.confidence if read else None,
        problems=(read.error,) if read and read.error else read.problems if read else (),
    )


def _note(row: RowScore) -> str:
    if row.exact:
        return ""
    if row.prediction is None:
        return "no prediction"
    if row.prediction.error:
        return "not read"
    if row.exact_without_stereo:
        return "stereo only"
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
        max_pictures: the most that the gallery shows; it says so where there are more.

    Returns:
        The path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    gallery = list(pictures)
    environment = Environment(
        loader=PackageLoader("eyesmol"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    html = environment.get_template("report.html").render(
        title=title,
        subtitle=subtitle,
        headline=_headline(evaluations[-1]) if evaluations else None,
        systems=[evaluation.name for evaluation in evaluations],
        score_rows=_score_rows(evaluations),
        notes=_count_notes(evaluations),
        unscorable=evaluations[-1].unscorable if evaluations else (),
        curves={name: _loss_curve(history) for name, history in (losses or {}).items()},
        times=_times(seconds or {}),
        cards=[_card(picture) for picture in _chosen(gallery, max_pictures)],
        counts={v: sum(p.verdict == v for p in gallery) for v in ("right", "wrong")},
        legend=_LEGEND,
        facts={
            **(facts or {}),
            "Written": f"{datetime.now():%Y-%m-%d %H:%M}, EyesMol {__version__}",
        },
    )
    with replacing(path) as file:
        file.write(html)
    return path


# ---- scores and times ----


@dataclass(frozen=True)
class _Headline:
    right: int
    total: int
    system: str
    tiles: list[tuple[str, str, str]]  # title, value, interval


def _headline(evaluation: Evaluation) -> _Headline:
    shares = evaluation.shares()
    keys = ("exact", "exact_without_stereo", "validity", "tanimoto")
    tiles = [(METRICS[k].title, _value(k, shares[k]), _interval(k, shares[k])) for k in keys]
    right = sum(row.exact for row in evaluation.rows)
    return _Headline(right, len(evaluation.rows), evaluation.name, tiles)


def _value(key: str, share: Share) -> str:
    return f"{share.value:.2f}" if key == "tanimoto" else f"{share.value * 100:.1f} %"


def _interval(key: str, share: Share) -> str:
    if key == "tanimoto":
        return f"{share.low:.2f} to {share.high:.2f}"
    return f"{share.low * 100:.1f} to {share.high * 100:.1f}"


@dataclass(frozen=True)
class _Cell:
    value: str
    interval: str
    width: float  # of the bar, per cent
    is_best: bool


def _score_rows(evaluations: Sequence[Evaluation]) -> list[tuple[str, list[_Cell | None]]]:
    """Title and cells of each metric that any system has."""
    columns = [evaluation.shares() for evaluation in evaluations]
    rows: list[tuple[str, list[_Cell | None]]] = []
    for key, metric in METRICS.items():
        shares = [column.get(key) for column in columns]
        values = {share.value for share in shares if share}
        # Where all are equal there is nothing to be best of.
        best = max(values) if len(values) > 1 else 0.0
        cells = [_cell(key, share, best) if share else None for share in shares]
        if any(cells):
            rows.append((metric.title, cells))
    return rows


def _cell(key: str, share: Share, best: float) -> _Cell:
    return _Cell(
        value=_value(key, share),
        interval=_interval(key, share),
        width=round(share.value * 100, 1),
        is_best=share.value == best > 0,
    )


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


# ---- loss curves ----

_INK, _PALE, _ACCENT = "#1d2939", "#98a2b3", "#2f6fbd"


def _loss_curve(history: LossHistory) -> str:
    """Training and validation loss over steps, as an SVG in a data URI; empty without points."""
    # Only this part needs matplotlib, whose import takes longer than the rest of the page.
    import matplotlib as mpl
    from matplotlib.figure import Figure

    train = [(row["step"], row["loss"]) for row in history if "loss" in row]
    valid = [(row["step"], row["eval_loss"]) for row in history if "eval_loss" in row]
    if not train and not valid:
        return ""
    style = {"svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9.0}
    with mpl.rc_context(style):
        figure = Figure(figsize=(4.4, 2.5), layout="constrained")
        axes = figure.subplots()
        for points, colour, label, mark in (
            (train, _PALE, "training", ""),
            (valid, _ACCENT, "validation", "o"),
        ):
            if points:
                steps, values = zip(*points, strict=True)
                single = "o" if len(points) == 1 else mark
                axes.plot(steps, values, colour, lw=1.6, marker=single, ms=3.5, label=label)
        axes.set_xlabel("step", color=_INK)
        axes.set_ylabel("loss", color=_INK)
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", color="#eaecf0", lw=0.8)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(_PALE)
        axes.tick_params(colors=_INK, length=0)
        axes.legend(frameon=False, labelcolor=_INK)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return _data_uri(buffer.getvalue(), "image/svg+xml")


# ---- the gallery ----

_LEGEND = {
    "single": BOND_COLOURS[BondOrder.SINGLE],
    "double": BOND_COLOURS[BondOrder.DOUBLE],
    "triple": BOND_COLOURS[BondOrder.TRIPLE],
    "aromatic": BOND_COLOURS[BondOrder.AROMATIC],
    "wedge": BOND_COLOURS[BondOrder.SOLID_WEDGE],
    "wavy": BOND_COLOURS[BondOrder.WAVY],
}


@dataclass(frozen=True)
class _Card:
    picture: ReportPicture
    drawing: str
    overlay: str
    truth: str
    read: str
    trouble: str


def _chosen(pictures: list[ReportPicture], limit: int) -> list[ReportPicture]:
    """At most `limit`, in order; where some must go, right and wrong keep their proportion."""
    if len(pictures) <= limit:
        return pictures
    kept: list[ReportPicture] = []
    for index, picture in enumerate(pictures):
        if (index + 1) * limit // len(pictures) > len(kept):
            kept.append(picture)
    return kept


def _card(picture: ReportPicture) -> _Card:
    drawing = overlay = trouble = ""
    try:
        image = _opened(picture.picture)
        if image is not None:
            scale = _PICTURE_SIDE / max(image.size)
            side = tuple(max(1, round(s * min(scale, 1.0))) for s in image.size)
            drawing = _png(image if scale >= 1 else image.resize((side[0], side[1])))
            if picture.graph is not None and picture.graph.atoms:
                overlay = _png(draw_overlay(image, picture.graph, scale=scale))
    # Whatever a picture holds, the report must come out; the reader has named the error already.
    except Exception as error:
        trouble = f"the drawing cannot be shown: {error}"
    return _Card(
        picture,
        drawing,
        overlay,
        _depiction(picture.truth, picture.truth_block),
        _depiction(picture.read, picture.read_block),
        trouble,
    )


def _opened(source: Path | str | Image.Image | None) -> Image.Image | None:
    if source is None or isinstance(source, Image.Image):
        return source and on_white(source)
    with Image.open(source) as image:
        return on_white(image)


def _png(image: Image.Image) -> str:
    """A picture in 64 colours, which line drawings do not miss."""
    buffer = io.BytesIO()
    image.quantize(64).save(buffer, format="PNG", optimize=True)
    return _data_uri(buffer.getvalue(), "image/png")


def _depiction(smiles: str | None, block: str | None) -> str:
    """The molecule as RDKit draws it, at the drawn places where a molblock has them."""
    if not smiles:
        return ""
    with rdBase.BlockLogs():
        mol = Chem.MolFromMolBlock(block) if block else None
        if mol is None:
            mol = Chem.MolFromSmiles(smiles)
            if mol is None:
                return ""
            rdDepictor.Compute2DCoords(mol)
    drawer = rdMolDraw2D.MolDraw2DSVG(260, 200)
    options: Any = drawer.drawOptions()
    options.clearBackground = False
    options.padding = 0.05
    options.fixedBondLength = 46
    options.bondLineWidth = 2
    rdMolDraw2D.PrepareAndDrawMolecule(drawer, mol)
    drawer.FinishDrawing()
    return _data_uri(drawer.GetDrawingText().encode(), "image/svg+xml")


def _data_uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
