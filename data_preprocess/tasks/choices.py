"""Multiple choice and yes or no, with wrong answers that are distractors.

The right option stands at each letter as often as at any other, and yes is as likely as no: a
statement is only asked about where it can be made true and false.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from data_preprocess.tasks.distractors import near_formulas, near_molecules, stereoisomers
from data_preprocess.tasks.groups import functional_groups
from data_preprocess.tasks.rings import RING_NAMES, ring_systems
from data_preprocess.tasks.subject import Facts
from data_preprocess.tasks.task import (
    COMMON,
    Filling,
    Task,
    counted,
    counts,
    decimal,
    element_name,
    listed,
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
    return _choice(facts.smiles, near_molecules(facts.mol, 3, rng), rng)


def _stereoisomer_choice(facts: Facts, rng: random.Random) -> Filling | None:
    if facts.stereo.known + len(facts.stereo.double_bonds or ()) < 2:
        return None  # fewer than four stereoisomers
    return _choice(facts.smiles, stereoisomers(facts.mol, 3, rng), rng)


def _formula_choice(facts: Facts, rng: random.Random) -> Filling | None:
    if not facts.is_plain:
        return None
    return _choice(facts.formula, near_formulas(facts.mol, 3, rng), rng)


def _group_choice(facts: Facts, rng: random.Random) -> Filling | None:
    groups = functional_groups(facts.mol) if facts.is_plain else None
    if groups is None or not groups.found:
        return None
    wrong = rng.sample(groups.absent[:_LIKELY], min(3, len(groups.absent)))
    return _choice(rng.choice(list(groups.found)), wrong, rng)


_LIKELY = 14  # absent groups to choose from, of those that a reader is most likely to think of


def _ring_choice(facts: Facts, rng: random.Random) -> Filling | None:
    names = ring_systems(facts.mol) if facts.is_complete else None
    if not names:
        return None
    # Benzene is in most molecules: asked wherever it is, it would nearly always be right.
    special = sorted(set(names) - {"benzene"})
    if not special and rng.random() < 0.75:
        return None
    right = rng.choice(special or names)
    wrong = sorted(_similar_rings(right) - set(names))
    return _choice(right, rng.sample(wrong, min(3, len(wrong))), rng)


@cache
def _similar_rings(name: str) -> frozenset[str]:
    """Ring systems with the same ring sizes and aromatic atoms, other elements or bonds."""

    def kind(skeleton: str) -> tuple[int, int]:
        # Of a skeleton's text: atoms by their letters, aromatic ones in lower case.
        letters = re.sub(r"[^A-Za-z]", "", skeleton)
        return len(letters), sum(letter.islower() for letter in letters)

    kinds = {other: kind(skeleton) for skeleton, other in RING_NAMES.items()}
    return frozenset(other for other in kinds if kinds[other] == kinds[name]) - {name}


def _shuffled(items: Sequence[str], rng: random.Random) -> list[str]:
    return rng.sample(items, len(items))


# ---- yes or no ----


@dataclass(frozen=True)
class _Statement:
    """A question that can be asked so that the answer is yes, or so that it is no."""

    question: str
    reason: str


def _yes_no(facts: Facts, rng: random.Random) -> Filling | None:
    """The answer is drawn first, and a statement can be made either way: neither is likelier."""
    wanted = rng.random() < 0.5
    for kind in _shuffled(list(_STATEMENTS), rng):
        statement = _STATEMENTS[kind](facts, wanted, rng)
        if statement is not None:
            return {
                "question": statement.question,
                "reason": statement.reason,
                "answer": "Yes" if wanted else "No",
            }
    return None


def _is_formula(facts: Facts, wanted: bool, rng: random.Random) -> _Statement | None:
    near = near_formulas(facts.mol, 1, rng) if facts.is_plain else []
    if not near:
        return None
    asked = facts.formula if wanted else near[0]
    return _Statement(f"Is the molecular formula {asked}?", f"the formula is {facts.formula}")


def _is_smiles(facts: Facts, wanted: bool, rng: random.Random) -> _Statement | None:
    near = near_molecules(facts.mol, 1, rng)
    if not near:
        return None
    right = facts.smiles
    return _Statement(
        f"Is {right if wanted else near[0]} a SMILES of this molecule?", f"its SMILES is {right}"
    )


def _has_element(facts: Facts, wanted: bool, rng: random.Random) -> _Statement | None:
    present = [symbol for symbol in COMMON if symbol in facts.elements and symbol != "C"]
    absent = [symbol for symbol in COMMON if symbol not in facts.elements and symbol != "C"]
    if not facts.is_complete or not present or not absent:
        return None
    symbol = element_name(rng.choice(present if wanted else absent))
    found = listed([element_name(symbol) for symbol in facts.elements])
    return _Statement(
        f"Does this molecule contain {symbol}?", f"hydrogen aside, it consists of {found}"
    )


def _has_group(facts: Facts, wanted: bool, rng: random.Random) -> _Statement | None:
    groups = functional_groups(facts.mol) if facts.is_plain else None
    if groups is None or not groups.is_whole or not groups.found or not groups.absent:
        return None
    name = rng.choice(list(groups.found) if wanted else groups.absent[:_LIKELY])
    return _Statement(
        f"Is there {with_article(name)} in this molecule?",
        f"its functional groups are {counts(groups.found)}",
    )


def _has_rings(facts: Facts, wanted: bool, rng: random.Random) -> _Statement | None:
    if not facts.is_complete:
        return None
    asked = _near_number(facts.rings, wanted, rng)
    return _Statement(
        f"Does this molecule have {asked or 'no'} {'ring' if asked == 1 else 'rings'}?",
        f"it has {counted(facts.rings, 'ring')}",
    )


def _has_heavy_atoms(facts: Facts, wanted: bool, rng: random.Random) -> _Statement | None:
    if not facts.is_complete or facts.heavy_atoms < 2:
        return None
    asked = _near_number(facts.heavy_atoms, wanted, rng)
    return _Statement(
        f"Does this molecule have {counted(asked, 'heavy atom')}?",
        f"it has {counted(facts.heavy_atoms, 'heavy atom')}",
    )


def _has_stereocentres(facts: Facts, wanted: bool, rng: random.Random) -> _Statement | None:
    if not facts.is_complete or not facts.stereo.centres:
        return None
    asked = _near_number(facts.stereo.centres, wanted, rng)
    return _Statement(
        f"Does this molecule have {counted(asked, 'tetrahedral stereocentre')}?",
        f"it has {counted(facts.stereo.centres, 'tetrahedral stereocentre')}",
    )


_FARTHEST = 60  # g/mol between the weight and what is asked


def _is_heavier(facts: Facts, wanted: bool, rng: random.Random) -> _Statement | None:
    weight = facts.weight
    if not facts.is_plain or weight < 2 * _FARTHEST:
        return None
    distance = rng.randint(5, _FARTHEST)
    asked = int(weight) - distance if wanted else int(weight) + distance
    return _Statement(
        f"Is the molecular weight above {asked} g/mol?", f"it is {decimal(weight, 2)} g/mol"
    )


def _near_number(true: int, wanted: bool, rng: random.Random) -> int:
    if wanted:
        return true
    return rng.choice([number for number in (true - 1, true + 1) if number >= 0])


_STATEMENTS: dict[str, Callable[[Facts, bool, random.Random], _Statement | None]] = {
    "formula": _is_formula,
    "smiles": _is_smiles,
    "element": _has_element,
    "group": _has_group,
    "rings": _has_rings,
    "heavy atoms": _has_heavy_atoms,
    "stereocentres": _has_stereocentres,
    "weight": _is_heavier,
}


_OPTIONS, _LETTER = frozenset({"options"}), frozenset({"letter"})

CHOICES = {
    "smiles_choice": Task(_smiles_choice, _OPTIONS, _LETTER),
    "stereoisomer_choice": Task(_stereoisomer_choice, _OPTIONS, _LETTER),
    "formula_choice": Task(_formula_choice, _OPTIONS, _LETTER),
    "group_choice": Task(_group_choice, _OPTIONS, _LETTER),
    "ring_choice": Task(_ring_choice, _OPTIONS, _LETTER),
    "yes_no": Task(_yes_no, frozenset({"question"}), frozenset({"reason"})),
}
