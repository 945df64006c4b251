"""Rows and lengths on disk: a later start parses and counts nothing, and sees every change."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from qwen_vl_finetune import row_store
from qwen_vl_finetune.dataset import LlavaDataset, RowEncoder
from qwen_vl_finetune.errors import DataError
from qwen_vl_finetune.model_folder import PixelFrame
from qwen_vl_finetune.processing import Processor, load_processor

from .conftest import make_rows, write_rows


@pytest.fixture
def processor(nano: Path) -> Processor:
    return load_processor(nano, PixelFrame(28 * 28, 112 * 112))


@pytest.fixture
def kept(kept_rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this test's rows are kept."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "qwen_vl_finetune"


def forbid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody parse the data, check its rows, or count a token."""

    def refuse(*args: Any) -> None:
        raise AssertionError("done again")

    monkeypatch.setattr(row_store, "read_rows", refuse)
    monkeypatch.setattr(row_store, "row_problem", refuse)
    monkeypatch.setattr(RowEncoder, "length", refuse)


def test_a_second_start_maps_what_the_first_one_wrote(
    processor: Processor, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = make_rows(tmp_path)
    rows[2] = {k: v for k, v in rows[2].items() if k != "image"} | {"smiles": "C", "more": [1]}
    rows[2]["conversations"][0]["value"] = "No image?"
    path = write_rows(tmp_path, rows)
    one = LlavaDataset(path, tmp_path, processor)
    lengths = one.lengths()
    assert lengths == [len(one[i]["input_ids"]) for i in range(8)]
    forbid(monkeypatch)
    two = LlavaDataset(path, tmp_path, processor)
    assert [two.row(i) for i in range(8)] == rows
    assert two.lengths() == lengths
    assert two.has_images
    with pytest.raises(IndexError):
        two.row(8)
    # a worker that is not forked maps the file, too: no row is sent to it
    sent = pickle.dumps(two.store)
    assert b"Where is it" not in sent
    assert pickle.loads(sent)[5] == rows[5]


def test_what_changed_is_read_and_counted_again(
    processor: Processor, nano: Path, kept: Path, tmp_path: Path
) -> None:
    rows = make_rows(tmp_path)
    path = write_rows(tmp_path, rows)
    small = LlavaDataset(path, tmp_path, processor).lengths()
    # another pixel budget
    wide = load_processor(nano, PixelFrame(84 * 84, 112 * 112))
    assert LlavaDataset(path, tmp_path, wide).lengths()[0] > small[0]
    # another image under the same name
    Image.new("L", (112, 112)).save(tmp_path / "images" / "3.png")
    found = LlavaDataset(path, tmp_path, processor).lengths()
    assert [a == b for a, b in zip(found, small, strict=True)] == [i != 3 for i in range(8)]
    # another row, in a file of the same size and date
    stat = path.stat()
    text = path.read_text().replace("Where", "There")
    path.write_text(text)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    changed = LlavaDataset(path, tmp_path, processor)
    assert "There is it?" in changed.row(0)["conversations"][0]["value"]
    assert len(list(kept.glob("*.arrow"))) == 1, "the rows of earlier content are still there"


def test_an_image_that_has_gone_since_is_named(
    processor: Processor, kept: Path, tmp_path: Path
) -> None:
    path = write_rows(tmp_path, make_rows(tmp_path))
    LlavaDataset(path, tmp_path, processor)
    (tmp_path / "images" / "4.png").unlink()
    with pytest.raises(DataError, match=r"row 4 \(id 'r4'\): image .*4\.png is missing"):
        LlavaDataset(path, tmp_path, processor)


def test_faulty_rows_leave_nothing(processor: Processor, kept: Path, tmp_path: Path) -> None:
    rows = make_rows(tmp_path)
    rows[1]["conversations"] = []
    path = write_rows(tmp_path, rows)
    for _ in range(2):
        with pytest.raises(DataError, match=r"row 1 \(id 'r1'\)"):
            LlavaDataset(path, tmp_path, processor)
    assert not [file for file in kept.iterdir() if file.suffix != ".lock"]


def test_rows_that_are_dropped_take_their_lengths_along(
    processor: Processor, kept: Path, tmp_path: Path
) -> None:
    rows = make_rows(tmp_path)
    rows[6]["conversations"][1]["value"] = "x" * 5000
    dataset = LlavaDataset(write_rows(tmp_path, rows), tmp_path, processor)
    whole = dataset.lengths()
    dataset.refuse_or_drop_long(200, drop=True, counted=True)
    assert dataset.lengths() == whole[:6] + whole[7:]
    assert dataset.numbers == [0, 1, 2, 3, 4, 5, 7]
    assert dataset.row(6)["id"] == "r7"


def test_what_was_used_last_is_kept(
    processor: Processor, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_store, "KEPT", 2)
    rows = make_rows(tmp_path)
    stores = {}
    for name in ("a", "b", "a", "c"):
        path = write_rows(tmp_path, [{**rows[0], "id": name}], f"{name}.json")
        dataset = LlavaDataset(path, tmp_path, processor)
        dataset.lengths()
        stores[name] = dataset.store.file
    left = {file.name for file in kept.glob("*.arrow")}
    assert left == {stores["a"].name, stores["c"].name}
    assert len(list(kept.glob("*.npy"))) == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[{"a": 1},\n]', "line 2: not valid JSON"),
        ('[{"a": 1} {"b": 2}]', "line 1: not valid JSON .*delimiter"),
        ('[{"a": 1}]\n[]', "line 2: not valid JSON .*Extra data"),
        ('[{"a": 1},\n{"a', "line 2: not valid JSON"),
        ("[\n]", "the list is empty"),
        ('{"a": 1}', "found one dict, expected a list"),
        ("", "not valid JSON"),
    ],
)
def test_a_list_is_read_as_strictly_as_ever(
    text: str, words: str, processor: Processor, kept: Path, tmp_path: Path
) -> None:
    (tmp_path / "train.json").write_text(text)
    with pytest.raises(DataError, match=words):
        LlavaDataset(tmp_path / "train.json", tmp_path, processor)


def test_items_are_those_of_a_list(tmp_path: Path) -> None:
    items = [{"a": [1, "]"]}, {}, {"b": ', "'}]
    for indent in (None, 2):
        (tmp_path / "x.json").write_text(f" {json.dumps(items, indent=indent)}\n")
        assert list(row_store.read_rows(tmp_path / "x.json")) == items
