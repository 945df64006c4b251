"""Strokes and letters as a list, put on paper once their extent is known.

Positions are continuous: pixel i covers i to i + 1, x to the right, y down. A `Sheet` takes strokes
in any order and at any position; `raster` draws them several times too large with Pillow and
averages, so that lines are as wide and stand where they should to a fraction of a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from PIL import Image, ImageDraw, ImageFont

__all__ = ["Box", "Point", "Sheet", "cap_height", "measure", "stroke_width", "writable"]

Point = tuple[float, float]
Box = tuple[float, float, float, float]  # left, top, right, bottom

_MEASURED = 100  # size at which letters are measured, in pixels
_SWOLLEN = 0.8  # pixels that Pillow's polygons are too wide, by experiment
_BASIC = ImageFont.Layout.BASIC


@lru_cache(maxsize=1024)
def _typeface(font: str, half_pixels: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font, half_pixels / 2, layout_engine=_BASIC)


@lru_cache(maxsize=20000)
def measure(font: str, text: str) -> tuple[float, Box]:
    """Advance, and the ink's box about the origin on the base line, in em."""
    face = _typeface(font, 2 * _MEASURED)
    core, (dx, dy) = face.getmask2(text, "L", anchor="ls")
    # Not the font's getbbox, which counts the origin and the advance in.
    left, top, right, bottom = core.getbbox() or (0, 0, 0, 0)
    left, top, right, bottom = left + dx, top + dy, right + dx, bottom + dy
    size = float(_MEASURED)
    return face.getlength(text) / size, (left / size, top / size, right / size, bottom / size)


@lru_cache(maxsize=256)
def cap_height(font: str) -> float:
    """Height of an H, in em."""
    return -measure(font, "H")[1][1]


@lru_cache(maxsize=256)
def stroke_width(font: str) -> float:
    """Of the font's thin strokes, in em: the height of its hyphen."""
    _, (_, top, _, bottom) = measure(font, "-")
    return bottom - top


_INSTEAD = {"\u2212": "-", "\u2013": "-", "\u2022": "\u00b7", "\u00b7": ".", "\u00d7": "x",
            "\u2032": "'", "\u2044": "/"}  # fmt: skip


@lru_cache(maxsize=20000)
def writable(font: str, text: str) -> str:
    """The text with characters that the font lacks replaced, or left out where nothing is like."""
    kept = []
    for character in text:
        while character and not _has(font, character):
            character = _INSTEAD.get(character, "")
        kept.append(character)
    return "".join(kept)


@lru_cache(maxsize=20000)
def _has(font: str, character: str) -> bool:
    if character.isspace():
        return True
    face = _typeface(font, 2 * _MEASURED)
    mask, missing = face.getmask(character), face.getmask("\uffff")
    return mask.getbbox() is not None and bytes(mask) != bytes(missing)


@lru_cache(maxsize=4096)
def _mask(font: str, half_pixels: int, text: str) -> tuple[Image.Image, int, int]:
    """Letters as a mask, and where it begins, right of and below the origin on the base line."""
    core, (left, top) = _typeface(font, half_pixels).getmask2(text, "L", anchor="ls")
    if not all(core.size):  # blanks
        return Image.new("L", (1, 1), 0), 0, 0
    return Image.frombytes("L", core.size, bytes(core)), left, top


@dataclass(frozen=True, slots=True)
class _Paper:
    """What strokes are put on: positions times `scale`, plus `dx` and `dy`, are its pixels."""

    image: Image.Image
    pen: ImageDraw.ImageDraw
    scale: float
    dx: float
    dy: float

    def at(self, position: Point) -> Point:
        return position[0] * self.scale + self.dx, position[1] * self.scale + self.dy

    def square(self, centre: Point, half: float) -> Box:
        x, y = self.at(centre)
        return x - half, y - half, x + half, y + half


class Sheet:
    """Strokes and letters that are not yet pixels.

    Args:
        trembling: for a hand that trembles: moves a point and says by how much lines are cut up;
            None for a ruler.
    """

    def __init__(self, trembling: tuple[Random, float, float] | None = None) -> None:
        self._strokes: list[Callable[[_Paper], None]] = []
        self._trembling = trembling
        self.cut_sides: set[int] = set()  # 0 left, 1 top, 2 right, 3 bottom: ink runs on beyond
        self.left = self.top = math.inf
        self.right = self.bottom = -math.inf

    @property
    def empty(self) -> bool:
        """True while nothing is on it."""
        return self.right < self.left

    @property
    def box(self) -> Box:
        """Of all ink so far."""
        return self.left, self.top, self.right, self.bottom

    def reach(self, left: float, top: float, right: float, bottom: float) -> None:
        """Make room for this box too."""
        self.left, self.top = min(self.left, left), min(self.top, top)
        self.right, self.bottom = max(self.right, right), max(self.bottom, bottom)

    def cut_at(self, side: int, position: float) -> None:
        """End the sheet here at one side, whatever ink there is beyond."""
        self.cut_sides.add(side)
        if side == 0:
            self.left = position
        elif side == 1:
            self.top = position
        elif side == 2:
            self.right = position
        else:
            self.bottom = position

    def polygon(self, points: Sequence[Point], shade: int = 0) -> None:
        """A filled polygon; 255 is white."""
        if shade < 255:
            xs, ys = [p[0] for p in points], [p[1] for p in points]
            self.reach(min(xs), min(ys), max(xs), max(ys))
        corners = tuple(points)

        def stroke(on: _Paper) -> None:
            on.pen.polygon([on.at(corner) for corner in corners], fill=shade)

        self._strokes.append(stroke)

    def line(
        self, p: Point, q: Point, width: float, shade: int = 0, *, round_: bool = False
    ) -> None:
        """A straight line, or one as straight as the hand can."""
        if self._trembling is not None and shade < 255:
            self.path(self._trembled(p, q), width, shade)
            return
        length = math.hypot(q[0] - p[0], q[1] - p[1])
        if length < 1e-6:
            return
        half = width / 2
        if shade < 255:
            self.reach(min(p[0], q[0]) - half, min(p[1], q[1]) - half,
                       max(p[0], q[0]) + half, max(p[1], q[1]) + half)  # fmt: skip
        ux, uy = (q[0] - p[0]) / length, (q[1] - p[1]) / length

        def stroke(on: _Paper) -> None:
            h = max(half * on.scale - _SWOLLEN / 2, 0.15)
            (x0, y0), (x1, y1) = on.at(p), on.at(q)
            nx, ny = -uy * h, ux * h
            on.pen.polygon(
                [(x0 + nx, y0 + ny), (x1 + nx, y1 + ny), (x1 - nx, y1 - ny), (x0 - nx, y0 - ny)],
                fill=shade,
            )

        self._strokes.append(stroke)
        if round_:
            self.disc(p, half, shade)
            self.disc(q, half, shade)

    def path(self, points: Sequence[Point], width: float, shade: int = 0) -> None:
        """A line through many points, with round corners."""
        corners, half = tuple(points), width / 2
        xs, ys = [p[0] for p in corners], [p[1] for p in corners]
        self.reach(min(xs) - half, min(ys) - half, max(xs) + half, max(ys) + half)

        def stroke(on: _Paper) -> None:
            thick = max(1, round(width * on.scale))
            on.pen.line([on.at(corner) for corner in corners], shade, thick, joint="curve")

        self._strokes.append(stroke)

    def disc(self, centre: Point, radius: float, shade: int = 0) -> None:
        """A filled circle."""
        x, y = centre
        if shade < 255:
            self.reach(x - radius, y - radius, x + radius, y + radius)

        def stroke(on: _Paper) -> None:
            r = radius * on.scale - 0.3
            if r > 0.4:
                on.pen.ellipse(on.square(centre, r), fill=shade)

        self._strokes.append(stroke)

    def circle(self, centre: Point, radius: float, width: float, shade: int = 0) -> None:
        """The outline of a circle, its line's middle at the radius."""
        x, y = centre
        outer = radius + width / 2
        self.reach(x - outer, y - outer, x + outer, y + outer)

        def stroke(on: _Paper) -> None:
            thick = max(1, round(width * on.scale))
            on.pen.ellipse(on.square(centre, outer * on.scale), outline=shade, width=thick)

        self._strokes.append(stroke)

    def text(self, x: float, base: float, text: str, font: str, em: float, shade: int = 0) -> None:
        """Letters from x on, on the base line."""
        _, (left, top, right, bottom) = measure(font, text)
        self.reach(x + left * em, base + top * em, x + right * em, base + bottom * em)

        def stroke(on: _Paper) -> None:
            mask, dx, dy = _mask(font, max(8, round(2 * em * on.scale)), text)
            # Masks lie between pixels' edges, other strokes go through their middles.
            x0, y0 = on.at((x, base))
            on.image.paste(shade, (round(x0 + 0.5) + dx, round(y0 + 0.5) + dy), mask)

        self._strokes.append(stroke)

    def _trembled(self, p: Point, q: Point) -> list[Point]:
        assert self._trembling is not None
        rng, amplitude, step = self._trembling
        length = math.hypot(q[0] - p[0], q[1] - p[1])
        count = max(2, round(length / step))
        bow = rng.gauss(0, amplitude)
        ux, uy = (q[0] - p[0]) / max(length, 1e-6), (q[1] - p[1]) / max(length, 1e-6)
        points = []
        for k in range(count + 1):
            t = k / count
            off = bow * 4 * t * (1 - t) + rng.gauss(0, amplitude * 0.3)
            x, y = p[0] + (q[0] - p[0]) * t, p[1] + (q[1] - p[1]) * t
            points.append((x - uy * off, y + ux * off))
        return points

    def raster(self, box: tuple[int, int, int, int], fineness: int) -> Image.Image:
        """The part of the sheet in a box of whole pixels, antialiased, black on white.

        Args:
            box: left, top, right, bottom in the sheet's pixels.
            fineness: lines are drawn this many times too large.
        """
        left, top, right, bottom = box
        size = (right - left) * fineness, (bottom - top) * fineness
        image = Image.new("L", size, 255)
        # Pillow's positions are those of the pixels' middles.
        dx, dy = -left * fineness - 0.5, -top * fineness - 0.5
        paper = _Paper(image, ImageDraw.Draw(image), float(fineness), dx, dy)
        for stroke in self._strokes:
            stroke(paper)
        return image.reduce(fineness) if fineness > 1 else image
