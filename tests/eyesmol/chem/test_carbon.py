"""CARBON records: every kind of bond, attachment points, brackets, and the graph of each."""

from __future__ import annotations

from typing import Any

import pytest

from eyesmol.chem.carbon import BOND_KINDS, Carbon, CarbonError
from eyesmol.chem.graph import Atom, Bond, BondOrder, Bracket, MolGraph


def record(symbols: list[str], bonds: list[list[Any]], **more: Any) -> dict[str, Any]:
    nothing = [None] * len(symbols)
    names = ("charges", "radicals", "valences", "isotopes", "attach_points")
    coords = [[float(n), -1.0] for n in range(len(symbols))]
    return {"symbols": symbols, **dict.fromkeys(names, nothing), "coords": coords, "bonds": bonds,
            "brackets": [], **more}  # fmt: skip


@pytest.mark.parametrize("name", BOND_KINDS)
def test_every_kind_of_bond_is_read_by_number_and_by_name(name: str) -> None:
    number = BOND_KINDS[name]
    by_number = Carbon.from_dict(record(["C", "[Ph]"], [[0, 1, number]]))
    assert by_number.bonds == ((0, 1, number),)
    assert Carbon.from_dict(record(["C", "[Ph]"], [[0, 1, name.replace(" ", "_")]])) == by_number
    assert Carbon.from_dict(by_number.to_dict()) == by_number
    [bond] = by_number.graph().bonds
    assert (bond.begin, bond.end) == (0, 1)


def test_what_a_graph_holds_comes_back_and_the_rest_becomes_its_nearest() -> None:
    lost = {name for name, number in BOND_KINDS.items()
            if Carbon.of_graph(Carbon.from_dict(record(["C", "C"], [[0, 1, number]])).graph()).bonds
            != ((0, 1, number),)}  # fmt: skip
    assert lost == {"single or double", "single or aromatic", "double or aromatic", "dashed bold",
                    "bold double", "dashed double", "dashed triple", "dashed dative",
                    "triple with single dash", "triple with double dash"}  # fmt: skip
    simple = {name: Carbon.from_dict(record(["C", "C"], [[0, 1, number]])).simplified().bonds[0][2]
              for name, number in BOND_KINDS.items()}  # fmt: skip
    assert {name for name, kind in simple.items() if kind == 2} == {
        "double", "single or aromatic", "double or aromatic", "double either", "bold double",
        "dashed double"}  # fmt: skip
    assert {name for name, kind in simple.items() if kind == 3} == {
        "triple", "dashed triple", "triple with single dash"}  # fmt: skip
    assert {simple[name] for name in ("solid wedge", "dashed wedge", "aromatic")} == {5, 6, 4}


@pytest.mark.parametrize("order", BondOrder)
def test_every_order_of_a_graph_has_a_kind(order: BondOrder) -> None:
    label = "*" if order == BondOrder.ATTACHMENT else "N"
    graph = MolGraph((Atom("C", 10, 20), Atom(label, 30, 20)), (Bond(0, 1, order),))
    carbon = Carbon.of_graph(graph)
    back = carbon.graph()
    assert back.bonds == graph.bonds
    assert [atom.text for atom in back.atoms] == [atom.text for atom in graph.atoms]
    if order == BondOrder.ATTACHMENT:
        assert (carbon.symbols, carbon.attach_points, carbon.bonds) == (("C",), (1,), ())


def test_properties_of_atoms_and_brackets() -> None:
    graph = MolGraph(
        (
            Atom("N", 0, 0, charge=1),
            Atom("C", 10, 0, isotope=13),
            Atom("O", 20, 0, radical=1),
            Atom("C", 30, 0, radical=2),
            Atom("OMe", 40, 5),
            Atom("*", 50, 0),
            Atom("*", 60, 0),
        ),
        tuple(Bond(n, n + 1) for n in range(6)),
        (Bracket((1, 2), "n", "SRU"),),
    )
    carbon = Carbon.of_graph(graph)
    row = carbon.to_dict()
    assert row["symbols"] == ["N", "C", "O", "C", "[OMe]", "[R\u03b1]", "[R\u03b2]"]
    assert row["charges"] == [1, *[None] * 6]
    assert row["isotopes"] == [None, 13, *[None] * 5]
    assert row["radicals"] == [None, None, 1, 3, None, None, None]
    assert row["coords"][4] == [40, -5], "y up, as in molfiles"
    assert row["brackets"] == [{"alias": "n", "atoms": [1, 2], "display_rects": []}]
    back = Carbon.from_dict(row).graph()
    assert back.brackets == graph.brackets
    assert back.atoms[:5] == graph.atoms[:5]


def test_an_attachment_point_drawn_as_a_bond_is_a_number_at_its_atom() -> None:
    row = record(["[X]", "C", "C", "C"], [[1, 0, "attachment point"], [1, 2, 1], [2, 3, 1]])
    row["brackets"] = [{"mark": "n=1,2", "atoms": [2, 0]}]
    carbon = Carbon.from_dict(row)
    assert carbon.symbols == ("C", "C", "C")
    assert carbon.attach_points == (1, None, None)
    assert carbon.bonds == ((0, 1, 1), (1, 2, 1))
    assert carbon.brackets == (("n=1,2", (1,)),)


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({"symbols": ["C"]}, "expected lists symbols and bonds"),
        (record(["C", "C"], [[0, 1, 99]]), r"bond 0: found \[0, 1, 99\]"),
        (record(["C", "C"], [[0, 1, "springy"]]), "found the kind 'springy'"),
        (record(["C", "C"], [[0, 2, 1]]), "expected atoms 0 to 1"),
        (record(["C", "C"], [[0, 1]]), r"expected \[atom, atom, kind\]"),
        (record(["C", "C"], [], charges=[1]), "charges: found .* expected a list of 2"),
        (record(["C"], [], brackets=[3]), "bracket: found 3"),
    ],
)
def test_what_is_no_record_is_refused_by_its_field(row: dict[str, Any], complaint: str) -> None:
    with pytest.raises(CarbonError, match=complaint):
        Carbon.from_dict(row)
