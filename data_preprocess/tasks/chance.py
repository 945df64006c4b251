"""How often an answer is right that somebody picks who knows the usual answers and no more."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["chance_among"]

_USUAL = 0.95  # of the rows: theirs are the usual answers


def chance_among(counts: Mapping[str, float]) -> float:
    """One over the number of usual answers: the most frequent ones, together 95 % of the rows.

    Never more than a half, so that a question with one answer is no question that chance solves.

    Args:
        counts: answer -> how often it is right.
    """
    total = sum(counts.values())
    usual, covered = 0, 0.0
    for count in sorted(counts.values(), reverse=True):
        if covered >= _USUAL * total:
            break
        usual, covered = usual + 1, covered + count
    return 1 / max(usual, 2)
