"""A sketch put on paper by RDKit, which tells where it puts each atom."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image
from rdkit import Chem
from rdkit.Chem.Draw import rdMolDraw2D
from rdkit.Geometry import Point2D

from data_preprocess.drawing.fonts import font_file
from data_preprocess.drawing.sketch import Sketch
from data_preprocess.drawing.style import Style

__all__ = ["Point", "draw_with_rdkit"]

Point = tuple[float, float]

_MIN_FONT = 9  # pixels: below, RDKit's N and O cannot be told apart
_CIRCLE = 0.6  # radius of an aromatic circle, in radii of its ring


def draw_with_rdkit(
    sketch: Sketch, size: tuple[int, int], style: Style
) -> tuple[Image.Image, list[Point]]:
    """The picture (RGB, white paper) and the pixel place of each atom, y down."""
    mol = sketch.mol
    if sketch.carbons:
        mol = Chem.Mol(mol)
        for index in sketch.carbons:
            mol.GetAtomWithIdx(index).SetProp("_displayLabel", "C")
    drawer = _drawer(size, style)
    drawer.DrawMolecule(mol)
    points = [drawer.GetDrawCoords(index) for index in range(mol.GetNumAtoms())]
    for ring in sketch.circles:
        corners = [points[index] for index in ring]
        x, y = (sum(getattr(c, axis) for c in corners) / len(corners) for axis in "xy")
        radius = _CIRCLE * ((corners[0].x - x) ** 2 + (corners[0].y - y) ** 2) ** 0.5
        drawer.SetFillPolys(False)
        drawer.SetLineWidth(round(max(1.0, style.bond_width)))
        drawer.DrawEllipse(Point2D(x - radius, y - radius), Point2D(x + radius, y + radius), True)
    drawer.FinishDrawing()
    image = Image.open(io.BytesIO(drawer.GetDrawingText()))
    return image.convert("RGB"), [(point.x, point.y) for point in points]


def _drawer(size: tuple[int, int], style: Style) -> rdMolDraw2D.MolDraw2DCairo:
    drawer = rdMolDraw2D.MolDraw2DCairo(*size)
    options: Any = drawer.drawOptions()
    options.prepareMolsBeforeDrawing = False  # what is drawn is what the graph is read from
    if not style.colour:
        options.useBWAtomPalette()
    options.fixedBondLength = style.bond_length
    options.bondLineWidth = max(1.0, style.bond_width)
    options.scaleBondWidth = False
    options.padding = style.margin
    options.minFontSize = _MIN_FONT
    options.maxFontSize = 60
    options.baseFontSize = style.font_size * 1.5  # RDKit's unit is the angstrom; bonds have 1.5
    options.multipleBondOffset = style.double_gap
    options.explicitMethyl = style.methyl
    if style.font:
        options.fontFile = font_file(style.font)
    return drawer
