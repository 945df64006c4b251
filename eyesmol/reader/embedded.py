"""The embedded reader: the name and the folder of the model that comes with EyesMol.

It is trained by ``scripts/train_nano.sh`` and described in ``docs/nano.md``; a reader knows it as a
plain Hugging Face model folder like any other.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["NANO", "model_folder"]

NANO = "nano"

_SHIPPED = Path(__file__).parents[1] / "weights" / NANO


def model_folder(path_or_name: Path | str) -> str:
    """The folder of the embedded reader for `NANO`, unless a model here is called so; others as
    they are."""
    name = str(path_or_name)
    return str(_SHIPPED) if name == NANO and not Path(name, "config.json").is_file() else name
