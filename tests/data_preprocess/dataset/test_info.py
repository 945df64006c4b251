"""What a dataset says of itself is read with its types, and written as it was read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data_preprocess.dataset.info import INFO, DatasetInfo
from eyesmol.exceptions import InputError
from eyesmol.image.pixel_frame import PixelFrame


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    info = DatasetInfo(
        version="1",
        sources=[{"name": "a", "items": 2}],
        pixel_frame=PixelFrame(28 * 28, 4 * 28 * 28),
        answer_form="json",
        splits={"train": 1, "valid": 0, "test": 0},
        items=2,
        drops={"missing image": {"count": 1, "examples": ["a"]}},
        seed=0,
    )
    info.write(tmp_path)
    assert DatasetInfo.of(tmp_path) == info
    assert DatasetInfo.of(tmp_path / "train.json") == info
    found = json.loads((tmp_path / INFO).read_text("utf-8"))
    assert found["charts"] is None
    assert "repairs" not in found


def test_less_is_said_by_others_and_nothing_by_some(tmp_path: Path) -> None:
    assert DatasetInfo.of(tmp_path) is None
    (tmp_path / INFO).write_text('{"pixel_frame": {"max_pixels": 401408}, "more": 1}')
    assert DatasetInfo.of(tmp_path) == DatasetInfo(pixel_frame=PixelFrame())


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("{", "the whole"),
        ("[]", "the whole"),
        ('{"splits": {"train": "many"}}', "splits.train"),
        ('{"pixel_frame": {"min_pixels": -1}}', "pixel_frame"),
        ('{"answer_form": "xml"}', "answer_form"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(text: str, where: str, tmp_path: Path) -> None:
    (tmp_path / INFO).write_text(text)
    with pytest.raises(InputError, match=rf"{INFO}, {where}: "):
        DatasetInfo.of(tmp_path)
