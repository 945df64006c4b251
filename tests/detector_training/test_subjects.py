"""The detector's subjects: repeatable, consistent, and with all in them that drawings have."""

from __future__ import annotations

import random

import pytest

from data_preprocess.drawing.subject import Subject
from data_preprocess.sources.random_molecules import Sizes
from detector_training.sheets import label_sheet
from detector_training.subjects import subject
from detector_training.words import CHARACTERS, balanced_word, condensed
from eyesmol.chem.graph import Atom, BondOrder
from eyesmol.detector.vocabulary import BondClass

COUNT = 500


@pytest.fixture(scope="module")
def drawn() -> list[Subject | None]:
    return [subject(7, number) for number in range(COUNT)]


@pytest.fixture(scope="module")
def subjects(drawn: list[Subject | None]) -> list[Subject]:
    return [one for one in drawn if one is not None]


def _check_consistent(one: Subject) -> None:
    """The graph and the molecule have the same atoms and bonds; what else is named is there."""
    assert one.mol.GetNumAtoms() == len(one.graph.atoms)
    for drawn_atom, atom in zip(one.graph.atoms, one.mol.GetAtoms(), strict=True):
        assert Atom.from_text(drawn_atom.text) == Atom(
            drawn_atom.label, 0, 0, drawn_atom.charge, drawn_atom.isotope, drawn_atom.radical
        )
        if atom.HasProp("molFileAlias"):
            texts = atom.GetProp("_labelForward"), atom.GetProp("_labelBackward")
            assert drawn_atom.text.removeprefix("[").removesuffix("]") in texts
            assert atom.GetAtomicNum() == 0
        else:
            assert atom.GetSymbol() == drawn_atom.label
            assert atom.GetFormalCharge() == drawn_atom.charge
            assert atom.GetIsotope() == drawn_atom.isotope
    pairs = {frozenset((b.GetBeginAtomIdx(), b.GetEndAtomIdx())) for b in one.mol.GetBonds()}
    assert pairs == {frozenset((b.begin, b.end)) for b in one.graph.bonds}
    assert len(pairs) == len(one.graph.bonds)
    assert all(one.graph.atoms[index].text == "C" for index in one.written)
    assert {frozenset(pair) for pair in one.crossing} <= pairs


def _same(one: Subject | None, other: Subject | None) -> bool:
    if one is None or other is None:
        return one is other
    bonds = [
        [(b.GetBeginAtomIdx(), b.GetEndAtomIdx(), b.GetPropsAsDict()) for b in s.mol.GetBonds()]
        for s in (one, other)
    ]
    atoms = [
        [(a.GetTotalNumHs(), a.GetPropsAsDict()) for a in s.mol.GetAtoms()] for s in (one, other)
    ]
    return (
        one.graph == other.graph
        and (one.written, one.circles, one.crossing)
        == (other.written, other.circles, other.crossing)
        and bonds[0] == bonds[1]
        and atoms[0] == atoms[1]
    )


def test_the_same_arguments_give_the_same_subject(drawn: list[Subject | None]) -> None:
    random.seed(1)
    before = random.getstate()
    assert all(_same(subject(7, number), drawn[number]) for number in range(40, 0, -1))
    assert _same(label_sheet(3, 5), label_sheet(3, 5))
    assert random.getstate() == before, "the global generator was used"


def test_another_number_or_seed_gives_another_subject(drawn: list[Subject | None]) -> None:
    assert not _same(drawn[0], drawn[1])
    assert not _same(drawn[0], subject(8, 0))


def test_graph_and_molecule_agree(subjects: list[Subject]) -> None:
    for one in subjects:
        _check_consistent(one)


def test_few_subjects_fail(drawn: list[Subject | None]) -> None:
    assert sum(one is None for one in drawn) / COUNT < 0.05


def test_everything_occurs(subjects: list[Subject]) -> None:
    bonds = {bond.order for one in subjects for bond in one.graph.bonds}
    assert bonds == {kind.order for kind in BondClass} - {None}
    atoms = [atom for one in subjects for atom in one.graph.atoms]
    assert {-1, 0, 1} <= {atom.charge for atom in atoms}
    assert {2, 13, 14, 18} <= {atom.isotope for atom in atoms}
    assert {"R1", "R2", "X", "Z", "Q"} <= {atom.label for atom in atoms}
    assert {"N", "O", "S", "F", "Cl", "Br", "I", "P", "B", "Si", "Se", "H"} <= {
        a.label for a in atoms
    }
    assert any(one.written for one in subjects)
    assert any(one.circles for one in subjects)
    assert any(one.crossing for one in subjects)
    assert any(b.HasProp("_cutLine") for one in subjects for b in one.mol.GetBonds())


def test_labels_are_written_in_both_directions(subjects: list[Subject]) -> None:
    directions = {
        (
            atom.GetProp("molFileAlias") == atom.GetProp("_labelForward"),
            atom.GetProp("molFileAlias") == atom.GetProp("_labelBackward"),
        )
        for one in subjects
        for atom in one.mol.GetAtoms()
        if atom.HasProp("molFileAlias")
    }
    assert {(True, False), (False, True)} <= directions


def test_sizes_range_from_very_small_to_large(subjects: list[Subject]) -> None:
    counts = [len(one.graph.atoms) for one in subjects]
    assert min(counts) <= 3
    assert max(counts) >= 60


def test_some_subjects_are_of_several_fragments(subjects: list[Subject]) -> None:
    def fragments(one: Subject) -> int:
        left = list(range(len(one.graph.atoms)))
        for bond in one.graph.bonds:
            old, new = left[bond.end], left[bond.begin]
            left = [new if mark == old else mark for mark in left]
        return len(set(left))

    assert sum(fragments(one) > 1 for one in subjects) > 0.02 * len(subjects)


def test_sizes_can_be_asked_for() -> None:
    asked = [subject(2, number, Sizes(mean=12, spread=2, least=8, most=16)) for number in range(40)]
    counts = sorted(len(one.graph.atoms) for one in asked if one is not None)
    assert counts[len(counts) // 2] < 22


def test_sheets_are_consistent_and_legible() -> None:
    for number in range(60):
        sheet = label_sheet(4, number)
        assert sheet.sheet
        _check_consistent(sheet)
        assert len(sheet.graph.atoms) > 8


def test_balanced_sheets_have_every_character() -> None:
    seen = {
        character
        for number in range(1, 401, 2)
        for atom in label_sheet(5, number).graph.atoms
        for character in atom.text
    }
    assert set(CHARACTERS) <= seen


def test_balanced_words_hold_every_character_often() -> None:
    rng = random.Random(2)
    words = [balanced_word(rng).forward for _ in range(6000)]
    rarest = min(CHARACTERS, key=lambda c: sum(c in word for word in words))
    assert sum(rarest in word for word in words) > 20


def test_both_directions_of_a_condensed_formula_have_the_same_characters() -> None:
    rng = random.Random(3)
    for _ in range(500):
        formula = condensed(rng)
        assert sorted(formula.forward) == sorted(formula.backward)


def test_variables_stand_in_aromatic_rings_too(subjects: list[Subject]) -> None:
    found = 0
    for one in subjects:
        doubles = {end for bond in one.graph.bonds if bond.order == BondOrder.DOUBLE
                   for end in (bond.begin, bond.end)}  # fmt: skip
        ring = {atom for ring in one.mol.GetRingInfo().AtomRings() for atom in ring}
        found += any(one.graph.atoms[n].text in ("[X]", "[Y]", "[Z]") for n in doubles & ring)
    assert found > 3
