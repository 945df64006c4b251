"""Valence repair: what is impossible, the charge or the bond that makes it right, and no more."""

from __future__ import annotations

import pytest

from eyesmol.chem.graph import Atom, Bond, BondOrder, MolGraph
from eyesmol.chem.smiles import graph_to_smiles
from eyesmol.chem.valence_repair import repaired, valence_problems


def star(centre: str, *arms: tuple[str, BondOrder]) -> MolGraph:
    """An atom with neighbours around it."""
    atoms = (Atom(centre), *(Atom(label, 1 + n, n % 2) for n, (label, _) in enumerate(arms)))
    bonds = tuple(Bond(0, n, order) for n, (_, order) in enumerate(arms, start=1))
    return MolGraph(atoms, bonds)


S, D, T = BondOrder.SINGLE, BondOrder.DOUBLE, BondOrder.TRIPLE


def test_a_possible_graph_is_returned_as_it_is() -> None:
    graph = star("C", ("C", S), ("O", D), ("OMe", S))
    assert not valence_problems(graph)
    assert repaired(graph) is graph


@pytest.mark.parametrize(
    ("graph", "smiles"),
    [
        (star("N", *[("C", S)] * 4), "C[N+](C)(C)C"),
        (star("O", *[("C", S)] * 3), "C[O+](C)C"),
        (star("B", *[("F", S)] * 4), "F[B-](F)(F)F"),
    ],
)
def test_a_charge_that_was_missed_is_put_back(graph: MolGraph, smiles: str) -> None:
    assert list(valence_problems(graph)) == [0]
    fixed = repaired(graph)
    assert fixed is not None
    assert graph_to_smiles(fixed)[0] == smiles
    assert fixed.bonds == graph.bonds


def test_the_least_certain_multiple_bond_is_lowered_first() -> None:
    graph = star("C", ("O", D), ("N", D), ("C", S))
    by_nitrogen = repaired(graph, [0.9, 0.2, 0.1])
    by_oxygen = repaired(graph, [0.2, 0.9, 0.1])
    assert by_nitrogen is not None
    assert by_oxygen is not None
    assert [bond.order for bond in by_nitrogen.bonds] == [D, S, S]
    assert [bond.order for bond in by_oxygen.bonds] == [S, D, S]


@pytest.mark.parametrize(
    "graph",
    [
        star("C", *[("C", S)] * 5),  # no charge suits, no bond is multiple
        star("N", *[("C", S)] * 6),  # one charge is too little
    ],
)
def test_what_small_repairs_cannot_make_right_is_left(graph: MolGraph) -> None:
    assert repaired(graph) is None


def test_an_abbreviation_counts_as_the_bonds_that_it_has() -> None:
    assert not valence_problems(star("N", ("Boc", S), ("NO2", S), ("Me", S)))
    crowded = star("N", ("Boc", S), ("OMe", S), ("Me", S), ("C", S))
    assert list(valence_problems(crowded)) == [0]
    fixed = repaired(crowded)
    assert fixed is not None
    assert fixed.atoms[0].charge == 1
