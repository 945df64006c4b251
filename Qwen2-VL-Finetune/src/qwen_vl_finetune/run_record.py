"""`run.json`: what a run was made of; and which checkpoint of a run is whole.

The record lies in the run folder and in each of its checkpoints. It holds the base with its
fingerprint, the parent adapters in order, every setting, and the library versions; never a key.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from .errors import UserError
from .model_folder import fingerprint_tensors, read_header, read_json, write_json

RECORD = "run.json"
FORMAT = 1
ADAPTER = "adapter_model.safetensors"
FULL_MODULES = "non_lora_modules.safetensors"

LIBRARIES = ("torch", "transformers", "peft", "accelerate", "safetensors", "tokenizers")

# what torch.save says when a file can't be written to its end
WRITE_FAILED = re.compile(r"PytorchStreamWriter|file write|unexpected pos|No space|iostream", re.I)
SECRET = re.compile(r"token|key|secret|password", re.IGNORECASE)
NOT_SECRET = {
    "include_num_input_tokens_seen",
    "average_tokens_across_devices",
    "tokens_per_batch",
    "eval_max_new_tokens",
}


def library_versions() -> dict[str, str]:
    """The versions of the libraries that shape a run."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def without_secrets(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings without anything that could be a key."""
    return {k: v for k, v in settings.items() if k in NOT_SECRET or not SECRET.search(k)}


def adapter_fingerprint(folder: Path) -> str:
    """The fingerprint of an adapter folder: its LoRA and the modules it trained in full."""
    paths = [folder / name for name in (ADAPTER, FULL_MODULES)]
    return fingerprint_tensors([path for path in paths if path.is_file()], salt="adapter")


def read_record(folder: Path) -> dict[str, Any] | None:
    """The run record of a folder, or None where there is none."""
    path = folder / RECORD
    if not path.is_file():
        return None
    record = read_json(path)
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise UserError(f"{path}: not a run record of this trainer (format {FORMAT}).")
    return record


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Write the run record of a folder."""
    write_json(folder / RECORD, record)


def weight_checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of each safetensors file of a folder, by its name."""
    return {file.name: _sha256(file) for file in sorted(folder.glob("*.safetensors"))}


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def last_whole_checkpoint(run: Path) -> Path | None:
    """The newest checkpoint of a run that was written to its end and is as it was written.

    The trainer writes `trainer_state.json` last, so a checkpoint whose state does not parse, or
    that lacks the weights or the random state of a process, was cut off and is passed over, and so
    is one that was damaged since.
    """
    numbers = {
        folder.name.removeprefix("checkpoint-"): folder for folder in run.glob("checkpoint-*")
    }
    newest_first = sorted((number for number in numbers if number.isdigit()), key=int, reverse=True)
    return next((numbers[number] for number in newest_first if is_whole(numbers[number])), None)


def is_whole(folder: Path) -> bool:
    """Whether a checkpoint folder holds everything that a resume needs, each file undamaged."""
    try:
        state = json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))
        record = read_record(folder)
    except (OSError, ValueError, UserError):
        return False
    weights = list(folder.glob("*.safetensors"))
    progress = any(folder.glob("optimizer.*")) or any(folder.glob("global_step*"))
    if "global_step" not in state or record is None or not (weights and progress):
        return False
    archives = [file for end in ("*.pt", "*.pth") for file in folder.rglob(end)]
    if not (all(map(_ends_well, weights)) and all(map(_is_sound, archives))):
        return False
    # Checkpoints of earlier versions have none.
    if record.get("checksums", {}) not in ({}, weight_checksums(folder)):
        return False
    processes = int(record["settings"].get("processes", 1))
    return len(list(folder.glob("rng_state*.pth"))) >= processes


def _is_sound(file: Path) -> bool:
    """Whether what `torch.save` wrote, a ZIP, agrees with the checksums in it."""
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.testzip() is None
    except Exception:  # zipfile raises half a dozen kinds, by what is damaged
        return False


def _ends_well(file: Path) -> bool:
    """Whether a safetensors file is as long as its header says."""
    try:
        header, start = read_header(file)
    except (OSError, UserError):
        return False
    ends = [entry["data_offsets"][1] for entry in header.values()]
    return file.stat().st_size == start + max(ends, default=0)


@contextmanager
def writing(folder: Path, run: Path) -> Iterator[None]:
    """Turn a failure to write `folder` into a `UserError`, and take the half-written one away.

    Args:
        folder: the checkpoint, or the run folder itself, which is kept.
        run: the run folder, whose last whole checkpoint the message names.
    """
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        text = str(error)
        if isinstance(error, RuntimeError) and not WRITE_FAILED.search(text):
            raise
        if folder != run:
            shutil.rmtree(folder, ignore_errors=True)
        last = last_whole_checkpoint(run)
        kept = f"{last} is whole" if last else "no earlier checkpoint is there"
        raise UserError(
            f"{folder} could not be written ({text.splitlines()[0]}). Is the disk full? {kept}; "
            "make space (--save_total_limit keeps fewer checkpoints) and start the same command "
            "again."
        ) from error
