"""Processed images on disk: the same to the bit, made once, made again when anything changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from qwen_vl_finetune import image_cache
from qwen_vl_finetune.collator import Collator
from qwen_vl_finetune.dataset import LlavaDataset
from qwen_vl_finetune.image_cache import ImageCache
from qwen_vl_finetune.model_folder import PixelFrame
from qwen_vl_finetune.processing import Processor, load_processor

from .conftest import LORA, Train, write_rows
from .test_dataset import mixed_rows
from .test_run import losses

FRAME = PixelFrame(28 * 28, 84 * 84)


@pytest.fixture
def kept(nano: Path, tmp_path: Path) -> tuple[LlavaDataset, LlavaDataset]:
    """The same rows without and with a cache; some have two images of different shape."""
    path = write_rows(tmp_path / "data", mixed_rows(tmp_path / "data"))
    processor = load_processor(nano, FRAME)
    cache = ImageCache(tmp_path / "cache")
    plain = LlavaDataset(path, path.parent, processor)
    return plain, LlavaDataset(path, path.parent, processor, images=cache)


def batch(dataset: LlavaDataset) -> dict[str, bytes]:
    tensors = Collator(dataset.processor)([dataset[i] for i in range(len(dataset))])
    return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


def test_batches_are_the_same_and_images_are_made_once(
    kept: tuple[LlavaDataset, LlavaDataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, cached = kept
    expected = batch(plain)
    assert batch(cached) == expected

    def refuse(*args: object) -> None:
        raise AssertionError("an image was decoded again")

    monkeypatch.setattr(Processor, "image_patches", refuse)
    assert batch(cached) == expected
    assert isinstance(cached[0]["pixels"][0].base, np.memmap)


def test_another_content_or_budget_is_another_image(
    kept: tuple[LlavaDataset, LlavaDataset], nano: Path
) -> None:
    plain, cached = kept
    before = batch(cached)
    Image.new("L", (56, 56), 3).save(plain.encoder.folder / "images" / "4.png")
    assert batch(cached) == batch(plain) != before
    for dataset in kept:
        dataset.encoder.processor = load_processor(nano, PixelFrame(28 * 28, 28 * 28))
    assert batch(cached) == batch(plain)


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"nothing of the kind"])
def test_a_torn_file_is_made_anew(
    damage: bytes, kept: tuple[LlavaDataset, LlavaDataset], tmp_path: Path
) -> None:
    plain, cached = kept
    expected = batch(cached)
    for file in (tmp_path / "cache").rglob("*.npy"):
        file.write_bytes(damage or file.read_bytes()[:-9])
    assert batch(cached) == expected
    assert batch(plain) == expected
    assert not list((tmp_path / "cache").rglob("*.part"))


def test_runs_share_a_cache_also_in_workers(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another order of reading and other processes change no loss."""
    path = write_rows(tmp_path / "data", mixed_rows(tmp_path / "data"))
    flags = [*LORA, "--image_cache", str(tmp_path / "cache")]
    plain = losses(train(tmp_path / "plain", *LORA, rows=path))
    assert losses(train(tmp_path / "one", *flags, rows=path)) == plain
    monkeypatch.setattr(image_cache, "_write", None)  # all are there: none is written again
    workers = ["--dataloader_num_workers", "2"]
    assert losses(train(tmp_path / "two", *flags, *workers, rows=path)) == plain
