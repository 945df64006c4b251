"""Recipes: what a YAML file says is what is asked, and everything that is wrong with it is said."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from data_preprocess.recipes import RECIPES, Recipe, Subject
from data_preprocess.sources.random_molecules import random_molecule
from data_preprocess.tasks import instruction_turns
from data_preprocess.tasks.subject import Facts
from data_preprocess.tasks.table import TASKS
from data_preprocess.tasks.task import LANGUAGES, SAME_AS, Language, translated, wordings_of
from eyesmol.exceptions import InputError

ASPIRIN = Subject(
    "CC(=O)Oc1ccccc1C(=O)O", "aspirin", "A salicylate that relieves pain.", "A ring on the left."
)


def recipe(folder: Path, **values: object) -> Recipe:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(values), "utf-8")
    return Recipe.load(path)


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_of_the_project_load_and_ask(name: str) -> None:
    loaded = Recipe.load(name)
    assert json.loads(json.dumps(loaded.to_dict()))["name"] == name
    for subject in (ASPIRIN, Subject("CCO"), Subject("[1*]c1ccccc1")):
        turns = loaded.turns(subject, random.Random(1))
        assert turns
        assert turns == loaded.turns(subject, random.Random(1))
        assert len({turn.task for turn in turns}) == len(turns) <= loaded.questions
        for turn in turns:
            assert turn.question.strip()
            assert turn.answer.strip()
            assert "{" not in turn.question + turn.answer


def test_the_quickstarts_rows_stay_as_they_were() -> None:
    """Its published figures depend on them."""
    turns = Recipe.load("short").turns(ASPIRIN, random.Random(7))
    assert turns == instruction_turns(Facts(ASPIRIN), 4, random.Random(7))
    rows = instruction_turns(Facts(Subject("CC(=O)Nc1ccc(O)cc1")), 4, random.Random(7))
    assert [(turn.task, turn.question, turn.answer) for turn in rows] == [
        (
            "element_count",
            "How many carbon atoms are in this molecule? Answer with the number only.",
            "8",
        ),
        ("formula", "Give the molecular formula in Hill order.", "C8H9NO2"),
        ("rings", "How many rings does this molecule have? Answer with the number only.", "1"),
        ("smiles", "Translate this drawing into SMILES.", "CC(=O)Nc1ccc(O)cc1"),
    ]


def test_v1_is_the_description_or_computed_facts() -> None:
    v1 = Recipe.load("v1")
    for seed in range(5):
        (turn,) = v1.turns(ASPIRIN, random.Random(seed))
        assert (turn.task, turn.answer) == ("description", "A salicylate that relieves pain.")
    (turn,) = v1.turns(Subject("CC(=O)Nc1ccc(O)cc1"), random.Random(0))
    assert turn.task == "summary"
    assert turn.answer == (
        "A molecule with 11 heavy atoms (8 C, 1 N and 2 O) and 1 ring; its formula is C8H9NO2. "
        "Ring systems: benzene. Functional groups: amide, phenol."
    )


def test_v2_asks_every_task_of_the_project() -> None:
    tasks = Recipe.load("v2").tasks
    assert tasks is not None
    assert set(tasks) == set(TASKS)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_task_has_four_wordings_that_fit_it(language: Language) -> None:
    english_only = {"summary", "walk", "cannot_tell"}
    for task, kind in TASKS.items():
        wordings = wordings_of(task, language)
        if language != "en" and task in english_only:
            assert not wordings
            continue
        assert len({wording.ask for wording in wordings}) >= 4, task
        for wording in wordings:
            assert wording.fields <= kind.fields, (task, wording)
            shown = {SAME_AS.get(name, name) for name in wording.fields} | wording.fields
            assert shown >= kind.asked, (task, wording)


def test_most_answers_of_v2_are_no_single_words() -> None:
    """A model that is taught numbers and letters alone answers in numbers and letters."""
    v2 = Recipe.load("v2")
    answers = [
        turn.answer
        for number in range(150)
        for turn in v2.turns(Subject(random_molecule(5, number)), random.Random(number))
    ]
    assert sum(len(answer) > 60 for answer in answers) >= 0.4 * len(answers)
    assert not [answer for answer in answers if re.fullmatch(r"-?\d+\.\d+", answer)]


def test_korean_questions_and_answers() -> None:
    korean = replace(Recipe.load("v2"), language="ko", questions=40)
    turns = korean.turns(Subject("CC(=O)Nc1ccc(O)cc1"), random.Random(0))
    assert len(turns) > 15
    for turn in turns:
        assert re.search("[가-힣]", turn.question), turn
        assert "{" not in turn.question + turn.answer
    answers = {turn.task: turn.answer for turn in turns}
    assert "아마이드, 페놀" in answers["functional_groups"]
    options = translated({"options": "A. amide\nB. ether", "answer": "ether"}, "ko")
    assert options == {"options": "A. 아마이드\nB. 에터", "answer": "에터"}
    with pytest.raises(InputError, match="in English only"):
        replace(Recipe.load("short"), language="ko")


def test_an_image_has_room_for_one_reading() -> None:
    with pytest.raises(InputError, match=r"replay 0\.5: expected at most 1/4"):
        replace(Recipe.load("v2"), replay=0.5)


def test_weights_decide_how_often_a_task_is_drawn(tmp_path: Path) -> None:
    mine = recipe(tmp_path, questions=1, tasks={"smiles": 3, "formula": 1})
    drawn = Counter(mine.turns(ASPIRIN, random.Random(seed))[0].task for seed in range(1_000))
    assert 680 < drawn["smiles"] < 820  # 750; five standard deviations are 68


def test_a_question_that_does_not_fit_makes_room(tmp_path: Path) -> None:
    mine = recipe(tmp_path, questions=2, tasks={"name": 100, "formula": 1, "smiles": 1})
    turns = mine.turns(Subject("CCO"), random.Random(0))
    assert {turn.task for turn in turns} == {"formula", "smiles"}
    assert (
        recipe(tmp_path, questions=1, tasks={"name": 1}).turns(Subject("CCO"), random.Random(0))
        == []
    )


def test_wordings_of_a_recipe_replace_the_projects(tmp_path: Path) -> None:
    mine = recipe(
        tmp_path,
        questions=1,
        tasks={"element_count": 1},
        wordings={"element_count": [{"ask": "{element}?", "answer": "{answer} of {element}"}]},
    )
    (turn,) = mine.turns(Subject("OCCO"), random.Random(3))
    assert (turn.question, turn.answer) in {
        ("carbon?", "2 of carbon"),
        ("oxygen?", "2 of oxygen"),
    }


def test_all_mistakes_of_a_file_are_said_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(
        "questions: 0\ncharts: 1\nshuffle: yes\notherwise: poem\n"
        "tasks: {formula: -1, poem: 2, rings: many}\n"
        "wordings:\n  formula: [{ask: 'Formula in {colour}?'}, '{', {say: x}]\n"
        "  element_count: ['How many?']\n  poem: ['?']\n  smiles: none\n",
        "utf-8",
    )
    with pytest.raises(InputError) as error:
        Recipe.load(path)
    lines = str(error.value).splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines)
    expected = (
        "shuffle: no such key", "questions: found 0", "charts: found 1", "otherwise: found 'poem'",
        "tasks.poem: no such task", "tasks.rings: no such task", "tasks.formula: found -1",
        "tasks.rings: found 'many'", "wordings.formula[0]: ask: found the fields colour",
        "wordings.formula[1]: ask: ", "wordings.formula[2]: found",
        "wordings.element_count[0]: ask: without element", "wordings.poem: no such task",
        "wordings.smiles: found 'none'",
    )  # fmt: skip
    for words in expected:
        assert any(words in line for line in lines), words
    assert len(lines) == len(expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [("tasks: [", "not YAML"), ("", "found nothing"), ("- formula", "expected keys")],
)
def test_a_file_that_is_no_recipe(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        Recipe.load(tmp_path / "bad.yaml")
    with pytest.raises(InputError, match="neither one of short, v1, v2 nor a YAML file"):
        Recipe.load("v3")
