"""Recipes: which questions an instruction set asks, how often, and in which words.

A recipe is a YAML file that people read and change ::

    questions: 4            # rows an image
    charts: 0.18            # fraction of chart rows in the finished set
    tasks:                  # task -> weight; how often it is drawn, compared with the others
      formula: 2
      rings: 1
    otherwise: summary      # asked where none of the tasks fits; without it there is no row
    wordings:               # optional: instead of a task's own wordings
      formula:
        - What is the molecular formula?
        - ask: Which atoms, and how many of each?
          answer: The formula is {answer}.

``tasks: short`` asks the quickstart's eight short questions instead. The recipes of the project lie
beside this file: ``v1`` (one kind of question), ``v2`` (many kinds, mixed) and ``short``.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from string import Formatter
from typing import Any

import yaml

from data_preprocess.tasks import Turn, instruction_turns
from data_preprocess.tasks.subject import Facts, Subject
from data_preprocess.tasks.table import TASKS
from data_preprocess.tasks.task import Wording, wordings_of
from eyesmol.exceptions import InputError, shown

__all__ = ["RECIPES", "Recipe", "Subject"]

_FOLDER = Path(__file__).parent
RECIPES = tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))  # those of the project
_KEYS = ("questions", "charts", "tasks", "otherwise", "wordings")


@dataclass(frozen=True)
class Recipe:
    """Which questions are asked about an image.

    Attributes:
        name: of the recipe, or the stem of its file.
        questions: rows an image, where that many tasks fit it.
        charts: fraction of chart rows in the finished set, 0 to less than 1.
        tasks: task -> weight; None for the quickstart's short questions.
        otherwise: the task that is asked where none of `tasks` fits.
        wordings: task -> words that replace its own.
    """

    name: str
    questions: int
    charts: float = 0.0
    tasks: Mapping[str, float] | None = None
    otherwise: str | None = None
    wordings: Mapping[str, tuple[Wording, ...]] = field(default_factory=dict)

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
            tasks=None if tasks == "short" else {t: float(w) for t, w in tasks.items()},
            otherwise=values.get("otherwise"),
            wordings={
                task: tuple(Wording.of(entry) for entry in entries)
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

    def _asked(self, task: str, facts: Facts, rng: random.Random) -> list[Turn]:
        filling = TASKS[task].fill(facts, rng)
        if filling is None:
            return []
        wording = rng.choice(self.wordings.get(task) or wordings_of(task))
        return [Turn(task, *wording.filled(filling))]


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
    for key, text in parts.items():
        if not isinstance(text, str) or not text.strip():
            found.append(f"{key}: found {shown(text)}; expected words")
            continue
        try:
            used = {name for _, name, _, _ in Formatter().parse(text) if name is not None}
        except ValueError as error:
            found.append(f"{key}: {error}; write {{{{ for a brace that is none of the fields")
            continue
        if unknown := sorted(used - fields):
            found.append(
                f"{key}: found the fields {', '.join(unknown)}; expected those of the task: "
                f"{', '.join(sorted(fields))}"
            )
        needed = TASKS[task].asked if key == "ask" else set()
        if missing := sorted(needed - used):
            found.append(f"{key}: without {', '.join(missing)} the question cannot be answered")
    return found


_EXPECTED_TASK = f"expected one of {', '.join(TASKS)}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
