"""A catalogue of compounds as a source of the builder; read as it goes, however long it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_preprocess.catalogue.compounds import COMPOUNDS
from data_preprocess.sources.files import Filed, Item, file_digest

__all__ = ["CompoundCatalogue"]


class CompoundCatalogue:
    """What ``collect`` and ``import`` write.

    Args:
        folder: with ``catalogue.parquet``, or the Parquet file.

    Raises:
        InputError: no catalogue there, or its columns are others.
    """

    def __init__(self, folder: Path) -> None:
        self._file = COMPOUNDS.file(folder).absolute()
        next(
            COMPOUNDS.read(self._file), None
        )  # what is wrong with its columns is said before any work

    @property
    def name(self) -> str:
        return self._file.parent.name

    def describe(self) -> dict[str, Any]:
        """Rows are counted by Parquet's own metadata, licences and the like from their columns."""
        licences = sorted({value for value in COMPOUNDS.column(self._file, "licence") if value})
        models = sorted({value for value in COMPOUNDS.column(self._file, "visual_model") if value})
        return {
            "name": self.name,
            "kind": "compound catalogue",
            "items": COMPOUNDS.count(self._file),
            "groups": sum(1 for value in COMPOUNDS.column(self._file, "group") if value),
            "licence": "; ".join(licences),
            "licences": licences,
            "visual_models": models,
            "sha256": file_digest(self._file),
        }

    def items(self) -> Iterator[Item]:
        folder = self._file.parent
        for row in COMPOUNDS.read(self._file):
            yield Item(
                row.id,
                row.source,
                smiles=row.smiles or None,
                image=Filed(folder, row.image) if row.image else None,
                molfile=row.molfile or None,
                group=row.group or None,
                title=row.name or None,
                description=row.description or None,
                visual_description=row.visual_description or None,
            )
