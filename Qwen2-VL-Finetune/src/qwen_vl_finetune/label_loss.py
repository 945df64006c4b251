"""The loss from labelled tokens alone, a chunk of logits at a time.

Stock makes the logits of every token of a batch, in fp32 beside those of the model, though the loss
reads those only whose next token is labelled: with Qwen's 151,936 words 4,096 tokens take 2.5 GB a
copy, and training holds several. Here the language model's output is cut down to what is asked of
it first, and where more than a chunk is left, the chunks' logits are made one after the other and
made again in the backward pass, so that no more than one of them is ever held.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from .processing import IGNORED

CHUNK_BYTES = 256 * 2**20  # of a chunk's logits in fp32: 441 tokens of Qwen's vocabulary


def chunk_tokens(vocabulary: int) -> int:
    """How many tokens' logits are held at once, for a vocabulary of so many words."""
    return max(1, CHUNK_BYTES // (4 * vocabulary))


def label_positions(labels: torch.Tensor) -> torch.Tensor:
    """Where a labelled token comes next.

    Args:
        labels: [B, S], `IGNORED` where nothing is asked.

    Returns:
        [N] positions in the flattened batch; the label of each stands right behind it.
    """
    asked = functional.pad(labels[:, 1:] != IGNORED, (0, 1))
    return torch.nonzero(asked.flatten()).flatten()


def label_loss(
    hidden: torch.Tensor,
    labels: torch.Tensor,
    head: Callable[[torch.Tensor], torch.Tensor],
    vocabulary: int,
    count: torch.Tensor | int | None = None,
    positions: torch.Tensor | None = None,
) -> torch.Tensor:
    """The cross entropy of the labelled tokens, as stock's loss gives it.

    Args:
        hidden: the language model's output, [B, S, width].
        labels: [B, S], not shifted.
        head: makes logits [N, vocabulary] of [N, width].
        vocabulary: how many words it knows.
        count: what the sum is divided by, the labelled tokens of a whole step; those of this
            batch if None.
        positions: `label_positions(labels)` where known; finding them waits for a GPU.

    Returns:
        The loss; 0 where nothing is labelled.
    """
    if positions is None:
        positions = label_positions(labels)
    asked = hidden.flatten(0, 1)[positions]
    targets = labels.flatten()[positions + 1]
    size = chunk_tokens(vocabulary)
    parts = list(zip(asked.split(size), targets.split(size), strict=True))
    if len(parts) == 1 or not torch.is_grad_enabled():
        losses = [_summed(head, *part) for part in parts]
    else:
        losses = [checkpoint(_summed, head, *part, use_reentrant=False) for part in parts]
    total = torch.stack(losses).sum()
    if count is None:
        count = max(1, len(targets))
    return total / (count.to(total.device) if isinstance(count, torch.Tensor) else count)


def _summed(
    head: Callable[[torch.Tensor], torch.Tensor], hidden: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    return functional.cross_entropy(head(hidden).float(), targets, reduction="sum")


def lean_loss(model: PreTrainedModel) -> None:
    """Let a bare model's forward compute its loss so; without labels it stays stock's.

    With labels the output holds the loss and no logits.
    """
    stock = model.forward

    @functools.wraps(stock)
    def forward(self: Any, *, labels: torch.Tensor | None = None, **inputs: Any) -> Any:
        positions = inputs.pop("label_positions", None)
        if labels is None:
            return stock(**inputs)
        count = inputs.pop("num_items_in_batch", None)
        hidden = self.model(**inputs)[0]
        vocabulary = self.config.get_text_config().vocab_size
        loss = label_loss(hidden, labels, self.lm_head, vocabulary, count, positions)
        return CausalLMOutputWithPast(loss=loss)

    model.forward = types.MethodType(forward, model)
