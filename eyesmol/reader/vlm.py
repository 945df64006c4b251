"""What readers with a vision-language model share, whether it runs here or behind a server.

Images are laid into the frame, and answers become recognitions.

No torch in here.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast, get_args

from PIL import Image

from eyesmol.answer.confidence import Calibration, TokenTrace
from eyesmol.answer.text import OLDEST_PROMPT_VERSION, PROMPT_VERSION, AnswerForm
from eyesmol.image.loading import Source
from eyesmol.image.pixel_frame import PixelFrame
from eyesmol.image.screening import no_molecule
from eyesmol.reader.base import Opened, Recognizer, RecognizerError, read_calibration
from eyesmol.reader.embedded import DETECTOR
from eyesmol.reader.options import ReadOptions
from eyesmol.reader.second_opinion import both_read
from eyesmol.reader.structures import unreadable
from eyesmol.reader.test_time_augmentation import MOST_LOOKS, Look, looks_at, vote
from eyesmol.recognition import Recognition

__all__ = ["MAX_NEW_TOKENS", "Decoded", "Image", "Training", "VlmRecognizer", "check_folder"]

# Large enough for a molecule of about 100 atoms in JSON form, 290 in compact form.
MAX_NEW_TOKENS = 4096


@dataclass(frozen=True)
class Picture:
    """An image, and how the model sees it: once, or several times with other margins.

    `seen` is what the detector reads in it, where it is asked; `compared` says that it is a second
    opinion.
    """

    opened: Opened
    looks: tuple[Look, ...]
    seen: Recognition | None = None
    compared: bool = False

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


class VlmRecognizer(Recognizer):
    """Reads with a vision-language model.

    Attributes:
        form: the form of answers that the model is asked for.
        frame: the pixel budget at which it sees images.
        calibration: see `Recognizer`; it holds for as many views as it was learnt with.
        options: see `Recognizer`; of several views, with other margins each time, the majority is
            taken (`eyesmol.reader.test_time_augmentation`).
        prompt_version: the words that the model was trained with, which it is asked in.
    """

    most_views = MOST_LOOKS
    takes_second_opinions = True

    def __init__(
        self,
        form: AnswerForm,
        frame: PixelFrame,
        calibration: Calibration | None = None,
        options: ReadOptions | None = None,
        prompt_version: int = PROMPT_VERSION,
    ) -> None:
        super().__init__(calibration, options)
        self.form, self.frame, self.prompt_version = form, frame, prompt_version
        self._detector: Recognizer | None = None  # loaded when it is first asked

    def _refusal(self, image: Image.Image) -> str | None:
        return no_molecule(image)

    def _laid_out(
        self, source: Source | Recognition, number: int, options: ReadOptions
    ) -> Picture | Recognition:
        """The image in the model's frame, or a recognition that says why there is none."""
        opened = self._open(source, number, options)
        if isinstance(opened, Recognition):
            return opened
        try:
            looks = looks_at(opened.image, self.frame, options.views or 1)
            asked = options.draft or options.second_opinion
            seen = self._seen(opened.image) if asked else None
            return Picture(opened, looks, seen, bool(options.second_opinion))
        except Exception as error:  # a broken file may show itself only now, or a frame refuse it
            return unreadable(opened.name, error)

    def _seen(self, image: Image.Image) -> Recognition:
        """What the detector reads in an image."""
        if self._detector is None:
            self._detector = Recognizer.from_pretrained(DETECTOR)
        [result] = self._detector.recognize(image, pages=False)
        return result

    def _recognition(
        self, picture: Picture, answers: Sequence[Decoded], seconds: float
    ) -> Recognition:
        """What the answers to its looks say about an image, and the detector, where asked."""
        readings = [
            Recognition.from_answer(
                picture.opened.name,
                answer.text,
                size=picture.opened.image.size,
                frame_size=look.fitted.size,
                shown=look.shown,
                trace=answer.trace,
                problems=answer.problems,
                seconds=seconds,
            )
            for look, answer in zip(picture.looks, answers, strict=True)
        ]
        result = self._finished(vote(readings), picture.opened)
        if picture.compared and picture.seen is not None:
            return both_read(result, replace(picture.seen, image=result.image))
        return result


# ---- what a model folder says about its training ----


@dataclass(frozen=True)
class Training:
    """How a model was trained, as far as reading goes by it: see `VlmRecognizer`.

    `cell` is the side, in pixels, of the square that becomes one token.
    """

    form: AnswerForm
    frame: PixelFrame
    calibration: Calibration | None
    cell: int
    looks: int = 1
    prompt_version: int = PROMPT_VERSION

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

        Without the first the frame is the image processor's, the form is ``json``, and each image
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
        cell = int(processor["patch_size"]) * int(processor["merge_size"])
        looks = _looks(name, info) if looks is None else looks
        return cls(
            form or _form(name, info),
            frame,
            read_calibration(calibration, name),
            cell,
            looks,
            _prompt_version(name, info),
        )

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
            form,
            frame,
            read_calibration(calibration),
            frame.factor,
            1 if looks is None else looks,
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
    return info


def _prompt_version(name: str, info: dict[str, Any]) -> int:
    """The version that a model was trained with; the newest where it does not say, or where it is
    none that this EyesMol knows."""
    version = info.get("prompt_version") or PROMPT_VERSION  # null for instruction sets
    if version in range(OLDEST_PROMPT_VERSION, PROMPT_VERSION + 1):
        return int(version)
    warnings.warn(
        f"{name} was trained with prompt version {version}, and this EyesMol knows versions "
        f"{OLDEST_PROMPT_VERSION} to {PROMPT_VERSION}: it may read worse. Use the EyesMol it was "
        "trained with",
        stacklevel=4,  # who called for the model
    )
    return PROMPT_VERSION


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
