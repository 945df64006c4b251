"""Images that label themselves: the detector says where the atoms of a known molecule are."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image

from data_preprocess.build.known_molecule import Settled, settled
from eyesmol.detector.engine import Engine
from eyesmol.detector.reading import read
from eyesmol.exceptions import InputError, ModelError
from eyesmol.reader.embedded import DETECTOR, is_detector, model_folder

__all__ = ["Labeller", "label"]


@dataclass(frozen=True)
class Labeller:
    """A detector that says where atoms are; small and picklable, it stands in a dataset's settings.

    Attributes:
        model: ``detector``, or a folder of `detector_training.export`.
        sha256: of its weights, so that a build does not go on with others.
    """

    model: str
    sha256: str

    @classmethod
    def of(cls, model: str = DETECTOR) -> Labeller:
        """From the name or the folder of a detector.

        Raises:
            InputError: no detector there.
        """
        folder = model_folder(model)
        if not is_detector(folder):
            raise InputError(
                f"--labels-from {model}: no detector there; expected the word {DETECTOR}, or a "
                "folder that detector_training.export wrote"
            )
        digest = hashlib.sha256()
        for path in sorted(Path(folder).iterdir()):
            digest.update(path.read_bytes())
        return cls(model, digest.hexdigest())


@lru_cache(maxsize=1)
def _engine(model: str) -> Engine:
    """Loaded once a process."""
    try:
        from eyesmol.detector.onnx_engine import OnnxEngine

        return OnnxEngine(Path(model_folder(model)), 1)
    except ModelError as error:
        raise InputError(str(error)) from None


def label(image: Image.Image, known: str, labeller: Labeller) -> Settled:
    """The known molecule of an image, its atoms where the detector sees them.

    Args:
        image: of any mode.
        known: canonical SMILES.
        labeller: which detector.

    Raises:
        Disagreement: the detector sees another molecule; the message is the kind of difference.
    """
    return settled(read(_engine(labeller.model), image).assembly, known)
