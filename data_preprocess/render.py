"""Molecules drawn by RDKit, each with the exact pixel place of every atom.

The graph is read off the very molecule that is drawn: its Kekule bonds, its wedges (narrow end
first), its charges. Hydrogens are never atoms of their own, so a label such as OH or NH2 is ONE
atom whose label is the element, O or N: the hydrogens follow from the valence.
"""

from __future__ import annotations

import io
import math
import random
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from rdkit import Chem, rdBase
from rdkit.Chem import rdDepictor
from rdkit.Chem.Draw import rdMolDraw2D

from eyesmol.chemistry import graph_to_smiles
from eyesmol.graph import MolGraph
from eyesmol.molfile import mol_to_graph

__all__ = ["Drawing", "RenderError", "Style", "render"]


class RenderError(ValueError):
    """A molecule that cannot be drawn as a graph; `reason` is one of a few fixed phrases."""

    def __init__(self, reason: str, smiles: str) -> None:
        super().__init__(f"{smiles}: {reason}")
        self.reason = reason


@dataclass(frozen=True)
class Style:
    """How a drawing looks.

    Attributes:
        rotation: of the layout, in degrees.
        mirror: turn the layout over; wedges are chosen afterwards, so the molecule stays itself.
        bond_length: in pixels; shorter where the molecule would not fit otherwise.
        bond_width: of the lines, in pixels.
        font_size: of the labels, in bond lengths.
        margin: empty share of the picture at each side.
    """

    rotation: float = 0.0
    mirror: bool = False
    bond_length: float = 30.0
    bond_width: float = 1.5
    font_size: float = 0.5
    margin: float = 0.06

    @classmethod
    def random(cls, rng: random.Random, size: tuple[int, int]) -> Style:
        """A style as journals and patents vary it, for pictures of `size` (width, height)."""
        bond = min(rng.uniform(0.2, 0.3) * min(size), rng.uniform(32, 48))
        return cls(
            # Most drawings keep their bonds on multiples of 30 degrees, the rest stands askew.
            rotation=rng.randrange(12) * 30 if rng.random() < 0.7 else rng.uniform(0, 360),
            mirror=rng.random() < 0.5,
            bond_length=bond,
            bond_width=rng.uniform(0.03, 0.07) * bond,
            font_size=rng.uniform(0.42, 0.6),
            margin=rng.uniform(0.03, 0.12),
        )


@dataclass(frozen=True)
class Drawing:
    """A picture, the graph in its pixels, and the molecule that it shows.

    Attributes:
        image: mode L, black on white.
        graph: atoms in the order of the molecule; places in pixels (not rounded), y down.
        smiles: canonical SMILES of what is drawn. A double bond that the input leaves open is
            drawn as cis or trans, and so it reads.
    """

    image: Image.Image
    graph: MolGraph
    smiles: str


_MIN_FONT = 9  # pixels: below, RDKit's N and O cannot be told apart
_WEDGE_CODE = {Chem.BondDir.BEGINWEDGE: 1, Chem.BondDir.BEGINDASH: 6, Chem.BondDir.UNKNOWN: 4}


def render(
    mol: Chem.Mol | str, size: tuple[int, int], *, seed: int = 0, style: Style | None = None
) -> Drawing:
    """Draw a molecule; the same molecule, size and seed always give the same picture.

    Args:
        mol: a sanitised RDKit molecule, which is left unchanged, or a SMILES.
        size: width and height in pixels.
        seed: chooses a random style.
        style: instead of a random one.

    Raises:
        RenderError: no SMILES, or a molecule that this drawing cannot hold (radicals, no atoms).
    """
    mol = _readable(mol)
    style = style or Style.random(random.Random(seed), size)
    drawn = _laid_out(mol, style)
    expected = Chem.MolToSmiles(drawn)
    prepared = rdMolDraw2D.PrepareMolForDrawing(
        drawn, kekulize=True, addChiralHs=False, wedgeBonds=True, forceCoords=False
    )
    drawer = _drawer(size, style)
    drawer.DrawMolecule(prepared)
    points = [drawer.GetDrawCoords(index) for index in range(prepared.GetNumAtoms())]
    drawer.FinishDrawing()
    image = Image.open(io.BytesIO(drawer.GetDrawingText())).convert("L")

    # RDKit's drawing keeps a wedge as a bond direction; the reader of molfiles looks for the file's
    # own property.
    for bond in prepared.GetBonds():
        if (code := _WEDGE_CODE.get(bond.GetBondDir())) is not None:
            bond.SetUnsignedProp("_MolFileBondStereo", code)
    graph = mol_to_graph(prepared).placed((point.x, point.y) for point in points)
    smiles, _ = graph_to_smiles(graph)
    if smiles != expected:
        raise RenderError("the drawing does not hold the whole molecule", expected)
    return Drawing(image, graph, smiles)


def _readable(mol: Chem.Mol | str) -> Chem.Mol:
    if isinstance(mol, str):
        text = mol
        with rdBase.BlockLogs():
            mol = Chem.MolFromSmiles(text)
        if mol is None:
            raise RenderError("RDKit cannot read the SMILES", text)
    if mol.GetNumAtoms() == 0:
        raise RenderError("no atoms", "an empty molecule")
    if any(atom.GetNumRadicalElectrons() for atom in mol.GetAtoms()):
        raise RenderError("a radical", Chem.MolToSmiles(mol))
    return mol


def _laid_out(mol: Chem.Mol, style: Style) -> Chem.Mol:
    """A copy with turned 2D coordinates, whose double bonds are as the layout draws them."""
    laid_out = Chem.Mol(mol)
    rdDepictor.Compute2DCoords(laid_out)
    angle = math.radians(style.rotation)
    cos, sin = math.cos(angle), math.sin(angle)
    matrix = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
    if style.mirror:
        matrix[0] *= -1
    conformer = laid_out.GetConformer()
    conformer.SetPositions(conformer.GetPositions() @ matrix)
    Chem.DetectBondStereochemistry(laid_out)
    Chem.AssignStereochemistry(laid_out, cleanIt=True, force=True)
    return laid_out


def _drawer(size: tuple[int, int], style: Style) -> rdMolDraw2D.MolDraw2DCairo:
    drawer = rdMolDraw2D.MolDraw2DCairo(*size)
    options: Any = drawer.drawOptions()
    options.prepareMolsBeforeDrawing = False  # what is drawn is what the graph is read from
    options.useBWAtomPalette()
    options.fixedBondLength = style.bond_length
    options.bondLineWidth = max(1.0, style.bond_width)
    options.scaleBondWidth = False
    options.padding = style.margin
    options.minFontSize = _MIN_FONT
    options.maxFontSize = 60
    options.baseFontSize = style.font_size * 1.5  # RDKit's unit is the angstrom; bonds have 1.5
    return drawer
