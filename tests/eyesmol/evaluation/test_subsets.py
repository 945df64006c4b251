"""Each gold row lands in the subsets that it belongs to."""

from __future__ import annotations

from eyesmol.chem.graph import Atom, Bond, MolGraph
from eyesmol.chem.smiles import graph_from_smiles
from eyesmol.evaluation.gold import Gold, GoldSet
from eyesmol.evaluation.metrics import Evaluation, evaluate
from eyesmol.evaluation.subsets import (
    SUBSETS,
    subset_comparisons,
    subset_dict,
    subset_shares,
    subset_table,
    subsets_of,
)
from eyesmol.recognition import Molecule, Recognition

ANISOLE = MolGraph((Atom("OMe"), Atom("Ph"), Atom("R1")), (Bond(0, 1), Bond(1, 2)))


def evaluation() -> Evaluation:
    """The first three are right, the others are not."""
    smiles = ["CCO", "C[C@H](N)O", "F/C=C\\Cl", "C" * 20 + "O", "CO.CC", "[1*]c1ccc(OC)cc1"]
    golds = [Gold(f"{n}.png", s, graph_from_smiles(s)) for n, s in enumerate(smiles)]
    golds[-1] = Gold("5.png", smiles[-1], ANISOLE)
    found = [Recognition(g.image, molecule=Molecule(g.smiles if n < 3 else "C"))
             for n, g in enumerate(golds)]  # fmt: skip
    return evaluate(GoldSet("gold", tuple(golds)), found, name="ours")


def test_rows_and_shares_of_each_subset() -> None:
    shares = {name: (s.n, round(s.value, 2)) for name, s in subset_shares(evaluation()).items()}
    assert shares == {
        "1 to 10 heavy atoms": (5, 0.6),
        "21 to 30 heavy atoms": (1, 0.0),
        "tetrahedral stereo": (1, 1.0),
        "cis/trans stereo": (1, 1.0),
        "no stereo": (4, 0.25),
        "abbreviations": (1, 0.0),
        "R groups": (1, 0.0),
        "several fragments": (1, 0.0),
    }


def test_table_has_a_column_each() -> None:
    table = subset_table([evaluation(), evaluation()])
    [line] = [line for line in table.splitlines() if line.startswith("  1 to 10")]
    assert line.split()[-3:] == ["5", "60.0", "60.0"]


def rival() -> Evaluation:
    """One that reads nothing of what `evaluation` reads, and all the rest."""
    ours = evaluation()
    found = [
        Recognition(row.gold.image, molecule=Molecule("C" if row.exact else row.gold.smiles))
        for row in ours.rows
    ]
    return evaluate(GoldSet("gold", tuple(row.gold for row in ours.rows)), found, name="rival")


def test_every_column_and_the_tests_by_subset() -> None:
    found = subset_dict([evaluation(), rival()])
    assert list(found) == [name for name in SUBSETS if name in subset_shares(evaluation())]
    small = found["1 to 10 heavy atoms"]
    assert small["rows"] == 5
    assert small["systems"]["ours"]["exact"]["value"] == 0.6
    assert small["systems"]["rival"]["exact"]["value"] == 0.4
    assert {"any_r", "tanimoto", "atom_f1", "bond_f1"} < set(small["systems"]["ours"])
    [test] = small["comparisons"]
    assert (test["only_first"], test["only_second"]) == (3, 2)
    assert "chirality" in found["tetrahedral stereo"]["systems"]["ours"]
    assert "graph" not in small["systems"]["ours"], "no system gives one"


def test_tests_are_of_the_rows_of_their_subset() -> None:
    [stereo] = subset_comparisons([evaluation(), rival()])["tetrahedral stereo"]
    assert (stereo.only_first, stereo.only_second, stereo.p_value) == (1, 0, 1)
    assert subset_comparisons([evaluation()])["R groups"] == []
    assert "in one of 8 tests" in subset_table([evaluation(), rival()])


def test_every_row_has_one_size() -> None:
    for smiles in ("[1*][2*]", "C", "C" * 60):
        assert sum("heavy" in s or "more" in s for s in subsets_of(Gold("a", smiles))) == 1
