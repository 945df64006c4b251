"""From a conversation and its images to token ids, labels, patches and M-RoPE positions.

Tokenizer and image processor are the model's own; the stock processor class that would hold both
has a video part, too, which needs torchvision.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from transformers import AutoTokenizer
from transformers.image_utils import SizeDict
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import (
    Qwen2VLImageProcessorPil,
    smart_resize,
)

from .errors import UserError
from .model_folder import PixelFrame, read_config, read_json, require_processor

IGNORED = -100  # the label that torch's cross entropy skips

Message = dict[str, Any]


@dataclass(frozen=True)
class ImagePatches:
    """One image cut into patches: uint8 `pixels` [patches, 3, p, p], and its grid (t, h, w)."""

    pixels: npt.NDArray[np.uint8]
    grid: tuple[int, int, int]


class Processor:
    """The model's tokenizer, chat template and image processor, ready for training.

    Args:
        tokenizer: the model's tokenizer, its `chat_template` set.
        image_processor: the stock PIL image processor with its pixel budget set.
        image_token_id: the id that stands for one merged patch in the token sequence.
    """

    def __init__(
        self,
        tokenizer: Any,
        image_processor: Qwen2VLImageProcessorPil,
        image_token_id: int,
    ) -> None:
        self.tokenizer = tokenizer
        self.image_processor = image_processor
        self.image_token_id = image_token_id
        self.merge = int(image_processor.merge_size)
        self.patch = int(image_processor.patch_size)
        self.temporal_patch = int(image_processor.temporal_patch_size)
        self.pixel_table = _pixel_table(image_processor)
        self._tokenize_prompt = functools.lru_cache(maxsize=4096)(self._tokenize)

    @property
    def frame(self) -> PixelFrame:
        """The pixel budget in force."""
        size = self.image_processor.size
        return PixelFrame(int(size["shortest_edge"]), int(size["longest_edge"]))

    @property
    def pad_token_id(self) -> int:
        """The id that fills a batch up."""
        pad = self.tokenizer.pad_token_id
        return int(pad if pad is not None else self.tokenizer.eos_token_id)

    # ---- images ----

    def grid_of(self, width: int, height: int) -> tuple[int, int, int]:
        """The patch grid (t, h, w) of an image of `width` x `height` pixels after resizing."""
        new_height, new_width = smart_resize(
            height,
            width,
            factor=self.patch * self.merge,
            min_pixels=self.frame.min_pixels,
            max_pixels=self.frame.max_pixels,
        )
        return 1, new_height // self.patch, new_width // self.patch

    def tokens_of(self, grid: tuple[int, int, int]) -> int:
        """How many image tokens a grid of patches becomes."""
        return grid[0] * grid[1] * grid[2] // self.merge**2

    def image_patches(self, image: Image.Image) -> ImagePatches:
        """Convert, resize and cut one image; colours stay uint8 until the batch is made.

        That keeps a sample small (no float, no copy for the second frame), in the cache as well as
        on its way from a worker. `pixel_values` finishes the work, bit for bit as stock does.
        """
        processor = self.image_processor
        array = processor.process_image(in_eight_bits(image), do_convert_rgb=True)
        grid = self.grid_of(array.shape[2], array.shape[1])
        if array.shape[1:] != (grid[1] * self.patch, grid[2] * self.patch):
            size = SizeDict(shortest_edge=self.frame.min_pixels, longest_edge=self.frame.max_pixels)
            array = processor.resize(
                array, size=size, resample=processor.resample, factor=self.patch * self.merge
            )
        _, rows, columns = grid
        m, p = self.merge, self.patch
        blocks = array.reshape(3, rows // m, m, p, columns // m, m, p)
        pixels = blocks.transpose(1, 4, 2, 5, 0, 3, 6).reshape(-1, 3, p, p)
        return ImagePatches(np.ascontiguousarray(pixels, dtype=np.uint8), grid)

    def pixel_values(self, pixels: npt.NDArray[np.uint8]) -> torch.Tensor:
        """Rescaled, normalised patches: uint8 to float32 [n, 3 * t * p * p].

        Args:
            pixels: [n, 3, p, p]; an image fills all t frames of a patch alike.
        """
        n, channels, p, _ = pixels.shape
        values = np.empty((n, channels, self.temporal_patch, p, p), dtype=np.float32)
        for channel in range(channels):
            values[:, channel] = self.pixel_table[channel].take(pixels[:, channel])[:, None]
        return torch.from_numpy(values.reshape(n, -1))

    def visual_inputs(self, samples: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """The images of all samples one after the other, as the model takes them.

        Returns:
            `pixel_values` [patches, 3 * t * p * p] and `image_grid_thw` [N, 3], where there are
            images.
        """
        grids = [grid for sample in samples for grid in sample["grids"]]
        if not grids:
            return {}
        pixels = np.concatenate([part for sample in samples for part in sample["pixels"]])
        return {
            "pixel_values": self.pixel_values(pixels),
            "image_grid_thw": torch.tensor(grids, dtype=torch.long),
        }

    def token_types(self, ids: torch.Tensor) -> torch.Tensor:
        """What each token stands for a piece of: 1 an image, 0 text."""
        return (ids == self.image_token_id).int()

    # ---- text ----

    def _tokenize(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def render(self, messages: list[Message], prompt: bool = False) -> str:
        """The chat template's text; with `prompt`, ready for the assistant to answer."""
        text = self.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=prompt
        )
        return str(text)

    def segments(self, messages: list[Message]) -> Iterator[tuple[str, bool]]:
        """Cut a rendered conversation into (text, is it an assistant's answer) pieces.

        Prompt and answer are tokenised apart, as they are when the model is asked later. The
        answer ends with the end-of-turn token; the line break after it belongs to the next prompt.
        """
        done = ""
        for turn, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            prompt = self.render(messages[:turn], prompt=True)
            full = self.render(messages[: turn + 1])
            if not (prompt.startswith(done) and full.startswith(prompt)):
                raise UserError(
                    "the model's chat template rewrites earlier turns, so prompt and answer can't "
                    "be told apart. Give the model folder the template of a Qwen-VL instruct model."
                )
            answer = full[len(prompt) :].rstrip()
            yield prompt[len(done) :], False
            yield answer, True
            done = prompt + answer

    def encode(
        self, messages: list[Message], grids: list[tuple[int, int, int]]
    ) -> dict[str, npt.NDArray[np.int64]]:
        """Token ids, labels and positions of one conversation.

        Args:
            messages: chat messages; a content is a text or a list of image and text parts.
            grids: patch grids (t, h, w) of the images, in order.

        Returns:
            `input_ids` [S], `labels` [S] (`IGNORED` but on answers), `position_ids` [3, S].
        """
        ids: list[int] = []
        labels: list[int] = []
        copies = iter([self.tokens_of(grid) for grid in grids])
        for text, is_answer in self.segments(messages):
            if is_answer:
                piece = self._tokenize(text)
                labels += piece
            else:
                piece = self._with_copies(self._tokenize_prompt(text), copies)
                labels += [IGNORED] * len(piece)
            ids += piece
        input_ids = np.asarray(ids, dtype=np.int64)
        return {
            "input_ids": input_ids,
            "labels": np.asarray(labels, dtype=np.int64),
            "position_ids": mrope_positions(input_ids == self.image_token_id, grids, self.merge),
        }

    def _with_copies(self, ids: list[int], copies: Iterator[int]) -> list[int]:
        """Each image token as often as its turn in `copies` says."""
        expanded: list[int] = []
        for token in ids:
            expanded += [token] * (next(copies) if token == self.image_token_id else 1)
        return expanded


def in_eight_bits(image: Image.Image) -> Image.Image:
    """An image of 16-bit greys scaled to 8 bits, any other as it is.

    Pillow's conversion cuts off what is over 255, which leaves white, a whole drawing of it.
    """
    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image).astype(np.float64)
    low, high = min(float(values.min(initial=0)), 0.0), max(float(values.max(initial=0)), 255.0)
    # Rounded as the reader rounds, so that both see one image to the pixel.
    return Image.fromarray(np.rint((values - low) * (255 / (high - low))).astype(np.uint8))


def mrope_positions(
    is_image: npt.NDArray[np.bool_], grids: list[tuple[int, int, int]], merge: int
) -> npt.NDArray[np.int64]:
    """M-RoPE positions [3, S] (time, height, width) of one sample, as `get_rope_index` gives them.

    The model would find them in a Python loop over samples at every step, 15 % of a step on a
    small model; here they are found once a sample. Text counts on by one in all rows; an image
    keeps its time, spans its rows and columns, and moves the count on by its longer side.

    Args:
        is_image: [S], true where the token stands for a piece of an image.
        grids: patch grids (t, h, w) of the images, in order.
        merge: side of the square of patches that becomes one token.
    """
    positions = np.empty((3, len(is_image)), dtype=np.int64)
    token, count = 0, 0
    starts = iter(np.flatnonzero(is_image))
    for t, h, w in grids:
        start = int(next(starts))
        text = start - token
        positions[:, token:start] = np.arange(count, count + text)
        count += text
        shape = (t, h // merge, w // merge)
        size = shape[0] * shape[1] * shape[2]
        positions[:, start : start + size] = np.indices(shape).reshape(3, -1) + count
        for _ in range(size - 1):
            next(starts)
        token, count = start + size, count + max(shape[1], shape[2])
    positions[:, token:] = np.arange(count, count + len(is_image) - token)
    return positions


def _pixel_table(processor: Qwen2VLImageProcessorPil) -> npt.NDArray[np.float32]:
    """What each of the 256 shades of each channel becomes, [3, 256], by the stock code."""
    shades = np.tile(np.arange(256, dtype=np.uint8).reshape(1, 16, 16), (3, 1, 1))
    values: npt.NDArray[Any] = shades
    if processor.do_rescale:
        values = processor.rescale(values, processor.rescale_factor)
    if processor.do_normalize:
        values = processor.normalize(values, processor.image_mean, processor.image_std)
    return np.asarray(values, dtype=np.float32).reshape(3, 256)


def load_processor(folder: Path, frame: PixelFrame | None = None) -> Processor:
    """Load tokenizer, chat template and image processor of a model folder.

    Args:
        folder: a model folder.
        frame: the pixel budget; the folder's own where it is None.
    """
    require_processor(folder)
    config = read_config(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    template = _processor_template(folder)
    if template is not None:
        tokenizer.chat_template = template
    if not tokenizer.chat_template:
        raise UserError(
            f"{folder}: no chat template (chat_template.jinja, chat_template.json, or a "
            "chat_template in tokenizer_config.json). Copy it from the model it came from."
        )
    image_processor = _load_image_processor(folder)
    if frame is not None:
        # set after loading: sizes given to from_pretrained stick and void later settings
        image_processor.size = SizeDict(
            shortest_edge=frame.min_pixels, longest_edge=frame.max_pixels
        )
    return Processor(tokenizer, image_processor, int(config["image_token_id"]))


def _load_image_processor(folder: Path) -> Qwen2VLImageProcessorPil:
    if (folder / "preprocessor_config.json").is_file():
        settings = read_json(folder / "preprocessor_config.json")
    else:
        settings = read_json(folder / "processor_config.json").get("image_processor")
    if not isinstance(settings, dict):
        raise UserError(f"{folder}: processor_config.json holds no image_processor.")
    unknown = {"image_processor_type", "processor_class", "feature_extractor_type"}
    return Qwen2VLImageProcessorPil(**{k: v for k, v in settings.items() if k not in unknown})


def _processor_template(folder: Path) -> str | None:
    """The processor's own chat template, which goes before the tokenizer's."""
    if (folder / "chat_template.jinja").is_file():
        return (folder / "chat_template.jinja").read_text(encoding="utf-8")
    for name in ("chat_template.json", "processor_config.json"):
        if (folder / name).is_file():
            template = read_json(folder / name).get("chat_template")
            if isinstance(template, str):
                return template
    return None
