"""Assembly: from probabilities to molecules; what is impossible is changed, and said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eyesmol.chem.graph import BondOrder
from eyesmol.detector.assembly import Assembly, assembled
from eyesmol.detector.detection import Detection
from eyesmol.detector.vocabulary import BondClass

Label = str | Mapping[str, float]
Kind = BondClass | Mapping[BondClass, float]
Spot = tuple[float, float]

SINGLE, DOUBLE, TRIPLE = BondClass.SINGLE, BondClass.DOUBLE, BondClass.TRIPLE
WEDGE, WEDGE_BACK = BondClass.WEDGE, BondClass.WEDGE_BACK
LENGTH = 30.0


def _detection(
    labels: Sequence[Label], bonds: Mapping[tuple[int, int], Kind], spots: Sequence[Spot]
) -> Detection:
    """A detection: sure of what is given as it is, spots in bond lengths."""
    options = [{one: 0.98} if isinstance(one, str) else dict(one) for one in labels]
    rows = np.zeros((len(bonds), len(BondClass)), np.float32)
    for row, kind in zip(rows, bonds.values(), strict=True):
        for one, p in ({kind: 0.97} if isinstance(kind, BondClass) else kind).items():
            row[one] = p
        row[BondClass.NONE] += 1 - row.sum()
    return Detection(
        np.array(spots, np.float32).reshape(-1, 2) * LENGTH,
        tuple(options),
        np.array(list(bonds), np.int64).reshape(-1, 2),
        rows,
        LENGTH,
        1.0,
    )


def _chain(labels: Sequence[Label], kinds: Sequence[Kind]) -> Assembly:
    """Labels in a zigzag, each bonded to the next."""
    spots = [(0.87 * k, 0.5 * (k % 2)) for k in range(len(labels))]
    bonds = {(k, k + 1): kind for k, kind in enumerate(kinds)}
    return assembled(_detection(labels, bonds, spots))


def test_what_is_sure_and_possible_is_taken() -> None:
    found = _chain(["C", "C", "O"], [SINGLE, SINGLE])
    assert found.smiles == "CCO"
    assert found.changes == ()
    assert found.atom_confidence == pytest.approx((0.98,) * 3)
    assert found.bond_confidence == pytest.approx((0.97,) * 2)
    assert found.log_probability < 0
    places = [(atom.x, atom.y) for atom in found.graph.atoms]
    assert places[1] == pytest.approx((0.87 * LENGTH, 0.5 * LENGTH))


def test_nothing_is_no_molecule() -> None:
    found = assembled(_detection([], {}, []))
    assert (found.smiles, found.graph.atoms, found.changes) == (None, (), ())


def test_an_atom_that_is_likelier_none_is_left_out() -> None:
    found = _chain(["C", "C", {"O": 0.3}], [SINGLE, SINGLE])
    assert found.smiles == "CC"


# ---- valence ----


def test_an_unsure_label_gives_way_to_its_bonds() -> None:
    """N with two double bonds is likelier C, if C is likely at all."""
    found = _chain(["C", {"N": 0.55, "C": 0.44}, "C"], [DOUBLE, DOUBLE])
    assert found.smiles == "C=C=C"
    assert found.changes == ("N was read as C: an impossible valence (cost 0.2)",)


def test_an_unsure_bond_gives_way_to_a_sure_label() -> None:
    unsure = {DOUBLE: 0.52, SINGLE: 0.47}
    found = _chain(["C", "O", "C"], [unsure, SINGLE])
    assert found.smiles == "COC"
    assert "a double bond was read as single: an impossible valence" in found.changes[0]


def test_the_cheapest_of_several_changes_is_made() -> None:
    cheap, dear = {DOUBLE: 0.52, SINGLE: 0.47}, {DOUBLE: 0.9, SINGLE: 0.09}
    found = _chain(["C", "O", "C"], [dear, cheap])
    assert [bond.order for bond in found.graph.bonds] == [BondOrder.SINGLE, BondOrder.SINGLE]
    assert len(found.changes) == 2
    assert "cost 0.1" in found.changes[0], "first the cheap one, which was not enough"


def test_five_bonds_of_a_carbon_lose_the_least_likely() -> None:
    spots = [(0, 0), (1, 0.1), (-0.9, 0.4), (0.2, 1), (-0.3, -1), (0.8, -0.7)]
    bonds: dict[tuple[int, int], Kind] = {(0, k): SINGLE for k in range(1, 5)}
    bonds[(0, 5)] = {SINGLE: 0.6}
    found = assembled(_detection(["C", "F", "Cl", "Br", "I", "F"], bonds, spots))
    assert found.smiles is not None
    assert "(Cl)(Br)" in found.smiles or "Br" in found.smiles
    assert len(found.graph.bonds) == 4
    assert found.changes


def test_an_aromatic_ring_that_cannot_be_is_repaired() -> None:
    """Five carbons with aromatic bonds have no Kekule form: a doubtful bond of it is given up."""
    turn = np.arange(5) * 2 * np.pi / 5
    spots = [(0.85 * float(np.cos(t)), 0.85 * float(np.sin(t))) for t in turn]
    bonds: dict[tuple[int, int], Kind] = {(k, k + 1): BondClass.AROMATIC for k in range(4)}
    bonds[(0, 4)] = BondClass.AROMATIC
    labels: list[Label] = ["C", "C", "C", "C", {"C": 0.6, "N": 0.39}]
    found = assembled(_detection(labels, bonds, spots))
    assert found.smiles is not None
    assert found.changes, "and said so"


_KINDS: list[BondClass] = [kind for kind in BondClass if kind != BondClass.NONE]


@st.composite
def _anything(draw: st.DrawFn) -> Detection:
    count = draw(st.integers(1, 9))
    texts = st.sampled_from(["C", "N", "O", "F", "S", "[N+]", "[O-]", "[OMe]", "[R1]", "*", "[Q]"])
    share = st.floats(0.01, 1.0)
    labels = []
    for options in draw(
        st.lists(st.dictionaries(texts, share, max_size=3), min_size=count, max_size=count)
    ):
        total = max(sum(options.values()), 1.0)
        labels.append({text: p / total for text, p in options.items()})
    pairs = [(a, b) for a in range(count) for b in range(a + 1, count)]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=14)) if pairs else []
    kinds = st.dictionaries(st.sampled_from(_KINDS), st.floats(0.01, 0.49), max_size=2)
    bonds: dict[tuple[int, int], Kind] = {pair: draw(kinds) for pair in sorted(chosen)}
    spots = draw(
        st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=count, max_size=count,
                 unique=True)
    )  # fmt: skip
    return _detection(labels, bonds, spots)


@given(_anything())
def test_anything_gives_an_assembly(detection: Detection) -> None:
    """Total, consistent with itself, and the same again."""
    found = assembled(detection)
    assert len(found.atom_confidence) == len(found.graph.atoms)
    assert len(found.bond_confidence) == len(found.graph.bonds)
    assert all(0 <= p <= 1.001 for p in (*found.atom_confidence, *found.bond_confidence))
    assert found.log_probability <= 0.01
    assert found == assembled(detection)


# ---- lines that cross, parts ----


def _cross(middle: Label) -> Detection:
    """A ring with two substituents whose long lines cross at a junction that is none."""
    ring = [(0.0, 0.0), (1.0, 0.0), (1.5, 0.87), (1.0, 1.73), (0.0, 1.73), (-0.5, 0.87)]
    # Two bonds, from (1, 0) to (2, -1) and from (1.9, -0.1)... cross in their middles.
    lines = [(3.0, 0.0), (3.7, 0.7), (3.7, 0.0), (3.0, 0.7), (3.35, 0.35)]
    labels: list[Label] = ["C"] * 10
    bonds: dict[tuple[int, int], Kind] = {(k, k + 1): SINGLE for k in range(5)}
    bonds[(0, 5)] = SINGLE
    bonds |= {(k, 10): SINGLE for k in (6, 7, 8, 9)}
    bonds[(2, 6)] = SINGLE  # so that all hangs together
    bonds[(7, 8)] = SINGLE
    return _detection([*labels, middle], bonds, [*ring, *lines])


def test_two_lines_that_cross_are_no_atom() -> None:
    found = assembled(_cross("C"))
    assert len(found.graph.atoms) == 10
    assert any("two lines that cross" in change for change in found.changes)
    ends = {frozenset((bond.begin, bond.end)) for bond in found.graph.bonds}
    assert {frozenset((6, 7)), frozenset((8, 9))} <= ends


def test_a_letter_where_lines_cross_stays_an_atom() -> None:
    found = assembled(_cross("Si"))
    assert len(found.graph.atoms) == 11
    assert not any("cross" in change for change in found.changes)


def test_a_faint_bond_that_joins_two_parts_is_taken() -> None:
    faint = {SINGLE: 0.2}
    found = _chain(["C", "C", "C", "C"], [SINGLE, faint, SINGLE])
    assert found.smiles == "CCCC"
    assert found.changes == ("a faint bond (probability 0.20) was taken: it joins parts",)


def test_what_is_hardly_seen_joins_nothing() -> None:
    found = _chain(["C", "C", "C", "C"], [SINGLE, {SINGLE: 0.01}, SINGLE])
    assert found.smiles == "CC.CC"


# ---- labels alone ----


def _beside(labels: Sequence[Label], lone: Label) -> Assembly:
    """A chain of labels, and one more that stands alone."""
    spots = [(0.87 * k, 0.5 * (k % 2)) for k in range(len(labels))]
    bonds: dict[tuple[int, int], Kind] = {(k, k + 1): SINGLE for k in range(len(labels) - 1)}
    return assembled(_detection([*labels, lone], bonds, [*spots, (8.0, 3.0)]))


@pytest.mark.parametrize(
    ("chain", "lone", "smiles"),
    [
        (["C", "C", "N"], "[HCl]", "CCN.Cl"),
        (["C", "C", "[O-]"], "[Na+]", "CC[O-].[Na+]"),
        (["C", "C", "O"], "[H2O]", "CCO.O"),
        (["C", "C", "N"], "Cl", "CCN.Cl"),
        # What balances no charge, says nothing, or is hardly there is a speck or a caption.
        (["C", "C", "O"], "[Na+]", "CCO"),
        (["C", "C", "O"], "C", "CCO"),
        (["C", "C", "O"], "N", "CCO"),
        (["C", "C", "O"], "*", "CCO"),
        (["C", "C", "O"], "[Xyz]", "CCO"),
        (["C", "C", "N"], {"[HCl]": 0.05}, "CCN"),
        (["C", "C", "N"], {"[HCl]": 0.4}, "CCN.Cl"),  # spelt so, it is rarely a caption
    ],
)
def test_a_label_alone_stays_where_it_means_something(
    chain: list[str], lone: Label, smiles: str
) -> None:
    assert _beside(chain, lone).smiles == smiles


def test_a_small_unsure_part_beside_a_large_one_goes() -> None:
    labels: list[Label] = ["C", "C", "C", "O", {"N": 0.55}, {"C": 0.6}]
    bonds: dict[tuple[int, int], Kind] = {(0, 1): SINGLE, (1, 2): SINGLE, (2, 3): SINGLE,
                                          (4, 5): {SINGLE: 0.55}}  # fmt: skip
    spots = [(0.0, 0.0), (0.9, 0.5), (1.7, 0.0), (2.6, 0.5), (7.0, 3.0), (8.0, 3.0)]
    assert assembled(_detection(labels, bonds, spots)).smiles == "CCCO"
    labels[4:], bonds[(4, 5)] = ["N", "C"], SINGLE
    assert assembled(_detection(labels, bonds, spots)).smiles == "CCCO.CN"


# ---- wedges ----


def _stereo(kind: BondClass, labels: Sequence[str] = ("C", "F", "Cl", "Br")) -> Assembly:
    """A centre with three neighbours; the bond to the first is a wedge."""
    spots = [(0.0, 0.0), (0.0, -1.0), (0.87, 0.5), (-0.87, 0.5)]
    bonds: dict[tuple[int, int], Kind] = {(0, 1): kind, (0, 2): SINGLE, (0, 3): SINGLE}
    return assembled(_detection(labels, bonds, spots))


def test_wedges_and_hashes_are_each_others_mirror() -> None:
    wedge, hashed = _stereo(WEDGE).smiles, _stereo(BondClass.HASH).smiles
    assert wedge is not None
    assert hashed is not None
    assert "@" in wedge
    assert wedge != hashed
    assert wedge.replace("@", "") == hashed.replace("@", "")


def test_a_wedge_with_its_narrow_end_at_a_lone_end_is_turned() -> None:
    turned = _stereo(WEDGE_BACK)
    assert turned.smiles == _stereo(WEDGE).smiles
    assert "a wedge was turned round" in turned.changes[0]
    assert turned.graph.bonds[0].begin == 0


def test_the_narrow_end_comes_first() -> None:
    spots = [(0.0, -1.0), (0.0, 0.0), (0.87, 0.5), (-0.87, 0.5)]
    bonds: dict[tuple[int, int], Kind] = {(0, 1): WEDGE_BACK, (1, 2): SINGLE, (1, 3): SINGLE}
    found = assembled(_detection(["F", "C", "Cl", "Br"], bonds, spots))
    bond = found.graph.bonds[0]
    assert (bond.begin, bond.end, bond.order) == (1, 0, BondOrder.SOLID_WEDGE)
    assert found.changes == ()
    assert found.smiles == _stereo(WEDGE).smiles


def test_a_wavy_bond_leaves_the_centre_open() -> None:
    found = _stereo(BondClass.WAVY)
    assert found.smiles is not None
    assert "@" not in found.smiles
    assert found.graph.bonds[0].order == BondOrder.WAVY


def _acid_and(lone: Label) -> Assembly:
    """Acetate, its minus nearly lost, and a label beside it."""
    anion = {"O": 0.9, "[O-]": 0.08}
    spots = [(0, 0), (0.87, 0.5), (1.73, 0), (0.87, 1.5), (6, 0)]
    bonds: dict[tuple[int, int], Kind] = {(0, 1): SINGLE, (1, 2): DOUBLE, (1, 3): SINGLE}
    return assembled(_detection(["C", "C", "O", anion, lone], bonds, spots))


def test_a_faint_label_that_spells_a_species_is_taken() -> None:
    found = _beside(["C", "C", "O"], {"[CH3SO3H]": 0.12, "*": 0.05})
    assert found.smiles == "CCO.CS(=O)(=O)O"
    assert any("species" in change for change in found.changes)
    chain = ["C", "C", "O"]
    assert _beside(chain, {"[Fig]": 0.3}).smiles == "CCO"
    assert _beside(chain, {"I": 0.3}).smiles == "CCO"
    assert _beside(chain, {"[HCl]": 0.1, "*": 0.39}).smiles == "CCO"  # nobody knows what it says


def test_a_species_of_which_two_letters_were_seen_is_one() -> None:
    faint = {"[HCl]": 0.2}
    chain: dict[tuple[int, int], Kind] = {(0, 1): SINGLE, (1, 2): SINGLE}
    spots = [(0, 0), (0.87, 0.5), (1.73, 0), (5, 0)]
    near = assembled(_detection(["C", "C", "O", faint, faint], chain, [*spots, (5.6, 0)]))
    assert near.smiles == "CCO.Cl"
    apart = assembled(_detection(["C", "C", "O", faint, faint], chain, [*spots, (9, 0)]))
    assert apart.smiles == "CCO.Cl.Cl"


def test_a_methyl_that_was_spelt_badly_is_no_metal() -> None:
    assert _chain(["C", "O", {"C": 0.2, "[ClHg]": 0.5}], [SINGLE, SINGLE]).smiles == "COC"
    grignard = _chain(["C", "C", {"C": 0.01, "[MgBr]": 0.9}], [SINGLE, SINGLE])
    assert grignard.smiles == "C[CH2][Mg][Br]"


@pytest.mark.parametrize(("end", "smiles"), [((2.0, 0.0), "CC#N"), ((1.5, 0.87), "CC=N")])
def test_a_line_that_goes_straight_on_tells_a_triple_bond(end: Spot, smiles: str) -> None:
    narrow = {DOUBLE: 0.95, TRIPLE: 0.03}
    bonds: dict[tuple[int, int], Kind] = {(0, 1): SINGLE, (1, 2): narrow}
    found = assembled(_detection(["C", "C", "N"], bonds, [(0.0, 0.0), (1.0, 0.0), end]))
    assert found.smiles == smiles
    assert bool(found.changes) == (smiles == "CC#N")


def test_an_ion_tells_that_an_oxygen_is_an_anion() -> None:
    found = _acid_and("[Na+]")
    assert found.smiles == "CC(=O)[O-].[Na+]"
    assert any("balances" in change for change in found.changes)
    assert _acid_and("[HCl]").smiles == "CC(=O)O.Cl"
