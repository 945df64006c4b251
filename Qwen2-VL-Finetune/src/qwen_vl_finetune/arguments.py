"""Every flag of `train_sft.py`: documented, checked together, refused with a reason.

`--config FILE.yaml` gives values; flags on the command line override them. All mistakes, in types,
names and combinations, are collected and reported at once, before any weight is loaded.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import json
import os
import sys
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import yaml
from transformers import HfArgumentParser, TrainingArguments

from .errors import UserError, raise_all
from .plugins import is_maker


def _help(text: str) -> dict[str, str]:
    return {"help": text}


@dataclass
class ModelArguments:
    """The model and which of its parts train."""

    model_id: str | None = field(
        default=None, metadata=_help("Base model: a folder, or a hub name such as owner/model.")
    )
    bits: int = field(
        default=16,
        metadata=_help("Bits of the frozen base: 16, or 8 and 4 (bitsandbytes; NF4, QLoRA)."),
    )
    freeze_vision_tower: bool = field(
        default=False, metadata=_help("Keep the vision tower's own weights as they are.")
    )
    freeze_llm: bool = field(
        default=False, metadata=_help("Keep the language model's own weights as they are.")
    )
    freeze_merger: bool = field(
        default=False,
        metadata=_help("Keep the merger (vision to language) as it is; false trains it in full."),
    )
    disable_flash_attn2: bool = field(
        default=False,
        metadata=_help("Use sdpa even where FlashAttention 2 is installed and CUDA is there."),
    )
    use_liger: bool = field(
        default=False,
        metadata=_help("Use liger-kernel's fused kernels (CUDA, liger-kernel installed)."),
    )


@dataclass
class DataArguments:
    """The data and how it becomes batches."""

    data_path: str | None = field(
        default=None,
        metadata=_help(
            "LLaVA JSON to train on, or module:name of a plug-in that makes rows when they are "
            "asked for (see made_rows.py)."
        ),
    )
    data_options: str | None = field(
        default=None, metadata=_help("The arguments of such a plug-in, as a JSON object.")
    )
    eval_path: str | None = field(
        default=None,
        metadata=_help(
            "LLaVA JSON for the evaluation loss; every epoch if eval_strategy is unset."
        ),
    )
    image_folder: str | None = field(
        default=None,
        metadata=_help("Folder that paths of pictures start from; the data file's own if unset."),
    )
    image_min_pixels: int | None = field(
        default=None,
        metadata=_help(
            "Fewest pixels of a resized picture. Default: dataset_info.json beside the data, "
            "else the model's own."
        ),
    )
    image_max_pixels: int | None = field(
        default=None,
        metadata=_help("Most pixels of a resized picture (28 x 28 pixels are one token)."),
    )
    max_seq_length: int = field(
        default=8192,
        metadata=_help("Longest sample in tokens; longer ones are refused, never cut."),
    )
    drop_long: bool = field(
        default=False,
        metadata=_help("Leave samples over max_seq_length out (counted) instead of refusing."),
    )
    packing: bool = field(
        default=False,
        metadata=_help(
            "Lay samples end to end instead of padding them; one pack is one batch, so "
            "per_device_train_batch_size has no say. Evaluation stays padded."
        ),
    )
    tokens_per_batch: int | None = field(
        default=None,
        metadata=_help(
            "Most tokens in a pack (with packing; max_seq_length if unset). No sample may be "
            "longer: a lower max_seq_length follows from it."
        ),
    )
    skip_bad_images: bool = field(
        default=False,
        metadata=_help(
            "Let a row whose picture can't be read teach nothing (named once, counted, "
            "listed in skipped.jsonl) instead of stopping there. Rows to evaluate on are read "
            "beforehand and left out."
        ),
    )
    image_cache: str | None = field(
        default=None,
        metadata=_help(
            "Folder to keep processed pictures in, by content and pixel budget; runs may share it."
        ),
    )
    cache_samples: bool = field(
        default=False,
        metadata=_help(
            "Keep processed samples in memory after the first epoch (about 38 kB for 112 x 112 "
            "pixels); for small sets."
        ),
    )


@dataclass
class LoraArguments:
    """The adapter, and the frozen adapters under it."""

    lora_enable: bool = field(
        default=False, metadata=_help("Train LoRA on the language model (needs freeze_llm true).")
    )
    vision_lora: bool = field(
        default=False,
        metadata=_help("Also train LoRA on the vision tower (needs freeze_vision_tower true)."),
    )
    merger_lora: bool = field(
        default=False, metadata=_help("Also train LoRA on the merger (needs freeze_merger true).")
    )
    use_dora: bool = field(default=False, metadata=_help("DoRA instead of LoRA (no stack)."))
    lora_rank: int = field(default=64, metadata=_help("Rank of the LoRA matrices."))
    lora_alpha: int = field(default=16, metadata=_help("LoRA scale: alpha / rank."))
    lora_dropout: float = field(default=0.05, metadata=_help("Dropout before the LoRA matrices."))
    lora_namespan_exclude: str = field(
        default="['lm_head', 'embed_tokens']",
        metadata=_help("Python list of name parts; a layer whose name holds one gets no LoRA."),
    )
    num_lora_modules: int = field(
        default=-1, metadata=_help("LoRA on the last N layers of the list only; -1 for all.")
    )
    first_lora_path: list[str] | None = field(
        default=None,
        metadata=_help(
            "Adapter folder(s) to stack on, oldest first: loaded, kept active, frozen; a new "
            "adapter trains on top."
        ),
    )


@dataclass
class TrainArguments(TrainingArguments):
    """Hugging Face's TrainingArguments, with learning rates a part, Muon, and quieter defaults."""

    vision_lr: float | None = field(
        default=None, metadata=_help("Learning rate of the vision tower; learning_rate if unset.")
    )
    merger_lr: float | None = field(
        default=None, metadata=_help("Learning rate of the merger; learning_rate if unset.")
    )
    optim_muon: bool = field(
        default=False,
        metadata=_help(
            "Muon for the hidden matrices of modules trained in full, AdamW for all else."
        ),
    )
    muon_lr: float = field(
        default=3e-3, metadata=_help("Learning rate of the matrices that Muon trains.")
    )
    dry_run: bool = field(
        default=False,
        metadata=_help(
            "Check everything, print the plan (parts, steps, tokens, memory) and stop before any "
            "weight is loaded."
        ),
    )
    eval_score: str | None = field(
        default=None,
        metadata=_help(
            "module:function(predictions, references) -> dict of numbers. At every evaluation some "
            "rows are answered greedily, and the scores logged as eval_<key>, where "
            "metric_for_best_model finds them; samples.jsonl shows a few answers."
        ),
    )
    eval_generate_rows: int | None = field(
        default=None, metadata=_help("Rows that eval_score is given, evenly chosen (32 if unset).")
    )
    eval_max_new_tokens: int | None = field(
        default=None, metadata=_help("Longest answer, in tokens, for eval_score (512 if unset).")
    )
    early_stopping_patience: int | None = field(
        default=None,
        metadata=_help(
            "Stop after so many evaluations that did not better metric_for_best_model (needs "
            "load_best_model_at_end true)."
        ),
    )
    max_minutes: float | None = field(
        default=None,
        metadata=_help(
            "Stop after so long, with a checkpoint; the same command goes on from there."
        ),
    )
    # None first: the order of stock, which its parser relies on
    report_to: None | str | list[str] = field(  # noqa: RUF036
        default="tensorboard",
        metadata=_help("Trackers besides the log: tensorboard (in the run folder), wandb, none."),
    )
    logging_steps: float = field(default=10, metadata=_help("Log every N steps."))
    logging_nan_inf_filter: bool = field(default=False, metadata=_help("Not taken."))
    dataloader_pin_memory: bool = field(
        default=False, metadata=_help("Pin batches in memory (CUDA; costs locked memory).")
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
    def shards_weights(self) -> bool:
        """Whether processes share the weights out (FSDP, ZeRO-3)."""
        return bool(self.train.fsdp) or _shards_weights(self.train.deepspeed)

    @property
    def pack_budget(self) -> int:
        """The most tokens in a pack."""
        return self.data.tokens_per_batch or self.data.max_seq_length

    def settings(self) -> dict[str, Any]:
        """Every setting as plain JSON values."""
        merged: dict[str, Any] = {}
        for group in (self.model, self.data, self.lora):
            merged.update(vars(group))
        merged.update(self.train.to_dict())
        plain: dict[str, Any] = json.loads(json.dumps(merged, default=str))
        return plain


# flags of TrainingArguments or of earlier versions that nothing here would honour, with the reason
REFUSED = {
    "do_train": "train_sft.py always trains",
    "do_eval": "give --eval_path to evaluate",
    "do_predict": "train_sft.py makes no predictions",
    "label_names": "the labels are always called labels",
    "length_column_name": "lengths are counted from the rows themselves",
    "remove_unused_columns": "the collator makes exactly what the model takes",
    "use_liger_kernel": "call it --use_liger",
    "optim_target_modules": "GaLore and its kin choose modules by themselves; use LoRA",
    "auto_find_batch_size": "a batch size found by failing differs from run to run",
    "push_to_hub": "merge first, then upload the merged folder",
    "label_smoothing_factor": "the model's own loss is used",
    "neftune_noise_alpha": "it hooks the embedding that a vision-language model fills itself",
    "resume_from_checkpoint": "a run goes on from its last whole checkpoint by itself",
    "save_only_model": "a run that was stopped could not go on; --save_total_limit saves room",
    "use_cache": "nothing is generated while a loss is computed",
    "logging_nan_inf_filter": "a loss that is no number stops the run and names its rows",
    "parallelism_config": "only data is shared out, and weights by DeepSpeed or FSDP",
    "hub_token": "keys come from the environment; nothing is pushed from here",
    **dict.fromkeys(
        ("video_fps", "video_min_frames", "video_max_frames", "video_max_pixels"),
        "only images are trained on; give some of a video's frames as images",
    ),
    **dict.fromkeys(
        ("hub_model_id", "hub_strategy", "hub_private_repo", "hub_always_push", "hub_revision"),
        "merge first, then upload the merged folder",
    ),
    **dict.fromkeys(
        ("bf16_full_eval", "fp16_full_eval"), "evaluations are part of training and run as it does"
    ),
    **dict.fromkeys(
        (
            "prediction_loss_only",
            "eval_accumulation_steps",
            "eval_do_concat_batches",
            "eval_use_gather_object",
            "batch_eval_metrics",
            "include_for_metrics",
        ),
        "evaluation keeps the loss only, so that memory does not grow; --eval_score scores answers",
    ),
}


# names of older transformers that people still write
RENAMED = {"warmup_ratio": "warmup_steps", "evaluation_strategy": "eval_strategy"}


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


class _QuietParser(HfArgumentParser):
    """A parser that raises instead of leaving the process."""

    def error(self, message: str) -> Any:
        raise ValueError(message)


_OWN_FIELDS = {
    "output_dir",
    *(
        name
        for group in (ModelArguments, DataArguments, LoraArguments, TrainArguments)
        for name in vars(group)["__annotations__"]
    ),
}


def make_parser() -> HfArgumentParser:
    """The parser of `train_sft.py`."""
    parser = _QuietParser(
        (ModelArguments, DataArguments, LoraArguments, TrainArguments),
        prog="train_sft.py",
        usage="train_sft.py --model_id BASE --data_path JSON --output_dir RUN [flags]",
        allow_abbrev=False,
        formatter_class=argparse.HelpFormatter,
        description=(
            "Fine-tune a Qwen-VL model on LLaVA JSON: in full, with LoRA, or with a LoRA stacked "
            "on frozen ones. Run under python, torchrun --nproc_per_node N, or deepspeed. A run "
            "folder with checkpoints is gone on with; a finished one is left alone."
        ),
        epilog=(
            "LoRA: train_sft.py --model_id BASE --data_path train.json --output_dir RUN "
            "--lora_enable true --vision_lora true --freeze_llm true --freeze_vision_tower true. "
            "Stack: the same, with --first_lora_path FIRST_RUN."
        ),
    )
    parser.add_argument("--config", help="YAML file of flag: value; flags override it.")
    return parser


def config_to_flags(path: Path) -> list[str]:
    """The values of a YAML file as command line words."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"--config {path}: no such file.") from error
    except yaml.YAMLError as error:
        raise UserError(f"--config {path}: not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise UserError(f"--config {path}: expected lines of flag: value.")
    words: list[str] = []
    for name, value in values.items():
        if value is None:
            continue
        words.append(f"--{name}")
        if isinstance(value, list) and name != "lora_namespan_exclude":
            words += [str(item) for item in value]
        elif isinstance(value, dict):
            words.append(json.dumps(value))
        else:
            words.append(str(value))
    return words


def _flag_name(word: str) -> str:
    """`--lora-rank=8` -> `lora_rank`."""
    return word.partition("=")[0].removeprefix("--").replace("-", "_")


def _split_flags(words: list[str]) -> list[list[str]]:
    """Command line words grouped by flag: `--a 1 --b=2` -> [["--a", "1"], ["--b=2"]]."""
    groups: list[list[str]] = []
    for word in words:
        if word.startswith("--") or not groups:
            name, equals, value = word.partition("=")
            new = RENAMED.get(_flag_name(name))
            groups.append([f"--{new}{equals}{value}" if new else word])
        else:
            groups[-1].append(word)
    return groups


def _flag_problems(parser: HfArgumentParser, groups: list[list[str]]) -> list[str]:
    """What is wrong with each flag taken alone: unknown, of the wrong type, or refused."""
    known = [s for a in parser._actions for s in a.option_strings]
    problems = []
    for group in groups:
        flag = group[0].partition("=")[0]
        if _flag_name(flag) in REFUSED:
            problems.append(f"{flag} is not taken: {REFUSED[_flag_name(flag)]}")
            continue
        if flag not in known:
            near = difflib.get_close_matches(flag, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            problems.append(f"{flag}: no such flag{hint}")
            continue
        try:
            _, rest = parser.parse_known_args(group)
        except (ValueError, argparse.ArgumentError) as error:
            problems.append(str(error))
            continue
        if rest:
            problems.append(f"{flag}: one value too many: {' '.join(rest)}")
    return problems


def parse_arguments(words: list[str] | None = None) -> Arguments:
    """Parse and check the command line; raises one `UserError` with every mistake found."""
    words = list(sys.argv[1:] if words is None else words)
    parser = make_parser()
    if "-h" in words or "--help" in words:
        parser.print_help()
        raise SystemExit(0)
    config, words = _take_config(words)
    groups = _split_flags((config_to_flags(config) if config else []) + words)
    problems = _flag_problems(parser, groups)
    # flags that are wrong alone are left out, so that the checks of combinations still run
    good = [w for g in groups if not _flag_problems(parser, [g]) for w in g]
    values = {k: v for k, v in vars(parser.parse_args(good)).items() if k != "config"}
    if str(values.get("fsdp")).lower() in ("true", "false"):  # a text there, for older values
        values["fsdp"] = str(values["fsdp"]).lower() == "true" or None
    problems += _cuda_problems(values)
    if problems and not torch.cuda.is_available():  # said above, in words that name the flag
        values = {k: v for k, v in values.items() if k not in WANTS_CUDA}
    try:
        arguments = Arguments(*parser.parse_dict(values))
    except (ValueError, ImportError, TypeError, RuntimeError, OSError) as error:
        problems.append(f"TrainingArguments: {error}")
        # go on with what is ours, so that its mistakes are reported in the same breath
        ours = {k: v for k, v in values.items() if k in _OWN_FIELDS}
        arguments = Arguments(*parser.parse_dict(ours))
    complete(arguments)
    problems += combination_problems(arguments)
    raise_all(problems, "the command line can't be used", show=50)
    return arguments


def _take_config(words: list[str]) -> tuple[Path | None, list[str]]:
    """Take `--config FILE` out of the command line."""
    rest, config = [], None
    waiting = iter(words)
    for word in waiting:
        if word == "--config":
            config = Path(next(waiting, ""))
        elif word.startswith("--config="):
            config = Path(word.partition("=")[2])
        else:
            rest.append(word)
    return config, rest


def complete(arguments: Arguments) -> None:
    """Settings that follow from others."""
    train, data = arguments.train, arguments.data
    train.label_names = ["labels"]  # PEFT hides the signature; without it eval_loss is missing
    train.remove_unused_columns = False
    train.prediction_loss_only = True  # logits of a whole evaluation would not fit in memory
    if train.gradient_checkpointing:
        # reentrant checkpointing gives a frozen tower's LoRA no gradient at all
        kwargs = dict(train.gradient_checkpointing_kwargs or {})
        kwargs.setdefault("use_reentrant", False)
        train.gradient_checkpointing_kwargs = kwargs
        if hasattr(train, "activation_checkpointing_kwargs"):
            train.activation_checkpointing_kwargs = kwargs
    if train.ddp_find_unused_parameters is None:
        train.ddp_find_unused_parameters = False  # every batch has a picture, so all take part
    if data.eval_path and str(train.eval_strategy.value) == "no":
        train.eval_strategy = type(train.eval_strategy)("epoch")
    # a resumed run must remember how many evaluations it has been patient for
    if train.early_stopping_patience is not None:
        train.restore_callback_states_from_checkpoint = True
    if data.packing:
        data.max_seq_length = min(data.max_seq_length, arguments.pack_budget)
        train.per_device_train_batch_size = 1  # one pack
    if data.data_path and data.image_folder is None and not arguments.makes_rows:
        data.image_folder = str(Path(data.data_path).parent)


# flags that make sense on a GPU only, and what makes them so
WANTS_CUDA = {
    "bf16": "--use_cpu true if bf16 on this processor is what you want",
    "fp16": "processors have no fast fp16; leave it out",
    "tf32": "a format of NVIDIA's GPUs; leave it out",
    "use_liger": "its kernels are written for GPUs; leave it out",
    **dict.fromkeys(
        ("torch_compile", "torch_compile_backend", "torch_compile_mode"),
        "here each new length of batch is compiled for minutes; leave it out",
    ),
}


def _cuda_problems(values: dict[str, Any]) -> list[str]:
    """What asks for CUDA where there is none."""
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        return []
    on_cpu = bool(values.get("use_cpu"))
    asked = [
        f"--{name}: {reason}"
        for name, reason in WANTS_CUDA.items()
        if values.get(name) and not (name == "bf16" and on_cpu)
    ]
    devices = os.environ.get("CUDA_VISIBLE_DEVICES")
    if devices and devices != "-1" and not on_cpu:
        asked.append(f"CUDA_VISIBLE_DEVICES={devices}: --use_cpu true trains without a GPU")
    if not asked:
        return []
    build = f"torch {torch.__version__} was built for CUDA {torch.version.cuda or '(none)'}"
    found = f"no CUDA device was found ({build}; does nvidia-smi list one?)"
    return [f"{found}, but these ask for one: {'; '.join(asked)}"]


def combination_problems(arguments: Arguments) -> list[str]:
    """Everything wrong with the flags taken together."""
    return [
        *_missing_problems(arguments),
        *_range_problems(arguments),
        *_maker_problems(arguments),
        *_packing_problems(arguments),
        *_part_problems(arguments),
        *_stack_problems(arguments),
        *_optimizer_problems(arguments),
        *_evaluation_problems(arguments),
        *_sharding_problems(arguments),
        *_package_problems(arguments),
    ]


def _missing_problems(arguments: Arguments) -> list[str]:
    problems = []
    for name, value in (
        ("model_id", arguments.model.model_id),
        ("data_path", arguments.data.data_path),
        ("output_dir", arguments.train.output_dir),
    ):
        if not value:
            problems.append(f"--{name} is missing")
    for name, path in (
        ("data_path", arguments.data.data_path),
        ("eval_path", arguments.data.eval_path),
    ):
        if path and not Path(path).is_file() and not (name == "data_path" and is_maker(path)):
            problems.append(f"--{name} {path}: no such file")
    folder = arguments.data.image_folder
    if folder and not Path(folder).is_dir():
        problems.append(f"--image_folder {folder}: no such folder")
    if str(arguments.train.eval_strategy.value) != "no" and not arguments.data.eval_path:
        problems.append("--eval_strategy asks for evaluation, but --eval_path is missing")
    return problems


def _range_problems(arguments: Arguments) -> list[str]:
    data, lora = arguments.data, arguments.lora
    problems = []
    low, high = data.image_min_pixels, data.image_max_pixels
    if arguments.model.bits not in (4, 8, 16):
        problems.append(f"--bits {arguments.model.bits}: expected 16, 8 or 4")
    for name, value in (("image_min_pixels", low), ("image_max_pixels", high)):
        if value is not None and value < 28 * 28:
            problems.append(f"--{name} {value}: in pixels, at least {28 * 28} (28 x 28 is a token)")
    if low is not None and high is not None and low > high:
        problems.append(f"--image_min_pixels {low} is more than --image_max_pixels {high}")
    minutes = arguments.train.max_minutes
    if minutes is not None and minutes <= 0:
        problems.append(f"--max_minutes {minutes}: expected more than 0")
    for name, number in (
        ("lora_rank", lora.lora_rank),
        ("lora_alpha", lora.lora_alpha),
        ("max_seq_length", data.max_seq_length),
    ):
        if number < 1:
            problems.append(f"--{name} {number}: expected at least 1")
    if not 0 <= lora.lora_dropout < 1:
        problems.append(f"--lora_dropout {lora.lora_dropout}: expected 0 <= p < 1")
    if lora.num_lora_modules == 0 or lora.num_lora_modules < -1:
        problems.append(f"--num_lora_modules {lora.num_lora_modules}: expected -1 or at least 1")
    try:
        parse_name_list(lora.lora_namespan_exclude)
    except ValueError as error:
        problems.append(f"--lora_namespan_exclude: {error}")
    return problems


def _maker_problems(arguments: Arguments) -> list[str]:
    """What does not go together with rows that a plug-in makes."""
    data, train = arguments.data, arguments.train
    if not arguments.makes_rows:
        return ["--data_options needs --data_path module:name"] if data.data_options else []
    problems = []
    try:
        if not isinstance(json.loads(data.data_options or "{}"), dict):
            raise ValueError("not an object")
    except ValueError as error:
        problems.append(f"--data_options {data.data_options}: expected a JSON object ({error})")
    strategy = str(getattr(train.train_sampling_strategy, "value", train.train_sampling_strategy))
    asked = {
        "packing": data.packing,
        "image_cache": data.image_cache is not None,
        "cache_samples": data.cache_samples,
        "skip_bad_images": data.skip_bad_images,
        "drop_long": data.drop_long,
        "train_sampling_strategy": strategy != "random",
    }
    problems += [
        f"--{name} is for the rows of a file; a plug-in makes each row once, in its own order"
        for name, is_asked in asked.items()
        if is_asked
    ]
    return problems


def _packing_problems(arguments: Arguments) -> list[str]:
    data, train = arguments.data, arguments.train
    if not data.packing:
        return ["--tokens_per_batch needs --packing true"] if data.tokens_per_batch else []
    problems = []
    if data.tokens_per_batch is not None and data.tokens_per_batch < 1:
        problems.append(f"--tokens_per_batch {data.tokens_per_batch}: expected at least 1")
    strategy = str(getattr(train.train_sampling_strategy, "value", train.train_sampling_strategy))
    if strategy != "random":
        problems.append(
            f"--train_sampling_strategy {strategy} with --packing: packs have one order, random"
        )
    if train.dataloader_drop_last:
        problems.append("--dataloader_drop_last with --packing: every process has as many packs")
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
    for part in ("vision", "merger"):
        trains = part in arguments.full_parts | arguments.lora_parts
        if getattr(arguments.train, f"{part}_lr") is not None and not trains:
            problems.append(f"--{part}_lr is set, but the {part} does not train")
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


def _optimizer_problems(arguments: Arguments) -> list[str]:
    train = arguments.train
    problems = []
    if train.optim_muon:
        if arguments.lora.lora_enable and not arguments.full_parts:
            problems.append("--optim_muon true: no module trains in full, so Muon has no matrix")
        if train.deepspeed:
            problems.append(
                "--optim_muon true: DeepSpeed shards the matrices that Muon needs whole"
            )
        for name in ("vision_lr", "merger_lr"):
            if getattr(train, name) is not None:
                problems.append(f"--{name} with --optim_muon: Muon has one rate, --muon_lr")
        if str(getattr(train.optim, "value", "")) not in ("adamw_torch", "adamw_torch_fused"):
            problems.append("--optim with --optim_muon: what Muon does not train, AdamW does")
    kwargs = train.gradient_checkpointing_kwargs
    if isinstance(kwargs, dict) and kwargs.get("use_reentrant"):
        problems.append(
            "gradient_checkpointing_kwargs use_reentrant true: LoRA behind a frozen layer would "
            "get no gradient; leave it out"
        )
    return problems


def _sharding_problems(arguments: Arguments) -> list[str]:
    """What FSDP and ZeRO-3, which share the weights themselves out, can't do here."""
    train = arguments.train
    zero3, config = _shards_weights(train.deepspeed), train.fsdp_config
    config = config if train.fsdp and isinstance(config, dict) else {}
    problems = []
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
    if not (zero3 or train.fsdp):
        return problems
    name = "--fsdp" if train.fsdp else "ZeRO-3"
    if arguments.model.bits != 16:
        bits = arguments.model.bits
        problems.append(f"--bits {bits} with {name}: take 16, or ZeRO-2")
    if arguments.lora.first_lora_path and zero3:
        problems.append(
            "--first_lora_path with ZeRO-3: by then the base is shared out, and the frozen "
            "adapter's weights would not arrive; use ZeRO-2"
        )
    if train.optim_muon and train.fsdp:
        problems.append("--optim_muon true: FSDP shards the matrices that Muon needs whole")
    return problems


def _evaluation_problems(arguments: Arguments) -> list[str]:
    train = arguments.train
    problems = []
    for name in ("eval_generate_rows", "eval_max_new_tokens", "early_stopping_patience"):
        value = getattr(train, name)
        if value is not None and value < 1:
            problems.append(f"--{name} {value}: expected at least 1")
        if value is not None and name.startswith("eval_") and not train.eval_score:
            problems.append(f"--{name} needs --eval_score")
    if train.eval_score and not arguments.data.eval_path:
        problems.append("--eval_score needs --eval_path")
    if train.eval_score and arguments.shards_weights:
        problems.append(
            "--eval_score: processes generate at their own pace, which sharded weights (FSDP, "
            "ZeRO-3) don't allow; use ZeRO-2 or leave it out"
        )
    if train.early_stopping_patience is not None and not train.load_best_model_at_end:
        problems.append("--early_stopping_patience needs --load_best_model_at_end true")
    return problems


def _shards_weights(deepspeed: Any) -> bool:
    """Whether a DeepSpeed setting (a dict, or a JSON file's path) is ZeRO-3."""
    if isinstance(deepspeed, str) and Path(deepspeed).is_file():
        deepspeed = json.loads(Path(deepspeed).read_text(encoding="utf-8"))
    zero = deepspeed.get("zero_optimization", {}) if isinstance(deepspeed, dict) else {}
    return int(zero.get("stage", 0)) == 3


def _package_problems(arguments: Arguments) -> list[str]:
    """Packages that are asked for and not installed."""
    bits, optim = arguments.model.bits, str(getattr(arguments.train.optim, "value", ""))
    wanted = [
        (f"--bits {bits}", "bitsandbytes", bits != 16),
        (f"--optim {optim}", "bitsandbytes", "bnb" in optim or optim.endswith("_8bit")),
        ("--deepspeed", "deepspeed", bool(arguments.train.deepspeed)),
        ("--use_liger", "liger_kernel", arguments.model.use_liger),
    ]
    return [
        f"{flag} needs the package {name}: pip install {name.replace('_', '-')}"
        for flag, name, needed in wanted
        if needed and find_spec(name) is None
    ]
