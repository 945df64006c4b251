"""Who was right where two readers read each image: counts of each case."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from eyesmol.evaluation.metrics import Evaluation, RowScore, same_smiles

__all__ = ["Opinions", "opinion", "opinions"]

_CASES = (
    "both right",
    "both wrong, alike",
    "only the one that was taken is right",
    "only the other one is right",
    "both wrong, each in its way",
)


@dataclass(frozen=True)
class Opinions:
    """How often each case came.

    Attributes:
        system: the name of the evaluation.
        cases: images of each case, all cases in one order.
    """

    system: str
    cases: dict[str, int]

    @property
    def images(self) -> int:
        """That two readers read."""
        return sum(self.cases.values())


def opinion(row: RowScore) -> str | None:
    """The case of one row; None where there was no second reader."""
    if row.prediction is None or row.prediction.second_smiles is None:
        return None
    both, alike, taken, other, neither = _CASES
    if same_smiles(row.prediction.smiles, row.prediction.second_smiles):
        return both if row.exact else alike
    if row.exact:
        return taken
    return other if same_smiles(row.prediction.second_smiles, row.gold.smiles) else neither


def opinions(evaluation: Evaluation) -> Opinions | None:
    """Counts of all cases; None where no image was read by two."""
    found = Counter(case for row in evaluation.rows if (case := opinion(row)) is not None)
    if not found:
        return None
    return Opinions(evaluation.name, {case: found[case] for case in _CASES})
