"""Questions with a frequent answer are kept less often, and names as often right as wrong."""

from __future__ import annotations

import random
from collections import Counter

from data_preprocess.recipes import Recipe, Subject
from data_preprocess.recipes.balance import Balance
from data_preprocess.sources.random_molecules import random_molecule
from data_preprocess.tasks.task import Filling


def kept(balance: Balance, task: str, fillings: list[Filling]) -> list[Filling]:
    rng = random.Random(1)
    return [filling for filling in fillings if balance.keeps(task, filling, rng)]


def test_a_frequent_answer_is_cut_down() -> None:
    rng = random.Random(0)
    fillings = [{"answer": rng.choice("11112222222233334")} for _ in range(4_000)]
    balance = Balance.of(("ring_count", filling) for filling in fillings)
    counts = Counter(filling["answer"] for filling in kept(balance, "ring_count", fillings))
    assert max(counts.values()) / counts.total() < 0.30  # it was 0.47 of four answers
    assert counts["4"] == Counter(f["answer"] for f in fillings)["4"]  # the rare one stays


def test_yes_and_no_are_balanced_for_each_question() -> None:
    rng = random.Random(0)
    fillings = [
        {"element": element, "answer": "Yes" if rng.random() < often else "No"}
        for element, often in (("nitrogen", 0.9), ("boron", 0.1))
        for _ in range(2_000)
    ]
    balance = Balance.of(("has_element", filling) for filling in fillings)
    for element in ("nitrogen", "boron"):
        asked = [f for f in kept(balance, "has_element", fillings) if f["element"] == element]
        yes = sum(filling["answer"] == "Yes" for filling in asked)
        assert abs(yes / len(asked) - 0.5) < 0.08
        assert len(asked) > 300


def test_a_question_with_one_answer_is_not_asked() -> None:
    balance = Balance.of(("charge", {"answer": "0"}) for _ in range(100))
    assert not kept(balance, "charge", [{"answer": "0"}] * 100)
    # Few molecules prove nothing.
    assert kept(Balance.of([("charge", {"answer": "0"})] * 5), "charge", [{"answer": "0"}])


def test_each_name_is_right_once_where_it_is_wrong_three_times() -> None:
    rng = random.Random(0)
    common = {"ether": 0.6, "amide": 0.4, "phenol": 0.2, "ketone": 0.15, "ester": 0.15, "urea": 0.1}
    fillings: list[Filling] = []
    for _ in range(12_000):
        found = [name for name, share in common.items() if rng.random() < share]
        absent = [name for name in common if name not in found]
        if found and len(absent) >= 3:
            right = rng.choice(found)
            options = [right, *rng.sample(absent, 3)]
            fillings.append({"options": "\n".join(f"A. {o}" for o in options), "answer": right})
    balance = Balance.of(("group_choice", filling) for filling in fillings)
    asked = kept(balance, "group_choice", fillings)
    assert len(asked) > 500
    for name in common:
        offered = [f for f in asked if f". {name}" in f["options"]]
        share = sum(f["answer"] == name for f in offered) / len(offered)
        assert abs(share - 0.25) < 0.08, (name, share)


def test_a_balanced_recipe_asks_fewer_usual_answers() -> None:
    subjects = [Subject(random_molecule(11, number)) for number in range(150)]
    plain = Recipe("mine", 1, tasks={"aromatic_rings": 1.0})
    balanced = plain.balanced(subjects)
    shares = []
    for recipe in (plain, balanced):
        answers = Counter(
            turn.answer.split()[0]
            for number, subject in enumerate(subjects)
            for turn in recipe.turns(subject, random.Random(number))
            if turn.answer.isdigit()
        )
        shares.append(max(answers.values()) / answers.total())
    assert shares[1] < shares[0]
    # What was decided stands in the settings, and decides the same again.
    assert Recipe("mine", 1, tasks=plain.tasks, balance=balanced.balance) == balanced
