"""Training rows that a plug-in makes when they are asked for, in place of those of a file.

``--data_path module:name`` names a class or function; called with ``--data_options``, it gives an
object with ``len()`` and ``[number]``: a LLaVA row, whose `image` may be a PIL picture. A row must
depend on its number alone; then any worker makes any row, and a run that was stopped goes on with
the very rows that it would have seen. Rows are taken in order, so a plug-in can begin with easy
ones. With an attribute `pixel_frame` (`min_pixels`, `max_pixels`) it says for which size its places
are meant, as `dataset_info.json` does for a file.
"""

from __future__ import annotations

import functools
from collections import Counter
from pathlib import Path
from typing import Any

from .data import LlavaDataset, Row, Sample, image_names, row_label, row_problem
from .errors import DataError, UserError
from .plugins import load_plugin
from .processing import Processor

_LOOKED_AT = 256  # rows whose lengths stand for all
_NOWHERE = Path()  # pictures come with their rows


def make_rows(name: str, options: dict[str, Any]) -> Any:
    """The rows of a plug-in.

    Raises:
        UserError: it refuses the options; its own words are in the message.
    """
    maker = load_plugin(name, "--data_path")
    try:
        rows = maker(**options)
    except (TypeError, ValueError, OSError) as error:
        raise UserError(f"--data_path {name}: --data_options {options}: {error}") from error
    if not (hasattr(rows, "__len__") and hasattr(rows, "__getitem__")) or not len(rows):
        raise UserError(f"--data_path {name}: it gives no rows; expected len() and [number].")
    return rows


class MadeRows(LlavaDataset):
    """The rows of a plug-in as samples, in their own order.

    Args:
        rows: as `make_rows` gives them.
        name: of the plug-in, for messages.
        processor: tokenizer and image processor of the model.
        max_seq_length: the longest sample in tokens.
    """

    ordered = True

    def __init__(self, rows: Any, name: str, processor: Processor, max_seq_length: int) -> None:
        self.path, self.folder, self.processor = Path(name), _NOWHERE, processor
        self.images, self.skip_bad_images = None, False
        self.rows = rows
        self.numbers = range(len(rows))
        self.dropped: Counter[str] = Counter()
        self.limit = max_seq_length
        self._cache: dict[int, Sample] | None = None
        self._lengths: list[int] | None = None

    def process(self, index: int) -> Sample:
        """One sample, as `LlavaDataset.process` gives it.

        Raises:
            DataError: the row breaks a rule of LLaVA JSON, or is too long.
        """
        sample = super().process(index)
        if len(sample["input_ids"]) > self.limit:
            raise DataError(
                f"{self.label(index)}: {len(sample['input_ids'])} tokens, over --max_seq_length "
                f"{self.limit}; raise it, or ask for smaller samples in --data_options."
            )
        return sample

    def row(self, index: int) -> Row:
        """One row, checked: no list was there to check beforehand."""
        row: Row = self.rows[index]
        if problem := row_problem(row, self.folder):
            raise DataError(f"{self.path}: {row_label(row, index)}: {problem}")
        return row

    def refuse_or_drop_long(self, limit: int, drop: bool) -> None:
        """Nothing now: a row is measured when it is made."""

    @property
    def has_images(self) -> bool:
        """Whether the first row has a picture."""
        return bool(image_names(self._first))

    @functools.cached_property
    def _first(self) -> Row:
        return self.row(0)

    def lengths(self) -> list[int]:
        """Lengths in tokens, from rows spread evenly over all: each stands for its neighbours."""
        if self._lengths is None:
            count = min(_LOOKED_AT, len(self))
            step = len(self) / count
            known = [len(self[int(place * step)]["input_ids"]) for place in range(count)]
            self._lengths = [known[int(index / step)] for index in range(len(self))]
        return self._lengths
