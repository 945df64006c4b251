"""What stands beside a molecule on a page and is no part of it: captions, and strokes at the edge.

Nothing of it touches the molecule: a position is taken only where the paper round it is empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from data_preprocess.drawing.fonts import font_file

__all__ = ["NOTHING_BESIDE", "Surroundings"]

_TRIES = 12
_GAP = 0.025  # of the shorter side: empty paper between a caption and any other ink
_INK = 200  # of 255: darker is ink


@dataclass(frozen=True)
class Surroundings:
    """How much of the image the molecule has, and what is in the rest.

    Attributes:
        share: of width and height that the molecule is drawn in.
        at: where in the free room it stands: 0 left or top, 1 right or bottom.
        captions: how many are tried.
        strokes: how many are tried, from the edges inwards.
    """

    fraction: tuple[float, float] = (1.0, 1.0)
    at: tuple[float, float] = (0.5, 0.5)
    captions: int = 0
    strokes: int = 0

    @classmethod
    def random(cls, rng: Random) -> Surroundings:
        """Most images show a molecule alone."""
        kind = rng.random()
        captions = rng.choice((1, 1, 2)) if kind < 0.3 else 0
        strokes = rng.choice((1, 2)) if 0.2 < kind < 0.4 else 0
        if not (captions or strokes):
            room = rng.uniform(0.7, 1) if kind > 0.8 else 1.0
            return cls((room, room), (rng.random(), rng.random()))
        # A strip below, above or beside it stays free.
        strip = rng.uniform(0.8, 0.9)
        below = rng.random() < 0.7
        fraction = (1.0, strip) if below else (strip, 1.0)
        end = 0.0 if rng.random() < 0.75 else 1.0
        return cls(
            fraction, (rng.random(), end) if below else (end, rng.random()), captions, strokes
        )

    def inner_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Width and height in pixels that the molecule is drawn in."""
        return round(size[0] * self.fraction[0]), round(size[1] * self.fraction[1])

    def framed(self, image: Image.Image, size: tuple[int, int]) -> tuple[Image.Image, int, int]:
        """The molecule's image on paper of `size`; how far right and down it has moved."""
        if image.size == size:
            return image, 0, 0
        dx = round((size[0] - image.width) * self.at[0])
        dy = round((size[1] - image.height) * self.at[1])
        paper = Image.new("RGB", size, "white")
        paper.paste(image, (dx, dy))
        return paper, dx, dy

    def add(self, image: Image.Image, rng: Random) -> None:
        """Draw captions and strokes into an L or RGB image, where there is room."""
        ink = np.asarray(image.convert("L")) < _INK
        for number in range(self.captions + self.strokes):
            # What is new is drawn on a paper of its own, so that its very ink can be compared.
            layer = Image.new("L", image.size, 255)
            for _ in range(_TRIES):
                layer.paste(255, (0, 0, *image.size))
                if number < self.captions:
                    _draw_caption(layer, rng)
                else:
                    _draw_stroke(layer, rng)
                if _is_free(ink, layer):
                    image.paste("black", mask=layer.point(lambda value: 255 - value))
                    ink |= np.asarray(layer) < _INK
                    break


NOTHING_BESIDE = Surroundings()


def _is_free(ink: NDArray[np.bool_], layer: Image.Image) -> bool:
    gap = max(4, round(_GAP * min(layer.size)))
    box = layer.point(lambda value: 255 - value).getbbox()
    if box is None:
        return False
    left, top = max(box[0] - gap, 0), max(box[1] - gap, 0)
    return not ink[top : box[3] + gap, left : box[2] + gap].any()


def _draw_caption(layer: Image.Image, rng: Random) -> None:
    side = min(layer.size)
    size = rng.uniform(0.045, 0.075) * side
    font = ImageFont.truetype(font_file(rng.choice(("sans", "serif", "wide"))), max(9.0, size))
    pen = ImageDraw.Draw(layer)
    text = _caption(rng)
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    spare = layer.width - (right - left) - 4, layer.height - (bottom - top) - 4
    if min(spare) <= 0:
        return
    x, y = (rng.uniform(2, end) for end in spare)
    # Captions stand below, above or beside, seldom in the middle of a gap.
    if rng.random() < 0.8:
        edge = rng.choice(("bottom", "bottom", "top", "left", "right"))
        y = {"bottom": spare[1] * 0.98, "top": 2.0 + 0.02 * spare[1]}.get(edge, y)
        x = {"left": 2.0 + 0.02 * spare[0], "right": spare[0] * 0.98}.get(edge, x)
    pen.text((x - left, y - top), text, font=font, fill=rng.choice((0, 0, 0, 60)))


def _caption(rng: Random) -> str:
    number = rng.randrange(1, 200)
    letter = rng.choice("abcd")
    roman = rng.choice(("I", "II", "III", "IV", "V", "Ia", "IIb", "VI"))
    return rng.choice(
        (
            f"{number}", f"{number}{letter}", f"({number})", f"({number}{letter})", f"({roman})",
            f"Fig. {number % 20 + 1}", f"FIG. {number % 20 + 1}{letter.upper()}", f"[{number:04d}]",
            f"Compound {number}", f"Example {number}", f"Formula {roman}", f"Formula ({roman})",
            f"Intermediate {number}", f"{number % 60 + 40}%", f"{number % 60 + 40} % yield",
            f"MW {number + 150}.{number % 10}", f"IC50 = {number} nM", f"Entry {number % 12 + 1}",
            f"ee {number % 10 + 90}%", f"m.p. {number + 60}-{number + 62} °C",
        )
    )  # fmt: skip


def _draw_stroke(layer: Image.Image, rng: Random) -> None:
    """What a crop leaves of a neighbour: a cut bond, an arrow, a plus, the rule of a table."""
    pen = ImageDraw.Draw(layer)
    width, height = layer.size
    side = min(width, height)
    reach, thick = rng.uniform(0.02, 0.08) * side, rng.choice((1, 1, 2))
    kind = rng.choice(("cut", "cut", "cut", "arrow", "plus", "rule"))
    # Drawn at the left edge, then turned to any other.
    y = rng.uniform(0.1, 0.9) * height
    if kind == "cut":
        slope = rng.uniform(-1, 1)
        pen.line((-2, y, reach, y + slope * reach), fill=0, width=thick)
        if rng.random() < 0.5:
            pen.line((reach, y + slope * reach, -2, y + 2 * slope * reach), fill=0, width=thick)
    elif kind == "arrow":
        head = 0.02 * side
        pen.line((-2, y, reach, y), fill=0, width=thick)
        pen.polygon((reach, y - head, reach, y + head, reach + 2 * head, y), fill=0)
    elif kind == "plus":
        arm = 0.02 * side + 2
        pen.line((2, y, 2 + 2 * arm, y), fill=0, width=thick)
        pen.line((2 + arm, y - arm, 2 + arm, y + arm), fill=0, width=thick)
    else:
        x = rng.uniform(0, 3)
        pen.line((x, rng.uniform(0, y), x, rng.uniform(y, height)), fill=0, width=thick)
    turned = layer
    if rng.random() < 0.5:
        turned = turned.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if width == height and rng.random() < 0.5:
        turned = turned.transpose(Image.Transpose.TRANSPOSE)
    layer.paste(turned)
