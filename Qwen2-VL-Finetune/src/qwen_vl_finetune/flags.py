"""Every flag of `train_sft.py`, documented, and what follows from several of them together."""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass, field
from typing import Any

from transformers import TrainingArguments

from .plugins import is_maker


def flag(default: Any, text: str) -> Any:
    """A field that is a flag: its default, and what `--help` says of it."""
    return field(default=default, metadata={"help": text})


@dataclass
class ModelArguments:
    """The model and which of its parts train."""

    model_id: str | None = flag(
        None, "The base model: a folder, or a hub name such as owner/model."
    )
    bits: int = flag(
        16, "Hold the frozen base in so many bits: 16, or 8 or 4 by bitsandbytes (NF4, QLoRA)."
    )
    freeze_vision_tower: bool = flag(False, "Keep the vision tower's own weights as they are.")
    freeze_llm: bool = flag(False, "Keep the language model's own weights as they are.")
    freeze_merger: bool = flag(
        False, "Keep the merger (from vision to language) as it is; false trains it in full."
    )
    disable_flash_attn2: bool = flag(
        False, "Use sdpa even where FlashAttention 2 is installed and CUDA is available."
    )
    use_liger: bool = flag(
        False, "Use the fused kernels of liger-kernel (needs CUDA, and liger-kernel installed)."
    )


@dataclass
class DataArguments:
    """The data and how it becomes batches."""

    data_path: str | None = flag(
        None,
        "The LLaVA JSON (or .jsonl) file to train on, shards as 'DIR/train-*.jsonl', or "
        "module:name of a plug-in that makes rows when they are asked for (see plugin_dataset.py).",
    )
    data_options: str | None = flag(
        None, "Pass these arguments to such a plug-in, given as a JSON object."
    )
    eval_path: str | None = flag(
        None,
        "The LLaVA JSON file to compute the evaluation loss on; after every epoch if "
        "eval_strategy is unset.",
    )
    image_folder: str | None = flag(
        None, "The folder that image paths start from; the data file's own folder if unset."
    )
    image_min_pixels: int | None = flag(
        None,
        "Resize images to at least so many pixels. If unset, dataset_info.json beside the data "
        "says it, else the model's own processor.",
    )
    image_max_pixels: int | None = flag(
        None, "Resize images to at most so many pixels (28 x 28 pixels are one token)."
    )
    max_seq_length: int = flag(
        8192, "Take samples of at most so many tokens; longer ones are refused, never cut."
    )
    drop_long: bool = flag(
        False, "Leave samples over max_seq_length out, and count them, instead of refusing."
    )
    packing: bool = flag(
        False,
        "Lay samples end to end instead of padding them. One pack is one batch, so "
        "per_device_train_batch_size has no say; evaluation stays padded.",
    )
    tokens_per_batch: int | None = flag(
        None,
        "Put at most so many tokens into a pack (with packing; max_seq_length if unset). No "
        "sample may be longer: a lower max_seq_length follows from it.",
    )
    skip_bad_images: bool = flag(
        False,
        "Let a row whose image can't be read teach nothing (named once, counted, listed in "
        "skipped.jsonl) instead of stopping there. Rows to evaluate on are read beforehand and "
        "left out.",
    )
    image_cache: str | None = flag(
        None,
        "Keep processed images in this folder, by content and pixel budget; runs may share it.",
    )
    cache_samples: bool = flag(
        False,
        "Keep processed samples in memory after the first epoch (about 38 kB each for images of "
        "112 x 112 pixels); meant for small sets.",
    )


@dataclass
class LoraArguments:
    """The adapter, and the frozen adapters under it."""

    lora_enable: bool = flag(False, "Train LoRA on the language model (needs freeze_llm true).")
    vision_lora: bool = flag(
        False, "Also train LoRA on the vision tower (needs freeze_vision_tower true)."
    )
    merger_lora: bool = flag(False, "Also train LoRA on the merger (needs freeze_merger true).")
    use_dora: bool = flag(False, "Train DoRA instead of LoRA (not in a stack).")
    lora_rank: int = flag(64, "Give the LoRA matrices this rank.")
    lora_alpha: int = flag(16, "Scale what LoRA adds by alpha / rank.")
    lora_dropout: float = flag(0.05, "Drop this fraction of the inputs of the LoRA matrices.")
    lora_namespan_exclude: str = flag(
        "['lm_head', 'embed_tokens']",
        "Put no LoRA on a layer whose name holds one of these parts, given as a Python list.",
    )
    num_lora_modules: int = flag(
        -1, "Put LoRA on the last so many layers of the list only; -1 for all of them."
    )
    first_lora_path: list[str] | None = flag(  # noqa: RUF009 (it gives a field)
        None,
        "Stack on the adapter(s) in these folders, oldest first: they are loaded, kept active and "
        "frozen, and a new adapter trains on top.",
    )


@dataclass
class TrainArguments(TrainingArguments):
    """Hugging Face's TrainingArguments, with learning rates a part, Muon, and quieter defaults."""

    vision_lr: float | None = flag(
        None, "Train the vision tower at this learning rate; at learning_rate if unset."
    )
    merger_lr: float | None = flag(
        None, "Train the merger at this learning rate; at learning_rate if unset."
    )
    optim_muon: bool = flag(
        False, "Use Muon for the hidden matrices of modules trained in full, AdamW for all else."
    )
    muon_lr: float = flag(3e-3, "Train the matrices that Muon takes at this learning rate.")
    dry_run: bool = flag(
        False,
        "Check everything, print what the run would do (parts, steps, tokens, memory) and stop "
        "before any weight is loaded.",
    )
    eval_score: str | None = flag(
        None,
        "Score generated answers by this plug-in, module:function(predictions, references) -> "
        "dict of numbers. At every evaluation some rows are answered greedily, and the scores "
        "logged as eval_<key>, where metric_for_best_model finds them; samples.jsonl shows a few "
        "answers.",
    )
    eval_generate_rows: int | None = flag(
        None, "Answer so many rows for eval_score, evenly chosen (32 if unset)."
    )
    eval_max_new_tokens: int | None = flag(
        None, "Let an answer for eval_score be at most so many tokens long (512 if unset)."
    )
    early_stopping_patience: int | None = flag(
        None,
        "Stop after so many evaluations that did not better metric_for_best_model (needs "
        "load_best_model_at_end true).",
    )
    extend: bool = flag(
        False,
        "Make the run in output_dir longer than it was meant to be, finished or not: take a "
        "larger max_steps or num_train_epochs, and the longer run's learning rates from there on.",
    )
    max_minutes: float | None = flag(
        None,
        "Stop after so many minutes, with a checkpoint; the same command resumes from there.",
    )
    # None first: the order of stock, which its parser relies on
    report_to: None | str | list[str] = flag(  # noqa: RUF036, RUF009
        "tensorboard",
        "Report to these trackers besides the log: tensorboard (in the run folder), wandb, none.",
    )
    logging_steps: float = flag(10, "Log after every so many steps.")
    logging_nan_inf_filter: bool = flag(False, "This flag is not taken.")
    dataloader_pin_memory: bool = flag(
        False, "Pin batches in memory (for CUDA; costs locked memory)."
    )


@dataclass
class Arguments:
    """Everything `train_sft.py` was asked for."""

    model: ModelArguments
    data: DataArguments
    lora: LoraArguments
    train: TrainArguments

    @property
    def exclude(self) -> list[str]:
        """`lora_namespan_exclude` as a list."""
        return parse_name_list(self.lora.lora_namespan_exclude)

    @property
    def lora_parts(self) -> set[str]:
        """The parts that get LoRA."""
        wanted = {
            "language": self.lora.lora_enable,
            "vision": self.lora.lora_enable and self.lora.vision_lora,
            "merger": self.lora.lora_enable and self.lora.merger_lora,
        }
        return {part for part, yes in wanted.items() if yes}

    @property
    def full_parts(self) -> set[str]:
        """The parts whose own weights train."""
        frozen = {
            "vision": self.model.freeze_vision_tower,
            "merger": self.model.freeze_merger,
            "language": self.model.freeze_llm,
            "head": self.model.freeze_llm,
        }
        return {part for part, freeze in frozen.items() if not freeze}

    @property
    def makes_rows(self) -> bool:
        """Whether a plug-in makes the training rows."""
        return self.data.data_path is not None and is_maker(self.data.data_path)

    @property
    def pack_budget(self) -> int:
        """The most tokens in a pack."""
        return self.data.tokens_per_batch or self.data.max_seq_length

    @property
    def order_seed(self) -> int:
        """What the order of samples is drawn from."""
        seed = self.train.data_seed
        return int(self.train.seed if seed is None else seed)

    @property
    def sampling(self) -> str:
        """In which order samples are drawn."""
        return plain_text(self.train.train_sampling_strategy)

    @property
    def needs_lengths(self) -> bool:
        """Whether batches are made by the lengths of all training samples."""
        return self.data.packing or self.sampling == "group_by_length"

    @property
    def optimizer(self) -> str:
        """The name of the optimizer."""
        return plain_text(self.train.optim)

    def settings(self) -> dict[str, Any]:
        """Every setting as plain JSON values."""
        merged: dict[str, Any] = {}
        for group in (self.model, self.data, self.lora):
            merged.update(vars(group))
        merged.update(self.train.to_dict())
        plain: dict[str, Any] = json.loads(json.dumps(merged, default=str))
        return plain


def plain_text(value: Any) -> str:
    """A choice of stock's as text, whether it is one already or a member of an Enum."""
    return str(getattr(value, "value", value))


def parse_name_list(text: str) -> list[str]:
    """`"['a', 'b']"`, `"a,b"` or `"[]"` as a list of names; raises ValueError."""
    text = text.strip()
    if not text.startswith("["):
        return [name.strip() for name in text.split(",") if name.strip()]
    try:
        names = ast.literal_eval(text)
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{text!r} is not a list of names") from error
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f"{text!r} is not a list of names")
    return list(names)
