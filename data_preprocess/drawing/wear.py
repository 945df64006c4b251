"""What printers, scanners and file formats make of a drawing; positions follow.

Each step is small; a `Wear` says which are taken and how strongly, in widths of a line where the
step could wipe out lines.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

__all__ = ["Print", "Wear", "apply"]

Point = tuple[float, float]
Filter = Literal["nearest", "box", "bilinear", "lanczos"]

_RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
}
# At the lowest resolution, in pixels.
_LEAST_UNIT = 13.0  # a bond
_LEAST_LINE = 0.7  # a line; thinner, it is no darker than dirt
_LEAST_LETTER = 8.5  # size of the font; below, N and H are the same
_LEAST_BILEVEL_LETTER = 12.0  # without greys, letters close up sooner


@dataclass(frozen=True)
class Print:
    """What is on the paper, in pixels.

    Attributes:
        unit: a bond length.
        line: width of the thinnest strokes, of bonds or letters.
        letter: size of the font.
        gap: from line to line of a double bond.
    """

    unit: float
    line: float
    letter: float
    gap: float

    def least_resolution(self, *, bilevel: bool) -> float:
        """The fraction of its pixels that the drawing needs to stay readable, at most 1."""
        letter = _LEAST_BILEVEL_LETTER if bilevel else _LEAST_LETTER
        needed = max(_LEAST_UNIT / self.unit, _LEAST_LINE / self.line, letter / self.letter)
        return min(1.0, needed)


@dataclass(frozen=True)
class Wear:
    """What happens to a drawing.

    Attributes:
        tilt: of the page, in degrees.
        swell: pixels by which ink grows (1), or shrinks (-1) where lines are thick enough.
        scale: of the finished image over the drawn one.
        scaling: how that is done.
        coarse: resolution that the image went through before, over its own; 1 for none.
        refined: how it came back from that.
        blur: standard deviation, in widths of a line.
        ink, paper: grey values.
        shade: how much darker one side of the paper is.
        noise: standard deviation of grey values.
        edge: standard deviation of the grey values that roughen the edges of bilevel images.
        bilevel: black and white only.
        threshold: of a bilevel image, 0 ink to 255 paper.
        broken: fraction of the paper that took no toner, in spots as small as a line.
        specks: specks in each 100 x 100 pixels.
        fax: lines that are missing or doubled.
        jpeg: quality; 0 for none.
        inverted: light on dark.
    """

    tilt: float = 0.0
    swell: int = 0
    scale: float = 1.0
    scaling: Filter = "box"
    coarse: float = 1.0
    refined: Filter = "bilinear"
    blur: float = 0.0
    ink: int = 0
    paper: int = 255
    shade: float = 0.0
    noise: float = 0.0
    edge: float = 0.0
    bilevel: bool = False
    threshold: int = 128
    broken: float = 0.0
    specks: float = 0.0
    fax: int = 0
    jpeg: int = 0
    inverted: bool = False

    @classmethod
    def of_patent(cls, rng: Random) -> Wear:
        """Bilevel, mostly clean."""

        def often(chance: float, low: float, high: float) -> float:
            return rng.uniform(low, high) if rng.random() < chance else 0.0

        coarse, refined = _coarseness(rng, 0.12)
        return cls(
            tilt=often(0.08, -1.5, 1.5),
            swell=rng.choices((0, 1, -1), (78, 12, 10))[0],
            coarse=coarse,
            refined=refined,
            blur=often(0.25, 0.1, 0.45),
            edge=often(0.35, 5, 70),
            bilevel=rng.random() < 0.88,
            threshold=rng.randint(90, 180),
            broken=often(0.05, 0.005, 0.03),
            specks=0.05 * 20 ** rng.random() if rng.random() < 0.1 else 0.0,
            fax=rng.randint(1, 4) if rng.random() < 0.02 else 0,
            jpeg=0,
            inverted=rng.random() < 0.004,
        )

    @classmethod
    def of_file(cls, rng: Random) -> Wear:
        """A file that never was on paper, perhaps scaled or compressed."""
        coarse, refined = _coarseness(rng, 0.15)
        scaled = rng.random() < 0.25
        return cls(
            scale=rng.uniform(0.5, 1.2) if scaled else 1.0,
            scaling=rng.choice(("nearest", "box", "bilinear", "lanczos")),
            coarse=coarse,
            refined=refined,
            bilevel=rng.random() < 0.2,
            paper=rng.randint(225, 255) if rng.random() < 0.1 else 255,
            ink=rng.randint(0, 110) if rng.random() < 0.15 else 0,
            shade=rng.uniform(10, 70) if rng.random() < 0.04 else 0.0,  # slides
            jpeg=rng.randint(25, 92) if rng.random() < 0.3 else 0,
            inverted=rng.random() < 0.02,
        )

    @classmethod
    def of_paper(cls, rng: Random) -> Wear:
        """Photocopied, or scanned with greys."""

        def often(chance: float, low: float, high: float) -> float:
            return rng.uniform(low, high) if rng.random() < chance else 0.0

        coarse, refined = _coarseness(rng, 0.3)
        bilevel = rng.random() < 0.4
        return cls(
            tilt=often(0.4, -2.5, 2.5),
            swell=rng.choices((0, 1, -1), (60, 25, 15))[0],
            coarse=coarse,
            refined=refined,
            blur=often(0.6, 0.1, 0.6),
            ink=round(often(0.4, 0, 110)),
            paper=255 if bilevel else rng.randint(190, 255),
            shade=0.0 if bilevel else often(0.4, 10, 60),
            noise=often(0.5, 2, 16),
            edge=often(0.6, 10, 80),
            bilevel=bilevel,
            threshold=rng.randint(90, 180),
            broken=often(0.15, 0.005, 0.05),
            specks=0.08 * 30 ** rng.random() if rng.random() < 0.3 else 0.0,
            fax=rng.randint(1, 6) if rng.random() < 0.06 else 0,
            jpeg=0 if bilevel else round(often(0.5, 20, 90)),
        )


def _coarseness(rng: Random, chance: float) -> tuple[float, Filter]:
    if rng.random() >= chance:
        return 1.0, "bilinear"
    filters: tuple[Filter, ...] = ("nearest", "bilinear", "bilinear", "lanczos")
    return rng.uniform(0.4, 0.9), rng.choice(filters)


def apply(
    image: Image.Image,
    positions: Sequence[Point],
    wear: Wear,
    print_: Print,
    rng: Random,
) -> tuple[NDArray[np.uint8], list[Point]]:
    """The worn image, and where the positions lie in it.

    Args:
        image: mode L, black on white.
        positions: in its pixels.
        wear: what happens.
        print_: sizes of what is on it, which some steps must not wipe out.
        rng: for dirt and noise.
    """
    np_rng = np.random.Generator(np.random.SFC64(rng.getrandbits(64)))
    line = print_.line
    points = list(positions)
    if wear.tilt:
        image, points = _tilted(image, points, wear.tilt)
    if wear.swell > 0 and print_.letter >= 18 and print_.gap - line >= 4:
        image = _grown(image, np.minimum)
    elif wear.swell < 0 and line >= 3.2:
        image = _grown(image, np.maximum)
    least = print_.least_resolution(bilevel=wear.bilevel)
    if wear.coarse < 1:
        image = _coarsened(image, max(wear.coarse, least), wear, line)
    if wear.scale != 1:
        scale = max(wear.scale, least)
        image, points = _scaled(image, points, scale, wear.scaling)
        line *= scale
    if wear.blur:
        image = image.filter(ImageFilter.GaussianBlur(wear.blur * max(line, 1.0)))
    pixels = _developed(np.asarray(image), wear, line, np_rng)
    if wear.jpeg:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=wear.jpeg)
        pixels = np.asarray(Image.open(file))
    if wear.inverted:
        pixels = 255 - pixels
    return np.ascontiguousarray(pixels), points


def _grown(image: Image.Image, extreme: np.ufunc) -> Image.Image:
    """Each pixel the least or greatest of those beside, above and below it."""
    pixels = np.asarray(image)
    grown = pixels.copy()
    extreme(grown[1:], pixels[:-1], out=grown[1:])
    extreme(grown[:-1], pixels[1:], out=grown[:-1])
    extreme(grown[:, 1:], pixels[:, :-1], out=grown[:, 1:])
    extreme(grown[:, :-1], pixels[:, 1:], out=grown[:, :-1])
    return Image.fromarray(grown)


def _tilted(
    image: Image.Image, positions: list[Point], degrees: float
) -> tuple[Image.Image, list[Point]]:
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    width, height = image.size
    turned = image.rotate(degrees, Image.Resampling.BILINEAR, expand=True, fillcolor=255)
    cx, cy, dx, dy = width / 2, height / 2, turned.width / 2, turned.height / 2
    points = [
        ((x - cx) * cos + (y - cy) * sin + dx, -(x - cx) * sin + (y - cy) * cos + dy)
        for x, y in positions
    ]
    return turned, points


def _coarsened(image: Image.Image, resolution: float, wear: Wear, line: float) -> Image.Image:
    if resolution >= 1:
        return image
    size = max(1, round(image.width * resolution)), max(1, round(image.height * resolution))
    small = image.resize(size, Image.Resampling.BOX)
    if wear.bilevel:
        small = small.point(_step(_threshold(wear, line * resolution)))
    return small.resize(image.size, _RESAMPLING[wear.refined])


def _step(threshold: float) -> list[int]:
    return [0 if value < threshold else 255 for value in range(256)]


def _scaled(
    image: Image.Image, positions: list[Point], scale: float, filter_: Filter
) -> tuple[Image.Image, list[Point]]:
    if scale == 1 or (filter_ == "nearest" and scale < 0.9):
        filter_ = "box"  # every other line would be lost
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    kx, ky = size[0] / image.width, size[1] / image.height
    return image.resize(size, _RESAMPLING[filter_]), [(x * kx, y * ky) for x, y in positions]


def _developed(
    pixels: NDArray[np.uint8], wear: Wear, line: float, np_rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Greys, noise, dirt, missing toner; black and white where the wear says so."""
    if wear.broken:
        pixels = _without_toner(pixels, wear.broken, line, np_rng)
    if wear.ink or wear.paper != 255 or wear.shade:
        grey = wear.ink + pixels.astype(np.float32) * ((wear.paper - wear.ink) / 255)
        if wear.shade:
            grey = grey - wear.shade * _slope(pixels.shape, np_rng)
        pixels = np.clip(grey, 0, 255).astype(np.uint8)
    sigma = wear.edge if wear.bilevel else wear.noise
    if sigma and wear.bilevel:
        pixels = _rough(pixels, sigma * min(1.0, line / 3), np_rng)
    elif sigma:
        noise = sigma * np_rng.standard_normal(pixels.shape, dtype=np.float32)
        pixels = np.clip(pixels + noise, 0, 255).astype(np.uint8)
    if wear.bilevel:
        pixels = np.where(pixels < _threshold(wear, line), 0, 255).astype(np.uint8)
    if wear.specks:
        pixels = _with_specks(pixels, wear.specks, wear.ink, np_rng)
    if wear.fax:
        pixels = _faxed(pixels, wear.fax, np_rng)
    return pixels


def _small_field(
    shape: tuple[int, ...], step: int, np_rng: np.random.Generator
) -> NDArray[np.float32]:
    """Smooth noise of standard deviation about 1 whose spots are `step` pixels wide."""
    rows, columns = shape[0] // step + 2, shape[1] // step + 2
    small = Image.fromarray(np_rng.standard_normal((rows, columns), dtype=np.float32))
    size = columns * step, rows * step
    field = np.asarray(small.resize(size, Image.Resampling.BILINEAR))
    return field[: shape[0], : shape[1]]


def _without_toner(
    pixels: NDArray[np.uint8], fraction: float, line: float, np_rng: np.random.Generator
) -> NDArray[np.uint8]:
    field = _small_field(pixels.shape, max(2, round(0.8 * line)), np_rng)
    # The fraction of a normal distribution beyond it, to a few percent.
    bound = 1.0 + 1.2 * math.log10(0.15 / fraction)
    return np.where(field > bound, 255, pixels).astype(np.uint8)


def _threshold(wear: Wear, line: float) -> float:
    """The wear's, or as much more as the thinnest lines need, which blur leaves grey."""
    darkness = min(1.0, line)
    if wear.blur:
        darkness *= math.erf(min(1.0, line) / (2 * math.sqrt(2) * wear.blur))
    if wear.edge:
        darkness *= min(1.0, line / 3) ** 0.5
    faintest = 255 * (1 - darkness)
    threshold = min(max(float(wear.threshold), 0.45 * faintest + 0.55 * 255), 235.0)
    if darkness > 0.9:
        threshold = float(wear.threshold)
    return wear.ink + (threshold / 255) * (wear.paper - wear.ink)


def _rough(
    pixels: NDArray[np.uint8], sigma: float, np_rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Noise where ink meets paper, for a threshold to make ragged edges of."""
    grey = pixels.astype(np.float32)
    grey[1:-1] = (grey[:-2] + 2 * grey[1:-1] + grey[2:]) / 4
    grey[:, 1:-1] = (grey[:, :-2] + 2 * grey[:, 1:-1] + grey[:, 2:]) / 4
    grey += (sigma * 4 / 255**2) * grey * (255 - grey) * _small_field(pixels.shape, 2, np_rng)
    return np.clip(grey, 0, 255).astype(np.uint8)


def _with_specks(
    pixels: NDArray[np.uint8], density: float, ink: int, np_rng: np.random.Generator
) -> NDArray[np.uint8]:
    pixels = pixels.copy()
    height, width = pixels.shape
    count = int(np_rng.poisson(density * height * width / 1e4))
    for y, x, size, white in zip(
        np_rng.integers(0, height, count), np_rng.integers(0, width, count),
        np_rng.integers(1, 4, count), np_rng.random(count) < 0.25, strict=True,
    ):  # fmt: skip
        pixels[y : y + size, x : x + max(1, size - 1)] = 255 if white else ink
    return pixels


def _faxed(pixels: NDArray[np.uint8], lines: int, np_rng: np.random.Generator) -> NDArray[np.uint8]:
    """Lines of the scanner that went missing, or are all ink for a while."""
    pixels = pixels.copy()
    height, width = pixels.shape
    for _ in range(lines):
        y = int(np_rng.integers(0, height))
        if np_rng.random() < 0.5:
            pixels[y] = 255
        else:
            start = int(np_rng.integers(0, width))
            pixels[y, start : start + int(np_rng.integers(5, max(6, width // 3)))] = 0
    return pixels


def _slope(shape: tuple[int, ...], np_rng: np.random.Generator) -> NDArray[np.float32]:
    """0 to 1 across the page, in any direction; (height, width)."""
    angle = np_rng.uniform(0, 2 * math.pi)
    rows = np.linspace(-0.5, 0.5, shape[0], dtype=np.float32)[:, None]
    columns = np.linspace(-0.5, 0.5, shape[1], dtype=np.float32)[None]
    slope = (rows * math.sin(angle) + columns * math.cos(angle)) / math.sqrt(2) + 0.5
    return np.asarray(slope, dtype=np.float32)
