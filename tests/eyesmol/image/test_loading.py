"""Pictures come from anywhere, each under a name of its own, and a bad one harms no other."""

from __future__ import annotations

import io
import struct
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from eyesmol.image.loading import PictureError, Source, is_pdf, list_pictures, load_picture
from eyesmol.reader.local import LocalRecognizer
from nano.model import create_nano


def png(width: int = 30, height: int = 20) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (width, height), "white").save(buffer, format="PNG")
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def pages(path: Path, count: int) -> Path:
    first, *rest = (Image.new("L", (20 + n, 10), "white") for n in range(1, count + 1))
    first.save(path, save_all=True, append_images=rest)
    return path


def test_pages_and_members_have_names_that_load(tmp_path: Path) -> None:
    tiff = pages(tmp_path / "scan.tif", 3)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("b/two.png", png(40))
        archive.writestr("one.PNG", png(50))
        archive.writestr("notes.txt", "no picture")
        archive.writestr("__MACOSX/one.png", "no picture either")
    (tmp_path / "hash#2.png").write_bytes(png(60))
    names = list(list_pictures(tmp_path))
    assert [name.removeprefix(f"{tmp_path}/") for name in names] == [
        "all.zip/b/two.png", "all.zip/one.PNG", "hash#2.png",
        "scan.tif#1", "scan.tif#2", "scan.tif#3",
    ]  # fmt: skip
    assert [load_picture(name).width for name in names] == [40, 50, 60, 21, 22, 23]
    assert list(list_pictures(pages(tmp_path / "single.tif", 1))) == [str(tmp_path / "single.tif")]
    assert load_picture(f"{tiff}#2").width == 22


def test_an_archive_gives_every_page_of_its_members(tmp_path: Path) -> None:
    """A PDF and a TIFF of several pages inside a zip are read to their ends."""
    pdf = io.BytesIO()
    sheets = [Image.new("RGB", (72 * n, 72), "white") for n in (1, 2)]
    sheets[0].save(pdf, "PDF", resolution=72, save_all=True, append_images=sheets[1:])
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("doc.pdf", pdf.getvalue())
        archive.writestr("scan.tif", pages(tmp_path / "scan.tif", 3).read_bytes())
        archive.writestr("single.jp2", b"opened when it is read")
    names = list(list_pictures(tmp_path / "all.zip"))
    assert [name.removeprefix(f"{tmp_path}/all.zip/") for name in names] == [
        "doc.pdf#1", "doc.pdf#2", "scan.tif#1", "scan.tif#2", "scan.tif#3", "single.jp2"
    ]  # fmt: skip
    assert [load_picture(name).width for name in names[:5]] == [300, 600, 21, 22, 23]
    assert [is_pdf(name) for name in names] == [True, True, False, False, False, False]


def test_a_member_that_leads_outside_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("../outside.png", png())
        archive.writestr("inside.png", png())
    outside, inside = list_pictures(tmp_path / "bad.zip")
    assert load_picture(inside).width == 30
    with pytest.raises(ValueError, match="leads out of the archive"):
        load_picture(outside)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.zip"]


def test_nothing_to_read_is_said(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    with pytest.raises(PictureError, match="no image in this archive"):
        list(list_pictures(tmp_path / "empty.zip"))
    assert list(list_pictures(tmp_path)) == [str(tmp_path / "empty.zip")]
    for name in ("broken.zip", "broken.tif", "missing.pdf"):
        (tmp_path / "broken.zip").write_bytes(b"PK, and no more")
        assert list(list_pictures(tmp_path / name)) == [str(tmp_path / name)]


def test_a_turned_photograph_is_upright(tmp_path: Path) -> None:
    image, exif = Image.new("RGB", (30, 20), "white"), Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    image.save(tmp_path / "photo.jpg", exif=exif)
    assert load_picture(tmp_path / "photo.jpg").size == (20, 30)


def test_arrays_and_bytes() -> None:
    grey = np.linspace(0, 255, 600).reshape(20, 30).astype(np.uint8)
    sources: list[Source] = [
        grey,
        grey[:, :, None],
        np.stack([grey] * 3, axis=2),
        grey / 255,
        png(),
        grey > 9,
    ]
    for source in sources:
        assert load_picture(source).size == (30, 20)
    assert np.array_equal(np.asarray(load_picture(grey / 255)), grey)
    for wrong in (np.zeros((2, 2, 5)), np.zeros(4), np.zeros((0, 3)), np.full((3, 3), 7.5)):
        with pytest.raises(ValueError, match="an array of"):
            load_picture(wrong)


def test_pages_of_a_pdf(tmp_path: Path) -> None:
    pytest.importorskip("pypdfium2")
    pdf = pages(tmp_path / "paper.pdf", 2)
    names = list(list_pictures(pdf))
    assert names == [f"{pdf}#1", f"{pdf}#2"]
    assert all(load_picture(name).width > 20 for name in names)


def test_a_pdf_without_its_library_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pypdfium2", None)
    pdf = pages(tmp_path / "paper.pdf", 2)
    [name] = list_pictures(pdf)
    with pytest.raises(ImportError, match=r"eyesmol\[pdf\]"):
        load_picture(name)


def test_the_reader_takes_them_all(tmp_path: Path) -> None:
    reader = LocalRecognizer.from_folder(create_nano(tmp_path / "nano", width=32, layers=1))
    tiff = pages(tmp_path / "scan.tif", 2)
    array = np.full((20, 30), 255, np.uint8)
    sources: list[Source] = [
        f"{tiff}#2",
        f"{tiff}#9",
        png(),
        b"no picture",
        array,
        Image.new("L", (9, 9)),
    ]
    results = list(reader.recognize(sources, max_new_tokens=90))
    assert [r.image for r in results] == [
        f"{tiff}#2", f"{tiff}#9", "image 2", "image 3", "image 4", "image 5",
    ]  # fmt: skip
    assert [r.error is None for r in results] == [True, False, True, False, True, True]


def test_more_pixels_than_can_be_read_are_refused_in_plain_words(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    # Its header alone: nothing may be decoded.
    (tmp_path / "huge.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 12_000, 12_000, 1, 0, 0, 0, 0))
        + chunk(b"IDAT", b"")
    )
    with pytest.raises(ValueError, match=r"12,000 x 12,000 pixels, expected at most 90 million"):
        load_picture(tmp_path / "huge.png")
    assert not list(recwarn)


def test_pages_of_a_tiff_are_counted_as_far_as_they_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiff, sought = pages(tmp_path / "scan.tif", 9), list[int]()
    seek = TiffImagePlugin.TiffImageFile._seek

    def noted(self: TiffImagePlugin.TiffImageFile, frame: int) -> None:
        sought.append(frame)
        seek(self, frame)

    monkeypatch.setattr(TiffImagePlugin.TiffImageFile, "_seek", noted)
    names = list_pictures(tiff)
    assert [next(names), next(names)] == [f"{tiff}#1", f"{tiff}#2"]
    assert max(sought) == 1
    assert len(list(names)) == 7


def test_the_network_is_not_asked() -> None:
    with pytest.raises(PictureError, match="nothing is fetched from the network; download it"):
        list(list_pictures("https://example.org/a.png"))
