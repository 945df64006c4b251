"""SMILES with labels in brackets: one rule for R groups, abbreviations and variables."""

from __future__ import annotations

import pytest

from eyesmol.chem.graph import Atom, Bond, MolGraph
from eyesmol.chem.labelled_smiles import plain_smiles
from eyesmol.chem.smiles import canonical_smiles, graph_to_smiles


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("[R1]C", "[1*]C"),
        ("[Ra]C", "*C"),
        ("[Rb]C", "*C"),
        ("[Rb+].C", "[Rb+].C"),
        ("[X]C", "*C"),
        ("C[NBoc]C", "CN(C)C(=O)OC(C)(C)C"),
        ("C[CONH]N", "CC(=O)NN"),
        ("N[CONH]C", "NC(=O)NC"),
        ("C[SO2]C", "CS(C)(=O)=O"),
        ("[BF4-].C[N+](C)(C)C", "F[B-](F)(F)F.C[N+](C)(C)C"),
        ("[2HCl].CN", "Cl.Cl.CN"),
        ("C[C@@H](F)[OMe]", "C[C@@H](F)OC"),
        ("C[C@@H](F)[CONH]N", "C[C@@H](F)C(=O)NN"),
        # The bond to the label's second end would have to be made anew: left as it is.
        ("N[CONH][C@@H](C)F", "N*[C@@H](C)F"),
    ],
)
def test_labels_in_brackets(text: str, plain: str) -> None:
    assert canonical_smiles(plain_smiles(text)) == canonical_smiles(plain)


@pytest.mark.parametrize("label", ["NBoc", "SO2", "CONH", "Ra", "R1", "OMe", "Xyz"])
def test_a_label_means_the_same_in_a_smiles_and_in_a_graph(label: str) -> None:
    ends = 1 if label in ("Ra", "R1", "OMe", "Xyz") else 2
    atoms = (Atom("N"), Atom(label, 40, 0), Atom("C", 80, 0))
    graph = MolGraph(atoms[: ends + 1], tuple(Bond(i, i + 1) for i in range(ends)))
    text = f"N[{label}]" + "C" * (ends - 1)
    assert canonical_smiles(plain_smiles(text)) == graph_to_smiles(graph)[0]
