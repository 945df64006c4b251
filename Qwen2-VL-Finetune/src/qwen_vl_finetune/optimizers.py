"""Parameter groups with a learning rate a part, and Muon beside AdamW as one optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from .adapters import PARTS, bare_name, is_adapter_parameter, part_of, true_shape
from .flags import Arguments
from .plugins import package_problems

Group = dict[str, Any]


def part_rates(rate: float, vision: float | None, merger: float | None) -> dict[str, float]:
    """The learning rate of every part; `rate` where a part has none of its own."""
    own = {"vision": vision, "merger": merger}
    return {part: rate if own.get(part) is None else float(own[part] or 0.0) for part in PARTS}


def takes_muon(name: str, parameter: nn.Parameter) -> bool:
    """Whether Muon may train a parameter: a hidden matrix of a module trained in full.

    Embeddings and the head are tables rather than maps, norms and biases are vectors, the patch
    embedding is a convolution, and LoRA's factors are thin by design: AdamW suits all of these.
    """
    bare = bare_name(name)
    return (
        len(true_shape(parameter)) == 2
        and not is_adapter_parameter(name)
        and "embed" not in bare
        and part_of(bare) != "head"
    )


def parameter_groups(
    model: nn.Module, rates: dict[str, float], weight_decay: float, muon_lr: float | None
) -> list[Group]:
    """What trains, grouped by (part, decay, Muon), in the model's order.

    Args:
        model: base model or stack, `requires_grad` set.
        rates: learning rate of every part.
        weight_decay: for matrices; vectors (norms, biases) get none.
        muon_lr: learning rate of Muon's matrices; None for a run without Muon.
    """
    groups: dict[tuple[str, bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            muon = muon_lr is not None and takes_muon(name, parameter)
            key = (part_of(bare_name(name)), len(true_shape(parameter)) >= 2, muon)
            groups.setdefault(key, []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": muon_lr if muon else rates[part],
            "weight_decay": weight_decay if decays else 0.0,
            "part": part,
            "use_muon": muon,
        }
        for (part, decays, muon), parameters in groups.items()
    ]


def current_rates(optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """The learning rate of every part that trains, as it is now; that of Muon apart."""
    return {
        "muon" if group["use_muon"] else group["part"]: float(group["lr"])
        for group in optimizer.param_groups
    }


class MuonAdamW(torch.optim.Optimizer):
    """`torch.optim.Muon` for some groups and AdamW for the others, as one optimizer.

    Schedulers and checkpoints see one list of groups and one state; each half works on its groups
    of that same list. `adjust_lr_fn="match_rms_adamw"` gives Muon's step the size of AdamW's, so
    both take rates of one scale (https://arxiv.org/abs/2502.16982).

    Args:
        groups: parameter groups, each with `use_muon`.
        betas, eps: AdamW's.
    """

    def __init__(
        self,
        groups: list[Group],
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        muon_groups = [group for group in groups if group["use_muon"]]
        adamw_groups = [group for group in groups if not group["use_muon"]]
        self.halves: list[torch.optim.Optimizer] = []
        if muon_groups:
            self.halves.append(torch.optim.Muon(muon_groups, adjust_lr_fn="match_rms_adamw"))
        if adamw_groups:
            fused = all(p.is_floating_point() for g in adamw_groups for p in g["params"])
            self.halves.append(torch.optim.AdamW(adamw_groups, betas=betas, eps=eps, fused=fused))
        super().__init__([g for half in self.halves for g in half.param_groups], {})
        self._share()

    def _share(self) -> None:
        """Let both halves work on this optimizer's own groups and state."""
        for half in self.halves:
            is_muon = isinstance(half, torch.optim.Muon)
            half.param_groups = [g for g in self.param_groups if g["use_muon"] == is_muon]
            half.state = self.state

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of both halves."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for half in self.halves:
            half.step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a checkpoint's state; the groups are new objects then, so hand them on again."""
        super().load_state_dict(state_dict)
        self._share()


def is_8bit(optim: str) -> bool:
    """Whether an optimizer, by its name, is one of bitsandbytes."""
    return "bnb" in optim or optim.endswith("_8bit")


def optimizer_problems(arguments: Arguments) -> list[str]:
    """What is wrong with the optimizer and the learning rates."""
    train, optim = arguments.train, arguments.optimizer
    problems = []
    if is_8bit(optim):
        problems += package_problems(f"--optim {optim}", "bitsandbytes")
    for part in ("vision", "merger"):
        trains = part in arguments.full_parts | arguments.lora_parts
        if getattr(train, f"{part}_lr") is not None and not trains:
            problems.append(f"--{part}_lr is set, but the {part} does not train")
    return problems + (_muon_problems(arguments) if train.optim_muon else [])


def _muon_problems(arguments: Arguments) -> list[str]:
    train = arguments.train
    problems = []
    if arguments.lora.lora_enable and not arguments.full_parts:
        problems.append("--optim_muon true: no module trains in full, so Muon has no matrix")
    if train.deepspeed:
        problems.append("--optim_muon true: DeepSpeed shards the matrices that Muon needs whole")
    for name in ("vision_lr", "merger_lr"):
        if getattr(train, name) is not None:
            problems.append(f"--{name} with --optim_muon: Muon has one rate, --muon_lr")
    if arguments.optimizer not in ("adamw_torch", "adamw_torch_fused"):
        problems.append("--optim with --optim_muon: what Muon does not train, AdamW does")
    return problems
