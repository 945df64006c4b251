"""Images without a molecule: how many of them a reader takes for one.

    python benchmarks/no_molecule.py --model detector --errors sheet.png

Half of the images are of `data_preprocess.drawing.blank`, from a seed that no training uses; the
detector is trained with others of that kind. The other half is foreign to it: plots by matplotlib,
tables, pages of text and flow charts by Pillow. Images and readings stay in the folder ``--out``; a
run that was stopped resumes.
"""

from __future__ import annotations

import argparse
import io
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from contact_sheet import Row, drawn, write_sheet
from matplotlib import style
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont
from readers import add_reader_options, in_processes, readers_of, readings

from data_preprocess.drawing.blank import blank
from data_preprocess.drawing.fonts import Font, font_file
from data_preprocess.drawing.phrases import prose
from eyesmol.atomic import atomic_path, write_text
from eyesmol.evaluation.metrics import METRICS
from eyesmol.image.loading import load_picture

_SEED = 564738  # of a series that no training draws


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the images, read them, print; returns the exit status."""
    options = _options(arguments)
    try:
        readers = readers_of(options)
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 2
    if not readers:
        print("nothing to score: give --run, --model or --osra", file=sys.stderr)
        return 2
    made = images(options.out / "images", options.count, options.seed, options.workers)
    lines = ["| image | " + " | ".join(r.name for r in readers) + " |",
             "| --- |" + " --- |" * len(readers)]  # fmt: skip
    read_as = []
    wrong: list[Row] = []
    for reader in readers:
        out = options.out / f"{options.seed}-{reader.key}.jsonl"
        found = readings(reader, [str(path) for path, _ in made], out, options.workers)
        read_as.append({path: one.smiles for (path, _), one in zip(made, found, strict=True)})
        wrong += [
            Row(f"{kind} {path.name}, {reader.name}", load_picture(path),
                (drawn(one.smiles, one.graph),), ("", f"read: {one.smiles}"))
            for (path, kind), one in zip(made, found, strict=True) if one.smiles
        ]  # fmt: skip
    for kind in dict.fromkeys(["all", *(kind for _, kind in made)]):
        paths = [path for path, other in made if kind in ("all", other)]
        shares = [
            METRICS["exact"].share([bool(one[path]) for path in paths], None) for one in read_as
        ]
        cells = [f"{100 * s.value:.1f} ({100 * s.low:.1f} to {100 * s.high:.1f})" for s in shares]
        lines.append(f"| {kind} ({len(paths)}) | {' | '.join(cells)} |")
    table = "read as a molecule, %:\n\n" + "\n".join(lines)
    print(table)
    write_text(options.out / "table.md", table + "\n")
    if options.errors and wrong:
        write_sheet(wrong[:60], options.errors, columns=3)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_reader_options(parser)
    parser.add_argument("--count", type=int, default=300, metavar="N", help="images (300)")
    parser.add_argument("--seed", type=int, default=_SEED, help=f"of the images ({_SEED})")
    parser.add_argument("--out", type=Path, default=Path("runs/no_molecule"), metavar="FOLDER",
                        help="for images, readings and the table (runs/no_molecule)")  # fmt: skip
    parser.add_argument("--errors", type=Path, metavar="SHEET.png",
                        help="a contact sheet of what was read as a molecule")  # fmt: skip
    return parser.parse_args(arguments)


def images(folder: Path, count: int, seed: int, workers: int = 1) -> list[tuple[Path, str]]:
    """Files and kinds of the images; made unless they are there."""
    folder.mkdir(parents=True, exist_ok=True)
    made = [(folder / f"{seed}-{number:04}.png", _kind(number)) for number in range(count)]
    todo = [number for number, (path, _) in enumerate(made) if not path.exists()]
    list(in_processes(_Maker(folder, seed).load, todo, workers, "images without a molecule"))
    return made


def _kind(number: int) -> str:
    """Every second image is foreign; those kinds take turns."""
    return "our own" if number % 2 == 0 else list(_FOREIGN)[number // 2 % len(_FOREIGN)]


@dataclass(frozen=True)
class _Maker:
    folder: Path
    seed: int

    def load(self) -> _Maker:
        return self

    def __call__(self, number: int) -> None:
        rng, kind = random.Random(f"{self.seed} {number}"), _kind(number)
        image = Image.fromarray(blank(rng).image) if kind == "our own" else _FOREIGN[kind](rng)
        with atomic_path(self.folder / f"{self.seed}-{number:04}.png") as draft:
            image.save(draft, "PNG")


# ---- foreign images ----


def _plot(rng: random.Random) -> Image.Image:
    """Lines, points, bars, areas or a heat map, as matplotlib draws them."""
    dice = np.random.default_rng(rng.getrandbits(32))
    sheet = rng.choice(("default", "default", "classic", "grayscale", "bmh", "seaborn-v0_8-paper"))
    with style.context(sheet):
        figure = Figure(
            figsize=(rng.uniform(3, 7), rng.uniform(2.5, 5)), dpi=rng.choice((72, 100, 150))
        )
        axes = figure.subplots()
        x = np.linspace(0, rng.choice((1, 10, 400)), rng.choice((5, 12, 60)))
        for k in range(rng.choice((1, 2, 3))):
            y = dice.normal(0, 1, len(x)).cumsum() + k
            kind = rng.choice(
                ("line", "line", "marked", "points", "bars", "step", "area", "errors")
            )
            if kind == "line":
                axes.plot(x, y, label=prose(rng, 1))
            elif kind == "marked":
                axes.plot(x, y, "o-" if k else "ks--", label=prose(rng, 1))
            elif kind == "points":
                axes.scatter(x, y, s=rng.uniform(4, 40))
            elif kind == "bars":
                axes.bar(x, np.abs(y), width=(x[1] - x[0]) * 0.7)
            elif kind == "step":
                axes.step(x, y)
            elif kind == "area":
                axes.fill_between(x, y, alpha=0.5)
            else:
                axes.errorbar(x, y, yerr=np.abs(dice.normal(0, 0.5, len(x))), capsize=3)
        axes.set_xlabel(rng.choice(("time / h", "c / mM", "wavelength / nm", prose(rng, 2))))
        axes.set_ylabel(rng.choice(("A", "yield / %", "counts", prose(rng, 1))))
        if rng.random() < 0.4:
            axes.legend(["a", "b", "c"])
        axes.grid(rng.random() < 0.3)
        data = io.BytesIO()
        figure.savefig(data, format="png", bbox_inches="tight")
    return Image.open(data)


def _pie(rng: random.Random) -> Image.Image:
    """A pie chart, or a network of nodes and edges."""
    figure = Figure(figsize=(4, 4), dpi=rng.choice((72, 110)))
    axes = figure.subplots()
    if rng.random() < 0.5:
        parts = [rng.uniform(1, 5) for _ in range(rng.randrange(3, 8))]
        axes.pie(parts, labels=[prose(rng, 1) for _ in parts], wedgeprops={"edgecolor": "k"})
    else:
        nodes = [(rng.uniform(0, 4), rng.uniform(0, 4)) for _ in range(rng.randrange(4, 11))]
        for k, (x, y) in enumerate(nodes[1:]):
            other = nodes[rng.randrange(k + 1)]
            axes.plot((x, other[0]), (y, other[1]), "k-", lw=1, zorder=1)
        xs, ys = zip(*nodes, strict=True)
        axes.scatter(xs, ys, s=rng.uniform(60, 400), c="white", edgecolors="k",
                     zorder=2)  # fmt: skip
        axes.set_axis_off()
    data = io.BytesIO()
    figure.savefig(data, format="png")
    return Image.open(data)


def _page(rng: random.Random) -> tuple[Image.Image, ImageDraw.ImageDraw, ImageFont.FreeTypeFont]:
    size = rng.randrange(240, 1100), rng.randrange(160, 800)
    image = Image.new("RGB", size, rng.choice(("white", "white", "#f4f1e8")))
    kind: Font = rng.choice(("sans", "serif", "wide"))
    return image, ImageDraw.Draw(image), ImageFont.truetype(font_file(kind), rng.randrange(10, 30))


def _text(rng: random.Random) -> Image.Image:
    """A page of text, with a headline."""
    image, pen, font = _page(rng)
    line = font.size * rng.uniform(1.2, 1.7)
    y = 10.0
    while y < image.height - line:
        x = 10.0 + (30 if rng.random() < 0.15 else 0)
        while x < image.width * rng.uniform(0.75, 0.95):
            word = prose(rng, 1)
            pen.text((x, y), word, "black", font)
            x += pen.textlength(word + " ", font)
        y += line
    return image


def _table(rng: random.Random) -> Image.Image:
    """A table with lines, or with some."""
    image, pen, font = _page(rng)
    rows, columns = rng.randrange(2, 8), rng.randrange(2, 6)
    high, wide = image.height / (rows + 1), image.width / (columns + 1)
    for row in range(rows + 1):
        y = high * (row + 0.5)
        pen.line((wide / 2, y, image.width - wide / 2, y), "black", rng.choice((1, 1, 2)))
        for column in range(columns if row < rows else 0):
            text = rng.choice((prose(rng, 1), f"{rng.uniform(0, 99):.1f}", str(rng.randrange(500)),
                               "N", "OH", "Et", "n. d."))  # fmt: skip
            pen.text((wide * (column + 0.6), y + high * 0.25), text, "black", font)
    if rng.random() < 0.7:
        for column in range(columns + 1):
            x = wide * (column + 0.5)
            pen.line((x, high / 2, x, image.height - high / 2), "black")
    return image


def _flow(rng: random.Random) -> Image.Image:
    """Boxes and diamonds with words, joined by arrows."""
    image, pen, font = _page(rng)
    count = rng.randrange(2, 6)
    step = image.height / count
    middle = image.width / 2
    for k in range(count):
        y, words = step * (k + 0.5), prose(rng, rng.choice((1, 1, 2)))
        wide, high = pen.textlength(words, font) / 2 + 12, min(step * 0.3, font.size * 1.4)
        if rng.random() < 0.3:
            wide *= 1.6
            pen.polygon([(middle - wide, y), (middle, y - high), (middle + wide, y),
                         (middle, y + high)], outline="black")  # fmt: skip
        else:
            pen.rectangle((middle - wide, y - high, middle + wide, y + high), outline="black")
        pen.text((middle, y), words, "black", font, anchor="mm")
        if k:
            top = y - high
            pen.line((middle, y - step + high, middle, top), "black", 2)
            pen.polygon([(middle, top), (middle - 5, top - 9), (middle + 5, top - 9)], "black")
    return image


_FOREIGN: dict[str, Callable[[random.Random], Image.Image]] = {
    "plots": _plot, "pies and networks": _pie, "text": _text, "tables": _table,
    "flow charts": _flow,
}  # fmt: skip

if __name__ == "__main__":
    sys.exit(main())
