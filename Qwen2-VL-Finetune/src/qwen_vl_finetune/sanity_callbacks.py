"""What stops a run early: a part that gets no gradient, a loss or a gradient that is no number."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState

from .adapters import PARTS, bare_name, part_of
from .collator import BatchNote
from .errors import UserError


def trainable_parts(model: nn.Module) -> list[str]:
    """The parts in which anything trains."""
    found = {part_of(bare_name(n)) for n, p in model.named_parameters() if p.requires_grad}
    return [part for part in PARTS if part in found]


class GradientWatch(TrainerCallback):
    """Stops a run in which a part was asked to train and receives no gradient.

    The vision tower and the merger are checked in the first step that has a real image in it.
    Gradients are seen as they arrive: DeepSpeed takes its step inside of the backward, and FSDP
    keeps shards only, so afterwards there may be nothing left to check.
    """

    def __init__(self) -> None:
        self.waiting: set[str] = set()
        self.hooks: list[Any] = []
        self.rows = self.images = False

    def on_train_begin(
        self,
        args: Any,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module,
        **kwargs: Any,
    ) -> None:
        """Listen to every parameter that trains."""
        self.waiting = set(trainable_parts(model))
        self.hooks = [
            parameter.register_hook(partial(self._arrived, part_of(bare_name(name))))
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        ]

    def _arrived(self, part: str, gradient: torch.Tensor) -> None:
        if part in self.waiting and bool(gradient.count_nonzero() > 0):
            self.waiting.discard(part)

    def saw(self, note: BatchNote) -> None:
        """Note whether a micro-batch teaches anything, and whether it holds an image."""
        self.rows |= len(note.problems) < len(note.rows)
        self.images |= bool(note.grids) and not note.problems

    def on_pre_optimizer_step(
        self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Check what has arrived before the first step is taken."""
        if not self.waiting:
            for hook in self.hooks:
                hook.remove()
            self.hooks = []
            return
        expected = {"vision", "merger"} if self.images else set()
        due = self.waiting & (expected | ({"language", "head"} if self.rows else set()))
        if due:
            raise UserError(
                f"asked to train {sorted(due)}, but no gradient arrives there in step "
                f"{state.global_step + 1}. Usual causes: the first batch is labelled -100 "
                "throughout (check the rows' answers), a learning rate of 0 makes no difference "
                "here, or a layer in between is detached (reentrant checkpointing)."
            )


class LossWatch(TrainerCallback):
    """Stops a run whose loss or gradient is NaN or infinite, before the step is taken.

    Checked once a step, so that a GPU is not waited for after every micro-batch.

    Args:
        name_rows: the words by which messages call rows, given their indices.
    """

    def __init__(self, name_rows: Callable[[list[int]], str]) -> None:
        self.name_rows = name_rows
        self.seen: list[tuple[torch.Tensor, BatchNote]] = []
        self.norm: Any = None

    def saw(self, loss: torch.Tensor, note: BatchNote) -> None:
        """Note the loss of a micro-batch."""
        self.seen.append((loss, note))

    def on_pre_optimizer_step(
        self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Check the losses of this step, and its gradient (fp16 skips such steps itself)."""
        seen, self.seen = self.seen, []
        losses = torch.stack([loss.float() for loss, _ in seen]).tolist() if seen else []
        what = None
        odd = [
            (loss, note)
            for loss, (_, note) in zip(losses, seen, strict=True)
            if not math.isfinite(loss)
        ]
        if odd:
            what = f"the loss is {odd[0][0]}"
            rows = [row for _, note in odd for row in note.rows]
        elif self.norm is not None and not args.fp16 and not math.isfinite(float(self.norm)):
            what = f"the gradient's norm is {float(self.norm)}"
            rows = [row for _, note in seen for row in note.rows]
        if what is not None:
            raise UserError(
                f"step {state.global_step + 1}: {what}. It comes from these rows: "
                f"{self.name_rows(rows)}. Check them first; other causes are a learning rate "
                "that is too high and fp16 where bf16 is needed. Nothing of this step was saved; "
                "earlier checkpoints are whole."
            )
