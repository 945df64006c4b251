"""A depiction put on paper by RDKit, which tells where it puts each atom."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image
from rdkit import Chem
from rdkit.Chem.Draw import rdMolDraw2D
from rdkit.Geometry import Point2D

from data_preprocess.drawing.depiction import Depiction, fitting_bond_length
from data_preprocess.drawing.fonts import font_file
from data_preprocess.drawing.style import Style
from eyesmol.chem.graph import Bond, BondOrder, MolGraph

__all__ = ["Point", "draw_with_rdkit"]

Point = tuple[float, float]

_MIN_FONT = 9  # pixels: below, RDKit's N and O cannot be told apart
_MIN_STROKE = 1.3  # pixels, of dashed wedges
_CIRCLE = 0.6  # radius of an aromatic circle, in radii of its ring


def draw_with_rdkit(
    depiction: Depiction, size: tuple[int, int], style: Style
) -> tuple[Image.Image, list[Point]]:
    """The image (RGB, white paper) and the pixel position of each atom, y down."""
    mol = depiction.mol
    if depiction.carbons:
        mol = Chem.Mol(mol)
        for index in depiction.carbons:
            mol.GetAtomWithIdx(index).SetProp("_displayLabel", "C")
    line = style.line_width(fitting_bond_length(depiction, size, style))
    drawer = _drawer(size, style, line)
    drawer.DrawMolecule(mol)
    points = [drawer.GetDrawCoords(index) for index in range(mol.GetNumAtoms())]
    if style.hash_width:
        for bond in depiction.graph.bonds:
            if bond.order == BondOrder.DASHED_WEDGE:
                _draw_dashed_wedge(drawer, depiction.graph, bond, points, style, line)
    for ring in depiction.circles:
        corners = [points[index] for index in ring]
        x, y = (sum(getattr(c, axis) for c in corners) / len(corners) for axis in "xy")
        radius = _CIRCLE * ((corners[0].x - x) ** 2 + (corners[0].y - y) ** 2) ** 0.5
        drawer.SetFillPolys(False)
        drawer.SetLineWidth(line)
        drawer.DrawEllipse(Point2D(x - radius, y - radius), Point2D(x + radius, y + radius), True)
    drawer.FinishDrawing()
    image = Image.open(io.BytesIO(drawer.GetDrawingText()))
    return image.convert("RGB"), [(point.x, point.y) for point in points]


def _draw_dashed_wedge(
    drawer: rdMolDraw2D.MolDraw2DCairo,
    graph: MolGraph,
    bond: Bond,
    points: list[Point2D],
    style: Style,
    line: float,
) -> None:
    """Paint RDKit's thin strokes over, between the labels of both ends, and draw bolder ones."""
    begin, end = points[bond.begin], points[bond.end]
    along = end - begin
    length = along.Length()
    across = Point2D(-along.y / length, along.x / length)
    letter = 0.65 * max(style.font_size * length, _MIN_FONT) / length
    start, stop = (
        edge if graph.atoms[index].text == "C" and not style.methyl else inside
        for index, edge, inside in (
            (bond.begin, 0.06, letter),
            (bond.end, 0.98, 1 - letter),
        )
    )

    def at(fraction: float, aside: float) -> Point2D:
        return begin + along * fraction + across * aside

    drawer.SetFillPolys(True)
    drawer.SetColour((1, 1, 1))
    rim = [(start, 0.04), (stop, 0.2), (stop, -0.2), (start, -0.04)]
    drawer.DrawPolygon([at(fraction, aside * length) for fraction, aside in rim], True)
    drawer.SetColour((0, 0, 0))
    stroke = max(style.hash_width * line, _MIN_STROKE)
    drawer.SetLineWidth(stroke)
    count = max(4, round((stop - start) * length / max(2.3 * stroke, min(length / 8, 5))))
    for number in range(count + 1):
        fraction = start + (stop - start) * number / count
        half = max(style.wedge_width / 2 * fraction * length, 0.5)
        drawer.DrawLine(at(fraction, half), at(fraction, -half), rawCoords=True)


def _drawer(size: tuple[int, int], style: Style, line: float) -> rdMolDraw2D.MolDraw2DCairo:
    drawer = rdMolDraw2D.MolDraw2DCairo(*size)
    options: Any = drawer.drawOptions()
    options.prepareMolsBeforeDrawing = False  # what is drawn is what the graph is read from
    if not style.colour:
        options.useBWAtomPalette()
    options.fixedBondLength = style.bond_length
    options.bondLineWidth = line
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
