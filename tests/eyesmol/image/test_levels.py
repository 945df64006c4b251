"""Dark ink on light paper from whatever an image is: what is clear stays, the rest is made so."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from eyesmol.image.levels import readable
from eyesmol.image.loading import load_picture
from eyesmol.image.screening import no_molecule


def grey() -> np.ndarray:
    """A hexagon of strokes, black on white, smooth at its rims."""
    image = Image.new("L", (1200, 900), 255)
    pen = ImageDraw.Draw(image)
    corners = [(600 + 300 * np.cos(a), 450 + 300 * np.sin(a)) for a in np.arange(7) * np.pi / 3]
    pen.line(corners, fill=0, width=12)
    pen.line([corners[0], (1100, 450)], fill=0, width=12)
    return np.asarray(image.resize((400, 300), Image.Resampling.BOX))


def transparent(levels: np.ndarray, ink: int) -> Image.Image:
    pixels = np.full((*levels.shape, 4), ink, np.uint8)
    pixels[..., 3] = 255 - levels
    return Image.fromarray(pixels, "RGBA")


def deep(levels: np.ndarray, mode: str, kind: str) -> Image.Image:
    scale = 1.0 if mode == "F" else 65535.0
    raw = (levels / 255 * scale).astype(kind)
    image = Image.frombytes(mode, (raw.shape[1], raw.shape[0]), raw.tobytes())
    file = io.BytesIO()
    image.save(file, "TIFF")
    return load_picture(file.getvalue())


CASES = {
    "a dark photograph of grey paper": lambda g: Image.fromarray((g * 0.25).astype(np.uint8)),
    "little light": lambda g: Image.fromarray((g * 0.12 + 30).astype(np.uint8)),
    "faint ink": lambda g: Image.fromarray((255 - (255 - g) * 0.14).astype(np.uint8)),
    "white on black": lambda g: Image.fromarray(255 - g),
    "white strokes on a transparent ground": lambda g: transparent(g, 255),
    "black strokes on a transparent ground": lambda g: transparent(g, 0),
    "a float TIFF": lambda g: deep(g, "F", "<f4"),
    "a 16-bit TIFF": lambda g: deep(g, "I;16", "<u2"),
    "a 16-bit TIFF of ImageJ": lambda g: deep(g, "I;16B", ">u2"),
}


@pytest.mark.parametrize("name", CASES)
def test_ink_is_dark_and_paper_light(name: str) -> None:
    levels = grey()
    image = CASES[name](levels)
    found = np.asarray(readable(image).convert("L"), dtype=int)
    assert np.abs(found - levels).max() <= 10, name
    assert no_molecule(image) is None


def test_what_is_clear_stays_to_the_pixel() -> None:
    clear = Image.fromarray(np.stack([grey(), grey() // 2 + 127, grey()], axis=2))
    assert np.array_equal(np.asarray(readable(clear)), np.asarray(clear))


def test_noise_on_blank_paper_does_not_become_ink() -> None:
    noise = np.random.default_rng(0).normal(240, 3, (200, 200)).clip(0, 255).astype(np.uint8)
    assert np.array_equal(np.asarray(readable(Image.fromarray(noise)).convert("L")), noise)
    assert no_molecule(Image.fromarray(noise)) == "the image is blank"
    blank = Image.new("RGBA", (40, 30), (0, 0, 0, 0))
    assert readable(blank).getextrema() == ((255, 255),) * 3
