"""Look at a dataset: random rows, each image with what its answer says drawn over it.

This is how people judge a dataset. What is drawn is read back from the answer text, so it shows
what the model is taught and not what the builder meant. A ``.png`` is a contact sheet; an ``.html``
is a page that opens offline, with whole conversations, filters and the dataset's distributions.
"""

from __future__ import annotations

import base64
import io
import random
import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from data_preprocess.dataset.distributions import Chart, charts_of
from data_preprocess.dataset.info import DatasetInfo
from data_preprocess.dataset.json_stream import read_list
from data_preprocess.dataset.reading import find_lists
from data_preprocess.dataset.schema import images_of
from eyesmol import BondOrder, MolGraph, __version__
from eyesmol.answer.text import read_answer
from eyesmol.atomic import atomic_path, write_text
from eyesmol.exceptions import InputError
from eyesmol.image.levels import on_white
from eyesmol.image.overlay import BOND_COLOURS, draw_overlay

__all__ = ["Chosen", "choose", "data_uri", "preview"]

_MEASURED = 5_000  # rows that the distributions are taken from: enough for any bar to be right
_TILE = 360  # pixels of a tile's longer side
_CAPTION = 46


@dataclass(frozen=True)
class Chosen:
    """Rows of a dataset, chosen at random.

    Attributes:
        rows: list and row, in their order; the ones to show.
        measured: many more, for distributions.
        lists: rows of each list.
        tasks: rows of each task.
    """

    rows: list[tuple[str, dict[str, Any]]]
    measured: list[tuple[str, dict[str, Any]]]
    lists: Counter[str]
    tasks: Counter[str]


def choose(dataset: Path, rows: int, seed: int, *, progress: bool = True) -> Chosen:
    """Read through a dataset once and keep random rows (Vitter's algorithm R).

    Raises:
        InputError: no dataset there, or a list that cannot be read.
    """
    rng = random.Random(seed)
    most = max(rows, _MEASURED)
    kept: list[tuple[int, str, dict[str, Any]]] = []
    lists: Counter[str] = Counter()
    tasks: Counter[str] = Counter()
    for seen, (name, row) in enumerate(_rows(dataset, progress)):
        lists[name] += 1
        tasks[task_of(row)] += 1
        if seen < most:
            kept.append((seen, name, row))
        elif (position := rng.randrange(seen + 1)) < most:
            kept[position] = (seen, name, row)
    shown = sorted(rng.sample(kept, min(rows, len(kept))), key=lambda entry: entry[0])
    return Chosen(
        [(name, row) for _, name, row in shown],
        [(name, row) for _, name, row in kept],
        lists,
        tasks,
    )


def task_of(row: dict[str, Any]) -> str:
    """The task of a row; lists of others have none."""
    return str(row.get("task") or "none")


def _rows(dataset: Path, progress: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    with tqdm(unit=" rows", desc=dataset.name, disable=not progress) as bar:
        for name, path in find_lists(dataset).items():
            for number, row in enumerate(read_list(path), start=1):
                if not isinstance(row, dict) or not isinstance(row.get("conversations"), list):
                    raise InputError(
                        f"{path}, row {number}: no row of LLaVA JSON; `check` says what is wrong"
                    )
                bar.update()
                yield name, row


def preview(
    dataset: Path, out: Path, *, rows: int = 24, seed: int = 0, progress: bool = True
) -> int:
    """Write a contact sheet or a page of random rows.

    Args:
        dataset: a dataset folder, a folder of LLaVA JSON, or one such file.
        out: ``.png`` or ``.html`` (one file, images inside).
        rows: how many, from all splits.
        seed: chooses them.
        progress: show a bar.

    Returns:
        The number of rows shown.

    Raises:
        InputError: no dataset there, or another file ending.
    """
    if out.suffix.lower() not in (".png", ".html"):
        raise InputError(f"--out {out}: expected a file that ends in .png or .html")
    chosen = choose(dataset, rows, seed, progress=progress)
    folder = dataset if dataset.is_dir() else dataset.parent
    cards = [_card(folder, name, row) for name, row in chosen.rows]
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix.lower() == ".png":
        with atomic_path(out) as draft:
            _sheet(cards).save(draft, format="PNG")
    else:
        write_text(out, _page(dataset, chosen, cards, seed))
    return len(cards)


@dataclass(frozen=True)
class _Card:
    """One row, ready to show.

    Attributes:
        name, split, task: of the row.
        images: as they are; empty for a row of text.
        overlay: the first image with the graph of the answer; None where the answer has none.
        turns: speaker and words.
        notes: what the answer's reader found wrong.
    """

    name: str
    split: str
    task: str
    images: list[Image.Image]
    overlay: Image.Image | None
    turns: list[tuple[str, str]]
    notes: tuple[str, ...] = ()


def _card(folder: Path, split: str, row: dict[str, Any]) -> _Card:
    turns = [
        (str(turn.get("from")), str(turn.get("value")).replace("<image>", "").strip())
        for turn in row["conversations"]
    ]
    images: list[Image.Image] = []
    notes: list[str] = []
    for path in images_of(row) or []:
        try:
            with Image.open(folder / path) as file:
                images.append(on_white(file))
        except (OSError, SyntaxError, ValueError) as error:
            notes.append(f"{path} cannot be shown: {error}")
    overlay = None
    if task_of(row) == "cot" and turns and images:
        read = read_answer(turns[-1][1])
        notes += read.problems
        overlay = _overlay(images[0], read.graph)
    return _Card(str(row.get("id")), split, task_of(row), images, overlay, turns, tuple(notes))


def _overlay(image: Image.Image, graph: MolGraph) -> Image.Image:
    return draw_overlay(image, graph, scale=_TILE / max(image.size))


def _small(image: Image.Image) -> Image.Image:
    scale = _TILE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BICUBIC)


# ---- the contact sheet ----


def _sheet(cards: list[_Card]) -> Image.Image:
    columns = min(4, max(1, len(cards)))
    lines = -(-len(cards) // columns)
    gap = 12
    width, height = _TILE + gap, _TILE + _CAPTION + gap
    sheet = Image.new("RGB", (columns * width + gap, lines * height + gap), "#e8e8e8")
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(12)
    for number, card in enumerate(cards):
        left = gap + number % columns * width
        top = gap + number // columns * height
        pen.rectangle((left, top, left + _TILE, top + _TILE + _CAPTION), fill="white")
        # Questions have no positions: the image as it is.
        tile = card.overlay or (_small(card.images[0]) if card.images else None)
        if tile is not None:
            sheet.paste(tile, (left + (_TILE - tile.width) // 2, top + (_TILE - tile.height) // 2))
        caption = "\n".join(
            [
                f"{card.name} ({card.split})"[:46],
                *textwrap.wrap(_words(card), 46, break_on_hyphens=False)[:2],
            ]
        )
        pen.text((left + 4, top + _TILE), caption, font=font, fill="black", spacing=2)
    return sheet


def _words(card: _Card) -> str:
    if card.overlay is None:
        return " ".join(words for _, words in card.turns)
    return "; ".join([read_answer(card.turns[-1][1]).smiles or "", *card.notes])


# ---- the page ----


def _page(dataset: Path, chosen: Chosen, cards: list[_Card], seed: int) -> str:
    info = DatasetInfo.of(dataset) or DatasetInfo()
    folder = dataset if dataset.is_dir() else dataset.parent
    charts: list[Chart] = charts_of(chosen.lists, chosen.tasks, chosen.measured, folder, info)
    environment = Environment(
        loader=PackageLoader("data_preprocess.dataset"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["image"] = data_uri
    return environment.get_template("preview.html").render(
        title=dataset.resolve().name,
        total=sum(chosen.lists.values()),
        measured=len(chosen.measured),
        seed=seed,
        info=info,
        charts=charts,
        cards=cards,
        splits=Counter(card.split for card in cards),
        tasks=dict(sorted(Counter(card.task for card in cards).items())),
        legend=_LEGEND,
        version=__version__,
    )


def data_uri(image: Image.Image, side: int = _TILE) -> str:
    """An image as it stands in a page: small, in 64 colours, which line drawings do not miss."""
    if max(image.size) > side:
        scale = side / max(image.size)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.quantize(64).save(file, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


_COLOURED_AS_OTHERS = frozenset({
    BondOrder.DASHED_WEDGE, BondOrder.CROSSED_DOUBLE, BondOrder.HOLLOW_WEDGE, BondOrder.BOLD,
    BondOrder.ATTACHMENT,
})  # fmt: skip
_LEGEND = {
    order.name.lower().replace("_", " "): BOND_COLOURS[order]
    for order in BondOrder
    if order not in _COLOURED_AS_OTHERS
}
