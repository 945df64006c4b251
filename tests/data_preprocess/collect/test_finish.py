"""From answers to rows: what RDKit has to add, text without marks, and the order of rows."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem

from data_preprocess.catalogue.compounds import Compound
from data_preprocess.collect import finish
from data_preprocess.collect.finish import Drop, plain_text, settle
from data_preprocess.collect.notes import choose


@given(st.lists(st.sampled_from(["p<0.05", "a & b", "(2<S)", "x>y", "H", " "]), min_size=1))
def test_text_comes_back_from_between_the_marks(words: list[str]) -> None:
    marked = "".join(f"<em>{html.escape(word)}</em><sub></sub>" for word in words)
    assert plain_text(marked) == (" ".join("".join(words).split()) or None)


def test_what_is_no_mark_stays() -> None:
    assert plain_text("pH<pKa; then a>b") == "pH<pKa; then a>b"
    assert plain_text("one<br/>two<p>three") == "one two three"
    assert plain_text("<stereo>(R)</stereo>-x &eacute;") == "(R)-x é"
    assert plain_text("  ") is None


def test_structures_are_settled(drawn: Any) -> None:
    def settled(**fields: Any) -> Compound | Drop:
        return settle(Compound("a", "test", "CC0-1.0", **fields))

    given_form = settled(smiles="OCC", inchikey="GIVEN")
    assert isinstance(given_form, Compound)
    assert (given_form.smiles, given_form.inchikey) == ("OCC", "GIVEN")
    computed = settled(molfile=drawn("OCC"))
    assert isinstance(computed, Compound)
    assert computed.smiles == "CCO"
    assert computed.inchikey == Chem.MolToInchiKey(Chem.MolFromSmiles("CCO"))
    assert settled() == Drop("a", "no structure")
    assert settled(smiles="C(C)(C)(C)(C)C") == Drop("a", "RDKit cannot read its SMILES")
    assert settled(molfile="broken") == Drop("a", "RDKit cannot read its molfile")
    both = "RDKit reads neither its SMILES nor its molfile"
    assert settled(smiles="no", molfile="broken") == Drop("a", both)


def test_rows_keep_their_order_whatever_is_done_first(monkeypatch: pytest.MonkeyPatch) -> None:
    def backwards(jobs: Iterable[Any], work: Any, workers: int) -> Iterator[Any]:
        yield from reversed([work(job) for job in jobs])

    monkeypatch.setattr(finish, "run", backwards)
    rows: list[Compound | Drop] = [Drop(str(n), "test") for n in range(1_001)]
    assert list(finish._settled(rows, 2)) == rows


def test_the_description_with_open_terms_is_taken() -> None:
    def note(text: str, source: str, licence: str | None = None) -> dict[str, Any]:
        return {"text": text, "source": source, "licence": licence, "url": None}

    open_terms = note("short", "ChEBI")
    unknown = note("a little longer", "Somebody")
    closed = note("by far the longest of them", "X", "https://creativecommons.org/licenses/by-nc/4")
    for order in ([open_terms, unknown, closed], [closed, unknown, open_terms]):
        assert choose(order) is open_terms
    assert choose([closed, unknown, note("longest but one", "DrugBank")]) is unknown
    assert choose([note("a", "ChEBI"), note("longer", "ChEBI")]) == note("longer", "ChEBI")
    assert choose([]) is None
