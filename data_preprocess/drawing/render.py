"""Molecules drawn, each with the exact pixel position of every atom: the entry point of `drawing`.

The graph is read off the very molecule that is drawn: its Kekule bonds, its wedges (narrow end
first), its charges, its labels. A hydrogen is an atom of its own only where it is drawn as one, so
a label such as OH or NH2 is ONE atom whose label is the element, O or N: the hydrogens follow from
the valence. An abbreviation (OMe, Boc) is one atom with the text as label.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image
from rdkit import Chem

from data_preprocess.drawing.depiction import (
    Depiction,
    RenderError,
    as_delivered,
    depict,
    readable,
)
from data_preprocess.drawing.indigo_drawing import draw_with_indigo
from data_preprocess.drawing.rdkit_drawing import draw_with_rdkit
from data_preprocess.drawing.scan import CLEAN_SCAN, Print
from data_preprocess.drawing.style import Engine, Style, StyleRange
from eyesmol.chem.graph import MolGraph
from eyesmol.chem.smiles import graph_to_smiles

__all__ = [
    "Drawing",
    "Engine",
    "RenderError",
    "Style",
    "StyleRange",
    "render",
    "render_layout",
]


@dataclass(frozen=True)
class Drawing:
    """An image, the graph in its pixels, and the molecule that it shows.

    Attributes:
        image: mode L, black on white; of a varied style also RGB, coloured, or light on dark.
        graph: atoms in the order of the depiction; positions in pixels (not rounded), y down.
        smiles: canonical SMILES of what is drawn. A double bond that the input leaves open is
            drawn as cis or trans, and so it reads, unless the style draws it crossed.
    """

    image: Image.Image
    graph: MolGraph
    smiles: str


def render(
    mol: Chem.Mol | str,
    size: tuple[int, int],
    *,
    seed: int = 0,
    style: Style | None = None,
    look: StyleRange = "clean",
    r_groups: bool = True,
) -> Drawing:
    """Draw a molecule; the same molecule, size, seed and style always give the same image.

    Args:
        mol: a sanitised RDKit molecule, which is left unchanged, or a SMILES.
        size: width and height in pixels.
        seed: chooses a random style, and every position where a style leaves a choice.
        style: instead of a random one.
        look: ``clean`` styles are black on white, by RDKit; ``scanned`` ones are the same, printed
            and scanned; ``varied`` ones have two engines, abbreviations, R groups, captions and
            the traces of a scanner.
        r_groups: False keeps the molecule what it is, where a style would put R in place of an end.

    Raises:
        RenderError: no SMILES, or a molecule that this drawing cannot hold (radicals, no atoms,
            atoms upon each other, an image too small for it).
    """
    mol = readable(mol)
    rng = random.Random(seed)
    style = style or _LOOKS[look](rng, size)
    if not r_groups:
        style = replace(style, r_groups=0)
    return _on_paper(depict(mol, style, rng), size, style, rng)


def render_layout(
    graph: MolGraph,
    smiles: str,
    size: tuple[int, int],
    *,
    seed: int = 0,
    look: StyleRange = "clean",
) -> Drawing:
    """Draw a molfile as it is: its layout, its wedges, its labels; the paper is the style's.

    Args:
        graph: in the molfile's coordinates, y up.
        smiles: canonical, of the molfile.
        size, seed, look: as in `render`.

    Raises:
        RenderError: the graph is not the molecule of the SMILES, atoms lie upon each other, or the
            image is too small.
    """
    rng = random.Random(seed)
    style = replace(_LOOKS[look](rng, size), engine="rdkit")
    return _on_paper(as_delivered(graph, smiles, legible=style.legible), size, style, rng)


_LOOKS = {"clean": Style.random, "scanned": Style.scanned, "varied": Style.varied}


def _on_paper(drawn: Depiction, size: tuple[int, int], style: Style, rng: random.Random) -> Drawing:
    draw = draw_with_indigo if style.engine == "indigo" else draw_with_rdkit
    image, points = draw(drawn, style.beside.inner_size(size), style)
    image, dx, dy = style.beside.framed(image, size)
    if not style.colour:
        image = image.convert("L")
    style.beside.add(image, rng)
    graph = drawn.graph.placed((x + dx, y + dy) for x, y in points)
    if style.scan != CLEAN_SCAN:
        image, affine = style.scan.apply(image, _print(graph, style), rng)
        positions = np.array([(atom.x, atom.y, 1) for atom in graph.atoms]) @ affine.T
        graph = graph.placed((float(x), float(y)) for x, y in positions)
    _check(graph, drawn.smiles, size, style)
    return Drawing(image, graph, drawn.smiles)


_SMALLEST_FONT = 9.0  # pixels, of both engines
_SHORTEST_BOND = 9.0  # pixels: shorter bonds leave no line between two letters


def _print(graph: MolGraph, style: Style) -> Print:
    length = graph.median_bond_length() or style.bond_length
    letter = max(style.font_size * length, _SMALLEST_FONT)
    ends = Counter(end for bond in graph.bonds for end in (bond.begin, bond.end))
    labels = tuple(
        (atom.x, atom.y, letter * (1 + 0.5 * len(atom.text)))
        for index, atom in enumerate(graph.atoms)
        if atom.text != "C" or ends[index] < 2  # CH3
    )
    return Print(letter, style.line_width(length), style.double_gap * length, labels)


def _check(graph: MolGraph, smiles: str, size: tuple[int, int], style: Style) -> None:
    """The graph that is taught is the molecule, and can be seen.

    Raises:
        RenderError: it is not.
    """
    if style.legible and 0 < graph.median_bond_length() < _SHORTEST_BOND:
        raise RenderError("the image is too small for the molecule", smiles)
    if not all(0 <= atom.x < size[0] and 0 <= atom.y < size[1] for atom in graph.atoms):
        raise RenderError("an atom outside the image", smiles)
    found, _ = graph_to_smiles(graph)
    if found != smiles:
        raise RenderError("the drawing does not hold the whole molecule", smiles)
