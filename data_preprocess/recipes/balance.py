"""How often a question is kept, by its answer, so that no answer is the one to guess.

Most molecules have no net charge, two or three rings and a benzene ring among them. Asked about all
alike, these questions are answered best without looking. Which answers are frequent depends on the
molecules, so some of them are surveyed before a set is built, and questions with a frequent answer
are kept less often. The decision on a row needs no other row.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from data_preprocess.tasks.chance import chance_among
from data_preprocess.tasks.table import TASKS
from data_preprocess.tasks.task import Filling

__all__ = ["Balance"]

_FEWEST = 30  # questions, from which on a survey says how frequent their answers are
_MARGIN = 0.02  # over chance: what the most frequent answer may keep
_SELDOM = 0.01  # of the questions: an option that is right less often is not offered
_CAPPED = 0.1  # of the questions with a choice: those of the rarest options are all kept
_ROUNDS = 100  # of fitting options to each other

# Answer -> probability of being kept; 1 where it does not stand. Of a choice the names that may be
# offered -> probability of being kept where that one is right.
_Kept = dict[str, float]


@dataclass(frozen=True)
class Balance:
    """How often questions are kept.

    Attributes:
        kept: task -> what is asked (empty where it is always the same) -> answer -> probability.
    """

    kept: Mapping[str, Mapping[str, _Kept]] = field(default_factory=dict)

    @classmethod
    def of(cls, survey: Iterable[tuple[str, Filling]]) -> Balance:
        """From what was asked about some of the molecules.

        Args:
            survey: task and filling of each question.
        """
        asked: dict[str, dict[str, list[Filling]]] = defaultdict(lambda: defaultdict(list))
        for task, filling in survey:
            asked[task][TASKS[task].asked_by(filling)].append(filling)
        kept: dict[str, dict[str, _Kept]] = {}
        for task, questions in sorted(asked.items()):
            fit = _by_options if "options" in TASKS[task].asked else _by_answers
            kept[task] = {
                question: {answer: round(p, 4) for answer, p in sorted(fit(fillings).items())}
                for question, fillings in sorted(questions.items())
                if len(fillings) >= _FEWEST
            }
        return cls(kept)

    def keeps(self, task: str, filling: Filling, rng: random.Random) -> bool:
        """Whether a question is asked; drawn from `rng` where it may be either."""
        if not (questions := self.kept.get(task)):
            return True
        answers = questions.get(TASKS[task].asked_by(filling))
        if answers is None:
            return True
        if "options" in filling and not all(option in answers for option in _options_of(filling)):
            return False
        return rng.random() < answers.get(filling["answer"], 1.0)


def _options_of(filling: Filling) -> tuple[str, ...]:
    return tuple(line.split(". ", 1)[1] for line in filling["options"].split("\n"))


def _by_answers(fillings: list[Filling]) -> _Kept:
    """The frequent answers cut down to the highest level at which none stands out."""
    counts = Counter(filling["answer"] for filling in fillings)
    for level in sorted(set(counts.values()), reverse=True):
        left = {answer: min(count, level) for answer, count in counts.items()}
        if max(left.values()) / sum(left.values()) <= chance_among(left) + _MARGIN:
            return {answer: level / count for answer, count in counts.items() if count > level}
    return dict.fromkeys(counts, 0.0)  # one answer: there is nothing to ask


def _by_options(fillings: list[Filling]) -> _Kept:
    """Each option kept so often that it is right once where it is wrong three times (of four).

    Options that are right too rarely for that are offered to nobody, and stand not in the result.
    How often an option is wrong depends on which others are kept, so this is iterated.
    """
    rights = Counter(filling["answer"] for filling in fillings)
    offered = {name for name, count in rights.items() if count >= _SELDOM * len(fillings)}
    sets = Counter(
        (filling["answer"], options)
        for filling in fillings
        if offered.issuperset(options := _options_of(filling))
    )
    kept = dict.fromkeys(offered, 1.0)
    for _ in range(_ROUNDS):
        right, wrong = dict.fromkeys(offered, 0.0), dict.fromkeys(offered, 0.0)
        for (answer, options), count in sets.items():
            right[answer] += count * kept[answer]
            for option in options:
                if option != answer:
                    wrong[option] += count * kept[answer] / (len(options) - 1)
        kept = {
            name: old * (wrong[name] / right[name]) ** 0.5 if right[name] else 0.0
            for name, old in kept.items()
        }
        highest = max(kept.values(), default=1.0) or 1.0
        kept = {name: value / highest for name, value in kept.items()}
    return _raised(kept, rights)


def _raised(kept: _Kept, rights: Counter[str]) -> _Kept:
    """More of all, so that few questions are lost for the sake of the rarest options."""
    level, above = 1.0, 0
    for name in sorted(kept, key=kept.__getitem__, reverse=True):
        if (above := above + rights[name]) > _CAPPED * sum(rights[name] for name in kept):
            level = kept[name] or 1.0
            break
    return {name: min(1.0, value / level) for name, value in kept.items()}
