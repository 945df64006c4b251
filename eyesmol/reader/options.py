"""How images are read: one value that commands, readers, workers and services hand on."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

__all__ = ["ReadOptions"]

# Keyword arguments of earlier versions.
_OLD_NAMES = {"looks": "views", "any_picture": "any_image"}


@dataclass(frozen=True)
class ReadOptions:
    """How images are read.

    ::

        reader = Recognizer.from_pretrained(views=3)
        reader.recognize(images, min_confidence=0.5)  # this once
        reader.recognize(images, ReadOptions(pages=False, any_image=True))

    Attributes:
        views: how often each image is read (test-time augmentation); what most views say is taken.
            The detector has up to 3, at several scales, and takes one where the first is sure;
            vision-language models have up to 7, with other margins each time. None: the
            detector's 3, or as the model's folder says.
        batch_size: how many images a vision-language model reads at a time, or how many requests
            a server gets; None: 8, or the reader's own. The detector reads one after another.
        max_new_tokens: where a vision-language model's answer is cut off; None: 4,096, which is
            about 100 atoms in JSON form and 290 in compact form.
        grammar: let a vision-language model write nothing but well-formed answers.
        pages: find the structures on each image, and read each by itself. None: on the pages of a
            PDF, and on images with the shape of a sheet of paper (`eyesmol.reader.structures`).
        any_image: read images too that show no drawing of a molecule at first sight
            (`eyesmol.image.screening`); else they are rows with that reason, and cost next to
            nothing. The detector looks at all images, and judges by what its reading explains.
        draft: ``detector``: what the detector sees is a draft that a vision-language model
            verifies in a few forward passes, in place of writing it token by token
            (`eyesmol.reader.drafts`). With a model in this process.
        draft_tolerance: pixels of the model's frame within which a coordinate of the draft is kept
            where the model would write another; 0 gives the model's own answer, token for token.
        second_opinion: ``detector``: it reads every image too, `Recognition.differences` tells
            where the two readings differ, and the better one is taken
            (`eyesmol.reader.second_opinion`). With a vision-language model.
        min_confidence: below it no molecule is given; the reason says so, and the best guess is
            `Recognition.withheld_smiles`. A molecule without a confidence is given.

    Raises:
        ValueError: a value that there is not, or a number out of its range.
    """

    views: int | None = None
    batch_size: int | None = None
    max_new_tokens: int | None = None
    grammar: bool = True
    pages: bool | None = None
    any_image: bool = False
    draft: Literal["detector"] | None = None
    draft_tolerance: int = 3
    second_opinion: Literal["detector"] | None = None
    min_confidence: float = 0.0

    def __post_init__(self) -> None:
        for name in ("views", "batch_size", "max_new_tokens"):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise ValueError(f"{name} {number}: expected at least 1")
        for name in ("draft", "second_opinion"):
            if getattr(self, name) not in (None, "detector"):
                raise ValueError(f"{name} {getattr(self, name)!r}: expected 'detector' or None")
        if self.draft_tolerance < 0:
            raise ValueError(f"draft_tolerance {self.draft_tolerance}: expected at least 0 pixels")
        if not 0 <= self.min_confidence <= 1:
            raise ValueError(f"min_confidence {self.min_confidence}: expected a number from 0 to 1")

    def changed(self, **changes: Any) -> ReadOptions:
        """The same with other values; names of earlier versions (`looks`, `any_picture`) are known.

        Raises:
            TypeError: an option that there is not.
            ValueError: see the class.
        """
        return replace(self, **{_OLD_NAMES.get(name, name): changes[name] for name in changes})

    def to_dict(self) -> dict[str, Any]:
        """For JSON; what answers depend on, so without the batch size."""
        return {name: value for name, value in asdict(self).items() if name != "batch_size"}
