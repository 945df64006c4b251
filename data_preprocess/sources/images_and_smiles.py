"""Images whose molecules a table names: drug dictionaries, hand-drawn sets, one's own."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_preprocess.sources.files import IMAGE_SUFFIXES, Item
from eyesmol.exceptions import InputError

__all__ = ["ImagesWithSmiles"]

_FILE_COLUMNS = ("image", "file", "filename", "file_name", "path", "name", "id")


class ImagesWithSmiles:
    """A folder of images and a CSV or TSV table with a row an image.

    The table has a column SMILES (in any case) and one that names the image's file, with or without
    its folder and its ending: image, file, filename, path, name or id.

    A row without its image is an item with a gap, which the builder counts; an image that the
    table does not name is passed over.

    Raises:
        InputError: no such folder or table, a column is missing, or no row names an image.
    """

    def __init__(self, images: Path, table: Path) -> None:
        self._table = table.absolute()
        if not images.is_dir():
            raise InputError(f"--images {images}: found no folder there; expected one of images")
        files = sorted(p for p in images.absolute().iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
        # The whole name first, so that a.png and a.jpg can both be named.
        self._files = {p.stem: p for p in reversed(files)} | {p.name: p for p in files}
        if not table.is_file():
            raise InputError(
                f"--smiles {table}: no such file; with --images it is a CSV or TSV table with the "
                "columns image and SMILES"
            )
        if not any(item.image for item in self.items()):
            name = files[0].name if files else "none"
            raise InputError(
                f"--smiles {table}: no row names an image of {images} (found {len(files)}, such as "
                f"{name}); expected its file's name in the column image"
            )

    @property
    def name(self) -> str:
        return self._table.stem

    def describe(self) -> dict[str, Any]:
        """See `data_preprocess.sources.files.Source`; the digest is of the table and the names."""
        digest = hashlib.sha256(self._table.read_bytes())
        count = 0
        for item in self.items():
            digest.update(f"{item.name}\0{item.image}\n".encode(errors="surrogateescape"))
            count += 1
        return {
            "name": self.name,
            "kind": "images with SMILES",
            "items": count,
            "licence": "as the images given",
            "sha256": digest.hexdigest(),
        }

    def items(self) -> Iterator[Item]:
        for file, smiles in self._rows():
            name = Path(file.replace("\\", "/")).name
            image = self._files.get(name) or self._files.get(Path(name).stem)
            problem = None if image else "missing image"
            problem = problem if smiles else "no SMILES in the table"
            stem = (image or Path(name)).stem
            yield Item(stem, self.name, smiles=smiles or None, image=image, problem=problem)

    def _rows(self) -> Iterator[tuple[str, str]]:
        """Image and SMILES of every row that names an image."""
        delimiter = "\t" if self._table.suffix.lower() == ".tsv" else ","
        try:
            with self._table.open(encoding="utf-8-sig", newline="") as file:
                rows = csv.reader(file, delimiter=delimiter)
                header = [name.strip().lower() for name in next(rows, [])]
                which = next((name for name in _FILE_COLUMNS if name in header), None)
                if which is None or "smiles" not in header:
                    raise InputError(
                        f"--smiles {self._table}: found the columns {', '.join(header) or 'none'}; "
                        "with --images expected image and SMILES"
                    )
                columns = header.index(which), header.index("smiles")
                for row in rows:
                    image, smiles = (row[n].strip() if n < len(row) else "" for n in columns)
                    if image:
                        yield image, smiles
        except (UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"--smiles {self._table}: not a text file: {error}") from None
