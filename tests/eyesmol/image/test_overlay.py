"""The overlay: the graph's colours where the graph is, the image's own everywhere else."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from eyesmol.chem.graph import Atom, Bond, BondOrder, MolGraph
from eyesmol.image.overlay import BOND_COLOURS, draw_overlay


def pair(order: BondOrder, label: str = "C") -> MolGraph:
    return MolGraph((Atom("C", 20, 50), Atom(label, 80, 50)), (Bond(0, 1, order),))


def drawn(graph: MolGraph, scale: float = 1.0) -> npt.NDArray[np.int64]:
    """On blank paper of 100 x 100 pixels. [height, width, 3]"""
    return np.asarray(draw_overlay(Image.new("L", (100, 100), 255), graph, scale=scale)).astype(int)


@pytest.mark.parametrize("order", BondOrder)
def test_each_kind_of_bond_has_its_colour_between_its_atoms_and_nowhere_else(
    order: BondOrder,
) -> None:
    found = drawn(pair(order))
    colour = np.array([int(BOND_COLOURS[order][n : n + 2], 16) for n in (1, 3, 5)])
    mixed = 255 + (colour - 255) * 150 / 255  # translucent, on white
    near = np.abs(found - mixed).max(axis=2) <= 12
    rows, columns = np.nonzero(near)
    assert len(rows) > 10
    assert columns.min() >= 18
    assert columns.max() <= 82
    assert np.abs(rows - 50).max() <= 20


def test_the_narrow_end_of_a_wedge_is_its_begin() -> None:
    inked = np.asarray((drawn(pair(BondOrder.SOLID_WEDGE)) < 250).any(axis=2))
    assert inked[:, 32].sum() < inked[:, 68].sum()


def test_labels_stand_outside_and_plain_carbon_has_none() -> None:
    plain, labelled = drawn(pair(BondOrder.SINGLE)), drawn(pair(BondOrder.SINGLE, "O"))
    changed = np.argwhere((plain != labelled).any(axis=2))
    assert len(changed) > 10
    assert changed[:, 1].min() > 80 - 10


def test_the_image_is_enlarged_and_its_transparent_parts_become_white() -> None:
    image = Image.new("RGBA", (30, 20), (0, 0, 0, 0))
    found = draw_overlay(image, MolGraph((), ()), scale=2.5)
    assert (found.mode, found.size) == ("RGB", (75, 50))
    assert found.getextrema() == ((255, 255),) * 3


def test_positions_far_outside_and_bonds_without_length_are_no_fault() -> None:
    far = MolGraph(
        (Atom("[OMe]", -9000, 1e6), Atom("C", 10, 10), Atom("N", 10, 10)),
        (Bond(0, 1, BondOrder.DOUBLE), Bond(1, 2, BondOrder.WAVY)),
    )
    assert drawn(far).shape == (100, 100, 3)
