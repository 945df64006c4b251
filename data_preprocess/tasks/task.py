"""A task is one kind of question: it fills the fields of its wordings, or does not fit.

The words stand in `wordings.yaml`, and in Korean in `wordings_ko.yaml`: a question alone, or
``ask`` and ``answer``, each one text or several, with fields in braces. A wording with a field that
a molecule does not have is not used for it.
"""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from string import Formatter
from typing import Any, Literal, get_args

import yaml

from data_preprocess.tasks.subject import Facts

__all__ = [
    "COMMON",
    "LANGUAGES",
    "SAME_AS",
    "Filling",
    "Language",
    "Task",
    "Wording",
    "fields_of",
    "translated",
    "wordings_of",
]

Filling = dict[str, str]
Language = Literal["en", "ko"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
# Fields that say in English words what another says.
SAME_AS = {"a_group": "group", "asked": "number"}


@dataclass(frozen=True)
class Wording:
    """Words of a question and of its answer, with fields in braces."""

    ask: str
    answer: str = "{answer}"

    @classmethod
    def all_of(cls, entry: str | Mapping[str, str | list[str]]) -> Iterator[Wording]:
        """From an entry of a YAML file: a question alone, or each ``ask`` with each ``answer``."""
        if isinstance(entry, str):
            entry = {"ask": entry}
        asks, answers = entry["ask"], entry.get("answer", "{answer}")
        for ask, answer in itertools.product(
            [asks] if isinstance(asks, str) else asks,
            [answers] if isinstance(answers, str) else answers,
        ):
            yield cls(ask, answer)

    @cached_property
    def fields(self) -> frozenset[str]:
        """Those that it needs."""
        return fields_of(self.ask) | fields_of(self.answer)

    def filled(self, filling: Filling) -> tuple[str, str]:
        """Question and answer."""
        return self.ask.format(**filling), self.answer.format(**filling)


def fields_of(text: str) -> frozenset[str]:
    """The fields in a text.

    Raises:
        ValueError: a brace without its other half.
    """
    return frozenset(name for _, name, _, _ in Formatter().parse(text) if name is not None)


@dataclass(frozen=True)
class Task:
    """One kind of question.

    Attributes:
        fill: the fields for a molecule, None where the question does not fit it.
        asked: fields without which the question cannot be answered.
        told: fields that an answer may have besides ``answer``.
        is_balanced: some answers are frequent, and the question is kept less often where they are
            right (see `data_preprocess.recipes.balance`).
    """

    fill: Callable[[Facts, random.Random], Filling | None]
    asked: frozenset[str] = frozenset()
    told: frozenset[str] = frozenset()
    is_balanced: bool = False

    @property
    def fields(self) -> frozenset[str]:
        """All fields."""
        return self.asked | self.told | {"answer"}

    def asked_by(self, filling: Filling) -> str:
        """What is asked, whatever the wording; the options of a choice left out."""
        return " ".join(filling[name] for name in sorted(self.asked - {"options"}))


@cache
def wordings_of(task: str, language: Language = "en") -> tuple[Wording, ...]:
    """The words of a task; none where it is not asked in this language."""
    return tuple(w for entry in _file(language).get(task, ()) for w in Wording.all_of(entry))


def translated(filling: Filling, language: Language) -> Filling:
    """The filling with the names that a language has words for: of elements, groups, yes and no."""
    words = _file(language).get("words", {})
    if not words:
        return filling
    return {name: _translated(value, words) for name, value in filling.items()}


def _translated(value: str, words: Mapping[str, str]) -> str:
    """A name, names in a list with their numbers behind them (amide (2), ether), or options."""
    if value in words:
        return words[value]
    if "\n" in value:
        lines = (line.partition(". ") for line in value.split("\n"))
        return "\n".join(f"{letter}. {_translated(name, words)}" for letter, _, name in lines)
    names = [re.fullmatch(r"(.*?)( \(\d+\))?", part) for part in value.split(", ")]
    if not all(name and name[1] in words for name in names):
        return value
    return ", ".join(words[name[1]] + (name[2] or "") for name in names if name)


@cache
def _file(language: Language) -> dict[str, Any]:
    name = "wordings.yaml" if language == "en" else f"wordings_{language}.yaml"
    text = Path(__file__).with_name(name).read_text(encoding="utf-8")
    entries: dict[str, Any] = yaml.safe_load(text)
    return entries


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
    """As people write it: no rings, 1 ring, 2 rings."""
    return f"{number or 'no'} {noun}{'s' * (number != 1)}"


def with_article(noun: str) -> str:
    """A or an before it."""
    vowel = noun[0] in "aeio" or noun.startswith("un")
    return f"{'an' if vowel else 'a'} {noun}"


def counts(names: Mapping[str, int] | Sequence[str]) -> str:
    """Names, with how many where there are several: amide (2), ether."""
    return ", ".join(
        f"{name} ({count})" if count > 1 else name for name, count in Counter(names).items()
    )


def atoms_in_words(atoms: Mapping[str, int]) -> str:
    """As people write it: 8 C, 1 N and 2 O."""
    return listed([f"{count} {symbol}" for symbol, count in atoms.items()])


def told(value: object) -> Filling:
    """An answer that needs no other field."""
    return {"answer": str(value)}
