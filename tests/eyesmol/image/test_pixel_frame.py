"""The pixel frame gives what Qwen's own processor would, which then has nothing to resize."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from eyesmol.image.levels import on_white
from eyesmol.image.pixel_frame import PixelFrame

sides = st.integers(28, 3000)
budgets = st.sampled_from([(112 * 112, 112 * 112), (256 * 784, 512 * 784), (784, 7 * 784)])


@given(sides, sides, budgets)
def test_sizes_are_those_of_qwen_and_never_resized_again(
    width: int, height: int, budget: tuple[int, int]
) -> None:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

    w, h = PixelFrame(*budget).size(width, height)
    assert smart_resize(h, w, 28, *budget) == (h, w)
    theirs = smart_resize(height, width, 28, *budget)
    if budget[0] <= theirs[0] * theirs[1] <= budget[1]:
        assert (h, w) == theirs


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I"])
def test_any_mode_becomes_rgb_on_white(mode: str) -> None:
    grey = np.full((30, 40), 255, np.uint8)
    grey[10:20, 10:20] = 0
    image = Image.fromarray(grey)
    if mode in ("I;16", "I"):
        image = Image.fromarray(grey.astype(np.uint16) * 257).convert(mode)
    elif mode in ("LA", "RGBA"):
        image = image.convert(mode)
        image.putalpha(Image.fromarray(255 - grey))
    else:
        image = image.convert(mode)
    pixels = np.asarray(on_white(image))
    assert pixels.shape == (30, 40, 3)
    assert pixels[0, 0].min() > 240
    assert pixels[15, 15].max() < 80


@pytest.mark.parametrize("size", [(0, 10), (10_000, 20)])
def test_a_picture_that_is_none_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="aspect ratio"):
        PixelFrame().size(*size)
