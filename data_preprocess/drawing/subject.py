"""What the detector's data pass from one piece to the next: a subject, then its drawing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from eyesmol.chem.graph import MolGraph

__all__ = ["CUT_LINE", "HYDROGENS_RIGHT", "Drawing", "Subject"]


# A bond's property in `Subject.mol`: half of a cut line, "straight", "dashed" or "curved".
CUT_LINE = "_cutLine"
# An atom's property: its hydrogens stand at its right even where a bond does, in a row of letters.
HYDROGENS_RIGHT = "_hydrogensRight"


@dataclass(frozen=True)
class Subject:
    """What is to be drawn, before anyone has chosen how.

    Attributes:
        graph: a layout, y down, in any unit. An abbreviation is ONE atom whose label is its text
            as it is written from left to right.
        mol: the same atoms in the same order, for hydrogens and rings. Atoms that are labels carry
            the properties ``_labelForward`` and ``_labelBackward`` (both texts) and
            ``molFileAlias``.
        written: carbons that are written out as C, CH, CH2 or CH3, beside the style's own habit.
        circles: rings that are drawn with a circle, as atom indices; their bonds are of order 4.
        crossing: bonds (begin, end) that cross others: they may be drawn last, with a white gap in
            what lies behind.
        sheet: a sheet of words; it gets no salts, and no captions that need room.
    """

    graph: MolGraph
    mol: Chem.Mol
    written: frozenset[int] = frozenset()
    circles: tuple[tuple[int, ...], ...] = ()
    crossing: frozenset[tuple[int, int]] = frozenset()
    sheet: bool = False


@dataclass(frozen=True)
class Drawing:
    """An image and what is drawn on it.

    Attributes:
        image: (height, width), 0 ink to 255 paper, or reversed where the style inverts; at its
            native resolution.
        graph: the subject's atoms in their order, then the texts of salts, solvates and
            counter-ions as atoms without bonds; positions in the image's pixels, y down. The
            position of a label is the middle of the letter that is bonded.
        bond_length: the median, in pixels; where there is no bond, that of the style.
    """

    image: NDArray[np.uint8]
    graph: MolGraph
    bond_length: float
