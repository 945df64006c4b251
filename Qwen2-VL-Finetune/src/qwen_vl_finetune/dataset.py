"""Rows as samples: token ids, labels, positions and image patches, made when they are asked for."""

from __future__ import annotations

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch.utils.data import Dataset
from tqdm import tqdm

from .errors import DataError, raise_all
from .image_cache import ImageCache
from .processing import IGNORED, ImagePatches, Processor
from .row_store import RowStore, open_rows
from .rows import (
    ImageSource,
    Row,
    Rows,
    image_names,
    image_path,
    row_label,
    to_messages,
)

Sample = dict[str, Any]

# what Pillow raises at a file that is damaged, cut off, or no image at all
UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


def open_image(path: Path) -> Image.Image:
    """Decode a whole image; raises one of `UNREADABLE`."""
    with Image.open(path) as image:
        image.load()
        return image


def unreadable(path: Path, error: BaseException) -> str:
    """What messages say of an image that can't be read."""
    return f"image {path} can't be read ({error})."


@dataclass
class RowEncoder:
    """Makes a sample of a row; its errors name the image, and who knows it adds the row.

    Attributes:
        processor: tokenizer and image processor of the model.
        folder: the folder that image paths start from.
        images: where processed images are kept from run to run; None to make them each time.
        skip_bad_images: let a row whose image can't be read teach nothing, and say so in its
            sample, instead of raising.
    """

    processor: Processor
    folder: Path
    images: ImageCache | None = None
    skip_bad_images: bool = False

    def __call__(self, row: Row) -> Sample:
        """One sample: ids, labels and positions as in `Processor.encode`, patches and grids.

        `problem` says why a sample teaches nothing; it is empty in all others.
        """
        problems: list[str] = []
        images = [self._image(source, problems) for source in image_names(row)]
        grids = [image.grid for image in images]
        encoded = self.processor.encode(to_messages(row), grids)
        sample: Sample = {key: torch.from_numpy(value) for key, value in encoded.items()}
        if problems:
            sample["labels"].fill_(IGNORED)
        sample["pixels"], sample["grids"] = [image.pixels for image in images], grids
        sample["problem"] = "; ".join(problems)
        return sample

    def _image(self, source: ImageSource, problems: list[str]) -> ImagePatches:
        if isinstance(source, Image.Image):
            try:
                return self.processor.image_patches(source)
            except ValueError as error:
                raise DataError(f"its image can't be used ({error}).") from error
        path = image_path(self.folder, source)
        try:
            if self.images is None:
                return self.processor.image_patches(open_image(path))
            return self.images.patches(path, self.processor)
        except UNREADABLE as error:
            if not self.skip_bad_images:
                raise DataError(
                    f"{unreadable(path, error)} Replace the file or take the row out, or let such "
                    "rows teach nothing with --skip_bad_images true."
                ) from error
            problems.append(unreadable(path, error))
        return self.processor.image_patches(Image.new("RGB", self._size(path), "white"))

    def _size(self, path: Path) -> tuple[int, int]:
        """Width and height from an image's header; those of one patch where it can't be used."""
        try:
            with Image.open(path) as image:
                self.processor.grid_of(*image.size)  # raises at a strip that stock refuses
                return image.size
        except UNREADABLE as error:
            if not self.skip_bad_images:
                raise DataError(unreadable(path, error)) from error
            return self.processor.patch, self.processor.patch

    def image_problems(self, row: Row) -> str:
        """Why images of a row can't be read; empty where all can."""
        problems = []
        for name in image_names(row):
            path = image_path(self.folder, name)
            try:
                self.processor.grid_of(*open_image(path).size)
            except UNREADABLE as error:
                problems.append(unreadable(path, error))
        return "; ".join(problems)

    def length(self, row: Row) -> int:
        """The exact number of tokens of a row's sample; reads headers, not images."""
        paths = [image_path(self.folder, name) for name in image_names(row)]
        grids = [self.processor.grid_of(*self._size(path)) for path in paths]
        return len(self.processor.encode(to_messages(row), grids)["input_ids"])

    def length_bounds(self, rows: RowStore) -> npt.NDArray[np.float64]:
        """A number of tokens for every row that its sample can't exceed, without tokenising it.

        A byte-level tokenizer never makes more tokens than bytes; the template adds few a turn.
        """
        processor = self.processor
        budget = processor.frame.max_pixels / (processor.patch * processor.merge) ** 2
        # a strip keeps one row of tokens, which at the steepest shape allowed (200:1) may be more
        largest = math.ceil(max(budget, math.sqrt(200 * budget), 1)) + 2
        text = rows.column("bytes") + 64.0 * (1 + rows.column("turns"))
        bounds: npt.NDArray[np.float64] = text + largest * rows.image_counts()
        return bounds

    def fingerprint(self) -> str:
        """What shapes the lengths of samples besides rows and images."""
        processor = self.processor
        shapes = {
            "tokens": processor.tokenizer.backend_tokenizer.to_str(),
            "template": processor.tokenizer.chat_template,
            "frame": vars(processor.frame),
            "side": processor.patch * processor.merge,
            "skip_bad_images": self.skip_bad_images,
        }
        return hashlib.sha256(json.dumps(shapes, sort_keys=True).encode()).hexdigest()


class SampleDataset(Dataset[Sample], ABC):
    """Rows, wherever they come from, as samples.

    Args:
        path: the file or the plug-in that gives the rows, for messages.
        rows: the rows.
        encoder: makes samples of them.
    """

    ordered = False  # whether rows are to be taken as they stand

    def __init__(self, path: Path, rows: Rows, encoder: RowEncoder) -> None:
        self.path, self.rows, self.encoder = path, rows, encoder
        self.numbers: Sequence[int] = range(len(rows))  # in the file, once rows are dropped
        self.dropped: Counter[str] = Counter()

    @property
    def processor(self) -> Processor:
        """Tokenizer and image processor of the model."""
        return self.encoder.processor

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Sample:
        row = self.row(index)
        with self._naming(index):
            sample = self.encoder(row)
        if sample["problem"]:
            sample["problem"] = f"{self.label(index)}: {sample['problem']}"
        return {**sample, "row": index}

    def row(self, index: int) -> Row:
        """One row, as it stands where it comes from."""
        return self.rows[index]

    def label(self, index: int) -> str:
        """How messages name a sample: file, row and id."""
        return self.name_rows([index])

    def name_rows(self, indices: Sequence[int]) -> str:
        """How messages name several samples: the file, then each row with its id."""
        rows = [row_label(self.rows[index], self.numbers[index]) for index in indices]
        return f"{self.path}: {', '.join(rows)}"

    @contextmanager
    def _naming(self, index: int) -> Iterator[None]:
        """Put a row's name before what is said of its images."""
        try:
            yield
        except DataError as error:
            raise DataError(f"{self.label(index)}: {error}") from error

    @property
    @abstractmethod
    def has_images(self) -> bool:
        """Whether there are images to train on."""

    @abstractmethod
    def lengths(self) -> list[int]:
        """The lengths of all samples, in tokens."""


class LlavaDataset(SampleDataset):
    """The rows of one checked LLaVA JSON file as samples.

    Args:
        path: the JSON file.
        folder: the folder that image paths start from.
        processor: tokenizer and image processor of the model.
        cache: keep every processed sample in memory (tiny sets, several epochs).
        images: as in `RowEncoder`.
        skip_bad_images: as in `RowEncoder`.
    """

    def __init__(
        self,
        path: Path,
        folder: Path,
        processor: Processor,
        cache: bool = False,
        images: ImageCache | None = None,
        skip_bad_images: bool = False,
    ) -> None:
        self.store = open_rows(path, folder)
        encoder = RowEncoder(processor, folder, images, skip_bad_images)
        super().__init__(path, self.store, encoder)
        self._cache: dict[int, Sample] | None = {} if cache else None
        self._lengths: npt.NDArray[np.int64] | None = None

    def __getitem__(self, index: int) -> Sample:
        if self._cache is None:
            return super().__getitem__(index)
        if index not in self._cache:
            self._cache[index] = super().__getitem__(index)
        return self._cache[index]

    def fill_cache(self) -> None:
        """Process every sample now, so that forked workers share one cache."""
        for index in tqdm(range(len(self)), desc="caching samples", unit="row", leave=False):
            self[index]

    @property
    def has_images(self) -> bool:
        """Whether any row has an image."""
        return bool(self.store.image_counts().any())

    def length(self, index: int) -> int:
        """The exact number of tokens of a sample; reads headers, not images."""
        with self._naming(index):
            return self.encoder.length(self.row(index))

    def lengths(self) -> list[int]:
        """The exact lengths of all samples, in tokens; counted once, and kept on disk."""
        if self._lengths is None:
            self._lengths = self.store.lengths(self.length, self.encoder.fingerprint())
        lengths: list[int] = self._lengths.tolist()
        return lengths

    def drop_unreadable(self) -> None:
        """Take out, count and name the rows whose images can't be read, by reading them all."""
        bad = set()
        for index in tqdm(range(len(self)), desc="reading images", unit="row", leave=False):
            if problems := self.encoder.image_problems(self.row(index)):
                bad.add(index)
                print(f"left out: {self.label(index)}: {problems}", flush=True)
        self._drop(bad, "unreadable image")

    def refuse_or_drop_long(self, limit: int, drop: bool, counted: bool = False) -> None:
        """Refuse (or, with `drop`, take out and count) the samples of more than `limit` tokens.

        A sample is never cut: a cut through its image tokens breaks the forward, and a cut answer
        teaches the model to stop early.

        Args:
            limit: the most tokens of a sample.
            drop: take the longer ones out.
            counted: whether all lengths are needed anyway; else only those are counted that may
                be too long.
        """
        suspects = np.flatnonzero(self.encoder.length_bounds(self.store) > limit).tolist()
        known = self.lengths() if counted and suspects else None
        lengths = ((i, known[i] if known is not None else self.length(i)) for i in suspects)
        found = {i: n for i, n in lengths if n > limit}
        if not found:
            return
        if not drop:
            rows = [f"{row_label(self.rows[i], i)}: {n} tokens" for i, n in found.items()]
            raise_all(
                rows,
                f"{self.path}: samples over --max_seq_length {limit}. Raise it (and "
                "--tokens_per_batch, if that is lower), lower --image_max_pixels, or leave them "
                "out with --drop_long true",
            )
        self._drop(found, "longer than max_seq_length")

    def _drop(self, indices: Iterable[int], reason: str) -> None:
        """Take rows out and count them."""
        gone = set(indices)
        if not gone:
            return
        self.dropped[reason] += len(gone)
        if len(gone) == len(self):
            raise DataError(f"{self.path}: no row is left; every one was dropped: {reason}.")
        self.rows = self.store = self.store.without(gone)
        self.numbers = self.store.kept.tolist()
        if self._lengths is not None:
            self._lengths = np.delete(self._lengths, sorted(gone))
