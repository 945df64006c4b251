"""What a scanner, a copier and a file format make of a drawing; positions follow every bend.

Effects that could wipe out a letter or a line are measured in letters and lines: a drawing with
small letters is blurred, coarsened and soiled less than one with large letters.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageOps
from scipy import ndimage

__all__ = ["CLEAN_SCAN", "Print", "Scan"]

Affine = NDArray[np.float64]  # (2, 3): positions in the drawing -> positions in the scan
_FloatImage = NDArray[np.float32]
# At the lowest resolution, in pixels.
_SMALLEST_LETTER = 9.0  # size of the font; below, N and H are the same
_SMALLEST_BINARY_LETTER = 13.0  # without greys, letters close up sooner
_SMALLEST_GAP = 1.6  # below, a double bond is one thick line
_THINNEST_LINE = 0.9  # below, a line is no darker than dirt
_THICKENED_LINE = 2.0  # pixels: thicker lines are thick enough
_INK = 200
_LARGEST_ZOOM = 1.5  # a small molecule on much paper is not blown up


@dataclass(frozen=True)
class Print:
    """What is on the paper, in pixels.

    Attributes:
        letter: size of the font.
        line: width of the thinnest lines.
        gap: from one line of a double bond to the other, middle to middle.
        labels: centre and radius (x, y, radius) of a disc round each label.
    """

    letter: float
    line: float
    gap: float
    labels: tuple[tuple[float, float, float], ...] = ()


@dataclass(frozen=True)
class Scan:
    """What happens to a drawing.

    Attributes:
        tilt: of the page, in degrees.
        shear: slant, along x and along y.
        zoom: over the drawing's own size, where there is room.
        crop: cut to the ink, so that the outermost ink meets the image's edge.
        lines: ``thick`` by a pixel at each side where gaps and letters allow it; ``broken`` where
            the toner failed.
        resolution: of the scanner; 1 is the image's own.
        blur: standard deviation, in widths of a line.
        ink, paper: grey values, 0 black to 255 white.
        shade: how much darker the paper is on one side.
        noise: standard deviation of grey values.
        specks: fraction of the pixels that are salt or pepper.
        binary: black and white only, as patent offices scan, where letters are large enough.
        jpeg: quality; 0 for none.
        inverted: light on dark.
        tint: colours of ink and paper, in place of grey; None for grey.
    """

    tilt: float = 0.0
    shear: tuple[float, float] = (0.0, 0.0)
    zoom: float = 1.0
    crop: bool = False
    lines: Literal["drawn", "thick", "broken"] = "drawn"
    resolution: float = 1.0
    blur: float = 0.0
    ink: float = 0.0
    paper: float = 255.0
    shade: float = 0.0
    noise: float = 0.0
    specks: float = 0.0
    binary: bool = False
    jpeg: int = 0
    inverted: bool = False
    tint: tuple[tuple[int, int, int], tuple[int, int, int]] | None = None

    @classmethod
    def random(cls, rng: Random) -> Scan:
        """One in four is a file that never was on paper."""
        crop = rng.random() < 0.25
        if rng.random() < 0.25:
            return cls(crop=crop, inverted=rng.random() < 0.03)
        return cls.of_paper(rng, crop=crop)

    @classmethod
    def of_paper(cls, rng: Random, *, crop: bool = False) -> Scan:
        """What comes from a scanner."""

        def often(chance: float, low: float, high: float, none: float = 0.0) -> float:
            return rng.uniform(low, high) if rng.random() < chance else none

        binary = rng.random() < 0.3
        return cls(
            tilt=often(0.4, -2.5, 2.5),
            shear=(often(0.2, -0.04, 0.04), often(0.2, -0.04, 0.04)),
            zoom=often(0.3, 0.85, 1.1, 1.0),
            crop=crop,
            lines=rng.choice(("drawn", "drawn", "drawn", "thick", "broken")),
            resolution=often(0.4, 0.4, 1.0, 1.0),
            blur=often(0.4, 0.15, 0.5),
            ink=often(0.3, 0, 90),
            paper=255.0 if binary else often(0.3, 205, 255, 255.0),
            shade=0.0 if binary else often(0.15, 10, 50),
            noise=often(0.3, 2, 14),
            specks=often(0.2, 0.0003, 0.006),
            binary=binary,
            jpeg=0 if binary else round(often(0.35, 25, 90)),
            inverted=rng.random() < 0.03,
            tint=_random_tint(rng) if rng.random() < 0.06 else None,
        )

    def apply(self, image: Image.Image, print_: Print, rng: Random) -> tuple[Image.Image, Affine]:
        """The scan, as large as the drawing, and where the drawing's positions lie in it.

        Args:
            image: L or RGB, dark on white.
            print_: sizes of what is on it.
            rng: for dirt and noise.
        """
        affine = self._affine(image)
        if not np.allclose(affine, np.eye(2, 3)):
            image = _bent(image, affine)
        if self == CLEAN_SCAN:
            return image, affine
        np_rng = np.random.default_rng(rng.getrandbits(64))
        image = _with_lines(image, self.lines, print_, affine, np_rng)
        binary = self.binary and print_.letter >= _SMALLEST_BINARY_LETTER
        smallest = _SMALLEST_BINARY_LETTER if binary else _SMALLEST_LETTER
        finest = max(
            smallest / print_.letter,
            _THINNEST_LINE / print_.line,
            _SMALLEST_GAP / max(print_.gap - print_.line, 1.0),
        )
        image = _coarsened(image, max(self.resolution, finest))
        if self.blur:
            image = image.filter(ImageFilter.GaussianBlur(self.blur * print_.line))
        return self._developed(image, print_, np_rng, binary), affine

    def _affine(self, image: Image.Image) -> Affine:
        """Tilt, slant and size about the image's middle, then shifted until the ink is inside."""
        angle = math.radians(self.tilt)
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        slant = np.array([[1.0, self.shear[0]], [self.shear[1], 1.0]])
        matrix = turn @ slant * self.zoom
        corners = _ink_corners(image)
        size = np.array(image.size, dtype=np.float64)
        moved = corners @ matrix.T
        spread = np.ptp(moved, axis=0)
        # Cropped, the ink meets the edge; else two pixels of paper stay.
        room = size - (1.0 if self.crop else 4.0)
        fit = float((room / np.maximum(spread, 1.0)).min())
        if fit < 1 or (self.crop and fit < _LARGEST_ZOOM):
            matrix = matrix * fit
        moved = corners @ matrix.T
        shift = size / 2 - matrix @ (size / 2)
        rim = (size - room) / 2
        low, high = moved.min(axis=0) + shift, moved.max(axis=0) + shift
        shift = shift + np.maximum(rim - low, 0) - np.maximum(high - (size - rim), 0)
        return np.column_stack([matrix, shift])

    def _developed(
        self, image: Image.Image, print_: Print, np_rng: np.random.Generator, binary: bool
    ) -> Image.Image:
        """Grey values or colours, noise, specks, black and white, the file format."""
        pixels: NDArray[Any] = np.asarray(image, dtype=np.float32)
        if self.shade or self.paper != 255 or self.ink:
            pixels = self.ink + pixels * ((self.paper - self.ink) / 255)
        if self.shade:
            pixels = pixels - _each_colour(self.shade * _slope(pixels.shape, np_rng), pixels)
        if self.noise:
            grain = np_rng.standard_normal(pixels.shape[:2], dtype=np.float32) * self.noise
            pixels = pixels + _each_colour(grain, pixels)
        if binary:
            # Thin lines are grey where they have been blurred; thick ones must not grow.
            thinnest = min(print_.line, print_.letter / 14)  # a plus is thinner than a bond
            fraction = 0.8 - 0.3 * min(max(thinnest - 1, 0) / 1.5, 1)
            threshold = self.ink + fraction * (self.paper - self.ink)
            grey = pixels if pixels.ndim == 2 else pixels.mean(axis=2)
            pixels = np.where(grey < threshold, 0.0, 255.0)
        if self.specks:
            # A speck is a pixel; where letters are small, so is the fraction that they can bear.
            fraction = self.specks * min(1.0, print_.letter / 14)
            die = np_rng.random(pixels.shape[:2])
            pixels = np.where(_each_colour(die < fraction / 2, pixels), 0, pixels)
            pixels = np.where(_each_colour(die > 1 - fraction / 2, pixels), 255, pixels)
        scanned = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
        if self.tint is not None:
            dark_colour, light_colour = self.tint
            scanned = ImageOps.colorize(scanned.convert("L"), dark_colour, light_colour)
        if self.inverted:
            scanned = ImageOps.invert(scanned)
        if self.jpeg:
            file = io.BytesIO()
            scanned.save(file, "JPEG", quality=self.jpeg)
            scanned = Image.open(file)
        return scanned


CLEAN_SCAN = Scan()


def _random_tint(rng: Random) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Coloured lines on white, or dark lines on coloured paper, as on slides."""
    strong = rng.choice(((0, 0, 160), (150, 0, 0), (0, 90, 40), (90, 0, 110)))
    pale = rng.choice(((255, 250, 225), (230, 240, 255), (235, 255, 235), (255, 235, 235)))
    return (strong, (255, 255, 255)) if rng.random() < 0.5 else ((0, 0, 0), pale)


def _ink_corners(image: Image.Image) -> Affine:
    """The corners of the ink's box, (4, 2); of the image's where there is no ink."""
    box = image.convert("L").point(lambda value: 255 if value < _INK else 0).getbbox()
    left, top, right, bottom = box or (0, 0, *image.size)
    return np.array([(left, top), (right, top), (left, bottom), (right, bottom)], dtype=np.float64)


def _bent(image: Image.Image, affine: Affine) -> Image.Image:
    back = np.linalg.inv(np.vstack([affine, [0, 0, 1]]))  # Pillow asks whence a pixel comes
    return image.transform(
        image.size,
        Image.Transform.AFFINE,
        tuple(back[:2].ravel()),
        resample=Image.Resampling.BICUBIC,
        fillcolor="white",
    )


def _with_lines(
    image: Image.Image, lines: str, print_: Print, affine: Affine, np_rng: np.random.Generator
) -> Image.Image:
    if (
        lines == "thick"
        and print_.line <= _THICKENED_LINE
        and print_.gap - print_.line >= 4
        and print_.letter >= 15
    ):
        return image.filter(ImageFilter.MinFilter(3))
    if lines == "broken":
        # Spots of 2 to 4 pixels without toner, a twentieth of the paper.
        field = ndimage.gaussian_filter(np_rng.standard_normal(image.size[::-1]), 1.2)
        spots = Image.fromarray((field > 1.7 * field.std()).astype(np.uint8) * 255)
        pen = ImageDraw.Draw(spots)
        for x, y, radius in print_.labels:  # a broken O is a C
            x, y = affine @ (x, y, 1)
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=0)
        broken = image.copy()
        broken.paste("white", mask=spots)
        return broken
    return image


def _coarsened(image: Image.Image, resolution: float) -> Image.Image:
    """Scanned with fewer pixels and enlarged again; whole extents map, so positions stay."""
    if resolution >= 1:
        return image
    width, height = (max(1, round(side * resolution)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BOX).resize(
        image.size, Image.Resampling.BILINEAR
    )


def _slope(shape: tuple[int, ...], np_rng: np.random.Generator) -> _FloatImage:
    """0 to 1 across the page, in any direction; (height, width)."""
    angle = np_rng.uniform(0, 2 * math.pi)
    rows = np.linspace(-0.5, 0.5, shape[0], dtype=np.float32)[:, None]
    columns = np.linspace(-0.5, 0.5, shape[1], dtype=np.float32)[None, :]
    slope = (rows * math.sin(angle) + columns * math.cos(angle)) / math.sqrt(2) + 0.5
    return slope.astype(np.float32)


def _each_colour(field: NDArray[Any], pixels: NDArray[Any]) -> NDArray[Any]:
    """A field over the page (height, width), made to go with grey or RGB pixels."""
    return field if pixels.ndim == 2 else field[..., None]
