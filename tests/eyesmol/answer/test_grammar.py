"""The grammar lets every good answer through, and only what reads without a problem."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eyesmol.answer.grammar import AnswerGrammar, State, answer_pattern
from eyesmol.answer.text import AnswerForm, read_answer, write_answer
from eyesmol.chem.graph import Atom, Bond, BondOrder, Bracket, MolGraph, StereoGroup
from eyesmol.chem.molfile import parse_molblock, read_molblock
from eyesmol.chem.smiles import graph_from_smiles, molblock_to_smiles
from eyesmol.image.pixel_frame import PixelFrame
from eyesmol.reader.constrained_decoding import AnswerTokens, GrammarGuide, token_bytes
from eyesmol.reader.local import LocalRecognizer
from nano.model import create_nano

FORMS = get_args(AnswerForm)
forms = pytest.mark.parametrize("form", FORMS)

# Tokens of one byte each, and some of many that cross from one field into the next.
PIECES = ('{"a":"', '"},{"a":"C', '","id":', '1,"xy":[', "]},{", '"b":1,"a1":0', '"}]', " -1",
          "12 ", "\nsmiles ", "]\n1", "] -0", "Cl", "OMe]", "((", "C(C)", "\\\\", "[N+]", "é", "δβ",
          "10", "00", "\nSRU 0", ",1 n", "\nMUL 0,1 2", '"k":"', 'SRU","in":[', "0,1]}",
          '],"mark":"n', "  ", "\n\n", "\u2028")  # fmt: skip
TEXTS = dict(enumerate([*(bytes([b]) for b in range(256)), *(p.encode() for p in PIECES)]))
END = len(TEXTS)
TOKENS = {form: AnswerTokens(TEXTS, [END], form, END + 1) for form in FORMS}

DRAWN = [
    "CCO", "C[C@H](N)C(=O)O", "F/C=C\\Cl", "C12C3C4C1C5C4C3C25", "[13CH3][N+](C)(C)C.[Cl-]",
    "[1*]c1ccc2[nH]ccc2c1", "C%12CC%12", "[Fe+2].[O-][Se](=O)[O-]", "c1cc[se]c1",
    "N->[Pt@SP1](Cl)C",
]  # fmt: skip


def placed(graph: MolGraph) -> MolGraph:
    xs, ys = [a.x for a in graph.atoms], [a.y for a in graph.atoms]
    return graph.transformed(20, -20 * min(xs), 20 * max(ys), flip=True)


def frame_of(graph: MolGraph) -> tuple[int, int]:
    return round(max(a.x for a in graph.atoms)), round(max(a.y for a in graph.atoms))


def states(grammar: AnswerGrammar, text: str) -> list[State]:
    """One for each place between two bytes; fails where a byte is forbidden."""
    found = [grammar.start]
    for place, byte in enumerate(text.encode()):
        after = grammar.step(found[-1], byte)
        assert after is not None, f"{text.encode()[:place]!r} must go on with {chr(byte)!r}"
        found.append(after)
    return found


def accepts(grammar: AnswerGrammar, text: str) -> bool:
    state: State | None = grammar.start
    for byte in text.encode():
        state = grammar.step(state, byte) if state is not None else None
    return state is not None and grammar.is_whole(state)


@forms
def test_answers_as_written_are_in_the_language(form: AnswerForm) -> None:
    for smiles in DRAWN:
        try:
            graph = placed(graph_from_smiles(smiles))
        except ValueError:  # RDKit draws no dative bonds; their SMILES must still pass
            graph = placed(graph_from_smiles("C"))
        text = write_answer(graph, smiles, form)
        assert accepts(AnswerGrammar(form, *frame_of(graph)), text)


@forms
def test_every_bond_and_odd_labels_are_in_the_language(form: AnswerForm) -> None:
    labels = ["OMe", "CO 2 H", "[B1]p", "δ'-Ar", 'a"b\\c', "R1", "2,6-Cl2", "N-R", "°C"]
    atoms = tuple(Atom(label, 9 * n, 7 * n) for n, label in enumerate(labels))
    for order in BondOrder:
        bonds = (Bond(0, 1), Bond(2, 1, order), Bond(0, 2, order), Bond(7, 8), Bond(3, 8, order))
        text = write_answer(MolGraph(atoms, bonds), "C", form)
        assert read_answer(text).problems == ()
        states(AnswerGrammar(form, 99, 99), text)


def with_groups(graph: MolGraph) -> MolGraph:
    """The graph with brackets of each kind round its first atoms, and two stereo groups."""
    last = len(graph.atoms) - 1
    brackets = (
        Bracket((0, last), 'n = "δ"\\'),
        Bracket((0,), "12", "MUL"),
        Bracket((0,), "", "GEN"),
    )
    groups = (StereoGroup((0, last), "AND"), StereoGroup((1,), "OR"))
    return MolGraph(graph.atoms, graph.bonds, brackets, groups)


@forms
def test_groups_are_in_the_language(form: AnswerForm) -> None:
    for smiles in DRAWN[:-1]:
        graph = placed(graph_from_smiles(smiles))
        if len(graph.atoms) < 3:
            continue
        text = write_answer(with_groups(graph), smiles, form)
        assert read_answer(text).problems == ()
        assert accepts(AnswerGrammar(form, *frame_of(graph)), text)
        assert re.fullmatch(answer_pattern(form), text)


@forms
def test_an_answer_to_the_old_prompt_has_its_words_alone(form: AnswerForm) -> None:
    """A model that was trained with it never saw the others."""
    graph = MolGraph((Atom("C", 1, 1), Atom("C", 5, 5), Atom("C", 9, 9)), (Bond(0, 1),))
    old = AnswerGrammar(form, 9, 9, 2)
    for order in BondOrder:
        text = write_answer(MolGraph(graph.atoms, (Bond(0, 1, order),)), "C", form)
        assert accepts(old, text) == (order <= BondOrder.CROSSED_DOUBLE)
        assert bool(re.fullmatch(answer_pattern(form, 2), text)) == accepts(old, text)
    text = write_answer(with_groups(graph), "C", form)
    assert not accepts(old, text)
    assert not re.fullmatch(answer_pattern(form, 2), text)


@forms
def test_groups_that_are_wrong_are_kept_out(form: AnswerForm) -> None:
    graph = MolGraph((Atom("C", 1, 1), Atom("C", 9, 9)), (Bond(0, 1),),
                     (Bracket((0, 1), "2", "MUL"),), (StereoGroup((0, 1), "AND"),))  # fmt: skip
    grammar, good = AnswerGrammar(form, 9, 9), write_answer(graph, "CC", form)
    assert accepts(grammar, good)
    spoilt = {
        "compact": [("MUL 0,1", "MUL 1,0"), ("MUL 0,1", "MUL 0,2"), ("MUL 0,1", "MUL 0,0"),
                    ("MUL 0,1 2", "MUL 0,1"), ("0,1 2", "0,1 0"), ("0,1 2", "0,1 n"),
                    ("AND 0,1", "AND 0\nOR 0"), ("AND 0,1", "AND"), ("AND 0,1", "AND 0,1 n"),
                    ("MUL", "SRX"), ("AND 0,1", "AND 0,1\n9 9 C")],
        "json": [("[0,1],", "[1,0],"), ("[0,1],", "[0,2],"), ("[0,1],", "[0,0],"),
                 (',"mark":"2"', ""), ('"2"', '"0"'), ('"2"', '"n"'), ("[0,1]}", "[]}"),
                 ("[0,1]}", '[0]},{"k":"OR","in":[0]}'), ("MUL", "SRX")],
    }  # fmt: skip
    for old, new in spoilt[form]:
        assert old in good
        assert not accepts(grammar, good.replace(old, new)), new


@forms
def test_what_is_wrong_is_kept_out(form: AnswerForm) -> None:
    graph = MolGraph((Atom("C", 1, 1), Atom("C", 9, 9)), (Bond(0, 1),))
    grammar, good = AnswerGrammar(form, 9, 9), write_answer(graph, "CC", form)
    assert accepts(grammar, good)
    spoilt = {
        "compact": [("9 9", "9 10"), ("1 1", "01 1"), ("-0", "-1"), ("-0", "-0 =0"), ("-0", "-00"),
                    ("C -0", "Xx -0"), ("C -0", "[] -0"), ("\nsmiles CC", ""), ("CC", "C("),
                    ("CC", "C C"), ("CC", "[C"), ("CC", "")],
        "json": [("[9,9]", "[9,10]"), ('"id":1', '"id":2'), ('"id":1', '"id":0'),
                 ('"a1":0,"a2":1', '"a1":0,"a2":2'), ('"a1":0,"a2":1', '"a1":1,"a2":1'),
                 ('{"b":1', '{"b":0'), ('{"b":1,"a1":0,"a2":1}', '{"b":1,"a1":0,"a2":1},' * 2),
                 ('"}]', '"}'), ("CC", 'C"C'), ("CC", "C\\C")],
    }  # fmt: skip
    for old, new in spoilt[form]:
        assert old in good
        assert not accepts(grammar, good.replace(old, new)), new


@forms
def test_closing_is_short_and_whole_from_anywhere(form: AnswerForm) -> None:
    for smiles in DRAWN[:-1]:
        graph = placed(graph_from_smiles(smiles))
        graph = with_groups(MolGraph((*graph.atoms, Atom('"[δ]\\', 1, 1)), graph.bonds))
        grammar = AnswerGrammar(form, *frame_of(graph))
        text = write_answer(graph, smiles, form)
        for place, state in enumerate(states(grammar, text)):
            rest = grammar.closing(state)
            assert len(rest) < 64
            state_after: State | None = state
            for byte in rest:
                assert state_after is not None
                state_after = grammar.step(state_after, byte)
            assert state_after is not None
            assert grammar.is_whole(state_after)
            whole = (text.encode()[:place] + rest).decode()
            assert read_answer(whole).problems == (), whole


@forms
def test_masks_are_what_the_bytes_say(form: AnswerForm) -> None:
    """Caches, jumps over the vocabulary and the split at a field's end change nothing."""
    grammar, tokens = AnswerGrammar(form, 120, 120), TOKENS[form]
    for smiles in ("C[C@H](N)C(=O)O", "C12C3C4C1C5C4C3C25"):
        graph = placed(graph_from_smiles(smiles))
        graph = with_groups(MolGraph((*graph.atoms, Atom('[δ]"b', 1, 1)), graph.bonds))
        for state in states(grammar, write_answer(graph, smiles, form)):
            allowed = {n for n in TEXTS if tokens.advance(grammar, state, n) is not None}
            mask = tokens.allowed(grammar, state)
            assert set(mask.nonzero().flatten().tolist()) - {END} == allowed
            assert bool(mask[END]) == grammar.is_whole(state)


@forms
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), limit=st.integers(90, 400), drift=st.floats(0, 8))
def test_random_logits_give_answers_without_problems(
    form: AnswerForm, seed: int, limit: int, drift: float
) -> None:
    tokens, random_ = TOKENS[form], torch.Generator().manual_seed(seed)
    # Logits that stay alike from step to step run away, as bad models do.
    habit = torch.randn(2, END + 1, generator=random_) * drift
    guide = GrammarGuide(tokens, [(112, 112), (56, 300)], 3, limit)
    ids = torch.zeros(2, 3, dtype=torch.long)
    for _ in range(limit):
        logits = torch.randn(2, END + 1, generator=random_) + habit
        ids = torch.cat([ids, guide(ids, logits).argmax(dim=1, keepdim=True)], dim=1)
    for row in ids[:, 3:].tolist():
        assert END in row, "the end comes in time"
        text = b"".join(TEXTS[n] for n in row[: row.index(END)]).decode()
        answer = read_answer(text)
        assert answer.problems == (), text
        assert answer.smiles


def test_an_answer_that_repeats_itself_is_closed() -> None:
    guide = GrammarGuide(TOKENS["compact"], [(112, 112)], 0, 4096)
    habit = torch.zeros(1, END + 1)
    habit[0, ord("[")], habit[0, ord("a")] = 1, 2
    ids = torch.zeros(1, 0, dtype=torch.long)
    while END not in ids[0].tolist():
        ids = torch.cat([ids, guide(ids, habit).argmax(dim=1, keepdim=True)], dim=1)
    assert "repeats itself" in guide.closed[0]
    assert ids.shape[1] < 250
    text = b"".join(TEXTS[n] for n in ids[0].tolist() if n != END).decode()
    assert read_answer(text).problems == ()


@pytest.fixture(scope="module")
def nano_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nano")


@forms
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_random_models_give_answers_without_problems(
    form: AnswerForm, seed: int, nano_folder: Path
) -> None:
    from PIL import Image

    frame = PixelFrame(56 * 56, 112 * 112)
    folder = create_nano(nano_folder / str(seed), seed=seed, width=32, layers=1, frame=frame)
    reader = LocalRecognizer.from_folder(folder, form=form)
    pictures = [Image.new("L", size, "white") for size in ((50, 50), (200, 60))]
    for result in reader.recognize(pictures, max_new_tokens=150, any_picture=True):
        answer = read_answer(result.answer)
        assert answer.problems == (), result.answer
        assert not any("outside" in problem for problem in result.problems)


@forms
def test_gold_tokens_are_never_forbidden(form: AnswerForm, nano_folder: Path) -> None:
    golds = [
        (graph, write_answer(graph, smiles, form))
        for smiles in DRAWN[:-1]
        for graph in [placed(graph_from_smiles(smiles))]
    ]
    folder = create_nano(nano_folder / f"taught-{form}", width=32, layers=1,
                         texts=[text for _, text in golds])  # fmt: skip
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = token_bytes(tokenizer)
    tokens = AnswerTokens(texts, [tokenizer.eos_token_id], form, len(tokenizer))
    for graph, text in golds:
        grammar = tokens.grammar(*frame_of(graph))
        state: State | None = grammar.start
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert b"".join(texts[n] for n in ids).decode() == text
        for number in ids:
            assert state is not None
            assert tokens.allowed(grammar, state)[number], (text, texts[number])
            state = tokens.advance(grammar, state, number)
        assert state is not None
        assert tokens.allowed(grammar, state)[tokenizer.eos_token_id]


@forms
def test_answers_of_patent_molfiles_are_in_the_language(
    form: AnswerForm, shared_data: Path
) -> None:
    files = random.Random(0).sample(sorted((shared_data / "uspto_molfiles").iterdir()), 150)
    for path in files:
        try:
            block = read_molblock(path)
            smiles, graph = molblock_to_smiles(block), placed(parse_molblock(block))
        except ValueError:
            continue
        text = write_answer(graph, smiles, form)
        assert accepts(AnswerGrammar(form, *frame_of(graph)), text), path.name
