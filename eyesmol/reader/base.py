"""What every reader does around its model, whether it is in this process or behind a server:
pictures are opened and laid into the frame, what was read of them is finished and doubted.

No torch in here.
"""

from __future__ import annotations

import json
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast, get_args

from PIL import UnidentifiedImageError

from eyesmol.answer.confidence import Calibration, CalibrationError, TokenTrace
from eyesmol.answer.text import PROMPT_VERSION, AnswerForm
from eyesmol.image.loading import Box, Source, box_of, load_picture, page_of
from eyesmol.image.pixel_frame import PixelFrame
from eyesmol.image.screening import no_molecule
from eyesmol.image.segmentation import Finder, find_structures, structures_on
from eyesmol.reader.test_time_augmentation import MOST_LOOKS, Look, looks_at, vote
from eyesmol.recognition import Recognition

__all__ = [
    "MAX_NEW_TOKENS",
    "Decoded",
    "Picture",
    "Reader",
    "RecognizerError",
    "Training",
    "check_folder",
]

# Large enough for a molecule of about 100 atoms in JSON form, 290 in compact form.
MAX_NEW_TOKENS = 4096
_CALIBRATION = "calibration.json"  # beside the weights


def _why(error: Exception) -> str:
    """What is wrong with a picture, in words that name no object of Python's."""
    if isinstance(error, FileNotFoundError):
        return "the file is missing"
    if isinstance(error, UnidentifiedImageError):
        return "found no format that Pillow knows; expected PNG, JPEG, TIFF, BMP, GIF, WebP or PDF"
    return str(error)


class RecognizerError(Exception):
    """A model that cannot be used; the message names it, what was found and what to do."""


@dataclass(frozen=True)
class Picture:
    """A picture as the model sees it, once or from several sides, and where it came from."""

    name: str
    size: tuple[int, int]
    looks: tuple[Look, ...]
    page: int | None = None
    box: Box | None = None

    @property
    def expected_length(self) -> tuple[int, int]:
        """What the length of prompt and answer go by: pixels, then ink."""
        fitted = self.looks[0].fitted
        grey = fitted.convert("L").histogram()
        return fitted.width * fitted.height, sum(grey[:128])


@dataclass(frozen=True)
class Decoded:
    """An answer: its text, its tokens where they are known, what went wrong while decoding."""

    text: str
    trace: TokenTrace | None
    problems: tuple[str, ...]


class Reader(ABC):
    """Reads molecules from pictures.

    Attributes:
        form: the form of answers that the model is asked for.
        frame: the pixel budget at which it sees pictures.
        calibration: makes a probability of the raw confidence; None leaves it raw.
        looks: how often each picture is read, with other margins each time; the looks vote
            (`eyesmol.reader.test_time_augmentation`). A calibration holds for as many looks as it
            was learnt with.
    """

    def __init__(
        self, form: AnswerForm, frame: PixelFrame, calibration: Calibration | None, looks: int = 1
    ) -> None:
        if not 1 <= looks <= MOST_LOOKS:
            raise ValueError(f"looks {looks}: expected 1 to {MOST_LOOKS}")
        self.form, self.frame, self.calibration, self.looks = form, frame, calibration, looks

    @abstractmethod
    def recognize(
        self,
        images: Iterable[Source],
        *,
        batch_size: int = 8,
        max_new_tokens: int | None = None,
        grammar: bool = True,
        any_picture: bool = False,
        min_confidence: float = 0.0,
    ) -> Iterator[Recognition]:
        """Read pictures, in order, as they come; only a few batches are in memory.

        Args:
            images: paths, names of pages and members (`eyesmol.image.loading.list_pictures`), PIL
                images, encoded files as bytes, or arrays. One that cannot be read gives a
                `Recognition` with its `error`, and the others are unaffected.
            batch_size: how many are read at a time.
            max_new_tokens: where to cut an answer off; 4,096 by default, which is about 100 atoms
                in JSON form and 290 in compact form.
            grammar: let only well-formed answers through.
            any_picture: read pictures too that show no drawing of a molecule at first sight
                (`eyesmol.image.screening`); else they are rows with that reason, and cost next to
                nothing.
            min_confidence: below it no molecule is given; the reason says so, and the best guess
                is `Recognition.withheld_smiles`.

        Raises:
            ValueError: a batch size or a token limit below 1.
        """

    def recognize_pages(
        self, pages: Iterable[Source], *, finder: Finder = find_structures, **options: Any
    ) -> Iterator[Recognition]:
        """Find the structures on pages, and read each: page by page, from the top down.

        A page without one gives nothing. `Recognition.page` and `box` say where each was found;
        places of atoms are in the pixels of the structure, so add the box's corner for the page's.

        Args:
            pages: as in `recognize`, such as ``paper.pdf#3`` of `list_pictures`.
            finder: gives the boxes of the structures on a page.
            options: as in `recognize`. Without `any_picture` what was found is not screened again.

        Raises:
            ValueError: as in `recognize`.
        """
        found = (structure for page in pages for structure in structures_on(page, finder))
        return self.recognize(found, **{"any_picture": True, **options})

    def _open(self, source: Source, number: int, any_picture: bool) -> Picture | Recognition:
        """The picture in the model's frame, or a recognition that says why there is none."""
        name = str(source) if isinstance(source, str | Path) else ""
        name = name or str(getattr(source, "filename", "") or f"image {number}")
        try:
            image = load_picture(source)
            box = box_of(name)
            page = page_of(name) or (1 if box else None)
            if not any_picture and (reason := no_molecule(image)):
                reason = f"no molecule: {reason}"
                return Recognition(name, reason=reason, size=image.size, page=page, box=box)
            looks = looks_at(image, self.frame, self.looks)
            return Picture(name, image.size, looks, page, box)
        # Broken files make Pillow raise a dozen kinds of exception, and one bad picture must not
        # stop the others.
        except Exception as error:
            return Recognition(name, error=f"{name}: cannot be read as a picture: {_why(error)}")

    def _recognition(
        self, picture: Picture, answers: Sequence[Decoded], seconds: float
    ) -> Recognition:
        """What the answers to its looks say about a picture: its place on a page, its confidence
        calibrated."""
        readings = [
            Recognition.from_answer(
                picture.name,
                answer.text,
                size=picture.size,
                frame_size=look.fitted.size,
                shown=look.shown,
                trace=answer.trace,
                problems=answer.problems,
                seconds=seconds,
            )
            for look, answer in zip(picture.looks, answers, strict=True)
        ]
        result = vote(readings)
        if self.calibration and result.raw_confidence is not None:
            result = replace(result, confidence=self.calibration(result.raw_confidence))
        return replace(result, page=picture.page, box=picture.box)

    @staticmethod
    def _doubted(result: Recognition, least: float) -> Recognition:
        """Without its best guess where the reader is not sure enough of it."""
        if result.smiles is None or (result.confidence or 0.0) >= least:
            return result
        return result.abstained(f"abstained: confidence {result.confidence} is below {least}")


# ---- what a model folder says about its training ----


@dataclass(frozen=True)
class Training:
    """How a model was trained, as far as reading goes by it: see `Reader`.

    `cell` is the side, in pixels, of the square that becomes one token.
    """

    form: AnswerForm
    frame: PixelFrame
    calibration: Calibration | None
    cell: int
    looks: int = 1

    @classmethod
    def of(
        cls,
        name: str,
        processor: dict[str, Any],
        *,
        form: AnswerForm | None = None,
        calibration: Path | str | None = None,
        looks: int | None = None,
    ) -> Training:
        """From the ``dataset_info.json`` and ``calibration.json`` of a model folder.

        Without the first the frame is the image processor's, the form is ``json``, and each picture
        is looked at once.

        Args:
            name: a model folder, or a name of the Hugging Face hub.
            processor: the image processor's `size`, `patch_size` and `merge_size`.
            form: in place of the folder's.
            calibration: a file, in place of the folder's.
            looks: in place of the folder's.

        Raises:
            RecognizerError: a file that cannot be read, or says what cannot be.
        """
        info = _dataset_info(name)
        frame = _frame(name, info, processor)
        own = Path(name, _CALIBRATION)
        path = calibration or (own if own.is_file() else None)
        cell = int(processor["patch_size"]) * int(processor["merge_size"])
        looks = _looks(name, info) if looks is None else looks
        return cls(form or _form(name, info), frame, _calibration(path), cell, looks)

    @classmethod
    def named(
        cls,
        form: AnswerForm,
        frame: PixelFrame,
        calibration: Path | str | None = None,
        looks: int | None = None,
    ) -> Training:
        """Of a model whose folder is not at hand.

        Raises:
            RecognizerError: a calibration that cannot be read.
        """
        return cls(
            form, frame, _calibration(calibration), frame.factor, 1 if looks is None else looks
        )


def _dataset_info(name: str) -> dict[str, Any]:
    """What the model was trained on, as its folder says; empty where it says nothing."""
    path = Path(name, "dataset_info.json")
    if not Path(name).is_dir():
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

        try:
            path = Path(hf_hub_download(name, path.name))
        except (EntryNotFoundError, HfHubHTTPError, OSError):
            return {}
    if not path.is_file():
        return {}
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RecognizerError(f"{path}: not JSON ({error}); copy it from the dataset") from None
    if not isinstance(info, dict):
        raise RecognizerError(f"{path}: found {type(info).__name__}, expected an object")
    version = info.get("prompt_version") or PROMPT_VERSION  # null for instruction sets
    if version != PROMPT_VERSION:
        warnings.warn(
            f"{name} was trained with prompt version {version}, and this EyesMol asks with version "
            f"{PROMPT_VERSION}: it may read worse. Use the EyesMol it was trained with",
            stacklevel=4,  # who called for the model
        )
    return info


def _calibration(path: Path | str | None) -> Calibration | None:
    try:
        return Calibration.read(path) if path is not None else None
    except CalibrationError as error:
        raise RecognizerError(str(error)) from None


def _form(name: str, info: dict[str, Any]) -> AnswerForm:
    form = info.get("answer_form") or "json"  # null for instruction sets
    if form not in get_args(AnswerForm):
        raise RecognizerError(
            f"{name}/dataset_info.json: answer_form {form!r}; expected one of "
            f"{', '.join(get_args(AnswerForm))}"
        )
    return cast(AnswerForm, form)


def _looks(name: str, info: dict[str, Any]) -> int:
    looks = info.get("looks", 1)
    if looks not in range(1, MOST_LOOKS + 1):
        raise RecognizerError(
            f"{name}/dataset_info.json: looks {looks!r}; expected a number from 1 to {MOST_LOOKS}"
        )
    return int(looks)


def _frame(name: str, info: dict[str, Any], processor: dict[str, Any]) -> PixelFrame:
    try:
        cell = int(processor["patch_size"]) * int(processor["merge_size"])
        size = processor["size"]
        own = {"min_pixels": size["shortest_edge"], "max_pixels": size["longest_edge"],
               "factor": cell}  # fmt: skip
        frame = PixelFrame.from_dict(info.get("pixel_frame") or own)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RecognizerError(f"{name}: pixel frame: {error}") from None
    if frame.factor % cell:
        raise RecognizerError(
            f"{name}: the pixel frame's factor is {frame.factor}; expected a multiple of the "
            f"model's cell of {cell} pixels"
        )
    return frame


# ---- what a model folder must hold ----

_TOKENIZER_FILES = ("tokenizer.json", "vocab.json")
_PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")


def check_folder(name: str) -> None:
    """Say clearly what a local folder lacks, before transformers says it less clearly.

    A name that is no folder is left to the Hugging Face hub, if it looks like one of its names.

    Raises:
        RecognizerError: what was found, what was expected.
    """
    folder = Path(name)
    if not folder.is_dir():
        # "runs/merged" could be either; where there is a folder "runs", it is a path.
        is_path = folder.is_absolute() or name.startswith(".") or name.count("/") != 1
        if is_path or folder.parent.is_dir():
            raise RecognizerError(
                f"{name}: no such folder; expected a model folder, or a name of the Hugging Face "
                "hub such as Qwen/Qwen2.5-VL-3B-Instruct"
            )
        return
    found = sorted(path.name for path in folder.iterdir())
    if "config.json" not in found:
        advice = (
            "This is an adapter: merge it into its base with merge_lora_weights.py first"
            if "adapter_config.json" in found
            else "Name the folder of a merged model"
        )
        raise RecognizerError(
            f"{name}: no model folder: found {_listed(found)}; expected config.json, weights, "
            f"tokenizer and processor. {advice}"
        )
    for part, files in (("tokenizer", _TOKENIZER_FILES), ("processor", _PROCESSOR_FILES)):
        if not set(files) & set(found):
            raise RecognizerError(
                f"{name}: no {part}: found {_listed(found)}; expected {' or '.join(files)}. Copy "
                "the tokenizer and processor files of the base model into the folder"
            )


def _listed(names: list[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "") if names else "nothing"
