"""``dataset_info.json``: what a dataset is, and that it is finished."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from data_preprocess.tally import Dropped
from eyesmol.answer.text import AnswerForm
from eyesmol.atomic import write_json
from eyesmol.exceptions import InputError
from eyesmol.image.pixel_frame import PixelFrame

__all__ = ["INFO", "DatasetInfo"]

INFO = "dataset_info.json"
_NULL = frozenset({"charts", "answer_form", "prompt_version"})  # here null says that there is none


@dataclass(frozen=True)
class DatasetInfo:
    """What the rows of a dataset are.

    Builder and importer say all of it, the second also what is marked as of an import. A dataset of
    somebody else may say less: then a field is None or empty.

    Attributes:
        version: of EyesMol.
        settings: everything that decided what the rows are, as `data_preprocess.build.settings` has
            it.
        sources: name, kind, number of items, licence and digest of each source.
        exclude: name, digest and size of each list of molecules to keep out.
        charts: the folder of charts, as a source; None without one.
        shards: into how many each list is cut; None for one LLaVA JSON a split.
        pixel_frame: the size at which the model sees the images.
        answer_form: None for instruction sets.
        prompt_version: of the chain-of-thought prompt; None for instruction sets.
        splits: rows of train, valid and test; a molecule stands in one split only.
        molecules: the proof, counted from the rows that were written: molecules (see
            `data_preprocess.dataset.splits`) in each split, in more than one (0), and on the
            exclude list (0).
        tasks: rows of each task.
        chart_rows: rows ``wanted`` by the recipe and ``written``: fewer where there are too few
            charts, or broken ones.
        items: drawings that went in: every one became rows or a drop.
        drops: by reason, how many, and up to five examples.
        reads_back: chain of thought: how many graphs give the molecule's own SMILES back
            (``same``), or have labels that do not expand (``unknown label``).
        labelled: graphs that the detector saw: how many as they were read, and how many with a
            label, a bond or wedges of the known molecule.
        licences: of all sources.
        seed: of styles and questions.
        made_by: of an import: the command.
        ids_file: of an import: name and digest of the list of ids.
        repairs: of an import: rows by what was repaired.
        prompts: of an import: rows by the question that the original asked.
        ids: of an import: how rows and list of ids go together.
    """

    version: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    sources: list[dict[str, Any]] = field(default_factory=list)
    exclude: list[dict[str, Any]] = field(default_factory=list)
    charts: dict[str, Any] | None = None
    shards: int | None = None
    pixel_frame: PixelFrame | None = None
    answer_form: AnswerForm | None = None
    prompt_version: int | None = None
    splits: dict[str, int] = field(default_factory=dict)
    molecules: dict[str, int] = field(default_factory=dict)
    tasks: dict[str, int] = field(default_factory=dict)
    chart_rows: dict[str, int] | None = None
    items: int | None = None
    drops: dict[str, Dropped] = field(default_factory=dict)
    reads_back: dict[str, int] = field(default_factory=dict)
    labelled: dict[str, int] = field(default_factory=dict)
    licences: list[str] = field(default_factory=list)
    seed: int | None = None
    made_by: str | None = None
    ids_file: dict[str, Any] | None = None
    repairs: dict[str, int] | None = None
    prompts: dict[str, int] | None = None
    ids: dict[str, Any] | None = None

    @property
    def rows(self) -> int:
        """Of all splits."""
        return sum(self.splits.values())

    @classmethod
    def parse(cls, path: Path) -> DatasetInfo:
        """From a file; what this EyesMol does not know is passed over.

        Raises:
            InputError: not JSON, or a value of the wrong kind.
        """
        try:
            return _adapter().validate_json(path.read_bytes())
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the whole"
            raise InputError(f"{path}, {where}: {first['msg']}; build the dataset again") from None

    @classmethod
    def of(cls, dataset: Path) -> DatasetInfo | None:
        """Of a dataset folder, or of the folder of a list; None where it says nothing.

        Raises:
            InputError: as `parse`.
        """
        path = (dataset if dataset.is_dir() else dataset.parent) / INFO
        return cls.parse(path) if path.is_file() else None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        if self.pixel_frame is not None:
            values["pixel_frame"] = self.pixel_frame.to_dict()
        return {name: v for name, v in values.items() if v is not None or name in _NULL}

    def write(self, folder: Path) -> None:
        """Into a dataset folder, in one step: from now on it is finished."""
        write_json(folder / INFO, self.to_dict())


@cache
def _adapter() -> TypeAdapter[DatasetInfo]:
    return TypeAdapter(DatasetInfo)
