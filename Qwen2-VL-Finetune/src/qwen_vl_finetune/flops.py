"""Floating point operations of a training step, for the model FLOPs utilisation (MFU) in the log.

A matrix of n weights costs 2 n operations a token forward, 2 n to send the gradient through it to
what lies before it, and 2 n for its own gradient. So a model that trains in full costs 6 n a token
(https://arxiv.org/abs/2204.02311, appendix B), and LoRA on a frozen base about 4 n. Attention adds
4 d operations for each pair of tokens that see each other, d being heads times head size, and
twice that backward. Work that is done twice (gradient checkpointing) counts once, and padding not
at all, so the figure says how much of the device's peak goes into the model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch import nn

from .adapters import PARTS, bare_name, part_of, true_shape
from .collator import BatchNote

# dense bf16 (V100, T4: fp16), operations a second, from NVIDIA's data sheets
PEAKS = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "H800": 989e12,
    "A100": 312e12,
    "A800": 312e12,
    "L40S": 362e12,
    "L40": 181e12,
    "L4": 121e12,
    "A40": 150e12,
    "A10": 125e12,
    "A6000": 155e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
    "V100": 125e12,
    "T4": 65e12,
}


def peak_flops(name: str) -> float | None:
    """A GPU's peak in operations a second, by the name CUDA gives it; None if unknown."""
    words = name.replace("-", " ").split()
    for key, peak in PEAKS.items():
        wanted = key.split()
        if any(words[i : i + len(wanted)] == wanted for i in range(len(words))):
            return peak
    return None


@dataclass(frozen=True)
class TrainingCost:
    """What training on a batch costs.

    Attributes:
        per_token: operations a token of each part (vision: a patch; merger: an image token).
        merge: patches that become one image token.
        language: operations a pair of tokens, all layers.
        vision: operations a pair of patches, all layers that see the whole image.
        windowed: operations a pair of patches, all layers that see windows.
        window: patches in a window.
    """

    per_token: dict[str, float]
    merge: int
    language: float
    vision: float
    windowed: float
    window: int

    def __call__(self, note: BatchNote) -> float:
        """Operations of training on a batch."""
        tokens = sum(note.lengths)
        patches = [t * h * w for t, h, w in note.grids]
        counts = {
            "vision": sum(patches),
            "merger": sum(patches) / self.merge,
            "language": tokens,
            "head": tokens,
        }
        matrices = sum(counts[part] * cost for part, cost in self.per_token.items())
        pairs = sum(n * n for n in note.lengths) / 2  # causal: half of them
        images = sum(n * n for n in patches)
        windows = sum(n * min(n, self.window) for n in patches)
        attention = self.language * pairs + self.vision * images + self.windowed * windows
        return float(matrices + attention)


def training_cost(model: nn.Module) -> TrainingCost:
    """Read the cost off a model that is ready to train (`requires_grad` set)."""
    matrices = dict.fromkeys(PARTS, 0)
    trained = dict.fromkeys(PARTS, 0)
    trains = dict.fromkeys(PARTS, False)
    for name, parameter in model.named_parameters():
        part = part_of(bare_name(name))
        trains[part] |= parameter.requires_grad
        shape = true_shape(parameter)
        if len(shape) < 2 or (len(shape) == 2 and "embed" in name):
            continue  # a vector, or a table that is looked up
        size = math.prod(shape)
        matrices[part] += size
        trained[part] += size if parameter.requires_grad else 0
    config: Any = model.config
    text, vision = config.get_text_config(), config.vision_config
    if not matrices["head"]:  # tied: the embedding is the head, too
        matrices["head"] = text.vocab_size * text.hidden_size
        tables = (p for name, p in model.named_parameters() if "embed_tokens" in name)
        trained["head"] = matrices["head"] if any(p.requires_grad for p in tables) else 0
    passes = _backward_passes(trains)
    return TrainingCost(
        per_token={
            part: (2.0 + passes[part]) * matrices[part] + 2.0 * trained[part] for part in PARTS
        },
        merge=int(vision.spatial_merge_size) ** 2,
        **_attention_costs(text, vision, passes),
    )


def _backward_passes(trains: dict[str, bool]) -> dict[str, int]:
    """2 for a part that a gradient is sent through to something that trains in or before it."""
    passes, before = {}, False
    for part in ("vision", "merger", "language", "head"):
        before |= trains[part]
        passes[part] = 2 if before else 0
    return passes


def _attention_costs(text: Any, vision: Any, passes: dict[str, int]) -> dict[str, Any]:
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    # Qwen2-VL calls the tower's own width embed_dim, and the language model's hidden_size
    width = getattr(vision, "embed_dim", None) or vision.hidden_size
    whole_layers = getattr(vision, "fullatt_block_indexes", None)  # Qwen2.5-VL has windows besides
    whole = vision.depth if whole_layers is None else len(whole_layers)
    side = getattr(vision, "window_size", 0) // vision.patch_size
    a_layer = 4.0 * width * (1 + passes["vision"])
    a_text_layer = 4.0 * text.num_attention_heads * head * (1 + passes["language"])
    return {
        "language": text.num_hidden_layers * a_text_layer,
        "vision": whole * a_layer,
        "windowed": (vision.depth - whole) * a_layer,
        "window": side * side,
    }
