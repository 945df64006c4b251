"""What runs the network: torch while it is being trained, ONNX Runtime where it is used.

The reading asks three things of a view of an image: where junctions are, what stands at chosen
places and between them, and how labels are spelt.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from eyesmol.detector.ink import Ink
from eyesmol.detector.spelling import Spellings

__all__ = ["Engine", "FloatArray", "View"]

FloatArray = NDArray[np.float32]


class View(Protocol):
    """One image at one scale, looked at.

    Attributes:
        heat: (3, h, w) for cells of 2 grid pixels: probability of a junction, its offset (x, y) in
            cells.
    """

    heat: FloatArray

    def decide(
        self, places: FloatArray, pairs: NDArray[np.int64], scale: float
    ) -> tuple[FloatArray, FloatArray]:
        """Probabilities of labels (N, LABEL_CLASSES) and of bonds (M, number of `BondClass`).

        Args:
            places: (N, 2) grid pixels.
            pairs: (M, 2) of them.
            scale: median bond length, grid pixels.
        """

    def spell(self, places: FloatArray) -> Spellings:
        """The likeliest spellings of the label at each of (N, 2) places; see `spellings`."""


class Engine(Protocol):
    """A network that is loaded."""

    def look(self, ink: Ink) -> View:
        """Look at (2H, 2W) ink, both sides multiples of `MULTIPLE` image pixels."""
