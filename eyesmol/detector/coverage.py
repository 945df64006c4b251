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
_ELEMENT = 0.9  # of a bond: round an element, for its hydrogens, charge and isotope
_FAINT = 80  # less ink is the grain of grey paper


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
    ends = [len(bonded) < 2 for bonded in graph.neighbours()]  # where a carbon may be written CH3
    for atom, (x, y), end in zip(graph.atoms, spots, ends, strict=True):
        if atom.text == "C" and not end:
            continue
        side, half = (_LETTER * (len(atom.label) + 1) * bond, _HEIGHT * bond)
        if atom.is_element:
            side = half = _ELEMENT * bond
        pen.rectangle([x - side, y - half, x + side, y + half], 1)
    dark = small > _FAINT
    return int((dark & np.asarray(mask)).sum()) / int(dark.sum()) if dark.any() else 1.0
