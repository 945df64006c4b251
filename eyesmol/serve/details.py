"""What the page shows of a reading besides its row: the overlay, the molecule drawn, its InChI.

Images are data URIs, so that nothing is kept on the server.
"""

from __future__ import annotations

import base64
import io
from typing import Any

from PIL import Image
from rdkit import Chem, rdBase

from eyesmol.image.levels import on_white
from eyesmol.image.overlay import draw_overlay
from eyesmol.recognition import Recognition
from eyesmol.serve.structure import MOST_ATOMS, drawing_uri, inchi_of

__all__ = ["details_of"]

_LONGEST = 560  # pixels of the overlay's longer side


def details_of(image: Image.Image | None, result: Recognition) -> dict[str, Any]:
    """``overlay`` (PNG), ``drawing`` (SVG), ``inchi``; each None where there is none.

    Args:
        image: what was read; None where the file could not be opened.
        result: what was read of it.
    """
    mol = _molecule(result)
    return {
        "overlay": image and _overlay_uri(image, result),
        "drawing": mol and drawing_uri(mol),
        "inchi": mol and inchi_of(mol),
    }


def _overlay_uri(image: Image.Image, result: Recognition) -> str:
    scale = _LONGEST / max(image.size)
    if result.graph is not None and result.graph.atoms:
        drawn = draw_overlay(image, result.graph, scale=scale)
    else:
        drawn = on_white(image)
        drawn.thumbnail((_LONGEST, _LONGEST))
    buffer = io.BytesIO()
    drawn.save(buffer, "PNG")  # optimised, a photograph is an eighth smaller, in four times as long
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _molecule(result: Recognition) -> Chem.Mol | None:
    """The best guess, laid out as in the image where that is known; None where it is too large."""
    with rdBase.BlockLogs():
        mol, block = None, result.molecule.molblock
        if block and result.molecule.smiles_from != "written":
            mol = Chem.MolFromMolBlock(block)
        if mol is None and result.smiles:
            mol = Chem.MolFromSmiles(result.molecule.cxsmiles or result.smiles)
    fits = mol is not None and (mol.GetNumConformers() or mol.GetNumAtoms() <= MOST_ATOMS)
    return mol if fits else None
