"""What is a page and what is a drawing by itself; what is on it, and what is not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from eyesmol.image.loading import Box
from eyesmol.reader.structures import as_sources, structures_of
from eyesmol.recognition import Recognition

TWO = [(100, 100, 300, 300), (100, 500, 400, 700)]


def sheet(width: int = 900, height: int = 1200) -> Image.Image:
    image = Image.new("L", (width, height), 255)
    ImageDraw.Draw(image).line([(100, 100), (300, 300)], width=4)
    return image


def found(image: Image.Image | str, boxes: list[Box], pages: bool | None = None) -> list[str]:
    """Names of what is read, where a finder sees these boxes."""
    parts = structures_of(as_sources(image), pages, lambda page: boxes)
    return [part.image if isinstance(part, Recognition) else str(getattr(part, "filename", part))
            for part in parts]  # fmt: skip


def test_an_image_with_the_shape_of_a_page_is_searched(tmp_path: Path) -> None:
    path = str(tmp_path / "scan.png")
    sheet().save(path)
    parts = [f"{path}@100,100,300,300", f"{path}@100,500,400,700"]
    assert found(path, TWO) == parts
    assert found(path, TWO, pages=False) == [path]
    assert found(parts[0], TWO) == [parts[0]]  # a part is none again
    assert found(sheet(), TWO)[0] == "image 0@100,100,300,300"


@pytest.mark.parametrize(
    ("size", "boxes"),
    [
        ((900, 1200), [(10, 10, 890, 1190)]),  # one drawing fills it
        ((900, 1200), []),
        ((700, 950), TWO),  # too small
        ((1200, 900), TWO),  # a slide, or a wide drawing
        ((900, 2000), TWO),
    ],
)
def test_other_images_are_read_whole(
    tmp_path: Path, size: tuple[int, int], boxes: list[Box]
) -> None:
    path = str(tmp_path / "drawing.png")
    sheet(*size).save(path)
    assert found(path, boxes) == [path]


def test_a_page_without_a_structure_is_a_row(tmp_path: Path) -> None:
    path = str(tmp_path / "scan.tif")
    sheet().save(path)
    [row] = structures_of([path], True, lambda page: [])
    assert isinstance(row, Recognition)
    assert row.reason == "no molecule: no drawing of a structure was found on this page"
    [row] = structures_of([str(tmp_path / "missing.png")], True)
    assert isinstance(row, Recognition)
    assert "the file is missing" in (row.error or "")


def test_without_scipy_pages_are_said_to_need_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "eyesmol.image.segmentation", None)
    path = str(tmp_path / "scan.png")
    sheet().save(path)
    with pytest.warns(UserWarning, match=r"may be a page, and is read whole; .*eyesmol\[pdf\]"):
        assert found(path, TWO) == [path]
    [row] = structures_of([path], True)
    assert isinstance(row, Recognition)
    assert "pip install 'eyesmol[pdf]'" in (row.error or "")
