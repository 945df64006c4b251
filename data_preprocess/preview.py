"""A contact sheet: random rows of a dataset, each picture with what its answer says drawn over it.

This is how people judge a dataset. What is drawn is read back from the answer text, so the sheet
shows what the model is taught and not what the builder meant.
"""

from __future__ import annotations

import base64
import html
import io
import json
import random
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from data_preprocess.dataset import SPLITS
from data_preprocess.sources import InputError
from eyesmol.answer import read_answer
from eyesmol.overlay import draw_overlay

__all__ = ["preview"]

_TILE = 360  # pixels of a tile's longer side
_CAPTION = 46


@dataclass(frozen=True)
class _Tile:
    """One row, ready to show: the picture with its overlay, and the words below it."""

    image: Image.Image
    title: str
    words: str


def preview(dataset: Path, out: Path, *, rows: int = 24, seed: int = 0) -> int:
    """Write a contact sheet of random rows.

    Args:
        dataset: a finished dataset folder.
        out: the sheet; ``.png`` or ``.html`` (one file, pictures inside).
        rows: how many, from all splits.
        seed: chooses them.

    Returns:
        The number of rows shown.

    Raises:
        InputError: no dataset there, or another file ending.
    """
    if out.suffix.lower() not in (".png", ".html"):
        raise InputError(f"--out {out}: expected a file that ends in .png or .html")
    tiles = [_tile(dataset, split, row) for split, row in _sample(dataset, rows, seed)]
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix.lower() == ".png":
        _sheet(tiles).save(out)
    else:
        out.write_text(_page(dataset, tiles), encoding="utf-8")
    return len(tiles)


def _sample(dataset: Path, count: int, seed: int) -> list[tuple[str, dict[str, Any]]]:
    """Random rows of all splits, by reservoir sampling: the lists are streamed, a row a line."""
    rng = random.Random(seed)
    kept: list[tuple[int, str, str]] = []
    seen = 0
    for split in SPLITS:
        path = dataset / f"{split}.json"
        if not path.exists():
            raise InputError(f"{path}: no such file; expected a dataset that `build` has finished")
        with path.open(encoding="utf-8") as file:
            for line in file:
                if len(line) < 3 or not line.startswith("{"):
                    continue
                seen += 1
                if len(kept) < count:
                    kept.append((seen, split, line))
                elif (place := rng.randrange(seen)) < count:
                    kept[place] = (seen, split, line)
    return [(split, json.loads(line.rstrip().rstrip(","))) for _, split, line in sorted(kept)]


def _tile(dataset: Path, split: str, row: dict[str, Any]) -> _Tile:
    question, answer = (turn["value"] for turn in row["conversations"])
    with Image.open(dataset / row["image"]) as file:
        image = file.convert("RGB")
    scale = _TILE / max(image.size)
    title = f"{row['id']} ({split})"
    if row["task"] == "cot":
        read = read_answer(answer)
        words = "; ".join([read.smiles or "", *read.problems])
        return _Tile(draw_overlay(image, read.graph, scale=scale), title, words)
    # Questions have no places: the picture as it is.
    words = f"{question.removeprefix('<image>').strip()} {answer}"
    size = (round(image.width * scale), round(image.height * scale))
    return _Tile(image.resize(size, Image.Resampling.BICUBIC), title, words)


def _sheet(tiles: list[_Tile]) -> Image.Image:
    columns = min(4, max(1, len(tiles)))
    lines = -(-len(tiles) // columns)
    gap = 12
    width, height = _TILE + gap, _TILE + _CAPTION + gap
    sheet = Image.new("RGB", (columns * width + gap, lines * height + gap), "#e8e8e8")
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(12)
    for number, tile in enumerate(tiles):
        left = gap + number % columns * width
        top = gap + number // columns * height
        pen.rectangle((left, top, left + _TILE, top + _TILE + _CAPTION), fill="white")
        sheet.paste(
            tile.image,
            (left + (_TILE - tile.image.width) // 2, top + (_TILE - tile.image.height) // 2),
        )
        words = "\n".join(
            [tile.title[:46], *textwrap.wrap(tile.words, 46, break_on_hyphens=False)[:2]]
        )
        pen.text((left + 4, top + _TILE), words, font=font, fill="black", spacing=2)
    return sheet


def _page(dataset: Path, tiles: list[_Tile]) -> str:
    figures = []
    for tile in tiles:
        file = io.BytesIO()
        tile.image.save(file, format="PNG")
        source = base64.b64encode(file.getvalue()).decode()
        figures.append(
            f'<figure><img alt="" src="data:image/png;base64,{source}"><figcaption>'
            f"<b>{html.escape(tile.title)}</b><br>{html.escape(tile.words)}</figcaption></figure>"
        )
    title = html.escape(f"{dataset.name}: {len(tiles)} random rows")
    return _PAGE.replace("TITLE", title).replace("FIGURES", "\n".join(figures))


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>TITLE</title>
<style>
body { font: 14px/1.4 system-ui, sans-serif; margin: 2rem; background: #f2f2f2; }
main { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { margin: 0; padding: .5rem; width: 360px; background: white; border-radius: 6px; }
figcaption { overflow-wrap: anywhere; }
</style>
<h1>TITLE</h1>
<main>
FIGURES
</main>
</html>
"""
