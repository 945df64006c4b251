"""The command line of the trainer: read, checked as a whole, refused with reasons.

`--config FILE.yaml` gives values; flags on the command line override them. All mistakes, in types,
names and combinations, are collected and reported at once, before any weight is loaded. What a flag
means stands in flags.py, and what it does not go together with beside the feature that it asks for.
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from pathlib import Path
from typing import Any

import torch
import yaml
from transformers import HfArgumentParser

from .adapters import adapter_problems
from .cuda import WANTS_CUDA, cuda_problems
from .errors import UserError, raise_all
from .flags import Arguments, DataArguments, LoraArguments, ModelArguments, TrainArguments
from .generation_eval import evaluation_problems
from .load_data import data_problems
from .model import model_problems
from .optimizers import optimizer_problems
from .packing import packing_problems
from .plugin_dataset import plugin_problems
from .progress import say, tracker_problems
from .sharding import sharding_problems
from .time_limit import time_problems

CHECKS = (
    model_problems,
    data_problems,
    plugin_problems,
    packing_problems,
    adapter_problems,
    optimizer_problems,
    evaluation_problems,
    sharding_problems,
    time_problems,
    tracker_problems,
)

# flags of TrainingArguments or of earlier versions that nothing here would honour, with the reason
REFUSED = {
    "do_train": "train_sft.py always trains",
    "do_eval": "give --eval_path to evaluate",
    "do_predict": "train_sft.py makes no predictions",
    "label_names": "the labels are always called labels",
    "length_column_name": "lengths are counted from the rows themselves",
    "use_liger_kernel": "call it --use_liger",
    "optim_target_modules": "GaLore and its kin choose modules by themselves; use LoRA",
    "auto_find_batch_size": "a batch size found by failing differs from run to run",
    "push_to_hub": "merge first, then upload the merged folder",
    "label_smoothing_factor": "the model's own loss is used",
    "neftune_noise_alpha": "it hooks the embedding that a vision-language model fills itself",
    "save_only_model": "a run that was stopped could not resume; --save_total_limit saves space",
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

# flags of upstream's launch scripts that change nothing here, with the reason: true or false
NEEDLESS = {
    "lazy_preprocess": "images are always read when their turn comes",
    "remove_unused_columns": "the collator makes exactly what the model takes",
    "resume_from_checkpoint": "a run resumes from its last whole checkpoint by itself",
}

# names of older transformers that people still write
RENAMED = {"warmup_ratio": "warmup_steps", "evaluation_strategy": "eval_strategy"}


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
            "folder with checkpoints is resumed; a finished one is left alone."
        ),
        epilog=(
            "LoRA: train_sft.py --model_id BASE --data_path train.json --output_dir RUN "
            "--lora_enable true --vision_lora true --freeze_llm true --freeze_vision_tower true. "
            "Stack: the same, with --first_lora_path FIRST_RUN."
        ),
    )
    parser.add_argument("--config", help="YAML file of flag: value; flags override it.")
    return parser


def read_config_file(path: Path) -> dict[str, Any]:
    """The values of a YAML file, laid over those of the file beside it that its `base` names."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"--config {path}: no such file.") from error
    except yaml.YAMLError as error:
        raise UserError(f"--config {path}: not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise UserError(f"--config {path}: expected lines of flag: value.")
    base = values.pop("base", None)
    return values if base is None else {**read_config_file(path.parent / str(base)), **values}


def config_to_flags(path: Path) -> list[str]:
    """The values of a YAML file as command line words; one without a value is left out."""
    words: list[str] = []
    for name, value in read_config_file(path).items():
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


def _translate(groups: list[list[str]]) -> tuple[list[list[str]], list[str]]:
    """Flags of upstream's launch scripts in our words, each with a note; and what is wrong."""
    rest: list[list[str]] = []
    problems = []
    for group in groups:
        name = _flag_name(group[0])
        if name not in NEEDLESS and name != "group_by_length":
            rest.append(group)
            continue
        _, _, value = " ".join(group).replace("=", " ", 1).partition(" ")
        if value.lower() not in ("true", "false", ""):
            reason = NEEDLESS.get(name, "an order is chosen by --train_sampling_strategy")
            problems.append(f"--{name} {value}: expected true or false; {reason}")
        elif name in NEEDLESS:
            say(f"note: --{name} changes nothing: {NEEDLESS[name]}")
        elif value.lower() != "false":
            say(f"note: --{name} is called --train_sampling_strategy {name} now")
            rest.append(["--train_sampling_strategy", name])
    return rest, problems


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
    groups, problems = _translate(groups)
    problems += _flag_problems(parser, groups)
    # flags that are wrong alone are left out, so that the checks of combinations still run
    good = [w for g in groups if not _flag_problems(parser, [g]) for w in g]
    values = {k: v for k, v in vars(parser.parse_args(good)).items() if k != "config"}
    if str(values.get("fsdp")).lower() in ("true", "false"):  # a text there, for older values
        values["fsdp"] = str(values["fsdp"]).lower() == "true" or None
    problems += cuda_problems(values)
    if problems and not torch.cuda.is_available():  # said above, in words that name the flag
        values = {k: v for k, v in values.items() if k not in WANTS_CUDA}
    try:
        arguments = Arguments(*parser.parse_dict(values))
    except (ValueError, ImportError, TypeError, RuntimeError, OSError) as error:
        problems.append(f"TrainingArguments: {error}")
        # check what is ours all the same, so that its mistakes are reported in the same breath
        ours = {k: v for k, v in values.items() if k in _OWN_FIELDS}
        arguments = Arguments(*parser.parse_dict(ours))
    derive_settings(arguments)
    if not arguments.train.output_dir:
        problems.append("--output_dir is missing")
    problems += [problem for check in CHECKS for problem in check(arguments)]
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


def derive_settings(arguments: Arguments) -> None:
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
        train.ddp_find_unused_parameters = False  # every batch has an image, so all take part
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
