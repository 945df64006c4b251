"""Load the base model: class by `config.json`, precision and quantisation by flags."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, PreTrainedModel
from transformers.utils import is_flash_attn_2_available

from .attention import SDPA, register, speed_up_vision
from .errors import UserError
from .flags import Arguments
from .model_folder import read_config
from .plugins import package_problems

# bitsandbytes' skip list takes module paths in memory: a bare "visual" matches nothing
KEPT_IN_FULL_PRECISION = ["model.visual", "lm_head"]


def attention(arguments: Arguments) -> str:
    """FlashAttention 2 where it is installed and can run, our sdpa otherwise."""
    half = arguments.train.bf16 or arguments.train.fp16
    usable = torch.cuda.is_available() and half and is_flash_attn_2_available()
    if usable and not arguments.model.disable_flash_attn2:
        return "flash_attention_2"
    return register()


def base_dtype(arguments: Arguments) -> torch.dtype:
    """The precision of the frozen base.

    Weights that train stay in fp32 (see `adapters.set_trainable`): steps of 1e-5 vanish in bf16.
    """
    if not arguments.lora.lora_enable and not arguments.train.deepspeed:
        return torch.float32
    if arguments.train.bf16:
        return torch.bfloat16
    return torch.float16 if arguments.train.fp16 else torch.float32


def quantization(arguments: Arguments) -> Any:
    """The bitsandbytes settings for 4 or 8 bits, or None."""
    bits = arguments.model.bits
    if bits == 16:
        return None
    from transformers import BitsAndBytesConfig

    if bits == 8:
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=KEPT_IN_FULL_PRECISION)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=base_dtype(arguments),
        llm_int8_skip_modules=KEPT_IN_FULL_PRECISION,
    )


def load_model(folder: Path, arguments: Arguments) -> PreTrainedModel:
    """Load the bare base model of a folder for training."""
    read_config(folder)  # names the family or raises
    if arguments.train.deepspeed:
        _meet_deepspeed(arguments)
    options: dict[str, Any] = {
        "dtype": base_dtype(arguments),
        "attn_implementation": attention(arguments),
    }
    quantized = quantization(arguments)
    if quantized is not None:
        options["quantization_config"] = quantized
        options["device_map"] = {"": arguments.train.device}
    model = load_checked(folder, **options)
    if options["attn_implementation"] == SDPA:
        speed_up_vision(model)
    if quantized is not None:
        _disable_cpu_repacking(model)
    if arguments.model.use_liger:
        _enable_liger(model, arguments)
    return model


def _meet_deepspeed(arguments: Arguments) -> None:
    """Let the processes find each other before weights are loaded.

    ZeRO-3 shares them out while they are read; where it knows of one process only, it refuses the
    batch size.
    """
    import deepspeed

    arguments.train.device  # noqa: B018 (looking at it starts torch's own process group)
    deepspeed.init_distributed()


def load_checked(folder: Path, **options: Any) -> PreTrainedModel:
    """`from_pretrained` that raises when a weight is missing instead of drawing it at random."""
    model, info = AutoModelForImageTextToText.from_pretrained(
        folder, output_loading_info=True, **options
    )
    missing = sorted(info["missing_keys"])
    if missing:
        raise UserError(f"{folder}: the weights lack {len(missing)} tensors, such as {missing[0]}")
    loaded: PreTrainedModel = model
    return loaded


def _disable_cpu_repacking(model: PreTrainedModel) -> None:
    """Keep 4-bit weights as they are on CPUs with avx512_bf16.

    There an evaluation forward repacks them, and the next training step raises.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def _enable_liger(model: PreTrainedModel, arguments: Arguments) -> None:
    """Let the Trainer apply liger-kernel, if the installed one knows this model."""
    try:
        patches = import_module("liger_kernel.transformers.monkey_patch")
    except Exception as error:
        raise UserError(
            f"--use_liger: the installed liger-kernel does not import beside this transformers "
            f"({error}). Leave the flag out."
        ) from error
    if model.config.model_type not in patches.MODEL_TYPE_TO_APPLY_LIGER_FN:
        raise UserError(f"--use_liger: liger-kernel has nothing for {model.config.model_type}.")
    arguments.train.use_liger_kernel = True


def model_problems(arguments: Arguments) -> list[str]:
    """What is wrong with the base model and how it is to be loaded."""
    model = arguments.model
    problems = [] if model.model_id else ["--model_id is missing"]
    if model.bits not in (4, 8, 16):
        problems.append(f"--bits {model.bits}: expected 16, 8 or 4")
    if model.bits != 16:
        problems += package_problems(f"--bits {model.bits}", "bitsandbytes")
    if model.use_liger:
        problems += package_problems("--use_liger", "liger_kernel")
    return problems
