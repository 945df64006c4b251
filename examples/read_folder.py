"""Read the images of a folder into a table: CSV, SDF, JSON Lines or Parquet, by its ending.

python examples/read_folder.py drawings molecules.csv
"""

from __future__ import annotations

import sys
from pathlib import Path

from eyesmol import Recognizer
from eyesmol.outputs import write_as


def read_folder(folder: Path, table: Path) -> None:
    """Read with the detector, which comes along; an image that cannot be read is a row, too."""
    images = sorted(path for path in folder.iterdir() if path.is_file())
    reader = Recognizer.from_pretrained()  # or the folder of a model that you trained
    write_as(table, (result.to_dict() for result in reader.recognize(images)))


if __name__ == "__main__":
    read_folder(Path(sys.argv[1]), Path(sys.argv[2]))
