"""Which lists a dataset has, in whatever layout."""

from __future__ import annotations

from pathlib import Path

from data_preprocess.dataset.info import DatasetInfo
from data_preprocess.dataset.splits import SPLITS
from eyesmol.exceptions import InputError

__all__ = ["find_lists"]

_EXPECTED = "expected a dataset folder, as `build` makes it, or a LLaVA JSON file"


def find_lists(dataset: Path) -> dict[str, Path]:
    """The JSON lists of a dataset by name (``train`` ...): one file, or those of a folder.

    The shards of a list have one path with ``*``, which `read_list` takes. In a folder without
    ``dataset_info.json`` every JSON file is taken for a list.

    Raises:
        InputError: nothing there.
    """
    if dataset.is_file():
        return {dataset.stem: dataset}
    if not dataset.is_dir():
        raise InputError(f"{dataset}: nothing there; {_EXPECTED}")
    if (info := DatasetInfo.of(dataset)) is not None:
        ending = f"-*-of-{info.shards:05d}.jsonl" if info.shards else ".json"
        return {split: dataset / f"{split}{ending}" for split in SPLITS}
    paths = sorted(dataset.glob("*.json"))
    if not paths:
        raise InputError(f"{dataset}: no JSON file in this folder; {_EXPECTED}")
    order = {split: number for number, split in enumerate(SPLITS)}
    paths.sort(key=lambda path: (order.get(path.stem, len(order)), path.name))
    return {path.stem: path for path in paths}
