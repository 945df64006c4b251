"""Several looks at a picture: where each of them shows what, and how they vote."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from eyesmol.image.pixel_frame import PixelFrame
from eyesmol.reader.test_time_augmentation import MOST_LOOKS, looks_at, vote
from eyesmol.recognition import Recognition

FRAME = PixelFrame(140 * 140, 140 * 140)
DOT = 12  # pixels, at least


@given(
    size=st.tuples(st.integers(80, 2500), st.integers(80, 2500)),
    where=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    paper=st.integers(200, 255),
)
def test_every_look_shows_the_ink_and_says_where(
    size: tuple[int, int], where: tuple[float, float], paper: int
) -> None:
    image = Image.new("RGB", size, (paper,) * 3)
    dot = min(*size, max(DOT, max(size) // 25))
    left, top = (round(share * (side - dot)) for share, side in zip(where, size, strict=True))
    image.paste((0, 0, 0), (left, top, left + dot, top + dot))
    looks = looks_at(image, FRAME, MOST_LOOKS)
    assert len({look.shown for look in looks}) == MOST_LOOKS
    assert looks[0].shown == (0, 0, *size)
    for look in looks:
        dark = np.asarray(look.fitted.convert("L")) < paper / 2
        assert dark.any()
        rows, columns = np.nonzero(dark)
        x, y = columns.mean() + 0.5, rows.mean() + 0.5
        # As a reading of it brings a place back into the original picture.
        said = Recognition.from_answer(
            "a", f"{round(x)} {round(y)} C\nsmiles C", size=size, frame_size=look.fitted.size,
            shown=look.shown,
        )  # fmt: skip
        assert said.graph is not None
        [atom] = said.graph.atoms
        # One pixel of the frame is some of the picture.
        near = 1.5 * max(
            (look.shown[2] - look.shown[0]) / look.fitted.width,
            (look.shown[3] - look.shown[1]) / look.fitted.height,
        )
        assert abs(atom.x - (left + dot / 2)) <= near
        assert abs(atom.y - (top + dot / 2)) <= near
        # Paper is added, not black: its rim is as light as the paper.
        assert np.asarray(look.fitted)[0, 0].min() >= 0.9 * paper or dark[0, 0]


def said(smiles: str | None, confidence: float | None) -> Recognition:
    """A reading of one atom, or of none, with a raw confidence."""
    text = f"5 5 {smiles}\nsmiles {smiles}" if smiles else ""
    reading = Recognition.from_answer("a", text, size=(9, 9), frame_size=(9, 9))
    return replace(reading, confidence=confidence, raw_confidence=confidence)


@pytest.mark.parametrize(
    ("looks", "winner", "confidence"),
    [
        ([("C", 0.5), ("N", 0.3), ("N", 0.3)], "N", 0.2),  # two that are less sure outweigh one
        ([("C", 0.9), ("N", 0.3), ("N", 0.3)], "C", 0.3),  # but not one that is far surer
        ([("C", 0.8), ("C", 0.6), ("C", 0.7)], "C", 0.7),
        ([("C", None), ("N", None), ("N", None)], "N", None),  # a server without probabilities
        ([("C", 0.4), (None, 0.9)], "C", 0.2),
        ([(None, 0.9), (None, 0.8)], None, None),
    ],
)
def test_looks_vote_by_confidence(
    looks: list[tuple[str | None, float | None]], winner: str | None, confidence: float | None
) -> None:
    readings = [said(*look) for look in looks]
    best = vote(readings)
    assert best.smiles == winner
    if winner and confidence is not None:
        assert best.raw_confidence == best.confidence == pytest.approx(confidence, rel=1e-3)
        agreed = [r for r in readings if r.smiles == winner]
        note = f"{len(agreed)} of {len(readings)} looks at the image gave this molecule"
        assert (note in best.problems) == (len(agreed) < len(readings))
    assert vote(readings[:1]) is readings[0]
