"""Drafts: how they go on after anything that was written, and that verifying changes no answer."""

from __future__ import annotations

import pytest
from PIL import Image

from data_preprocess.drawing.render import render
from eyesmol.answer.text import AnswerForm, write_answer
from eyesmol.chem.graph import MolGraph
from eyesmol.chem.smiles import canonical_smiles, graph_from_smiles
from eyesmol.reader.base import Recognizer
from eyesmol.reader.draft_decoding import DraftCounts
from eyesmol.reader.drafts import Draft, may_stand
from eyesmol.reader.embedded import NANO
from eyesmol.reader.local import LocalRecognizer
from eyesmol.reader.options import ReadOptions
from eyesmol.reader.vlm import Decoded

PARACETAMOL = "CC(=O)Nc1ccc(O)cc1"
FORMS: tuple[AnswerForm, ...] = ("compact", "json")


def placed(smiles: str) -> MolGraph:
    return graph_from_smiles(smiles).transformed(30, 200, 200, flip=True)


def draft_of(smiles: str, form: AnswerForm = "compact") -> Draft:
    return Draft(placed(smiles), canonical_smiles(smiles) or "", form)


# ---- what a draft says ----


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("smiles", ["C", PARACETAMOL, r"C/C=C\[C@H](O)C#N", "CC[NH3+].[Cl-]"])
def test_draft_goes_on_from_any_point_of_its_own_text(smiles: str, form: AnswerForm) -> None:
    whole = write_answer(placed(smiles), canonical_smiles(smiles) or "", form)
    draft = draft_of(smiles, form)
    assert draft.text == whole
    for cut in range(len(whole)):
        assert whole[:cut] + draft.after(whole[:cut]) == whole


def lines_of(smiles: str) -> list[str]:
    return draft_of(smiles).text.split("\n")


def test_coordinates_and_labels_of_its_own_do_not_stop_the_draft() -> None:
    draft, lines = draft_of(PARACETAMOL), lines_of(PARACETAMOL)
    x, y, _ = lines[0].split(" ")
    for written in (f"{int(x) + 2} {y} ", f"{x} {int(y) - 2} ", f"{x} {y} N"):
        whole = written + draft.after(written)
        assert whole.split("\n")[1:-1] == lines[1:-1]


def test_atom_that_the_model_left_out_is_counted_no_more() -> None:
    draft, lines = draft_of("CCCO"), lines_of("CCCO")
    written = "\n".join([lines[0], lines[2]]) + "\n"
    following = draft.after(written).split("\n")
    x, y, label, _ = lines[3].split(" ")
    assert following[0] == f"{x} {y} {label} -1"  # bound to the atom that is the second now


def test_atom_that_only_the_model_saw_moves_the_numbers() -> None:
    draft, lines = draft_of("CCCO"), lines_of("CCCO")
    written = f"{lines[0]}\n900 900 C -0\n"
    following = draft.after(written).split("\n")
    assert [line.split(" ")[:3] for line in following[:3]] == [
        line.split(" ")[:3] for line in lines[1:4]
    ]
    moved = {"-0": "-0", "-1": "-2", "-2": "-3"}
    assert [line.split(" ")[3] for line in following[:3]] == [
        moved[line.split(" ")[3]] for line in lines[1:4]
    ]
    assert draft.after(f"{lines[0]}\n900 900 C") == ""


def test_smiles_is_of_the_graph_that_the_model_listed() -> None:
    draft, lines = draft_of("CCCO"), lines_of("CCCO")
    changed = "\n".join([*lines[:3], lines[3].replace("O", "N")])
    assert draft.after(f"{changed}\nsmiles ") == "CCCN"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("junk", ["Sorry, ", "[[[", "12", "\n\n", "smiles", '[{"smiles":"C', "[{"])
def test_any_text_gives_some_text(junk: str, form: AnswerForm) -> None:
    assert isinstance(draft_of(PARACETAMOL, form).after(junk), str)


@pytest.mark.parametrize(
    ("written", "own", "drafted", "rest", "kept"),
    [
        ("12 ", "35 ", "37 ", "C", True),
        ("12 ", "35 ", "39 ", "C", False),  # four pixels
        ("12 4", "5", "7", " C", True),
        ("12 4", "5", "9", " C", False),
        ("", "5", "6", "0 12 C", True),  # 50 to 59 against 60
        ("", "5", "6", "4 12 C", False),
        ("12 35 ", "C", "N", "\n", False),
        ("12 35 C ", "-1", "-2", "\n", False),
        ("12 35 C -", "1", "2", "\n", False),
        ("12 35 [OCH", "2", "3", "]", False),
        ("1", "5", "5 ", "12 C", False),  # 15... against 15
        ("", "35 ", "3", "7 12 C", True),  # other tokens, the same digits but one
        ("", "35 ", "3", "9 12 C", False),
        ("12 ", "35 ", "3", "7 -1", True),
    ],
)
def test_only_near_coordinates_may_stand(
    written: str, own: str, drafted: str, rest: str, kept: bool
) -> None:
    written = f"8 8 C\n{written}"
    assert may_stand(written, own, drafted, rest, "compact", 0.2, 3) == kept


def test_digit_before_others_needs_some_probability() -> None:
    assert not may_stand("", "5", "6", "0 12 C", "compact", 0.02, 3)
    assert may_stand("", "5 ", "6 ", "12 C", "compact", 0.0, 3)


def test_coordinates_of_json_are_known() -> None:
    begun = '[{"a":"C","id":1,"xy":[120,4'
    assert may_stand(begun, "5", "7", "]}", "json", 0.2, 3)
    assert not may_stand('[{"a":"C","id":', "1", "2", ',"', "json", 0.9, 3)
    assert not may_stand('[{"b":', "1", "2", ',"', "json", 0.9, 3)


# ---- verifying ----


@pytest.fixture(scope="module")
def nano() -> LocalRecognizer:
    reader = Recognizer.from_pretrained(NANO)
    assert isinstance(reader, LocalRecognizer)
    return reader


@pytest.fixture(scope="module")
def drawn(nano: LocalRecognizer) -> tuple[list[Image.Image], list[Draft | None]]:
    """Drawings with good drafts, one of another molecule, one far off, and none at all."""
    images, drafts = [], list[Draft | None]()
    for seed, smiles in enumerate(["CCO", "C1CC1N", "CC(=O)N", "C#CC", "OCCN"]):
        drawing = render(smiles, (112, 112), seed=seed)
        image = nano.frame.fit(drawing.image)
        images.append(image)
        box = (0, 0, *drawing.image.size)
        drafts.append(Draft.shown(drawing.graph, drawing.smiles, nano.form, box, image.size))
    drafts[2], drafts[3] = draft_of("CCCCCC(=O)OC"), None
    return images, drafts


def plain(decoded: list[Decoded]) -> list[tuple[str, tuple[str, ...]]]:
    return [(answer.text, answer.problems) for answer in decoded]


@pytest.mark.parametrize("grammar", [True, False])
def test_exact_answers_are_the_models_own(
    nano: LocalRecognizer, drawn: tuple[list[Image.Image], list[Draft | None]], grammar: bool
) -> None:
    images, drafts = drawn
    own = nano._decode(images, 120, grammar)
    together = nano._decode_drafts(images, drafts, 120, grammar, 0)
    assert plain(together) == plain(own)
    alone = [
        nano._decode_drafts([image], [draft], 120, grammar, 0)[0]
        for image, draft in zip(images, drafts, strict=True)
    ]
    assert plain(alone) == plain(own)
    for one, other in zip(own, together, strict=True):
        assert one.trace is not None
        assert other.trace is not None
        length = len(one.text)
        assert other.trace.until(length) == pytest.approx(one.trace.until(length), abs=1e-3)


@pytest.mark.parametrize("limit", [9, 20])
def test_limit_cuts_where_it_cuts_plain_answers(
    nano: LocalRecognizer, drawn: tuple[list[Image.Image], list[Draft | None]], limit: int
) -> None:
    images, drafts = drawn
    own = nano._decode(images[:2], limit, grammar=False)
    assert plain(nano._decode_drafts(images[:2], drafts[:2], limit, False, 0)) == plain(own)


class Perfect(Draft):
    """A draft that says just what the model will."""

    def __init__(self, text: str) -> None:
        self._text = text

    def after(self, written: str) -> str:
        assert self._text.startswith(written)
        return self._text[len(written) :]


def test_perfect_draft_takes_two_forward_passes(
    nano: LocalRecognizer, drawn: tuple[list[Image.Image], list[Draft | None]]
) -> None:
    images, _ = drawn
    [own] = nano._decode(images[:1], 120)
    nano.draft_counts = counts = DraftCounts()
    [answer] = nano._decode_drafts(images[:1], [Perfect(own.text)], 120, True, 0)
    assert answer.text == own.text
    # The prompt gives the first token; the draft all others, and the end.
    assert (counts.passes, counts.answers, counts.kept) == (2, 1, 0)
    assert counts.accepted == counts.tokens - 1


def test_reader_takes_drafts_of_the_detector(nano: LocalRecognizer) -> None:
    image = render(PARACETAMOL, (300, 200), seed=1).image
    options = ReadOptions(pages=False, views=1, max_new_tokens=60)
    [own] = nano.recognize(image, options)
    [verified] = nano.recognize(image, options, draft="detector", draft_tolerance=0)
    assert verified.answer == own.answer
    assert nano.draft_counts.accepted


def test_drafts_need_a_model_that_verifies() -> None:
    with pytest.raises(ValueError, match="expected a vision-language model in this process"):
        Recognizer.from_pretrained(draft="detector")
    with pytest.raises(ValueError, match="expected 'detector'"):
        ReadOptions(draft="osra")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 0 pixels"):
        ReadOptions(draft_tolerance=-1)
