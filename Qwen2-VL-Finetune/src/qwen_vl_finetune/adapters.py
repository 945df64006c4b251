"""LoRA on the right layers, a stack of frozen adapters under it, and what trains.

Names in this file are those of the bare base model (`model.visual.blocks.0.attn.qkv`). Once PEFT
has injected, the same layer is called `base_model.model.<name>.base_layer`; `bare_name` goes back.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel

from .errors import UserError
from .flags import Arguments
from .run_record import ADAPTER, FULL_MODULES, adapter_fingerprint, read_record

TRAINED = "default"  # PEFT writes the adapter of this name into the folder itself
PARTS = ("vision", "merger", "language", "head")


# ---- names ----


def part_of(name: str) -> str:
    """The part of the model a bare name belongs to."""
    if name.startswith("model.visual."):
        return "merger" if ".merger" in name or "deepstack_merger" in name else "vision"
    return "head" if name.startswith("lm_head") else "language"


def bare_name(name: str) -> str:
    """A parameter's name before PEFT wrapped its layer."""
    return name.removeprefix("base_model.model.").replace(".base_layer.", ".")


def is_adapter_parameter(name: str) -> bool:
    """Whether a parameter belongs to a LoRA or DoRA adapter."""
    return ".lora_" in name


def adapter_of(name: str) -> str | None:
    """The adapter that an adapter parameter belongs to (`...lora_A.default.weight`)."""
    match = re.search(r"\.lora_\w+\.([^.]+)", name)
    return match.group(1) if match else None


def true_shape(parameter: nn.Parameter) -> tuple[int, ...]:
    """The shape of what a parameter stands for.

    bitsandbytes packs two 4-bit weights into a byte; ZeRO-3 leaves an empty vector and a note.
    """
    packed = getattr(parameter, "quant_state", None)
    if packed is not None:
        return tuple(packed.shape)
    return tuple(getattr(parameter, "ds_shape", parameter.shape))


# ---- which layers get LoRA ----


def find_targets(
    model: PreTrainedModel, parts: set[str], exclude: list[str], last: int = -1
) -> list[str]:
    """The Linear layers that get LoRA, in the model's order.

    Args:
        model: the BARE base model. After PEFT has injected, the same search would find
            `*.base_layer` and the LoRA matrices themselves.
        parts: parts to adapt, of "vision", "merger", "language".
        exclude: a layer whose name holds one of these gets none.
        last: only the last so many layers; -1 for all.

    Raises:
        UserError: if nothing is left, or if a tied lm_head is among them.
    """
    if isinstance(model, PeftModel):
        raise TypeError("find_targets needs the bare base model, not a PeftModel")
    # the head belongs to the language model here: only `exclude` keeps LoRA off it
    wanted = parts | ({"head"} if "language" in parts else set())
    names = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and part_of(name) in wanted
        and not any(word in name for word in exclude)
    ]
    if last > 0:
        names = names[-last:]
    tied = bool(getattr(model.config, "tie_word_embeddings", False))
    if tied and "lm_head" in names:
        raise UserError(
            "LoRA on lm_head: this model ties it to the token embedding, so a merge would change "
            "both and the merged model would answer differently. Put lm_head into "
            "--lora_namespan_exclude (it is there by default)."
        )
    if not names:
        raise UserError(f"no layer is left for LoRA in {sorted(parts)} without {exclude}.")
    return names


def target_regex(names: list[str]) -> str:
    """A full regular expression that matches exactly these module names.

    PEFT's shorthands match too much: "all-linear" takes the merger, "proj" the Conv3d patch
    embedding. Names that differ in their number only share a branch, so the expression stays short.
    """
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name in names:
        match = re.match(r"^(.*?\.)(\d+)((?:\..*)?)$", name)
        head, number, tail = match.groups() if match else (name, "", "")
        groups[head, tail].append(number)
    branches: dict[tuple[str, str], list[str]] = defaultdict(list)
    for (head, tail), numbers in groups.items():
        branches[head, "|".join(numbers)].append(tail)
    alternatives = []
    for (head, joined), tails in branches.items():
        ends = "|".join(re.escape(tail) for tail in tails)
        middle = f"(?:{joined})" if joined else ""
        alternatives.append(f"{re.escape(head)}{middle}" + (f"(?:{ends})" if any(tails) else ""))
    return "|".join(alternatives)


def lora_config(names: list[str], rank: int, alpha: int, dropout: float, dora: bool) -> LoraConfig:
    """The LoRA settings for exactly these layers."""
    expression = target_regex(names)
    if not all(re.fullmatch(expression, name) for name in names):
        raise AssertionError("target_regex does not match its own names")
    return LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=expression,
        use_dora=dora,
        task_type="CAUSAL_LM",
    )


# ---- adapter folders ----


def check_adapter(folder: Path, base: str) -> None:
    """Raise if an adapter folder is incomplete, or is for another base.

    Args:
        folder: an adapter folder in this trainer's form (see upstream.py), or a checkpoint.
        base: the fingerprint of the base model that it is put on.
    """
    for name in ("adapter_config.json", ADAPTER):
        if not (folder / name).is_file():
            raise UserError(f"{folder}: no {name}; expected an adapter folder of this trainer.")
    record = read_record(folder)
    if record is None:
        print(f"warning: {folder} has no run.json, so its base can't be checked.", flush=True)
    elif record["base"]["fingerprint"] != base:
        raise UserError(
            f"{folder}: this adapter was trained on another base ({record['base']['path']}, "
            f"fingerprint {record['base']['fingerprint'][:12]}), the base given here has "
            f"{base[:12]}. Give the base that it was trained on."
        )


def check_chain(folders: list[Path]) -> None:
    """Raise unless every adapter lies on exactly the adapters it was trained on, in order."""
    seen: list[str] = []
    for folder in folders:
        record = read_record(folder)
        if record is not None:
            parents = [parent["fingerprint"] for parent in record["parents"]]
            if parents != seen:
                names = [parent["path"] for parent in record["parents"]] or ["no other adapter"]
                raise UserError(
                    f"{folder}: this adapter was trained on top of {', '.join(names)}, but here "
                    f"{len(seen)} adapter(s) lie under it that differ in number or content. Give "
                    "exactly those, oldest first."
                )
        seen.append(adapter_fingerprint(folder))
    many = len(folders) > 1
    for folder in folders:
        config = PeftConfig.from_pretrained(str(folder))
        if many and getattr(config, "use_dora", False):
            raise UserError(f"{folder}: a DoRA adapter can't be part of a stack.")


def load_adapters(model: PreTrainedModel, folders: list[Path]) -> PeftModel:
    """Load adapter folders, oldest first, onto the bare base model and make all active.

    Full modules of the folders are put into the base; weights that were not loaded raise.
    """
    for folder in folders:
        load_full_modules(model, folder)
    names = [f"frozen_{i}" for i in range(len(folders))]
    stack: PeftModel = PeftModel.from_pretrained(model, str(folders[0]), adapter_name=names[0])
    for name, folder in zip(names[1:], folders[1:], strict=True):
        stack.load_adapter(str(folder), adapter_name=name)
    for name, folder in zip(names, folders, strict=True):
        check_loaded(stack, name, folder)
    _still(stack, names)
    activate(stack)
    return stack


def _still(model: PeftModel, names: list[str]) -> None:
    """Take the dropout out of frozen adapters: they are part of the base, and do not learn."""
    for module in model.modules():
        if isinstance(module, LoraLayer):
            for name in names:
                if name in module.lora_dropout:
                    module.lora_dropout[name] = nn.Identity()


def check_loaded(model: PeftModel, adapter: str, folder: Path) -> None:
    """Raise unless an adapter in memory equals its file, tensor by tensor."""
    saved = load_file(folder / ADAPTER)
    loaded = get_peft_model_state_dict(model, adapter_name=adapter, save_embedding_layers=False)
    odd = sorted(saved.keys() ^ loaded.keys())
    if odd:
        raise UserError(
            f"{folder}/{ADAPTER}: {len(odd)} tensors do not fit this model, among them {odd[0]}."
        )
    for key, value in saved.items():
        if not torch.equal(loaded[key].to(value.dtype).cpu(), value):
            raise UserError(f"{folder}/{ADAPTER}: {key} was not loaded.")


def add_trained_adapter(model: PreTrainedModel | PeftModel, config: LoraConfig) -> PeftModel:
    """Put the adapter that trains onto a base, or onto a stack of frozen adapters."""
    if isinstance(model, PeftModel):
        model.add_adapter(TRAINED, config)
        activate(model)
        return model
    fresh = get_peft_model(model, config, adapter_name=TRAINED)
    assert isinstance(fresh, PeftModel)
    return fresh


def activate(model: PeftModel) -> None:
    """Make every adapter take part in the forward.

    `PeftModel.set_adapter("second")` switches the first one off; the tuner underneath takes a list.
    """
    model.base_model.set_adapter(list(model.peft_config))


# ---- what trains ----


def set_trainable(model: nn.Module, full_parts: set[str], upcast: bool = True) -> None:
    """Let the trained adapter and the own weights of `full_parts` train, and nothing else.

    Goes by bare names: `"merger" in name` would also free a frozen adapter's tensors on the merger.

    Args:
        model: base model or stack.
        full_parts: parts whose own weights train.
        upcast: keep weights that train in fp32 (not under DeepSpeed, which keeps its own copy).
    """
    for name, parameter in model.named_parameters():
        if is_adapter_parameter(name):
            trains = adapter_of(name) == TRAINED
        else:
            trains = part_of(bare_name(name)) in full_parts
        parameter.requires_grad_(trains)
        if trains and upcast and parameter.dtype in (torch.bfloat16, torch.float16):
            parameter.data = parameter.data.float()


def own_trained(model: nn.Module) -> dict[str, nn.Parameter]:
    """The base model's own parameters that train, by bare name."""
    return {
        bare_name(name): parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and not is_adapter_parameter(name)
    }


# ---- modules trained in full beside an adapter ----


def save_full_modules(model: nn.Module, folder: Path, state: dict[str, Any] | None = None) -> None:
    """Save the base's own trained weights as `non_lora_modules.safetensors`, by bare names.

    Args:
        model: the stack.
        folder: where the adapter lies.
        state: a gathered state dict (DeepSpeed ZeRO-3), by names in memory.
    """
    gathered = {bare_name(key): value for key, value in (state or {}).items()}
    tensors = {
        name: gathered.get(name, parameter).detach().cpu().contiguous()
        for name, parameter in own_trained(model).items()
    }
    if tensors:
        save_file(tensors, folder / FULL_MODULES, metadata={"format": "pt"})


def load_full_modules(model: nn.Module, folder: Path, expected: set[str] | None = None) -> None:
    """Put saved full modules into the base, strictly: every tensor must find its place.

    Args:
        model: base model or stack.
        folder: an adapter folder; without the file nothing happens unless `expected` says so.
        expected: bare names that the file must hold, no more and no less.
    """
    path = folder / FULL_MODULES
    if not path.is_file():
        if expected:
            raise UserError(f"{path} is missing, but {len(expected)} tensors trained in full.")
        return
    own = {
        bare_name(name): parameter
        for name, parameter in model.named_parameters()
        if not is_adapter_parameter(name)
    }
    with safe_open(path, framework="pt") as file:
        names = set(file.keys())
        odd = sorted(names - own.keys() if expected is None else names ^ expected)
        if odd:
            raise UserError(f"{path}: {len(odd)} tensors do not fit, among them {odd[0]}.")
        with torch.no_grad():
            for name in names:
                value = file.get_tensor(name)
                if value.shape != own[name].shape:
                    raise UserError(
                        f"{path}: {name} is {tuple(value.shape)}, "
                        f"expected {tuple(own[name].shape)}."
                    )
                if own[name].dtype != value.dtype and value.dtype == torch.float32:
                    own[name].data = own[name].data.float()
                own[name].copy_(value)


# ---- checks of the command line ----


def adapter_problems(arguments: Arguments) -> list[str]:
    """What is wrong with the adapter, with what it stacks on, and with what trains."""
    return [
        *_lora_problems(arguments),
        *_part_problems(arguments),
        *_stack_problems(arguments),
    ]


def _lora_problems(arguments: Arguments) -> list[str]:
    lora = arguments.lora
    problems = []
    for name, number in (("lora_rank", lora.lora_rank), ("lora_alpha", lora.lora_alpha)):
        if number < 1:
            problems.append(f"--{name} {number}: expected at least 1")
    if not 0 <= lora.lora_dropout < 1:
        problems.append(f"--lora_dropout {lora.lora_dropout}: expected 0 <= p < 1")
    if lora.num_lora_modules == 0 or lora.num_lora_modules < -1:
        problems.append(f"--num_lora_modules {lora.num_lora_modules}: expected -1 or at least 1")
    try:
        arguments.exclude  # noqa: B018 (reading it parses the flag)
    except ValueError as error:
        problems.append(f"--lora_namespan_exclude: {error}")
    kwargs = arguments.train.gradient_checkpointing_kwargs
    if isinstance(kwargs, dict) and kwargs.get("use_reentrant"):
        problems.append(
            "gradient_checkpointing_kwargs use_reentrant true: LoRA behind a frozen layer would "
            "get no gradient; leave it out"
        )
    return problems


def _part_problems(arguments: Arguments) -> list[str]:
    model, lora = arguments.model, arguments.lora
    problems = []
    if lora.lora_enable and not model.freeze_llm:
        problems.append("--lora_enable true adapts a frozen language model: add --freeze_llm true")
    if lora.vision_lora and not model.freeze_vision_tower:
        problems.append(
            "--vision_lora true adapts a frozen vision tower: add --freeze_vision_tower true"
        )
    if lora.merger_lora and not model.freeze_merger:
        problems.append("--merger_lora true adapts a frozen merger: add --freeze_merger true")
    if not lora.lora_enable:
        for name in ("vision_lora", "merger_lora", "use_dora", "first_lora_path"):
            if getattr(lora, name):
                problems.append(f"--{name} needs --lora_enable true")
        if not arguments.full_parts:
            problems.append("nothing trains: every part is frozen and --lora_enable is false")
        if model.bits != 16:
            problems.append(f"--bits {model.bits}: quantised weights can't train; add LoRA")
    elif model.bits != 16 and "vision" in arguments.full_parts:
        problems.append(f"--bits {model.bits}: add --freeze_vision_tower true")
    return problems


def _stack_problems(arguments: Arguments) -> list[str]:
    lora = arguments.lora
    problems = []
    if lora.first_lora_path and lora.use_dora:
        problems.append(
            "--use_dora with --first_lora_path: DoRA rescales the weight it sits on, so a stack "
            "with it can't be merged exactly; use LoRA"
        )
    for path in lora.first_lora_path or []:
        if not (Path(path) / "adapter_config.json").is_file():
            problems.append(f"--first_lora_path {path}: no adapter_config.json there")
    return problems
