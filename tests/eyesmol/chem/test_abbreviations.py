"""The reader of labels: acronyms, condensed formulas either way round, labels with two ends."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eyesmol.chem.expansion import expand_abbreviations, read_label
from eyesmol.chem.graph import Atom, Bond, BondOrder, MolGraph
from eyesmol.chem.smiles import canonical_smiles, graph_to_smiles

from .conftest import written

# Labels of real patents that are hard in one way each.
ONE_BOND = {
    "OMe": "[1*]OC",
    "MeO": "[1*]OC",
    "H3CO2S": "[1*]S(C)(=O)=O",
    "MeO2SO": "[1*]OS(C)(=O)=O",
    "EtO2CHN": "[1*]NC(=O)OCC",
    "SO2NH2": "[1*]S(N)(=O)=O",
    "SOCH3": "[1*]S(C)=O",
    "CO2tBu": "[1*]C(=O)OC(C)(C)C",
    "O2N": "[1*][N+](=O)[O-]",
    "COO-": "[1*]C(=O)[O-]",
    "NMe3+": "[1*][N+](C)(C)C",
    "CH2OCOCH3": "[1*]COC(C)=O",
    "OCH2CHOHCH2NH2": "[1*]OCC(O)CN",
    "CH2CH2C(O)OCH2CH3": "[1*]CCC(=O)OCC",
    "C18H37HNOC": "[1*]C(=O)NCCCCCCCCCCCCCCCCCC",
    "(H5C2)2N": "[1*]N(CC)CC",
    "(C2H4O)2H": "[1*]CCOCCO",
    "Me(H)N": "[1*]NC",
    "NBoc": None,  # one bond too few: kept as a label
    "CO2CysPr": "[1*]C(=O)ON[C@@H](CS)C(=O)CCC",
    "FmocHN": "[1*]NC(=O)OCC1c2ccccc2-c2ccccc21",
    "CHCH2": "[1*]C=C",
    "N(SO2CH3)2": "[1*]N(S(C)(=O)=O)S(C)(=O)=O",
    "P(O)(OEt)2": "[1*]P(=O)(OCC)OCC",
    "NHR8": "[1*]N[8*]",
    "Xyz": None,
}


@pytest.mark.parametrize(("label", "smiles"), ONE_BOND.items())
def test_labels_with_one_bond(label: str, smiles: str | None) -> None:
    assert written(read_label(label, [1])) == (smiles and canonical_smiles(smiles))


@pytest.mark.parametrize(
    ("label", "orders", "smiles"),
    [
        ("PMBN", (1, 1), "[1*]N([2*])Cc1ccc(OC)cc1"),
        ("SO2", (1, 1), "[1*]S([2*])(=O)=O"),
        ("O2S", (1, 1), "[1*]S([2*])(=O)=O"),
        ("CONH", (1, 1), "[1*]C(=O)N[2*]"),
        ("HNOC", (1, 1), "[1*]NC([2*])=O"),
        ("(CH2)4O", (1, 1), "[1*]CCCCO[2*]"),
        ("CH2CH", (1, 2), "[1*]CC=[2*]"),
        ("CH2CH2CH", (1, 1, 1), "[1*]CCC([2*])[3*]"),
        ("CH2CH2CHCH2CH3", (1, 1), "[1*]CCC([2*])CC"),
        ("O(H)", (1, 1), "[1*]O[2*]"),  # a hydrogen gives way to what is drawn
    ],
)
def test_labels_with_more_bonds(label: str, orders: tuple[int, ...], smiles: str) -> None:
    assert written(read_label(label, orders), orders) == canonical_smiles(smiles)


def test_of_two_readings_the_neighbour_decides() -> None:
    assert written(read_label("SCN", [1])) == "[1*]SC#N"
    assert written(read_label("SCN", [1], from_right=True)) == canonical_smiles("[1*]N=C=S")


@pytest.mark.parametrize(
    ("label", "smiles"), [("2HCl", "Cl.Cl"), ("• H2O", "O"), ("TFA", "O=C(O)C(F)(F)F")]
)
def test_what_stands_alone(label: str, smiles: str) -> None:
    assert written(read_label(label, []), ()) == smiles


# A chain written as a formula: its links, the SMILES of each, and an end.
LINKS = {
    "CH2": "C",
    "NH": "N",
    "O": "O",
    "CO": "C(=O)",
    "SO2": "S(=O)(=O)",
    "S": "S",
    "CF2": "C(F)(F)",
}
MIRRORED = {"CH2": "H2C", "NH": "HN", "CO": "OC", "SO2": "O2S", "CF2": "F2C"}
ENDS = {"CH3": ("H3C", "C"), "Ph": ("Ph", "c1ccccc1"), "Boc": ("Boc", "C(=O)OC(C)(C)C"),
        "CF3": ("F3C", "C(F)(F)F"), "N(CH3)2": ("(H3C)2N", "N(C)C")}  # fmt: skip


@given(st.lists(st.sampled_from(["NH", "O", "CO", "SO2", "CF2"]), max_size=4),
       st.sampled_from(sorted(ENDS)))  # fmt: skip
def test_a_written_chain_reads_back_either_way_round(links: list[str], end: str) -> None:
    """Carbon between the links keeps the text unambiguous: COO is CO, O and C, O, O."""
    chain = [part for link in links for part in ("CH2", link)] + ["CH2"]
    forward = "".join(chain) + end
    backward = ENDS[end][0] + "".join(MIRRORED.get(part, part) for part in reversed(chain))
    expected = canonical_smiles("[1*]" + "".join(LINKS[part] for part in chain) + ENDS[end][1])
    assert written(read_label(forward, [1])) == expected
    assert written(read_label(backward, [1], from_right=True)) == expected


@example("N", [2, 3], False)  # no nitrogen of five bonds
@given(st.text(alphabet=list("CHONSPFBrlMePhEtBocR()[]0123456789+-•= "), max_size=100),
       st.lists(st.integers(1, 3), max_size=7), st.booleans())  # fmt: skip
def test_any_text_gives_a_sane_fragment_or_none(
    text: str, orders: list[int], from_right: bool
) -> None:
    fragment = read_label(text, orders, from_right=from_right)
    if fragment is not None:
        assert len(fragment.sites) == len(orders)
        assert written(fragment, tuple(orders)) is not None


def test_the_left_end_is_bound_to_the_left_neighbour() -> None:
    bonds = (Bond(0, 1), Bond(1, 2))
    for left, right, smiles in (("N", "O", "NC(=O)NO"), ("O", "N", "NNC(=O)O")):
        atoms = (Atom(left, 0, 0), Atom("CONH", 40, 20), Atom(right, 80, 0))
        assert graph_to_smiles(MolGraph(atoms, bonds)) == (canonical_smiles(smiles), [])


def test_a_wedge_to_a_two_ended_label_stays_valid() -> None:
    atoms = (Atom("C", 40, 40), Atom("F", 0, 60), Atom("Cl", 40, 80), Atom("SO2", 80, 20),
             Atom("C", 120, 40))  # fmt: skip
    bonds = (Bond(0, 1), Bond(0, 2), Bond(0, 3, BondOrder.SOLID_WEDGE), Bond(3, 4))
    oxygens = (Atom("O", 70, 0), Atom("O", 90, 0))
    double = (Bond(3, 5, BondOrder.DOUBLE), Bond(3, 6, BondOrder.DOUBLE))
    hidden = MolGraph((*atoms[:3], Atom("S", 80, 20), atoms[4], *oxygens), (*bonds, *double))
    found = graph_to_smiles(MolGraph(atoms, bonds))
    assert "@" in str(found[0])
    assert found == graph_to_smiles(hidden)


def test_boron_has_three_bonds_and_a_variable_fewer() -> None:
    def around(bonds: int) -> MolGraph:
        atoms = [Atom("B", 0, 0), *(Atom("C", x, 50) for x in range(bonds))]
        return MolGraph(tuple(atoms), tuple(Bond(0, n + 1, BondOrder.SINGLE) for n in range(bonds)))

    assert [graph_to_smiles(around(bonds))[0] for bonds in (1, 2, 3)] == ["*C", "C*C", "CB(C)C"]


def test_an_element_symbol_may_be_a_variable_or_a_group() -> None:
    def chain(label: str, **changes: int) -> str | None:
        return graph_to_smiles(MolGraph((Atom("C"), Atom(label, 40, 0, **changes)), (Bond(0, 1),)))[
            0
        ]

    assert chain("Ac") == "CC(C)=O"
    assert chain("Ar") == chain("Y") == "*C"
    assert chain("Si") == "C[SiH3]"
    assert graph_to_smiles(MolGraph((Atom("Ar"),)))[0] == "[Ar]"
    assert graph_to_smiles(MolGraph((Atom("Y", charge=3),)))[0] == "[Y+3]"


def test_what_does_not_expand_stays_and_is_reported() -> None:
    graph = MolGraph((Atom("C"), Atom("Xyz", 40, 0)), (Bond(0, 1),))
    assert expand_abbreviations(graph)[0] == graph
    smiles, problems = graph_to_smiles(graph)
    assert smiles == "*C"
    assert "'Xyz'" in problems[0]
