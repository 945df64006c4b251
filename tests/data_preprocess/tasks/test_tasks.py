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

from data_preprocess.tasks.distractors import near_formulas, near_molecules, stereoisomers
from data_preprocess.tasks.groups import functional_groups
from data_preprocess.tasks.rings import ring_systems
from data_preprocess.tasks.subject import Facts, Subject
from data_preprocess.tasks.table import TASKS
from data_preprocess.tasks.task import Filling

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
        "weight": f"{sum(table.GetAtomicWeight(s) * n for s, n in atoms.items()):.2f}",
        "exact_mass": f"{sum(table.GetMostCommonIsotopeMass(s) * n for s, n in atoms.items()):.4f}",
        "tpsa": f"{sum(rdMolDescriptors._CalcTPSAContribs(mol)):.1f}",
        "donors": sum(a.GetTotalNumHs() for a in nitrogens_oxygens),
        "acceptors": len(nitrogens_oxygens),
        "unsaturation": int(unsaturation),
    }
    for task, wanted in expected.items():
        found = answer(task, smiles)
        if found is None:
            continue
        if task in ("weight", "exact_mass"):  # sums of rounded tables differ in the last place
            tolerance = 0.02 if task == "weight" else 0.002
            assert float(found) == pytest.approx(float(str(wanted)), abs=tolerance), (task, smiles)
        else:
            assert found == str(wanted), (task, smiles)
    if (formula := answer("formula", smiles)) is not None:
        assert parsed(formula) == atoms, smiles
    if (logp := answer("logp", smiles)) is not None:
        parts_of_logp = rdMolDescriptors._CalcCrippenContribs(Chem.AddHs(mol))
        assert float(logp) == pytest.approx(sum(p for p, _ in parts_of_logp), abs=0.006), smiles
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
        ("C1CCC2(CC1)OCCO2", ["1,3-dioxolane", "cyclohexane"]),
        ("O=c1cc[nH]c2ccccc12", ["quinolin-4-one"]),
        ("CCO", []),
        ("O=c1ccc2cncnc2[nH]1", None),
        ("*1CCCC1", None),
    ],
)
def test_ring_systems_by_name(smiles: str, names: list[str] | None) -> None:
    assert ring_systems(Chem.MolFromSmiles(smiles)) == names


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
        found = stereoisomers(mol, 9, random.Random(seed))
        assert {Chem.MolToSmiles(mol), *found} == every
        assert len(found) == len(every) - 1


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

# Pattern of a statement with what it states, and whether that is true.
STATEMENTS: tuple[tuple[str, Callable[[Facts, str], bool]], ...] = (
    (r"Is the molecular formula (\S+)\?", lambda f, x: parsed(x) == composition(f.mol)),
    (r"Is (\S+) a SMILES of this molecule\?", lambda f, x: Chem.CanonSmiles(x) == f.smiles),
    (r"Is there an? (.+) in this molecule\?", lambda f, x: x in groups_of(f.mol)),
    (r"Does this molecule have (\w+) rings?\?", lambda f, x: str(f.rings or "no") == x),
    (r"Does this molecule have (\d+) heavy atoms?\?", lambda f, x: f.heavy_atoms == int(x)),
    (
        r"Does this molecule have (\w+) tetrahedral stereocentres?\?",
        lambda f, x: str(f.stereo.centres or "no") == x,
    ),
    (r"Is the molecular weight above (\d+) g/mol\?", lambda f, x: f.weight > int(x)),
    (
        r"Does this molecule contain (\w+)\?",
        lambda f, x: Chem.MolFromSmiles(f.smiles).HasSubstructMatch(
            Chem.MolFromSmarts(f"[#{ATOMIC_NUMBERS[x]}]")
        ),
    ),
)


def groups_of(mol: Chem.Mol) -> dict[str, int]:
    groups = functional_groups(mol)
    assert groups is not None
    return groups.found


@settings(max_examples=40)
@given(molecules(), st.integers(0, 2**32))
def test_yes_and_no_are_true(smiles: str, seed: int) -> None:
    filling = filled("yes_no", smiles, seed)
    if filling is None:
        return
    facts = Facts(Subject(smiles))
    for pattern, is_true in STATEMENTS:
        if match := re.fullmatch(pattern, filling["question"]):
            assert filling["answer"] == ("Yes" if is_true(facts, match[1]) else "No")
            return
    raise AssertionError(f"no check for {filling['question']}")


def test_yes_is_as_likely_as_no() -> None:
    answers = Counter(
        (re.sub(r"\s\S*\d\S*|\s[A-Z]\S*", "", filling["question"])[:22], filling["answer"])
        for seed in range(800)
        if (filling := filled("yes_no", MOLECULES[seed % len(MOLECULES)], seed))
    )
    yes = sum(count for (_, said), count in answers.items() if said == "Yes")
    assert abs(yes - answers.total() / 2) < 2.5 * answers.total() ** 0.5
    assert len({kind for kind, _ in answers}) >= 6


# ---- what is not asked ----


def test_a_general_structure_is_asked_only_what_is_certain() -> None:
    fitting = {task for task in TASKS if filled(task, "[1*]c1ccc(Cl)cc1") is not None}
    assert fitting == {
        "smiles", "summary", "open_places", "parts", "core_rings", "smiles_choice", "yes_no",
        "cannot_tell",
    }  # fmt: skip
    assert answer("open_places", "[1*]c1ccc(Cl)cc1") == "1"
    # A star beside the drawing is text, not an open place.
    assert answer("open_places", "*.CCOC(C)=O") is None


def test_a_salt_has_no_one_formula() -> None:
    for task in ("formula", "weight", "logp", "formula_choice", "functional_groups"):
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
