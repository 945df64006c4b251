"""Molecules and readings as images, for people: PNG for programs, HTML for notebooks."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from html import escape

from PIL import Image
from rdkit import Chem
from rdkit.Chem.Draw import rdMolDraw2D

__all__ = ["as_html", "draw_molecule"]


def draw_molecule(mol: Chem.Mol, size: tuple[int, int] = (400, 300)) -> Image.Image:
    """A depiction by RDKit, in the molecule's own layout.

    Args:
        mol: a molecule; one without 2D coordinates is laid out.
        size: width and height in pixels.
    """
    drawer = rdMolDraw2D.MolDraw2DCairo(*size)
    rdMolDraw2D.PrepareAndDrawMolecule(drawer, mol)
    drawer.FinishDrawing()
    return Image.open(io.BytesIO(drawer.GetDrawingText()))


def as_html(images: Iterable[Image.Image], facts: Iterable[tuple[str, str]]) -> str:
    """Images side by side, and below them what is known, a line each.

    Args:
        images: of any size; shown at most 360 pixels wide.
        facts: names and values, which are escaped.
    """
    shown = "".join(f'<img src="{_data_uri(image)}" style="max-width:360px">' for image in images)
    rows = "".join(
        f'<tr><th style="text-align:left">{escape(name)}</th>'
        f'<td style="text-align:left"><code>{escape(value)}</code></td></tr>'
        for name, value in facts
    )
    return f"<div>{shown}</div><table>{rows}</table>"


def _data_uri(image: Image.Image) -> str:
    image = image.copy()
    image.thumbnail((720, 720))  # sharp on screens with two dots a pixel
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
