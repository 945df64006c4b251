"""Questions: every answer agrees with a computation of its own, every wrong option is wrong."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors
from rdkit.Chem.EnumerateStereoisomers import EnumerateStereoisomers

from data_preprocess.dataset.text_only import Sample, asked_in
from data_preprocess.sources.random_molecules import random_molecule
from data_preprocess.tasks.distractors import (
    near_formulas,
    near_molecules,
    wrong_formulas,
    wrong_molecules,
    wrong_stereoisomers,
)
from data_preprocess.tasks.groups import functional_groups
from data_preprocess.tasks.rings import ring_systems
from data_preprocess.tasks.subject import Facts, Subject
from data_preprocess.tasks.table import TASKS
from data_preprocess.tasks.task import Filling
from data_preprocess.tasks.walk import LINKS, PIECES

MOLECULES = (
    "CC(=O)Oc1ccccc1C(=O)O",
    "Cn1cnc2c1c(=O)n(C)c(=O)n2C",
    "CC(C)Cc1ccc([C@@H](C)C(=O)O)cc1",
    "OC[C@H]1OC(O)[C@H](O)[C@@H](O)[C@@H]1O",
    "CN1CC[C@]23c4c5ccc(O)c4O[C@H]2[C@@H](O)C=C[C@H]3[C@H]1C5",
    "CC(C)(C)OC(=O)N1CCC[C@H]1C(=O)O",
    r"C/C=C/C(=O)OC",
    r"OC/C=C\c1ccncc1",
    "O=S(=O)(Nc1ccccn1)c1ccc(Br)cc1",
    "FC(F)(F)Oc1ccc(C#N)cc1",
    "CC1=CC(=O)C=CC1=O",
    "O=C1CCCN1CC(O)CN1CCOCC1",
    "C1CC2CCC1C2",
    "C[C@@H]1CC[C@H](C(C)C)CC1O",
    "O=[N+]([O-])c1ccc2[nH]ccc2c1",
    "NC(N)=NCCC[C@H](N)C(=O)O",
    "CCOP(=O)(OCC)CC#CC",
    "c1ccc2c(c1)CCN2",
    "CC(C)=NO",
    "BrCCBr",
    "C[N+](C)(C)CCO",
    "[Na+].CC(=O)[O-]",
    "[2H]C([2H])([2H])O",
    "CCO",
    "C",
    "*c1ccc(Cl)cc1",
    "[1*]C(=O)N[C@@H]([2*])C(=O)O",
    "*.CCOC(C)=O",
)


@st.composite
def molecules(draw: st.DrawFn) -> str:
    """One of the molecules above, changed a few times at random."""
    smiles = draw(st.sampled_from(MOLECULES))
    rng = random.Random(draw(st.integers(0, 2**32)))
    for _ in range(draw(st.integers(0, 4))):
        smiles = next(iter(near_molecules(Chem.MolFromSmiles(smiles), 1, rng)), smiles)
    return smiles


def filled(task: str, smiles: str, seed: int = 0) -> Filling | None:
    return TASKS[task].fill(Facts(Subject(smiles)), random.Random(seed))


def answer(task: str, smiles: str) -> str | None:
    filling = filled(task, smiles)
    return filling["answer"] if filling else None


# ---- computed answers ----


def composition(mol: Chem.Mol) -> Counter[str]:
    return Counter(atom.GetSymbol() for atom in Chem.AddHs(mol).GetAtoms())


def parsed(formula: str) -> Counter[str]:
    atoms = re.findall(r"([A-Z][a-z]?)(\d*)", re.sub(r"[+-]\d*$", "", formula))
    return Counter({symbol: int(count or 1) for symbol, count in atoms})


@settings(max_examples=60)
@given(molecules())
def test_answers_agree_with_another_computation(smiles: str) -> None:
    mol = Chem.MolFromSmiles(smiles)
    table = Chem.GetPeriodicTable()
    atoms = composition(mol)
    heavy = Counter({symbol: n for symbol, n in atoms.items() if symbol not in ("H", "*")})
    parts = smiles.count(".") + 1
    bonds = mol.GetNumBonds() - sum(
        1 in (b.GetBeginAtom().GetAtomicNum(), b.GetEndAtom().GetAtomicNum())
        for b in mol.GetBonds()
    )
    rings = mol.GetNumBonds() - mol.GetNumAtoms() + parts
    kekule = Chem.MolToSmiles(mol, kekuleSmiles=True)
    halogens = sum(atoms[symbol] for symbol in ("F", "Cl", "Br", "I"))
    hydrogens = atoms["H"]
    unsaturation = (2 * atoms["C"] + 2 + atoms["N"] - hydrogens - halogens) / 2
    nitrogens_oxygens = [a for a in mol.GetAtoms() if a.GetSymbol() in ("N", "O")]
    expected = {
        "heavy_atoms": heavy.total(),
        "hetero_atoms": heavy.total() - heavy["C"],
        "elements": ", ".join(sorted(heavy, key=lambda symbol: (symbol != "C", symbol))),
        "hydrogens": hydrogens,
        "parts": parts,
        "open_places": atoms["*"],
        "ring_count": rings,
        "bonds": bonds,
        "weight": sum(table.GetAtomicWeight(s) * n for s, n in atoms.items()),
        "donors": sum(a.GetTotalNumHs() for a in nitrogens_oxygens),
        "acceptors": len(nitrogens_oxygens),
        "unsaturation": int(unsaturation),
    }
    for task, wanted in expected.items():
        found = answer(task, smiles)
        if found is None:
            continue
        if task == "weight":  # rounded
            assert abs(int(found) - float(str(wanted))) < 0.52, smiles
        else:
            assert found == str(wanted), (task, smiles)
    if (formula := answer("formula", smiles)) is not None:
        assert parsed(formula) == atoms, smiles
    filling = filled("multiple_bonds", smiles)
    if filling is not None:
        sign = {"double": "=", "triple": "#"}[filling["order"]]
        assert int(filling["answer"]) == kekule.count(sign), smiles
    if (sizes := answer("ring_sizes", smiles)) is not None:
        assert len(sizes.split(", ")) == rings, smiles


@settings(max_examples=60)
@given(molecules())
def test_stereo_agrees_with_another_computation(smiles: str) -> None:
    mol = Chem.MolFromSmiles(smiles)
    found = Chem.FindMolChiralCenters(mol, includeUnassigned=True, useLegacyImplementation=False)
    known = [label for _, label in found if label != "?"]
    if (centres := answer("stereocentres", smiles)) is not None:
        assert int(centres) == len(found), smiles
    if (drawn := answer("drawn_stereocentres", smiles)) is not None:
        assert int(drawn) == len(known), smiles
    if (labels := answer("r_and_s", smiles)) is not None:
        counts = {label: int(n) for n, label in (part.split() for part in labels.split(", "))}
        assert counts == Counter(known), smiles


def test_centres_that_two_methods_count_differently_are_not_asked_about() -> None:
    # quinuclidin-3-ol and adamantan-1-ol: RDKit's newer method counts the bridgeheads too
    for smiles in ("OC1CN2CCC1CC2", "OC12CC3CC(CC(C3)C1)C2"):
        for task in ("stereocentres", "drawn_stereocentres", "has_stereocentres", "r_and_s"):
            assert answer(task, smiles) is None, (task, smiles)
    assert answer("stereocentres", "CC(N)C(=O)O") == "1"


def test_boron_with_two_bonds_is_a_variable() -> None:
    for task in ("elements", "heavy_atoms", "formula", "has_element"):
        assert answer(task, "CCBc1ccccc1") is None
    assert answer("elements", "OB(O)c1ccccc1") == "C, B, O"


def test_configurations_of_known_compounds() -> None:
    assert answer("r_and_s", "C[C@H](N)C(=O)O") == "1 S"  # L-alanine
    assert answer("r_and_s", "N[C@@H](CS)C(=O)O") == "1 R"  # L-cysteine
    assert answer("e_and_z", "OC(=O)/C=C/C(=O)O") == "1 E"  # fumaric acid
    assert answer("e_and_z", r"CCCCCCCC/C=C\CCCCCCCC(=O)O") == "1 Z"  # oleic acid
    # No label but r and s, or no configuration at all: not asked.
    assert answer("r_and_s", "C[C@H]1CC[C@@H](C)CC1") is None
    assert answer("r_and_s", "CC(N)C(=O)O") is None
    assert answer("e_and_z", "CC=CC") is None


@pytest.mark.parametrize(
    ("smiles", "groups"),
    [
        ("CC(=O)Oc1ccccc1C(=O)O", {"carboxylic acid", "ester"}),
        ("CC(=O)Nc1ccc(O)cc1", {"amide", "phenol"}),
        ("COC(=O)C1CO1", {"ester", "epoxide"}),
        ("OCC1OC(O)C(O)C(O)C1O", {"hemiacetal", "alcohol"}),
        ("CC(C)(C)OC(=O)NC", {"carbamate"}),
        ("NC(=O)NC", {"urea"}),
        ("O=C1CCCO1", {"lactone"}),
        ("O=C1NC(=O)c2ccccc21", {"imide"}),
        ("CC(=O)N1CCOCC1", {"amide", "ether"}),
        ("O=S(=O)(Nc1ccccn1)c1ccc(Br)cc1", {"sulfonamide", "aryl halide"}),
        ("CS(=O)(=O)NC(C)=O", {"acyl sulfonamide"}),
        ("O=[N+]([O-])c1ccccc1C(F)(F)F", {"nitro group", "trifluoromethyl group"}),
        ("CN(C)C=C", {"enamine"}),
        ("CN(C)CC=C", {"tertiary amine", "alkene"}),
        ("O=C(C=Cc1ccccc1)c1ccccc1", {"ketone", "alkene"}),
        ("COCOC", {"acetal"}),
        ("c1ccncc1", set()),
        ("Cn1ccccc1=O", set()),
    ],
)
def test_functional_groups_do_not_overlap(smiles: str, groups: set[str]) -> None:
    found = functional_groups(Chem.MolFromSmiles(smiles))
    assert found is not None
    assert set(found.found) == groups
    assert not groups & set(found.absent)


@pytest.mark.parametrize(
    "smiles", ["O=C1CC(=O)NC(=O)N1", "CC(=O)N(C)OC", "C[Si](C)(C)Cl", "CN.Cl", "CN=C(SC)N"]
)
def test_an_incomplete_list_of_groups_is_no_list(smiles: str) -> None:
    assert functional_groups(Chem.MolFromSmiles(smiles)) is None
    assert answer("functional_groups", smiles) is None


def test_what_rdkit_alone_calls_aromatic_is_not_asked_about() -> None:
    """Is a coumarin a lactone? Its other groups stand, but the list is not asked for."""
    for smiles in ("O=c1ccc2cc(Br)ccc2o1", "O=c1[nH]c2ccc(Br)cc2c(=O)o1"):
        found = functional_groups(Chem.MolFromSmiles(smiles))
        assert found is not None
        assert found.found == {"aryl halide": 1}
        assert answer("functional_groups", smiles) is None
        assert answer("aromatic_rings", smiles) is None
        assert "functional groups" not in (answer("summary", smiles) or "")


def test_a_debatable_group_is_not_absent() -> None:
    """Is a lactone an ester, a pyridone a lactam, an oxime an imine? Nobody is asked."""
    for smiles, name in (("O=C1CCCO1", "ester"), ("O=c1cccc[nH]1", "lactam"), ("CC=NO", "imine")):
        found = functional_groups(Chem.MolFromSmiles(smiles))
        assert found is not None
        assert name not in (*found.found, *found.absent)


@pytest.mark.parametrize(
    ("smiles", "names"),
    [
        ("O=C(c1ccccc1)N1CCOCC1", ["benzene", "morpholine"]),
        ("O=C1CCCN1c1ccc2[nH]ccc2c1", ["indole", "pyrrolidin-2-one"]),
        ("O=C1CCCCC1", ["cyclohexane"]),
        ("c1ccc(-c2ccccc2)cc1", ["benzene", "benzene"]),
        # One rule for lactams, lactones and the like: a -one, or no name at all.
        ("O=C1COc2ccccc2N1", ["1,4-benzoxazin-3-one"]),
        ("c1ccc2OCCNc2c1", ["2,3-dihydro-1,4-benzoxazine"]),
        ("O=C1CSCCN1", None),
        ("O=C1CCNCC1", ["piperidine"]),
        ("C1CCC2(CC1)OCCO2", ["1,3-dioxolane", "cyclohexane"]),
        ("O=c1cc[nH]c2ccccc12", ["quinolin-4-one"]),
        ("CCO", []),
        ("O=c1ccc2cncnc2[nH]1", None),
        ("*1CCCC1", None),
    ],
)
def test_ring_systems_by_name(smiles: str, names: list[str] | None) -> None:
    assert ring_systems(Chem.MolFromSmiles(smiles)) == names


def test_a_walk_names_rings_links_and_substituents() -> None:
    assert answer("walk", "COc1ccc(Oc2ccncc2Cl)cc1") == (
        "The molecule is built on 2 ring systems: pyridine, benzene. The pyridine ring and the "
        "benzene ring are joined by an oxygen atom. The pyridine ring carries a chloro group. The "
        "benzene ring carries a methoxy group."
    )
    # The oxygen of a -one is in the name; what has no name is told by its atoms.
    assert answer("walk", "O=C1CCCN1c1ccc(CCCC#N)cc1") == (
        "The molecule is built on 2 ring systems: benzene, pyrrolidin-2-one. The pyrrolidin-2-one "
        "ring is bonded directly to the benzene ring. The benzene ring carries a group of 4 C and "
        "1 N."
    )
    for smiles in ("CCO", "O=C1CSCCN1", "[Na+].[O-]C(=O)c1ccccc1"):
        assert answer("walk", smiles) is None


@pytest.mark.parametrize("table", [PIECES, LINKS])
def test_every_piece_of_the_walks_tables_is_found(table: dict[str, str]) -> None:
    for smiles, name in table.items():
        found = answer("walk", smiles.replace("*", "C1CCCCC1"))
        assert found is not None
        assert name in found, (smiles, found)


# ---- wrong answers ----


@settings(max_examples=40)
@given(molecules(), st.integers(0, 2**32))
def test_wrong_molecules_are_other_molecules(smiles: str, seed: int) -> None:
    mol = Chem.MolFromSmiles(smiles)
    near = near_molecules(mol, 5, random.Random(seed))
    all_of_them = [Chem.MolFromSmiles(other) for other in (smiles, *near)]
    assert None not in all_of_them
    assert len({Chem.MolToSmiles(other) for other in all_of_them}) == len(near) + 1
    if "*" not in smiles:  # tautomers have one InChI
        assert len({Chem.MolToInchi(other) for other in all_of_them}) == len(near) + 1
    # A near miss: within two atoms of the true size.
    for other in all_of_them:
        assert abs(other.GetNumHeavyAtoms() - mol.GetNumHeavyAtoms()) <= 2


@settings(max_examples=20)
@given(molecules(), st.integers(0, 2**32))
def test_wrong_options_are_other_molecules(smiles: str, seed: int) -> None:
    mol = Chem.MolFromSmiles(smiles)
    wrong = wrong_molecules(mol, 3, random.Random(seed))
    assert len({Chem.CanonSmiles(other) for other in (smiles, *wrong)}) == len(wrong) + 1
    formulas = wrong_formulas(mol, 3, random.Random(seed))
    assert len({rdMolDescriptors.CalcMolFormula(mol), *formulas}) == len(formulas) + 1


@pytest.mark.parametrize(
    ("wrong", "write"),
    [
        (wrong_formulas, rdMolDescriptors.CalcMolFormula),
        (wrong_molecules, Chem.MolToSmiles),
    ],
)
def test_the_right_option_is_not_the_centre_of_the_others(
    wrong: Callable[..., list[str]], write: Callable[[Chem.Mol], str]
) -> None:
    """By the guess that found 90 % when all wrong ones were one step from the right one."""
    sample = Sample()
    for number in range(250):
        mol = Chem.MolFromSmiles(random_molecule(3, number))
        rng = random.Random(number)
        options = [write(mol), *wrong(mol, 3, rng)]
        if len(options) < 4:
            continue
        order = rng.sample(range(4), 4)
        lines = "\n".join(f"{'ABCD'[at]}. {options[n]}" for at, n in enumerate(order))
        turns = [{"value": f"Which?\n{lines}"}, {"value": "ABCD"[order.index(0)]}]
        asked = asked_in({"id": str(number), "task": "choice", "conversations": turns})
        assert asked is not None
        sample.add(asked)
    (found,) = sample.solved()
    assert found.rows > 200
    assert not found.is_guessable, found


def test_wrong_molecules_differ_where_no_inchi_tells() -> None:
    mol = Chem.MolFromSmiles("*c1ccc(Cl)cc1")
    for seed in range(20):
        near = near_molecules(mol, 6, random.Random(seed))
        assert len({"*c1ccc(Cl)cc1", *near}) == 7


@pytest.mark.parametrize(
    "smiles", ["C/C=C/[C@H](O)F", r"C/C=C\C/C=C/O", "C[C@H](N)[C@@H](O)Cl", "C[C@H](O)[C@@H](C)O"]
)
def test_wrong_stereoisomers_are_the_other_stereoisomers(smiles: str) -> None:
    mol = Chem.MolFromSmiles(smiles)
    flat = Chem.Mol(mol)
    Chem.RemoveStereochemistry(flat)
    every = {Chem.MolToSmiles(isomer) for isomer in EnumerateStereoisomers(flat)}
    for seed in range(5):
        found = wrong_stereoisomers(mol, 9, random.Random(seed))
        assert {Chem.MolToSmiles(mol), *found} <= every
        assert len({Chem.MolToSmiles(mol), *found}) == len(found) + 1 >= min(4, len(every))


@settings(max_examples=40)
@given(molecules(), st.integers(0, 2**32))
def test_wrong_formulas_are_other_formulas(smiles: str, seed: int) -> None:
    mol = Chem.MolFromSmiles(smiles)
    near = near_formulas(mol, 6, random.Random(seed))
    assert rdMolDescriptors.CalcMolFormula(mol) not in near
    assert len(set(near)) == len(near)
    assert all(parsed(formula) != composition(mol) for formula in near)


CHOICES = [task for task in TASKS if task.endswith("_choice")]


@pytest.mark.parametrize("task", CHOICES)
@settings(max_examples=30)
@given(smiles=molecules(), seed=st.integers(0, 2**32))
def test_only_the_lettered_option_is_right(task: str, smiles: str, seed: int) -> None:
    filling = filled(task, smiles, seed)
    if filling is None:
        return
    options = dict(line.split(". ", 1) for line in filling["options"].split("\n"))
    assert list(options) == ["A", "B", "C", "D"]
    assert len(set(options.values())) == 4
    mol = Chem.MolFromSmiles(smiles)
    groups = functional_groups(mol)

    def is_right(option: str) -> bool:
        if task == "formula_choice":
            return parsed(option) == composition(mol)
        if task == "group_choice":
            return groups is not None and option in groups.found
        if task == "ring_choice":
            return option in (ring_systems(mol) or [])
        return bool(Chem.CanonSmiles(option) == Chem.CanonSmiles(smiles))

    assert [letter for letter in options if is_right(options[letter])] == [filling["letter"]]
    assert options[filling["letter"]] == filling["answer"]


def test_each_letter_is_right_as_often_as_any_other() -> None:
    fillings = (filled("formula_choice", MOLECULES[seed % 10], seed) for seed in range(1_000))
    letters = Counter(filling["letter"] for filling in fillings if filling)
    assert letters.total() == 1_000
    # 250 each; five standard deviations are 68.
    assert all(abs(letters[letter] - 250) < 68 for letter in "ABCD")


ATOMIC_NUMBERS = {
    "nitrogen": 7, "oxygen": 8, "fluorine": 9, "phosphorus": 15, "sulfur": 16, "chlorine": 17,
    "bromine": 35,
}  # fmt: skip

# Task of a statement with what it states, and whether that is true.
STATEMENTS: dict[str, tuple[str, Callable[[Facts, str], bool]]] = {
    "is_formula": ("asked", lambda f, x: parsed(x) == composition(f.mol)),
    "is_smiles": ("asked", lambda f, x: Chem.CanonSmiles(x) == f.smiles),
    "has_group": ("group", lambda f, x: x in groups_of(f.mol)),
    "has_rings": ("number", lambda f, x: f.rings == int(x)),
    "has_heavy_atoms": ("number", lambda f, x: f.heavy_atoms == int(x)),
    "has_stereocentres": ("number", lambda f, x: centres_of(f.mol) == int(x)),
    "is_heavier": ("number", lambda f, x: f.weight > int(x)),
    "has_element": (
        "element",
        lambda f, x: f.mol.HasSubstructMatch(Chem.MolFromSmarts(f"[#{ATOMIC_NUMBERS[x]}]")),
    ),
}


def groups_of(mol: Chem.Mol) -> dict[str, int]:
    groups = functional_groups(mol)
    assert groups is not None
    return groups.found


def centres_of(mol: Chem.Mol) -> int:
    found = Chem.FindMolChiralCenters(mol, includeUnassigned=True, useLegacyImplementation=False)
    return len(found)


@pytest.mark.parametrize("task", STATEMENTS)
@settings(max_examples=15)
@given(smiles=molecules(), seed=st.integers(0, 2**32))
def test_yes_and_no_are_true(task: str, smiles: str, seed: int) -> None:
    filling = filled(task, smiles, seed)
    if filling is None:
        return
    field, is_true = STATEMENTS[task]
    facts = Facts(Subject(smiles))
    assert filling["answer"] == ("Yes" if is_true(facts, filling[field]) else "No")


@pytest.mark.parametrize("task", STATEMENTS)
def test_yes_is_as_likely_as_no(task: str) -> None:
    answers = Counter(
        filling["answer"]
        for seed in range(300)
        if (filling := filled(task, MOLECULES[seed % len(MOLECULES)], seed))
    )
    assert answers.total() > 50
    # An element or group that all or none of the molecules have makes one of the two rarer.
    assert abs(answers["Yes"] - answers.total() / 2) < 2.5 * answers.total() ** 0.5


# ---- what is not asked ----


def test_a_general_structure_is_asked_only_what_is_certain() -> None:
    fitting = {task for task in TASKS if filled(task, "[1*]c1ccc(Cl)cc1") is not None}
    assert fitting == {
        "smiles", "summary", "open_places", "parts", "core_rings", "smiles_choice", "is_smiles",
        "cannot_tell",
    }  # fmt: skip
    assert answer("open_places", "[1*]c1ccc(Cl)cc1") == "1"
    # A star beside the drawing is text, not an open place.
    assert answer("open_places", "*.CCOC(C)=O") is None


def test_a_salt_has_no_one_formula() -> None:
    for task in ("formula", "weight", "walk", "formula_choice", "functional_groups"):
        assert filled(task, "[Na+].CC(=O)[O-]") is None


def test_a_number_is_no_name() -> None:
    def name(text: str) -> Filling | None:
        return TASKS["name"].fill(Facts(Subject("CCO", name=text)), random.Random(0))

    assert name("ethanol") == {"answer": "ethanol"}
    assert name("AZD 9291 hydrate") is not None
    for number in ("CID 702", "64-17-5", "CHEMBL545", "SCHEMBL1234", "12345", " "):
        assert name(number) is None


def test_what_the_description_says_is_not_called_unknown() -> None:
    subject = Subject("CCO", description="A colourless liquid that boils at 78 °C.")
    facts = Facts(subject)
    asked = {
        filling["question"]
        for seed in range(300)
        if (filling := TASKS["cannot_tell"].fill(facts, random.Random(seed)))
    }
    assert not [question for question in asked if re.search("boil|colour|activity|first", question)]
    assert any("smell" in question for question in asked)
    bare = Facts(Subject("CC(N)C(=O)O"))
    fillings = [TASKS["cannot_tell"].fill(bare, random.Random(seed)) for seed in range(300)]
    own = {filling["question"] for filling in fillings if filling}
    assert "What is the boiling point of this compound?" in own
    assert "Is the stereocentre of this molecule R or S?" in own
