"""Contact sheets: images side by side with what was read and what is true, to be looked at."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from rdkit import Chem, rdBase
from rdkit.Chem.Draw import rdMolDraw2D

from data_preprocess.drawing.fonts import font_file
from eyesmol.chem.graph import MolGraph
from eyesmol.chem.molfile import graph_to_molblock
from eyesmol.chem.smiles import expand_abbreviations

_CELL = (360, 250)  # pixels
_LINE = 14


@dataclass(frozen=True)
class Row:
    """One line of a sheet.

    Attributes:
        title: above it.
        image: what was read.
        cells: molecules drawn beside it; see `drawn`.
        captions: below the cells.
    """

    title: str
    image: Image.Image
    cells: tuple[Image.Image, ...] = ()
    captions: tuple[str, ...] = ()


def write_sheet(rows: Sequence[Row], path: Path, columns: int = 2) -> None:
    """A PNG of the rows, several beside each other.

    Args:
        rows: at least one.
        path: of the PNG.
        columns: rows beside each other.
    """
    cells = 1 + max(len(row.cells) for row in rows)
    wide, high = cells * _CELL[0] + 10, _CELL[1] + 4 * _LINE
    lines = -(-len(rows) // columns)
    sheet = Image.new("RGB", (columns * wide, lines * high), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.truetype(font_file("sans"), 12)
    for number, row in enumerate(rows):
        left, top = number % columns * wide, number // columns * high
        pen.rectangle((left, top, left + wide - 4, top + high - 4), outline="#bbbbbb")
        pen.text((left + 6, top + 2), row.title, "black", font)
        for k, cell in enumerate((row.image, *row.cells)):
            shown = _fitted(cell)
            sheet.paste(shown, (left + 5 + k * _CELL[0], top + _LINE + 4))
        for k, caption in enumerate(row.captions):
            text = "\n".join(textwrap.wrap(caption, 46)[:2])
            pen.text((left + 8 + k * _CELL[0], top + _CELL[1] + _LINE + 4), text, "#444444", font)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def _fitted(image: Image.Image) -> Image.Image:
    """The image in the middle of a cell, no larger than it is."""
    image = image.convert("RGB")
    factor = min(1.0, (_CELL[0] - 8) / image.width, (_CELL[1] - 8) / image.height)
    size = max(1, round(image.width * factor)), max(1, round(image.height * factor))
    cell = Image.new("RGB", _CELL, "white")
    shown = image.resize(size, Image.Resampling.LANCZOS)
    cell.paste(shown, ((_CELL[0] - size[0]) // 2, (_CELL[1] - size[1]) // 2))
    return cell


def drawn(smiles: str | None, graph: MolGraph | None = None) -> Image.Image:
    """A molecule as RDKit draws it: where the graph has its atoms, else laid out anew.

    Total: where there is nothing to draw, an empty cell with a word.
    """
    mol = _mol(smiles, graph)
    if mol is None:
        empty = Image.new("RGB", _CELL, "white")
        ImageDraw.Draw(empty).text((_CELL[0] // 3, _CELL[1] // 2), "no molecule", "#aa0000")
        return empty
    pen = rdMolDraw2D.MolDraw2DCairo(*_CELL)
    options: Any = pen.drawOptions()
    options.prepareMolsBeforeDrawing = False
    with rdBase.BlockLogs():
        mol = rdMolDraw2D.PrepareMolForDrawing(mol, kekulize=True, addChiralHs=False)
        pen.DrawMolecule(mol)
    pen.FinishDrawing()
    return Image.open(io.BytesIO(pen.GetDrawingText()))


def _mol(smiles: str | None, graph: MolGraph | None) -> Chem.Mol | None:
    with rdBase.BlockLogs():
        if smiles and graph is not None and graph.atoms:
            block = graph_to_molblock(expand_abbreviations(graph)[0])
            mol = Chem.MolFromMolBlock(block, removeHs=False)
            if mol is not None:
                Chem.ReapplyMolBlockWedging(mol)
                return mol
        return Chem.MolFromSmiles(smiles) if smiles else None
