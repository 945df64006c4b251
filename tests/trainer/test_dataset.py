"""LLaVA JSON: what is refused and how, and that batches equal what stock transformers makes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from qwen_vl_finetune.collator import Collator
from qwen_vl_finetune.dataset import LlavaDataset
from qwen_vl_finetune.errors import DataError, UserError
from qwen_vl_finetune.model import load_checked
from qwen_vl_finetune.model_folder import PixelFrame
from qwen_vl_finetune.processing import IGNORED, Processor, load_processor, mrope_positions
from qwen_vl_finetune.rows import to_messages

from eyesmol.image.levels import on_white

from .conftest import LORA, Train, make_rows, write_rows


@pytest.fixture(scope="module")
def processor(nano: Path) -> Processor:
    return load_processor(nano, PixelFrame(28 * 28, 84 * 84))


def broken_turns(row: dict[str, Any]) -> None:
    row["conversations"].append({"from": "human", "value": "And?"})


def broken_speaker(row: dict[str, Any]) -> None:
    row["conversations"][1]["from"] = "robot"


def broken_mark(row: dict[str, Any]) -> None:
    row["conversations"][0]["value"] = "<image><image> Where?"


def broken_answer(row: dict[str, Any]) -> None:
    row["conversations"][1]["value"] = "<image>"
    row["conversations"][0]["value"] = "Where?"


def broken_image(row: dict[str, Any]) -> None:
    row["image"] = "images/none.png"


def broken_path(row: dict[str, Any]) -> None:
    row["image"] = "../../etc/passwd"


def broken_video(row: dict[str, Any]) -> None:
    row["video"] = "clip.mp4"


def broken_video_mark(row: dict[str, Any]) -> None:
    row["conversations"][0]["value"] += " <video>"


def broken_empty(row: dict[str, Any]) -> None:
    row["conversations"][1]["value"] = " \n"


def broken_end(row: dict[str, Any]) -> None:
    row["conversations"][1]["value"] = "C<|im_end|><|im_start|>user"


def broken_shape(row: dict[str, Any]) -> None:
    row["conversations"] = "hello"


@pytest.mark.parametrize(
    ("breaks", "words"),
    [
        (broken_turns, "turns are .*expected human, gpt"),
        (broken_speaker, "'robot'.*expected human or gpt"),
        (broken_mark, "found 2 <image> for 1 images, expected one each"),
        (broken_answer, "an answer holds <image>"),
        (broken_image, "images/none.png is missing"),
        (broken_path, "outside of the image folder"),
        (broken_video, "a video; only images are trained on"),
        (broken_video_mark, "a video; only images are trained on"),
        (broken_empty, "an answer is empty"),
        (broken_end, r"holds the control token <\|im_end\|>"),
        (broken_shape, 'expected "conversations"'),
    ],
)
def test_faulty_rows_are_named(
    breaks: Any, words: str, processor: Processor, tmp_path: Path
) -> None:
    rows = make_rows(tmp_path)
    breaks(rows[5])
    path = write_rows(tmp_path, rows)
    with pytest.raises(DataError, match=rf"train.json(.|\n)*row 5 \(id 'r5'\): .*{words}"):
        LlavaDataset(path, tmp_path, processor)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"id": 1}', "found one dict, expected a list of rows"),
        ("[]", "the list is empty"),
        ('[\n  {"id": 1},\n  {"id" 2}\n]', "train.json, line 3: not valid JSON"),
        ("[3]", "row 0: found int, expected an object"),
    ],
)
def test_faulty_files_are_named(
    text: str, words: str, processor: Processor, tmp_path: Path
) -> None:
    path = tmp_path / "train.json"
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        LlavaDataset(path, tmp_path, processor)


def test_json_lines_and_shards_are_read(processor: Processor, tmp_path: Path) -> None:
    rows = make_rows(tmp_path)
    whole = LlavaDataset(write_rows(tmp_path, rows), tmp_path, processor)
    lines = [json.dumps(row) for row in rows]
    (tmp_path / "one.jsonl").write_text("\n\n".join(lines))
    (tmp_path / "part-0.jsonl").write_text("\n".join(lines[:3]))
    (tmp_path / "part-1.jsonl").write_text("\n".join(lines[3:]) + "\n")
    for name in ("one.jsonl", "part-*.jsonl"):
        found = LlavaDataset(tmp_path / name, tmp_path, processor)
        assert [found.row(i) for i in range(len(found))] == [whole.row(i) for i in range(8)]
    (tmp_path / "part-1.jsonl").write_text(lines[3] + "\n{")
    with pytest.raises(DataError, match=r"part-1\.jsonl, line 2: not valid JSON"):
        LlavaDataset(tmp_path / "part-*.jsonl", tmp_path, processor)
    (tmp_path / "lines.json").write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"lines\.json.*from a file called \.jsonl"):
        LlavaDataset(tmp_path / "lines.json", tmp_path, processor)


@pytest.mark.parametrize("packing", ["false", "true"])
def test_a_strip_is_an_image_that_can_not_be_read(
    packing: str, train: Train, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Stock refuses an aspect ratio over 200."""
    rows = make_rows(tmp_path, 4)
    Image.new("L", (1200, 4), 255).save(tmp_path / "images" / "2.png")
    path = write_rows(tmp_path, rows)
    flags = [*LORA, "--packing", packing, "--max_steps", "2"]
    words = r"row 2 \(id 'r2'\): image .*2\.png can't be read \(absolute aspect ratio"
    for more in ([], ["--dry_run", "true"]):
        with pytest.raises(DataError, match=words):
            train(tmp_path / "run", *flags, *more, rows=path)
    run = train(tmp_path / "run", *flags, "--skip_bad_images", "true", rows=path)
    assert capfd.readouterr().out.count("skipped: ") == 1
    assert json.loads((run / "skipped.jsonl").read_text())["row"] == 2


def test_truncated_image_is_named(processor: Processor, tmp_path: Path) -> None:
    path = write_rows(tmp_path, make_rows(tmp_path))
    image = tmp_path / "images" / "3.png"
    image.write_bytes(image.read_bytes()[:60])
    dataset = LlavaDataset(path, tmp_path, processor)
    assert len(dataset[2]["input_ids"]) > 0
    with pytest.raises(DataError, match=r"row 3 \(id 'r3'\): image .*3.png can't be read"):
        dataset[3]


def test_model_folder_without_processor_is_refused(
    nano: Path, train: Train, tmp_path: Path
) -> None:
    for name, words in (
        ("preprocessor_config.json", "lacks an image processor"),
        ("tokenizer.json", "lacks a tokenizer"),
    ):
        folder = shutil.copytree(nano, tmp_path / name)
        (folder / name).unlink()
        with pytest.raises(UserError, match=words):
            train(tmp_path / "run", *LORA, model=folder)


def test_j_long_samples_are_refused_or_dropped_never_cut(
    processor: Processor, tmp_path: Path
) -> None:
    """Trap J: image tokens cut by truncation."""
    rows = make_rows(tmp_path)
    rows[6]["conversations"][1]["value"] = "x" * 5000
    dataset = LlavaDataset(write_rows(tmp_path, rows), tmp_path, processor)
    limit = max(dataset.length(i) for i in range(8) if i != 6)
    with pytest.raises(UserError, match=r"\(1\):\n  - row 6 \(id 'r6'\): \d+ tokens"):
        dataset.refuse_or_drop_long(limit, drop=False)
    dataset.refuse_or_drop_long(limit, drop=True)
    assert len(dataset) == 7
    assert dataset.dropped == {"longer than max_seq_length": 1}
    assert dataset.label(6).endswith("row 7 (id 'r7')")
    bounds = dataset.encoder.length_bounds(dataset.store)
    for i in range(7):
        ids = dataset[i]["input_ids"]
        assert len(ids) == dataset.length(i) <= bounds[i]
        assert int((ids == processor.image_token_id).sum()) == sum(
            processor.tokens_of(grid) for grid in dataset[i]["grids"]
        )


def test_only_answers_are_labelled(processor: Processor) -> None:
    turns = ["<image>\nOne?", "A", "Two?", "B b"]
    row = {
        "conversations": [
            {"from": "gpt" if i % 2 else "human", "value": value} for i, value in enumerate(turns)
        ]
    }
    encoded = processor.encode(to_messages(row), [(1, 4, 4)])
    labels = encoded["labels"]
    assert (labels[labels != IGNORED] == encoded["input_ids"][labels != IGNORED]).all()
    text = processor.tokenizer.decode(labels[labels != IGNORED])
    assert text == "A<|im_end|>B b<|im_end|>"
    whole = processor.render(to_messages(row)).rstrip()
    image = "<|image_pad|>"
    assert processor.tokenizer.decode(encoded["input_ids"]) == whole.replace(image, image * 4)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "1", "P"])
@pytest.mark.parametrize("size", [(56, 56), (100, 61), (30, 200)])
def test_pixels_equal_the_stock_processor(
    mode: str, size: tuple[int, int], processor: Processor
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    image = Image.fromarray(noise, "RGBA").convert("RGB" if mode == "P" else "RGBA").convert(mode)
    stock = processor.image_processor(image, return_tensors="pt")
    ours = processor.image_patches(image)
    assert [list(ours.grid)] == stock["image_grid_thw"].tolist()
    assert torch.equal(processor.pixel_values(ours.pixels), stock["pixel_values"])


def mixed_rows(folder: Path) -> list[dict[str, Any]]:
    """Rows with one image, with two of different shape, and with none."""
    rows = make_rows(folder)
    Image.new("L", (84, 28), 9).save(folder / "images" / "wide.png")
    rows[1]["image"] = ["images/1.png", "images/wide.png"]
    rows[1]["conversations"][0]["value"] = "<image>\nand <image> differ?"
    rows[2]["conversations"][0]["value"] = "No image here. Say so, at some length, please."
    del rows[2]["image"]
    return rows


def test_positions_equal_the_model(nano: Path, processor: Processor, tmp_path: Path) -> None:
    """Positions of a padded batch with one, two and no images."""
    dataset = LlavaDataset(write_rows(tmp_path, mixed_rows(tmp_path)), tmp_path, processor)
    batch = Collator(processor)([dataset[i] for i in range(4)])
    model = load_checked(nano)
    keys = ("input_ids", "mm_token_type_ids", "image_grid_thw", "attention_mask")
    expected, _ = model.model.get_rope_index(**{key: batch[key] for key in keys})
    assert torch.equal(batch["position_ids"], expected)


def test_batch_equals_its_samples(nano: Path, processor: Processor, tmp_path: Path) -> None:
    """Padding and neighbours change nothing in a sample's logits."""
    dataset = LlavaDataset(write_rows(tmp_path, mixed_rows(tmp_path)), tmp_path, processor)
    model, collate = load_checked(nano, dtype=torch.float32).eval(), Collator(processor)
    together = model(**collate([dataset[i] for i in range(4)])).logits
    for i in range(4):
        alone = model(**collate([dataset[i]])).logits
        n = len(dataset[i]["input_ids"])
        torch.testing.assert_close(together[i, :n], alone[0, :n], rtol=0, atol=2e-5)


def test_text_batch_gets_a_blank_image_that_changes_nothing(
    nano: Path, processor: Processor, tmp_path: Path
) -> None:
    dataset = LlavaDataset(write_rows(tmp_path, mixed_rows(tmp_path)), tmp_path, processor)
    batch = Collator(processor)([dataset[2], dataset[2]])
    model = load_checked(nano, dtype=torch.float32)
    sample = dataset[2]
    plain = model(
        input_ids=sample["input_ids"][None].repeat(2, 1),
        labels=sample["labels"][None].repeat(2, 1),
    )
    blank = model(**batch)
    assert blank.loss.item() == pytest.approx(plain.loss.item(), abs=1e-6)
    blank.loss.backward()
    assert all(p.grad is not None for p in model.model.visual.parameters())


def test_cache_returns_the_same_samples(processor: Processor, tmp_path: Path) -> None:
    path = write_rows(tmp_path, make_rows(tmp_path))
    plain, cached = (LlavaDataset(path, tmp_path, processor, cache=c) for c in (False, True))
    for i in (0, 0, 3):
        one, two = plain[i], cached[i]
        assert torch.equal(one["input_ids"], two["input_ids"])
        assert np.array_equal(one["pixels"][0], two["pixels"][0])
    assert cached[3] is cached[3]


def test_positions_of_plain_text() -> None:
    assert mrope_positions(np.zeros(4, dtype=bool), [], 2).tolist() == [[0, 1, 2, 3]] * 3


def test_pixel_frame_of_the_data_is_checked(train: Train, tmp_path: Path) -> None:
    path = write_rows(tmp_path, make_rows(tmp_path))
    (tmp_path / "dataset_info.json").write_text(json.dumps({"pixel_frame": [1, 2]}))
    with pytest.raises(DataError, match=r'"pixel_frame" is .*expected'):
        train(tmp_path / "run", *LORA, rows=path)


def test_sixteen_bit_greys_are_read_as_the_reader_reads_them(nano: Path) -> None:
    """Pillow's own conversion makes white of every grey over 255."""
    shades = np.linspace(0, 65535, 56 * 56, dtype=np.uint16).reshape(56, 56)
    processor = load_processor(nano)
    image = Image.fromarray(shades)
    assert image.mode.startswith("I")
    found = processor.image_patches(image)
    expected = processor.image_patches(on_white(image))
    assert np.array_equal(found.pixels, expected.pixels)
    assert found.pixels.min() < 5
    assert found.pixels.std() > 50
