"""Ink: what is darker than the paper around it, its pieces, and long lines."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from eyesmol.image.ink import Pieces, depth_of, ink_of, rules_of

STROKE = (60, 100, 139, 103)  # left, top, right, bottom, all inside


def drawing(paper: int = 255, ink: int = 0) -> Image.Image:
    """One stroke on paper of 200 x 200 pixels."""
    image = Image.new("L", (200, 200), paper)
    ImageDraw.Draw(image).rectangle(STROKE, fill=ink)
    return image


def stroke() -> np.ndarray:
    return np.asarray(drawing()) == 0


@pytest.mark.parametrize(("paper", "ink"), [(255, 0), (200, 90), (20, 240)])
def test_ink_is_the_stroke_on_white_grey_and_dark_paper(paper: int, ink: int) -> None:
    assert (ink_of(drawing(paper, ink)) == stroke()).all()


def test_a_shadow_over_the_page_is_no_ink() -> None:
    shadow = np.linspace(255, 130, 200)[None, :] * np.ones((200, 1))
    shaded = np.where(stroke(), shadow - 120, shadow).astype(np.uint8)
    assert (ink_of(Image.fromarray(shaded)) == stroke()).all()


def test_faint_marks_and_blank_paper_are_no_ink() -> None:
    assert not ink_of(drawing(255, 230)).any()
    assert not ink_of(Image.new("RGBA", (50, 30), (0, 0, 0, 0))).any()  # transparent: white


def test_depth_counts_grey_levels_below_the_paper() -> None:
    depth = depth_of(drawing(200, 90))
    assert depth.shape == (200, 200)
    assert depth[101, 100] == pytest.approx(110, abs=2)
    assert depth[10, 10] == pytest.approx(0, abs=2)


def test_pieces_touch_at_their_corners_and_are_boxed_and_counted() -> None:
    mask = np.zeros((6, 8), dtype=bool)
    mask[0, 0] = mask[1, 1] = True  # one piece, by the corner
    mask[3:5, 4:7] = True
    pieces = Pieces.of(mask)
    assert pieces.boxes.tolist() == [[0, 0, 2, 2], [4, 3, 7, 5]]
    assert pieces.area.tolist() == [2, 6]
    assert (pieces.width.tolist(), pieces.height.tolist()) == ([2, 3], [2, 2])
    assert pieces.mask(np.array([False, True])).sum() == 6


def test_no_ink_has_no_pieces() -> None:
    pieces = Pieces.of(np.zeros((4, 4), dtype=bool))
    assert pieces.boxes.shape == (0, 4)
    assert not pieces.mask(np.zeros(0, dtype=bool)).any()


def test_rules_are_unbroken_runs_of_the_length_or_more() -> None:
    mask = np.zeros((10, 12), dtype=bool)
    mask[2, 0:8] = True  # long enough
    mask[5, 0:12] = True
    mask[5, 6] = False  # broken in two short ones
    mask[1:10, 11] = True
    across, down = rules_of(mask, 8)
    assert np.argwhere(across).tolist() == [[2, x] for x in range(8)]
    assert np.argwhere(down).tolist() == [[y, 11] for y in range(1, 10)]
