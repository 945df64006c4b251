"""Which lists a dataset has, in whatever layout."""

from __future__ import annotations

from pathlib import Path

from data_preprocess.dataset.info import INFO
from data_preprocess.dataset.splits import SPLITS
from eyesmol.exceptions import InputError

__all__ = ["find_lists"]

_EXPECTED = "expected a dataset folder, as `build` makes it, or a LLaVA JSON file"


def find_lists(dataset: Path) -> dict[str, Path]:
    """The JSON lists of a dataset by name (``train`` ...): one file, or those of a folder.

    In a folder without ``dataset_info.json`` every JSON file is taken for a list.

    Raises:
        InputError: nothing there.
    """
    if dataset.is_file():
        return {dataset.stem: dataset}
    if not dataset.is_dir():
        raise InputError(f"{dataset}: nothing there; {_EXPECTED}")
    if (dataset / INFO).is_file():
        return {split: dataset / f"{split}.json" for split in SPLITS}
    paths = sorted(dataset.glob("*.json"))
    if not paths:
        raise InputError(f"{dataset}: no JSON file in this folder; {_EXPECTED}")
    order = {split: number for number, split in enumerate(SPLITS)}
    paths.sort(key=lambda path: (order.get(path.stem, len(order)), path.name))
    return {path.stem: path for path in paths}
