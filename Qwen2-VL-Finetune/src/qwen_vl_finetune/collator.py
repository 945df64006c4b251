"""Samples to batches, and what a batch says of itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from .dataset import Sample
from .label_loss import label_positions
from .processing import IGNORED, Processor, mrope_positions


@dataclass
class Collator:
    """Samples to one padded batch.

    A batch without an image gets one blank image of a single image token, labelled `IGNORED`,
    behind its first sample: without it the vision tower takes no part in the backward of this
    process, and distributed training waits for its gradients for ever. Attention is causal, so the
    sample itself does not see it.
    """

    processor: Processor
    blank: Any = field(init=False)

    def __post_init__(self) -> None:
        side = self.processor.patch
        self.blank = np.full((self.processor.merge**2, 3, side, side), 255, dtype=np.uint8)

    def __call__(self, samples: Sequence[Sample]) -> dict[str, Any]:
        """What `lay_out` gives, and the images of all samples one after the other:

        `pixel_values` [patches, 3 * t * p * p], `image_grid_thw` [N, 3]; and `label_positions`,
        found here so that nobody has to wait for a GPU to find them.
        """
        samples = list(samples)
        if not any(sample["grids"] for sample in samples):
            samples[0] = self._with_blank_image(samples[0])
        rows = self.lay_out(samples)
        rows["label_positions"] = label_positions(rows["labels"])
        return {**rows, **self.processor.visual_inputs(samples)}

    def lay_out(self, samples: list[Sample]) -> dict[str, Any]:
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

    def _with_blank_image(self, sample: Sample) -> Sample:
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


NOTE = "note"  # the key under which a batch carries its note; the model never sees it


@dataclass(frozen=True)
class BatchNote:
    """Where a batch comes from and how much is in it, known without asking a GPU.

    Attributes:
        rows: indices of its samples in the dataset.
        lengths: tokens of each sample.
        grids: patch grids (t, h, w) of all its images.
        problems: why a sample teaches nothing, by its index.
    """

    rows: list[int]
    lengths: list[int]
    grids: list[tuple[int, int, int]]
    problems: dict[int, str]


@dataclass
class NotedCollator:
    """A collator whose batches carry a note."""

    collate: Callable[[Sequence[Sample]], dict[str, Any]]

    def __call__(self, samples: Sequence[Sample]) -> dict[str, Any]:
        """The batch, and its `BatchNote` under `NOTE`."""
        note = BatchNote(
            rows=[sample["row"] for sample in samples],
            lengths=[len(sample["input_ids"]) for sample in samples],
            grids=[grid for sample in samples for grid in sample["grids"]],
            problems={s["row"]: s["problem"] for s in samples if s["problem"]},
        )
        return {**self.collate(samples), NOTE: note}
