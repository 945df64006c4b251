"""The reader: pictures in, molecules out, with any Qwen2.5-VL model folder that EyesMol trained.

The model sees a picture exactly as it did in training: resized by `PixelFrame`, with the prompt of
`eyesmol.answer` in the model's own chat template. Decoding is greedy, in batches, and only
well-formed answers can come out: see `eyesmol.constrain`.
"""

from __future__ import annotations

import itertools
import json
import time
import warnings
from codecs import getincrementaldecoder
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast, get_args

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError
from PIL import Image
from transformers import (
    AutoImageProcessor,
    AutoModelForImageTextToText,
    AutoTokenizer,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    ProcessorMixin,
    StoppingCriteria,
    StoppingCriteriaList,
)

from eyesmol.answer import PROMPT_VERSION, AnswerForm, prompt
from eyesmol.confidence import Calibration, CalibrationError, TokenTrace
from eyesmol.constrain import AnswerTokens, GrammarGuide, looping_rows, token_bytes
from eyesmol.frame import PixelFrame
from eyesmol.pages import Finder, find_structures, structures_on
from eyesmol.pictures import Source, box_of, load_picture, page_of
from eyesmol.recognition import Box, Recognition
from eyesmol.screening import no_molecule

__all__ = ["Recognizer", "RecognizerError"]

# Large enough for a molecule of about 100 atoms in JSON form, 290 in compact form.
_MAX_NEW_TOKENS = 4096
# Batches that are looked at together, to put pictures with answers of like length side by side.
_BATCHES_AHEAD = 8
_CALIBRATION = "calibration.json"  # beside the weights
# What a conversation in Qwen's format ends with, besides the tokenizer's own end.
_END_TOKENS = ("<|im_end|>", "<|endoftext|>")


class RecognizerError(Exception):
    """A model that cannot be used; the message names it, what was found and what to do."""


class Recognizer:
    """A model that reads molecules from pictures.

    ::

        reader = Recognizer.from_pretrained("runs/quickstart/merged")
        for result in reader.recognize(["a.png", "b.png"]):
            print(result.image, result.smiles, result.confidence)

    Attributes:
        form: the form of answers that the model is asked for.
        frame: the pixel budget at which it sees pictures.
        calibration: makes a probability of the raw confidence; None leaves it raw.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        image_processor: Any,
        *,
        form: AnswerForm,
        frame: PixelFrame,
        calibration: Calibration | None = None,
    ) -> None:
        """From parts already loaded; `from_pretrained` is the usual way.

        Args:
            model: a Qwen2-VL or Qwen2.5-VL for conditional generation.
            tokenizer: its tokenizer, with the chat template.
            image_processor: its image processor; only cutting and normalising is asked of it.
            form: the answer form that it was trained on.
            frame: the pixel frame that it was trained in.
            calibration: learnt from this model's own answers.
        """
        self.form, self.frame, self.calibration = form, frame, calibration
        self._model, self._tokenizer, self._image_processor = (
            model.eval(),
            tokenizer,
            image_processor,
        )
        end_ids = [tokenizer.eos_token_id, *tokenizer.convert_tokens_to_ids(list(_END_TOKENS))]
        self._end_ids = sorted(
            {i for i in end_ids if i is not None and i != tokenizer.unk_token_id}
        )
        pad = tokenizer.pad_token_id
        # The checkpoint's own settings (sampling, a repetition penalty) would change the answers.
        model.generation_config = GenerationConfig(
            do_sample=False,
            eos_token_id=self._end_ids,
            pad_token_id=self._end_ids[0] if pad is None else pad,
        )
        content = [{"type": "image"}, {"type": "text", "text": prompt(form)}]
        self._prompt: str = tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        self._image_token: str = tokenizer.convert_ids_to_tokens(model.config.image_token_id)
        if self._prompt.count(self._image_token) != 1:
            raise RecognizerError(
                f"the chat template puts {self._prompt.count(self._image_token)} image tokens "
                f"({self._image_token}) into a prompt with one picture; expected 1. Use the "
                "template of a Qwen2.5-VL instruct model"
            )
        self._texts = token_bytes(tokenizer)
        self._answer_tokens: AnswerTokens | None = None

    @classmethod
    def from_pretrained(
        cls,
        path_or_name: Path | str,
        *,
        form: AnswerForm | None = None,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        calibration: Path | str | None = None,
    ) -> Recognizer:
        """Load a model folder, or a model of the Hugging Face hub by its name.

        A ``dataset_info.json`` in the folder says in which pixel frame and answer form the model
        was trained; without one the frame is the image processor's and the form is ``json``.

        Args:
            path_or_name: a merged model with its tokenizer and processor files.
            form: the answer form to ask for, whatever the folder says.
            device: ``cuda`` where there is one, else the CPU.
            dtype: the checkpoint's own on a GPU, float32 on a CPU.
            calibration: a file of ``eyesmol calibrate``; the folder's ``calibration.json`` where
                there is one.

        Raises:
            RecognizerError: no such model, or one that lacks a part; says which.
        """
        name = str(path_or_name)
        _check_folder(name)
        device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        tokenizer, image_processor = _load_processing(name)
        info = _dataset_info(name)
        form = form or _form(name, info)
        frame = _frame(name, info, image_processor)
        known = _calibration(name, calibration)
        model = _load_model(name, dtype or ("auto" if device.type == "cuda" else torch.float32))
        return cls(
            model.to(device), tokenizer, image_processor, form=form, frame=frame, calibration=known
        )

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

        Of eight batches at a time the emptiest pictures are read first, so that those of a batch
        have answers of about the same length and few wait for the longest.

        Args:
            images: paths, names of pages and members (`eyesmol.pictures.list_pictures`), PIL
                images, encoded files as bytes, or arrays. One that cannot be read gives a
                `Recognition` with its `error`, and the others are unaffected.
            batch_size: how many are read at a time.
            max_new_tokens: where to cut an answer off; 4,096 by default, which is about 100 atoms
                in JSON form and 290 in compact form.
            grammar: let only well-formed answers through, and close one that would be cut off.
            any_picture: read pictures too that show no drawing of a molecule at first sight
                (`eyesmol.screening`); else they are rows with that reason, and cost next to
                nothing.
            min_confidence: below it no molecule is given; the reason says so, and the best guess
                is `Recognition.withheld_smiles`.

        Raises:
            ValueError: a batch size or a token limit below 1.
        """
        limit = _MAX_NEW_TOKENS if max_new_tokens is None else max_new_tokens
        if batch_size < 1 or limit < 1:
            raise ValueError(
                f"batch_size {batch_size}, max_new_tokens {limit}: expected at least 1 each"
            )
        window = batch_size * _BATCHES_AHEAD if batch_size > 1 else 1
        numbered = enumerate(images)
        while chunk := list(itertools.islice(numbered, window)):
            opened = [self._open(source, number, any_picture) for number, source in chunk]
            results = {n: found for n, found in enumerate(opened) if isinstance(found, Recognition)}
            pictures = {n: found for n, found in enumerate(opened) if isinstance(found, _Picture)}
            by_length = sorted(pictures, key=lambda n: pictures[n].expected_length)
            for begin in range(0, len(by_length), batch_size):
                batch = by_length[begin : begin + batch_size]
                read = self._recognize_batch([pictures[n] for n in batch], limit, grammar)
                results.update(zip(batch, read, strict=True))
            for n in range(len(opened)):
                yield _doubted(results[n], min_confidence)

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

    def _recognize_batch(
        self, pictures: list[_Picture], limit: int, grammar: bool
    ) -> list[Recognition]:
        start = time.perf_counter()
        decoded = self._decode([picture.fitted for picture in pictures], limit, grammar)
        seconds = (time.perf_counter() - start) / len(pictures)
        read = [
            Recognition.from_answer(
                picture.name,
                answer.text,
                size=picture.size,
                frame_size=picture.fitted.size,
                trace=answer.trace,
                problems=answer.problems,
                seconds=seconds,
            )
            for picture, answer in zip(pictures, decoded, strict=True)
        ]
        return [
            self._finished(result, picture) for result, picture in zip(read, pictures, strict=True)
        ]

    def _finished(self, result: Recognition, picture: _Picture) -> Recognition:
        """The recognition with its place on a page and its confidence calibrated."""
        if self.calibration and result.raw_confidence is not None:
            result = replace(result, confidence=self.calibration(result.raw_confidence))
        return replace(result, page=picture.page, box=picture.box)

    def _open(self, source: Source, number: int, any_picture: bool) -> _Picture | Recognition:
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
            return _Picture(name, image.size, self.frame.fit(image), page, box)
        # Broken files make Pillow raise a dozen kinds of exception, and one bad picture must not
        # stop the others.
        except Exception as error:
            what = "the file is missing" if isinstance(error, FileNotFoundError) else str(error)
            return Recognition(name, error=f"{name}: cannot be read as a picture: {what}")

    def _decode(
        self, pictures: list[Image.Image], limit: int, grammar: bool = True
    ) -> list[_Decoded]:
        """Greedy answers of pictures that are already in the frame."""
        inputs = self._inputs(pictures)
        prompt_length = inputs["input_ids"].shape[1]
        longest = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        if longest:
            limit = max(1, min(limit, longest - prompt_length))
        guide, guard = None, _RunawayGuard(prompt_length)
        if grammar:
            sizes = [picture.size for picture in pictures]
            guide = GrammarGuide(self._tokens_of_answers(), sizes, prompt_length, limit)
        recorder = _ConfidenceRecorder(guide)
        tokens = self._model.generate(
            **inputs,
            max_new_tokens=limit,
            logits_processor=LogitsProcessorList([recorder]),
            stopping_criteria=StoppingCriteriaList([] if guide else [guard]),
        )[:, prompt_length:]
        log_probabilities = torch.stack(recorder.steps, dim=1)
        ended = torch.isin(tokens, torch.tensor(self._end_ids, device=tokens.device))
        decoded = []
        for row, is_end in enumerate(ended):
            at_end = bool(is_end.any())
            length = int(is_end.int().argmax()) if at_end else tokens.shape[1]
            problems: tuple[str, ...] = ()
            if guide and row in guide.closed:
                problems = (f"stopped: {guide.closed[row]}",)
            elif row in guard.stopped:
                length = min(length, guard.stopped[row])
                problems = ("stopped: the answer repeats itself without end",)
            elif not at_end:
                problems = (f"stopped: no end of the answer within {limit} tokens",)
            # The end token counts too: the model says with it that the answer is whole.
            written = tokens[row, : length + at_end].tolist()
            decoded.append(self._decoded(written, log_probabilities[row].tolist(), problems))
        return decoded

    def _decoded(
        self, tokens: list[int], log_probabilities: list[float], problems: tuple[str, ...]
    ) -> _Decoded:
        """The text of an answer, and where in it each token ends."""
        pieces = [self._texts.get(token, b"") for token in tokens]
        text = b"".join(pieces).decode("utf-8", errors="replace")
        # Letters that end with each byte; of a letter's bytes it is the last that counts.
        ends, letters, reader = [], 0, getincrementaldecoder("utf-8")(errors="replace")
        for piece in pieces:
            letters += len(reader.decode(piece))
            ends.append(letters)
        return _Decoded(text, TokenTrace(ends, log_probabilities[: len(tokens)]), problems)

    def _tokens_of_answers(self) -> AnswerTokens:
        """The grammar over this vocabulary, made once: a moment for Qwen's 151,643 tokens."""
        if self._answer_tokens is None:
            self._answer_tokens = AnswerTokens(
                self._texts,
                self._end_ids,
                self.form,
                self._model.get_output_embeddings().out_features,
                self._model.device,
            )
        return self._answer_tokens

    def _inputs(self, pictures: list[Image.Image]) -> dict[str, torch.Tensor]:
        """Model inputs: left-padded token ids [B, S] and the patches of all pictures in a row."""
        # Nothing to resize: the pictures are on the model's grid, in the training's frame.
        patches = self._image_processor(images=pictures, do_resize=False, return_tensors="pt")
        merged = self._image_processor.merge_size**2
        counts = (patches["image_grid_thw"].prod(dim=1) // merged).tolist()
        texts = [self._prompt.replace(self._image_token, self._image_token * n) for n in counts]
        tokens = self._tokenizer(
            texts,
            padding=True,
            padding_side="left",
            add_special_tokens=False,
            return_tensors="pt",
        )
        # Without this one, positions silently fall back to one dimension.
        is_image = (tokens["input_ids"] == self._model.config.image_token_id).int()
        inputs = {
            "input_ids": tokens["input_ids"],
            "attention_mask": tokens["attention_mask"],
            "mm_token_type_ids": is_image,
            "pixel_values": patches["pixel_values"],
            "image_grid_thw": patches["image_grid_thw"],
        }
        return {key: value.to(self._model.device) for key, value in inputs.items()}


@dataclass(frozen=True)
class _Picture:
    name: str
    size: tuple[int, int]
    fitted: Image.Image
    page: int | None = None
    box: Box | None = None

    @property
    def expected_length(self) -> tuple[int, int]:
        """What the length of prompt and answer go by: pixels, then ink."""
        grey = self.fitted.convert("L").histogram()
        return self.fitted.width * self.fitted.height, sum(grey[:128])


@dataclass(frozen=True)
class _Decoded:
    text: str
    trace: TokenTrace
    problems: tuple[str, ...]


def _doubted(result: Recognition, least: float) -> Recognition:
    """Without its best guess where the reader is not sure enough of it."""
    if result.smiles is None or (result.confidence or 0.0) >= least:
        return result
    return result.abstained(f"abstained: confidence {result.confidence} is below {least}")


class _ConfidenceRecorder(LogitsProcessor):
    """Notes the log-probability of each greedy token, [B] a step, where `output_scores` would keep
    the whole vocabulary of every step. Under a grammar it is still the model's own, so a token that
    the grammar forced counts as the surprise that it is."""

    def __init__(self, guide: GrammarGuide | None) -> None:
        self.steps: list[torch.Tensor] = []
        self._guide = guide

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        logits = scores.float()
        allowed = self._guide(input_ids, logits) if self._guide else logits
        self.steps.append(allowed.amax(dim=-1) - logits.logsumexp(dim=-1))
        return allowed


class _RunawayGuard(StoppingCriteria):
    """Without a grammar: stops an answer that repeats itself, see `looping_rows`."""

    def __init__(self, prompt_length: int) -> None:
        self._prompt_length = prompt_length
        self.stopped: dict[int, int] = {}  # row -> tokens at which it was stopped

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        length = input_ids.shape[1] - self._prompt_length
        for row in looping_rows(input_ids, length):
            self.stopped.setdefault(row, length)
        done = torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
        done[list(self.stopped)] = True
        return done


# ---- the model folder ----

_TOKENIZER_FILES = ("tokenizer.json", "vocab.json")
_PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")


def _check_folder(name: str) -> None:
    """Say clearly what a local folder lacks, before transformers says it less clearly.

    A name that is no folder is left to the Hugging Face hub, if it looks like one of its names.
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


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """transformers raises many kinds of error; each means that this model cannot be used."""
    try:
        yield
    except Exception as error:
        raise RecognizerError(
            f"{name}: cannot be loaded as an image-to-text model: {_first_line(error)}. Expected a "
            "Qwen2.5-VL model folder, as merge_lora_weights.py writes it"
        ) from error


def _load_processing(name: str) -> tuple[Any, Any]:
    """The tokenizer, with the processor's chat template, and the image processor.

    The stock processor class also wants torchvision, for videos; its parts do not.
    """
    with _explained(name):
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
        image_processor = AutoImageProcessor.from_pretrained(
            name, backend="pil", trust_remote_code=False
        )
        template = ProcessorMixin.get_processor_dict(name)[0].get("chat_template")
    tokenizer.chat_template = template or tokenizer.chat_template
    if not tokenizer.chat_template:
        raise RecognizerError(
            f"{name}: found no chat template; expected chat_template.jinja or one in "
            "tokenizer_config.json. Copy it from the base model"
        )
    return tokenizer, image_processor


def _load_model(name: str, dtype: torch.dtype | str) -> Any:
    with _explained(name):
        model, loading = AutoModelForImageTextToText.from_pretrained(
            name, dtype=dtype, trust_remote_code=False, output_loading_info=True
        )
    # transformers fills what is missing with random weights and a warning.
    if missing := sorted(loading["missing_keys"]):
        raise RecognizerError(
            f"{name}: {len(missing)} weights are missing ({missing[0]}, ...), so it would guess at "
            "random. Copy the model folder again, or merge it again"
        )
    return model


def _listed(names: list[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "") if names else "nothing"


def _first_line(error: Exception) -> str:
    lines = (line.strip() for line in str(error).splitlines())
    return next((line for line in lines if line), repr(error)).rstrip(".")


def _dataset_info(name: str) -> dict[str, Any]:
    """What the model was trained on, as its folder says; empty where it says nothing."""
    path = Path(name, "dataset_info.json")
    if not Path(name).is_dir():
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
            stacklevel=3,
        )
    return info


def _calibration(name: str, path: Path | str | None) -> Calibration | None:
    """The calibration that was asked for, or the folder's own."""
    if path is None:
        path = Path(name, _CALIBRATION)
        if not path.is_file():
            return None
    try:
        return Calibration.read(path)
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


def _frame(name: str, info: dict[str, Any], image_processor: Any) -> PixelFrame:
    cell = image_processor.patch_size * image_processor.merge_size
    size = image_processor.size
    own = {"min_pixels": size["shortest_edge"], "max_pixels": size["longest_edge"], "factor": cell}
    try:
        frame = PixelFrame.from_dict(info.get("pixel_frame") or own)
    except (AttributeError, TypeError, ValueError) as error:
        raise RecognizerError(f"{name}: pixel frame: {error}") from None
    if frame.factor % cell:
        raise RecognizerError(
            f"{name}: the pixel frame's factor is {frame.factor}; expected a multiple of the "
            f"model's cell of {cell} pixels"
        )
    return frame
