"""One training run, from flags to a finished run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peft import PeftModel
from transformers import PreTrainedModel, set_seed
from transformers.trainer_utils import TrainOutput

from .adapters import (
    add_trained_adapter,
    check_adapter,
    check_chain,
    find_targets,
    load_adapters,
    lora_config,
    set_trainable,
)
from .collator import Collator, NotedCollator
from .dataset import SampleDataset
from .dry_run import dry_run
from .flags import Arguments
from .generation_eval import MAX_NEW_TOKENS, GenerationEval, load_score
from .load_data import describe_data, load_data
from .model import load_model
from .model_folder import fingerprint_model, read_config, require_processor, resolve_folder
from .parsing import parse_arguments
from .part_table import part_table
from .progress import say
from .resume import agreed_checkpoint, data_fingerprint, is_finished
from .run_record import (
    FORMAT,
    library_versions,
    without_secrets,
    write_record,
    writing,
)
from .run_trainer import RunTrainer
from .skipped import REASON, SKIPPED, read_skipped
from .summary import write_summary
from .trainer import QwenTrainer
from .upstream import describe_adapter, in_our_form


def main(words: list[str] | None = None) -> int:
    """Train as the command line (or `words`) says; the whole of `train_sft.py`."""
    arguments = parse_arguments(words)
    output = Path(str(arguments.train.output_dir))
    settings = without_secrets(arguments.settings())
    settings["processes"] = arguments.train.world_size
    base = resolve_folder(str(arguments.model.model_id))
    record, parents = start_record(arguments, base, settings)
    if is_finished(output, record, arguments.train.extend):
        say(f"{output} is finished; nothing to do. Take another --output_dir to train again.")
        return 0
    if arguments.train.eval_score:
        load_score(arguments.train.eval_score)  # refused now rather than at the first evaluation

    train_set, eval_set = load_data(arguments, base)
    if arguments.train.dry_run:
        say(dry_run(arguments, base, parents, train_set, eval_set))
        return 0
    record["data"] = describe_data(train_set)
    record["pixel_frame"] = vars(train_set.processor.frame)
    set_seed(arguments.train.seed)  # the new adapter starts alike on every process
    model = build_model(arguments, base, parents)
    trainer = QwenTrainer(
        arguments,
        generation_eval(arguments, eval_set),
        base=base,
        frame=train_set.processor.frame,
        record=record,
        model=model,
        train_dataset=train_set,
        eval_dataset=eval_set,
        data_collator=NotedCollator(Collator(train_set.processor)),
    )
    muon_lr = arguments.train.muon_lr if arguments.train.optim_muon else None
    table = part_table(model, trainer.rates, muon_lr, arguments.lora.lora_rank)
    say(f"{table}\n{len(train_set)} rows to train on{_dropped_note(train_set)}")
    if arguments.data.packing:
        filled = sum(train_set.lengths()) / (len(trainer.packs) * arguments.pack_budget)
        say(f"{len(trainer.packs)} packs, {filled:.0%} full; one pack is one batch")
    run(trainer, output)
    return 0


def run(trainer: RunTrainer, output: Path) -> None:
    """Train, resuming from the last whole checkpoint, and close the run folder if that was all."""
    checkpoint = agreed_checkpoint(output, trainer.args.world_size)
    if checkpoint is not None:
        say(f"resuming from {checkpoint}")
    if trainer.is_world_process_zero():
        write_record(output, trainer.record)
    result = trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if trainer.time_limit.reached:
        say(f"time is up at step {result.global_step} of {trainer.state.max_steps}; the same "
            "command resumes from there")  # fmt: skip
    else:
        close(trainer, output, result)
    # a process that leaves earlier may end in an abort, and the launcher then kills the writer
    trainer.accelerator.wait_for_everyone()
    trainer.accelerator.state.destroy_process_group()


def close(trainer: RunTrainer, output: Path, result: TrainOutput) -> None:
    """Write what a finished run leaves: weights, log, plot, summary, and its word that it is."""
    with writing(output, output):
        trainer.save_model()
        trainer.save_state()
    trainer.accelerator.wait_for_everyone()
    if trainer.is_world_process_zero():
        trainer.record["metrics"] = result.metrics
        trainer.record["steps"] = result.global_step
        trainer.record["saved"] = saved_weights(trainer)
        skipped = read_skipped(output)
        if skipped:
            trainer.record["data"]["dropped"][REASON] = len(skipped)
            say(f"{len(skipped)} rows taught nothing ({REASON}); {output / SKIPPED} names them")
        write_summary(output, trainer.record, trainer.state.log_history)
        trainer.record["finished"] = True
        write_record(output, trainer.record)
    say(f"finished: {output}")


def saved_weights(trainer: RunTrainer) -> dict[str, Any]:
    """Which step's weights a finished run has saved, and why: the last, or the best by a score."""
    state, args = trainer.state, trainer.args
    if not args.load_best_model_at_end or state.best_model_checkpoint is None:
        return {"step": state.global_step}
    step = int(state.best_model_checkpoint.rpartition("-")[2])
    metric = str(args.metric_for_best_model or "loss").removeprefix("eval_")
    return {"step": step, "best": metric, "value": state.best_metric}


def start_record(
    arguments: Arguments, base: Path, settings: dict[str, Any]
) -> tuple[dict[str, Any], list[Path]]:
    """The run record at the start, and the parent adapters in our form; both checked."""
    config = read_config(base)
    require_processor(base)
    fingerprint = fingerprint_model(base)
    given = [Path(path) for path in arguments.lora.first_lora_path or []]
    parents = [in_our_form(folder, base) for folder in given]
    for folder in parents:
        check_adapter(folder, fingerprint)
    check_chain(parents)
    record = {
        "format": FORMAT,
        "finished": False,
        "kind": "adapter" if arguments.lora.lora_enable else "full",
        "base": {
            "path": str(arguments.model.model_id),
            "model_type": config["model_type"],
            "fingerprint": fingerprint,
        },
        "parents": [describe_adapter(*paths) for paths in zip(given, parents, strict=True)],
        "lora_parts": sorted(arguments.lora_parts),
        "full_parts": sorted(arguments.full_parts),
        "data_fingerprint": data_fingerprint(str(arguments.data.data_path)),
        "settings": settings,
        "versions": library_versions(),
    }
    return record, parents


def generation_eval(arguments: Arguments, dataset: SampleDataset | None) -> GenerationEval | None:
    """What scores generated answers, if that was asked for."""
    train = arguments.train
    if not train.eval_score or dataset is None:
        return None
    return GenerationEval(
        load_score(train.eval_score),
        train.eval_score,
        dataset,
        rows=train.eval_generate_rows or 32,
        max_new_tokens=train.eval_max_new_tokens or MAX_NEW_TOKENS,
        batch_size=train.per_device_eval_batch_size,
        output=Path(str(train.output_dir)),
    )


def build_model(
    arguments: Arguments, base: Path, parents: list[Path]
) -> PreTrainedModel | PeftModel:
    """The base model, the frozen adapters on it, the adapter that trains on top."""
    model: PreTrainedModel | PeftModel = load_model(base, arguments)
    lora = arguments.lora
    if lora.lora_enable:
        # before any injection: afterwards PEFT's own layers would be found, too
        names = find_targets(model, arguments.lora_parts, arguments.exclude, lora.num_lora_modules)
        config = lora_config(
            names, lora.lora_rank, lora.lora_alpha, lora.lora_dropout, lora.use_dora
        )
        if parents:
            model = load_adapters(model, parents)
        model = add_trained_adapter(model, config)
    set_trainable(model, arguments.full_parts, upcast=not arguments.train.deepspeed)
    return model


def _dropped_note(dataset: SampleDataset) -> str:
    notes = [f"{count} dropped: {reason}" for reason, count in dataset.dropped.items()]
    return f" ({'; '.join(notes)})" if notes else ""
