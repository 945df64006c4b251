"""The tasks of instruction sets: what each asks, and the right answer.

A task fills the fields of its wordings (`wordings.yaml`), or says None where its question does not
fit the molecule: where the answer would not be determined, it is not asked. Answers come from the
source or are computed by RDKit, never guessed.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from data_preprocess.tasks.subject import Facts

__all__ = ["TASKS", "Filling", "Task", "Wording", "wordings_of"]

Filling = dict[str, str]


@dataclass(frozen=True)
class Wording:
    """Words of a question and of its answer, with fields in braces."""

    ask: str
    answer: str = "{answer}"

    @classmethod
    def of(cls, entry: str | dict[str, str]) -> Wording:
        """From an entry of a YAML file: the question alone, or ``ask`` and ``answer``."""
        return cls(entry) if isinstance(entry, str) else cls(**entry)

    def filled(self, filling: Filling) -> tuple[str, str]:
        """Question and answer."""
        return self.ask.format(**filling), self.answer.format(**filling)


@dataclass(frozen=True)
class Task:
    """One kind of question.

    Attributes:
        fill: the fields for a molecule, None where the question does not fit it.
        asked: fields without which the question cannot be answered.
        fields: all fields.
    """

    fill: Callable[[Facts, random.Random], Filling | None]
    asked: frozenset[str] = frozenset()
    told: frozenset[str] = frozenset()

    @property
    def fields(self) -> frozenset[str]:
        return self.asked | self.told | {"answer"}


def wordings_of(task: str) -> tuple[Wording, ...]:
    """The words of a task, as `wordings.yaml` has them."""
    return _wordings()[task]


@cache
def _wordings() -> dict[str, tuple[Wording, ...]]:
    text = Path(__file__).with_name("wordings.yaml").read_text(encoding="utf-8")
    entries: dict[str, list[Any]] = yaml.safe_load(text)
    return {task: tuple(map(Wording.of, listed)) for task, listed in entries.items()}


# ---- what the source says ----


def _answer(text: str | None) -> Filling | None:
    return {"answer": text.strip()} if text and text.strip() else None


def _description(facts: Facts, rng: random.Random) -> Filling | None:
    return _answer(facts.subject.description)


def _visual_description(facts: Facts, rng: random.Random) -> Filling | None:
    return _answer(facts.subject.visual_description)


def _name(facts: Facts, rng: random.Random) -> Filling | None:
    return _answer(facts.subject.name)


# ---- what RDKit computes ----


def _smiles(facts: Facts, rng: random.Random) -> Filling | None:
    return {"answer": facts.subject.smiles}


def _formula(facts: Facts, rng: random.Random) -> Filling | None:
    return {"answer": facts.formula} if facts.is_plain else None


def _rings(facts: Facts, rng: random.Random) -> Filling | None:
    return {"answer": str(facts.rings)}


def _summary(facts: Facts, rng: random.Random) -> Filling | None:
    if not facts.is_plain:
        return None
    return {"answer": f"A molecule of the formula {facts.formula} with {facts.rings} rings."}


TASKS: dict[str, Task] = {
    "description": Task(_description),
    "visual_description": Task(_visual_description),
    "name": Task(_name),
    "smiles": Task(_smiles),
    "formula": Task(_formula),
    "rings": Task(_rings),
    "summary": Task(_summary),
}
