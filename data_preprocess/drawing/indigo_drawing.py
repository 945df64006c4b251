"""A depiction put on paper by Indigo, with marks beside it that tell where each atom is.

Indigo scales and shifts what it draws by itself and does not say how. So a small triangle (a ring,
which takes no label) is drawn far below and left of the molecule and another above and right of it.
A triangle's ink has its centre of mass where the triangle has its centre; two centres give the
scale and both offsets to a few hundredths of a pixel, for any option of Indigo's. The marks are cut
off again with the paper they stand on.
"""

from __future__ import annotations

import io
import math
import tempfile
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data_preprocess.drawing.depiction import Depiction, RenderError, fitting_bond_length
from data_preprocess.drawing.style import Style
from eyesmol.chem.graph import Atom, Bond, MolGraph
from eyesmol.chem.molfile import graph_to_molblock

__all__ = ["draw_with_indigo"]

_BOND = 1.5  # angstrom, as in the depiction
# Radius of a mark, in angstrom. Its sides are as long as bonds, so that the mean of all bonds,
# which Indigo scales by, stays what it is.
_MARK = _BOND / math.sqrt(3)
_ROOM = 1.3  # round a mark: no ink of the molecule comes so near, in angstrom
_MIN_FONT = 9.0  # pixels, as RDKit's
_TRIES = 4
_Points = NDArray[np.float64]


def draw_with_indigo(
    depiction: Depiction, size: tuple[int, int], style: Style
) -> tuple[Image.Image, list[tuple[float, float]]]:
    """The image (RGB, white paper) and the pixel position of each atom, y down.

    Raises:
        RenderError: Indigo does not take the molecule.
    """
    points = np.array([(atom.x, atom.y) for atom in depiction.graph.atoms])
    room = np.array(size) * (1 - 2 * style.margin)
    length = fitting_bond_length(depiction, size, style)
    for _ in range(_TRIES):
        image, placed = _drawn(depiction, points, length, style)
        box = _ink_box(image)
        width, height = box[2] - box[0], box[3] - box[1]
        if width <= room[0] and height <= room[1]:
            break
        length *= min(room[0] / width, room[1] / height) * 0.98  # letters do not shrink below
    else:
        raise RenderError("the image is too small for the molecule", depiction.smiles)
    # The ink in the middle of the image, at whole pixels: nothing is interpolated.
    left = (size[0] - width) // 2 - box[0]
    top = (size[1] - height) // 2 - box[1]
    paper = Image.new("RGB", size, "white")
    paper.paste(image, (left, top))
    return paper, [(float(x + left), float(y + top)) for x, y in placed]


def _drawn(
    depiction: Depiction, points: _Points, length: float, style: Style
) -> tuple[Image.Image, _Points]:
    """The image without its marks, and the positions, at a bond length in pixels."""
    # Labels reach out of the atoms' box by their text.
    longest = max(len(atom.text) for atom in depiction.graph.atoms)
    reach = 2.5 * _ROOM + 0.5 * _BOND * longest * max(style.font_size, _MIN_FONT / length)
    low, high = points.min(axis=0) - reach, points.max(axis=0) + reach
    block = _molblock(depiction, (low, high))
    data = _rendered(block, length, style, depiction.smiles)
    image = Image.open(io.BytesIO(data)).convert("RGB")
    ink = 255.0 - np.asarray(image.convert("L"), dtype=np.float64)
    # The marks are the only ink in the corners top left and bottom right.
    pixels = length / _BOND
    corner = math.ceil((_MARK + _ROOM) * pixels)
    first = _centre_of_mass(ink[:corner, :corner])
    last = _centre_of_mass(ink[-corner:, -corner:])
    last += np.array([image.width - corner, image.height - corner])
    scale = (last - first) / (high - low)
    if not 0.99 < scale[0] / scale[1] < 1.01:
        raise RenderError("the marks beside Indigo's drawing are not where they should be", "")
    placed = (points - low) * scale + first
    # Cut the marks off.
    inner = math.floor(_ROOM * pixels)
    x0, y0 = (math.ceil(at) + inner for at in first)
    x1, y1 = (math.floor(at) - inner for at in last)
    return image.crop((x0, y0, x1, y1)), placed - [x0, y0]


def _centre_of_mass(ink: _Points) -> _Points:
    """x and y of the ink's centre; a pixel's centre lies half a pixel from its corner."""
    total = ink.sum()
    rows, columns = (np.arange(side) + 0.5 for side in ink.shape)
    return np.array([ink.sum(axis=0) @ columns / total, ink.sum(axis=1) @ rows / total])


def _ink_box(image: Image.Image) -> tuple[int, int, int, int]:
    box = image.convert("L").point(lambda value: 255 if value < 250 else 0).getbbox()
    return box or (0, 0, 1, 1)


def _molblock(depiction: Depiction, corners: tuple[_Points, _Points]) -> str:
    """The graph with both marks, at its own positions: y down here, up in the file."""
    atoms, bonds = list(depiction.graph.atoms), list(depiction.graph.bonds)
    for index in depiction.carbons:
        atoms[index] = replace(atoms[index], label="*")  # of a carbon, Indigo leaves the C out
    for x, y in corners:
        first = len(atoms)
        for turn in (0, 120, 240):
            angle = math.radians(turn)
            atoms.append(Atom("C", x + _MARK * math.cos(angle), y + _MARK * math.sin(angle)))
        bonds += (Bond(first + a, first + (a + 1) % 3) for a in range(3))
    block = graph_to_molblock(MolGraph(tuple(atoms), tuple(bonds)))
    for index in depiction.carbons:
        alias = f"\nA  {index + 1:3d}\n"
        block = block.replace(f"{alias}*\n", f"{alias}C\n")
    return block


@lru_cache(maxsize=1)
def _indigo() -> tuple[Any, Any]:
    """One session a process: making one takes longer than a drawing."""
    try:
        from indigo import Indigo
        from indigo.renderer import IndigoRenderer
    except ImportError:
        raise ImportError(
            "drawing with Indigo needs the package epam.indigo: pip install -e '.[data]'"
        ) from None
    indigo = Indigo()
    # The graph's stereo and valences are checked by the project's own reader, not here.
    indigo.setOption("ignore-stereochemistry-errors", True)
    indigo.setOption("ignore-bad-valence", True)
    return indigo, IndigoRenderer(indigo)


def _rendered(block: str, length: float, style: Style, smiles: str) -> bytes:
    indigo, renderer = _indigo()
    font, line = max(style.font_size * length, _MIN_FONT), style.line_width(length)
    options: dict[str, Any] = {
        "render-output-format": "png",
        "render-background-color": "1, 1, 1",
        "render-stereo-style": "none",
        "render-valences-visible": False,
        "render-bond-length": length,
        "render-coloring": style.colour,
        "render-label-mode": "terminal-hetero" if style.methyl else "hetero",
        "render-font-size": font,
        "render-font-size-unit": "px",
        "render-font-size-sub": 0.7 * font,
        "render-font-size-sub-unit": "px",
        "render-bond-thickness": line,
        "render-bond-thickness-unit": "px",
        "render-bond-spacing": style.double_gap,
        "render-stereo-bond-width": max(style.wedge_width * length, 3 * line),
        "render-stereo-bond-width-unit": "px",
    }
    for name, value in options.items():
        indigo.setOption(name, value)
    from indigo import IndigoException

    try:
        # By way of a file: the package copies a buffer byte by byte in Python.
        with tempfile.NamedTemporaryFile(suffix=".png") as file:
            renderer.renderToFile(indigo.loadMolecule(block), file.name)
            return file.read()
    except IndigoException:
        raise RenderError("Indigo cannot draw the molecule", smiles) from None
