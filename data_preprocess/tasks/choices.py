"""Multiple choice and yes or no, with wrong answers that are distractors.

None of them can be answered from its words. The right option stands at each letter as often as at
any other and is no more like the other options than they are like each other; wrong names are drawn
as they are common, so that each is also right; and yes is as likely as no. What is left, the
survey of a set evens out (`data_preprocess.recipes.balance`).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from data_preprocess.tasks.distractors import (
    near_formulas,
    near_molecules,
    wrong_formulas,
    wrong_molecules,
    wrong_stereoisomers,
)
from data_preprocess.tasks.groups import COMMON_GROUPS
from data_preprocess.tasks.rings import COMMON_RINGS, has_ring
from data_preprocess.tasks.subject import Facts
from data_preprocess.tasks.task import (
    COMMON,
    Filling,
    Task,
    atoms_in_words,
    counted,
    counts,
    element_name,
    with_article,
)

__all__ = ["CHOICES"]

# ---- multiple choice ----

_LETTERS = "ABCD"


def _choice(right: str, wrong: Sequence[str], rng: random.Random) -> Filling | None:
    """The right option at a random letter; None where there are not enough wrong ones."""
    if len(wrong) < len(_LETTERS) - 1:
        return None
    options = list(wrong[: len(_LETTERS) - 1])
    position = rng.randrange(len(_LETTERS))
    options.insert(position, right)
    return {
        "options": "\n".join(f"{letter}. {o}" for letter, o in zip(_LETTERS, options, strict=True)),
        "letter": _LETTERS[position],
        "answer": right,
    }


def _smiles_choice(facts: Facts, rng: random.Random) -> Filling | None:
    return _choice(facts.smiles, wrong_molecules(facts.mol, 3, rng), rng)


def _stereoisomer_choice(facts: Facts, rng: random.Random) -> Filling | None:
    stereo = facts.stereo
    if stereo is None or stereo.known + len(stereo.double_bonds or ()) < 2:
        return None  # fewer than four stereoisomers
    return _choice(facts.smiles, wrong_stereoisomers(facts.mol, 3, rng), rng)


def _formula_choice(facts: Facts, rng: random.Random) -> Filling | None:
    if not facts.is_plain:
        return None
    return _choice(facts.formula, wrong_formulas(facts.mol, 3, rng), rng)


def _group_choice(facts: Facts, rng: random.Random) -> Filling | None:
    groups = facts.groups
    if groups is None or not groups.found:
        return None
    wrong = _likely(groups.absent, COMMON_GROUPS, 3, rng)
    return _choice(rng.choice(list(groups.found)), wrong, rng)


def _ring_choice(facts: Facts, rng: random.Random) -> Filling | None:
    names = facts.ring_names if facts.is_complete else None
    if not names:
        return None
    # Benzene is in most molecules: asked wherever it is, it would nearly always be right.
    right = rng.choice(sorted(set(names) - {"benzene"}) or names)
    # Whoever finds benzene in an indole is not wrong enough.
    wrong = [name for name in COMMON_RINGS if name not in names and not has_ring(facts.mol, name)]
    return _choice(right, _likely(wrong, COMMON_RINGS, 3, rng), rng)


_RARE = 0.02  # beside the percentages of the common names


def _likely(
    names: Sequence[str], common: Mapping[str, float], count: int, rng: random.Random
) -> list[str]:
    """Up to `count` of the names, each as likely as it is common: what is often wrong is then
    often right of another molecule."""
    order = {name: rng.random() ** (1 / common.get(name, _RARE)) for name in names}
    return sorted(names, key=order.__getitem__, reverse=True)[:count]


# ---- yes or no ----

# Each is a question that can be asked so that the answer is yes, or so that it is no, and which of
# the two is drawn first.


def _yes_or_no(yes: bool) -> Filling:
    return {"answer": "Yes" if yes else "No"}


def _is_formula(facts: Facts, rng: random.Random) -> Filling | None:
    near = near_formulas(facts.mol, 1, rng) if facts.is_plain else []
    yes = rng.random() < 0.5
    if not near:
        return None
    asked = facts.formula if yes else near[0]
    return {"asked": asked, "formula": facts.formula} | _yes_or_no(yes)


def _is_smiles(facts: Facts, rng: random.Random) -> Filling | None:
    near = near_molecules(facts.mol, 1, rng)
    yes = rng.random() < 0.5
    if not near:
        return None
    return {"asked": facts.smiles if yes else near[0], "smiles": facts.smiles} | _yes_or_no(yes)


def _has_element(facts: Facts, rng: random.Random) -> Filling | None:
    yes = rng.random() < 0.5
    asked = [s for s in COMMON if (s in facts.elements) == yes and s != "C"]
    if not facts.is_complete or not asked:
        return None
    return {
        "element": element_name(rng.choice(asked)),
        "atoms": atoms_in_words(facts.elements),
    } | _yes_or_no(yes)


def _has_group(facts: Facts, rng: random.Random) -> Filling | None:
    groups = facts.groups
    if groups is None or not groups.is_whole or not groups.found or not groups.absent:
        return None
    yes = rng.random() < 0.5
    name = rng.choice(list(groups.found)) if yes else (
        _likely(groups.absent, COMMON_GROUPS, 1, rng)[0]
    )  # fmt: skip
    return {
        "group": name,
        "a_group": with_article(name),
        "groups": counts(groups.found),
    } | _yes_or_no(yes)


def _has_rings(facts: Facts, rng: random.Random) -> Filling | None:
    if not facts.is_complete:
        return None
    return _has_number(facts.rings, "ring", rng)


def _has_heavy_atoms(facts: Facts, rng: random.Random) -> Filling | None:
    if not facts.is_complete or facts.heavy_atoms < 2:
        return None
    return _has_number(facts.heavy_atoms, "heavy atom", rng) | {
        "atoms": atoms_in_words(facts.elements)
    }


def _has_stereocentres(facts: Facts, rng: random.Random) -> Filling | None:
    stereo = facts.stereo if facts.is_complete else None
    if stereo is None or not stereo.centres:
        return None
    return _has_number(stereo.centres, "tetrahedral stereocentre", rng)


def _has_number(true: int, noun: str, rng: random.Random) -> Filling:
    """So many, or one more or less."""
    yes = rng.random() < 0.5
    asked = true if yes else rng.choice([n for n in (true - 1, true + 1) if n >= 0])
    return {
        "number": str(asked),
        "asked": counted(asked, noun),
        "true_number": str(true),
        "true": counted(true, noun),
    } | _yes_or_no(yes)


_STEP = 50  # g/mol: the weights that are asked about are whole steps
_NEAREST = 5  # g/mol between the weight and what is asked


def _is_heavier(facts: Facts, rng: random.Random) -> Filling | None:
    """Above the step below the weight, or above the one above it."""
    if not facts.is_plain:
        return None
    yes = rng.random() < 0.5
    below, distance = divmod(facts.weight, _STEP)
    asked = _STEP * (int(below) + (not yes))
    if not asked or not _NEAREST <= distance <= _STEP - _NEAREST:
        return None
    return {
        "number": str(asked),
        "weight": f"{facts.weight:.0f}",
        "formula": facts.formula,
    } | _yes_or_no(yes)


_OPTIONS, _LETTER = frozenset({"options"}), frozenset({"letter"})
_NUMBERS = frozenset({"asked", "true_number", "true"})

CHOICES = {
    "smiles_choice": Task(_smiles_choice, _OPTIONS, _LETTER),
    "stereoisomer_choice": Task(_stereoisomer_choice, _OPTIONS, _LETTER),
    "formula_choice": Task(_formula_choice, _OPTIONS, _LETTER),
    "group_choice": Task(_group_choice, _OPTIONS, _LETTER, is_balanced=True),
    "ring_choice": Task(_ring_choice, _OPTIONS, _LETTER, is_balanced=True),
    "is_formula": Task(_is_formula, frozenset({"asked"}), frozenset({"formula"})),
    "is_smiles": Task(_is_smiles, frozenset({"asked"}), frozenset({"smiles"})),
    "has_element": Task(
        _has_element, frozenset({"element"}), frozenset({"atoms"}), is_balanced=True
    ),
    "has_group": Task(
        _has_group, frozenset({"group"}), frozenset({"a_group", "groups"}), is_balanced=True
    ),
    "has_rings": Task(_has_rings, frozenset({"number"}), _NUMBERS, is_balanced=True),
    "has_heavy_atoms": Task(
        _has_heavy_atoms, frozenset({"number"}), _NUMBERS | {"atoms"}, is_balanced=True
    ),
    "has_stereocentres": Task(
        _has_stereocentres, frozenset({"number"}), _NUMBERS, is_balanced=True
    ),
    "is_heavier": Task(
        _is_heavier, frozenset({"number"}), frozenset({"weight", "formula"}), is_balanced=True
    ),
}
