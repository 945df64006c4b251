"""Where two graphs of one image differ."""

from __future__ import annotations

from dataclasses import replace

from eyesmol.chem.differences import differences
from eyesmol.chem.graph import Atom, Bond, BondOrder, MolGraph
from eyesmol.chem.smiles import graph_from_smiles


def drawn(smiles: str) -> MolGraph:
    return graph_from_smiles(smiles).transformed(40, 300, 300, flip=True)


def changed(graph: MolGraph, index: int, text: str) -> MolGraph:
    atoms = list(graph.atoms)
    atoms[index] = Atom.from_text(text, atoms[index].x, atoms[index].y)
    return replace(graph, atoms=tuple(atoms))


def test_one_drawing_read_twice_does_not_differ() -> None:
    graph = drawn("C[C@H](N)c1ccccc1")
    other = graph.walked().placed((a.x + 3, a.y - 2) for a in graph.walked().atoms)
    assert differences(graph, other) == ()


def test_ring_with_its_double_bonds_elsewhere_is_the_same() -> None:
    graph = drawn("c1ccccc1")
    turned = {BondOrder.SINGLE: BondOrder.DOUBLE, BondOrder.DOUBLE: BondOrder.SINGLE}
    other = replace(graph, bonds=tuple(replace(b, order=turned[b.order]) for b in graph.bonds))
    assert differences(graph, other) == ()


def test_label_is_told_with_its_position() -> None:
    graph = drawn("CCO")
    [found] = differences(graph, changed(graph, 2, "N"))
    assert (found.first, found.second, found.is_bond) == ("O", "N", False)
    assert (found.x, found.y) == (graph.atoms[2].x, graph.atoms[2].y)
    assert str(found) == f"atom at ({found.x:.0f}, {found.y:.0f}): O or N"


def test_atom_that_one_lacks_is_told_by_its_side() -> None:
    graph = drawn("CCO")
    less = MolGraph(graph.atoms[:2], graph.bonds[:1])
    [lost], [found] = differences(graph, less), differences(less, graph)
    assert (lost.first, lost.second) == ("O", None)
    assert (found.first, found.second) == (None, "O")


def test_bonds_differ_by_order_by_narrow_end_and_by_being_there() -> None:
    graph = MolGraph(
        (Atom("C", 0, 0), Atom("C", 40, 0), Atom("O", 60, 30)),
        (Bond(0, 1), Bond(1, 2, BondOrder.SOLID_WEDGE)),
    )
    double = replace(graph, bonds=(Bond(0, 1, BondOrder.DOUBLE), graph.bonds[1]))
    [found] = differences(graph, double)
    assert (found.first, found.second, found.is_bond) == ("single", "double", True)
    assert (found.x, found.y) == (20, 0)
    turned = replace(graph, bonds=(graph.bonds[0], Bond(2, 1, BondOrder.SOLID_WEDGE)))
    [wedge] = differences(graph, turned)
    assert wedge.first == wedge.second == "solid wedge"
    [none] = differences(graph, replace(graph, bonds=graph.bonds[1:]))
    assert (none.first, none.second) == ("single", None)
