"""LLaVA JSON as a dataset: checked before training, read while training, collated into batches.

A row is `{"id", "image": path or list of paths, "conversations": [{"from", "value"}]}` (image
optional) with turns human, gpt, human, gpt ... (a system turn may come first) and one `<image>` a
picture.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset
from tqdm import tqdm

from .errors import DataError, UserError, raise_all
from .image_cache import ImageCache
from .model_folder import DATASET_INFO, PixelFrame, read_json
from .processing import IGNORED, ImagePatches, Message, Processor, mrope_positions

ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant"}
IMAGE, VIDEO = "<image>", "<video>"
PADS = ("<|image_pad|>", "<|video_pad|>")  # what chat templates make of them

Row = dict[str, Any]
Sample = dict[str, Any]


# ---- reading and checking rows ----


def read_rows(path: Path) -> list[Row]:
    """The rows of a LLaVA JSON file; raises `DataError` if it is not one list with rows."""
    try:
        rows = read_json(path)
    except UserError as error:
        raise DataError(str(error)) from error
    if not isinstance(rows, list):
        raise DataError(
            f"{path}: found one {type(rows).__name__}, expected a list of rows "
            '[{"id": ..., "image": ..., "conversations": [...]}, ...].'
        )
    if not rows:
        raise DataError(f"{path}: the list is empty; nothing to train on.")
    return rows


Picture = str | Image.Image  # a path, or the picture itself in a row that a plug-in made


def image_names(row: Row) -> list[Any]:
    """The pictures of a row: their paths as written, or the pictures themselves."""
    images = row.get("image") or row.get("images") or []
    return [images] if isinstance(images, Picture) else list(images)


def image_path(folder: Path, name: str) -> Path:
    """The path of a picture; raises ValueError if it leaves the image folder."""
    # lexical on purpose: links inside of the folder are its owner's choice
    root = Path(os.path.normpath(folder.absolute()))
    path = Path(os.path.normpath(root / name))
    if not path.is_relative_to(root):
        raise ValueError(f"{name!r} lies outside of the image folder {folder}")
    return path


def row_problem(row: Any, folder: Path) -> str | None:
    """What is wrong with one row, or None."""
    if not isinstance(row, dict):
        return f"found {type(row).__name__}, expected an object"
    turns = row.get("conversations")
    if not isinstance(turns, list) or not all(
        isinstance(t, dict) and isinstance(t.get("value"), str) for t in turns
    ):
        return 'expected "conversations": [{"from": ..., "value": text}, ...]'
    return (
        _turn_problem(turns)
        or _video_problem(row, turns)
        or _mark_problem(turns, len(image_names(row)))
        or _image_problem(row, folder)
    )


def _turn_problem(turns: list[dict[str, str]]) -> str | None:
    speakers = [str(turn.get("from")) for turn in turns]
    if speakers and speakers[0] == "system":
        speakers = speakers[1:]
    unknown = sorted({s for s in speakers if s not in ROLES})
    if unknown:
        return f'"from" is {unknown}, expected human or gpt (system only first)'
    roles = [ROLES[s] for s in speakers]
    if not roles or len(roles) % 2 or roles != ["user", "assistant"] * (len(roles) // 2):
        return f"turns are {speakers}, expected human, gpt, human, gpt ... ending with gpt"
    return None


def _video_problem(row: Row, turns: list[dict[str, str]]) -> str | None:
    if row.get("video") or row.get("videos") or any(VIDEO in turn["value"] for turn in turns):
        return "a video; only images are trained on (give some of its frames as images)"
    return None


def _mark_problem(turns: list[dict[str, str]], count: int) -> str | None:
    marks = sum(turn["value"].count(IMAGE) for turn in turns if turn.get("from") in ROLES)
    answers = sum(t["value"].count(IMAGE) for t in turns if ROLES.get(t["from"]) == "assistant")
    if answers:
        return f"an answer holds {IMAGE}; pictures belong into the human's turns"
    for token in PADS:
        if any(token in turn["value"] for turn in turns):
            return f"a turn holds the control token {token}; write {IMAGE} instead"
    if marks != count:
        return f"found {marks} {IMAGE} for {count} pictures, expected one each"
    return None


def _image_problem(row: Row, folder: Path) -> str | None:
    names = image_names(row)
    if not all(isinstance(name, Picture) for name in names):
        return '"image" must be a path or a list of paths'
    for name in (name for name in names if isinstance(name, str)):
        try:
            path = image_path(folder, name)
        except ValueError as error:
            return f"image {error}; paths must stay inside of it"
        if not path.is_file():
            return f"image {path} is missing; mend the path or --image_folder"
    return None


def check_rows(rows: list[Row], path: Path, folder: Path) -> None:
    """Raise one `DataError` that lists the faulty rows of a file, if there are any."""
    problems = []
    for number, row in enumerate(rows):
        problem = row_problem(row, folder)
        if problem:
            problems.append(f"{row_label(row, number)}: {problem}")
    try:
        raise_all(problems, f"{path}: rows that can't be trained on")
    except UserError as error:
        raise DataError(str(error)) from None


def row_label(row: Any, number: int) -> str:
    """How messages name a row: its place in the list and its id."""
    identity = row.get("id") if isinstance(row, dict) else None
    return f"row {number}" + (f" (id {identity!r})" if identity is not None else "")


def read_pixel_frame(data_path: Path) -> PixelFrame | None:
    """The pixel frame that `dataset_info.json` beside the data states, if there is one."""
    path = data_path.parent / DATASET_INFO
    if not path.is_file():
        return None
    return frame_of(read_json(path).get("pixel_frame"), str(path))


def frame_of(frame: Any, source: str) -> PixelFrame | None:
    """A pixel frame as data states it: `{"min_pixels": int, "max_pixels": int, ...}`, or None."""
    if frame is None:
        return None
    try:
        return PixelFrame(int(frame["min_pixels"]), int(frame["max_pixels"]))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f'{source}: "pixel_frame" is {frame!r}, expected {{"min_pixels": int, '
            '"max_pixels": int, "factor": 28}.'
        ) from error


def to_messages(row: Row) -> list[Message]:
    """Chat messages of a row; each mark (and the line break after it) becomes a part."""
    messages: list[Message] = []
    for turn in row["conversations"]:
        role = ROLES.get(turn["from"], "system")
        content: Any = turn["value"]
        if role == "user":
            content = []
            for piece in re.split(rf"({IMAGE})\n?", turn["value"]):
                if piece == IMAGE:
                    content.append({"type": "image"})
                elif piece:
                    content.append({"type": "text", "text": piece})
        messages.append({"role": role, "content": content})
    return messages


# ---- the dataset ----

# what Pillow raises at a file that is damaged, cut off, or no picture at all
UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


def open_image(path: Path) -> Image.Image:
    """Decode a whole picture; raises one of `UNREADABLE`."""
    with Image.open(path) as image:
        image.load()
        return image


class LlavaDataset(Dataset[Sample]):
    """The rows of one checked LLaVA JSON file as samples.

    Args:
        path: the JSON file.
        folder: the folder that picture paths start from.
        processor: tokenizer and image processor of the model.
        cache: keep every processed sample in memory (tiny sets, several epochs).
        images: where processed pictures are kept from run to run; None to make them each time.
        skip_bad_images: let a row whose picture can't be read teach nothing, and say so
            in its sample, instead of raising.
    """

    ordered = False  # whether rows are to be taken as they stand

    def __init__(
        self,
        path: Path,
        folder: Path,
        processor: Processor,
        cache: bool = False,
        images: ImageCache | None = None,
        skip_bad_images: bool = False,
    ) -> None:
        self.path, self.folder, self.processor = path, folder, processor
        self.images, self.skip_bad_images = images, skip_bad_images
        rows = read_rows(path)
        check_rows(rows, path, folder)
        self.rows: Sequence[Row] = rows
        self.numbers: Sequence[int] = range(len(rows))  # places in the file, once rows are dropped
        self.dropped: Counter[str] = Counter()
        self._cache: dict[int, Sample] | None = {} if cache else None
        self._lengths: list[int] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Sample:
        if self._cache is None:
            return self.process(index)
        if index not in self._cache:
            self._cache[index] = self.process(index)
        return self._cache[index]

    def row(self, index: int) -> Row:
        """One row, as it stands in the file."""
        row: Row = self.rows[index]
        return row

    def label(self, index: int) -> str:
        """How messages name a sample: file, row and id."""
        return f"{self.path}: {row_label(self.rows[index], self.numbers[index])}"

    def name_rows(self, indices: Sequence[int]) -> str:
        """How messages name several samples: the file, then each row with its id."""
        rows = [row_label(self.rows[index], self.numbers[index]) for index in indices]
        return f"{self.path}: {', '.join(rows)}"

    def process(self, index: int) -> Sample:
        """One sample: ids, labels and positions as in `Processor.encode`, patches and grids.

        `problem` says why a sample teaches nothing; it is empty in all others.
        """
        row = self.row(index)
        problems: list[str] = []
        pictures = [self._picture(index, name, problems) for name in image_names(row)]
        sample: Sample = {
            key: torch.from_numpy(value)
            for key, value in self.processor.encode(
                to_messages(row), [picture.grid for picture in pictures]
            ).items()
        }
        if problems:
            sample["labels"].fill_(IGNORED)
        sample["pixels"] = [picture.pixels for picture in pictures]
        sample["grids"] = [picture.grid for picture in pictures]
        sample["row"], sample["problem"] = index, "; ".join(problems)
        return sample

    def _picture(self, index: int, name: Picture, problems: list[str]) -> ImagePatches:
        if isinstance(name, Image.Image):
            return self.processor.image_patches(name)
        path = image_path(self.folder, name)
        try:
            if self.images is None:
                return self.processor.image_patches(open_image(path))
            return self.images.patches(path, self.processor)
        except UNREADABLE as error:
            self._pass_over(self._unreadable(index, path, error), error, problems)
        white = Image.new("RGB", self._size(index, path), "white")
        return self.processor.image_patches(white)

    def _unreadable(self, index: int, path: Path, error: BaseException) -> str:
        return f"{self.label(index)}: image {path} can't be read ({error})."

    def _pass_over(self, problem: str, error: BaseException, problems: list[str]) -> None:
        """Note what can't be read, or stop there."""
        if not self.skip_bad_images:
            raise DataError(
                f"{problem} Replace the file or take the row out, or let such rows teach "
                "nothing with --skip_bad_images true."
            ) from error
        problems.append(problem)

    def _size(self, index: int, path: Path) -> tuple[int, int]:
        """Width and height from a picture's header; those of one patch where none can be read."""
        try:
            with Image.open(path) as image:
                return image.size
        except UNREADABLE as error:
            if not self.skip_bad_images:
                raise DataError(self._unreadable(index, path, error)) from error
            return self.processor.patch, self.processor.patch

    def drop_unreadable(self) -> None:
        """Take out, count and name the rows whose pictures can't be read, by reading them all."""
        bad = set()
        for index in tqdm(range(len(self)), desc="reading pictures", unit="row", leave=False):
            problems: list[str] = []
            for name in image_names(self.rows[index]):
                path = image_path(self.folder, name)
                try:
                    open_image(path)
                except UNREADABLE as error:
                    problems.append(self._unreadable(index, path, error))
            if problems:
                bad.add(index)
                print(f"left out: {'; '.join(problems)}", flush=True)
        self._drop(bad, "unreadable picture")

    def _drop(self, indices: Iterable[int], reason: str) -> None:
        """Take rows out and count them."""
        gone = set(indices)
        if not gone:
            return
        self.dropped[reason] += len(gone)
        kept = [index for index in range(len(self)) if index not in gone]
        self.rows = [self.rows[index] for index in kept]
        self.numbers = [self.numbers[index] for index in kept]
        if not self.rows:
            raise DataError(f"{self.path}: no row is left; every one was dropped: {reason}.")

    def fill_cache(self) -> None:
        """Process every sample now, so that forked workers share one cache."""
        for index in tqdm(range(len(self)), desc="caching samples", unit="row", leave=False):
            self[index]

    # ---- lengths ----

    @property
    def has_images(self) -> bool:
        """Whether any row has a picture."""
        return any(image_names(row) for row in self.rows)

    def length(self, index: int) -> int:
        """The exact number of tokens of a sample; reads headers, not pictures."""
        row = self.rows[index]
        paths = [image_path(self.folder, name) for name in image_names(row)]
        grids = [self.processor.grid_of(*self._size(index, path)) for path in paths]
        return len(self.processor.encode(to_messages(row), grids)["input_ids"])

    def lengths(self) -> list[int]:
        """The exact lengths of all samples, in tokens; counted once."""
        if self._lengths is None:
            steps = tqdm(range(len(self)), desc="counting tokens", unit="row", leave=False)
            self._lengths = [self.length(index) for index in steps]
        return self._lengths

    def length_bound(self, index: int) -> int:
        """A number of tokens that a sample can't exceed, without tokenising it.

        A byte-level tokenizer never makes more tokens than bytes; the template adds few a turn.
        """
        row = self.rows[index]
        text = sum(len(turn["value"].encode()) for turn in row["conversations"])
        budget = (
            self.processor.frame.max_pixels / (self.processor.patch * self.processor.merge) ** 2
        )
        # a strip keeps one row of tokens, which at the steepest shape allowed (200:1) may be more
        largest = math.ceil(max(budget, math.sqrt(200 * budget), 1)) + 2
        return text + 64 * (1 + len(row["conversations"])) + largest * len(image_names(row))

    def refuse_or_drop_long(self, limit: int, drop: bool) -> None:
        """Refuse (or, with `drop`, take out and count) the samples of more than `limit` tokens.

        A sample is never cut: a cut through its image tokens breaks the forward, and a cut answer
        teaches the model to stop early.
        """
        suspects = [i for i in range(len(self)) if self.length_bound(i) > limit]
        found = {i: n for i in suspects if (n := self.length(i)) > limit}
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


# ---- batches ----


@dataclass
class Collator:
    """Samples to one padded batch.

    A batch without a picture gets one blank picture of a single image token, labelled `IGNORED`,
    behind its first sample: without it the vision tower takes no part in the backward of this
    process, and distributed training waits for its gradients for ever. Attention is causal, so the
    sample itself does not see it.
    """

    processor: Processor
    blank: Any = field(init=False)

    def __post_init__(self) -> None:
        side = self.processor.patch
        self.blank = np.full((self.processor.merge**2, 3, side, side), 255, dtype=np.uint8)

    def __call__(self, samples: Sequence[Sample]) -> dict[str, torch.Tensor]:
        """What `lay_out` gives, and the pictures of all samples one after the other:

        `pixel_values` [patches, 3 * t * p * p], `image_grid_thw` [N, 3].
        """
        samples = list(samples)
        if not any(sample["grids"] for sample in samples):
            samples[0] = self._with_blank_picture(samples[0])
        return {**self.lay_out(samples), **self.processor.visual_inputs(samples)}

    def lay_out(self, samples: list[Sample]) -> dict[str, torch.Tensor]:
        """A row a sample, filled up on the right.

        Returns:
            `input_ids`, `attention_mask`, `labels`, `mm_token_type_ids` [B, S] and
            `position_ids` [3, B, S].
        """
        size = (len(samples), max(len(sample["input_ids"]) for sample in samples))
        ids = torch.full(size, self.processor.pad_token_id)
        labels = torch.full(size, IGNORED)
        mask = torch.zeros(size, dtype=torch.long)
        positions = torch.zeros((3, *size), dtype=torch.long)
        for i, sample in enumerate(samples):
            n = len(sample["input_ids"])
            ids[i, :n], labels[i, :n], mask[i, :n] = sample["input_ids"], sample["labels"], 1
            positions[:, i, :n] = sample["position_ids"]
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "labels": labels,
            "mm_token_type_ids": self.processor.token_types(ids) * mask.int(),
            "position_ids": positions,
        }

    def _with_blank_picture(self, sample: Sample) -> Sample:
        merge = self.processor.merge
        grids = [(1, merge, merge)]
        token = torch.tensor([self.processor.image_token_id])
        ids = torch.cat([sample["input_ids"], token])
        is_image = np.zeros(len(ids), dtype=bool)
        is_image[-1] = True
        return {
            "input_ids": ids,
            "labels": torch.cat([sample["labels"], torch.tensor([IGNORED])]),
            "position_ids": torch.from_numpy(mrope_positions(is_image, grids, merge)),
            "pixels": [self.blank],
            "grids": grids,
        }


# ---- what a batch says of itself ----

NOTE = "note"  # the key under which a batch carries its note; the model never sees it


@dataclass(frozen=True)
class BatchNote:
    """Where a batch comes from and how much is in it, known without asking a GPU.

    Attributes:
        rows: indices of its samples in the dataset.
        lengths: tokens of each sample.
        grids: patch grids (t, h, w) of all its pictures.
        problems: why a sample teaches nothing, by its index.
    """

    rows: list[int]
    lengths: list[int]
    grids: list[tuple[int, int, int]]
    problems: dict[int, str]


@dataclass
class Noted:
    """A collator whose batches carry a note."""

    collate: Callable[[Sequence[Sample]], dict[str, torch.Tensor]]

    def __call__(self, samples: Sequence[Sample]) -> dict[str, Any]:
        """The batch, and its `BatchNote` under `NOTE`."""
        note = BatchNote(
            rows=[sample["row"] for sample in samples],
            lengths=[len(sample["input_ids"]) for sample in samples],
            grids=[grid for sample in samples for grid in sample["grids"]],
            problems={s["row"]: s["problem"] for s in samples if s["problem"]},
        )
        return {**self.collate(samples), NOTE: note}
