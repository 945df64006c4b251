"""The models that come with EyesMol: their names and their folders.

The detector is trained by ``scripts/train_detector.sh`` and described in ``docs/detector.md``,
nano by ``scripts/train_nano.sh`` and in ``docs/nano.md``; to a reader nano is a plain Hugging Face
model folder like any other.
"""

from __future__ import annotations

from pathlib import Path

from eyesmol.detector.weights import DESCRIPTION

__all__ = ["DETECTOR", "NANO", "is_detector", "model_folder"]

DETECTOR = "detector"
NANO = "nano"

_WEIGHTS = Path(__file__).parents[1] / "weights"


def model_folder(path_or_name: Path | str) -> str:
    """The folder of a model that comes with EyesMol, unless a model here is called so; others as
    they are."""
    name = str(path_or_name)
    own = any(Path(name, file).is_file() for file in ("config.json", DESCRIPTION))
    return str(_WEIGHTS / name) if name in (DETECTOR, NANO) and not own else name


def is_detector(folder: str) -> bool:
    """True for the detector's folder, shipped or exported by ``detector_training.export``."""
    return folder == str(_WEIGHTS / DETECTOR) or Path(folder, DESCRIPTION).is_file()
