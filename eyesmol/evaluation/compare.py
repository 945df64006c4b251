"""Several systems side by side on one gold set, and whether two of them really differ.

The test is McNemar's in its exact form (Biometrika 1947, 12, 153): of the images that only one of
the two reads rightly, is the share of either too large for chance? Images that both read rightly,
or neither, say nothing about the difference. Where the gold set draws a molecule several times, its
drawings are no independent images: the two systems are then exchanged molecule by molecule, and
not image by image (a sign-flip test; with one drawing a molecule it is McNemar's to the digit).
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from eyesmol.evaluation.gold import ScoreError
from eyesmol.evaluation.metrics import METRICS, Evaluation

__all__ = ["SURE", "Comparison", "all_pairs", "compare", "comparison_dict", "comparison_table"]

SURE = 0.05  # the usual level; the table names it


@dataclass(frozen=True)
class Comparison:
    """Two systems on the same pictures.

    Attributes:
        first, second: their names.
        metric: the key of the column that is compared.
        only_first, only_second: pictures that only this one reads rightly.
        p_value: chance of a split as uneven as this if the two were equally good; clustered by
            molecule.
    """

    first: str
    second: str
    metric: str
    only_first: int
    only_second: int
    p_value: float

    def __str__(self) -> str:
        split = f"{self.only_first} right only by {self.first}, {self.only_second} by {self.second}"
        verdict = "they differ" if self.p_value < SURE else "may be chance"
        p_value = f"p = {self.p_value:.3f}" if self.p_value >= 0.001 else "p < 0.001"
        return f"{self.first} against {self.second}: {split}; {p_value}: {verdict}"


def compare(first: Evaluation, second: Evaluation, *, metric: str = "exact") -> Comparison:
    """McNemar's exact test on one column of two evaluations.

    Args:
        first, second: of the same gold set.
        metric: a key of `eyesmol.evaluation.metrics.METRICS` whose values are right or wrong.

    Raises:
        ScoreError: the two were not scored on the same gold rows.
        ValueError: a column that is not right or wrong.
    """
    if [row.gold for row in first.rows] != [row.gold for row in second.rows]:
        raise ScoreError(
            f"{first.name} and {second.name} were scored on different gold rows; score both "
            "against the same gold set"
        )
    value = METRICS[metric].of
    pairs = [(value(a), value(b), a.molecule) for a, b in zip(first.rows, second.rows, strict=True)]
    known = [(a, b, molecule) for a, b, molecule in pairs if a is not None and b is not None]
    if any(v not in (0, 1) for pair in known for v in pair[:2]):
        raise ValueError(f"{metric}: expected a column of right and wrong")
    only_first = sum(a > b for a, b, _ in known)
    only_second = sum(a < b for a, b, _ in known)
    ahead: Counter[str] = Counter()
    for a, b, molecule in known:
        ahead[molecule] += int(a) - int(b)
    p_value = _sign_flip(list(ahead.values()))
    return Comparison(first.name, second.name, metric, only_first, only_second, p_value)


def _sign_flip(differences: Sequence[int]) -> float:
    """Chance that the sum of some numbers, each with either sign, is at least as far from 0."""
    sizes = [abs(number) for number in differences if number]
    # chances[k]: of a sum of 2k - reach; each number moves it to either side.
    chances, reach = np.ones(1), sum(sizes)
    for size in sizes:
        chances = (np.pad(chances, (0, size)) + np.pad(chances, (size, 0))) / 2
    sums = np.abs(2 * np.arange(reach + 1) - reach)
    return min(1.0, float(chances[sums >= abs(sum(differences))].sum()))


def all_pairs(evaluations: Sequence[Evaluation]) -> list[Comparison]:
    """The test of exact match for each pair of systems."""
    return [compare(a, b) for a, b in itertools.combinations(evaluations, 2)]


def comparison_table(evaluations: Sequence[Evaluation]) -> str:
    """One column a system, one row a metric, shares in per cent; then the test of each pair."""
    columns = [evaluation.shares() for evaluation in evaluations]
    keys = [key for key in METRICS if any(key in column for column in columns)]
    title = max((len(METRICS[key].title) for key in keys), default=0)
    widths = [max(len(evaluation.name), 6) for evaluation in evaluations]
    lines = [f"{len(evaluations[0].rows)} pictures scored, shares in per cent"]
    names = (f"{e.name:>{w}}" for e, w in zip(evaluations, widths, strict=True))
    lines.append("  ".join([" " * (title + 2), *names]))
    for key in keys:
        cells = (
            f"{METRICS[key].text(column[key].value):>{width}}"
            if key in column
            else f"{'-':>{width}}"
            for column, width in zip(columns, widths, strict=True)
        )
        lines.append("  ".join([f"  {METRICS[key].title:<{title}}", *cells]))
    for number, evaluation in enumerate(evaluations):
        # All have the same gold rows that cannot be scored: once is enough.
        counted = evaluation if number == 0 else replace(evaluation, unscorable=())
        lines += [f"  {line}" for line in counted.count_lines()]
    lines.append(f"exact match, McNemar's exact test (differ: p < {SURE}):")
    lines += [f"  {comparison}" for comparison in all_pairs(evaluations)]
    return "\n".join(lines)


def comparison_dict(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """For a JSON file: each system with its rows, then the test of each pair."""
    return {
        "systems": [evaluation.to_dict() for evaluation in evaluations],
        "comparisons": [asdict(comparison) for comparison in all_pairs(evaluations)],
    }
