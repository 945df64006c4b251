"""`--dry_run true`: what a run would do, before a weight is loaded.

The model is built from its configuration on the meta device, where a tensor has a shape and no
numbers, and goes through the same choice of what trains as a real run.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import nn
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedModel

from .adapters import (
    add_trained_adapter,
    bare_name,
    find_targets,
    is_adapter_parameter,
    lora_config,
    part_of,
    set_trainable,
)
from .dataset import SampleDataset
from .flags import Arguments
from .generation_eval import MAX_NEW_TOKENS
from .label_loss import chunk_tokens
from .model import base_dtype, half_precision
from .optimizers import part_rates
from .packing import make_packs
from .part_table import part_table
from .run_record import ADAPTER, FULL_MODULES

GIB = 2**30


def dry_run(
    arguments: Arguments,
    base: Path,
    parents: list[Path],
    dataset: SampleDataset,
    eval_set: SampleDataset | None = None,
) -> str:
    """What a run would do, as text: parts, steps, tokens, memory.

    Args:
        arguments: every flag of the run.
        base: the base model's folder; only its configuration is read.
        parents: adapter folders to stack on; only their sizes are read.
        dataset: the checked training data; its tokens are counted.
        eval_set: the checked evaluation data, alike.
    """
    model = shape_of_model(arguments, base)
    train, rank = arguments.train, arguments.lora.lora_rank
    rates = part_rates(train.learning_rate, train.vision_lr, train.merger_lr)
    table = part_table(model, rates, train.muon_lr if train.optim_muon else None, rank)
    return "\n".join(
        [
            table,
            *(f"stacked on {folder}" for folder in parents),
            *(f"{count:,} rows dropped: {why}" for why, count in dataset.dropped.items()),
            *schedule_lines(arguments, dataset.lengths()),
            *memory_lines(arguments, model, parents, dataset.lengths(), eval_set),
            "dry run: no weight of the model was loaded, and nothing trained.",
        ]
    )


def shape_of_model(arguments: Arguments, base: Path) -> PreTrainedModel | PeftModel:
    """The model of a run on the meta device, with what trains marked; parents left out."""
    lora = arguments.lora
    with torch.device("meta"):
        model: PreTrainedModel | PeftModel = AutoModelForImageTextToText.from_config(
            AutoConfig.from_pretrained(base), dtype=base_dtype(arguments)
        )
        if lora.lora_enable:
            names = find_targets(
                model, arguments.lora_parts, arguments.exclude, lora.num_lora_modules
            )
            config = lora_config(
                names, lora.lora_rank, lora.lora_alpha, lora.lora_dropout, lora.use_dora
            )
            model = add_trained_adapter(model, config)
    set_trainable(model, arguments.full_parts, upcast=not arguments.train.deepspeed)
    return model


def schedule_lines(arguments: Arguments, lengths: list[int]) -> list[str]:
    """Batches, steps and tokens."""
    train, processes = arguments.train, arguments.train.world_size
    if arguments.data.packing:
        packs = make_packs(lengths, arguments.pack_budget, arguments.order_seed, processes)
        batches = len(packs) // processes
        how = f"packs of at most {arguments.pack_budget:,} tokens"
    else:
        size = train.per_device_train_batch_size * processes
        batches = len(lengths) // size if train.dataloader_drop_last else -(-len(lengths) // size)
        how = f"{train.per_device_train_batch_size} samples, padded"
    epoch = max(1, math.ceil(batches / train.gradient_accumulation_steps))
    steps = train.max_steps if train.max_steps > 0 else math.ceil(train.num_train_epochs * epoch)
    return [
        f"{len(lengths):,} rows of {sum(lengths):,} tokens, {min(lengths):,} to "
        f"{max(lengths):,} a row",
        f"a batch: {how}; a step: {train.gradient_accumulation_steps} batch(es) on each of "
        f"{processes} process(es)",
        f"{steps:,} steps, {epoch:,} an epoch: {steps / epoch:.2f} epochs, about "
        f"{sum(lengths) * steps / epoch:,.0f} tokens",
    ]


def memory_lines(
    arguments: Arguments,
    model: nn.Module,
    parents: list[Path],
    lengths: list[int],
    eval_set: SampleDataset | None,
) -> list[str]:
    """What a process needs at least; activations are not known before a step is taken."""
    sizes = {
        "weights": weight_bytes(arguments, model, parents),
        "gradients": sum(p.numel() * p.element_size() for p in trained(model)),
        "optimizer": sum(p.numel() for p in trained(model)) * optimizer_bytes(arguments),
        "logits": logit_bytes(model, largest_batch(arguments, lengths), copies=2),
    }
    note = "activations come on top"
    if arguments.train.deepspeed or arguments.train.fsdp:
        note += "; DeepSpeed and FSDP share these out over the processes"
    lines = [f"memory at least {_in_gib(sizes)}; {note}"]
    if eval_set is not None:
        del sizes["gradients"]  # they are freed after each step
        longest, rows = max(eval_set.lengths()), len(eval_set)
        batch = min(arguments.train.per_device_eval_batch_size, rows)
        sizes["logits"] = logit_bytes(model, longest * batch, copies=1)
        if arguments.train.eval_score:
            sizes["keys and values"] = cache_bytes(arguments, model, longest, rows)
        lines.append(f"in evaluation at least {_in_gib(sizes)}")
    return lines


def _in_gib(sizes: dict[str, int]) -> str:
    items = ", ".join(f"{name} {size / GIB:.2f}" for name, size in sizes.items())
    return f"{sum(sizes.values()) / GIB:.2f} GiB: {items}"


def trained(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that train."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def weight_bytes(arguments: Arguments, model: nn.Module, parents: list[Path]) -> int:
    """Bytes of all weights; of a quantised base, matrices of the language model are packed."""
    total = 0.0
    for name, parameter in model.named_parameters():
        quantised = (
            arguments.model.bits != 16
            and parameter.ndim == 2
            and part_of(bare_name(name)) == "language"
            and "embed_tokens" not in name
            and not is_adapter_parameter(name)
        )
        width = arguments.model.bits / 8 if quantised else parameter.element_size()
        total += parameter.numel() * width
    files = [folder / name for folder in parents for name in (ADAPTER, FULL_MODULES)]
    return int(total) + sum(file.stat().st_size for file in files if file.is_file())


def optimizer_bytes(arguments: Arguments) -> int:
    """Bytes of optimizer state a trained number; two moments, in 8 bit where asked for."""
    if "8bit" in arguments.optimizer:
        return 2
    return 0 if arguments.optimizer == "sgd" else 8


def logit_bytes(model: Any, tokens: int, copies: int) -> int:
    """Bytes of the logits of a batch in fp32, of which no more than a chunk is held at once.

    Args:
        model: the model.
        tokens: of the largest batch.
        copies: 2 in training, where each logit has a gradient beside it; 1 in evaluation.
    """
    vocabulary = int(model.config.get_text_config().vocab_size)
    return copies * 4 * vocabulary * min(tokens, chunk_tokens(vocabulary))


def largest_batch(arguments: Arguments, lengths: list[int]) -> int:
    """Tokens of the largest training batch, padding among them."""
    if arguments.data.packing:
        return min(arguments.pack_budget, sum(lengths))
    return max(lengths) * min(arguments.train.per_device_train_batch_size, len(lengths))


def cache_bytes(arguments: Arguments, model: Any, longest: int, rows: int) -> int:
    """Bytes of the keys and values that generating the answers of a batch keeps.

    Args:
        arguments: every flag of the run.
        model: the model.
        longest: tokens of the longest row to answer.
        rows: how many there are.
    """
    text = model.config.get_text_config()
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    a_token = 2 * text.num_hidden_layers * text.num_key_value_heads * head
    tokens = longest + (arguments.train.eval_max_new_tokens or MAX_NEW_TOKENS)
    half = half_precision(arguments) is not None
    batch = min(arguments.train.per_device_eval_batch_size, rows)
    return (2 if half else 4) * a_token * tokens * batch
