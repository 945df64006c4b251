"""A run in pieces: it stops after so many minutes, with a checkpoint, and resumes when called.

For machines that are there for minutes only. Nothing is lost between two pieces: the checkpoint is
the one that a killed run resumes from, too.
"""

from __future__ import annotations

import math
import time
from typing import Any

import torch
from accelerate.utils import broadcast
from transformers import TrainerCallback, TrainerControl, TrainerState

from .flags import Arguments


class TimeLimit(TrainerCallback):
    """Ends the training loop after the first step that is too late.

    Args:
        minutes: from the first step on; evaluation counts, loading the model doesn't. `math.inf`
            for a run that ends by itself, whose processes then need not wait for each other.
    """

    def __init__(self, minutes: float) -> None:
        self.seconds = 60 * minutes
        self.begun = 0.0
        self.reached = False

    @classmethod
    def of(cls, minutes: float | None) -> TimeLimit:
        """From `--max_minutes`; none where it is not given."""
        return cls(math.inf if minutes is None else minutes)

    def on_train_begin(
        self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the clock."""
        self.begun = time.monotonic()

    def on_step_end(
        self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Check the clock; the first process's counts, so that all stop at the same step."""
        late = time.monotonic() - self.begun > self.seconds
        if args.world_size > 1 and math.isfinite(self.seconds):
            late = bool(broadcast(torch.tensor(int(late), device=args.device)))
        if late and state.global_step < state.max_steps:
            self.reached = control.should_save = control.should_training_stop = True


def time_problems(arguments: Arguments) -> list[str]:
    """What is wrong with the time limit."""
    minutes = arguments.train.max_minutes
    if minutes is None or minutes > 0:
        return []
    return [f"--max_minutes {minutes}: expected more than 0"]
