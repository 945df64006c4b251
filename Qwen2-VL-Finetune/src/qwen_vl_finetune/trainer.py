"""Hugging Face's Trainer made exact for stacks: rates a part, saving, resuming, gradients seen."""

from __future__ import annotations

import functools
import math
import os
from pathlib import Path
from typing import Any

import torch
from accelerate.data_loader import prepare_data_loader
from peft import PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader
from transformers import EarlyStoppingCallback, Trainer
from transformers.trainer_callback import ProgressCallback
from transformers.trainer_pt_utils import LengthGroupedSampler

from .adapters import (
    PARTS,
    TRAINED,
    activate,
    bare_name,
    is_adapter_parameter,
    load_full_modules,
    own_trained,
    part_of,
    save_full_modules,
    set_trainable,
    true_shape,
)
from .answers import AnswerEvaluation
from .arguments import Arguments
from .data import NOTE, BatchNote, Noted
from .errors import UserError
from .flops import training_cost
from .model_folder import (
    PixelFrame,
    copy_dataset_info,
    copy_processor_files,
    memory_name,
    weight_shards,
)
from .optimizers import MuonAdamW, parameter_groups, part_rates
from .packing import Pack, PackCollator, PackSampler, make_packs
from .progress import RunBar
from .run_record import ADAPTER, write_record, writing
from .skipped import SkippedRows
from .throughput import Throughput, device_peak
from .time_limit import TimeLimit
from .watch import GradientWatch, LossWatch

Sampler = torch.utils.data.Sampler[Any] | None


class QwenTrainer(Trainer):
    """Trains a base model or a stack of adapters.

    Args:
        arguments: every flag of the run.
        base: the base model's folder; its processor files go beside every save.
        frame: the pixel budget in force.
        record: the run record; written into every checkpoint.
        answers: scores generated answers at every evaluation; None to look at the loss alone.
        kwargs: as for `transformers.Trainer`.
    """

    optimizer: Any  # stock leaves it untyped

    def __init__(
        self,
        arguments: Arguments,
        base: Path,
        frame: PixelFrame,
        record: dict[str, Any],
        answers: AnswerEvaluation | None = None,
        **kwargs: Any,
    ) -> None:
        self.answers = answers
        self.arguments, self.base, self.frame, self.record = arguments, base, frame, record
        super().__init__(args=arguments.train, **kwargs)
        peak = device_peak(arguments.train.device)
        self.throughput = Throughput(training_cost(self.model), peak=peak)
        self.skipped = SkippedRows(Path(str(arguments.train.output_dir)))
        # The Qwen-VL classes say no, so stock averages over micro-batches: tokens of a short
        # micro-batch would weigh more. Their loss does take the token count of the global batch.
        self.model_accepts_loss_kwargs = True
        self.gradients = GradientWatch(self)
        self.losses = LossWatch(self.train_dataset.name_rows)
        self.add_callback(self.gradients)
        self.add_callback(self.losses)
        self.time_limit = TimeLimit.of(arguments.train.max_minutes)
        self.add_callback(self.time_limit)
        if arguments.train.early_stopping_patience is not None:
            self.add_callback(EarlyStoppingCallback(arguments.train.early_stopping_patience))
        if not arguments.train.disable_tqdm:
            self.remove_callback(ProgressCallback)
            self.add_callback(RunBar)

    @property
    def rates(self) -> dict[str, float]:
        """The learning rate of every part."""
        train = self.arguments.train
        return part_rates(train.learning_rate, train.vision_lr, train.merger_lr)

    def training_step(self, model: nn.Module, inputs: dict[str, Any], *args: Any) -> torch.Tensor:
        """Forward and backward of one micro-batch, as stock does them."""
        note: BatchNote = inputs[NOTE]
        self.gradients.saw(note)
        self.throughput.add(note)
        self.skipped.add(self.train_dataset, note)
        loss: torch.Tensor = super().training_step(model, inputs, *args)
        self.losses.saw(loss, note)
        return loss

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        self.losses.norm = super()._get_grad_norm(model, grad_norm)
        return self.losses.norm

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Inputs on the device, without a key-value cache: nothing is generated here.

        Stock switches the cache off in the outer config only; the language model has its own.
        """
        known = {name: value for name, value in inputs.items() if name != NOTE}
        return {**super()._prepare_inputs(known), "use_cache": False}

    def _get_num_items_in_batch(self, *args: Any) -> Any:
        """Labelled tokens of a step; at least one, so that skipped rows give 0 and not 0 / 0."""
        count = super()._get_num_items_in_batch(*args)
        return count.clamp(min=1) if isinstance(count, torch.Tensor) else count

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Operations of a micro-batch, for `total_flos`; stock counts neither pictures nor LoRA."""
        return int(self.throughput.flops(inputs[NOTE]))

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Stock's log; lines about training also say how fast it goes."""
        if "loss" in logs:
            logs |= self.throughput.read(self.accelerator.gather, self.args.device)
        super().log(logs, *args, **kwargs)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Stock's evaluation; its time is none of training's."""
        with self.throughput.pause():
            metrics: dict[str, float] = super().evaluate(*args, **kwargs)
        return metrics

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        run = Path(str(self.args.output_dir))
        folder = run / f"checkpoint-{self.state.global_step}"
        with self.throughput.pause(), writing(folder, run):
            super()._save_checkpoint(*args, **kwargs)

    def evaluation_loop(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> Any:
        """Stock's evaluation loss, and the scores of generated answers beside it."""
        output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **kwargs)
        if self.answers is not None:
            model = self.accelerator.unwrap_model(self.model, keep_torch_compile=False)
            scores = self.answers.run(
                model.eval(), self.state.global_step, self.args.process_index, self.args.world_size
            )
            output.metrics.update({f"{metric_key_prefix}_{k}": v for k, v in scores.items()})
        return output

    # ---- optimizer and order of samples ----

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """An optimizer with a learning rate a part, or Muon beside AdamW."""
        ready: torch.optim.Optimizer | None = self.optimizer
        if ready is None:
            ready = self.optimizer = self._make_optimizer(model)
        return ready

    def _make_optimizer(self, model: nn.Module | None) -> torch.optim.Optimizer:
        train = self.arguments.train
        muon_lr = train.muon_lr if train.optim_muon else None
        groups = parameter_groups(
            model if model is not None else self.model, self.rates, train.weight_decay, muon_lr
        )
        if muon_lr is not None:
            betas = (train.adam_beta1, train.adam_beta2)
            return MuonAdamW(groups, betas=betas, eps=train.adam_epsilon)
        optimizer_class, options = self.get_optimizer_cls_and_kwargs(train, self.model)
        if not (isinstance(optimizer_class, type) and options.keys().isdisjoint(_OWN_GROUPS)):
            raise UserError(
                f"--optim {train.optim}: it chooses its own parameters, so the learning rates of "
                "the parts would be lost. Use an AdamW, SGD or Adafactor variant."
            )
        optimizer: torch.optim.Optimizer = optimizer_class(groups, **options)
        return optimizer

    @functools.cached_property
    def packs(self) -> list[Pack]:
        """The packs of this run, alike on every process."""
        lengths, budget = self.train_dataset.lengths(), self.arguments.pack_budget
        return make_packs(lengths, budget, self._order_seed, self.args.world_size)

    @property
    def _order_seed(self) -> int:
        return int(self.args.data_seed if self.args.data_seed is not None else self.args.seed)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Stock's loader, or one of packs."""
        if not self.arguments.data.packing:
            stock: DataLoader[Any] = super().get_train_dataloader()
            return stock
        args = self.args
        loader = DataLoader(
            self.train_dataset,
            batch_sampler=PackSampler(
                self.packs, self._order_seed, args.process_index, args.world_size
            ),
            collate_fn=Noted(PackCollator(self.train_dataset.processor)),
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory,
            persistent_workers=args.dataloader_persistent_workers,
            prefetch_factor=args.dataloader_prefetch_factor,
            multiprocessing_context=getattr(args, "dataloader_multiprocessing_context", None),
            in_order=getattr(args, "dataloader_in_order", True),
        )
        # the sampler already gives this process its own share
        prepared: DataLoader[Any] = prepare_data_loader(
            loader, args.device, num_processes=1, process_index=0, put_on_device=True
        )
        return prepared

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler:
        """Samples of like length together, from counted tokens (stock would decode every image)."""
        dataset = train_dataset if train_dataset is not None else self.train_dataset
        if dataset.ordered:
            return torch.utils.data.SequentialSampler(dataset)
        if str(self.args.train_sampling_strategy) != "group_by_length":
            stock: Sampler = super()._get_train_sampler(dataset)
            return stock
        batch = self.args.train_batch_size * self.args.gradient_accumulation_steps
        grouped: Sampler = LengthGroupedSampler(batch, lengths=dataset.lengths())
        return grouped

    def _get_eval_sampler(self, eval_dataset: Any) -> Sampler:
        if str(self.args.train_sampling_strategy) == "group_by_length":
            return torch.utils.data.SequentialSampler(eval_dataset)
        stock: Sampler = super()._get_eval_sampler(eval_dataset)
        return stock

    # ---- saving ----

    def _save(
        self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None
    ) -> None:
        """Save what trained, as safetensors and JSON; the frozen adapters stay where they are."""
        if not self.args.should_save:  # one process writes for all
            return
        folder = Path(output_dir or self.args.output_dir or ".")
        folder.mkdir(parents=True, exist_ok=True)
        model = self.accelerator.unwrap_model(self.model, keep_torch_compile=False)
        if isinstance(model, PeftModel):
            model.save_pretrained(
                str(folder), state_dict=state_dict, selected_adapters=[TRAINED],
                save_embedding_layers=False,
            )  # fmt: skip
            (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty model card
            save_full_modules(model, folder, state_dict)
        else:
            model.save_pretrained(str(folder), state_dict=state_dict)
        copy_processor_files(self.base, folder, self.frame)
        copy_dataset_info(Path(str(self.arguments.data.data_path)).parent, folder)
        write_record(folder, self.record)

    # ---- resuming ----

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: nn.Module | None = None
    ) -> None:
        """Put a checkpoint's weights into the model, strictly.

        Stock leaves only one adapter of a stack active, and loads a full fine-tune by names that
        differ from those in memory, so that nothing arrives; both without a word.
        """
        restore_weights(model if model is not None else self.model, Path(resume_from_checkpoint))
        set_trainable(
            self.model, self.arguments.full_parts, upcast=not self.arguments.train.deepspeed
        )

    def _load_best_model(self) -> None:
        best = self.state.best_model_checkpoint
        if self.is_deepspeed_enabled or best is None:
            super()._load_best_model()
            return
        self._load_from_checkpoint(best, self.model)


_OWN_GROUPS = {"params", "model", "optimizer_dict"}


def restore_weights(model: nn.Module, folder: Path) -> None:
    """Load the trained weights of a checkpoint into a model of the same make, strictly."""
    if not isinstance(model, PeftModel):
        _restore_base(model, folder)
        return
    state = load_file(folder / ADAPTER)
    own = get_peft_model_state_dict(model, adapter_name=TRAINED, save_embedding_layers=False)
    odd = sorted(state.keys() ^ own.keys())
    if odd:
        raise UserError(f"{folder}/{ADAPTER}: {len(odd)} tensors do not fit, such as {odd[0]}.")
    set_peft_model_state_dict(model, state, adapter_name=TRAINED)
    load_full_modules(model, folder, expected=set(own_trained(model)))
    activate(model)


def _restore_base(model: nn.Module, folder: Path) -> None:
    """Copy a full fine-tune's weights, shard by shard, by names in memory."""
    waiting = dict(model.named_parameters())  # a tied head is not listed twice
    with torch.no_grad():
        for shard in weight_shards(folder):
            with safe_open(shard, framework="pt") as file:
                for key in file.keys():  # noqa: SIM118 (safe_open is no dict)
                    parameter = waiting.pop(memory_name(key), None)
                    if parameter is not None:
                        parameter.copy_(file.get_tensor(key))
    if waiting:
        raise UserError(
            f"{folder}: {len(waiting)} tensors are missing, such as {next(iter(waiting))}"
        )


def part_table(model: nn.Module, rates: dict[str, float], muon_lr: float | None, rank: int) -> str:
    """The table shown before the first step: parameters, trainable, rate and LoRA rank a part."""
    total = dict.fromkeys(PARTS, 0)
    trains = dict.fromkeys(PARTS, 0)
    adapted = set()
    for name, parameter in model.named_parameters():
        part = part_of(bare_name(name))
        size = math.prod(true_shape(parameter))
        total[part] += size
        if parameter.requires_grad:
            trains[part] += size
            if is_adapter_parameter(name):
                adapted.add(part)
    lines = [f"{'part':<10}{'parameters':>16}{'trainable':>16}{'lr':>23}{'LoRA rank':>11}"]
    for part in PARTS:
        if not total[part]:
            continue
        rate = f"{rates[part]:g}" if trains[part] else "-"
        if trains[part] and muon_lr is not None and part not in adapted:
            rate += f" (Muon {muon_lr:g})"
        lora = str(rank) if part in adapted else "-"
        lines.append(f"{part:<10}{total[part]:>16,}{trains[part]:>16,}{rate:>23}{lora:>11}")
    return "\n".join(lines)


def is_main_process() -> bool:
    """Whether this process prints and writes for all."""
    return int(os.environ.get("RANK", "0")) == 0
