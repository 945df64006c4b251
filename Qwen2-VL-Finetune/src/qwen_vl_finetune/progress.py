"""One bar for a run: the newest figures stand on it, an evaluation leaves one short line."""

from __future__ import annotations

from typing import Any

from transformers import TrainerControl, TrainerState
from transformers.trainer_callback import ProgressCallback


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
        """Show the loss and the learning rate on the bar, the evaluation loss above it."""
        logs = logs or {}
        if self.training_bar is None:
            return
        if "eval_loss" in logs:
            self.training_bar.write(f"step {state.global_step}: eval_loss {logs['eval_loss']:.4f}")
        elif "loss" in logs:
            self.training_bar.set_postfix_str(
                f"loss {logs['loss']:.3f}, lr {logs.get('learning_rate', 0):.1e}", refresh=False
            )
