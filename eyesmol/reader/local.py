"""The reader: images in, molecules out, with any Qwen2.5-VL model folder that EyesMol trained.

The model sees an image exactly as it did in training: resized by `PixelFrame`, with the prompt of
`eyesmol.answer.text` in the model's own chat template. Decoding is greedy, in batches, and only
well-formed answers can come out: see `eyesmol.reader.constrained_decoding`.
"""

from __future__ import annotations

import itertools
import time
from codecs import getincrementaldecoder
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
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
from transformers.utils.logging import (
    disable_progress_bar,
    enable_progress_bar,
    is_progress_bar_enabled,
)

from eyesmol.answer.confidence import Calibration, TokenTrace
from eyesmol.answer.text import PROMPT_VERSION, AnswerForm, prompt
from eyesmol.image.loading import Source
from eyesmol.image.pixel_frame import PixelFrame
from eyesmol.reader.base import RecognizerError
from eyesmol.reader.constrained_decoding import (
    AnswerTokens,
    GrammarGuide,
    looping_rows,
    token_bytes,
)
from eyesmol.reader.draft_decoding import DraftCounts, Row, Verifier
from eyesmol.reader.drafts import Draft
from eyesmol.reader.embedded import model_folder
from eyesmol.reader.options import ReadOptions
from eyesmol.reader.test_time_augmentation import Look
from eyesmol.reader.vlm import (
    MAX_NEW_TOKENS,
    Decoded,
    Picture,
    Training,
    VlmRecognizer,
    check_folder,
)
from eyesmol.recognition import Recognition

__all__ = ["LocalRecognizer"]

# Batches that are looked at together, to put images with answers of like length side by side.
_BATCHES_AHEAD = 8
# What a conversation in Qwen's format ends with, besides the tokenizer's own end.
_END_TOKENS = ("<|im_end|>", "<|endoftext|>")


class LocalRecognizer(VlmRecognizer):
    """A vision-language model in this process; `Recognizer.from_pretrained` is the usual way to it.

    Attributes:
        form, frame, calibration, options, prompt_version: see `VlmRecognizer`.
        draft_counts: what drafts saved so far.
    """

    takes_drafts = True

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        image_processor: Any,
        *,
        form: AnswerForm,
        frame: PixelFrame,
        calibration: Calibration | None = None,
        options: ReadOptions | None = None,
        prompt_version: int = PROMPT_VERSION,
    ) -> None:
        """From parts already loaded; `from_folder` is the usual way.

        Args:
            model: a Qwen2-VL or Qwen2.5-VL for conditional generation.
            tokenizer: its tokenizer, with the chat template.
            image_processor: its image processor; only cutting and normalising is asked of it.
            form: the answer form that it was trained on.
            frame: the pixel frame that it was trained in.
            calibration: learnt from this model's own answers.
            options: how images are read.
            prompt_version: that it was trained with.
        """
        super().__init__(form, frame, calibration, options, prompt_version)
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
        content = [{"type": "image"}, {"type": "text", "text": prompt(form, prompt_version)}]
        self._prompt: str = tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        self._image_token: str = tokenizer.convert_ids_to_tokens(model.config.image_token_id)
        if self._prompt.count(self._image_token) != 1:
            raise RecognizerError(
                f"the chat template puts {self._prompt.count(self._image_token)} image tokens "
                f"({self._image_token}) into a prompt with one image; expected 1. Use the "
                "template of a Qwen2.5-VL instruct model"
            )
        # The one that a model of this tokenizer writes stands first.
        self._ends_first = sorted(self._end_ids, key=lambda i: i != tokenizer.eos_token_id)
        self._texts = token_bytes(tokenizer)
        self.draft_counts = DraftCounts()
        self._answer_tokens: AnswerTokens | None = None

    @classmethod
    def from_folder(
        cls,
        path_or_name: Path | str,
        *,
        form: AnswerForm | None = None,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        calibration: Path | str | None = None,
        options: ReadOptions | None = None,
        threads: int | None = None,
    ) -> LocalRecognizer:
        """Load a model folder, or a model of the Hugging Face hub by its name.

        A ``dataset_info.json`` in the folder says in which pixel frame and answer form the model
        was trained, and how many views it takes of an image; without one the frame is the image
        processor's, the form is ``json``, and it takes one.

        Args:
            path_or_name: a merged model with its tokenizer and processor files, or ``nano``.
            form: the answer form to ask for, whatever the folder says.
            device: ``cuda`` where there is one, else the CPU.
            dtype: the checkpoint's own on a GPU, float32 on a CPU.
            calibration: a file of ``eyesmol calibrate``; the folder's ``calibration.json`` where
                there is one.
            options: how images are read; its views are the folder's where it names none.
            threads: of all of torch in this process, where they are given.

        Raises:
            RecognizerError: no such model, or one that lacks a part; says which.
            ValueError: an option out of its range.
        """
        name = model_folder(path_or_name)
        check_folder(name)
        if threads:
            torch.set_num_threads(threads)
        device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        tokenizer, image_processor = _load_processing(name)
        processor = {key: getattr(image_processor, key)
                     for key in ("size", "patch_size", "merge_size")}  # fmt: skip
        options = options or ReadOptions()
        known = Training.of(
            name, processor, form=form, calibration=calibration, looks=options.views
        )
        model = _load_model(name, dtype or ("auto" if device.type == "cuda" else torch.float32))
        return cls(
            model.to(device),
            tokenizer,
            image_processor,
            form=known.form,
            frame=known.frame,
            calibration=known.calibration,
            options=options.changed(views=known.looks),
            prompt_version=known.prompt_version,
        )

    def _read(
        self, sources: Iterable[Source | Recognition], options: ReadOptions
    ) -> Iterator[Recognition]:
        """Of eight batches at a time the emptiest images are read first, so that those of a batch
        have answers of about the same length and few wait for the longest. The first results come
        sooner, after one batch, then two, then four. All views of an image are in its batch. The
        grammar also closes an answer that would be cut off.
        """
        limit, batch_size = options.max_new_tokens or MAX_NEW_TOKENS, options.batch_size or 8
        numbered = enumerate(sources)
        for ahead in itertools.chain((1, 2, 4), itertools.repeat(_BATCHES_AHEAD)):
            window = batch_size * ahead if batch_size > 1 else 1
            chunk = list(itertools.islice(numbered, window))
            if not chunk:
                return
            opened = [self._laid_out(source, number, options) for number, source in chunk]
            results = {n: found for n, found in enumerate(opened) if isinstance(found, Recognition)}
            pictures = {n: found for n, found in enumerate(opened) if isinstance(found, Picture)}
            by_length = sorted(pictures, key=lambda n: pictures[n].expected_length)
            for begin in range(0, len(by_length), batch_size):
                batch = by_length[begin : begin + batch_size]
                read = self._recognize_batch([pictures[n] for n in batch], limit, options)
                results.update(zip(batch, read, strict=True))
            yield from (results[n] for n in range(len(opened)))

    def _recognize_batch(
        self, pictures: list[Picture], limit: int, options: ReadOptions
    ) -> list[Recognition]:
        start = time.perf_counter()
        views = [look.fitted for picture in pictures for look in picture.looks]
        if options.draft:
            drafts = [self._draft(picture, look) for picture in pictures for look in picture.looks]
            tolerance = options.draft_tolerance
            answers = iter(self._decode_drafts(views, drafts, limit, options.grammar, tolerance))
        else:
            answers = iter(self._decode(views, limit, options.grammar))
        seconds = (time.perf_counter() - start) / len(pictures)
        return [
            self._recognition(picture, list(itertools.islice(answers, len(picture.looks))), seconds)
            for picture in pictures
        ]

    def _decode(
        self, pictures: list[Image.Image], limit: int, grammar: bool = True
    ) -> list[Decoded]:
        """Greedy answers of images that are already in the frame."""
        inputs = self._inputs(pictures)
        prompt_length = inputs["input_ids"].shape[1]
        limit = self._limit(limit, prompt_length)
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

    def _limit(self, limit: int, prompt_length: int) -> int:
        """Tokens that an answer may have: no more than the model has positions for."""
        longest = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        return max(1, min(limit, longest - prompt_length)) if longest else limit

    def _draft(self, picture: Picture, look: Look) -> Draft | None:
        """What the detector saw, as the model would write it of one look at the image."""
        seen = picture.seen
        if seen is None or seen.graph is None or not seen.graph.atoms or not seen.smiles:
            return None
        return Draft.shown(seen.graph, seen.smiles, self.form, look.shown, look.fitted.size)

    def _decode_drafts(
        self,
        pictures: list[Image.Image],
        drafts: Sequence[Draft | None],
        limit: int,
        grammar: bool,
        tolerance: int,
    ) -> list[Decoded]:
        """The same as `_decode`, in fewer forward passes; see `eyesmol.reader.draft_decoding`."""
        inputs = self._inputs(pictures)
        limit = self._limit(limit, inputs["input_ids"].shape[1])
        rows = [
            Row(
                draft,
                GrammarGuide(self._tokens_of_answers(), [picture.size], 0, limit)
                if grammar
                else None,
                limit,
            )
            for picture, draft in zip(pictures, drafts, strict=True)
        ]
        verifier = Verifier(
            self._model,
            lambda text: self._tokenizer(text, add_special_tokens=False).input_ids,
            self._texts,
            self._ends_first,
            self.form,
            tolerance,
        )
        verifier.decode(inputs, rows, self.draft_counts)
        return [self._decoded(row.tokens, row.log_probabilities, row.problems) for row in rows]

    def _decoded(
        self, tokens: list[int], log_probabilities: list[float], problems: tuple[str, ...]
    ) -> Decoded:
        """The text of an answer, and where in it each token ends."""
        pieces = [self._texts.get(token, b"") for token in tokens]
        text = b"".join(pieces).decode("utf-8", errors="replace")
        # Letters that end with each byte; of a letter's bytes it is the last that counts.
        ends, letters, reader = [], 0, getincrementaldecoder("utf-8")(errors="replace")
        for piece in pieces:
            letters += len(reader.decode(piece))
            ends.append(letters)
        return Decoded(text, TokenTrace(ends, log_probabilities[: len(tokens)]), problems)

    def _tokens_of_answers(self) -> AnswerTokens:
        """The grammar over this vocabulary, made once: a moment for Qwen's 151,643 tokens."""
        if self._answer_tokens is None:
            self._answer_tokens = AnswerTokens(
                self._texts,
                self._end_ids,
                self.form,
                self._model.get_output_embeddings().out_features,
                self._model.device,
                self.prompt_version,
            )
        return self._answer_tokens

    def _inputs(self, pictures: list[Image.Image]) -> dict[str, torch.Tensor]:
        """Model inputs: left-padded token ids [B, S] and the patches of all images in a row."""
        # Nothing to resize: the images are on the model's grid, in the training's frame.
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
    with _explained(name), _without_bars():
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


@contextmanager
def _without_bars() -> Iterator[None]:
    """Loading takes a moment and shows no bars of transformers' own."""
    shown = is_progress_bar_enabled()
    disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            enable_progress_bar()


def _first_line(error: Exception) -> str:
    lines = (line.strip() for line in str(error).splitlines())
    return next((line for line in lines if line), repr(error)).rstrip(".")
