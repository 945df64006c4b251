"""What a run shows: lines printed once, and one bar with the newest figures on it."""

from __future__ import annotations

import os
from typing import Any

from transformers import TrainerControl, TrainerState
from transformers.trainer_callback import ProgressCallback

from .flags import Arguments
from .plugins import package_problems

# trackers of stock that are packages of the same name
TRACKERS = ("tensorboard", "wandb", "mlflow", "trackio", "swanlab", "clearml", "comet_ml")
TIMES = ("eval_runtime", "eval_samples_per_second", "eval_steps_per_second")


def is_main_process() -> bool:
    """Whether this process prints and writes for all."""
    return int(os.environ.get("RANK", "0")) == 0


def say(text: str) -> None:
    """Print once for all processes."""
    if is_main_process():
        print(text, flush=True)


def tracker_problems(arguments: Arguments) -> list[str]:
    """Trackers that are asked for and not installed."""
    names = arguments.train.report_to
    problems = []
    for name in [names] if isinstance(names, str) else names or []:
        if name in TRACKERS:
            problems += package_problems(f"--report_to {name}", name)
    return problems


def evaluation_line(logs: dict[str, Any]) -> str:
    """Loss and scores of an evaluation, without its times."""
    kept = {k: v for k, v in logs.items() if k.startswith("eval_") and k not in TIMES}
    return ", ".join(f"{key} {value:.4f}" for key, value in kept.items())


def training_line(logs: dict[str, Any]) -> str:
    """Loss, rate, speed and memory of the newest steps; MFU where the device's peak is known."""
    parts = [f"loss {logs['loss']:.3f}", f"lr {logs.get('learning_rate', 0):.1e}"]
    parts.append(f"{logs.get('tokens_per_second', 0):,.0f} tokens/s")
    if "mfu" in logs:
        parts.append(f"MFU {logs['mfu']:.0%}")
    if "memory_gib" in logs:
        parts.append(f"{logs['memory_gib']:.1f} GiB")
    return ", ".join(parts)


class RunBar(ProgressCallback):
    """Stock's bar without its lines of raw dictionaries; those are in `trainer_state.json`."""

    def on_log(
        self,
        args: Any,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Show loss, rate, speed and memory on the bar, the evaluation above it."""
        logs = logs or {}
        if self.training_bar is None:
            return
        if "eval_loss" in logs:
            self.training_bar.write(f"step {state.global_step}: {evaluation_line(logs)}")
        elif "loss" in logs:
            self.training_bar.set_postfix_str(training_line(logs), refresh=False)
