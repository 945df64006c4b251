"""Charts with questions about them: what ``collect pixmo`` writes and the builders mix in.

A folder with ``charts.parquet``, a row an image with all its questions, and the images that its
rows name. It is written and read in a stream, so its length does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from data_preprocess.catalogue.table import Table

__all__ = ["CHARTS", "Chart"]


@dataclass(frozen=True)
class Chart:
    """One image and what is asked about it.

    Attributes:
        id: unique in its folder and fit for a file name.
        source: such as ``pixmo-docs charts``.
        licence: of image and questions, as the source states it.
        image: path of the image relative to the folder, ``/`` between its parts; read it with
            `data_preprocess.catalogue.compounds.read_file`.
        questions: at least one, none empty.
        answers: one for each question, none empty.
    """

    id: str
    source: str
    licence: str
    image: str
    questions: tuple[str, ...]
    answers: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in ("id", "source", "licence", "image"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty")
        if not self.questions or len(self.questions) != len(self.answers):
            raise ValueError(
                f"{len(self.questions)} questions and {len(self.answers)} answers; expected as "
                "many of the one as of the other, and at least one"
            )
        if not all(self.questions) or not all(self.answers):
            raise ValueError("an empty question or answer")


_TEXTS, _LISTS = ("id", "source", "licence", "image"), ("questions", "answers")


def _parsed(values: dict[str, Any]) -> Chart:
    return Chart(**values | {name: tuple(values[name] or ()) for name in _LISTS})


CHARTS: Table[Chart] = Table(
    name="charts.parquet",
    what="charts",
    made_by="`collect pixmo` writes",
    schema=pa.schema(
        [(name, pa.string()) for name in _TEXTS]
        + [(name, pa.list_(pa.string())) for name in _LISTS]
    ),
    required=(*_TEXTS, *_LISTS),
    parse=_parsed,
)
"""The charts of a folder.

>>> with CHARTS.writer(folder) as charts:  # doctest: +SKIP
...     charts.add(Chart("a", "mine", "CC0-1.0", "images/a.png", ("How many?",), ("3",)))
"""
