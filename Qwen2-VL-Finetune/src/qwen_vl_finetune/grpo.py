"""Group relative policy optimisation (GRPO): answers are drawn, rewarded, and made likelier.

For images whose right answer is known in part only, such as a SMILES without the positions of
its atoms. TRL's GRPOTrainer does the work (arXiv 2402.03300); data, adapters, run folder and record
are those of `train_sft.py`, so the same tools merge the result.
"""

from __future__ import annotations

import argparse
import copy
import inspect
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from peft import PeftModel
from transformers import (
    HfArgumentParser,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)
from transformers.models.qwen2_5_vl.processing_qwen2_5_vl import Qwen2_5_VLProcessor

from .adapters import TRAINED, activate, set_trainable
from .dataset import UNREADABLE, SampleDataset, open_image, unreadable
from .errors import DataError, UserError, raise_all
from .flags import Arguments, flag
from .load_data import describe_data, load_data
from .model_folder import resolve_folder
from .parsing import config_to_flags, parse_arguments
from .part_table import part_table
from .plugins import load_plugin, package_problems, raised
from .processing import Processor, in_eight_bits
from .progress import say
from .resume import is_finished
from .rows import Row, image_names, image_path, to_messages
from .run_record import without_secrets
from .run_trainer import RunTrainer
from .train import build_model, run, start_record

try:
    from trl import GRPOConfig, GRPOTrainer
except ImportError as error:
    raise UserError(
        f"train_grpo.py needs the package trl ({error}): pip install -e '.[train,rl]'"
    ) from error

# what a reward is: answers and references in, one number each out (None: nothing to say); one that
# has a parameter images gets the files of each prompt's images, too
Reward = Callable[..., list[float | None]]


@dataclass
class GrpoArguments:
    """What GRPO needs beside the flags of `train_sft.py`."""

    reward: list[str] = field(
        default_factory=list,
        metadata={
            "help": "Reward answers by these plug-ins, module:function(answers, references) -> one "
            "number each; several are added up. One with a parameter images gets the paths of each "
            "row's images, too. A reference is the row's smiles, or its answer "
            "where it has none."
        },
    )
    reward_weights: list[float] | None = flag(  # noqa: RUF009 (it gives a field)
        None, "Give each --reward this weight (1 if unset)."
    )
    num_generations: int = flag(
        8, "Draw so many answers for a prompt, to be compared with each other."
    )
    max_completion_length: int = flag(
        1024, "Let an answer be at most so many tokens long; what is longer is cut off."
    )
    temperature: float = flag(1.0, "Draw answers at this temperature.")
    top_p: float = flag(1.0, "Draw from the likeliest tokens that make up this probability.")
    top_k: int = flag(0, "Draw from so many of the likeliest tokens only (0: from all).")
    beta: float = flag(
        0.0,
        "Weigh the divergence (KL) from the model that the run began with by so much; 0 leaves it "
        "out. Needs LoRA, and nothing trained in full.",
    )
    no_spread_patience: int = flag(
        20,
        "Stop after so many steps in which all answers to each prompt were rewarded alike, which "
        "teaches nothing (0: never).",
    )
    use_vllm: bool = flag(
        False, "Draw the answers with vLLM, which must be installed beside this transformers."
    )
    vllm_mode: str = flag(
        "colocate", "Run vLLM on the GPUs that train (colocate), or reach a server (server)."
    )
    vllm_server_base_url: str | None = flag(None, "Reach the vLLM server here (server).")
    vllm_gpu_memory_utilization: float = flag(
        0.3, "Give vLLM this fraction of each GPU's memory (colocate)."
    )
    vllm_tensor_parallel_size: int = flag(1, "Let so many GPUs share one vLLM (colocate).")
    vllm_max_model_length: int | None = flag(
        None, "Let prompt and answer be at most so many tokens long in vLLM (colocate)."
    )
    num_iterations: int = flag(1, "Take so many steps on the same answers.")
    steps_per_generation: int | None = flag(
        None, "Draw so many micro-batches at a time (gradient_accumulation_steps if unset)."
    )
    scale_rewards: str = flag(
        "group", "Divide advantages by the deviation of the group, of the batch, or by none."
    )


# flags of train_sft.py that mean nothing here, with the reason
REFUSED = {
    "eval_path": "rewards are logged while it trains; merge, then score held-out rows",
    "eval_score": "the rewards are the score",
    "packing": "answers are drawn, so nothing can be packed beforehand",
    "cache_samples": "samples are made again with every draw",
    "image_cache": "images go through the stock processor here",
    "skip_bad_images": "a prompt without its image would be rewarded for guessing",
    "optim_muon": "take AdamW; the steps are small and few",
    "deepspeed": "generation between steps was only tried without it; torchrun shares the rows out",
    "fsdp": "generation between steps was only tried without it; torchrun shares the rows out",
    "dry_run": "train_sft.py shows it for the same flags",
    "use_liger": "it replaces the forward that gives each token's likelihood",
}


def parse(words: list[str] | None = None) -> tuple[Arguments, GrpoArguments]:
    """The command line: our flags out of it, the rest to the parser of `train_sft.py`."""
    words = list(sys.argv[1:] if words is None else words)
    parser = HfArgumentParser(
        (GrpoArguments,),
        prog="train_grpo.py",
        usage="train_grpo.py --model_id BASE --data_path JSON --output_dir RUN --reward M:F [...]",
        description=__doc__,
        epilog="All other flags are those of train_sft.py (--help lists them), but for "
        f"{', '.join(f'--{name}' for name in REFUSED)}.",
        formatter_class=argparse.HelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--config", type=Path, help="YAML file of flag: value; flags override it.")
    given, _ = parser.parse_known_args(words)
    if given.config:
        words = [*config_to_flags(given.config), *words]
    asked, rest = parser.parse_known_args(words)
    values = {k: v for k, v in vars(asked).items() if k != "config"}
    grpo = GrpoArguments(**values)
    if not grpo.reward:
        raise UserError("--reward is missing: module:function, once or several times")
    if grpo.reward_weights is not None and len(grpo.reward_weights) != len(grpo.reward):
        raise UserError(
            f"--reward_weights: found {len(grpo.reward_weights)}, expected one for each of the "
            f"{len(grpo.reward)} rewards"
        )
    arguments = parse_arguments(rest)
    groups = (arguments.model, arguments.data, arguments.train)
    wrong = [n for n in REFUSED if any(getattr(group, n, None) for group in groups)]
    if wrong:
        raise UserError("; ".join(f"--{name} is not taken: {REFUSED[name]}" for name in wrong))
    if arguments.makes_rows:
        raise UserError(
            "--data_path: train_grpo.py takes a file; rows are drawn from several times"
        )
    raise_all(grpo_problems(arguments, grpo), "the command line can't be used")
    return arguments, grpo


def grpo_problems(arguments: Arguments, grpo: GrpoArguments) -> list[str]:
    """What is wrong with the divergence and with vLLM."""
    problems = []
    if grpo.beta < 0 or grpo.top_k < 0 or grpo.no_spread_patience < 0:
        problems.append("--beta, --top_k and --no_spread_patience: expected at least 0")
    if grpo.beta > 0 and not arguments.lora.lora_enable:
        problems.append(
            "--beta needs --lora_enable true: the model without the adapter is compared"
        )
    if grpo.beta > 0 and arguments.lora.lora_enable and arguments.full_parts:
        problems.append(
            f"--beta while {', '.join(sorted(arguments.full_parts))} trains in full: how it was "
            "before is not kept, so there is nothing to compare with; freeze it"
        )
    if not grpo.use_vllm:
        return problems
    problems += package_problems("--use_vllm true", "vllm")
    if grpo.vllm_mode not in ("colocate", "server"):
        problems.append(f"--vllm_mode {grpo.vllm_mode}: expected colocate or server")
    if arguments.model.bits != 16:
        problems.append(
            f"--use_vllm with --bits {arguments.model.bits}: vLLM is sent whole weights after each "
            "step, which a packed base does not have; take 16"
        )
    return problems


def trl_config(arguments: Arguments, grpo: GrpoArguments) -> GRPOConfig:
    """TRL's settings from ours.

    No dropout: the same model has to draw the answers and to say how likely they are.
    """
    known = {item.name for item in fields(TrainingArguments) if item.init}
    values = {name: getattr(arguments.train, name) for name in known}
    ours = ("reward", "no_spread_patience")
    own = {name: value for name, value in vars(grpo).items() if name not in ours}
    fixed = {"disable_dropout": True, "remove_unused_columns": False}
    try:
        return GRPOConfig(**{**values, **own, **fixed})
    except ValueError as error:
        raise UserError(f"these flags do not go together: {error}") from error


def main(words: list[str] | None = None) -> int:
    """Train as the command line (or `words`) says; the whole of `train_grpo.py`."""
    arguments, grpo = parse(words)
    rewards = [load_reward(name) for name in grpo.reward]
    config = trl_config(arguments, grpo)
    output = Path(str(arguments.train.output_dir))
    settings = without_secrets({**arguments.settings(), **vars(grpo)})
    settings["processes"] = arguments.train.world_size
    base = resolve_folder(str(arguments.model.model_id))
    record, parents = start_record(arguments, base, settings)
    if is_finished(output, record, arguments.train.extend):
        say(f"{output} is finished; nothing to do. Take another --output_dir to train again.")
        return 0
    rows, _ = load_data(arguments, base)
    record["data"] = describe_data(rows)
    record["pixel_frame"] = vars(rows.processor.frame)
    set_seed(arguments.train.seed)  # the new adapter starts alike on every process
    model = build_model(arguments, base, parents)
    trainer = GrpoTrainer(arguments, config, base, record, rows, rewards, model)
    trainer.add_callback(SpreadWatch(grpo.no_spread_patience))
    say(part_table(model, trainer.rates, None, arguments.lora.lora_rank))
    say(f"{len(rows)} rows, {grpo.num_generations} answers to each; {', '.join(grpo.reward)}")
    run(trainer, output)
    plot_rewards(output / "rewards.png", trainer.state.log_history)
    return 0


# ---- rows and rewards ----


def reference_of(row: Row) -> str:
    """What the rewards compare with: the row's `smiles`, or its last answer."""
    smiles = row.get("smiles")
    return str(smiles) if smiles else str(row["conversations"][-1]["value"])


class Prompts:
    """Turns row numbers into prompts with their images, for TRL.

    Args:
        rows: the checked rows.
    """

    def __init__(self, rows: SampleDataset) -> None:
        self.rows = rows

    def __call__(self, items: list[dict[str, int]]) -> list[dict[str, Any]]:
        """`{"row": number}` -> prompt, reference and the files of its images, one each."""
        ready: dict[int, dict[str, Any]] = {}
        for item in items:  # TRL repeats a row for each of its answers
            if item["row"] not in ready:
                ready[item["row"]] = self.example(item["row"])
        return [ready[item["row"]] for item in items]

    def example(self, index: int) -> dict[str, Any]:
        """One prompt, all turns but the last answer, its images decoded."""
        row = self.rows.row(index)
        messages = to_messages(row)[:-1]
        names = iter(image_names(row))
        for message in messages:
            for part in message["content"] if isinstance(message["content"], list) else []:
                if part["type"] == "image":
                    part["image"] = self._open(index, next(names))
        folder = self.rows.encoder.folder
        files = [str(image_path(folder, name)) for name in image_names(row)]
        return {"prompt": messages, "reference": reference_of(row), "image_files": files}

    def _open(self, index: int, name: str) -> Any:
        path = image_path(self.rows.encoder.folder, name)
        try:
            image = in_eight_bits(open_image(path))
            self.rows.processor.grid_of(*image.size)  # raises at a strip that stock refuses
            return image
        except UNREADABLE as error:
            raise DataError(
                f"{self.rows.label(index)}: {unreadable(path, error)} Replace the file or take the "
                "row out."
            ) from error


def load_reward(name: str) -> Callable[..., list[float | None]]:
    """A reward plug-in as TRL calls it: with columns, and answers as messages."""
    reward: Reward = load_plugin(name, "--reward")
    sees = "images" in inspect.signature(reward).parameters

    def call(
        completions: list[list[dict[str, str]]],
        reference: list[str],
        image_files: list[list[str]],
        **_: Any,
    ) -> list[float | None]:
        answers = [messages[-1]["content"] for messages in completions]
        try:
            values = reward(answers, reference, **({"images": image_files} if sees else {}))
        except Exception as error:  # a plug-in may raise anything
            raise UserError(f"--reward {name}: {raised(error)}") from error
        if len(values) != len(answers):
            raise UserError(f"--reward {name}: {len(values)} values for {len(answers)} answers.")
        return values

    call.__name__ = name.rpartition(":")[2]  # TRL logs it under this name
    return call


# ---- the trainer ----


class ImageOnlyProcessor(Qwen2_5_VLProcessor):
    """The stock processor without its video part, which needs torchvision and is not used here.

    TRL asks for a processor class; parts, template and pixel budget are those of `Processor`.
    """

    def __init__(self, image_processor: Any, tokenizer: Any, chat_template: str | None = None):
        # another padding side than training's, so another tokenizer
        tokenizer = copy.deepcopy(tokenizer)
        tokenizer.padding_side = "left"
        super().__init__(image_processor, tokenizer, None, chat_template=chat_template)

    @classmethod
    def of(cls, processor: Processor) -> ImageOnlyProcessor:
        """The same parts as a processor class."""
        tokenizer = processor.tokenizer
        return cls(processor.image_processor, tokenizer, tokenizer.chat_template)


class Reference:
    """The model that a run began with, for the divergence: what trains, without its adapter.

    TRL's own way leaves one adapter of a stack active, before and after.

    Args:
        model: base or stack, with the adapter that trains on top.
    """

    def __init__(self, model: PeftModel) -> None:
        self.model = model

    def __call__(self, **inputs: Any) -> Any:
        """The output of the model as it was."""
        model = self.model
        under = [name for name in model.peft_config if name != TRAINED]
        trains = {name: p.requires_grad for name, p in model.named_parameters()}
        try:
            if under:
                model.base_model.set_adapter(under)
                return model(**inputs)
            with model.disable_adapter():
                return model(**inputs)
        finally:
            activate(model)
            for name, parameter in model.named_parameters():  # switching adapters sets it
                parameter.requires_grad_(trains[name])


class SpreadWatch(TrainerCallback):
    """Stops a run in which no answer is rewarded more than another, so that nothing is learnt.

    Args:
        patience: how many steps that may last; 0 for ever.
    """

    def __init__(self, patience: int) -> None:
        self.patience, self.since = patience, 0

    def on_train_begin(
        self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Count from here, also when a run is resumed."""
        self.since = state.global_step

    def on_log(
        self,
        args: Any,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Raise when no group of answers has had any spread for too long."""
        logs = logs or {}
        alike = logs.get("frac_reward_zero_std")
        if alike is None:
            return
        if alike < 1:
            self.since = state.global_step
        if not self.patience or state.global_step - self.since < self.patience:
            return
        cut = logs.get("completions/clipped_ratio", 0.0)
        raise UserError(
            f"for {state.global_step - self.since} steps all answers to each prompt were rewarded "
            f"alike ({logs.get('reward', math.nan):.3g} on average), so nothing was learnt. "
            f"{cut:.0%} of the answers were cut off at --max_completion_length "
            f"{args.max_completion_length}. Other usual causes: the model answers all prompts "
            "right, or none in the form that --reward asks for (train it on answers first); "
            "--temperature is too low for answers to differ; the reward has one value only. "
            "--no_spread_patience 0 goes on all the same."
        )


class GrpoTrainer(RunTrainer, GRPOTrainer):
    """TRL's GRPOTrainer that saves and resumes as `QwenTrainer` does, with its rates a part.

    Args:
        arguments: the flags shared with `train_sft.py`.
        config: TRL's settings.
        base: the base model's folder; its processor files go beside every save.
        record: the run record; written into every checkpoint.
        rows: the checked rows.
        rewards: as `load_reward` gives them.
        model: base model, or the stack whose last adapter trains.
    """

    def __init__(
        self,
        arguments: Arguments,
        config: GRPOConfig,
        base: Path,
        record: dict[str, Any],
        rows: SampleDataset,
        rewards: list[Callable[..., list[float | None]]],
        model: Any,
    ) -> None:
        from datasets import Dataset

        super().__init__(
            arguments,
            base,
            rows.processor.frame,
            record,
            model=model,
            reward_funcs=rewards,
            args=config,
            # TRL takes a table only; images are read when their turn comes
            train_dataset=Dataset.from_dict({"row": list(range(len(rows)))}),
            processing_class=ImageOnlyProcessor.of(rows.processor),
        )
        self.data_collator = Prompts(rows)
        if not isinstance(model, PeftModel):
            return
        if config.beta:
            model.delete_adapter("ref")  # TRL's copy of the adapter, to compare with
            activate(model)
            self.ref_model = Reference(model)
        set_trainable(model, arguments.full_parts)  # TRL rounds it to bf16 on a 4-bit base

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """No card: `run.json` says what the run was made of."""


def plot_rewards(path: Path, history: list[dict[str, Any]]) -> None:
    """The mean of every reward by step, and their weighted sum."""
    from matplotlib.figure import Figure

    lines = [entry for entry in history if "reward" in entry]
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.subplots()
    names = [key for key in (lines[0] if lines else {}) if key.startswith("rewards/")]
    for key in ["reward", *(name for name in names if name.endswith("/mean"))]:
        label = "sum" if key == "reward" else key.split("/")[1]
        axes.plot([e["step"] for e in lines], [e[key] for e in lines], label=label)
    axes.set_xlabel("step")
    axes.set_ylabel("mean reward")
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
