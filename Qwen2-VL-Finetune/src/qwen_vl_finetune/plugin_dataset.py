"""Training rows that a plug-in makes when they are asked for, in place of those of a file.

``--data_path module:name`` names a class or function; called with ``--data_options``, it gives an
object with ``len()`` and ``[number]``: a LLaVA row, whose `image` may be a PIL image. A row must
depend on its number alone; then any worker makes any row, and a run that was stopped resumes with
the very rows that it would have seen. Rows are taken in order, so a plug-in can begin with easy
ones. With an attribute `pixel_frame` (`min_pixels`, `max_pixels`) it says for which size its
positions are meant, as `dataset_info.json` does for a file.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from .dataset import RowEncoder, Sample, SampleDataset
from .errors import DataError, UserError
from .flags import Arguments
from .plugins import load_plugin, raised
from .processing import Processor
from .rows import Row, Rows, image_names, row_label, row_problem

_MEASURED = 256  # rows whose lengths stand for all
_NOWHERE = Path()  # images come with their rows


def make_rows(name: str, options: dict[str, Any]) -> Any:
    """The rows of a plug-in: `Rows`, perhaps with a `pixel_frame`.

    Raises:
        UserError: it refuses the options; its own words are in the message.
    """
    maker = load_plugin(name, "--data_path")
    try:
        rows = maker(**options)
    except Exception as error:  # a plug-in may raise anything
        raise UserError(f"--data_path {name}: --data_options {options}: {raised(error)}") from error
    if not (hasattr(rows, "__len__") and hasattr(rows, "__getitem__")) or not len(rows):
        raise UserError(f"--data_path {name}: it gives no rows; expected len() and [number].")
    return rows


class PluginDataset(SampleDataset):
    """The rows of a plug-in as samples, in their own order.

    Args:
        rows: as `make_rows` gives them.
        name: of the plug-in, for messages.
        processor: tokenizer and image processor of the model.
        max_seq_length: the longest sample in tokens.
    """

    ordered = True

    def __init__(self, rows: Rows, name: str, processor: Processor, max_seq_length: int) -> None:
        super().__init__(Path(name), rows, RowEncoder(processor, _NOWHERE))
        self.limit = max_seq_length

    def __getitem__(self, index: int) -> Sample:
        """One sample.

        Raises:
            DataError: the row breaks a rule of LLaVA JSON, or is too long.
        """
        sample = super().__getitem__(index)
        if len(sample["input_ids"]) > self.limit:
            raise DataError(
                f"{self.label(index)}: {len(sample['input_ids'])} tokens, over --max_seq_length "
                f"{self.limit}; raise it, or ask for smaller samples in --data_options."
            )
        return sample

    def row(self, index: int) -> Row:
        """One row, checked: no list was there to check beforehand."""
        try:
            row = self.rows[index]
        except Exception as error:  # a plug-in may raise anything
            raise DataError(f"--data_path {self.path}: row {index}: {raised(error)}") from error
        if problem := row_problem(row, _NOWHERE):
            raise DataError(f"{self.path}: {row_label(row, index)}: {problem}")
        return row

    @functools.cached_property
    def has_images(self) -> bool:
        """Whether the first row has an image."""
        return bool(image_names(self.row(0)))

    @functools.cached_property
    def _lengths(self) -> list[int]:
        count = min(_MEASURED, len(self))
        step = len(self) / count
        known = [len(self[int(i * step)]["input_ids"]) for i in range(count)]
        return [known[int(index / step)] for index in range(len(self))]

    def lengths(self) -> list[int]:
        """Lengths in tokens, from rows spread evenly over all: each stands for its neighbours."""
        return self._lengths


def plugin_problems(arguments: Arguments) -> list[str]:
    """What does not go together with rows that a plug-in makes."""
    data = arguments.data
    if not arguments.makes_rows:
        return ["--data_options needs --data_path module:name"] if data.data_options else []
    problems = []
    try:
        if not isinstance(json.loads(data.data_options or "{}"), dict):
            raise ValueError("not an object")
    except ValueError as error:
        problems.append(f"--data_options {data.data_options}: expected a JSON object ({error})")
    asked = {
        "packing": data.packing,
        "image_cache": data.image_cache is not None,
        "cache_samples": data.cache_samples,
        "skip_bad_images": data.skip_bad_images,
        "drop_long": data.drop_long,
        "train_sampling_strategy": arguments.sampling != "random",
    }
    problems += [
        f"--{name} is for the rows of a file; a plug-in makes each row once, in its own order"
        for name, is_asked in asked.items()
        if is_asked
    ]
    return problems
