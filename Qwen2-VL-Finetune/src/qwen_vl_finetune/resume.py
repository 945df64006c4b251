"""Whether a run folder is finished, may be resumed, or may be lengthened.

A run is resumed only where it would learn what it was going to learn: the settings that shape
learning are listed here, models and data are compared by content, and everything else (where files
lie, how large an evaluation is, what is logged, which library wrote the record) is free.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from accelerate.utils import gather_object

from .errors import UserError
from .plugins import is_maker
from .progress import say
from .rows import content_fingerprint
from .run_record import last_whole_checkpoint, read_record

LEARNING = frozenset(
    (
        # the model and what trains
        *("bits", "freeze_vision_tower", "freeze_llm", "freeze_merger", "lora_enable"),
        *("vision_lora", "merger_lora", "use_dora", "lora_rank", "lora_alpha", "lora_dropout"),
        *("lora_namespan_exclude", "num_lora_modules", "bf16", "fp16", "tf32"),
        # samples and their order
        *("data_options", "image_min_pixels", "image_max_pixels", "max_seq_length", "drop_long"),
        *("packing", "tokens_per_batch", "train_sampling_strategy"),
        *("dataloader_drop_last", "seed", "data_seed"),
        # steps
        *("learning_rate", "vision_lr", "merger_lr", "optim", "optim_args", "optim_muon"),
        *("muon_lr", "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon", "max_grad_norm"),
        *("lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps"),
        *("average_tokens_across_devices", "max_steps", "num_train_epochs"),
        # which checkpoint is kept
        *("eval_score", "load_best_model_at_end", "metric_for_best_model", "greater_is_better"),
        "early_stopping_patience",
        # rewards
        *("reward", "reward_weights", "num_generations", "max_completion_length", "temperature"),
        *("top_p", "top_k", "beta", "num_iterations", "scale_rewards"),
    )
)
LENGTH = ("max_steps", "num_train_epochs")


def is_finished(output: Path, record: dict[str, Any], extend: bool = False) -> bool:
    """Whether a run folder is done; raises if it holds a run that learns something else.

    Args:
        output: the run folder.
        record: the run record as it would be written now.
        extend: whether the run may become longer than it was meant to be.
    """
    before = read_record(output)
    if before is None:
        return False
    changed = learning_changes(before, record)
    longer = [name for name in changed if name in LENGTH and _grows(before, record, name)]
    if extend and longer:
        changed = {name: text for name, text in changed.items() if name not in longer}
    if changed:
        hint = " --extend true makes a run longer." if [*changed] == longer else ""
        raise UserError(
            f"{output} holds a run with other settings; resuming would mix the two:\n  - "
            + "\n  - ".join(changed.values())
            + f"\nTake another --output_dir, or remove that folder.{hint}"
        )
    if extend and longer:
        if last_whole_checkpoint(output) is None:
            raise UserError(f"--extend: {output} holds no whole checkpoint to resume from.")
        return False
    if not before["finished"]:
        _compare_processes(output, before["settings"], record["settings"])
    return bool(before["finished"])


def learning_changes(before: dict[str, Any], now: dict[str, Any]) -> dict[str, str]:
    """What would be learned differently from what a record says, by name, in words."""
    old, new = before["settings"], now["settings"]
    changed = {
        name: f"{name}: {old.get(name)!r} before, {new.get(name)!r} now"
        for name in sorted(LEARNING)
        if name in old and old[name] != new.get(name)  # else the flag is newer than the run
    }
    for name, one, two in (
        ("global batch", global_batch(old), global_batch(new)),
        ("deepspeed", bool(old.get("deepspeed")), bool(new.get("deepspeed"))),
        ("fsdp", bool(old.get("fsdp")), bool(new.get("fsdp"))),
    ):
        if one != two:
            changed[name] = f"{name}: {one} before, {two} now"
    for name, were, are in (
        ("model_id", [before["base"]], [now["base"]]),
        ("first_lora_path", before["parents"], now["parents"]),
        ("data_path", [_data(before)], [_data(now)]),
    ):
        if [one["fingerprint"] for one in were] != [one["fingerprint"] for one in are]:
            changed[name] = f"{name}: {_paths(were)} before, {_paths(are)} now, with other content"
    return changed


def global_batch(settings: dict[str, Any]) -> int:
    """Samples (with packing: packs) of a step, over all processes."""
    names = ("per_device_train_batch_size", "gradient_accumulation_steps", "processes")
    size = 1
    for name in names:
        size *= int(settings.get(name) or 1)
    return size


def data_fingerprint(data_path: str) -> str:
    """What tells data apart: the content of its files, the name of a plug-in."""
    return data_path if is_maker(data_path) else content_fingerprint(Path(data_path))


def _data(record: dict[str, Any]) -> dict[str, Any]:
    """The data of a record; of one that was written before there were fingerprints, by its path."""
    path = str(record["settings"].get("data_path"))
    return {"path": path, "fingerprint": record.get("data_fingerprint") or data_fingerprint(path)}


def _paths(found: list[dict[str, Any]]) -> str:
    return ", ".join(entry["path"] for entry in found) or "none"


def _grows(before: dict[str, Any], now: dict[str, Any], name: str) -> bool:
    old, new = before["settings"].get(name), now["settings"].get(name)
    return old is not None and new is not None and new > old


def _compare_processes(output: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Say, or refuse, what another number of processes means for a run that is resumed."""
    old, new = before.get("processes"), now.get("processes")
    if old == new:
        return
    if now.get("deepspeed") or now.get("fsdp"):
        raise UserError(
            f"{output} was begun by {old} process(es), now there are {new}: a checkpoint of "
            "DeepSpeed or FSDP holds the shards of as many. Start as many again."
        )
    say(f"note: {old} process(es) before, {new} now: each step takes as many samples, but it is "
        "no longer the same run to the bit")  # fmt: skip


def agreed_checkpoint(output: Path, processes: int) -> Path | None:
    """The checkpoint to resume from; raises unless all processes find the same one."""
    found = last_whole_checkpoint(output)
    names = set(gather_object([found.name if found else ""])) if processes > 1 else set()
    if len(names) > 1:
        raise UserError(
            f"{output}: some processes find {max(names)} there and others don't. "
            "Several nodes need a run folder that all of them see."
        )
    return found
