"""A molfile's coordinates fitted onto the ink of its picture."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from eyesmol.graph import MolGraph


class PlaceError(ValueError):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Fit:
    scale: float
    dx: float
    dy: float

    def apply(self, graph: MolGraph) -> MolGraph:
        return graph.transformed(self.scale, self.dx, self.dy, flip=True)


def place(image: Image.Image, graph: MolGraph) -> Fit:
    raise PlaceError("no fit on the ink")
