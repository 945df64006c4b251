"""Recipes: which questions an instruction set asks, how often, and in which words.

A recipe is a YAML file that people read and change ::

    questions: 4            # rows an image
    charts: 0.18            # fraction of chart rows in the finished set
    replay: 0.1             # fraction of chain-of-thought rows among those of molecules
    tasks:                  # task -> weight; how often it is drawn, compared with the others
      formula: 2
      rings: 1
    otherwise: summary      # asked where none of the tasks fits; without it there is no row
    wordings:               # optional: instead of a task's own wordings
      formula:
        - What is the molecular formula?
        - ask: Which atoms, and how many of each?
          answer: The formula is {answer}.

A model that is taught questions alone forgets to read atom by atom; with ``replay`` some images get
that reading in place of one question.

``tasks: short`` asks the quickstart's eight short questions instead. The recipes of the project lie
beside this file: ``v1`` (one kind of question), ``v2`` (many kinds, mixed) and ``short``.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from data_preprocess.recipes.balance import Balance
from data_preprocess.tasks import Turn, instruction_turns
from data_preprocess.tasks.subject import Facts, Subject
from data_preprocess.tasks.table import TASKS
from data_preprocess.tasks.task import (
    SAME_AS,
    Filling,
    Language,
    Wording,
    fields_of,
    translated,
    wordings_of,
)
from eyesmol.exceptions import InputError, shown

__all__ = ["RECIPES", "Recipe", "Subject"]

_FOLDER = Path(__file__).parent
RECIPES = tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))  # those of the project
_KEYS = ("questions", "charts", "replay", "tasks", "otherwise", "wordings")


@dataclass(frozen=True)
class Recipe:
    """Which questions are asked about an image.

    Attributes:
        name: of the recipe, or the stem of its file.
        questions: rows an image, where that many tasks fit it.
        charts: fraction of chart rows in the finished set, 0 to less than 1.
        replay: fraction of chain-of-thought rows among those of molecules; an image has at most
            one.
        tasks: task -> weight; None for the quickstart's short questions.
        otherwise: the task that is asked where none of `tasks` fits.
        wordings: task -> words that replace its own.
        language: of the words.
        balance: how often questions with a frequent answer are kept.
    """

    name: str
    questions: int
    charts: float = 0.0
    replay: float = 0.0
    tasks: Mapping[str, float] | None = None
    otherwise: str | None = None
    wordings: Mapping[str, tuple[Wording, ...]] = field(default_factory=dict)
    language: Language = "en"
    balance: Balance = field(default_factory=Balance)

    def __post_init__(self) -> None:
        if not 0 <= self.replay <= 1 / self.questions:
            raise InputError(
                f"replay {self.replay}: expected at most 1/{self.questions}, one row an image with "
                f"{self.questions} rows"
            )
        if self.language != "en" and self.tasks is None:
            raise InputError(
                f"recipe {self.name} is in English only; expected v1, v2 or a file with tasks"
            )

    @classmethod
    def load(cls, what: str | Path) -> Recipe:
        """The recipe of this name (`RECIPES`), or in this YAML file.

        Raises:
            InputError: no such recipe, or everything that is wrong with its file.
        """
        path = _FOLDER / f"{what}.yaml" if str(what) in RECIPES else Path(what)
        if not path.is_file():
            raise InputError(
                f"recipe {what}: neither one of {', '.join(RECIPES)} nor a YAML file; expected one "
                "of the two"
            )
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: not YAML: {error}") from None
        if mistakes := _mistakes(values):
            raise InputError("\n".join(f"{path}: {mistake}" for mistake in mistakes))
        tasks = values["tasks"]
        return cls(
            name=path.stem,
            questions=values["questions"],
            charts=float(values.get("charts", 0)),
            replay=float(values.get("replay", 0)),
            tasks=None if tasks == "short" else {t: float(w) for t, w in tasks.items()},
            otherwise=values.get("otherwise"),
            wordings={
                task: tuple(w for entry in entries for w in Wording.all_of(entry))
                for task, entries in (values.get("wordings") or {}).items()
            },
        )

    def to_dict(self) -> dict[str, Any]:
        """For ``dataset_info.json``."""
        return asdict(self)

    def turns(self, subject: Subject, rng: random.Random) -> list[Turn]:
        """Up to `questions` turns about a molecule, each of another task; none where nothing fits.

        Args:
            subject: the molecule.
            rng: decides which tasks, which details and which words.

        Raises:
            ValueError: RDKit cannot read the SMILES.
        """
        facts = Facts(subject)
        if self.tasks is None:
            return instruction_turns(facts, self.questions, rng)
        turns: list[Turn] = []
        for task in _drawn(self.tasks, rng):
            if len(turns) == self.questions:
                break
            turns += self._asked(task, facts, rng)
        if not turns and self.otherwise:
            turns = self._asked(self.otherwise, facts, rng)
        return turns

    def balanced(self, subjects: Iterable[Subject]) -> Recipe:
        """This recipe with its questions balanced for molecules such as these.

        Args:
            subjects: some hundreds, at random; those that RDKit cannot read are passed over.
        """
        tasks = [task for task in self.tasks or () if TASKS[task].is_balanced]
        return replace(self, balance=Balance.of(_survey(subjects, tasks)))

    def _asked(self, task: str, facts: Facts, rng: random.Random) -> list[Turn]:
        filling = TASKS[task].fill(facts, rng)
        if filling is None or not self.balance.keeps(task, filling, rng):
            return []
        wordings = self.wordings.get(task) or wordings_of(task, self.language)
        if not (fitting := [w for w in wordings if w.fields <= filling.keys()]):
            return []
        filling = translated(filling, self.language)
        return [Turn(task, *rng.choice(fitting).filled(filling))]


_DRAWS = 5  # of a task and molecule in a survey, where its questions differ


def _survey(subjects: Iterable[Subject], tasks: Sequence[str]) -> Iterator[tuple[str, Filling]]:
    """What could be asked about some molecules."""
    rng = random.Random(0)
    for subject in subjects:
        try:
            facts = Facts(subject)
        except ValueError:
            continue
        for task in tasks:
            for _ in range(_DRAWS if TASKS[task].asked else 1):
                if (filling := TASKS[task].fill(facts, rng)) is not None:
                    yield task, filling


def _drawn(weights: Mapping[str, float], rng: random.Random) -> list[str]:
    """All tasks in a random order, the heavy ones first more often.

    Weighted sampling without replacement (Efraimidis and Spirakis, 2006).
    """
    keys = {task: rng.random() ** (1 / weight) for task, weight in weights.items()}
    return sorted(keys, key=keys.__getitem__, reverse=True)


# ---- what can be wrong with a file ----


def _mistakes(values: Any) -> list[str]:
    """Every mistake, as key, what was found and what was expected."""
    if not isinstance(values, dict):
        return [f"found {shown(values)}; expected keys such as questions and tasks"]
    found = [f"{k}: no such key; expected {', '.join(_KEYS)}" for k in values if k not in _KEYS]
    questions, charts = values.get("questions"), values.get("charts", 0)
    if not isinstance(questions, int) or isinstance(questions, bool) or questions < 1:
        found.append(f"questions: found {shown(questions)}; expected a whole number of at least 1")
    if not _is_number(charts) or not 0 <= charts < 1:
        found.append(f"charts: found {shown(charts)}; expected a fraction of 0 to less than 1")
    replay = values.get("replay", 0)
    if not _is_number(replay) or not 0 <= replay <= 1:
        found.append(f"replay: found {shown(replay)}; expected a fraction of 0 to 1")
    found += _task_mistakes(values.get("tasks"))
    otherwise = values.get("otherwise")
    if otherwise is not None and otherwise not in TASKS:
        found.append(f"otherwise: found {otherwise!r}; {_EXPECTED_TASK}")
    return found + _wording_mistakes(values.get("wordings"))


def _task_mistakes(tasks: Any) -> list[str]:
    if tasks == "short":
        return []
    if not isinstance(tasks, dict) or not tasks:
        return [f"tasks: found {shown(tasks)}; expected a weight for each task, or short"]
    found = [f"tasks.{task}: no such task; {_EXPECTED_TASK}" for task in tasks if task not in TASKS]
    return found + [
        f"tasks.{task}: found {shown(weight)}; expected a weight greater than 0"
        for task, weight in tasks.items()
        if not _is_number(weight) or not weight > 0
    ]


def _wording_mistakes(wordings: Any) -> list[str]:
    if wordings is None:
        return []
    if not isinstance(wordings, dict):
        return [f"wordings: found {shown(wordings)}; expected a list of wordings for each task"]
    found: list[str] = []
    for task, entries in wordings.items():
        key = f"wordings.{task}"
        if task not in TASKS:
            found.append(f"{key}: no such task; {_EXPECTED_TASK}")
        elif not isinstance(entries, list) or not entries:
            found.append(f"{key}: found {shown(entries)}; expected a list of wordings")
        else:
            for number, entry in enumerate(entries):
                found += [f"{key}[{number}]: {m}" for m in _entry_mistakes(entry, task)]
    return found


def _entry_mistakes(entry: Any, task: str) -> list[str]:
    parts = {"ask": entry} if isinstance(entry, str) else entry
    if not isinstance(parts, dict) or "ask" not in parts or parts.keys() - {"ask", "answer"}:
        return [f"found {shown(entry)}; expected a question, or the keys ask and answer"]
    found = []
    fields = TASKS[task].fields
    texts = [
        (key, text)
        for key, value in parts.items()
        for text in (value if isinstance(value, list) and value else [value])
    ]
    for key, text in texts:
        if not isinstance(text, str) or not text.strip():
            found.append(f"{key}: found {shown(text)}; expected words")
            continue
        try:
            used = fields_of(text)
        except ValueError as error:
            found.append(f"{key}: {error}; write {{{{ for a brace that is none of the fields")
            continue
        if unknown := sorted(used - fields):
            found.append(
                f"{key}: found the fields {', '.join(unknown)}; expected those of the task: "
                f"{', '.join(sorted(fields))}"
            )
        needed = TASKS[task].asked if key == "ask" else set()
        if missing := sorted(needed - used - {SAME_AS[name] for name in used & SAME_AS.keys()}):
            found.append(f"{key}: without {', '.join(missing)} the question cannot be answered")
    return found


_EXPECTED_TASK = f"expected one of {', '.join(TASKS)}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
