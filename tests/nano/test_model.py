"""Small models made from their configuration: a wider one begins where a narrow one was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from eyesmol.image.pixel_frame import PixelFrame
from eyesmol.reader.local import LocalRecognizer
from nano.model import create_nano, widen_nano

FRAME = PixelFrame(112 * 112, 112 * 112)


def picture() -> Image.Image:
    noise = np.random.default_rng(0).integers(150, 255, (112, 112, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    ImageDraw.Draw(image).line([5, 5, 100, 80], fill="black", width=3)
    return image


def test_a_wider_model_says_the_same_and_all_that_is_new_can_learn(tmp_path: Path) -> None:
    create_nano(tmp_path / "narrow", seed=1, width=32, layers=2, frame=FRAME)
    widen_nano(tmp_path / "narrow", tmp_path / "wide", 96)
    narrow, wide = (LocalRecognizer.from_folder(tmp_path / name) for name in ("narrow", "wide"))
    inputs = narrow._inputs([picture()])
    known = narrow._model(**inputs).logits
    found = wide._model(**inputs).logits
    assert known.std() > 0.1
    # What is added to a mean square before it is divided by is worth a little more.
    torch.testing.assert_close(found, known, rtol=0, atol=1e-2)
    assert (tmp_path / "wide/preprocessor_config.json").read_bytes() == (
        tmp_path / "narrow/preprocessor_config.json"
    ).read_bytes()

    # One step wakes the weights into the stream, the next one those that read from it.
    optimizer = torch.optim.SGD(wide._model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        wide._model(**inputs).logits.pow(3).mean().backward()
        optimizer.step()
    for name, weight in wide._model.named_parameters():
        assert weight.grad is not None
        if name.endswith("weight"):
            assert (weight.grad != 0).float().mean() > 0.9, name

    with pytest.raises(ValueError, match="is 32 wide; expected more"):
        widen_nano(tmp_path / "narrow", tmp_path / "other", 32)
