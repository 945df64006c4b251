"""The walk and the two answer forms: writing and reading back is the identity, reading is total."""

from __future__ import annotations

import hashlib
import itertools
import json
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eyesmol.answer.text import BOND_SIGNS, Answer, AnswerForm, prompt, read_answer, write_answer
from eyesmol.chem.graph import (
    Atom,
    Bond,
    BondOrder,
    Bracket,
    MolGraph,
    StereoGroup,
    StereoKind,
)

FORMS = get_args(AnswerForm)
LABELS = ["C", "N", "Cl", "[N+]", "[O-]", "[13C]", "[OMe]", "[MeO]", "[R1]", "[CO2-]", "[Fe+2]"]

places = st.integers(0, 2000)
atoms = st.builds(
    Atom.from_text, st.one_of(st.sampled_from(LABELS), st.text(max_size=8)), places, places
)


@st.composite
def graphs(draw: st.DrawFn) -> MolGraph:
    """Any graph: several fragments, rings, every kind of bond, any label, brackets, any stereo."""
    nodes = draw(st.lists(atoms, min_size=1, max_size=14))
    pairs = list(itertools.combinations(range(len(nodes)), 2))
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=20)) if pairs else []
    bonds = []
    for begin, end in chosen:
        order = draw(st.sampled_from(BondOrder))
        turned = draw(st.booleans())
        bonds.append(Bond(end, begin, order) if turned else Bond(begin, end, order))
    members = st.lists(st.integers(0, len(nodes) - 1), min_size=1, max_size=5)
    counts, marks = st.integers(1, 999).map(str), st.text(max_size=6)
    brackets = st.one_of(
        st.builds(Bracket, members.map(tuple), marks, st.sampled_from(["SRU", "GEN"])),
        st.builds(Bracket, members.map(tuple), counts, st.just("MUL")),
    )
    centres = draw(st.lists(st.integers(0, len(nodes) - 1), max_size=4, unique=True))
    kinds: list[StereoKind] = ["ABS", "AND", "OR"]
    groups = (StereoGroup((centre,), draw(st.sampled_from(kinds))) for centre in centres)
    return MolGraph(
        tuple(nodes),
        tuple(bonds),
        tuple(draw(st.lists(brackets, max_size=2))),
        tuple(groups),
    )


@given(st.text())
def test_labels_are_read_back_as_written(text: str) -> None:
    atom = Atom.from_text(text)
    assert Atom.from_text(atom.text) == atom


@given(graphs(), st.sampled_from(FORMS))
def test_writing_and_reading_back_is_the_identity(graph: MolGraph, form: AnswerForm) -> None:
    answer = read_answer(write_answer(graph, "C[Si]", form))
    assert answer == Answer(graph.walked(), "C[Si]", ())


@given(graphs(), st.randoms(use_true_random=False))
def test_the_walk_does_not_depend_on_the_order_of_the_file(graph: MolGraph, random: object) -> None:
    """The same drawing gives the same answer, however its atoms and bonds are numbered."""
    apart = graph.placed((i % 5 * 30, i // 5 * 30) for i in range(len(graph.atoms)))
    order = list(range(len(apart.atoms)))
    random.shuffle(order)  # type: ignore[attr-defined]
    place_of = {old: new for new, old in enumerate(order)}
    shuffled = MolGraph(
        tuple(apart.atoms[old] for old in order),
        tuple(Bond(place_of[b.begin], place_of[b.end], b.order) for b in reversed(apart.bonds)),
    ).with_groups_of(apart, [place_of[old] for old in range(len(order))])
    one, other = apart.walked(), shuffled.walked()
    assert one.atoms == other.atoms
    # A plain bond has no direction; the walk gives it one.
    assert one.bonds == other.bonds
    assert one.brackets == other.brackets
    assert one.stereo_groups == other.stereo_groups


@given(graphs())
def test_the_walk_is_depth_first(graph: MolGraph) -> None:
    """Each atom is bonded to the one before it, or to the nearest ancestor with atoms left."""
    walked = graph.walked()
    neighbours = [{other for other, _ in row} for row in walked.neighbours()]
    trail: list[int] = []
    for index in range(len(walked.atoms)):
        while trail and index not in neighbours[trail[-1]]:
            # Going back is only right when the atom that we leave has nothing new to offer.
            assert not any(other > index for other in neighbours[trail.pop()])
        trail.append(index)


def test_shallow_branches_come_first_and_wedges_keep_their_narrow_end() -> None:
    # A centre with a long chain to the left (drawn first) and one atom to the right.
    spots = [("C", 50, 10), ("C", 30, 20), ("C", 20, 30), ("C", 10, 40), ("N", 90, 60)]
    nodes = tuple(Atom(label, x, y) for label, x, y in spots)
    wedge = Bond(4, 0, BondOrder.SOLID_WEDGE)  # narrow at N
    graph = MolGraph(nodes, (Bond(0, 1), Bond(1, 2), Bond(2, 3), wedge))
    assert write_answer(graph, "CCCCN", "compact").splitlines() == [
        "50 10 C",
        "90 60 N <0",
        "30 20 C -0",
        "20 30 C -2",
        "10 40 C -3",
        "smiles CCCCN",
    ]
    first = json.loads(write_answer(graph, "CCCCN", "json"))
    assert first[2] == {"b": 5, "a1": 1, "a2": 0}


def test_a_chain_of_ten_thousand_atoms_is_walked() -> None:
    size = 10_000
    nodes = tuple(Atom("C", i, i % 7) for i in range(size))
    graph = MolGraph(nodes, tuple(Bond(i, i + 1) for i in range(size - 1)))
    assert len(graph.walked().bonds) == size - 1


@st.composite
def damaged_answers(draw: st.DrawFn) -> str:
    """A real answer, cut off and with pieces overwritten, doubled and swapped."""
    text = write_answer(draw(graphs()), "CCO", draw(st.sampled_from(FORMS)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        stop = draw(st.integers(start, min(len(text), start + 12)))
        junk = draw(st.one_of(st.text(max_size=6), st.just(text[start:stop] * 2)))
        text = text[:start] + junk + text[stop:]
    return text[: draw(st.integers(0, len(text)))]


@settings(max_examples=2000, deadline=None)
@given(st.one_of(damaged_answers(), st.text()))
def test_reading_never_raises_and_gives_a_graph_that_can_be_written(text: str) -> None:
    answer = read_answer(text)
    again = read_answer(write_answer(answer.graph, answer.smiles or "", "json"))
    assert again.graph == answer.graph.walked().rounded()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("10 10 C\n20 20 C -7\nsmiles CC", "atom 7, which is not listed"),
        ("10 10 C -0\nsmiles C", "bonded to itself"),
        ("10 10 C\n20 20 C -0 =0\nsmiles C", "listed twice"),
        ("10 10 C\n20 2", "neither an atom nor a SMILES"),
        ("10 10 C", "ends before its SMILES"),
        ('[{"a":"C","id":0,"xy":[1,1]},{"a":"C","id":0,"xy":[2,2]}]', "atom 0 is listed twice"),
        ('[{"a":"C","id":0,"xy":[1e999,1]}]', "no place"),
        ('[{"a":"C","id":0,"xy":[1,1]},{"b":15,"a1":0,"a2":0}]', "bond order 15"),
        ('[{"a":"C","id":0,"xy":[1,1]},{"k":"SRU","in":[4]}]', "SRU of atom 4, which is not"),
        ('[{"a":"C","id":0,"xy":[1,1]},{"k":"SRO","in":[0]}]', "a kind of SRU"),
        ('[{"a":"C","id":0,"xy":[1,1]},{"k":"SRU","in":"0"}]', "without a list of atom numbers"),
        ("1 1 C\nMUL 0 n\nsmiles C", "expected 1 to 999"),
        ("1 1 C\nAND 0\nOR 0\nsmiles C", "of one that has a group"),
        ("1 1 C\nSRU 1 n\nsmiles C", "SRU of atom 1, which is not listed"),
        ('[{"a":"C","id":0,"xy":[1,1', "not a whole JSON object"),
        ('{"a":' * 100_000, "not a whole JSON object"),
        ("", "lists no atom"),
    ],
)
def test_what_is_wrong_is_said(text: str, problem: str) -> None:
    assert any(problem in found for found in read_answer(text).problems)


def test_the_prompt_names_every_bond_sign() -> None:
    for sign in BOND_SIGNS:
        assert f"{sign} " in prompt("compact")
    for order in BondOrder:
        assert f"{int(order)} {order.name.lower().replace('_', ' ')}" in prompt("json")


def test_an_old_prompt_stays_as_it_was() -> None:
    """Models that were trained with it are asked in its words."""
    for form, digest in (("json", "9950682c8c3e"), ("compact", "453f1404edad")):
        words = prompt(form, 2)  # type: ignore[arg-type]
        assert hashlib.sha256(words.encode()).hexdigest()[:12] == digest
    with pytest.raises(ValueError, match="prompt version 1; expected 2 to 3"):
        prompt("json", 1)


def test_groups_are_written_behind_the_atoms() -> None:
    nodes = (Atom("O", 0, 0), Atom("C", 0, 9), Atom("C", 0, 18), Atom("N", 0, 27))
    bonds = tuple(Bond(n, n + 1) for n in range(3))
    groups = (StereoGroup((1,), "AND"),)
    graph = MolGraph(nodes, bonds, (Bracket((2, 1), "n"), Bracket((0,), "", "GEN")), groups)
    assert write_answer(graph, "CCO", "compact").splitlines()[4:] == [
        "GEN 0",
        "SRU 1,2 n",
        "AND 1",
        "smiles CCO",
    ]
    assert json.loads(write_answer(graph, "CCO", "json"))[7:] == [
        {"k": "GEN", "in": [0]},
        {"k": "SRU", "in": [1, 2], "mark": "n"},
        {"k": "AND", "in": [1]},
        {"smiles": "CCO"},
    ]
