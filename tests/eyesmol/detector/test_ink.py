"""Ink: the same drawing gives the same ink, on white or black, grey, shaded or clear paper."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from eyesmol.detector.ink import ink_of, padded, scaled

SIZE = (200, 160)


def _drawing() -> Image.Image:
    """A hexagon and a few strokes, black on white."""
    image = Image.new("L", SIZE, 255)
    pen = ImageDraw.Draw(image)
    pen.polygon([(60, 40), (95, 60), (95, 100), (60, 120), (25, 100), (25, 60)], outline=0, width=3)
    pen.line((95, 60, 130, 40), 0, 3)
    pen.line((130, 40, 165, 60), 0, 3)
    return image


@pytest.fixture
def black() -> NDArray[np.uint8]:
    return 255 - np.asarray(_drawing())


def _likeness(ink: NDArray[np.uint8], true: NDArray[np.uint8]) -> float:
    """Share of strong ink that is the drawing's, over all that is either's."""
    one, other = ink > 127, true > 127
    return float((one & other).sum() / (one | other).sum())


def test_black_on_white_stays_as_it_is(black: NDArray[np.uint8]) -> None:
    ink = ink_of(_drawing())
    assert ink.dtype == np.uint8
    assert (ink == black).all()
    bilevel = ink_of(_drawing().convert("1"))
    assert (bilevel == black).all()


def test_white_on_black_is_turned_round(black: NDArray[np.uint8]) -> None:
    inverted = Image.fromarray(255 - np.asarray(_drawing()))
    assert (ink_of(inverted) == black).all()
    assert (ink_of(inverted.convert("RGB")) == black).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("hidden", [0, 255])
def test_what_is_transparent_is_paper(mode: str, hidden: int, black: NDArray[np.uint8]) -> None:
    """Whatever colour the clear pixels have beneath."""
    grey = np.where(black > 0, 0, hidden).astype(np.uint8)
    colours = [grey] * (3 if mode == "RGBA" else 1)
    image = Image.merge(mode, [Image.fromarray(c) for c in (*colours, black)])
    assert (ink_of(image) == black).all()


def test_a_transparent_colour_of_a_palette_is_paper(black: NDArray[np.uint8]) -> None:
    image = Image.fromarray((black > 0).astype(np.uint8), "P")
    image.putpalette([0, 0, 0, 0, 0, 0])
    image.info["transparency"] = 0
    assert (ink_of(image) == black).all()


@pytest.mark.parametrize(("paper", "pen"), [(200, 60), (255, 170), (150, 10)])
def test_weak_ink_on_grey_paper_is_made_strong(
    paper: int, pen: int, black: NDArray[np.uint8]
) -> None:
    weak = paper + (pen - paper) * (black / 255.0)
    ink = ink_of(Image.fromarray(weak.astype(np.uint8)))
    assert _likeness(ink, black) == 1
    assert ink[black == 0].max() == 0
    assert ink.max() >= 250


def test_shade_is_taken_off(black: NDArray[np.uint8]) -> None:
    """Paper from 250 at the left to 150 at the right, ink a third of it."""
    paper = np.linspace(250, 150, SIZE[0])[None]
    shaded = np.where(black > 0, paper / 3, paper).astype(np.uint8)
    ink = ink_of(Image.fromarray(shaded))
    assert _likeness(ink, black) > 0.97
    assert ink[black == 0].max() < 40


def test_colours_are_ink(black: NDArray[np.uint8]) -> None:
    red = np.where(black[..., None] > 0, (200, 0, 0), (255, 255, 255)).astype(np.uint8)
    assert _likeness(ink_of(Image.fromarray(red)), black) == 1


def test_noise_of_a_few_greys_stays_weak() -> None:
    noise = np.random.default_rng(0).integers(235, 256, (120, 120)).astype(np.uint8)
    assert ink_of(Image.fromarray(noise)).max() < 40


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (40, 2), (31, 31)])
def test_the_smallest_images(size: tuple[int, int]) -> None:
    ink = ink_of(Image.new("RGB", size, "white"))
    assert ink.shape == size[::-1]
    assert ink.max() == 0


@pytest.mark.parametrize("factor", [0.25, 0.5, 1.0, 1.7, 3.0])
def test_scaling_says_its_exact_factors(factor: float, black: NDArray[np.uint8]) -> None:
    ink, fx, fy = scaled(black, factor)
    assert ink.shape == (round(SIZE[1] * fy), round(SIZE[0] * fx))
    assert fx == pytest.approx(factor, rel=0.02)
    assert fy == pytest.approx(factor, rel=0.02)
    assert ink.sum() / (fx * fy) == pytest.approx(black.sum(dtype=float), rel=0.03)


def test_padding_moves_and_adds_nothing(black: NDArray[np.uint8]) -> None:
    paper = padded(black, 7, 11, 256, 320)
    assert paper.shape == (256, 320)
    assert (paper[11 : 11 + SIZE[1], 7 : 7 + SIZE[0]] == black).all()
    assert paper.sum(dtype=int) == black.sum(dtype=int)
