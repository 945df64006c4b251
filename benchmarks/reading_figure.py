"""The README's figure: known medicines, drawn in the styles of paper, and what was read over them.

    python benchmarks/reading_figure.py docs/reading.png

The drawings are this project's own; nobody else's image is in it. Below each stands what was read,
in grey where it is not the molecule that was drawn.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw, ImageFont
from rdkit import Chem

from data_preprocess.drawing.clutter import Clutter
from data_preprocess.drawing.fonts import font_file
from data_preprocess.drawing.pen import draw
from data_preprocess.drawing.pen_style import PenStyle
from data_preprocess.drawing.subject import Subject
from eyesmol import Recognition, Recognizer
from eyesmol.atomic import atomic_path
from eyesmol.chem.molfile import graph_to_molblock
from eyesmol.chem.smiles import canonical_smiles, graph_from_smiles

_SHOWN = (
    ("paracetamol", "us_patent", "CC(=O)Nc1ccc(O)cc1"),
    ("ibuprofen", "catalogue", "CC(C)Cc1ccc(C(C)C(=O)O)cc1"),
    ("fluoxetine", "us_patent", "CNCCC(Oc1ccc(C(F)(F)F)cc1)c1ccccc1"),
    ("caffeine", "dictionary", "Cn1cnc2c1c(=O)n(C)c(=O)n2C"),
    ("diazepam", "journal", "CN1C(=O)CN=C(c2ccccc2)c2cc(Cl)ccc21"),
    ("chloroquine", "us_patent", "CCN(CC)CCCC(C)Nc1ccnc2cc(Cl)ccc12"),
)
_COLUMNS, _CELL, _CAPTION = 3, (380, 250), 40


def drawing(smiles: str, family: str, seed: int) -> Image.Image:
    """A molecule in a style of paper, worn as that is, with nothing else on it."""
    graph = graph_from_smiles(smiles).transformed(1, 0, 0, flip=True)
    mol = Chem.MolFromMolBlock(graph_to_molblock(graph), removeHs=False)
    for tried in range(seed, seed + 50):
        rng = Random(tried)
        style = replace(PenStyle.of_family(family, rng), clutter=Clutter())
        drawn = draw(Subject(graph, mol), style, rng)
        if drawn is not None:
            return Image.fromarray(drawn.image)
    raise ValueError(f"{smiles}: no style of {family} can draw it")


def cell(name: str, image: Image.Image, read: Recognition, smiles: str) -> Image.Image:
    """A drawing with what was read over it, and its SMILES below."""
    width, height = _CELL
    scale = min((width - 20) / image.width, (height - _CAPTION - 14) / image.height)
    over = read.overlay(image, scale=scale) or image
    found = Image.new("RGB", _CELL, "white")
    found.paste(over, ((width - over.width) // 2, (height - _CAPTION - over.height) // 2))
    pen = ImageDraw.Draw(found)
    right = read.smiles == canonical_smiles(smiles)
    font = ImageFont.truetype(font_file("sans"), 12)
    said = f"{name}: {'right' if right else 'misread'}, confidence {read.confidence or 0:.2f}"
    for line, text in enumerate((said, read.smiles or "nothing")):
        pen.text((8, height - _CAPTION + 2 + 17 * line), text, "black" if right else "grey", font)
    pen.rectangle((2, 2, width - 3, height - 3), outline="#cccccc")
    return found


def main() -> None:
    """Draw, read, and put together."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="the PNG to write")
    parser.add_argument("--seed", type=int, default=5, help="of the drawings (5)")
    options = parser.parse_args()
    reader = Recognizer.from_pretrained()
    lines = -(-len(_SHOWN) // _COLUMNS)
    sheet = Image.new("RGB", (_COLUMNS * _CELL[0], lines * _CELL[1]), "white")
    for number, (name, family, smiles) in enumerate(_SHOWN):
        image = drawing(smiles, family, options.seed)
        [read] = reader.recognize(image, pages=False)
        at = (number % _COLUMNS * _CELL[0], number // _COLUMNS * _CELL[1])
        sheet.paste(cell(name, image, read, smiles), at)
        print(f"{name}: {read.smiles} {read.confidence}, drawn {canonical_smiles(smiles)}")
    with atomic_path(options.out) as draft:
        sheet.quantize(128).save(draft, "PNG", optimize=True)


if __name__ == "__main__":
    main()
