"""How much of the ink a molecule explains: all of its own drawing, little of what else is there."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw

from data_preprocess.drawing.pen import draw
from data_preprocess.drawing.pen_style import PenStyle
from detector_training.subjects import subject
from eyesmol.chem.graph import Atom, Bond, BondOrder, MolGraph
from eyesmol.detector.assembly import Assembly
from eyesmol.detector.coverage import coverage
from eyesmol.detector.ink import ink_of
from eyesmol.detector.reading import Reading


def test_a_molecule_explains_its_own_drawing() -> None:
    shares = []
    for number in range(25):
        shown = subject(11, number)
        if shown is None:
            continue
        rng = random.Random(number)
        drawing = draw(shown, PenStyle.random(rng), rng)
        if drawing is None:
            continue
        ink = ink_of(Image.fromarray(drawing.image))
        shares.append(coverage(ink, drawing.graph, drawing.bond_length))
    assert np.median(shares) > 0.95  # some have captions, frames and neighbours beside


def test_text_beside_it_is_not_explained() -> None:
    image = Image.new("L", (400, 300), 255)
    pen = ImageDraw.Draw(image)
    pen.line([(20, 20), (60, 20)], 0, 3)
    graph = MolGraph((Atom("C", 20, 20), Atom("C", 60, 20)), (Bond(0, 1, BondOrder.SINGLE),))
    alone = coverage(ink_of(image), graph, 40)
    for line in range(8):
        pen.text((20, 80 + 22 * line), "Nobody explains what is written here at length.", 0)
    assert alone > 0.99
    assert coverage(ink_of(image), graph, 40) < 0.2


@pytest.mark.parametrize(
    ("atoms", "doubt", "share", "refused"),
    [
        (20, 0.02, 0.97, False),  # a drawing
        (20, 0.02, 0.40, False),  # a drawing amid captions: what is read is sure
        (12, 1.20, 0.87, False),  # a poor drawing: it explains the ink all the same
        (10, 0.55, 0.46, True),  # a plot
        (3, 0.05, 0.05, True),  # a line of text that has a stroke like a bond
    ],
)
def test_what_is_refused(atoms: int, doubt: float, share: float, refused: bool) -> None:
    graph = MolGraph(tuple(Atom("C", 30.0 * n, 0.0) for n in range(atoms)))
    assembly = Assembly(graph, "C" * atoms, log_probability=-doubt * atoms)
    reading = Reading(assembly, 1.0, 3, 30.0, share)
    assert bool(reading.no_molecule) == refused
    assert replace(reading, assembly=replace(assembly, smiles=None)).no_molecule is None
