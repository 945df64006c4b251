"""Merge any number of adapters, and the modules they trained in full, into their base.

Works on files: each shard is copied, and the tensors that change are computed one at a time in
fp32, rounded once to the base's precision, and written over their old place. So memory stays near
one tensor. The result is a plain Hugging Face folder.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftConfig
from tqdm import tqdm

from .adapters import check_adapter, check_chain
from .errors import UserError
from .model_folder import (
    PixelFrame,
    copy_dataset_info,
    copy_processor_files,
    fingerprint_model,
    memory_name,
    read_config,
    read_header,
    read_json,
    require_processor,
    resolve_folder,
    ties_embeddings,
    weight_shards,
    write_json,
)
from .run_record import (
    ADAPTER,
    FULL_MODULES,
    library_versions,
    read_record,
)
from .upstream import describe_adapter, in_our_form

MERGE_RECORD = "merge.json"
LORA_KEY = re.compile(r"^base_model\.model\.(.+)\.lora_(A|B|magnitude_vector)(\.weight)?$")


# by the names in a safetensors header; a merge into anything smaller would be a merge into a
# quantised model
PRECISIONS = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}


class TensorFile:
    """A safetensors file whose tensors are read, and written over, one at a time.

    `safe_open` maps the whole file into memory and `save_file` wants all tensors at once; here a
    tensor costs its own size and nothing stays behind.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header, self.start = read_header(path)

    def read(self, name: str) -> torch.Tensor:
        """One tensor; raises `UserError` at a precision that can't be merged, or a short file."""
        entry = self.header[name]
        if entry["dtype"] not in PRECISIONS:
            raise UserError(
                f"{self.path}: {name} is stored as {entry['dtype']}, expected one of "
                f"{', '.join(PRECISIONS)}. Merge into the full-precision model."
            )
        begin, end = entry["data_offsets"]
        data = bytearray(end - begin)
        with self.path.open("rb") as file:
            file.seek(self.start + begin)
            if file.readinto(data) != len(data):
                raise UserError(f"{self.path}: cut off at {name}. Fetch or copy the file again.")
        flat = torch.frombuffer(data, dtype=PRECISIONS[entry["dtype"]])
        return flat.reshape(entry["shape"])

    def write_over(self, name: str, tensor: torch.Tensor) -> None:
        """Put a tensor of the same shape and precision into the place of another."""
        with self.path.open("r+b") as file:
            file.seek(self.start + self.header[name]["data_offsets"][0])
            file.write(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)


@dataclass
class Delta:
    """What one adapter adds to one weight: `scale * B @ A`, and DoRA's row lengths.

    Attributes:
        file: the adapter's file; matrices are read when their turn comes.
        parts: names of the matrices in it: A [rank, in], B [out, rank], magnitude_vector [out].
        scale: see `scale_of`.
    """

    file: TensorFile
    parts: dict[str, str]
    scale: float

    @property
    def shape(self) -> tuple[int, int]:
        """The shape [out, in] of the weight that it belongs to."""
        a, b = (self.file.header[self.parts[part]]["shape"] for part in "AB")
        return b[0], a[1]

    def add_to(self, weight: torch.Tensor) -> torch.Tensor:
        """The weight [out, in], fp32, with this adapter in it; the same memory."""
        a, b = (self.file.read(self.parts[part]).float() for part in "AB")
        merged = weight.addmm_(b, a, alpha=self.scale)
        if "magnitude_vector" in self.parts:  # DoRA, https://arxiv.org/abs/2402.09353
            magnitude = self.file.read(self.parts["magnitude_vector"]).float()
            norm = torch.linalg.norm(merged, dim=1, keepdim=True)
            merged *= magnitude.reshape(-1, 1) / norm
        return merged


def scale_of(config: LoraConfig, module: str) -> float:
    """alpha / rank (or alpha / sqrt(rank) for rsLoRA) of one module, patterns minded."""
    rank = _by_pattern(config.rank_pattern, module, config.r)
    alpha = _by_pattern(config.alpha_pattern, module, config.lora_alpha)
    return float(alpha / (rank**0.5 if config.use_rslora else rank))


def _by_pattern(pattern: dict[str, Any] | None, module: str, default: float) -> float:
    for key, value in (pattern or {}).items():
        if re.match(rf"(.*\.)?({key})$", module):
            return float(value)
    return default


def read_deltas(folder: Path) -> dict[str, Delta]:
    """The deltas of an adapter folder by bare weight name; raises on anything else in it."""
    config = PeftConfig.from_pretrained(str(folder))
    if not isinstance(config, LoraConfig):
        raise UserError(f"{folder}: found {config.peft_type}, expected a LoRA adapter.")
    if config.fan_in_fan_out or config.bias != "none":
        raise UserError(f"{folder}: fan_in_fan_out and trained biases can't be merged here.")
    file = TensorFile(folder / ADAPTER)
    found: dict[str, dict[str, str]] = {}
    for key in file.header:
        match = LORA_KEY.match(key)
        if match is None:
            raise UserError(f"{folder}/{ADAPTER}: {key} is no LoRA matrix, so it can't be merged.")
        found.setdefault(match.group(1), {})[match.group(2)] = key
    deltas = {}
    for module, parts in found.items():
        if not {"A", "B"} <= parts.keys():
            raise UserError(f"{folder}/{ADAPTER}: {module} lacks lora_A or lora_B.")
        deltas[f"{module}.weight"] = Delta(file, parts, scale_of(config, module))
    return deltas


class MergePlan:
    """Which base tensors change, and how; counts down what is still to be placed.

    Args:
        folders: adapter folders, oldest first. A module trained in full takes the newest copy.
    """

    def __init__(self, folders: list[Path]) -> None:
        self.deltas: dict[str, list[Delta]] = {}
        self.full: dict[str, TensorFile] = {}
        for folder in folders:
            for name, delta in read_deltas(folder).items():
                self.deltas.setdefault(name, []).append(delta)
            if (folder / FULL_MODULES).is_file():
                file = TensorFile(folder / FULL_MODULES)
                self.full.update(dict.fromkeys(file.header, file))
        self.waiting = self.deltas.keys() | self.full.keys()

    def changes(self, name: str) -> bool:
        """Whether the tensor of a bare name changes."""
        return name in self.deltas or name in self.full

    def apply(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        """The merged tensor of a bare name, in the base's precision."""
        self.waiting.discard(name)
        # a copy, because the adapters are added in place
        merged = (self.full[name].read(name) if name in self.full else tensor).to(
            torch.float32, copy=True
        )
        if merged.shape != tensor.shape:
            raise UserError(f"{name}: {tuple(merged.shape)} does not fit {tuple(tensor.shape)}.")
        for delta in self.deltas.get(name, []):
            if delta.shape != tuple(merged.shape):
                raise UserError(f"{name}: the adapter's shape does not fit {tuple(tensor.shape)}.")
            merged = delta.add_to(merged)
        return merged.to(tensor.dtype)


def write_merged_weights(base: Path, target: Path, plan: MergePlan) -> None:
    """Copy the base's shards and write what the plan changes over its old place."""
    for shard in tqdm(weight_shards(base), desc="merging", unit="shard", leave=False):
        shutil.copyfile(shard, target / shard.name)
        file = TensorFile(target / shard.name)
        for key in file.header:
            name = memory_name(key)
            if plan.changes(name):
                file.write_over(key, plan.apply(name, file.read(key)))
    if plan.waiting:
        raise UserError(
            f"{len(plan.waiting)} adapted tensors have no place in {base}, such as "
            f"{sorted(plan.waiting)[0]}. The adapter belongs to another model."
        )
    for name in ("config.json", "model.safetensors.index.json"):
        if (base / name).is_file():
            shutil.copyfile(base / name, target / name)


def check_merge(base: Path, folders: list[Path], fingerprint: str) -> None:
    """Everything that can be refused before a weight is read."""
    config = read_config(base)
    require_processor(base)
    if "quantization_config" in config:
        raise UserError(
            f"{base}: a quantised model. Merge into the full-precision model that it came from; "
            "a merge into 4-bit weights answers differently."
        )
    for folder in folders:
        if not (folder / ADAPTER).is_file():
            steps = sorted(path.name for path in folder.glob("checkpoint-*"))
            hint = f" The run is not finished; its checkpoints are {steps}." if steps else ""
            raise UserError(f"{folder}: no {ADAPTER}; expected an adapter folder.{hint}")
        check_adapter(folder, fingerprint)
        if ties_embeddings(config) and any(n.startswith("lm_head") for n in read_deltas(folder)):
            raise UserError(
                f"{folder}: has LoRA on lm_head, which {base} ties to the token embedding; the "
                "merged model would answer differently from the adapter."
            )
    check_chain(folders)


def merge(
    base_name: str, folders: list[Path], target: Path, verify: bool, tol: float | None
) -> None:
    """Merge adapters into a base and put the finished folder at `target`.

    Args:
        base_name: folder or hub name of the full-precision base.
        folders: adapter folders, oldest first.
        target: where the merged model goes; must not hold anything else yet.
        verify: compare logits with the adapters' forward before the folder is moved into place.
        tol: largest logit difference allowed; by the base's precision if None.
    """
    base = resolve_folder(base_name)
    fingerprint = fingerprint_model(base)
    record: dict[str, Any] = {
        "base": {"path": base_name, "fingerprint": fingerprint},
        "adapters": [],
        "versions": library_versions(),
    }
    given, folders = folders, [in_our_form(folder, base) for folder in folders]
    check_merge(base, folders, fingerprint)
    for path, folder in zip(given, folders, strict=True):
        record["adapters"].append(
            {**describe_adapter(path, folder), "full_modules": (folder / FULL_MODULES).is_file()}
        )
    if _already_there(target, record, verify):
        print(f"{target} holds this merge already; nothing to do.", flush=True)
        return
    work = target.with_name(f".{target.name}.part")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        write_merged_weights(base, work, MergePlan(folders))
        last = read_record(folders[-1])
        frame = PixelFrame(**last["pixel_frame"]) if last else None
        copy_processor_files(base, work, frame)
        copy_dataset_info(given[-1], work)
        if verify:
            from .verify import compare

            record["verified"] = compare(base, given, work, tol)
        write_json(work / MERGE_RECORD, record)
        if target.is_dir():
            target.rmdir()  # empty, or _already_there would have refused
        work.replace(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"merged {len(folders)} adapter(s) into {target}", flush=True)


def _already_there(target: Path, record: dict[str, Any], verify: bool) -> bool:
    """Whether `target` holds the same merge; raises if it holds anything else."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return False
    if (target / MERGE_RECORD).is_file():
        found = read_json(target / MERGE_RECORD)
        same = found.get("base", {}).get("fingerprint") == record["base"]["fingerprint"] and [
            a["fingerprint"] for a in found.get("adapters", [])
        ] == [a["fingerprint"] for a in record["adapters"]]
        if same and (not verify or "verified" in found):
            return True
    raise UserError(f"{target} exists and holds something else. Remove it or take another name.")
