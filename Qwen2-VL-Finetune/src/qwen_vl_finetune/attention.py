"""Attention of pieces that must not see each other, where FlashAttention is not installed.

Stock sdpa gives a pack a block-diagonal mask, and computes and masks every pair of tokens of the
pack; and it takes the images of a batch one after the other, window by window. Here the pieces (the
samples of a pack, images, windows) attend within themselves: on a GPU in one call of torch's own
variable-length attention, elsewhere side by side in as many calls of sdpa as there are sizes. Where
pieces begin is the same in every layer, and read from the device once. Padded batches and
generation go to stock sdpa.
"""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.utils.weak import WeakTensorKeyDictionary
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

try:
    from torch.nn.attention import varlen

    varlen_attn: Any = varlen.varlen_attn
except ImportError:  # an older torch
    varlen_attn = None

SDPA = "sdpa_by_sample"
# Stock tells the borders of images and windows to "flash" attentions only.
_VISION_SDPA = "sdpa_in_place_of_flash"

# the sizes of pieces, by the tensor that they were read from
_known_sizes: Any = WeakTensorKeyDictionary()


def attend_by_sample(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    position_ids: torch.Tensor | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    max_length_q: int | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of the language model as transformers calls it; a row without a mask is a pack.

    Args:
        module: the attention layer.
        query: [1, heads, S, head size], or whatever stock takes.
        key: [1, key-value heads, S, head size].
        value: as `key`.
        attention_mask: None for a pack.
        position_ids: text positions [1, S], restarting at 0 in every sample.
        cu_seq_lens_q: [samples + 1] where each sample begins, and S; read off the positions if
            None.
        max_length_q: tokens of the longest sample.
        kwargs: dropout and scale.

    Returns:
        [1, S, heads, head size] and None, as stock does.
    """
    whole = position_ids is None or attention_mask is not None
    if whole or len(query) > 1 or query.shape[2] != key.shape[2]:
        return _sdpa(module, query, key, value, attention_mask, **kwargs), None
    assert position_ids is not None
    kwargs.setdefault("is_causal", True)
    if cu_seq_lens_q is not None and max_length_q is not None and _takes_varlen(query, value):
        borders, longest = cu_seq_lens_q, max_length_q
        return _varlen(query, key, value, borders, longest, **kwargs), None
    if cu_seq_lens_q is not None:
        sizes = piece_sizes(cu_seq_lens_q, _between)
    else:
        sizes = piece_sizes(position_ids, _from_restarts)
    return _attend_apart(module, query, key, value, sizes, **kwargs), None


def attend_by_image(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,
    cu_seq_lens_q: torch.Tensor,
    max_length_q: int | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of the vision tower: within each image, or each window of one.

    Args:
        module: the attention layer.
        query, key, value: [1, heads, S, head size] of all images, one after the other.
        attention_mask: none.
        cu_seq_lens_q: [pieces + 1], where each piece begins, and S.
        max_length_q: patches of the largest piece.
        kwargs: dropout and scale, and what FlashAttention would want to know.

    Returns:
        [1, S, heads, head size] and None, as stock does.
    """
    kwargs = {name: kwargs[name] for name in ("dropout", "scaling", "is_causal") if name in kwargs}
    if max_length_q is not None and _takes_varlen(query, value):
        return _varlen(query, key, value, cu_seq_lens_q, max_length_q, **kwargs), None
    sizes = piece_sizes(cu_seq_lens_q, _between)
    return _attend_apart(module, query, key, value, sizes, **kwargs), None


# ---- where pieces begin ----


def piece_sizes(told: torch.Tensor, read: Callable[[torch.Tensor], list[int]]) -> list[int]:
    """The sizes of pieces, read from a tensor once, however many layers ask.

    Reading waits for a GPU; every layer of a forward is given the same tensor.
    """
    sizes: list[int] | None = _known_sizes.get(told)
    if sizes is None:
        sizes = _known_sizes[told] = read(told)
    return sizes


def _between(borders: torch.Tensor) -> list[int]:
    """Sizes from [pieces + 1] borders."""
    sizes: list[int] = borders.diff().tolist()
    return sizes


def _from_restarts(positions: torch.Tensor) -> list[int]:
    """Sizes from text positions [1, S] that start at 0 in each sample."""
    starts = torch.nonzero(positions[0] == 0).flatten().tolist()
    ends = [*starts[1:], positions.shape[1]]
    return [end - start for start, end in zip(starts, ends, strict=True)]


# ---- one call for all pieces ----


def _takes_varlen(query: torch.Tensor, value: torch.Tensor) -> bool:
    """Whether torch's variable-length attention runs here: half precision, from Ampere on."""
    return (
        query.device.type == "cuda"
        and value.dtype in (torch.bfloat16, torch.float16)
        and query.shape[-1] % 8 == 0
        and query.shape[-1] <= 256
        and _has_varlen()
        and _capability(query.device) >= (8, 0)
    )


@functools.cache
def _has_varlen() -> bool:
    """Whether this torch has it with fewer key-value heads than heads (2.13 does)."""
    if varlen_attn is None:
        return False
    return {"scale", "window_size", "enable_gqa"} <= inspect.signature(
        varlen_attn
    ).parameters.keys()


@functools.cache
def _capability(device: torch.device) -> tuple[int, int]:
    return torch.cuda.get_device_capability(device)


def _varlen(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    borders: torch.Tensor,
    longest: int,
    scaling: float | None = None,
    is_causal: bool = True,
    **_: Any,
) -> torch.Tensor:
    """Attention within pieces in one call, the pieces' borders left on the device.

    There is no dropout: Qwen-VL's attention has none.
    """
    q, k, v = (t[0].transpose(0, 1).to(value.dtype) for t in (query, key, value))
    attended: torch.Tensor = varlen_attn(
        q, k, v, borders, borders, longest, longest,
        scale=scaling,
        window_size=(-1, 0) if is_causal else (-1, -1),
        enable_gqa=q.shape[1] != k.shape[1],
    )  # fmt: skip
    return attended[None]


def _attend_apart(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    sizes: Sequence[int],
    **kwargs: Any,
) -> torch.Tensor:
    """Attention within pieces of these sizes; neighbours of one size are a batch of one call."""
    runs = [(size, len(list(run))) for size, run in itertools.groupby(sizes)]
    lengths = [size * count for size, count in runs]
    parts = []
    for (size, count), *inputs in zip(
        runs, query.split(lengths, 2), key.split(lengths, 2), value.split(lengths, 2), strict=True
    ):
        q, k, v = (t[0].unflatten(1, (count, size)).transpose(0, 1) for t in inputs)
        parts.append(_sdpa(module, q, k, v, None, **kwargs).flatten(0, 1)[None])
    return torch.cat(parts, dim=1)


def _sdpa(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **kwargs: Any,
) -> torch.Tensor:
    """Stock's sdpa; on a CPU in fp32, whose backward is 3 to 8 times as fast as that of bf16."""
    half = torch.is_autocast_enabled("cpu") or value.dtype != torch.float32
    if value.device.type != "cpu" or not half:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)[0]
    with torch.autocast("cpu", enabled=False):
        attended, _ = sdpa_attention_forward(
            module, query.float(), key.float(), value.float(), attention_mask, **kwargs
        )
    return attended.to(value.dtype)


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
    AttentionInterface.register(SDPA, attend_by_sample)
    AttentionMaskInterface.register(SDPA, mask_unless_packed)
    AttentionInterface.register(_VISION_SDPA, attend_by_image)
    return SDPA


class PatchProjection(nn.Conv3d):
    """The patch embedding as what it is: one matrix for all patches.

    Its kernel is as large as its input, and stock's convolution takes seven times as long on a CPU.
    """

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """[patches, channels, t, p, p] to [patches, width, 1, 1, 1]."""
        embedded = functional.linear(patches.flatten(1), self.weight.flatten(1), self.bias)
        return embedded[..., None, None, None]


def speed_up_vision(model: PreTrainedModel) -> None:
    """Let the vision tower of a model that was loaded with `SDPA` take all images at once."""
    visual: Any = model.model.visual
    visual.config._attn_implementation = _VISION_SDPA
    projection = visual.patch_embed.proj
    assert projection.kernel_size == projection.stride
    projection.__class__ = PatchProjection  # the same weights under the same names
