"""How fast pictures are drawn, and whether the places are true: clean against varied styles, RDKit
against Indigo, small pictures against large ones. All that is compared is measured in turns in one
run, so that a busy machine slows all sides alike.

    python benchmarks/draw_speed.py
    python benchmarks/draw_speed.py --smiles list.smi --most 1000 --rounds 1 --sizes 448

One process draws, and its CPU seconds count: pictures of a core that has nothing else to do, more
or less (other work on the machine still shares its caches). ``on ink`` is the share of bond
midpoints with ink within 2 pixels (across a double bond or a wave, up to a seventh of its length),
and in brackets the same with all places moved by a fifth of a bond. It is measured without the
dirt and the gaps of a scanner, which are ink and no ink by chance; times are with them.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from data_preprocess.drawing.render import Drawing, Engine, RenderError, Style, render
from data_preprocess.drawing.scan import CLEAN_SCAN
from eyesmol.chem.graph import BondOrder

# Drugs of 10 to 45 heavy atoms.
DRUGS = (
    "CC(=O)Oc1ccccc1C(=O)O",
    "CC(=O)Nc1ccc(O)cc1",
    "CC(C)Cc1ccc(C(C)C(=O)O)cc1",
    "CN1C(=O)CN=C(c2ccccc2)c2cc(Cl)ccc21",
    "CN1CCC[C@H]1c1cccnc1",
    "Cn1c(=O)c2c(ncn2C)n(C)c1=O",
    "CC(C)NCC(O)COc1cccc2ccccc12",
    "CN(C)CCOC(c1ccccc1)c1ccccc1",
    "CNCCC(Oc1ccc(C(F)(F)F)cc1)c1ccccc1",
    "COc1ccc2[nH]c(S(=O)Cc3ncc(C)c(OC)c3C)nc2c1",
    "CN1[C@H]2CC[C@@H]1[C@@H](C(=O)OC)[C@@H](OC(=O)c1ccccc1)C2",
    "CN1CC[C@]23c4c5ccc(O)c4O[C@H]2[C@@H](O)C=C[C@H]3[C@H]1C5",
    "CC1(C)S[C@@H]2[C@H](NC(=O)Cc3ccccc3)C(=O)N2[C@H]1C(=O)O",
    "Cc1ccc(-c2cc(C(F)(F)F)nn2-c2ccc(S(N)(=O)=O)cc2)cc1",
    "CCCc1nn(C)c2c(=O)[nH]c(-c3cc(S(=O)(=O)N4CCN(C)CC4)ccc3OCC)nc12",
    "Cc1ccc(NC(=O)c2ccc(CN3CCN(C)CC3)cc2)cc1Nc1nccc(-c2cccnc2)n1",
    "CC(C)c1c(C(=O)Nc2ccccc2)c(-c2ccccc2)c(-c2ccc(F)cc2)n1CC[C@@H](O)C[C@@H](O)CC(=O)O",
    "CC(C)(C)NC(=O)[C@@H]1CN(Cc2cccnc2)CCN1C[C@@H](O)C[C@@H](Cc1ccccc1)C(=O)N[C@H]1c2ccccc2C[C@H]1O",
)
_WAYS: tuple[tuple[str, Engine], ...] = (
    ("clean", "rdkit"),
    ("varied", "rdkit"),
    ("varied", "indigo"),
)
GEOMETRY = ("tilt", "shear", "zoom", "crop", "binary", "resolution")


@dataclass
class Measured:
    """One way of drawing: seconds of each round, pictures of a round, midpoints on ink, drops."""

    seconds: list[float] = field(default_factory=list)
    pictures: int = 0
    on_ink: list[bool] = field(default_factory=list)
    moved: list[bool] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)


def main() -> int:
    """Measure and print; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--smiles", type=Path, help="a SMILES a line, in place of 18 drugs")
    parser.add_argument("--most", type=int, default=100, help="pictures of a kind and round (100)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each measurement (3)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[224, 448], help="sides in pixels")
    options = parser.parse_args()
    listed = tuple(options.smiles.read_text().split()) if options.smiles else DRUGS
    smiles = [listed[number % len(listed)] for number in range(options.most)]
    request_options: list[tuple[str, Engine, int]] = [
        (look, engine, side) for side in options.sizes for look, engine in _WAYS
    ]
    found = {way: Measured() for way in request_options}
    for way in request_options:  # fonts and tables are loaded once
        draw(smiles[:3], *way, Measured())
    for _ in range(options.rounds):
        for way in request_options:
            draw(smiles, *way, found[way])
    print("| style | engine | pixels | pictures/s a core | on ink | refused |")
    print("|---|---|---|---|---|---|")
    for way in request_options:
        check(smiles, *way, found[way])
        print(row(way, found[way]))
    return 0


def row(way: tuple[str, Engine, int], measured: Measured) -> str:
    """A line of the table."""
    look, engine, side = way
    speed = measured.pictures / statistics.median(measured.seconds)
    ink, moved = (100 * np.mean(share) for share in (measured.on_ink, measured.moved))
    refused = "; ".join(f"{reason}: {count}" for reason, count in measured.refused.items())
    return (
        f"| {look} | {engine} | {side} x {side} | {speed:.0f} | {ink:.2f} % ({moved:.0f} %) "
        f"of {len(measured.on_ink)} | {refused or 'none'} |"
    )


def style_of(look: str, engine: Engine, side: int, number: int) -> Style:
    """The style of a picture, the same in every round."""
    rng = random.Random(number)
    if look == "clean":
        return Style.random(rng, (side, side))
    return Style.varied(rng, (side, side), engine)


def draw(smiles: Sequence[str], look: str, engine: Engine, side: int, measured: Measured) -> None:
    """Draw each molecule once and take the time."""
    styles = [style_of(look, engine, side, number) for number in range(len(smiles))]
    begin = time.process_time()
    drawn = 0
    for number, (text, style) in enumerate(zip(smiles, styles, strict=True)):
        try:
            render(text, (side, side), seed=number, style=style)
            drawn += 1
        except RenderError:
            continue
    measured.seconds.append(time.process_time() - begin)
    measured.pictures = drawn


def check(smiles: Sequence[str], look: str, engine: Engine, side: int, measured: Measured) -> None:
    """Look for ink at the places of each drawing."""
    for number, text in enumerate(smiles):
        style = style_of(look, engine, side, number)
        scan = replace(CLEAN_SCAN, **{name: getattr(style.scan, name) for name in GEOMETRY})
        try:
            drawing = render(text, (side, side), seed=number, style=replace(style, scan=scan))
        except RenderError as error:
            measured.refused[error.reason] += 1
            continue
        measured.on_ink += (midpoint_distances(drawing, 0.0) <= 2).tolist()
        measured.moved += (midpoint_distances(drawing, 0.2) <= 2).tolist()


def midpoint_distances(drawing: Drawing, moved: float) -> NDArray[np.float64]:
    """Pixels from the middle fifth of each bond to the nearest ink.

    Args:
        drawing: dark on white.
        moved: shift all places right and down by this share of a bond first.
    """
    graph = drawing.graph
    to_ink = ndimage.distance_transform_edt(np.asarray(drawing.image.convert("L")) >= 225)
    limits = np.array(drawing.image.size) - 1
    found = []
    for bond in graph.bonds:
        a, b = (np.array([graph.atoms[i].x, graph.atoms[i].y]) for i in (bond.begin, bond.end))
        wide = bond.order in (BondOrder.DOUBLE, BondOrder.CROSSED_DOUBLE, BondOrder.WAVY)
        across = np.array([a[1] - b[1], b[0] - a[0]]) * wide
        along = np.linspace(-0.1, 0.1, 5)[:, None, None] * (b - a)
        aside = np.linspace(-1 / 7, 1 / 7, 13)[:, None] * across
        places = (a + b) / 2 + along + aside + moved * graph.median_bond_length()
        columns, rows = np.moveaxis(np.clip(places.astype(int), 0, limits), -1, 0)
        found.append(float(to_ink[rows, columns].min()))
    return np.array(found)


if __name__ == "__main__":
    sys.exit(main())
