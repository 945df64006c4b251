"""Load the base model: class by `config.json`, precision and quantisation by flags."""

from __future__ import annotations

import functools
import types
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, PreTrainedModel
from transformers.utils import is_flash_attn_2_available

from .attention import SDPA, register, speed_up_vision
from .errors import UserError
from .flags import Arguments
from .label_loss import lean_loss
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
    return half_precision(arguments) or torch.float32


def half_precision(arguments: Arguments) -> torch.dtype | None:
    """The precision that matrix products are computed in, or None for that of the weights."""
    if arguments.train.bf16:
        return torch.bfloat16
    return torch.float16 if arguments.train.fp16 else None


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
    family = str(read_config(folder)["model_type"])  # or raises
    if arguments.model.use_liger:
        _enable_liger(family, arguments)
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
    lean_loss(model)
    if not arguments.train.deepspeed and half_precision(arguments) is not None:
        _generate_in_half(model, half_precision(arguments))
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


def _generate_in_half(model: PreTrainedModel, dtype: torch.dtype | None) -> None:
    """Let a bare model generate in mixed precision, as it trains.

    Accelerate wraps the forward of the whole, which PEFT passes by when it generates; there what
    trains in fp32 would meet activations in half precision. DeepSpeed keeps all weights in half.
    """
    stock = model.generate

    @functools.wraps(stock)
    def generate(self: Any, *args: Any, **kwargs: Any) -> Any:
        with torch.autocast(self.device.type, dtype):
            return stock(*args, **kwargs)

    model.generate = types.MethodType(generate, model)


def _disable_cpu_repacking(model: PreTrainedModel) -> None:
    """Keep 4-bit weights as they are on CPUs with avx512_bf16.

    There an evaluation forward repacks them, and the next training step raises.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def _enable_liger(family: str, arguments: Arguments) -> None:
    """Let the Trainer apply liger-kernel's layers, if the installed one knows this family.

    When it is applied it imports more than its list of families does, among it a class that liger
    0.8.5 lacks beside transformers 5.23; so that is imported here, before weights are loaded. The
    loss stays ours.
    """
    try:
        patches = import_module("liger_kernel.transformers.monkey_patch")
        import_module(f"liger_kernel.transformers.model.{family}")
    except Exception as error:
        raise UserError(
            f"--use_liger: the installed liger-kernel does not import beside this transformers "
            f"({error}). Leave the flag out."
        ) from error
    if family not in patches.MODEL_TYPE_TO_APPLY_LIGER_FN:
        raise UserError(f"--use_liger: liger-kernel has nothing for {family}.")
    arguments.train.use_liger_kernel = True
    arguments.train.liger_kernel_config = {"fused_linear_cross_entropy": False}


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
