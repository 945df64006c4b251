"""Real tokens and samples a second, between one line of the log and the next."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch


def count_tokens_and_samples(inputs: dict[str, Any]) -> tuple[int, int]:
    """Tokens that belong to a sample, and samples, of a padded batch or of a pack."""
    mask = inputs.get("attention_mask")
    if mask is not None:
        return int(mask.sum()), len(mask)
    positions = inputs["position_ids"][0]  # text positions start at 0 in every sample
    return positions.numel(), int((positions == 0).sum())


class Throughput:
    """Counts what is trained on, and the time that goes by but for pauses."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self.start: float | None = None  # the first batch starts the clock
        self.tokens = self.samples = 0

    def add(self, inputs: dict[str, Any]) -> None:
        """Note a micro-batch that is about to be trained on."""
        if self.start is None:
            self.start = self.clock()
        tokens, samples = count_tokens_and_samples(inputs)
        self.tokens += tokens
        self.samples += samples

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Leave the time of an evaluation or a checkpoint out."""
        before = self.clock()
        try:
            yield
        finally:
            if self.start is not None:
                self.start += self.clock() - before

    def read(self, gather: Callable[[torch.Tensor], torch.Tensor], device: Any) -> dict[str, float]:
        """Figures since the last reading, over all processes; counting starts anew.

        Args:
            gather: puts the tensors [2] of all processes one after the other.
            device: where it takes them.
        """
        if self.start is None:
            return {}
        counts = gather(torch.tensor([self.tokens, self.samples], device=device)).view(-1, 2)
        now = self.clock()
        seconds = max(now - self.start, 1e-9)
        self.start, self.tokens, self.samples = now, 0, 0
        tokens, samples = counts.sum(0).tolist()
        return {
            "tokens_per_second": round(tokens / seconds, 1),
            "samples_per_second": round(samples / seconds, 3),
        }
