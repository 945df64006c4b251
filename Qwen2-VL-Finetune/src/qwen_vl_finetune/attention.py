"""Attention for packs where FlashAttention is missing: sdpa, sample by sample.

Stock sdpa gives a pack a block-diagonal mask, and computes and masks every pair of tokens of the
pack. Here each sample of the pack attends by itself, so the pairs computed are those that count:
causal, without a mask, by sdpa's fastest kernel. Padded batches and generation go to stock sdpa.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

PACKED_SDPA = "sdpa_by_sample"


def sample_sizes(positions: torch.Tensor) -> list[int]:
    """Lengths of the samples in a pack, from text positions [S] that start at 0 in each."""
    starts = torch.nonzero(positions == 0).flatten().tolist()
    return [end - start for start, end in zip(starts, [*starts[1:], len(positions)], strict=True)]


def attend_by_sample(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    position_ids: torch.Tensor | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention as transformers calls it; a row without a mask is a pack.

    Args:
        module: the attention layer.
        query: [1, heads, S, head size], or whatever stock takes.
        key: [1, key-value heads, S, head size].
        value: as `key`.
        attention_mask: None for a pack.
        position_ids: text positions [1, S], restarting at 0 in every sample; the vision tower
            gives none.
        kwargs: dropout and scale.

    Returns:
        [1, S, heads, head size] and None, as stock does.
    """
    whole = position_ids is None or attention_mask is not None
    if whole or len(query) > 1 or query.shape[2] != key.shape[2]:
        attended, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
        return attended, None
    assert position_ids is not None
    sizes = sample_sizes(position_ids[0])
    parts = [
        sdpa_attention_forward(module, q, k, v, None, **kwargs)[0]
        for q, k, v in zip(
            query.split(sizes, 2), key.split(sizes, 2), value.split(sizes, 2), strict=True
        )
    ]
    return torch.cat(parts, dim=1), None


def mask_unless_packed(
    batch_size: int,
    q_length: int,
    kv_length: int,
    *args: Any,
    attention_mask: torch.Tensor | None = None,
    **kwargs: Any,
) -> torch.Tensor | None:
    """No mask for a pack; stock sdpa's for everything else."""
    if attention_mask is None and batch_size == 1 and q_length == kv_length:
        return None
    mask: torch.Tensor | None = sdpa_mask(
        batch_size, q_length, kv_length, *args, attention_mask=attention_mask, **kwargs
    )
    return mask


def register() -> str:
    """Make the attention known to transformers; returns the name to ask for it."""
    AttentionInterface.register(PACKED_SDPA, attend_by_sample)
    AttentionMaskInterface.register(PACKED_SDPA, mask_unless_packed)
    return PACKED_SDPA
