"""What lies in a Hugging Face model folder: its family, tensor names, fingerprint, processor files.

Everything here reads headers and JSON only; no weight is loaded.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import UserError

FAMILIES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")

PROCESSOR_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "preprocessor_config.json",
    "processor_config.json",
    "video_preprocessor_config.json",
    "generation_config.json",
)


DATASET_INFO = "dataset_info.json"


@dataclass(frozen=True)
class PixelFrame:
    """The pixel budget of one image, in pixels of the resized image."""

    min_pixels: int
    max_pixels: int


def resolve_folder(name: str) -> Path:
    """The local folder of a model given by path or by hub name (fetched into the hub's cache)."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_absolute() or name.startswith((".", "~")) or name.count("/") != 1:
        raise UserError(f"{name}: no such folder. Give a model folder or a hub name (owner/model).")
    from huggingface_hub import snapshot_download

    patterns = ["*.json", "*.safetensors", "*.txt", "*.jinja"]
    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except Exception as error:  # the hub client raises a dozen unrelated classes
        raise UserError(
            f"{name}: not a folder here, and the hub did not give it ({type(error).__name__}). "
            "Download the model first and give its folder."
        ) from error


def read_json(path: Path) -> Any:
    """Parse one JSON file; a mistake is a `UserError` that names the line."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file.") from error
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {error.lineno}: not valid JSON ({error.msg}).") from error


def write_json(path: Path, value: Any) -> None:
    """Write JSON to a temporary name and move it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json` of a supported model.

    The family comes from its `model_type`, never from the folder's name.
    """
    if not (folder / "config.json").is_file():
        hint = ""
        if (folder / "adapter_config.json").is_file():
            hint = " This is an adapter; the base model's folder is asked for here."
        raise UserError(f"{folder}: holds no config.json, so it is no model folder.{hint}")
    config: dict[str, Any] = read_json(folder / "config.json")
    if config.get("model_type") not in FAMILIES:
        raise UserError(
            f"{folder}/config.json: model_type is {config.get('model_type')!r}, "
            f"expected one of {', '.join(FAMILIES)}."
        )
    return config


def ties_embeddings(config: dict[str, Any]) -> bool:
    """Whether `lm_head` shares its weights with the token embedding."""
    text_config = config.get("text_config") or {}
    return bool(config.get("tie_word_embeddings", text_config.get("tie_word_embeddings", False)))


def memory_name(key: str) -> str:
    """The module path in memory of a tensor on disk.

    Qwen2-VL and Qwen2.5-VL checkpoints keep their first names (`visual.*`, `model.layers.*`);
    transformers renames them while it loads (`model.visual.*`, `model.language_model.layers.*`).
    """
    if key.startswith(("model.visual.", "model.language_model.", "lm_head.")):
        return key
    if key.startswith("visual."):
        return "model." + key
    if key.startswith("model."):
        return "model.language_model." + key.removeprefix("model.")
    return key


def weight_shards(folder: Path) -> list[Path]:
    """The safetensors files of a model folder, in order."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        names = sorted(set(read_json(index)["weight_map"].values()))
        if any(Path(name).name != name for name in names):
            raise UserError(f"{index}: a shard lies outside of the model folder.")
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise UserError(f"{folder}: shards named in the index are missing: {missing}")
        return [folder / name for name in names]
    single = folder / "model.safetensors"
    if not single.is_file():
        raise UserError(
            f"{folder}: no model.safetensors. Pickled weights (.bin, .pt) are never loaded here: "
            "convert them to safetensors first."
        )
    return [single]


def read_header(path: Path) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file and the offset of its data, in bytes.

    Format: https://github.com/huggingface/safetensors (8 bytes of length, JSON, data).
    """
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > path.stat().st_size:
                raise ValueError("the header is longer than the file")
            header = json.loads(file.read(length))
    except (struct.error, ValueError) as error:
        raise UserError(f"{path}: not a whole safetensors file ({error}).") from error
    header.pop("__metadata__", None)
    return header, 8 + length


def fingerprint_tensors(paths: list[Path], salt: str = "") -> str:
    """A hash of every tensor's name, type, shape and of its first and last kilobyte.

    It changes with any training step (every tensor's ends move), costs no loading of weights, and
    stays the same when a model is copied or cut into other shards.
    """
    lines = []
    for path in paths:
        header, start = read_header(path)
        with path.open("rb") as file:
            for key, entry in header.items():
                begin, end = entry["data_offsets"]
                digest = hashlib.sha256()
                for offset in (begin, max(begin, end - 1024)):
                    file.seek(start + offset)
                    digest.update(file.read(min(1024, end - offset)))
                lines.append(
                    f"{memory_name(key)} {entry['dtype']} {entry['shape']} {digest.hexdigest()}"
                )
    return hashlib.sha256("\n".join([salt, *sorted(lines)]).encode()).hexdigest()


def fingerprint_model(folder: Path) -> str:
    """The fingerprint of a model folder's weights."""
    return fingerprint_tensors(weight_shards(folder), salt=read_config(folder)["model_type"])


def require_processor(folder: Path) -> None:
    """Raise if a model folder lacks a tokenizer or an image processor."""
    groups = {
        "a tokenizer (tokenizer.json, or vocab.json and merges.txt)": (
            "tokenizer.json",
            "vocab.json",
        ),
        "an image processor (preprocessor_config.json or processor_config.json)": (
            "preprocessor_config.json",
            "processor_config.json",
        ),
    }
    for what, names in groups.items():
        if not any((folder / name).is_file() for name in names):
            raise UserError(
                f"{folder}: the model folder lacks {what}. Copy the processor files of the model "
                "that it came from into it."
            )


def copy_dataset_info(source: Path, target: Path) -> None:
    """Let what the data says of itself travel with the weights, where it says anything.

    We read no more of it than the pixel frame; who reads with the model may need the rest.
    """
    if (source / DATASET_INFO).is_file():
        shutil.copyfile(source / DATASET_INFO, target / DATASET_INFO)


def copy_processor_files(source: Path, target: Path, frame: PixelFrame | None) -> list[str]:
    """Copy tokenizer, image processor, chat template and generation settings, byte for byte.

    Only the pixel budget of the image processor is rewritten, and only when `frame` differs from
    what the source says: training and reading must resize alike. Returns the names copied.
    """
    target.mkdir(parents=True, exist_ok=True)
    copied = []
    for name in PROCESSOR_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
            copied.append(name)
    if frame is not None:
        for name in ("preprocessor_config.json", "processor_config.json"):
            if name in copied:
                _set_pixel_budget(target / name, frame)
    return copied


def _set_pixel_budget(path: Path, frame: PixelFrame) -> None:
    settings = read_json(path)
    # processor_config.json nests the image processor; preprocessor_config.json is the thing itself
    part = settings if path.name == "preprocessor_config.json" else settings.get("image_processor")
    if not isinstance(part, dict):
        return
    before = json.dumps(part, sort_keys=True)
    part["size"] = {"shortest_edge": frame.min_pixels, "longest_edge": frame.max_pixels}
    for key, value in (("min_pixels", frame.min_pixels), ("max_pixels", frame.max_pixels)):
        if key in part:  # the older spelling wins over `size` when it is there
            part[key] = value
    if json.dumps(part, sort_keys=True) != before:
        write_json(path, settings)
