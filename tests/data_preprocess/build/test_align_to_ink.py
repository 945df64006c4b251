"""The fit finds the scale and the offsets that a drawing was made with."""

from __future__ import annotations

import cmath
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from data_preprocess.build.align_to_ink import AlignmentError, align, ink_mask, settle_labels
from data_preprocess.drawing.render import Drawing, Style, render
from eyesmol.chem.graph import Atom, Bond, MolGraph
from eyesmol.chem.molfile import parse_molblock, read_molblock

MOLECULES = [
    "CC(=O)Nc1ccc(O)cc1",
    "OC(=O)CCC(F)(F)F",
    "CCN(CC)C(=O)c1ccc2ncccc2c1",
    "N#CC(Cl)=C1CCCC1",
    "CN1C=NC2=C1C(=O)N(C)C(=O)N2C",
]


def as_molfile(graph: MolGraph, scale: float, dx: float, dy: float) -> MolGraph:
    """The same graph in molfile coordinates: the inverse of what the fit has to find."""
    return graph.transformed(1 / scale, -dx / scale, dy / scale, flip=True)


def scanned(drawing: Drawing, seed: int) -> Image.Image:
    """The drawing as a poor scan: blurred, grey paper, specks."""
    rng = np.random.default_rng(seed)
    pixels = np.asarray(drawing.image.filter(ImageFilter.GaussianBlur(0.8)), dtype=np.float64)
    pixels = 40 + pixels * 0.7 + rng.normal(0, 8, pixels.shape)
    specks = rng.random(pixels.shape) < 0.001
    pixels[specks] = 30
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("smiles", MOLECULES)
@pytest.mark.parametrize("seed", range(3))
def test_known_scale_and_offsets_are_recovered(smiles: str, seed: int) -> None:
    drawing = render(smiles, (430, 300), seed=seed)
    graph = as_molfile(drawing.graph, scale=37.0 + 20 * seed, dx=100.0, dy=-40.0)
    fit = align(scanned(drawing, seed), graph)
    assert fit.problem is None
    for true, found in zip(drawing.graph.atoms, fit.apply(graph).atoms, strict=True):
        assert math.hypot(true.x - found.x, true.y - found.y) < 5  # of bonds of 32 to 48


def test_another_molecule_does_not_fit() -> None:
    drawing = render("CC(=O)Nc1ccc(O)cc1", (430, 300), style=Style(bond_length=45))
    other = render("CCCCC1CC2CCC1C2", (430, 300)).graph
    assert align(drawing.image, as_molfile(other, 50, 0, 0)).problem is not None


def test_a_part_of_the_molecule_does_not_fit() -> None:
    """All its bonds lie on ink, but most of the ink belongs to something else."""
    drawing = render("OCCCCC1CCC(CCCC2CCCCC2)CC1", (430, 300))
    part = MolGraph(drawing.graph.atoms[:4], drawing.graph.bonds[:3])
    assert align(drawing.image, as_molfile(part, 50, 0, 0)).problem is not None


def test_a_single_atom_stands_in_the_middle_of_its_ink() -> None:
    page = Image.new("L", (100, 80), 255)
    page.paste(0, (20, 30, 40, 50))
    atom = align(page, MolGraph((Atom("O", 3.0, 4.0),))).apply(MolGraph((Atom("O", 3.0, 4.0),)))
    assert (atom.atoms[0].x, atom.atoms[0].y) == (30, 40)


def test_what_has_nothing_to_fit_says_so() -> None:
    graph = render("CCO", (200, 200)).graph
    with pytest.raises(AlignmentError, match="no ink"):
        align(Image.new("L", (50, 50), 255), graph)
    two = MolGraph((Atom("Na", 0, 0), Atom("Cl", 1, 0)))
    with pytest.raises(AlignmentError, match="no bond"):
        align(render("CCO", (200, 200)).image, two)
    stacked = graph.transformed(0, 1, 1)
    with pytest.raises(AlignmentError, match="coordinates"):
        align(render("CCO", (200, 200)).image, stacked)


def test_a_label_is_moved_to_where_its_bond_is_drawn() -> None:
    drawing = render("COc1ccc(C#N)cc1", (430, 300), style=Style(bond_length=45))
    (oxygen,) = (i for i, atom in enumerate(drawing.graph.atoms) if atom.label == "O")
    methyl, ring = (other for other, _ in drawing.graph.neighbours()[oxygen])
    assert methyl == 0
    # As from a molfile: OMe is one atom, and lies 50 degrees off its bond.
    atoms = list(drawing.graph.atoms)
    true, pivot = atoms[oxygen], atoms[ring]
    turned = complex(true.x - pivot.x, true.y - pivot.y) * cmath.exp(0.87j)
    atoms[oxygen] = Atom("OMe", pivot.x + turned.real, pivot.y + turned.imag)
    bonds = tuple(Bond(b.begin - 1, b.end - 1, b.order) for b in drawing.graph.bonds[1:])
    settled = settle_labels(drawing.image, MolGraph(tuple(atoms[1:]), bonds))
    moved = settled.atoms[oxygen - 1]
    assert math.hypot(moved.x - true.x, moved.y - true.y) < 5
    assert settle_labels(drawing.image, settled) == settled


def test_a_label_without_a_bond_in_the_picture_is_refused() -> None:
    drawing = render("c1ccccc1", (430, 300), style=Style(bond_length=45))
    first = drawing.graph.atoms[0]
    atoms = (*drawing.graph.atoms, Atom("OMe", first.x + 30, first.y + 30))
    with pytest.raises(AlignmentError, match="label"):
        settle_labels(drawing.image, MolGraph(atoms, (*drawing.graph.bonds, Bond(0, 6))))


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "P"])
def test_ink_is_found_in_every_mode(mode: str) -> None:
    drawing = render("CCO", (200, 200), style=Style(bond_width=4))
    mask = ink_mask(drawing.image.convert(mode))
    assert 0.005 < mask.mean() < 0.2


def test_white_on_black_is_ink_too() -> None:
    drawing = render("CCO", (200, 200))
    inverted = drawing.image.point(lambda value: 255 - value)
    assert (ink_mask(inverted) == ink_mask(drawing.image)).mean() > 0.99


def test_the_shadow_of_a_photographed_page_is_no_ink() -> None:
    drawing = render("CC(=O)Nc1ccc(O)cc1", (430, 300))
    grey = np.asarray(drawing.image.convert("L"), dtype=np.float64)
    shadow = np.linspace(1.0, 0.35, grey.shape[1])[None]
    mask = ink_mask(Image.fromarray((grey * shadow).astype(np.uint8)))
    assert mask.mean() < 1.5 * ink_mask(drawing.image).mean()
    graph = as_molfile(drawing.graph, scale=40.0, dx=10.0, dy=20.0)
    assert align(Image.fromarray((grey * shadow).astype(np.uint8)), graph).problem is None


def test_real_patent_drawings_fit(shared_data: Path) -> None:
    """95 % of the drawings fit, with 95 % of their bond midpoints on ink; every third is tried."""
    folder = shared_data / "clef300"
    images = sorted((folder / "images").iterdir())[::3]
    fits, bonds = [], []
    for path in images:
        graph = parse_molblock(read_molblock(folder / "molfiles" / f"{path.stem}.mol"))
        with Image.open(path) as image:
            fit = align(image, graph)
        if fit.problem is None:
            fits.append(fit)
            bonds.append(len(graph.bonds))
    on_ink = sum(fit.on_ink * count for fit, count in zip(fits, bonds, strict=True))
    assert len(fits) >= 0.95 * len(images)
    assert on_ink >= 0.95 * sum(bonds)
