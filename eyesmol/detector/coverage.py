"""How much of an image's ink a molecule explains: nearly all of it, where the image shows it.

The network marks corners and lines wherever there are some, so it reads a molecule into a plot, a
table or a page of text, too. There, what it reads leaves most of the ink over, and is unsure.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from eyesmol.chem.graph import MolGraph
from eyesmol.detector.ink import Ink, scaled

__all__ = ["coverage"]

_BOND = 12.0  # pixels of a median bond, at the scale of which ink is counted
_LINE = 0.4  # of a bond: width of the band that a bond explains
_HEIGHT, _LETTER = 0.5, 0.33  # of a bond: half a label's height, and the width of a letter
_ELEMENT = 0.8  # of a bond: round an element, for its hydrogens, charge and isotope


def coverage(ink: Ink, graph: MolGraph, bond_length: float) -> float:
    """Fraction of the ink that lies on the bonds of a molecule or within its labels.

    Args:
        ink: (H, W), of the whole image.
        graph: the molecule, in the image's pixels.
        bond_length: median, in the image's pixels.

    Returns:
        0 to 1; 1 where there is no ink.
    """
    factor = min(1.0, _BOND / max(bond_length, 1.0))
    small, fx, fy = scaled(ink, factor)
    bond = bond_length * (fx + fy) / 2
    mask = Image.new("1", (small.shape[1], small.shape[0]))
    pen = ImageDraw.Draw(mask)
    spots = [(atom.x * fx, atom.y * fy) for atom in graph.atoms]
    for one in graph.bonds:
        pen.line([spots[one.begin], spots[one.end]], 1, max(1, round(_LINE * bond)))
    for atom, (x, y) in zip(graph.atoms, spots, strict=True):
        if atom.text == "C":
            continue
        side, half = (_LETTER * (len(atom.label) + 1) * bond, _HEIGHT * bond)
        if atom.is_element:
            side = half = _ELEMENT * bond
        pen.rectangle([x - side, y - half, x + side, y + half], 1)
    total = int(small.sum(dtype=np.int64))
    return int(small[np.asarray(mask)].sum(dtype=np.int64)) / total if total else 1.0
