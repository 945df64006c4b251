"""Rewards of answers: 1 for the truth, less for every mistake, and never an exception."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_preprocess.drawing.render import render
from eyesmol.answer.text import write_answer
from eyesmol.chem.graph import Atom, Bond, BondOrder, MolGraph
from eyesmol.chem.smiles import graph_from_smiles
from eyesmol.evaluation import rewards

SMILES = ["C", "CCO", "c1ccccc1O", "Cc1ccccc1Cl", "C[C@H](O)F", "C[N+](=O)[O-]", "c1ccc2[nH]ccc2c1"]


def placed(smiles: str) -> MolGraph:
    """A graph in the pixels of a picture."""
    return graph_from_smiles(smiles).transformed(40, 200, 200, flip=True)


def shuffled(graph: MolGraph, seed: int) -> MolGraph:
    """The same graph, its atoms in another order."""
    order = list(range(len(graph.atoms)))
    random.Random(seed).shuffle(order)
    place = {old: new for new, old in enumerate(order)}
    return MolGraph(
        tuple(graph.atoms[old] for old in order),
        tuple(Bond(place[b.begin], place[b.end], b.order) for b in graph.bonds),
    )


@given(st.sampled_from(SMILES), st.sampled_from(["json", "compact"]), st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_the_truth_is_worth_one(smiles: str, form: str, seed: int) -> None:
    """Whatever the form, the order of atoms and the kind of reference."""
    answer = write_answer(shuffled(placed(smiles), seed), smiles, form)  # type: ignore[arg-type]
    for reference in (smiles, write_answer(placed(smiles), smiles, "json")):
        for reward in (rewards.format, rewards.graph, rewards.smiles):
            assert reward([answer], [reference]) == pytest.approx([1.0])


@given(st.sampled_from(SMILES[1:]), st.data())
@settings(max_examples=25, deadline=None)
def test_every_mistake_in_the_graph_costs(smiles: str, data: st.DataObject) -> None:
    """The formula of GTR-CoT for one wrong label, counted by hand: never more than that is left."""
    true = placed(smiles)
    index = data.draw(st.integers(0, len(true.atoms) - 1))
    atoms = list(true.atoms)
    atoms[index] = replace(atoms[index], label="Si")
    n, m = len(true.atoms), len(true.bonds)
    degree = sum(index in (bond.begin, bond.end) for bond in true.bonds)
    found = rewards.overlap(MolGraph(tuple(atoms), true.bonds), true)
    assert 0 < found <= (n - 1) / (2 * n) + (m - degree) / (2 * m) + 1e-9
    # what is too much costs as well: another atom on the first one
    more = MolGraph((*true.atoms, Atom("Si")), (*true.bonds, Bond(0, n, BondOrder.SINGLE)))
    assert rewards.overlap(more, true) == pytest.approx(n / (2 * n + 1) + m / (2 * m + 1))


def test_overlap_of_ethanol_and_ethylamine() -> None:
    """Two of three atoms and one of two bonds in common: 2/6 + 1/4."""
    assert rewards.overlap(placed("CCO"), placed("CCN")) == pytest.approx(2 / 6 + 1 / 4)


def test_kekule_forms_agree_and_abbreviations_count_as_their_atoms() -> None:
    ring = placed("c1ccccc1")
    turned = {BondOrder.SINGLE: BondOrder.DOUBLE, BondOrder.DOUBLE: BondOrder.SINGLE}
    other = tuple(replace(bond, order=turned[bond.order]) for bond in ring.bonds)
    assert rewards.overlap(MolGraph(ring.atoms, other), ring) == pytest.approx(1)
    short = MolGraph((Atom("C", x=0), Atom("OMe", x=40)), (Bond(0, 1, BondOrder.SINGLE),))
    assert rewards.overlap(short, placed("COC")) == pytest.approx(1)


def test_smiles_that_is_only_alike_is_worth_less_than_half() -> None:
    answers = [
        write_answer(placed("C[C@H](O)F"), s, "compact") for s in ("C[C@@H](O)F", "CCO", "C(")
    ]
    stereo, other, broken = rewards.smiles(answers, ["C[C@H](O)F"] * 3)
    assert stereo == 0.5
    assert 0 < other < 0.5
    assert broken == 0


@given(st.text(max_size=80))
@settings(max_examples=50, deadline=None)
def test_any_answer_gets_a_number(text: str) -> None:
    for reward in (rewards.format, rewards.graph, rewards.smiles):
        (value,) = reward([text], ["CCO"])
        assert 0 <= value <= 1


def test_a_reference_that_says_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="not a SMILES"):
        rewards.graph(["0 0 C\nsmiles C"], ["no molecule at all"])


# ---- the detector as a weak reference ----


@pytest.fixture(scope="module")
def phenol(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, MolGraph]:
    """A drawing's file, and its true graph."""
    drawing = render("Cc1ccccc1O", (300, 240), seed=3)
    path = tmp_path_factory.mktemp("images") / "phenol.png"
    drawing.image.save(path)
    return str(path), drawing.graph


def test_detector_sees_where_the_atoms_should_be(phenol: tuple[str, MolGraph]) -> None:
    file, graph = phenol
    smiles = "Cc1ccccc1O"
    there = write_answer(graph, smiles, "compact")
    elsewhere = write_answer(graph.transformed(1, 90, 70), smiles, "compact")
    half = write_answer(MolGraph(graph.atoms[:4], ()), smiles, "compact")
    answers = [there, elsewhere, half, "no answer"]
    good, shifted, little, none = rewards.detector_graph(answers, [smiles] * 4, [[file]] * 4)
    assert good == pytest.approx(1.0)
    assert shifted is not None
    assert 0.5 <= shifted < 0.8
    assert little is not None
    assert little < 0.5
    assert none == 0.0


def test_detector_has_nothing_to_say_of_what_is_known_or_read_otherwise(
    phenol: tuple[str, MolGraph],
) -> None:
    file, graph = phenol
    answer = write_answer(graph, "Cc1ccccc1O", "compact")
    assert rewards.detector_graph([answer] * 2, [answer, "CCO"], [[file], [file]]) == [None, None]
    assert rewards.detector_graph([answer], ["Cc1ccccc1O"], [[]]) == [None]
