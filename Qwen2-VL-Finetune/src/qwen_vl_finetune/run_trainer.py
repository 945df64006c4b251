"""What both trainers (SFT and GRPO) do otherwise than stock: rates a part, saving, resuming."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn
from transformers import Trainer

from .adapters import (
    TRAINED,
    activate,
    load_full_modules,
    own_trained,
    save_full_modules,
    set_trainable,
)
from .errors import UserError
from .flags import Arguments
from .model_folder import (
    PixelFrame,
    copy_dataset_info,
    copy_processor_files,
    memory_name,
    weight_shards,
)
from .optimizers import MuonAdamW, current_rates, parameter_groups, part_rates
from .run_record import ADAPTER, weight_checksums, write_record, writing
from .time_limit import TimeLimit

_OWN_GROUPS = {"params", "model", "optimizer_dict"}


class RunTrainer(Trainer if TYPE_CHECKING else object):  # type: ignore[misc]
    """A mixin before a Trainer of transformers or TRL.

    Args:
        arguments: every flag of the run.
        base: the base model's folder; its processor files go beside every save.
        frame: the pixel budget in force.
        record: the run record; written into every checkpoint.
        kwargs: as for the trainer behind it.
    """

    optimizer: Any  # stock leaves it untyped

    def __init__(
        self,
        arguments: Arguments,
        base: Path,
        frame: PixelFrame,
        record: dict[str, Any],
        **kwargs: Any,
    ) -> None:
        self.arguments, self.base, self.frame, self.record = arguments, base, frame, record
        super().__init__(**kwargs)
        self.time_limit = TimeLimit.of(arguments.train.max_minutes)
        self.add_callback(self.time_limit)

    @property
    def rates(self) -> dict[str, float]:
        """The learning rate of every part."""
        train = self.arguments.train
        return part_rates(train.learning_rate, train.vision_lr, train.merger_lr)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """An optimizer with a learning rate a part, or Muon beside AdamW."""
        if self.optimizer is None:
            self.optimizer = self._make_optimizer(self.model if model is None else model)
        optimizer: torch.optim.Optimizer = self.optimizer
        return optimizer

    def _make_optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        train = self.arguments.train
        muon_lr = train.muon_lr if train.optim_muon else None
        groups = parameter_groups(model, self.rates, train.weight_decay, muon_lr)
        if muon_lr is not None:
            betas = (train.adam_beta1, train.adam_beta2)
            return MuonAdamW(groups, betas=betas, eps=train.adam_epsilon)
        make, options = self.get_optimizer_cls_and_kwargs(train, self.model)
        if not (isinstance(make, type) and options.keys().isdisjoint(_OWN_GROUPS)):
            raise UserError(
                f"--optim {train.optim}: it chooses its own parameters, so the learning rates of "
                "the parts would be lost. Use an AdamW, SGD or Adafactor variant."
            )
        optimizer: torch.optim.Optimizer = make(groups, **options)
        return optimizer

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Stock's log with one learning rate a part; stock's own is that of the first group."""
        if "learning_rate" in logs:
            rates = current_rates(self.optimizer)
            logs["learning_rate"] = rates.get("language", logs["learning_rate"])
            logs |= {f"learning_rate_{part}": rate for part, rate in rates.items()}
        super().log(logs, *args, **kwargs)

    # ---- saving ----

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        run = Path(str(self.args.output_dir))
        with writing(run / f"checkpoint-{self.state.global_step}", run):
            super()._save_checkpoint(*args, **kwargs)

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
        write_record(folder, {**self.record, "checksums": weight_checksums(folder)})

    # ---- resuming ----

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: nn.Module | None = None
    ) -> None:
        """Put a checkpoint's weights into the model, strictly.

        Stock leaves only one adapter of a stack active, and loads a full fine-tune by names that
        differ from those in memory, so that nothing arrives; both without a word.
        """
        restore_weights(self.model if model is None else model, Path(resume_from_checkpoint))
        set_trainable(
            self.model, self.arguments.full_parts, upcast=not self.arguments.train.deepspeed
        )


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
