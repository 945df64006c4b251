"""Which tasks can be answered without the image: guesses from the words of the rows alone.

A model learns whatever answers a question, and the words are easier to learn than the drawing:
an option that is most like the others, a name that is right whenever it is offered, an answer that
is the usual one. Each guess here is such a shortcut, learnt from one part of the rows and tried on
another. A task is guessable where one of them is right more than 5 points more often than chance.
"""

from __future__ import annotations

import hashlib
import heapq
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from rdkit import Chem, DataStructs, rdBase
from rdkit.Chem import rdFingerprintGenerator
from scipy.stats import binom

from data_preprocess.dataset.json_stream import read_list
from data_preprocess.tasks.chance import chance_among

__all__ = ["Asked", "Sample", "Solved", "asked_in", "solve", "solved_in"]

_MARGIN = 0.05  # over chance: what a guess may gain
_LUCK = 1e-5  # probability; a set has some 50 tasks with ten guesses each
_FOLDS = 5
_SHORT = 40  # characters; a longer answer explains what another row's short one says
_NEEDS_NO_IMAGE = frozenset({"cannot_tell"})  # that no drawing tells it is known from the question
_LONGEST = 200  # characters of an answer; no longer ones are alike
_GROUP = 30  # rows of one question, from which on its own answers are counted
_FEW = 10  # options that have to have something in common before it counts
_CLASSES = 30  # most frequent answers that words of a question can point to


@dataclass(frozen=True)
class Asked:
    """A question and its answer without the image.

    Attributes:
        task: of the row.
        question: its words, options left out.
        options: of a multiple choice, in their order; empty for other questions.
        answer: in short: the letter of an option, yes or no, a number, or the words.
        is_short: False where the answer has more words than these.
        digest: of the whole, the same wherever the row stands.
    """

    task: str
    question: str
    options: tuple[str, ...]
    answer: str
    is_short: bool
    digest: int


@dataclass(frozen=True)
class Solved:
    """How often a task is answered without its image.

    Attributes:
        task: which.
        rows: that were looked at.
        guess: the one that is right most often.
        right: fraction of the rows where it is right.
        chance: fraction that would be right by chance.
        spelling: of a choice, how often the option is right that is spelt like the right options of
            other rows; None for other questions.
    """

    task: str
    rows: int
    guess: str
    right: float
    chance: float
    spelling: float | None = None

    @property
    def is_guessable(self) -> bool:
        """More than 5 points over chance, and by more than luck."""
        if self.task in _NEEDS_NO_IMAGE:
            return False
        chance = max(self.chance, 1 / self.rows)
        luck = binom.sf(round(self.right * self.rows) - 1, self.rows, chance)
        return self.right - self.chance > _MARGIN and bool(luck < _LUCK)

    def in_words(self) -> str:
        """For a report."""
        return (
            f"{self.right:.1%} of {self.rows:,} rows right by a guess, {self.chance:.1%} by chance "
            f"({self.guess})"
        )


# ---- rows ----

_OPTION = re.compile(r"^([A-Z])[.)] (.+)$", re.MULTILINE)
_LETTER = re.compile(r"^\(?([A-Z])\b")
_YES_NO = re.compile(r"^(yes|no|예|네|아니요|아니오)(?![\w-])", re.IGNORECASE)
_NUMBER = re.compile(r"(?:\D* )?([+-]?\d+(?:\.\d+)?)\.?")  # the only one, and last


def asked_in(row: Mapping[str, Any]) -> Asked | None:
    """The first question of a row with its answer; None where it has no task or no turns."""
    turns, task = row.get("conversations"), row.get("task")
    if not isinstance(task, str) or not isinstance(turns, list) or len(turns) < 2:
        return None
    values = [turn.get("value") if isinstance(turn, Mapping) else None for turn in turns[:2]]
    if not all(isinstance(value, str) for value in values):
        return None
    question, answer = (str(value).replace("<image>", "").strip() for value in values)
    digest = hashlib.blake2b(
        f"{row.get('id')}\n{question}".encode("utf-8", "surrogatepass"), digest_size=8
    ).digest()
    options = tuple(text.strip() for _, text in _OPTION.findall(question))
    options = options if len(options) > 1 else ()
    words = _OPTION.sub("", question) if options else question
    return Asked(task, " ".join(words.split()), options, _gist(answer, options),
                 len(answer) <= _SHORT or bool(options), int.from_bytes(digest, "big"))  # fmt: skip


def _gist(answer: str, options: Sequence[str]) -> str:
    if options and (letter := _LETTER.match(answer)):
        return letter[1]
    if yes_no := _YES_NO.match(answer):
        return yes_no[1].lower()
    if number := _NUMBER.fullmatch(answer):
        return number[1]
    return answer.lower().rstrip(".")[:_LONGEST]


class Sample:
    """Some rows of each task, the same ones in whatever order they come.

    Args:
        most: rows kept of a task; the guesses are then right to about a point.
    """

    def __init__(self, most: int = 2_000) -> None:
        self._most = most
        self._kept: dict[str, list[tuple[int, int, Asked]]] = defaultdict(list)
        self._seen = 0

    def add(self, asked: Asked) -> None:
        """One more row; those with the smallest digests are kept."""
        self._seen += 1
        kept = self._kept[asked.task]
        entry = (-asked.digest, self._seen, asked)
        if len(kept) < self._most:
            heapq.heappush(kept, entry)
        elif entry > kept[0]:
            heapq.heapreplace(kept, entry)

    def solved(self) -> list[Solved]:
        """Every task with its best guess, the most guessable first."""
        found = [solve([asked for *_, asked in sorted(kept)]) for kept in self._kept.values()]
        return sorted(found, key=lambda one: (one.chance - one.right, one.task))


def solved_in(lists: Iterable[Path]) -> list[Solved]:
    """Every task of some lists of rows with its best guess, the most guessable first.

    Raises:
        InputError: no JSON list.
    """
    sample = Sample()
    for path in lists:
        for row in read_list(path):
            if isinstance(row, dict) and (asked := asked_in(row)) is not None:
                sample.add(asked)
    return sample.solved()


# ---- guesses ----

_Guess = Callable[[Asked], str]
_Learnt = Callable[[Sequence[Asked]], _Guess]


def solve(rows: Sequence[Asked]) -> Solved:
    """The best guess for the rows of one task, each row guessed from the others.

    Args:
        rows: at least one; all of one task.
    """
    choices = [row for row in rows if row.options]
    spelling = None
    if 2 * len(choices) > len(rows):
        rows, guesses = choices, _CHOICE_GUESSES
        spelling = _right(_SPELLING, rows)
    else:
        # An explanation is never the same twice, though what it explains may be: the task's short
        # answers show it.
        short = [row for row in rows if row.is_short]
        rows, guesses = (short if 4 * len(short) >= len(rows) else rows), _ANSWER_GUESSES
    chances = {name: chance(rows) for name, (_, chance) in guesses.items()}
    right = {name: _right(learn, rows) for name, (learn, _) in guesses.items()}
    best = max(guesses, key=lambda name: (right[name] - chances[name], -len(name)))
    return Solved(rows[0].task, len(rows), best, right[best], chances[best], spelling)


def _right(learn: _Learnt, rows: Sequence[Asked]) -> float:
    """How often a guess is right that was learnt from other rows."""
    right = 0
    for fold in range(_FOLDS):
        others = [row for number, row in enumerate(rows) if number % _FOLDS != fold]
        guess = learn(others or rows)
        right += sum(guess(row) == row.answer for row in rows[fold::_FOLDS])
    return right / len(rows)


# ---- multiple choice ----


def _letter(index: int) -> str:
    return chr(ord("A") + index)


def _of_options(rows: Sequence[Asked]) -> float:
    return sum(1 / len(row.options) for row in rows) / len(rows)


def _best(score: Callable[[str, Sequence[str]], float]) -> _Guess:
    """Guess the option of the highest score; among equals any, by the row's digest."""

    def guess(row: Asked) -> str:
        scores = [score(option, row.options) for option in row.options]
        best = [index for index, value in enumerate(scores) if value == max(scores)]
        return _letter(best[row.digest % len(best)])

    return guess


def _position(rows: Sequence[Asked]) -> _Guess:
    usual = Counter(row.answer for row in rows).most_common(1)[0][0]
    return lambda row: usual


def _central(sign: int, alike: Callable[[str, str], float]) -> _Learnt:
    """The option that is most like the others (or least, with a negative sign)."""

    def score(option: str, options: Sequence[str]) -> float:
        return round(sign * sum(alike(option, other) for other in options if other != option), 9)

    return lambda rows: _best(score)


def _long(sign: int) -> _Learnt:
    return lambda rows: _best(lambda option, options: sign * len(option))


def _spelt(features: Callable[[str], Counter[str]]) -> _Learnt:
    """The option whose features were in right options more often than in wrong ones."""

    def learn(rows: Sequence[Asked]) -> _Guess:
        right, wrong = Counter[str](), Counter[str]()
        for row in rows:
            for index, option in enumerate(row.options):
                (right if _letter(index) == row.answer else wrong).update(features(option))
        rights, wrongs = right.total() + 1, wrong.total() + 1

        @cache
        def odds(feature: str) -> float:
            if right[feature] + wrong[feature] < _FEW:  # one molecule that stands there twice
                return 0.0
            return math.log((right[feature] + 0.5) / rights) - math.log(
                (wrong[feature] + 0.5 * wrongs / rights) / wrongs
            )

        return _best(
            lambda option, options: round(sum(odds(f) for f in features(option).elements()), 9)
        )

    return learn


def _whole(option: str) -> Counter[str]:
    return Counter([option])


@lru_cache(maxsize=100_000)
def _trigrams(text: str) -> Counter[str]:
    padded = f"^^{text}$"
    return Counter(padded[at : at + 3] for at in range(len(padded) - 2))


def _overlap(one: Counter[str], other: Counter[str]) -> float:
    """Dice's coefficient of two multisets."""
    together = one.total() + other.total()
    return 2 * (one & other).total() / together if together else 0.0


def _alike_in_letters(one: str, other: str) -> float:
    return _overlap(_trigrams(one), _trigrams(other))


def _alike_in_atoms(one: str, other: str) -> float:
    return _overlap(_atoms(one), _atoms(other))


@lru_cache(maxsize=100_000)
def _atoms(text: str) -> Counter[str]:
    """Atoms of a formula; of other words the letters, which is as good as nothing."""
    return Counter(
        {symbol: int(count or 1) for symbol, count in re.findall(r"([A-Z][a-z]?)(\d*)", text)}
    )


def _alike_in_structure(one: str, other: str) -> float:
    prints = _fingerprint(one), _fingerprint(other)
    return 0.0 if None in prints else float(DataStructs.TanimotoSimilarity(*prints))


@lru_cache(maxsize=100_000)
def _fingerprint(smiles: str) -> Any:
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
    return None if mol is None else _FINGERPRINTS.GetCountFingerprint(mol)


_FINGERPRINTS = rdFingerprintGenerator.GetMorganGenerator(radius=2, includeChirality=True)

_CHOICE_GUESSES: dict[str, tuple[_Learnt, Callable[[Sequence[Asked]], float]]] = {
    "the usual letter": (_position, _of_options),
    "most like the others by letters": (_central(1, _alike_in_letters), _of_options),
    "most like the others by atoms": (_central(1, _alike_in_atoms), _of_options),
    "most like the others by structure": (_central(1, _alike_in_structure), _of_options),
    "least like the others by letters": (_central(-1, _alike_in_letters), _of_options),
    "least like the others by structure": (_central(-1, _alike_in_structure), _of_options),
    "the longest": (_long(1), _of_options),
    "the shortest": (_long(-1), _of_options),
    "the option that is usually right": (_spelt(_whole), _of_options),
}
# What right options have in common is not only a shortcut: whoever knows which molecules chemists
# make finds some wrong ones odd, however they are chosen. So this guess is told and fails no task.
_SPELLING = _spelt(_trigrams)

# ---- other questions ----


def _of_answers(rows: Sequence[Asked]) -> float:
    return chance_among(Counter(row.answer for row in rows))


def _of_answers_by_question(rows: Sequence[Asked]) -> float:
    """The same, each question with its own answers where it stands often enough."""
    of_all = _of_answers(rows)
    groups = _by_question(rows).values()
    return sum(
        len(group) * (_of_answers(group) if len(group) >= _GROUP else of_all) for group in groups
    ) / len(rows)


def _by_question(rows: Sequence[Asked]) -> dict[str, list[Asked]]:
    groups: dict[str, list[Asked]] = defaultdict(list)
    for row in rows:
        groups[row.question].append(row)
    return groups


def _usual(rows: Sequence[Asked]) -> _Guess:
    usual = Counter(row.answer for row in rows).most_common(1)[0][0]
    return lambda row: usual


def _usual_of_question(rows: Sequence[Asked]) -> _Guess:
    """The usual answer of the very question, of all questions for one that is rare."""
    usual = _usual(rows)
    of = {
        question: _usual(group)
        for question, group in _by_question(rows).items()
        if len(group) >= _GROUP * (1 - 1 / _FOLDS)
    }
    return lambda row: of.get(row.question, usual)(row)


def _words_of_question(rows: Sequence[Asked]) -> _Guess:
    """Naive Bayes on the words of the question, numbers by their size.

    Of more than two answers, those of a rare question are not known well enough to say what chance
    would be; it is answered as usual.
    """
    counts = Counter(row.answer for row in rows)
    usual = _usual(rows)
    sizes = Counter(row.question for row in rows)
    answers = [answer for answer, _ in counts.most_common(_CLASSES)]
    words: dict[str, Counter[str]] = {answer: Counter() for answer in answers}
    for row in rows:
        if row.answer in words:
            words[row.answer].update(set(_words(row.question)))

    def guess(row: Asked) -> str:
        if len(counts) > 2 and sizes[row.question] < _GROUP * (1 - 1 / _FOLDS):
            return usual(row)
        known = set(_words(row.question))
        return max(
            answers,
            key=lambda answer: (
                math.log(counts[answer])
                + sum(math.log((words[answer][w] + 0.5) / (counts[answer] + 1)) for w in known)
            ),
        )

    return guess


def _words(text: str) -> Iterator[str]:
    for word in re.findall(r"[^\W\d]+|\d+", text.lower()):
        # 347 and 352 are of one size, 3 and 4 are not.
        yield word[:1] + "0" * (len(word) - 1) if word.isdigit() else word


_ANSWER_GUESSES: dict[str, tuple[_Learnt, Callable[[Sequence[Asked]], float]]] = {
    "the usual answer": (_usual, _of_answers),
    "the usual answer of the question": (_usual_of_question, _of_answers_by_question),
    "words of the question": (_words_of_question, _of_answers_by_question),
}
