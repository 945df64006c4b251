"""Eight questions with short answers: enough for a small model to learn to answer what is asked.

Every answer is computed by RDKit from the molecule, never guessed. Which question an image gets,
and in which words, is drawn from a generator that the caller seeds.

These are no tasks of the recipes, for they ask otherwise: the yes or no is as often yes as no over
all of its questions together, an element that is asked for is one of the molecule's or N or O, and
the description is computed, where `questions` has the source's.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from rdkit import Chem

from data_preprocess.tasks.subject import Facts
from data_preprocess.tasks.task import element_name, listed
from data_preprocess.tasks.turn import Turn

__all__ = ["instruction_turns"]


def instruction_turns(facts: Facts, count: int, rng: random.Random) -> list[Turn]:
    """`count` different questions about a molecule, or as many as make sense for it.

    A molecule with R groups has no formula and no atom count, so it is only asked for its SMILES
    and its rings.
    """
    tasks = [task for task in _TASKS if facts.is_complete or task in _FIT_R_GROUPS]
    return [_ask(task, facts, rng) for task in rng.sample(tasks, min(count, len(tasks)))]


def _has_double_bond(facts: Facts) -> bool:
    """In the Kekule form, which is what stands in the image."""
    return facts.kekule_bonds[Chem.BondType.DOUBLE] > 0


def _ask(task: str, facts: Facts, rng: random.Random) -> Turn:
    question, answer = _TASKS[task](facts, rng)
    return Turn(task, question, answer)


def _smiles(facts: Facts, rng: random.Random) -> tuple[str, str]:
    return rng.choice(
        [
            "Write the SMILES of the molecule in this picture.",
            "What is the SMILES of this molecule? Answer with the SMILES only.",
            "Translate this drawing into SMILES.",
        ]
    ), facts.subject.smiles


def _formula(facts: Facts, rng: random.Random) -> tuple[str, str]:
    return rng.choice(
        [
            "What is the molecular formula of this molecule? Answer with the formula only.",
            "Give the molecular formula in Hill order.",
            "Count the atoms, hydrogens included, and write the molecular formula.",
        ]
    ), facts.formula


def _heavy_atoms(facts: Facts, rng: random.Random) -> tuple[str, str]:
    return rng.choice(
        [
            "How many heavy atoms does this molecule have? Answer with the number only.",
            "Count the atoms other than hydrogen. Answer with the number only.",
            "How many non-hydrogen atoms are in this molecule? Give the number.",
        ]
    ), str(facts.heavy_atoms)


def _rings(facts: Facts, rng: random.Random) -> tuple[str, str]:
    return rng.choice(
        [
            "How many rings does this molecule have? Answer with the number only.",
            "Count the rings in this drawing. Answer with the number only.",
        ]
    ), str(facts.rings)


def _elements(facts: Facts, rng: random.Random) -> tuple[str, str]:
    return rng.choice(
        [
            "Which elements other than hydrogen are in this molecule? List their symbols.",
            "List the symbols of the elements in this drawing, hydrogen left out.",
        ]
    ), ", ".join(facts.elements)


def _element_count(facts: Facts, rng: random.Random) -> tuple[str, str]:
    symbol = rng.choice([*facts.elements, "N", "O"])
    question = rng.choice(
        [
            "How many {} atoms are in this molecule? Answer with the number only.",
            "Count the {} atoms in this drawing. Answer with the number only.",
        ]
    )
    return question.format(element_name(symbol)), str(facts.elements.get(symbol, 0))


def _yes_no(facts: Facts, rng: random.Random) -> tuple[str, str]:
    truth = {
        f"Does this molecule contain {element_name(e)}?": e in facts.elements for e in _ASKED_FOR
    }
    truth["Does this molecule have a ring?"] = facts.rings > 0
    truth["Is there a double bond in this molecule?"] = _has_double_bond(facts)
    # The answer is chosen first, so that "no" is not right nine times out of ten.
    wanted = rng.random() < 0.5
    fitting = [question for question, answer in truth.items() if answer == wanted]
    question = rng.choice(fitting or list(truth))
    wording = rng.choice(["{}", "{} Answer yes or no.", "Look at the drawing. {}"])
    return wording.format(question), "Yes" if truth[question] else "No"


def _description(facts: Facts, rng: random.Random) -> tuple[str, str]:
    question = rng.choice(
        [
            "Describe this molecule in one sentence.",
            "What does this picture show? Answer in one sentence.",
        ]
    )
    atoms = listed([f"{n} {element_name(e)}" for e, n in facts.elements.items()])
    rings = {0: "no ring", 1: "one ring"}.get(facts.rings, f"{facts.rings} rings")
    double = "a double bond" if _has_double_bond(facts) else "no double bond"
    plural = "atom" if facts.heavy_atoms == 1 else "atoms"
    return question, (
        f"A molecule of {facts.heavy_atoms} heavy {plural} ({atoms}) with {rings} and {double}; "
        f"its formula is {facts.formula}."
    )


# Every kind of question; the names stand in the `task` field of the rows.
_TASKS: dict[str, Callable[[Facts, random.Random], tuple[str, str]]] = {
    "smiles": _smiles,
    "formula": _formula,
    "heavy_atoms": _heavy_atoms,
    "rings": _rings,
    "elements": _elements,
    "element_count": _element_count,
    "yes_no": _yes_no,
    "description": _description,
}
_FIT_R_GROUPS = ("smiles", "rings")
_ASKED_FOR = ("N", "O", "S", "F", "Cl")
