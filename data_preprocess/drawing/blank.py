"""Images without a molecule: text, tables, plots, charts, shapes, noise; a reader refuses them.

They are worn as drawings are, and their lines are as long, and their letters as large, as those of
molecules: what tells them apart is what they show.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from random import Random

import numpy as np
from PIL import Image

from data_preprocess.drawing import wear
from data_preprocess.drawing.fonts import FontKind, FontShelf, font_shelf
from data_preprocess.drawing.ink import Point, Sheet, measure, writable
from data_preprocess.drawing.phrases import caption, japanese, prose
from data_preprocess.drawing.subject import Drawing
from data_preprocess.drawing.wear import Wear
from eyesmol.chem.graph import MolGraph

__all__ = ["blank"]


def blank(rng: Random, shelf: FontShelf | None = None) -> Drawing:
    """An image of anything but a molecule; its graph is empty.

    Args:
        rng: chooses.
        shelf: the fonts to choose from; those of this machine by default.
    """
    page = _Page(rng, shelf or font_shelf())
    makers = list(_MAKERS)
    rng.choices(makers, [_MAKERS[maker] for maker in makers])[0](page)
    image = page.raster()
    worn, _ = wear.apply(
        image, [], _any_wear(rng), wear.Print(page.unit, page.width, page.em, 0.2 * page.unit), rng
    )
    return Drawing(worn, MolGraph(), page.unit)


def _any_wear(rng: Random) -> Wear:
    kind = rng.choices((Wear.of_patent, Wear.of_file, Wear.of_paper), (45, 40, 15))[0]
    return replace(kind(rng), inverted=rng.random() < 0.03)


class _Page:
    """A sheet, and the pen that all of it is drawn with."""

    def __init__(self, rng: Random, shelf: FontShelf) -> None:
        self.rng, self.shelf = rng, shelf
        self.unit = rng.uniform(18, 60)
        self.width = max(rng.uniform(0.02, 0.08) * self.unit, 1.0)
        kind: FontKind = rng.choice(
            ("sans", "sans", "serif", "serif", "other_sans", "mono", "bold_sans", "gothic")
        )
        self.font = rng.choice(shelf.of(kind))
        self.em = max(rng.uniform(0.35, 0.7) * self.unit, 9.0)
        self.size = rng.uniform(4, 14) * self.unit, rng.uniform(3, 9) * self.unit
        self.sheet = Sheet()
        self.photo: Image.Image | None = None

    def text(self, x: float, base: float, text: str, size: float = 1.0) -> float:
        """Write from x on; where it ends."""
        text = writable(self.font, text)
        if text.strip():
            self.sheet.text(x, base, text, self.font, self.em * size)
        return x + measure(self.font, text)[0] * self.em * size

    def line(self, p: Point, q: Point, width: float | None = None) -> None:
        self.sheet.line(p, q, width or self.width)

    def box(self, left: float, top: float, right: float, bottom: float) -> None:
        for p, q in (((left, top), (right, top)), ((right, top), (right, bottom)),
                     ((right, bottom), (left, bottom)), ((left, bottom), (left, top))):  # fmt: skip
            self.line(p, q)

    def raster(self) -> Image.Image:
        """The finished page."""
        if self.photo is not None:
            return self.photo
        if self.sheet.empty:
            self.sheet.reach(0, 0, *self.size)
        margin = self.rng.choice((0.0, 0.3, 1.0)) * self.unit
        left, top, right, bottom = self.sheet.box
        whole = (math.floor(left - margin), math.floor(top - margin),
                 math.ceil(right + margin), math.ceil(bottom + margin))  # fmt: skip
        return self.sheet.raster(whole, 2)


def _paragraph(page: _Page) -> None:
    """Lines of prose, some of them indented, perhaps in two columns."""
    rng = page.rng
    leading = page.em * rng.uniform(1.1, 1.7)
    is_japanese = rng.random() < 0.2
    if is_japanese:
        page.font = rng.choice(page.shelf.of(rng.choice(("gothic", "mincho"))))
    for row in range(rng.randrange(1, 14)):
        x = page.em * 2 if row == 0 or rng.random() < 0.1 else 0.0
        while x < page.size[0] * (0.4 if rng.random() < 0.05 else 1.0):
            word = japanese(rng) if is_japanese else rng.choice((prose(rng, 1), caption(rng)))
            x = page.text(x, row * leading, word) + (0.0 if is_japanese else 0.28 * page.em)


def _table(page: _Page) -> None:
    """Rows and columns of words and numbers, with all, some or no lines."""
    rng = page.rng
    rows, columns = rng.randrange(2, 9), rng.randrange(2, 7)
    wide, high = page.size[0] / columns, page.em * rng.uniform(1.5, 3)
    lines = rng.choice(("all", "rows", "head", "none"))
    for row in range(rows + 1):
        if lines in ("all", "rows") or (lines == "head" and row in (0, 1, rows)):
            page.line((0, row * high), (columns * wide, row * high))
    for column in range(columns + 1):
        if lines == "all" or (lines == "rows" and column in (0, columns)):
            page.line((column * wide, 0), (column * wide, rows * high))
    for row in range(rows):
        for column in range(columns):
            text = rng.choice((str(rng.randrange(1000)), f"{rng.uniform(0, 100):.2f}",
                               prose(rng, 1), rng.choice("+-"), "H", "CH3", "OMe"))  # fmt: skip
            page.text(column * wide + 0.15 * wide, (row + 0.7) * high, text, 0.8)


_TITLES = ("time (h)", "2\u03b8 (\u00b0)", "Wavelength (nm)", "Dose (mg/kg)", "ppm", "cm-1", "m/z")


def _axes(page: _Page) -> tuple[float, float]:
    """Two axes or a frame, with ticks and numbers; width and height."""
    rng = page.rng
    width, height = page.size
    page.line((0, height), (width, height))
    page.line((0, 0), (0, height))
    if rng.random() < 0.4:
        page.line((0, 0), (width, 0))
        page.line((width, 0), (width, height))
    tick = rng.choice((-1, 1)) * 0.15 * page.unit
    count = rng.randrange(3, 9)
    for k in range(count + 1):
        x, y = width * k / count, height * k / count
        page.line((x, height), (x, height - tick))
        page.line((0, y), (tick, y))
        if rng.random() < 0.8:
            page.text(x - 0.3 * page.em, height + 1.4 * page.em, str(10 * k), 0.7)
            page.text(-1.6 * page.em, y + 0.3 * page.em, str(10 * (count - k)), 0.7)
    if rng.random() < 0.7:
        title = rng.choice((*_TITLES, prose(rng, 2)))
        page.text(width * 0.3, height + 2.8 * page.em, title)
    return width, height


def _plot(page: _Page) -> None:
    """Curves, zigzags or points over axes."""
    rng = page.rng
    width, height = _axes(page)
    for _ in range(rng.choice((1, 1, 2, 3))):
        count = rng.choice((5, 8, 12, 30))
        level, step = rng.uniform(0.2, 0.8), rng.uniform(0.02, 0.25)
        points: list[Point] = []
        for k in range(count + 1):
            level = min(max(level + rng.gauss(0, step), 0.02), 0.98)
            points.append((width * k / count, height * (1 - level)))
        kind = rng.choice(("line", "marks", "both"))
        if kind != "marks":
            page.sheet.path(points, page.width)
        if kind != "line":
            _marks(page, points)


def _marks(page: _Page, points: list[Point]) -> None:
    rng = page.rng
    size, kind = rng.uniform(0.06, 0.15) * page.unit, rng.choice(("disc", "circle", "cross", "bar"))
    for x, y in points:
        if kind == "disc":
            page.sheet.disc((x, y), size)
        elif kind == "circle":
            page.sheet.circle((x, y), size, page.width)
        elif kind == "cross":
            page.line((x - size, y - size), (x + size, y + size))
            page.line((x - size, y + size), (x + size, y - size))
        else:
            error = rng.uniform(1, 4) * size
            page.line((x, y - error), (x, y + error))
            page.line((x - size, y - error), (x + size, y - error))
            page.line((x - size, y + error), (x + size, y + error))


def _spectrum(page: _Page) -> None:
    """Peaks over a base line, with numbers on them."""
    rng = page.rng
    width, height = _axes(page)
    points: list[Point] = [(0, height * 0.95)]
    for k in sorted(rng.uniform(0.02, 0.98) for _ in range(rng.randrange(3, 25))):
        peak, half = rng.uniform(0.05, 0.9) ** 2, rng.uniform(0.002, 0.02)
        points += [((k - half) * width, height * 0.95), (k * width, height * (0.95 - peak)),
                   ((k + half) * width, height * 0.95)]  # fmt: skip
        if rng.random() < 0.3:
            page.text(k * width, height * (0.93 - peak), f"{rng.uniform(0, 400):.1f}", 0.6)
    page.sheet.path([*points, (width, height * 0.95)], page.width)


def _bars(page: _Page) -> None:
    """A bar chart."""
    rng = page.rng
    width, height = _axes(page)
    count = rng.randrange(2, 9)
    thick, shade = width / count * rng.uniform(0.3, 0.8), rng.choice((0, 90, 160, 255))
    for k in range(count):
        x, top = (k + 0.5) * width / count, height * rng.uniform(0.05, 0.9)
        left, right = x - thick / 2, x + thick / 2
        page.sheet.polygon([(left, top), (right, top), (right, height), (left, height)], shade)
        page.box(left, top, right, height)
        if rng.random() < 0.3:
            page.line((x, top), (x, top - 0.4 * page.unit))
    if rng.random() < 0.4:
        page.text(0.6 * width, 0.1 * height, prose(rng, 1))


def _flow(page: _Page) -> None:
    """Boxes with words, and arrows from one to the next."""
    rng = page.rng
    is_down = rng.random() < 0.5
    high, previous = page.em * rng.uniform(1.6, 3), 0.0
    for k in range(rng.randrange(2, 6)):
        text = rng.choice((prose(rng, rng.choice((1, 2, 3))), caption(rng), rng.choice("ABCXYZ")))
        wide = measure(page.font, writable(page.font, text))[0] * page.em + page.em
        x, y = (-wide / 2, k * (high + 1.2 * page.unit)) if is_down else (previous, 0.0)
        if rng.random() < 0.85:
            page.box(x, y, x + wide, y + high)
        page.text(x + page.em / 2, y + 0.5 * high + 0.35 * page.em, text)
        previous = x + wide + 1.2 * page.unit
        start = (0.0, y + high) if is_down else (x + wide, high / 2)
        stop = (0.0, y + high + 1.2 * page.unit) if is_down else (previous, high / 2)
        _arrow(page, start, stop)


def _arrow(page: _Page, p: Point, q: Point) -> None:
    page.line(p, q)
    angle, head = math.atan2(q[1] - p[1], q[0] - p[0]), 0.25 * page.unit
    tips = [(q[0] - head * math.cos(angle + t), q[1] - head * math.sin(angle + t))
            for t in (0.4, -0.4)]  # fmt: skip
    if page.rng.random() < 0.5:
        page.sheet.polygon([q, *tips])
    else:
        for tip in tips:
            page.line(q, tip)


def _shapes(page: _Page) -> None:
    """Circles, stars, triangles, blobs, arrows: logos, apparatus, symbols."""
    rng = page.rng
    for _ in range(rng.randrange(1, 9)):
        x, y = rng.uniform(0, page.size[0]), rng.uniform(0, page.size[1])
        size, kind = rng.uniform(0.2, 2.0) * page.unit, rng.randrange(6)
        if kind == 0:
            page.sheet.circle((x, y), size, page.width * rng.uniform(1, 4))
        elif kind == 1:
            page.sheet.disc((x, y), size, rng.choice((0, 120, 180)))
        elif kind == 2:
            _arrow(page, (x, y), (x + rng.uniform(-2, 2) * size, y + rng.uniform(-2, 2) * size))
        elif kind == 3:
            page.box(x, y, x + size, y + rng.uniform(0.2, 1.5) * size)
        elif kind == 4:
            page.text(x, y, caption(rng), rng.uniform(0.8, 3))
        else:
            count, turn = rng.randrange(3, 9), rng.uniform(0, 6)
            corners = [
                (x + r * size * math.cos(turn + math.pi * k / count),
                 y + r * size * math.sin(turn + math.pi * k / count))
                for k in range(2 * count)
                for r in ((1.0,) if k % 2 else (rng.uniform(0.2, 1.0),))
            ]  # fmt: skip
            page.sheet.polygon(corners, rng.choice((0, 60, 150)))


def _photo(page: _Page) -> None:
    """Smooth greys with grain, as a photograph or a gel."""
    np_rng = np.random.Generator(np.random.SFC64(page.rng.getrandbits(64)))
    width, height = (max(24, round(side)) for side in page.size)
    grey = np.full((height, width), np_rng.uniform(60, 200), dtype=np.float32)
    for step in (4, 12, 40):
        small = np_rng.standard_normal((height // step + 2, width // step + 2), dtype=np.float32)
        field = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
        grey += np.asarray(field) * float(np_rng.uniform(3, 40))
    page.photo = Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))


def _rules(page: _Page) -> None:
    """A few lines, dots or nothing at all on an empty page."""
    rng = page.rng
    page.sheet.reach(0, 0, *page.size)
    for _ in range(rng.randrange(0, 4)):
        x, y = rng.uniform(0, page.size[0]), rng.uniform(0, page.size[1])
        if rng.random() < 0.5:
            page.line((0, y), (page.size[0], y))
        else:
            page.sheet.disc((x, y), rng.uniform(0.02, 0.2) * page.unit)


_MAKERS: dict[Callable[[_Page], None], int] = {
    _paragraph: 22, _table: 14, _plot: 16, _spectrum: 8, _bars: 8, _flow: 12, _shapes: 12,
    _photo: 4, _rules: 4,
}  # fmt: skip
