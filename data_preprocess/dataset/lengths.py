"""How long rows are, in tokens: counted by a model's tokenizer, or estimated."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from eyesmol.exceptions import InputError
from eyesmol.image.pixel_frame import PixelFrame

__all__ = ["Lengths", "TokenCounter", "quantile"]

_AROUND_TURN = 5  # tokens of the chat template around a turn: <|im_start|>role\n ... <|im_end|>\n
_SYSTEM = 11  # and of the system turn that Qwen's template begins with
# Qwen's rule for cutting a text before its pieces are looked up: each digit by itself, words and
# signs with the blank before them.
_PIECES = re.compile(r"\d| ?[A-Za-z]+| ?[^\sA-Za-z\d]+\n*|\s+")
_WORD, _SIGNS = 6, 2  # letters and signs that are one token; longer pieces count as several


@dataclass(frozen=True)
class TokenCounter:
    """Tokens of a text.

    Attributes:
        model: a folder, or a name whose files are on this machine; None to estimate.
    """

    model: str | None = None

    @property
    def is_estimate(self) -> bool:
        return self.model is None

    def text(self, words: str) -> int:
        """Tokens of a text.

        Raises:
            InputError: no such tokenizer here.
        """
        if self.model is None:
            return _estimate(words)
        return len(_tokenizer(self.model)(words, add_special_tokens=False)["input_ids"])

    def image(self, size: tuple[int, int], frame: PixelFrame | None) -> int:
        """Tokens of an image of this width and height: one a cell of the grid, and its two ends.

        Without a frame it is taken to be seen at Qwen2.5-VL's default size.
        """
        frame = frame or PixelFrame()
        try:
            width, height = frame.size(*size)
        except ValueError:
            return 0
        return width // frame.factor * (height // frame.factor) + 2


def _estimate(words: str) -> int:
    """About as many tokens as Qwen's vocabulary would take."""
    total = 0
    for piece in _PIECES.findall(words):
        core = piece.strip()
        total += -(-len(core) // (_WORD if core.isalpha() else _SIGNS)) if core else 1
    return total


@lru_cache(maxsize=2)
def _tokenizer(model: str) -> Any:
    from transformers import AutoTokenizer  # seconds to import, and only some calls need it

    try:
        return AutoTokenizer.from_pretrained(model, local_files_only=True)
    # The library raises a different error for each thing that may be wrong.
    except Exception as error:
        what = "folder without a tokenizer" if Path(model).is_dir() else "not on this machine"
        raise InputError(
            f"--model {model}: {what} ({type(error).__name__}); expected the folder of a model, or "
            "the name of one that has been downloaded; leave it out for an estimate"
        ) from None


@dataclass
class Lengths:
    """How many rows have so many tokens; each a histogram, so rows do not add to it without end.

    Attributes:
        question, answer, image, total: tokens of a row -> rows; the total has the chat template.
    """

    question: Counter[int] = field(default_factory=Counter)
    answer: Counter[int] = field(default_factory=Counter)
    image: Counter[int] = field(default_factory=Counter)
    total: Counter[int] = field(default_factory=Counter)

    def add(
        self,
        turns: Sequence[Any],
        sizes: Sequence[tuple[int, int]],
        counter: TokenCounter,
        frame: PixelFrame | None,
    ) -> int:
        """Count a row; returns its total."""
        words = {"human": 0, "gpt": 0}
        for turn in turns:
            value = turn.get("value") if isinstance(turn, dict) else None
            if isinstance(value, str) and turn.get("from") in words:
                words[turn["from"]] += counter.text(value.replace("<image>", ""))
        image = sum(counter.image(size, frame) for size in sizes)
        total = _SYSTEM + _AROUND_TURN * len(turns) + sum(words.values()) + image
        self.question[words["human"]] += 1
        self.answer[words["gpt"]] += 1
        self.image[image] += 1
        self.total[total] += 1
        return total

    def merge(self, other: Lengths) -> None:
        """Add the rows of another."""
        for name in ("question", "answer", "image", "total"):
            getattr(self, name).update(getattr(other, name))


def quantile(histogram: Counter[int], fraction: float) -> int:
    """The value that this fraction of the rows does not exceed; 0 without rows."""
    wanted = fraction * sum(histogram.values())
    seen = 0
    for value in sorted(histogram):
        seen += histogram[value]
        if seen >= wanted:
            return value
    return 0
