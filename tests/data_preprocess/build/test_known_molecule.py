"""A reading and the molecule that is known: what is taken, what is changed, what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_preprocess.build.known_molecule import (
    Disagreement,
    Settled,
    _one_letter_apart,
    settled,
)
from eyesmol.chem.graph import Atom, Bond, BondOrder, MolGraph
from eyesmol.chem.smiles import canonical_smiles, graph_from_smiles, graph_to_smiles
from eyesmol.detector.assembly import Assembly

ALANINE, OTHER_ALANINE = "C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O"


def reading_of(smiles: str) -> Assembly:
    """A reading that is sure of a molecule, placed in an image."""
    graph = graph_from_smiles(smiles).transformed(40, 300, 300, flip=True)
    return Assembly(
        graph,
        graph_to_smiles(graph)[0],
        atom_options=tuple({atom.text: 0.98} for atom in graph.atoms),
        bond_options=tuple({bond: 0.98} for bond in graph.bonds),
    )


def doubting_atom(reading: Assembly, index: int, **options: float) -> Assembly:
    """The same with other labels for one atom."""
    found = list(reading.atom_options)
    found[index] = {**found[index], **options}
    return replace(reading, atom_options=tuple(found))


def relabelled(reading: Assembly, index: int, text: str) -> Assembly:
    """The same with one atom read as something else."""
    atoms = list(reading.graph.atoms)
    atoms[index] = Atom.from_text(text, atoms[index].x, atoms[index].y)
    graph = MolGraph(tuple(atoms), reading.graph.bonds)
    options = list(reading.atom_options)
    options[index] = {text.strip("[]") if text == "[*]" else text: 0.9}
    return replace(
        reading, graph=graph, smiles=graph_to_smiles(graph)[0], atom_options=tuple(options)
    )


def doubting_bonds(reading: Assembly, orders: dict[BondOrder, BondOrder], p: float) -> Assembly:
    """The same that holds another order possible for each bond of some orders."""
    options = []
    for bond, known in zip(reading.graph.bonds, reading.bond_options, strict=True):
        other = orders.get(bond.order)
        options.append(known if other is None else {**known, replace(bond, order=other): p})
    return replace(reading, bond_options=tuple(options))


TURNED = {
    BondOrder.SOLID_WEDGE: BondOrder.DASHED_WEDGE,
    BondOrder.DASHED_WEDGE: BondOrder.SOLID_WEDGE,
}


def refused(reading: Assembly, known: str) -> str:
    with pytest.raises(Disagreement) as difference:
        settled(reading, canonical_smiles(known) or "")
    return str(difference.value)


def accepted(reading: Assembly, known: str) -> Settled:
    return settled(reading, canonical_smiles(known) or "")


@pytest.mark.parametrize("smiles", ["CCO", ALANINE, "C/C=C/C", "c1ccccc1[N+](=O)[O-]", "CC.Cl"])
def test_reading_that_is_the_molecule_is_taken_as_it_is(smiles: str) -> None:
    reading = reading_of(smiles)
    found = accepted(reading, smiles)
    assert found.graph == reading.graph
    assert (found.smiles, found.correction) == (canonical_smiles(smiles), "as read")


def test_known_molecule_chooses_a_label_that_was_held_possible() -> None:
    reading = doubting_atom(reading_of("CCN"), 2, O=0.015)
    found = accepted(reading, "CCO")
    assert [atom.text for atom in found.graph.atoms] == ["C", "C", "O"]
    assert found.correction == "label"
    assert found.smiles == "CCO"
    assert [(a.x, a.y) for a in found.graph.atoms] == [(a.x, a.y) for a in reading.graph.atoms]


def test_label_that_was_given_no_chance_is_not_written() -> None:
    reading = doubting_atom(reading_of("CCN"), 2, O=0.005)
    assert refused(reading, "CCO") == "another molecule was read: wrong element or label"


def test_likelier_of_two_labels_that_would_do_is_changed() -> None:
    # Either end of propane-1,3-diol made an amine gives the same molecule.
    reading = doubting_atom(doubting_atom(reading_of("OCCCO"), 0, N=0.02), 4, N=0.2)
    texts = [atom.text for atom in accepted(reading, "NCCCO").graph.atoms]
    assert texts == ["O", "C", "C", "C", "N"]


def test_label_that_could_not_be_read_is_the_one_that_was_nearly_spelt() -> None:
    unknown = relabelled(reading_of("Oc1ccccc1"), 0, "[*]")
    spelt = replace(unknown, atom_options=({"*": 0.7, "[OCH2]": 0.25}, *unknown.atom_options[1:]))
    found = accepted(spelt, "COc1ccccc1")
    assert found.graph.atoms[0].label == "OCH3"
    assert found.correction == "label"
    assert refused(unknown, "COc1ccccc1") == "a label could not be read"
    assert refused(spelt, "CCOc1ccccc1") == "a label could not be read"


def test_bond_that_was_held_possible_is_chosen() -> None:
    reading = doubting_bonds(reading_of("CC=C"), {BondOrder.DOUBLE: BondOrder.TRIPLE}, 0.1)
    found = accepted(reading, "CC#C")
    assert sorted(bond.order for bond in found.graph.bonds) == [1, 3]
    assert found.correction == "bond"


def test_wedge_is_turned_where_that_was_held_possible() -> None:
    reading = reading_of(ALANINE)
    turned = accepted(doubting_bonds(reading, TURNED, 0.05), OTHER_ALANINE)
    assert turned.correction == "stereo"
    assert turned.smiles == graph_to_smiles(turned.graph)[0] == canonical_smiles(OTHER_ALANINE)
    assert refused(reading, OTHER_ALANINE) == "another stereoisomer was read"
    assert refused(doubting_bonds(reading, TURNED, 0.002), OTHER_ALANINE)


def test_label_and_wedge_may_both_be_wrong() -> None:
    reading = doubting_bonds(reading_of(ALANINE), TURNED, 0.05)
    wrong = relabelled(reading, 2, "O")
    wrong = doubting_atom(wrong, 2, N=0.1)
    assert accepted(wrong, OTHER_ALANINE).smiles == canonical_smiles(OTHER_ALANINE)


def test_stereo_that_only_one_of_the_two_has_is_no_row() -> None:
    assert refused(reading_of("CC(N)C(=O)O"), ALANINE) == (
        "the SMILES has stereo that the drawing does not show"
    )
    assert refused(reading_of(ALANINE), "CC(N)C(=O)O") == (
        "the drawing shows stereo that the SMILES leaves open"
    )


def test_wedge_that_is_drawn_is_not_unmade() -> None:
    flat = dict.fromkeys((BondOrder.SOLID_WEDGE, BondOrder.DASHED_WEDGE), BondOrder.SINGLE)
    assert refused(doubting_bonds(reading_of(ALANINE), flat, 0.3), "CC(N)C(=O)O") == (
        "the drawing shows stereo that the SMILES leaves open"
    )


def test_double_bond_that_the_smiles_leaves_open_is_as_it_is_drawn() -> None:
    found = accepted(reading_of("C/C=C\\C"), "CC=CC")
    assert (found.smiles, found.correction) == (canonical_smiles("C/C=C\\C"), "as read")
    assert refused(reading_of("C/C=C\\C"), "C/C=C/C") == "another stereoisomer was read"


@pytest.mark.parametrize(
    ("read", "known", "kind"),
    [
        ("CCO", "CCCO", "another molecule was read: missing atom"),
        ("CC(N)=O", "CC(N)=O.Cl", "another molecule was read: fragment missing or too many"),
    ],
)
def test_other_molecules_are_told_by_kind(read: str, known: str, kind: str) -> None:
    assert refused(reading_of(read), known) == kind


def test_nothing_seen_is_said() -> None:
    assert refused(Assembly(MolGraph(), None), "CCO") == "no molecule was seen"
    crowded = MolGraph(
        tuple(Atom("C", x, y) for x, y in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1), (1, 1))),
        tuple(Bond(0, n) for n in range(1, 6)),
    )
    assert refused(Assembly(crowded, None), "CCO") == "no valid molecule was seen"


def _distance(first: str, second: str) -> int:
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(second, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]


@given(st.text("CHO3", max_size=5), st.text("CHO3", max_size=5))
def test_one_letter_apart_is_an_edit_distance_of_one(first: str, second: str) -> None:
    assert _one_letter_apart(first, second) == (_distance(first, second) == 1)
