"""MolRecBench-Wild's three tracks on hand-made records, and the command that writes and scores."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eyesmol.chem.carbon import BOND_KINDS, DIRECTED, Carbon
from eyesmol.chem.graph import Atom, Bond, BondOrder, MolGraph
from eyesmol.cli.main import main
from eyesmol.evaluation.carbon import same_carbon
from eyesmol.evaluation.gold import carbon_smiles, load_gold
from eyesmol.evaluation.metrics import evaluate, load_predictions, molecule_key
from eyesmol.outputs import write_as
from eyesmol.recognition import Recognition

ALPHA, BETA, GAMMA = "R\u03b1", "R\u03b2", "R\u03b3"


def carbon(symbols: str, *bonds: tuple[int, int, int], **more: Any) -> Carbon:
    names = symbols.split()
    row: dict[str, Any] = {"symbols": names, "bonds": [list(b) for b in bonds], **more}
    row["coords"] = [[1.5 * n, -float(n % 2)] for n in range(len(names))]
    return Carbon.from_dict(row)


def renumbered(record: Carbon) -> Carbon:
    """The same drawing, its atoms and bonds listed from the end."""
    last = len(record.symbols) - 1
    lists = ("symbols", "charges", "radicals", "valences", "isotopes", "attach_points", "coords")
    return replace(
        record,
        **{name: getattr(record, name)[::-1] for name in lists},
        bonds=tuple((last - a, last - b, k) for a, b, k in reversed(record.bonds)),
        brackets=tuple((alias, tuple(sorted(last - n for n in atoms)))
                       for alias, atoms in record.brackets),
    )  # fmt: skip


@pytest.mark.parametrize("name", BOND_KINDS)
def test_every_kind_of_bond_counts_in_the_graph_and_its_direction_where_it_has_one(
    name: str,
) -> None:
    kind = BOND_KINDS[name]
    gold = carbon("C N O", (0, 1, kind), (1, 2, 1))
    assert same_carbon(gold, renumbered(gold), simplified=False)
    turned = carbon("C N O", (1, 0, kind), (1, 2, 1))
    assert same_carbon(gold, turned, simplified=False) == (kind not in DIRECTED)
    other = carbon("C N O", (0, 1, 1 if kind != 1 else 2), (1, 2, 1))
    assert not same_carbon(gold, other, simplified=False)
    simple = gold.simplified().bonds[0][2]
    assert same_carbon(gold, carbon("C N O", (0, 1, simple), (1, 2, 1)), simplified=True)


@pytest.mark.parametrize("field", ["charges", "radicals", "valences", "isotopes", "attach_points"])
def test_properties_count_in_the_graph_alone(field: str) -> None:
    gold = carbon("C N O", (0, 1, 1), (1, 2, 1), **{field: [None, 2, None]})
    plain = carbon("C N O", (0, 1, 1), (1, 2, 1))
    assert not same_carbon(gold, plain, simplified=False)
    assert same_carbon(gold, plain, simplified=True)


def test_brackets_count_by_their_mark_and_what_they_enclose() -> None:
    def chain(mark: str, *atoms: int) -> Carbon:
        bonds = [(n, n + 1, 1) for n in range(4)]
        return carbon("C O C C N", *bonds, brackets=[{"alias": mark, "atoms": list(atoms)}])

    gold = chain("n", 1, 2)
    assert same_carbon(gold, renumbered(gold), simplified=False)
    assert not same_carbon(gold, chain("m", 1, 2), simplified=False)
    assert not same_carbon(gold, chain("n", 2, 3), simplified=False)
    assert not same_carbon(gold, replace(gold, brackets=()), simplified=False)
    assert same_carbon(gold, chain("m", 2, 3), simplified=True)


def test_open_places_may_be_named_otherwise_but_not_mixed_up() -> None:
    def arms(first: str, second: str, third: str) -> Carbon:
        return carbon(
            f"[{first}] C N [{second}] [{third}]", (0, 1, 1), (1, 2, 1), (2, 3, 1), (2, 4, 1)
        )

    gold = arms(ALPHA, BETA, BETA)
    assert same_carbon(gold, arms(GAMMA, ALPHA, ALPHA), simplified=False)
    assert not same_carbon(gold, arms(ALPHA, ALPHA, BETA), simplified=False)
    assert not same_carbon(gold, arms(ALPHA, BETA, "R"), simplified=False)
    assert not same_carbon(arms("R1", "R2", "R2"), arms("R2", "R1", "R1"), simplified=True)


def test_places_and_square_brackets_do_not_count() -> None:
    gold = carbon("[H] C [Ph]", (1, 0, 1), (1, 2, 5))
    moved = replace(gold, coords=((9.0, 9.0),) * 3)
    assert same_carbon(gold, moved, simplified=False)
    assert same_carbon(gold, carbon("H C Ph", (0, 1, 1), (1, 2, 5)), simplified=False)


def test_which_golds_have_a_smiles() -> None:
    assert carbon_smiles(carbon("C C [OMe]", (0, 1, 1), (1, 2, 1))) == "CCOC"
    # A dative bond is single in the SMILES track, as in the simplified graph.
    dative = carbon_smiles(carbon("Cl Pt C", (0, 1, 11), (1, 2, 1)))
    assert molecule_key(dative or "") == molecule_key("C[Pt]Cl")
    assert carbon_smiles(carbon("C [Wombat]", (0, 1, 1))) is None
    assert carbon_smiles(carbon("C F F F F F", *((0, n, 1) for n in range(1, 6)))) is None
    assert carbon_smiles(carbon("C N", (0, 1, 1), charges=[None, 1])) == "C[NH3+]"


# ---- files ----


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The benchmark's layout: five annotations, one of them no record."""
    golds = {
        "ether.jpg": carbon("C C [OMe]", (0, 1, 1), (1, 2, 1)),
        "label.jpg": carbon("C [Wombat]", (0, 1, 1)),
        "dashed.jpg": carbon("C C", (0, 1, 19)),
        "missing.jpg": carbon("N C", (0, 1, 1)),
    }
    rows = [{"id": name, "hardcase_label": [], **gold.to_dict()} for name, gold in golds.items()]
    rows.append({"id": "broken.jpg", "symbols": ["C"], "bonds": [[0, 5, 1]]})
    (tmp_path / "dataset/images").mkdir(parents=True)
    lines = "\n".join(json.dumps(row) for row in rows)
    (tmp_path / "dataset/annotation.jsonl").write_text(lines)
    return tmp_path


def drawing(*labels: str) -> MolGraph:
    atoms = tuple(Atom(label, 40.0 * n, 10.0) for n, label in enumerate(labels))
    return MolGraph(atoms, tuple(Bond(n, n + 1) for n in range(len(labels) - 1)))


def test_what_recognize_writes_is_scored_in_the_three_tracks(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    read = [
        Recognition.from_graph("x/ether.jpg", drawing("MeO", "C", "C"), size=(120, 20)),
        Recognition.from_graph("x/label.jpg", drawing("Wombat", "C"), size=(120, 20)),
        Recognition.from_graph("x/dashed.jpg", drawing("C", "C"), size=(120, 20)),
        Recognition("x/broken.jpg", error="cannot be read"),
    ]
    out = data / "ours.carbon.jsonl"
    write_as(out, [one.to_dict() for one in read])
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["id"] for row in rows] == ["ether.jpg", "label.jpg", "dashed.jpg", "broken.jpg"]
    assert rows[0]["smiles"] == "CCOC"
    assert rows[3]["symbols"] == []

    gold = load_gold(data / "dataset/annotation.jsonl")
    assert [image for image, _ in gold.unscorable] == ["broken.jpg"]
    result = evaluate(gold, load_predictions(out), name="ours")
    shares = {key: (share.value, share.n) for key, share in result.shares().items()}
    # The SMILES of ether agrees; its label is spelt the other way round, which the graph sees.
    assert shares["wild_smiles"] == pytest.approx((1 / 3, 3))
    assert shares["exact"] == shares["wild_smiles"]
    assert shares["wild_simplified"] == (0.25, 4)
    assert shares["wild_graph"] == (0.25, 4)
    rows_of = {row.gold.image: row for row in result.rows}
    assert rows_of["label.jpg"].is_right
    assert not rows_of["dashed.jpg"].is_right

    arguments = ["evaluate", "--benchmark", "molrecbench-wild", "--data", str(data), str(out)]
    report = data / "report.html"
    assert main([*arguments, "--report", str(report), "--out", str(data / "s.json")]) == 0
    printed = capsys.readouterr().out
    assert "MolRecBench-Wild, simplified graph" in printed
    assert "MolRecBench-Wild" in report.read_text()


def test_another_tools_records_keep_the_kinds_that_no_graph_holds(data: Path) -> None:
    gold = load_gold(data / "dataset/annotation.jsonl")
    perfect = data / "perfect.jsonl"
    lines = (data / "dataset/annotation.jsonl").read_text().splitlines()[:-1]
    perfect.write_text("\n".join(lines))
    result = evaluate(gold, load_predictions(perfect), name="gold")
    assert result.shares()["wild_graph"].value == 1
    [dashed] = [row for row in result.rows if row.gold.image == "dashed.jpg"]
    assert dashed.prediction is not None
    assert dashed.prediction.graph is not None
    assert dashed.prediction.graph.bonds[0].order is BondOrder.DOUBLE


def test_predictions_of_the_smiles_track_are_rows_of_id_and_smiles(data: Path) -> None:
    (data / "smiles.jsonl").write_text('{"id": "ether.jpg", "smiles": "C([OMe])C"}\n')
    gold = load_gold(data / "dataset/annotation.jsonl")
    result = evaluate(gold, load_predictions(data / "smiles.jsonl"), name="text")
    assert result.shares()["wild_smiles"].value == pytest.approx(1 / 3)
