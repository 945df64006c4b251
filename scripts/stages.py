"""Stages of a long run: each is a command that is shown before it runs, and is done only once."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eyesmol.atomic import write_json
from eyesmol.exceptions import EyesMolError

ROOT = Path(__file__).resolve().parents[1]
TRAINER = "Qwen2-VL-Finetune/src"


class StageError(EyesMolError):
    """A stage failed, or the folder holds another run."""


class StageRunner:
    """Runs the stages of a run folder, and remembers which are done."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.folder = folder
        self.record = folder / "stages.json"
        folder.mkdir(parents=True, exist_ok=True)
        state = json.loads(self.record.read_text("utf-8")) if self.record.exists() else {}
        self.seconds: dict[str, float] = state.get("seconds", {})
        self.settings = settings
        if state and state["settings"] != settings:
            raise StageError(
                f"{folder} holds a run with other options "
                f"({state['settings']}); give --out another folder, or remove that one"
            )

    def stage(self, name: str, work: Callable[[], None]) -> None:
        """Do the work of a stage, unless it is done; remember how long it took."""
        if name in self.seconds:
            print(f"-- {name}: done ({self.seconds[name]:.0f} s)")
            return
        print(f"\n== {name}", flush=True)
        start = time.monotonic()
        work()
        self.seconds[name] = round(time.monotonic() - start, 1)
        write_json(self.record, {"settings": self.settings, "seconds": self.seconds})


def run(*words: str | Path | int | float) -> None:
    """Show a command and run it with this Python."""
    command = [str(word) for word in words]
    shown = [word.replace(f"{ROOT}{os.sep}", "") for word in command]
    print(f"$ python {shlex.join(shown)}", flush=True)
    status = subprocess.run([sys.executable, *command], check=False).returncode
    if status < 0 or status == 130:
        raise KeyboardInterrupt
    if status:
        raise StageError(f"the command above ended with status {status}; see its last words")
