"""What papers draw round and between atoms goes through molfiles and CXSMILES and comes back."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rdkit import Chem

from eyesmol.chem.brackets import multiplied, not_multiplied
from eyesmol.chem.expansion import expand_abbreviations
from eyesmol.chem.graph import (
    Atom,
    Bond,
    BondOrder,
    Bracket,
    BracketKind,
    MolGraph,
    StereoGroup,
    StereoKind,
)
from eyesmol.chem.molfile import as_v3000, graph_to_molblock, parse_molblock
from eyesmol.chem.smiles import (
    graph_from_smiles,
    graph_to_cxsmiles,
    graph_to_smiles,
    molblock_to_smiles,
)
from eyesmol.evaluation.metrics import same_graph

# RDKit's V3000 loses a text that begins with a quotation mark, and no mark does.
marks = st.text(
    st.characters(codec="ascii", min_codepoint=33, exclude_characters="'\""),
    min_size=1,
    max_size=6,
)


def chain(labels: list[str], orders: list[BondOrder] | None = None, *brackets: Bracket) -> MolGraph:
    """Atoms in a zigzag, each bonded to the next."""
    atoms = tuple(
        Atom.from_text(label, 40 * n, 100 + 20 * (n % 2)) for n, label in enumerate(labels)
    )
    bonds = tuple(
        Bond(n, n + 1, order)
        for n, order in enumerate(orders or [BondOrder.SINGLE] * (len(atoms) - 1))
    )
    return MolGraph(atoms, bonds, brackets)


KINDS: list[BracketKind] = ["SRU", "MUL", "GEN"]


@st.composite
def drawings(draw: st.DrawFn) -> MolGraph:
    """A tree of carbon atoms on a grid, hung with whatever papers draw, in brackets that nest."""
    atoms, bonds = [Atom("C", 0, 0)], []

    def add(label: str, to: int, order: BondOrder = BondOrder.SINGLE) -> int:
        number = len(atoms)
        atoms.append(Atom.from_text(label, 40 * (number % 5), 40 * (number // 5)))
        bonds.append(Bond(to, number, order))
        return number

    for _ in range(draw(st.integers(1, 8))):
        free = [n for n in range(len(atoms)) if sum(n in (b.begin, b.end) for b in bonds) < 3]
        add("C", draw(st.sampled_from(free)))
    carbons = len(atoms)
    hung = st.sampled_from(["dative", "hydrogen", "any", "open", "[R1]", "[OMe]", "[Q]", "F"])
    for number, kind in enumerate(draw(st.lists(hung, max_size=4))):
        if kind == "dative":
            add("Pt", add("N", number % carbons), BondOrder.DATIVE)
        elif kind == "hydrogen":
            add("O", add("O", number % carbons), BondOrder.HYDROGEN)
        elif kind == "any":
            add("C", number % carbons, BondOrder.ANY)
        elif kind == "open":
            add("[*]", number % carbons, BondOrder.ATTACHMENT)
        else:
            add(kind, number % carbons)
    brackets: list[Bracket] = []
    for _ in range(draw(st.integers(0, 3))):
        atoms_inside = _branch(bonds, draw(st.integers(0, carbons - 1)))
        if len(atoms_inside) > 1 and draw(st.booleans()):
            cut = draw(st.sampled_from(sorted(atoms_inside)[1:]))
            atoms_inside -= _branch(bonds, cut)
        what = draw(st.sampled_from(KINDS))
        mark = str(draw(st.integers(1, 3))) if what == "MUL" else draw(marks)
        bracket = Bracket(tuple(atoms_inside), mark, what)
        if all(_is_nested(set(bracket.atoms), set(other.atoms)) for other in brackets):
            brackets.append(bracket)
    centres = draw(st.lists(st.integers(0, carbons - 1), unique=True, max_size=3))
    kinds: list[StereoKind] = ["ABS", "AND", "OR"]  # the absolute ones are one group in all files
    groups = [StereoGroup((n,), draw(st.sampled_from(kinds[min(i, 1) :])))
              for i, n in enumerate(centres)]  # fmt: skip
    return MolGraph(tuple(atoms), tuple(bonds), tuple(sorted(brackets)), tuple(sorted(groups)))


def _branch(bonds: list[Bond], start: int) -> set[int]:
    """An atom with all that was hung on it; bonds begin at the older atom."""
    found = {start}
    for bond in bonds:
        if bond.begin in found:
            found.add(bond.end)
    return found


def _is_nested(one: set[int], other: set[int]) -> bool:
    return one < other or other < one or not one & other


def said(graph: MolGraph) -> tuple[object, ...]:
    """All but the places."""
    return [a.text for a in graph.atoms], graph.bonds, graph.brackets, graph.stereo_groups


def is_repeatable(graph: MolGraph) -> bool:
    """False where a multiple group counts once, which is said and comes back as a repeat unit."""
    return not not_multiplied(graph)


@given(drawings().filter(is_repeatable))
@settings(max_examples=150)
def test_a_molblock_says_all_of_a_graph(graph: MolGraph) -> None:
    block = graph_to_molblock(graph)
    assert said(parse_molblock(block)) == said(graph)
    if "V3000" not in block:
        assert said(parse_molblock(as_v3000(block))) == said(graph)


@given(drawings().filter(is_repeatable))
@settings(max_examples=150)
def test_cxsmiles_says_all_of_a_graph_but_copies(graph: MolGraph) -> None:
    """Multiple groups are written out; groups of atoms that are no stereocentres go."""
    graph = MolGraph(graph.atoms, graph.bonds, graph.brackets)
    text = graph_to_cxsmiles(graph)
    assume(text)  # copies may be more than an atom can carry
    assert same_graph(graph_from_smiles(text or ""), multiplied(graph))


@given(drawings().filter(is_repeatable))
@settings(max_examples=60)
def test_smiles_and_molblock_are_the_same_molecule(graph: MolGraph) -> None:
    smiles, _ = graph_to_smiles(graph)
    assume(smiles is not None)
    block = graph_to_molblock(expand_abbreviations(graph)[0])
    assert molblock_to_smiles(block, repeat_once=True) == smiles


@pytest.mark.parametrize(
    ("labels", "atoms", "mark", "smiles"),
    [
        (["O", "C", "C", "N"], (1, 2), "3", "NCCCCCCO"),  # a row, head to tail
        (["O", "C", "N", "C"], (2, 3), "2", "CNC(O)NC"),  # hung on the atom outside
        (["O", "C"], (0, 1), "2", "CO.CO"),  # beside one another
        (["C", "[C2H4]", "N"], (1,), "2", "CCCCCN"),  # a label is repeated with all its atoms
    ],
)
def test_a_multiple_group_is_its_copies(
    labels: list[str], atoms: tuple[int, ...], mark: str, smiles: str
) -> None:
    graph = chain(labels, None, Bracket(atoms, mark, "MUL"))
    assert graph_to_smiles(graph) == (Chem.CanonSmiles(smiles), [])


def polyol(places: int, count: int) -> MolGraph:
    """A straight chain of CH(OH), each wedged alike, between a methyl and a chlorine."""
    xs = [40 * n for n in range(places + 2)]
    atoms = [Atom("C", xs[0], 0), *(Atom("C", x, 0) for x in xs[1:-1]), Atom("Cl", xs[-1], 0)]
    bonds = [Bond(n, n + 1) for n in range(places + 1)]
    for n in range(1, places + 1):
        bonds.append(Bond(n, len(atoms), BondOrder.SOLID_WEDGE))
        atoms.append(Atom("O", xs[n], -40))
    brackets = (Bracket((1, places + 2), str(count), "MUL"),) if count > 1 else ()
    return MolGraph(tuple(atoms), tuple(bonds), brackets)


def test_the_copies_have_the_stereo_of_what_is_drawn() -> None:
    """RDKit, given copies that lie on one another, would see other centres, or none."""
    expected, _ = graph_to_smiles(polyol(3, 1))
    assert expected is not None
    assert expected.count("@") == 3
    assert graph_to_smiles(polyol(1, 3)) == (expected, [])
    assert molblock_to_smiles(graph_to_molblock(polyol(1, 3))) == expected


@pytest.mark.parametrize("label", ["R1", "OMe", "[CO2-]"])
def test_labels_make_a_centre_in_cxsmiles_whatever_their_order(label: str) -> None:
    other = Atom.from_text(label, 40, 0)
    atoms = [Atom("C", 0, 0), other, Atom("Q", -40, 20), Atom("Cl", 0, -40)]
    text = graph_to_cxsmiles(
        MolGraph(tuple(atoms), (Bond(0, 1, BondOrder.SOLID_WEDGE), Bond(0, 2), Bond(0, 3)))
    )
    assert text is not None
    assert "@" in text
    turned = MolGraph(
        tuple(reversed(atoms)), (Bond(3, 2, BondOrder.SOLID_WEDGE), Bond(3, 1), Bond(3, 0))
    )
    assert graph_to_cxsmiles(turned) == text
    assert graph_to_cxsmiles(graph_from_smiles(text).transformed(40, 0, 0, flip=True)) == text


def test_what_cannot_be_repeated_counts_once_and_says_so() -> None:
    star = MolGraph(
        (Atom("C"), Atom("F", 40, 0), Atom("Cl", 0, 40), Atom("Br", -40, 0)),
        (Bond(0, 1), Bond(0, 2), Bond(0, 3)),
        (Bracket((0,), "2", "MUL"),),
    )
    assert graph_to_smiles(star) == (
        "FC(Cl)Br",
        ["brackets marked '2': what they enclose counts once"],
    )
    many = chain(["C"] * 9, None, Bracket(tuple(range(2, 8)), "999", "MUL"))
    assert graph_to_smiles(many)[1] == ["brackets marked '999': what they enclose counts once"]


def test_copies_that_are_moved_apart_are_still_copies() -> None:
    """Some programs lay them out; then they come in the order of the drawn ones."""
    block = graph_to_molblock(chain(list("OCCCN"), None, Bracket((1, 2), "2", "MUL")))
    lines = block.splitlines()
    at = [n for n, line in enumerate(lines) if line[31:34].strip() in ("O", "C", "N")]
    for n in at[5:]:
        lines[n] = f"{float(lines[n][:10]) + 7:10.4f}" + lines[n][10:]
    assert said(parse_molblock("\n".join(lines))) == said(parse_molblock(block))


def test_brackets_that_a_label_spells_are_no_brackets_of_the_drawing() -> None:
    block = graph_to_molblock(chain(list("NCCO"), None, Bracket((1,), "n")))
    tail = ["M  STY  1   2 SUP", "M  SAL   2  3   2   3   4", "M  SMT   2 (CH2)nCH2OH", "M  END"]
    graph = parse_molblock(block.replace("M  END", "\n".join(tail)))
    assert [atom.label for atom in graph.atoms] == ["N", "(CH2)nCH2OH"]
    assert graph.brackets == ()


def test_a_hollow_wedge_and_a_bold_bond_are_written_as_what_they_mean() -> None:
    atoms = (Atom("C"), Atom("N", 40, 0), Atom("F", -40, 0), Atom("Cl", 0, 40))
    for order, meaning in (
        (BondOrder.HOLLOW_WEDGE, BondOrder.SOLID_WEDGE),
        (BondOrder.BOLD, BondOrder.SINGLE),
    ):
        drawn, meant = (
            MolGraph(atoms, (Bond(0, 1, o), Bond(0, 2), Bond(0, 3))) for o in (order, meaning)
        )
        assert graph_to_molblock(drawn) == graph_to_molblock(meant)
        assert graph_to_smiles(drawn) == graph_to_smiles(meant)


@pytest.mark.parametrize(
    ("mark", "kind"), [("n", "SRU"), ("2", "MUL"), ("0", "SRU"), ("", "GEN"), ("1-4", "SRU")]
)
def test_a_mark_says_what_its_brackets_are(mark: str, kind: str) -> None:
    assert Bracket.marked([2, 0, 2], f" {mark} ") == Bracket((0, 2), mark, kind)  # type: ignore[arg-type]


def test_a_graph_refuses_groups_of_atoms_that_are_not_there() -> None:
    atoms = (Atom("C"), Atom("C", 40, 0))
    with pytest.raises(ValueError, match="atoms among 0 to 1"):
        MolGraph(atoms, (), (Bracket((1, 2), "n"),))
    with pytest.raises(ValueError, match="two stereo groups"):
        MolGraph(atoms, (), (), (StereoGroup((0,)), StereoGroup((0, 1), "OR")))
    with pytest.raises(ValueError, match="enclose no atom"):
        Bracket((), "n")
    with pytest.raises(ValueError, match="expected 1 to 999"):
        Bracket((0,), "n", "MUL")


def test_the_walk_renumbers_what_brackets_enclose() -> None:
    graph = chain(list("OCCN"), None, Bracket((1, 2), "n"))
    atoms = tuple(reversed(graph.atoms))
    turned = MolGraph(atoms, (Bond(0, 1), Bond(1, 2), Bond(2, 3)), graph.brackets)
    assert turned.walked().brackets == graph.walked().brackets
    counted = Counter(turned.walked().atoms[n].text for n in turned.walked().brackets[0].atoms)
    assert counted == {"C": 2}
