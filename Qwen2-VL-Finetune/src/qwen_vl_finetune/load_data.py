"""The data of a run, checked and opened: from flags to datasets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .dataset import LlavaDataset, SampleDataset
from .errors import UserError
from .flags import Arguments
from .image_cache import ImageCache
from .model_folder import PixelFrame
from .plugin_dataset import PluginDataset, make_rows
from .plugins import is_maker
from .processing import Processor, load_processor
from .rows import data_files, frame_of, read_pixel_frame


def load_data(arguments: Arguments, base: Path) -> tuple[SampleDataset, LlavaDataset | None]:
    """Check and open the training and evaluation data."""
    data = arguments.data
    path = str(data.data_path)
    made = None
    if arguments.makes_rows:
        made = make_rows(path, json.loads(data.data_options or "{}"))
        asked_frame = frame_of(getattr(made, "pixel_frame", None), path)
    else:
        asked_frame = read_pixel_frame(Path(path))
    frame = choose_frame(arguments, asked_frame, load_processor(base).frame)
    processor = load_processor(base, frame)
    train_set: SampleDataset
    if made is not None:
        train_set = PluginDataset(made, path, processor, data.max_seq_length)
    else:
        train_set = open_file(arguments, Path(path), processor)
    eval_set = open_file(arguments, Path(data.eval_path), processor) if data.eval_path else None
    asked = (arguments.lora_parts | arguments.full_parts) & {"vision", "merger"}
    if asked and not train_set.has_images:
        raise UserError(
            f"asked to train {sorted(asked)}, but {path} holds no image. Freeze them "
            "(--freeze_vision_tower true --freeze_merger true, no --vision_lora)."
        )
    return train_set, eval_set


def open_file(arguments: Arguments, path: Path, processor: Processor) -> LlavaDataset:
    """The rows of one LLaVA JSON file, checked."""
    data = arguments.data
    dataset = LlavaDataset(
        path,
        Path(data.image_folder) if data.image_folder else path.parent,
        processor,
        data.cache_samples,
        ImageCache(Path(data.image_cache)) if data.image_cache else None,
        data.skip_bad_images,
    )
    if data.skip_bad_images and str(path) == data.eval_path:
        dataset.drop_unreadable()  # in training a bad one is met; a score needs it now
    counted = str(path) == data.data_path and arguments.needs_lengths
    dataset.refuse_or_drop_long(data.max_seq_length, data.drop_long, counted)
    if data.cache_samples and arguments.train.dataloader_num_workers > 0:
        dataset.fill_cache()
    return dataset


def choose_frame(
    arguments: Arguments, from_data: PixelFrame | None, from_model: PixelFrame
) -> PixelFrame:
    """The pixel budget: flags, else the data's, else the model's; flag and data must agree."""
    asked = {
        "min_pixels": arguments.data.image_min_pixels,
        "max_pixels": arguments.data.image_max_pixels,
    }
    chosen = {}
    for key, flag in asked.items():
        if from_data is not None and flag is not None and flag != getattr(from_data, key):
            raise UserError(
                f"--image_{key} {flag} disagrees with dataset_info.json beside the data, which "
                f"says {getattr(from_data, key)}: the coordinates in the answers belong to that "
                "frame. Leave the flag out, or build the data again for the other budget."
            )
        chosen[key] = flag if flag is not None else getattr(from_data or from_model, key)
    if chosen["min_pixels"] > chosen["max_pixels"]:
        raise UserError(
            f"the pixel budget is {chosen['min_pixels']} to {chosen['max_pixels']}; "
            "set --image_min_pixels and --image_max_pixels together."
        )
    return PixelFrame(**chosen)


def describe_data(dataset: SampleDataset) -> dict[str, Any]:
    """What the run record says about the data."""
    return {"path": str(dataset.path), "rows": len(dataset), "dropped": dict(dataset.dropped)}


def data_problems(arguments: Arguments) -> list[str]:
    """What is wrong with the files of the data and with the sizes of samples and images."""
    data = arguments.data
    problems = [] if data.data_path else ["--data_path is missing"]
    for name, path in (("data_path", data.data_path), ("eval_path", data.eval_path)):
        made = name == "data_path" and is_maker(str(path))
        if path and not made and not any(file.is_file() for file in data_files(Path(path))):
            problems.append(f"--{name} {path}: no such file")
    if data.image_folder and not Path(data.image_folder).is_dir():
        problems.append(f"--image_folder {data.image_folder}: no such folder")
    low, high = data.image_min_pixels, data.image_max_pixels
    for name, value in (("image_min_pixels", low), ("image_max_pixels", high)):
        if value is not None and value < 28 * 28:
            problems.append(f"--{name} {value}: in pixels, at least {28 * 28} (28 x 28 is a token)")
    if low is not None and high is not None and low > high:
        problems.append(f"--image_min_pixels {low} is more than --image_max_pixels {high}")
    if data.max_seq_length < 1:
        problems.append(f"--max_seq_length {data.max_seq_length}: expected at least 1")
    return problems
