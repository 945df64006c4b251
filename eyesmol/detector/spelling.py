"""The likeliest spellings of labels: a small beam search over characters, whoever runs the network.

A label is nearly always spelt in one way that is far likelier than all others, so hypotheses are
dropped by how likely they are, not only by their number: mostly one is left.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from eyesmol.detector.vocabulary import BEGIN, END, LONGEST_LABEL, text_of

__all__ = ["Spellings", "spellings"]

_WIDTH = 3  # hypotheses of a label
_LEAST = math.log(0.004)  # log probability below which nothing is followed

# (rows of the step before that go on, one each; the character that each goes on with)
# -> (rows, characters) log probabilities of what follows.
Step = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]]
Spellings = list[dict[str, float]]


def spellings(count: int, step: Step) -> Spellings:
    """Spellings of `count` labels, without brackets, and their probabilities.

    Args:
        count: of labels.
        step: one character more. Its first call is given every label once, with `BEGIN`.
    """
    found: Spellings = [{} for _ in range(count)]
    texts: list[list[int]] = [[] for _ in range(count)]
    of, sure = np.arange(count), np.zeros(count)
    rows, characters = np.arange(count), np.full(count, BEGIN)
    for _ in range(LONGEST_LABEL + 1):
        if len(rows) == 0:
            break
        total = sure[:, None] + step(rows, characters)
        best = np.argsort(-total, axis=1)[:, :_WIDTH]
        going: dict[int, list[tuple[float, int, int]]] = {}
        for row, choices in enumerate(best.tolist()):
            label = int(of[row])
            for character in choices:
                value = float(total[row, character])
                if value < _LEAST:
                    break
                if character == END:
                    found[label][text_of(texts[row])] = math.exp(value)
                else:
                    going.setdefault(label, []).append((value, row, character))
        chosen = [
            (label, *one)
            for label, options in going.items()
            for one in sorted(options, reverse=True)[:_WIDTH]
        ]
        texts = [[*texts[row], character] for _, _, row, character in chosen]
        of = np.array([label for label, *_ in chosen], np.int64)
        sure = np.array([value for _, value, _, _ in chosen])
        rows = np.array([row for _, _, row, _ in chosen], np.int64)
        characters = np.array([character for *_, character in chosen], np.int64)
    return found
