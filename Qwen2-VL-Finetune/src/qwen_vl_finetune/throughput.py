"""How fast a run goes: real tokens, samples and floating point operations a second, and memory."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from .collator import BatchNote
from .flops import peak_flops

GIB = 2**30


class Throughput:
    """Counts what is trained on, and the time that goes by but for pauses.

    Args:
        flops: floating point operations of training on a batch, by its note.
        clock: seconds.
        peak: what one device can do, in operations a second; None where nobody knows.
    """

    def __init__(
        self,
        flops: Callable[[BatchNote], float],
        clock: Callable[[], float] = time.perf_counter,
        peak: float | None = None,
    ) -> None:
        self.flops, self.clock, self.peak = flops, clock, peak
        self.start: float | None = None  # the first batch starts the clock
        self.counts = [0.0, 0.0, 0.0]

    def add(self, note: BatchNote) -> None:
        """Note a micro-batch that is about to be trained on."""
        if self.start is None:
            self.start = self.clock()
        for i, count in enumerate((sum(note.lengths), len(note.lengths), self.flops(note))):
            self.counts[i] += count

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
        """Figures since the last reading, over all processes; counting starts again.

        Args:
            gather: puts the tensors [4] of all processes one after the other.
            device: where it takes them.

        Returns:
            `tokens_per_second`, `samples_per_second`; `tflops_per_second` and `mfu` of one device;
            `memory_gib`, the most that any process has held. `mfu` is left out where the device's
            peak is not known.
        """
        if self.start is None:
            return {}
        own = [*self.counts, peak_memory(device)]
        # float32 holds 24 bits: enough for figures that people read
        counts = gather(torch.tensor(own, dtype=torch.float32, device=device)).view(-1, 4)
        now = self.clock()
        seconds = max(now - self.start, 1e-9)
        self.start, self.counts = now, [0.0, 0.0, 0.0]
        tokens, samples, flops, _ = counts.sum(0).tolist()
        rate = flops / seconds / len(counts)
        figures = {
            "tokens_per_second": round(tokens / seconds, 1),
            "samples_per_second": round(samples / seconds, 3),
            "tflops_per_second": float(f"{rate / 1e12:.3g}"),
            "memory_gib": round(float(counts[:, 3].max()), 2),
        }
        if self.peak:
            figures["mfu"] = round(rate / self.peak, 4)
        return figures


def device_peak(device: torch.device) -> float | None:
    """The bf16 peak of a GPU that we know, in operations a second."""
    if device.type != "cuda":
        return None
    return peak_flops(torch.cuda.get_device_name(device))


def peak_memory(device: torch.device) -> float:
    """The most memory that this process has held so far, in GiB: of the GPU, or of the machine."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device) / GIB)
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in kilobytes but for macOS
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GIB
