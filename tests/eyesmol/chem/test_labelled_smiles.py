"""SMILES with labels in brackets: one rule for R groups, abbreviations and variables."""

from __future__ import annotations

import pytest

from eyesmol.chem.graph import Atom, Bond, MolGraph
from eyesmol.chem.labelled_smiles import plain_smiles
from eyesmol.chem.smiles import canonical_smiles, graph_to_smiles
from eyesmol.recognition import Recognition


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
        # The bond to the label's second end is made anew; stereo at its other end stays.
        ("N[CONH][C@@H](C)F", "NC(=O)N[C@@H](C)F"),
        ("N[CONH][C@H]1CC[C@@H](F)O1", "NC(=O)N[C@H]1CC[C@@H](F)O1"),
        ("N[CONH]/C=C/F", "NC(=O)N/C=C/F"),
        # CXSMILES: labels behind the SMILES.
        ("*c1ccccc1 |$_R1;;;;;;$|", "[1*]c1ccccc1"),
        ("*C* |$R2;;_R12$|", "[2*]C[12*]"),
        ("*CC |$Ph;;$| name", "CCc1ccccc1"),
        ("C*N |$;SO2;$|", "CS(N)(=O)=O"),
        ("CC.* |$;;HCl$|", "CC.Cl"),
        ("*C |$_AP1;$|", "*C"),
        ("*C |$A_e;$|", "*C"),
        ("*C |$Xyz;$|", "*C"),
        ("C[C@H](O)F |&1:1|", "C[C@H](O)F"),
        # Which end of CONH is bound to which neighbour is known only where coordinates say so.
        ("C*N |$;CONH;$|", "C*N"),
        ("C*N |$;CONH;$,(0,0,;1,0,;2,0,)|", "CC(=O)NN"),
        ("C*N |$;CONH;$,(2,0,;1,0,;0,0,)|", "CNC(N)=O"),
        # Map numbers: of a dummy its R group, of an element nothing.
        ("[*:1]C", "[1*]C"),
        ("[CH3:1][CH3:2]", "CC"),
        ("CCO name", "CCO"),
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


def test_a_list_is_no_smiles() -> None:
    assert canonical_smiles(plain_smiles('["CCO", "CCN"]')) is None


@pytest.mark.parametrize(
    "labels", [("R1", "C"), ("OMe", "C"), ("Xyz", "C"), ("C", "NBoc", "C"), ("R", "C", "R3")]
)
def test_our_own_cxsmiles_is_the_same_molecule(labels: tuple[str, ...]) -> None:
    """What `eyesmol recognize` writes into its column ``cxsmiles`` scores as its ``smiles``."""
    atoms = tuple(Atom(label, 40 * n, 0) for n, label in enumerate(labels))
    graph = MolGraph(atoms, tuple(Bond(i, i + 1) for i in range(len(atoms) - 1)))
    read = Recognition.from_graph("a.png", graph, size=(200, 100))
    assert read.molecule.cxsmiles is not None
    assert canonical_smiles(plain_smiles(read.molecule.cxsmiles)) == read.smiles
