"""A task that the words alone answer is found, and one that they do not is left in peace."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from data_preprocess.dataset.text_only import Sample, Solved, asked_in

ROWS = 400
LETTERS = "ABCD"


def row(number: int, question: str, answer: str, task: str = "asked") -> dict[str, Any]:
    return {
        "id": f"r{number}",
        "task": task,
        "conversations": [
            {"from": "human", "value": f"<image>\n{question}"},
            {"from": "gpt", "value": answer},
        ],
    }


def choice(options: list[str], right: str, rng: random.Random) -> tuple[str, str]:
    rng.shuffle(options)
    lines = "\n".join(f"{letter}. {o}" for letter, o in zip(LETTERS, options, strict=True))
    return f"Which is it?\n{lines}", LETTERS[options.index(right)]


def solved(make: Callable[[random.Random], tuple[str, str]], rows: int = ROWS) -> Solved:
    rng = random.Random(3)
    sample = Sample()
    for number in range(rows):
        asked = asked_in(row(number, *make(rng)))
        assert asked is not None
        sample.add(asked)
    (found,) = sample.solved()
    return found


def fair_choice(rng: random.Random) -> tuple[str, str]:
    """Four words, any of them right."""
    options = rng.sample(["amide", "ether", "ketone", "ester", "nitrile", "phenol"], 4)
    return choice(options, rng.choice(options), rng)


def central_choice(rng: random.Random) -> tuple[str, str]:
    """Every wrong formula is one step from the right one."""
    carbon, hydrogen = rng.randint(8, 30), rng.randint(8, 40)
    right = f"C{carbon}H{hydrogen}N3O2"
    wrong = [f"C{carbon + 1}H{hydrogen}N3O2", f"C{carbon}H{hydrogen + 2}N3O2",
             f"C{carbon}H{hydrogen}N4O2"]  # fmt: skip
    return choice([right, *wrong], right, rng)


def usual_option(rng: random.Random) -> tuple[str, str]:
    """Ether is right wherever it is offered."""
    options = ["ether", *rng.sample(["amide", "ketone", "ester", "nitrile"], 3)]
    return choice(options, "ether" if rng.random() < 0.7 else options[1], rng)


def usual_letter(rng: random.Random) -> tuple[str, str]:
    options = [str(rng.random()) for _ in LETTERS]
    right = 1 if rng.random() < 0.5 else rng.randrange(4)
    lines = "\n".join(f"{letter}. {o}" for letter, o in zip(LETTERS, options, strict=True))
    return f"Which is it?\n{lines}", LETTERS[right]


def fair_number(rng: random.Random) -> tuple[str, str]:
    number = rng.randint(0, 5)
    asks = {"How many rings?": f"{number}", "Count the rings.": f"Number of rings: {number}."}
    question = rng.choice(list(asks))
    return question, asks[question]


def usual_number(rng: random.Random) -> tuple[str, str]:
    return "How many rings?", str(rng.choice([2, 2, 2, 3, 4, 1]))


def one_answer(rng: random.Random) -> tuple[str, str]:
    return rng.choice(["Charge?", "Net charge?"]), "0"


def fair_yes(rng: random.Random) -> tuple[str, str]:
    answer = rng.choice(["Yes", "No", "Yes: it is so.", "No: it is not so."])
    return f"Is there {rng.choice(['sulfur', 'boron'])}?", answer


def yes_by_the_question(rng: random.Random) -> tuple[str, str]:
    """Whoever asks about boron expects none, whatever the words around it."""
    element = rng.choice(["nitrogen", "boron"])
    answer = "Yes" if (element == "nitrogen") != (rng.random() < 0.2) else "No"
    return rng.choice([f"Is there {element}?", f"Look. Is there {element}?"]), answer


def unique(rng: random.Random) -> tuple[str, str]:
    return "Describe it.", f"A molecule of {rng.random()} kinds, unlike all others that are shown."


@pytest.mark.parametrize("make", [fair_choice, fair_number, fair_yes, unique])
def test_a_task_that_needs_its_image_passes(make: Any) -> None:
    assert not solved(make).is_guessable


@pytest.mark.parametrize(
    ("make", "guess"),
    [
        (central_choice, "most like the others by atoms"),
        (usual_option, "the option that is usually right"),
        (usual_letter, "the usual letter"),
        (usual_number, "the usual answer"),
        (one_answer, "the usual answer"),
        (yes_by_the_question, "question"),
    ],
)
def test_a_shortcut_is_found_and_named(make: Any, guess: str) -> None:
    found = solved(make)
    assert found.is_guessable
    assert guess in found.guess


def test_few_rows_prove_nothing() -> None:
    """One of two coins falls on the same side eight times of ten often enough."""
    rng = random.Random(0)
    for seed in range(20):
        rng.seed(seed)
        assert not solved(lambda _: fair_choice(rng), 12).is_guessable


def test_chance_is_that_of_the_options_and_of_the_usual_answers() -> None:
    assert solved(fair_choice).chance == 0.25
    assert solved(fair_yes).chance == 0.5
    assert solved(fair_number).chance == pytest.approx(1 / 6)
    assert solved(unique).chance < 0.01


def test_what_no_drawing_tells_may_be_known_from_the_question() -> None:
    found = solved(one_answer)
    assert found.is_guessable
    assert not replace(found, task="cannot_tell").is_guessable


def test_the_sample_does_not_depend_on_the_order_of_the_rows() -> None:
    rng = random.Random(5)
    rows = [row(number, *fair_choice(rng)) for number in range(300)]
    found = []
    for order in (rows, rows[::-1]):
        sample = Sample(most=100)
        for one in order:
            asked = asked_in(one)
            assert asked is not None
            sample.add(asked)
        found.append(sample.solved())
    assert found[0] == found[1]
    assert found[0][0].rows == 100


def test_rows_without_a_task_or_turns_are_passed_over() -> None:
    assert asked_in({"id": "a", "conversations": []}) is None
    numbers = [{"value": 1}, {"value": "b"}]
    assert asked_in({"id": "a", "task": "x", "conversations": numbers}) is None
