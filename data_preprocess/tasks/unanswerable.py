"""Questions that no drawing answers, so that a model learns to say so instead of guessing."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from data_preprocess.tasks.subject import Facts
from data_preprocess.tasks.task import Filling, Task, counted, told

__all__ = ["UNANSWERABLE"]


@dataclass(frozen=True)
class _Unanswerable:
    """A question that the image cannot answer.

    Attributes:
        question, reason: words.
        said: what a description mentions that answers it; then it is not asked.
    """

    question: str
    reason: str
    said: str = "^"


_UNKNOWNS = (
    _Unanswerable("What is the boiling point of this compound?",
                  "a boiling point has to be measured or looked up", r"boil|\bb\.?p\b|°"),
    _Unanswerable("At what temperature does this compound melt?",
                  "a melting point has to be measured or looked up", r"melt|\bm\.?p\b|°"),
    _Unanswerable("What colour is this substance?",
                  "the lines of a drawing have no bearing on the colour of the substance",
                  r"colou?r|white|yellow|red\b|orange|green|blue|brown|black|purple|violet|pigment|dye"),
    _Unanswerable("Does this compound smell?", "a smell has to be experienced",
                  r"smell|odou?r|scent|fragran"),
    _Unanswerable("How dense is this substance at room temperature?",
                  "a density has to be measured", r"dens"),
    _Unanswerable("Who made this compound first?",
                  "a drawing does not name the people behind a compound"),
    _Unanswerable("In which year was this compound first described?", "a drawing carries no date"),
    _Unanswerable("What does a gram of this compound cost?", "a drawing says nothing about prices"),
    _Unanswerable("How pure is the sample?", "a drawing shows a molecule and no sample"),
    _Unanswerable("By which route was this compound made?",
                  "a drawing shows the product and not the way to it",
                  r"synthes|prepar|obtain|deriv"),
    _Unanswerable("What is this compound used for?", "a use is nothing that a drawing shows"),
    _Unanswerable("What biological activity does this compound have?",
                  "an activity has to be found in an assay"),
    _Unanswerable("How toxic is this compound to rats?", "toxicity has to be tested"),
    _Unanswerable("Which crystal system does this compound have?",
                  "how molecules pack does not follow from the drawing of one", "crystal"),
)  # fmt: skip


def _cannot_tell(facts: Facts, rng: random.Random) -> Filling | None:
    """A question whose answer neither the image nor the description has."""
    description = facts.subject.description or ""
    unanswerable = [
        unknown
        for unknown in _UNKNOWNS
        if not description
        or (unknown.said != "^" and not re.search(unknown.said, description, re.I))
    ]
    # The ones that this very drawing leaves open matter most.
    unanswerable += _unknown_here(facts) * 4
    if not unanswerable:
        return None
    unknown = rng.choice(unanswerable)
    reason = unknown.reason
    return {"question": unknown.question, "reason": reason} | told(reason[0].upper() + reason[1:])


def _unknown_here(facts: Facts) -> list[_Unanswerable]:
    if facts.is_general:
        left = f"the drawing leaves {counted(facts.r_groups, 'position')} open"
        return [
            _Unanswerable("What is the molecular formula of this compound?", left),
            _Unanswerable("What is the molecular weight of this compound?", left),
        ]
    stereo = facts.stereo
    if stereo and stereo.centres == 1 and not stereo.known and facts.is_complete:
        return [
            _Unanswerable(
                "Is the stereocentre of this molecule R or S?",
                "no wedge shows the configuration of its stereocentre",
            )
        ]
    return []


UNANSWERABLE = {"cannot_tell": Task(_cannot_tell, frozenset({"question"}), frozenset({"reason"}))}
