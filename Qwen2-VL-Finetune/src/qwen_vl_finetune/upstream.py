"""Adapters of the upstream trainer (github.com/2U1/Qwen2-VL-Finetune), put into this one's form.

Upstream leaves a PEFT folder and beside it, pickled, the weights of the base itself: at the end of
a run those that trained in full, in a checkpoint all of them. Their names are those of the wrapped
model, `.base_layer.` included; before transformers 4.52 they were other names. Upstream's own merge
loads them without strictness, so that what lies under a LoRA layer is lost. Here all of it is
renamed, compared with the base, and kept where it differs.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftConfig
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from .adapters import bare_name, is_adapter_parameter, target_regex
from .errors import UserError
from .model_folder import memory_name, read_header, read_json, weight_shards, write_json
from .run_record import ADAPTER, FULL_MODULES, adapter_fingerprint

NON_LORA = "non_lora_state_dict.bin"
CONVERTED, SOURCE = "converted", "source.json"


def in_our_form(folder: Path, base: Path) -> Path:
    """An adapter folder in this trainer's form: itself, or its conversion, which is made once.

    Args:
        folder: an adapter folder of this trainer, of upstream, or of PEFT.
        base: the folder of the base model that it belongs to.

    Raises:
        UserError: something in it has no place in the base.
    """
    if not _is_foreign(folder):
        return folder
    target = folder / CONVERTED
    source = _describe_source(folder)
    if (target / SOURCE).is_file() and read_json(target / SOURCE) == source:
        return target
    work = folder / f".{CONVERTED}.{os.getpid()}.part"
    try:
        work.mkdir()
        _convert_adapter(folder, work)
        _convert_full_modules(folder, work, base)
        write_json(work / SOURCE, source)
        shutil.rmtree(target, ignore_errors=True)
        work.rename(target)
    except OSError as error:
        # another process of the same run may have been faster
        if not ((target / SOURCE).is_file() and read_json(target / SOURCE) == source):
            raise UserError(
                f"{folder}: an adapter of the upstream trainer; its conversion could not be "
                f"written to {target} ({error}). Copy the folder to where you can write."
            ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def describe_adapter(path: Path, folder: Path) -> dict[str, str]:
    """What a record says of an adapter: where it was given, what it holds, if it was converted."""
    described = {"path": str(path), "fingerprint": adapter_fingerprint(folder)}
    return described if path == folder else {**described, "converted_to": str(folder)}


def _is_foreign(folder: Path) -> bool:
    """Whether a folder holds an adapter whose names, or whose full modules, are not ours."""
    if not (folder / ADAPTER).is_file() or not (folder / "adapter_config.json").is_file():
        return False  # whoever needs them says what is missing
    header, _ = read_header(folder / ADAPTER)
    return (folder / NON_LORA).is_file() or any(key != _adapter_key(key) for key in header)


def _describe_source(folder: Path) -> dict[str, Any]:
    """What a conversion was made of, to tell when it has to be made again."""
    file = folder / NON_LORA
    digest = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None
    return {"adapter": adapter_fingerprint(folder), NON_LORA: digest}


def _own_key(key: str) -> str:
    """The bare name in memory of a tensor that upstream saved, in any version."""
    return memory_name(bare_name(re.sub(r"(\.base_layer)+\.", ".", key)))


def _adapter_key(key: str) -> str:
    """PEFT's name of an adapter's tensor, in today's names of the base."""
    return f"base_model.model.{_own_key(key)}"


def _convert_adapter(folder: Path, target: Path) -> None:
    """Write the LoRA matrices under today's names, and a config that targets exactly them."""
    tensors = {_adapter_key(key): value for key, value in load_file(folder / ADAPTER).items()}
    config = PeftConfig.from_pretrained(str(folder))
    if not isinstance(config, LoraConfig) or config.bias != "none" or config.modules_to_save:
        raise UserError(
            f"{folder}: only LoRA without biases and without modules_to_save can be converted."
        )
    modules = {bare_name(key).partition(".lora_")[0]: None for key in tensors}
    config.target_modules, config.task_type = target_regex(list(modules)), "CAUSAL_LM"
    config.save_pretrained(str(target))
    save_file(tensors, target / ADAPTER, metadata={"format": "pt"})


def _convert_full_modules(folder: Path, target: Path, base: Path) -> None:
    """Write what differs from the base as `non_lora_modules.safetensors`, by bare names."""
    waiting = read_full_modules(folder)
    changed = {}
    for shard in weight_shards(base):
        with safe_open(shard, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 (safe_open is no dict)
                value = waiting.pop(memory_name(key), None)
                if value is None:
                    continue
                own = file.get_tensor(key)
                if own.shape != value.shape:
                    raise UserError(
                        f"{folder / NON_LORA}: {memory_name(key)} is {tuple(value.shape)}, in "
                        f"{base} {tuple(own.shape)}. Give the base that it was trained on."
                    )
                if not torch.equal(own.to(value.dtype), value):
                    changed[memory_name(key)] = value.contiguous()
    if waiting:
        raise UserError(
            f"{folder / NON_LORA}: {len(waiting)} tensors have no place in {base}, such as "
            f"{min(waiting)}. Give the base that it was trained on."
        )
    if changed:
        save_file(changed, target / FULL_MODULES, metadata={"format": "pt"})
    names = sorted({name.rpartition(".")[0] for name in changed})
    print(f"converted {folder}: {len(changed)} tensors trained in full beside the LoRA "
          f"({', '.join(names[:3])}{' ...' if len(names) > 3 else ''})", flush=True)  # fmt: skip


def read_full_modules(folder: Path) -> dict[str, torch.Tensor]:
    """The base's own weights that upstream saved beside an adapter, by bare name.

    Packed weights of a quantised base are left out: they can't train.
    """
    file = folder / NON_LORA
    if not file.is_file():
        return {}
    try:
        saved = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle raises whatever the file makes it
        raise UserError(
            f"{file}: not a file of tensors alone ({error}); it is not read."
        ) from error
    return {_own_key(key): value for key, value in saved.items() if value.is_floating_point()}


def trained_in_full(model: nn.Module, folders: list[Path]) -> dict[str, torch.Tensor]:
    """What adapters trained in full beside their LoRA, by bare name; the newest copy counts.

    Args:
        model: the bare base model: what does not differ from it did not train.
        folders: adapter folders as they were given, oldest first.
    """
    own = {name: parameter.detach() for name, parameter in model.named_parameters()}
    found: dict[str, torch.Tensor] = {}
    for folder in folders:
        ours = folder / FULL_MODULES
        saved = load_file(ours) if ours.is_file() else read_full_modules(folder)
        found |= {k: v for k, v in saved.items() if not torch.equal(own[k].to(v.dtype), v)}
    return found


def check_full_modules(model: nn.Module, expected: dict[str, torch.Tensor]) -> None:
    """Raise unless a model holds these weights, given by bare name."""
    for name, parameter in model.named_parameters():
        value = None if is_adapter_parameter(name) else expected.get(bare_name(name))
        if value is not None and not torch.equal(parameter.detach().to(value.dtype), value):
            raise UserError(f"{bare_name(name)} trained in full, but its weights were not loaded.")
