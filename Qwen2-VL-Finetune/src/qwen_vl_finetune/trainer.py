"""Hugging Face's Trainer for rows of images and text: packs, exact averages, checks, speed."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch
from accelerate.data_loader import prepare_data_loader
from torch import nn
from torch.utils.data import DataLoader
from transformers import EarlyStoppingCallback, Trainer
from transformers.trainer_callback import ProgressCallback
from transformers.trainer_pt_utils import LengthGroupedSampler

from .collator import NOTE, BatchNote, NotedCollator
from .errors import UserError
from .flags import Arguments
from .flops import training_cost
from .generation_eval import GenerationEval
from .packing import Pack, PackCollator, PackSampler, make_packs
from .progress import TIMES, RunBar
from .run_trainer import RunTrainer
from .sanity_callbacks import GradientWatch, LossWatch
from .skipped import SkippedRows
from .throughput import Throughput, device_peak

Sampler = torch.utils.data.Sampler[Any] | None


class QwenTrainer(RunTrainer, Trainer):
    """Trains a base model or a stack of adapters on rows.

    Args:
        arguments: every flag of the run.
        generation_eval: scores generated answers at every evaluation; None for the loss
            alone.
        kwargs: as for `RunTrainer` and `transformers.Trainer`.
    """

    def __init__(
        self,
        arguments: Arguments,
        generation_eval: GenerationEval | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(arguments, args=arguments.train, **kwargs)
        self.generation_eval = generation_eval
        peak = device_peak(arguments.train.device)
        self.throughput = Throughput(training_cost(self.model), peak=peak)
        self.skipped = SkippedRows(Path(str(arguments.train.output_dir)))
        # The Qwen-VL classes say no, so stock averages over micro-batches: tokens of a short
        # micro-batch would weigh more. Their loss does take the token count of the global batch.
        self.model_accepts_loss_kwargs = True
        self.gradients = GradientWatch()
        self.losses = LossWatch(self.train_dataset.name_rows)
        self.add_callback(self.gradients)
        self.add_callback(self.losses)
        if arguments.train.early_stopping_patience is not None:
            self.add_callback(EarlyStoppingCallback(arguments.train.early_stopping_patience))
        if not arguments.train.disable_tqdm:
            self.remove_callback(ProgressCallback)
            self.add_callback(RunBar)

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
        """Operations of a micro-batch, for `total_flos`; stock counts neither images nor LoRA."""
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
        with self.throughput.pause():
            super()._save_checkpoint(*args, **kwargs)

    def evaluation_loop(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> Any:
        """Stock's evaluation loss, and the scores of generated answers beside it."""
        output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **kwargs)
        if self.generation_eval is not None:
            model = self.accelerator.unwrap_model(self.model, keep_torch_compile=False)
            scores = self.generation_eval.run(
                model.eval(), self.state.global_step, self.args.process_index, self.args.world_size
            )
            output.metrics.update({f"{metric_key_prefix}_{k}": v for k, v in scores.items()})
        return output

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        try:
            best: bool = super()._determine_best_metric(metrics=metrics, trial=trial)
        except KeyError as error:
            scores = [key for key in metrics if key.startswith("eval_") and key not in TIMES]
            known = sorted(key.removeprefix("eval_") for key in scores)
            raise UserError(
                f"--metric_for_best_model {self.args.metric_for_best_model}: no such score; found "
                f"{', '.join(known)}."
            ) from error
        return best

    # ---- order of samples ----

    @functools.cached_property
    def packs(self) -> list[Pack]:
        """The packs of this run, alike on every process."""
        lengths, budget = self.train_dataset.lengths(), self.arguments.pack_budget
        return make_packs(lengths, budget, self.arguments.order_seed, self.args.world_size)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Stock's loader, or one of packs."""
        if not self.arguments.data.packing:
            stock: DataLoader[Any] = super().get_train_dataloader()
            return stock
        args = self.args
        loader = DataLoader(
            self.train_dataset,
            batch_sampler=PackSampler(
                self.packs, self.arguments.order_seed, args.process_index, args.world_size
            ),
            collate_fn=NotedCollator(PackCollator(self.train_dataset.processor)),
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory,
            persistent_workers=args.dataloader_persistent_workers,
            prefetch_factor=args.dataloader_prefetch_factor,
            multiprocessing_context=getattr(args, "dataloader_multiprocessing_context", None),
            in_order=getattr(args, "dataloader_in_order", True),
        )
        # the sampler already gives this process its own packs
        prepared: DataLoader[Any] = prepare_data_loader(
            loader, args.device, num_processes=1, process_index=0, put_on_device=True
        )
        return prepared

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler:
        """Samples of like length together, from counted tokens (stock would decode every image)."""
        dataset = train_dataset if train_dataset is not None else self.train_dataset
        if dataset.ordered:
            return torch.utils.data.SequentialSampler(dataset)
        if self.arguments.sampling != "group_by_length":
            stock: Sampler = super()._get_train_sampler(dataset)
            return stock
        batch = self.args.train_batch_size * self.args.gradient_accumulation_steps
        grouped: Sampler = LengthGroupedSampler(batch, lengths=dataset.lengths())
        return grouped

    def _get_eval_sampler(self, eval_dataset: Any) -> Sampler:
        if self.arguments.sampling == "group_by_length":
            return torch.utils.data.SequentialSampler(eval_dataset)
        stock: Sampler = super()._get_eval_sampler(eval_dataset)
        return stock

    def _load_best_model(self) -> None:
        best = self.state.best_model_checkpoint
        if self.is_deepspeed_enabled or best is None:
            super()._load_best_model()
            return
        self._load_from_checkpoint(best, self.model)
