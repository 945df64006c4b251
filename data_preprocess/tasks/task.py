"""A task is one kind of question: it fills the fields of its wordings, or does not fit.

The words stand in `wordings.yaml`: a question alone, or ``ask`` and ``answer``, with fields in
braces.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from data_preprocess.tasks.subject import Facts

__all__ = ["COMMON", "Filling", "Task", "Wording", "wordings_of"]

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


# ---- words that several tasks need ----

COMMON = ("C", "N", "O", "S", "F", "Cl", "Br", "P")
_NAMES = {
    "C": "carbon", "N": "nitrogen", "O": "oxygen", "S": "sulfur", "P": "phosphorus",
    "F": "fluorine", "Cl": "chlorine", "Br": "bromine", "I": "iodine", "B": "boron",
    "Si": "silicon",
}  # fmt: skip


def element_name(symbol: str) -> str:
    """In words where the element is common, else its symbol."""
    return _NAMES.get(symbol, symbol)


def listed(items: Sequence[str]) -> str:
    """As people write it: a, b and c."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def counted(number: int, noun: str) -> str:
    """As people write it: no ring, 1 ring, 2 rings."""
    return f"{number or 'no'} {noun}{'s' * (number != 1)}"


def with_article(noun: str) -> str:
    """A or an before it."""
    vowel = noun[0] in "aeio" or noun.startswith("un")
    return f"{'an' if vowel else 'a'} {noun}"


def counts(names: dict[str, int]) -> str:
    """Names, with how many where there are several: amide (2), ether."""
    return ", ".join(f"{name} ({count})" if count > 1 else name for name, count in names.items())


def decimal(value: float, places: int) -> str:
    """With so many places, and without a minus before zero."""
    return f"{round(value, places) + 0.0:.{places}f}"


def told(value: object) -> Filling:
    """An answer that needs no other field."""
    return {"answer": str(value)}
