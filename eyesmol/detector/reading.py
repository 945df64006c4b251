"""Reads an image: the scale is searched, three views are put together, a molecule assembled."""

from __future__ import annotations

import math
from dataclasses import dataclass

from PIL import Image

from eyesmol.chem.graph import MolGraph
from eyesmol.detector.assembly import Assembly, assembled
from eyesmol.detector.coverage import coverage
from eyesmol.detector.detection import Detection, Sight, detect, fused
from eyesmol.detector.engine import Engine
from eyesmol.detector.ink import Ink, ink_of
from eyesmol.detector.network_shape import BOND, FINE

__all__ = ["ReadOptions", "Reading", "read"]

# Median bonds, in pixels, that are tried first: patents at 300 dpi, then smaller and larger ones.
_GUESSES = (66.0, 38.0, 24.0, 100.0, 160.0, 14.0, 250.0)
_KNOWN = (0.66, 1.45)  # of the favourite bond length: where a view can be trusted
_GOOD = 0.8  # certainty that ends the search
_FEW_ATOMS, _LITTLE = 4, 0.5  # so few atoms that explain less of the ink are no molecule
_UNSURE, _MOST = 0.25, 0.8  # mean doubt an atom (nats) from which so much has to be explained
_SAME_SCALE = 1.06  # a factor up to which two scales show the same
_LARGEST_SEARCH = 1_600_000  # image pixels of a view while the scale is searched
_LARGEST = 5_000_000  # of a view that is read


@dataclass(frozen=True)
class ReadOptions:
    """How an image is read.

    Attributes:
        scales: of the views, over that at which bonds have the network's favourite length.
        enough: probability of the whole first view from which no other is taken.
        bond: favourite bond length, grid pixels.
    """

    scales: tuple[float, ...] = (1.0, 0.88, 1.13)
    enough: float = 0.6
    bond: float = BOND


@dataclass(frozen=True)
class Reading:
    """What was read.

    Attributes:
        assembly: the molecule.
        agreement: share of the views that give the same molecule, each read by itself.
        views: how many were taken.
        bond_length: median, pixels of the image.
        coverage: fraction of the image's ink that the molecule explains.
    """

    assembly: Assembly
    agreement: float
    views: int
    bond_length: float
    coverage: float = 0.0

    @property
    def no_molecule(self) -> str | None:
        """Why the image shows no molecule, though one was read into it; None where it may.

        Of drawings of molecules, nearly all ink is explained, or what is read is sure; of plots,
        tables and text neither is.
        """
        count = len(self.assembly.graph.atoms)
        if self.assembly.smiles is None or count == 0:
            return None
        unsure = -self.assembly.log_probability / count
        few = count <= _FEW_ATOMS and self.coverage < _LITTLE
        if few or (unsure > _UNSURE and self.coverage < _MOST):
            return (
                f"what could be a molecule covers {self.coverage:.0%} of the lines and letters, "
                "and is not sure"
            )
        return None


def read(engine: Engine, image: Image.Image, options: ReadOptions | None = None) -> Reading:
    """Read the molecule of an image.

    Args:
        engine: runs the network.
        image: of any size and mode.
        options: see `ReadOptions`.
    """
    options = options or ReadOptions()
    ink = ink_of(image)
    found = _scale(engine, ink, options)
    if found is None:
        return Reading(Assembly(MolGraph(), None), 1.0, 0, 0.0)
    factor, sight = found
    views: list[Detection] = []
    single: list[Assembly] = []
    for scale in options.scales:
        if views and _pixels(ink, factor * scale) > _LARGEST:
            continue
        searched = sight.detection.factor / (factor * scale)
        seen = 1 / _SAME_SCALE < searched < _SAME_SCALE
        views.append((sight if seen else detect(engine, ink, factor * scale)).spelt())
        single.append(assembled(views[-1]))
        if _is_enough(single[0], options):
            break
    together = assembled(fused(views)) if len(views) > 1 else single[0]
    if together.smiles is None:
        together = max(single, key=lambda a: (a.smiles is not None, a.log_probability))
    same = sum(a.smiles == together.smiles for a in single) / len(single)
    length = views[0].bond_length
    return Reading(together, same, len(views), length, coverage(ink, together.graph, length))


def _is_enough(first: Assembly, options: ReadOptions) -> bool:
    return (
        first.smiles is not None
        and not first.changes
        and first.log_probability > math.log(options.enough)
    )


def _scale(engine: Engine, ink: Ink, options: ReadOptions) -> tuple[float, Sight] | None:
    """The factor at which bonds have the favourite length, and the sight that told it.

    None where no bond was seen.
    """
    wanted = FINE * options.bond
    best: tuple[float, float, Sight] | None = None  # certainty, median bond in the image
    for guess in _GUESSES:
        factor = wanted / guess
        if best and _pixels(ink, factor) > _LARGEST_SEARCH:
            continue
        if _pixels(ink, factor) > _LARGEST or (best and min(ink.shape) * factor < wanted):
            continue
        sight = detect(engine, ink, factor)
        bond = sight.detection.median_bond()
        if bond is None:
            continue
        seen = bond * factor / wanted
        low, high = _KNOWN
        sure = sight.detection.certainty * min(1.0, seen / low, high / seen)
        if best is None or sure > best[0]:
            best = sure, bond, sight
        if sure > _GOOD:
            break
    return None if best is None else (wanted / best[1], best[2])


def _pixels(ink: Ink, factor: float) -> float:
    return float(ink.size) * factor * factor
