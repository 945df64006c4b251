"""Scores on cases small enough to count by hand."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eyesmol.answer.text import write_answer
from eyesmol.chem.graph import Atom, Bond, BondOrder, MolGraph
from eyesmol.chem.molfile import graph_to_molblock
from eyesmol.chem.smiles import graph_from_smiles, graph_to_smiles
from eyesmol.evaluation.gold import Gold, GoldSet, ScoreError, load_gold
from eyesmol.evaluation.metrics import (
    METRICS,
    _wilson,
    evaluate,
    load_predictions,
    same_graph,
    score_answers,
)
from eyesmol.outputs import write_as
from eyesmol.recognition import Molecule, Recognition


def drawn(smiles: str) -> MolGraph:
    return graph_from_smiles(smiles).transformed(20, 60, 60, flip=True)


def answer(graph_of: str, written: str | None = None) -> str:
    return write_answer(drawn(graph_of), written or graph_of, "compact")


def read(image: str, text: str) -> Recognition:
    return Recognition.from_answer(image, text, size=(120, 120), frame_size=(120, 120))


def golds(**smiles: str) -> GoldSet:
    return GoldSet("gold", tuple(Gold(f"{n}.png", s, drawn(s)) for n, s in smiles.items()))


def test_every_gold_row_counts() -> None:
    gold = golds(right="CCO", stereo="C[C@H](N)O", missing="CCN", broken="CCC", disagree="CCCl")
    predictions = [
        read("right.png", answer("CCO")),
        read("stereo.png", answer("C[C@@H](N)O")),
        Recognition("broken.png", error="broken.png: cannot be read"),
        read("disagree.png", answer("CCBr", "CCCl")),
        read("stranger.png", answer("C")),
    ]
    result = evaluate(gold, predictions, name="ours")
    values = {key: round(share.value * share.n) for key, share in result.shares().items()}
    assert {"tanimoto", "atom_f1", "bond_f1"} < set(values)
    assert {key: value for key, value in values.items() if METRICS[key].unit == "%"} == {
        "exact": 1,
        "exact_without_cis_trans": 1,
        "exact_without_stereo": 2,
        "any_r": 1,
        "chirality": 0,
        "inchi": 1,
        "gen_smiles": 2,  # right, and the written half of the one that disagrees with itself
        "gra_smiles": 1,
        "graph": 1,
        "agreement": 2,
        "validity": 3,
    }
    assert (result.missing, result.errors, result.unused) == (1, 1, 1)
    by_image = {row.gold.image: row for row in result.rows}
    assert by_image["missing.png"].tanimoto == by_image["broken.png"].tanimoto == 0
    assert result.shares()["tanimoto"].value == sum(r.tanimoto for r in result.rows) / 5
    assert result.shares()["chirality"].n == 1, "only one gold has a centre"
    assert {name: row.kinds for name, row in by_image.items()} == {
        "right.png": (),
        "stereo.png": ("stereo",),
        "missing.png": ("no_answer",),
        "broken.png": ("no_answer",),
        "disagree.png": ("label",),
    }
    assert by_image["disagree.png"].atom_f1 == pytest.approx(4 / 6)
    assert by_image["disagree.png"].bond_f1 == by_image["stereo.png"].atom_f1 == 1
    assert json.loads(json.dumps(result.to_dict()))["scores"]["exact"]["n"] == 5


@given(st.integers(1, 400), st.data())
def test_an_interval_holds_its_share(n: int, data: st.DataObject) -> None:
    """At 0 and 1, too, where the formula's ends are off by a rounding, and charts refuse them."""
    right = data.draw(st.sampled_from([0, n]) | st.integers(0, n))
    share = _wilson([1.0] * right + [0.0] * (n - right))
    assert share.low <= share.value <= share.high


def test_interval_is_wilsons() -> None:
    share = evaluate(golds(a="CCO"), [read("a.png", answer("CCO"))], name="x").shares()["exact"]
    assert (share.value, share.high) == (1, 1)
    assert share.low == pytest.approx(1 / (1 + 1.959964**2))


def test_best_guess_leaves_a_graph_that_lost_something() -> None:
    whole = answer("CCO", "CCN")
    assert read("a", whole).smiles == "CCO"
    broken = whole.replace("\nsmiles", "\n5 5 C -77\nsmiles")  # a bond to an atom that is not there
    assert (read("a", broken).smiles, read("a", broken).molecule.smiles_from) == ("CCN", "written")
    unknown = MolGraph((Atom("C", 1, 1), Atom("Zzz", 30, 1)), (Bond(0, 1),))
    assert read("a", write_answer(unknown, "CCCC", "json")).smiles == "CCCC"
    labels = MolGraph((Atom("Zzz", 1, 1), Atom("R1", 9, 9)))
    assert read("a", write_answer(labels, "", "json")).smiles is None, "no molecule in that"
    assert read("a", "nonsense").smiles is None


@given(st.sampled_from(["C[C@H](N)C(=O)O", "c1ccc2ccccc2c1", "C12C3C4C1C5C4C3C25", "CO.CO"]),
       st.randoms(use_true_random=False))  # fmt: skip
def test_same_graph_ignores_numbering_and_nothing_else(smiles: str, rng: random.Random) -> None:
    graph = drawn(smiles)
    order = rng.sample(range(len(graph.atoms)), len(graph.atoms))
    new = {old: index for index, old in enumerate(order)}
    bonds = [Bond(new[b.begin], new[b.end], b.order) for b in graph.bonds]
    rng.shuffle(bonds)
    atoms = [graph.atoms[old] for old in order]
    assert same_graph(graph, MolGraph(tuple(atoms), tuple(bonds)))

    changed = rng.randrange(len(bonds))
    other = BondOrder.TRIPLE if bonds[changed].order != BondOrder.TRIPLE else BondOrder.SINGLE
    bonds[changed] = Bond(bonds[changed].begin, bonds[changed].end, other)
    assert not same_graph(graph, MolGraph(tuple(atoms), tuple(bonds)))
    atoms[0] = Atom("OMe")
    assert not same_graph(graph, MolGraph(tuple(atoms), graph.bonds))


def test_same_graph_sees_the_narrow_end() -> None:
    atoms = (Atom("C"), Atom("C"), Atom("N"))
    wedge = MolGraph(atoms, (Bond(0, 1), Bond(1, 2, BondOrder.SOLID_WEDGE)))
    turned = MolGraph(atoms, (Bond(0, 1), Bond(2, 1, BondOrder.SOLID_WEDGE)))
    assert not same_graph(wedge, turned)


def row(image: Any, text: str, task: str = "cot") -> dict[str, Any]:
    turns = [{"from": "human", "value": "<image>\nread"}, {"from": "gpt", "value": text}]
    return {"id": image, "image": image, "conversations": turns, "source": "test", "task": task}


def test_broken_gold_rows_are_listed_with_their_reason(tmp_path: Path) -> None:
    rows = [
        row("images/a.png", answer("CCO")),
        row("images/b.png", "12 12 C"),
        row("images/c.png", answer("CCO", "C(C)(C)(C)(C)C")),
        row("images/d.png", "It is an alcohol.", task="describe"),
        row(None, answer("CCO")),
        {"image": "images/e.png", "conversations": []},
        "nothing",
    ]
    (tmp_path / "test.json").write_text(json.dumps(rows))
    gold = load_gold(tmp_path / "test.json")
    assert [g.image for g in gold.rows] == ["images/a.png"]
    assert len(gold.unscorable) == 5, "all but the good one and the one of another task"
    result = evaluate(gold, [read("elsewhere/a.tif", answer("CCO"))], name="x")
    assert result.rows[0].exact, "matched by the name without folder and ending"
    assert "5 gold rows that cannot be scored" in result.table()


def test_names_match_by_the_key_that_brings_most_together() -> None:
    # One name happens to agree as a whole path; the others do by their file names.
    predictions = [read(f, answer("CCO")) for f in ("a.png", "far/away/b.png", "far/away/c.png")]
    result = evaluate(golds(a="CCO", b="CCO", c="CCO"), predictions, name="x")
    assert (result.missing, result.shares()["exact"].value) == (0, 1)


def test_other_gold_sets_and_other_tools_predictions(tmp_path: Path) -> None:
    molfiles = tmp_path / "molfiles"
    molfiles.mkdir()
    (molfiles / "a.MOL").write_text(graph_to_molblock(drawn("C[C@H](N)O")))
    (molfiles / "b.mol").write_text("")
    (tmp_path / "gold.csv").write_text("image,smiles\na.png,C[C@H](N)O\nb.png,not a smiles\n")
    (tmp_path / "osra.csv").write_text("image,smiles\nsomewhere/a.png,O[C@@H](N)C\nb.png,C\n")
    predictions = load_predictions(tmp_path / "osra.csv")
    for name in ("molfiles", "gold.csv"):
        gold = load_gold(tmp_path / name)
        assert next(image for image, _ in gold.unscorable).startswith("b.")
        if gold.rows[0].graph is not None:
            assert graph_to_smiles(gold.rows[0].graph) == (gold.rows[0].smiles, [])
        result = evaluate(gold, predictions, name="osra")
        assert result.unused == 0, "its gold row is there, though it cannot be scored"
        shares = result.shares()
        # A table without written SMILES and graphs has no such scores, rather than zero.
        assert set(shares) == {
            "exact", "exact_without_cis_trans", "exact_without_stereo", "any_r", "chirality",
            "inchi", "validity", "tanimoto", "atom_f1", "bond_f1",
        }  # fmt: skip
        assert shares["exact"].value == 1


@pytest.mark.parametrize(
    ("images", "complaint"),
    [
        (["x/a.png", "y/a.png"], "ambiguous"),
        (["b.png"], "no prediction belongs"),
        ([], "no prediction belongs"),
    ],
)
def test_unclear_matches_are_refused(images: list[str], complaint: str) -> None:
    with pytest.raises(ScoreError, match=complaint):
        evaluate(golds(a="CCO"), [Recognition(image) for image in images], name="x")


@pytest.mark.parametrize("content", ["{}", "nothing", "[]"])
def test_a_gold_file_that_is_no_dataset(tmp_path: Path, content: str) -> None:
    (tmp_path / "test.json").write_text(content)
    with pytest.raises(ScoreError, match=r"test\.json.*(expected|cannot be read)"):
        load_gold(tmp_path / "test.json")


def test_predictions_survive_their_files(tmp_path: Path) -> None:
    results = [read("a.png", answer("C[C@H](N)O")), Recognition("b.png", error="broken")]
    for ending in (".jsonl", ".csv"):
        write_as(tmp_path / f"p{ending}", [r.to_dict() for r in results])
        again = load_predictions(tmp_path / f"p{ending}")
        assert [(r.image, r.smiles, r.error) for r in again] == [
            (r.image, r.smiles, r.error) for r in results
        ]
    (tmp_path / "bad.jsonl").write_text('{"image": "a.png"}\n{"smiles": "C"}\n')
    with pytest.raises(ScoreError, match=r"bad\.jsonl, line 2"):
        load_predictions(tmp_path / "bad.jsonl")


def test_lenient_columns_forgive_what_they_say() -> None:
    gold = golds(cis="F/C=C\\Cl", chiral="C[C@H](N)O", tautomer="CC(=O)NC", group="[1*]CC")
    read_as = {"cis": "F/C=C/Cl", "chiral": "C[C@@H](N)O", "tautomer": "CC(O)=NC", "group": "*CC"}
    predictions = [Recognition(f"{n}.png", molecule=Molecule(s)) for n, s in read_as.items()]
    shares = evaluate(gold, predictions, name="x").shares()
    right = {key: round(share.value * share.n) for key, share in shares.items()}
    assert (right["exact"], right["exact_without_cis_trans"], right["exact_without_stereo"]) == (
        0,
        1,
        2,
    )
    assert (right["inchi"], shares["inchi"].n) == (1, 3), "an R group has no InChI"
    assert right["any_r"] == 1, "the name of an open place is forgiven, stereo is not"


def test_any_r_forgives_the_name_and_nothing_else() -> None:
    truth = "[1*]c1ccc([2*])cc1C"
    right = {"*c1ccc(*)cc1C": True, "[7*]c1ccc([X:1])cc1C".replace("X", "*"): True,
             "*c1ccc(C)cc1*": False, "*c1ccc(*)cc1": False, "Cc1ccc(*)cc1C": False}  # fmt: skip
    for smiles, expected in right.items():
        found = [Recognition("a.png", molecule=Molecule(smiles))]
        shares = evaluate(golds(a=truth), found, name="x").shares()
        assert (shares["any_r"].value, shares["exact"].value) == (expected, 0), smiles


def test_an_impossible_valence_still_has_atoms() -> None:
    places = [(40, 40), (0, 40), (80, 40), (40, 0), (40, 80), (70, 70)]
    star = MolGraph(
        tuple(Atom("C", x, y) for x, y in places), tuple(Bond(0, n) for n in range(1, 6))
    )
    listed = read("a.png", write_answer(star, "", "json"))
    for guess in (listed, Recognition("a.png", molecule=Molecule("CC(C)(C)(C)C"))):
        [row] = evaluate(golds(a="CC(C)(C)C"), [guess], name="x").rows
        assert (row.valid, row.kinds) == (False, ("invalid",))
        assert (row.atom_f1, row.bond_f1) == (pytest.approx(10 / 11), pytest.approx(8 / 9))


def test_seconds_and_every_interval() -> None:
    predictions = [Recognition(f"{n}.png", molecule=Molecule("CCO"), seconds=s)
                   for n, s in {"a": 1.0, "b": 3.0}.items()]  # fmt: skip
    result = evaluate(golds(a="CCO", b="CCN", c="CC"), predictions, name="x")
    shares = result.shares()
    assert (shares["seconds"].value, shares["seconds"].n) == (2, 2), "of those that say"
    for share in shares.values():
        assert share.low <= share.value <= share.high
        assert share.bootstrap[0] <= share.value <= share.bootstrap[1]
    exact = result.to_dict()["scores"]["exact"]
    assert exact["bootstrap"] == [0.0, 1.0]
    assert (exact["low"], exact["high"]) != (0.0, 1.0), "Wilson's"
    assert result.to_dict()["error_kinds"] == {"no_answer": 1, "label": 1}


def test_predictions_of_other_tools(tmp_path: Path) -> None:
    gold = golds(a="C[C@H](N)O", b="CCO")
    blocks = {name: graph_to_molblock(drawn(s)) for name, s in {"a": "C[C@H](N)O"}.items()}
    folder = tmp_path / "molfiles"
    folder.mkdir()
    (folder / "a.mol").write_text(blocks["a"])
    (folder / "b.mol").write_text("nonsense")
    named = "a.png" + blocks["a"][blocks["a"].index("\n") :]
    (tmp_path / "tool.sdf").write_text(f"{named}$$$$\nb.png\n\n\n\nM  END\n$$$$\n")
    (tmp_path / "tool.csv").write_text("File,SMILES\nx/a.png,O[C@@H](N)C\nx/b.png,\n")
    ours = [read("a.png", answer("C[C@H](N)O")), Recognition("b.png", error="broken")]
    write_as(tmp_path / "ours.sdf", [r.to_dict() for r in ours])
    for name in ("molfiles", "tool.sdf", "tool.csv", "ours.sdf"):
        result = evaluate(gold, load_predictions(tmp_path / name), name=name)
        assert [row.exact for row in result.rows] == [True, False], name
        assert result.missing == 0
        assert "gen_smiles" not in result.shares(), "another tool writes no SMILES of its own"
    (tmp_path / "nameless.sdf").write_text("\n\n\nM  END\n$$$$\n")
    with pytest.raises(ScoreError, match=r"nameless\.sdf, record 1: no name"):
        load_predictions(tmp_path / "nameless.sdf")


def test_plug_in_for_the_trainer() -> None:
    truth = [answer("CCO"), answer("CCN"), answer("CCC")]
    predicted = [answer("CCO"), answer("CCO"), "nonsense"]
    assert score_answers(predicted, truth) == pytest.approx(
        {"exact_match": 1 / 3, "validity": 2 / 3, "graph_match": 1 / 3}
    )
    nothing = score_answers(["", "no molecule"], ["", "{}"])  # a model that learnt nothing
    assert nothing["graph_match"] == 0
    assert score_answers([], []) == {"exact_match": 0, "validity": 0, "graph_match": 0}


def test_lists_give_top_k(tmp_path: Path) -> None:
    gold = golds(first="CCO", third="CCN", sixth="CCC", none="CCCl")
    wrong = ["C", "CC", "O", "N", "CO"]
    lists = {
        "first.png": ["OCC", "C"],
        "third.png": ["C", "CC", "NCC"],
        "sixth.png": [*wrong, "CCC"],
        "none.png": [],
    }
    rows = [json.dumps({"image": image, "smiles": found}) for image, found in lists.items()]
    (tmp_path / "lists.jsonl").write_text("\n".join(rows))
    result = evaluate(gold, load_predictions(tmp_path / "lists.jsonl"), name="lists")
    shares = {key: share.value for key, share in result.shares().items()}
    assert [shares[key] for key in ("exact", "top_3", "top_5", "top_10")] == [0.25, 0.5, 0.5, 0.75]
    single = evaluate(gold, [Recognition("first.png", molecule=Molecule("CCO"))], name="one")
    assert not {"top_3", "top_5", "top_10"} & single.shares().keys()


def test_cost_is_the_mean_of_seconds_and_the_highest_memory() -> None:
    reads = [
        replace(read(f"{n}.png", answer("CCO")), seconds=n + 1.0, memory_mib=100.0 + n)
        for n in range(3)
    ]
    gold = GoldSet("gold", tuple(Gold(f"{n}.png", "CCO") for n in range(3)))
    result = evaluate(gold, reads, name="ours")
    assert (result.shares()["seconds"].value, result.shares()["memory"].value) == (2, 102)
    [line] = [line for line in result.table().splitlines() if "Peak memory" in line]
    assert line.split()[-2:] == ["102", "MiB"], "a highest value has no interval"
