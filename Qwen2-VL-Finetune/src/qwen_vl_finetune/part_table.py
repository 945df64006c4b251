"""The table of a model's parts that stands before the first step, and in a dry run."""

from __future__ import annotations

import math

from torch import nn

from .adapters import PARTS, bare_name, is_adapter_parameter, part_of, true_shape


def part_table(model: nn.Module, rates: dict[str, float], muon_lr: float | None, rank: int) -> str:
    """The table shown before the first step: parameters, trainable, rate and LoRA rank a part."""
    total = dict.fromkeys(PARTS, 0)
    trains = dict.fromkeys(PARTS, 0)
    adapted = set()
    for name, parameter in model.named_parameters():
        part = part_of(bare_name(name))
        size = math.prod(true_shape(parameter))
        total[part] += size
        if parameter.requires_grad:
            trains[part] += size
            if is_adapter_parameter(name):
                adapted.add(part)
    lines = [f"{'part':<10}{'parameters':>16}{'trainable':>16}{'lr':>23}{'LoRA rank':>11}"]
    for part in PARTS:
        if not total[part]:
            continue
        rate = f"{rates[part]:g}" if trains[part] else "-"
        if trains[part] and muon_lr is not None and part not in adapted:
            rate += f" (Muon {muon_lr:g})"
        lora = str(rank) if part in adapted else "-"
        lines.append(f"{part:<10}{total[part]:>16,}{trains[part]:>16,}{rate:>23}{lora:>11}")
    return "\n".join(lines)
