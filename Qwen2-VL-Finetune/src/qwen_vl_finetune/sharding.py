"""Weights that processes hold a shard of each (FSDP, ZeRO-3), and what they can't do here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .flags import Arguments, TrainArguments
from .optimizers import is_8bit
from .plugins import package_problems


def zero_settings(deepspeed: Any) -> dict[str, Any]:
    """The ZeRO part of a DeepSpeed setting (a dict, or a JSON file's path)."""
    if isinstance(deepspeed, str) and Path(deepspeed).is_file():
        deepspeed = json.loads(Path(deepspeed).read_text(encoding="utf-8"))
    zero: dict[str, Any] = deepspeed if isinstance(deepspeed, dict) else {}
    return zero.get("zero_optimization") or {}


def is_zero3(deepspeed: Any) -> bool:
    """Whether a DeepSpeed setting is ZeRO-3."""
    return int(zero_settings(deepspeed).get("stage", 0)) == 3


def shards_weights(train: TrainArguments) -> bool:
    """Whether every process holds a shard of the weights only."""
    return bool(train.fsdp) or is_zero3(train.deepspeed)


def sharding_problems(arguments: Arguments) -> list[str]:
    """What FSDP and DeepSpeed can't do here."""
    train = arguments.train
    config = train.fsdp_config if train.fsdp and isinstance(train.fsdp_config, dict) else {}
    problems = package_problems("--deepspeed", "deepspeed") if train.deepspeed else []
    if zero_settings(train.deepspeed).get("offload_optimizer") and is_8bit(arguments.optimizer):
        problems.append(
            f"--optim {arguments.optimizer} with an optimizer that DeepSpeed offloads: it would "
            "silently become Adam, whose weight decay is another; take --optim adamw_torch"
        )
    if train.fsdp and train.deepspeed:
        problems.append("--fsdp and --deepspeed both share the model out; take one of them")
    if int(config.get("version", 2)) != 2:
        problems.append(
            "--fsdp_config version 1 renames and flattens the weights, so that the parts can't be "
            "told apart; leave version out (2)"
        )
    if "FULL" not in str(config.get("state_dict_type", "FULL_STATE_DICT")):
        problems.append(
            "--fsdp_config state_dict_type: only FULL_STATE_DICT gives an adapter that can be read"
        )
    if shards_weights(train):
        problems += _shard_problems(arguments)
    return problems


def _shard_problems(arguments: Arguments) -> list[str]:
    train, bits = arguments.train, arguments.model.bits
    problems = []
    if bits != 16:
        name = "--fsdp" if train.fsdp else "ZeRO-3"
        problems.append(f"--bits {bits} with {name}: take 16, or ZeRO-2")
    if arguments.lora.first_lora_path and is_zero3(train.deepspeed):
        problems.append(
            "--first_lora_path with ZeRO-3: by then the base is shared out, and the frozen "
            "adapter's weights would not arrive; use ZeRO-2"
        )
    if train.optim_muon and train.fsdp:
        problems.append("--optim_muon true: FSDP shards the matrices that Muon needs whole")
    if train.eval_score:
        problems.append(
            "--eval_score: processes generate at their own pace, which sharded weights (FSDP, "
            "ZeRO-3) don't allow; use ZeRO-2 or leave it out"
        )
    return problems
