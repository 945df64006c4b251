"""How sure the model was, from the probabilities of the tokens that it wrote; and how far to trust
that, from pictures whose truth is known.

An atom's confidence is the product of the probabilities of the tokens of its label, a bond's of
its line. The digits of places are left out: a pixel more or less is as right (on the validation
pictures of the quickstart labels alone rank right atoms above wrong ones with an area under the
curve of 0.74, labels and places together with 0.69). The raw confidence of a molecule is the
product over all tokens, places apart, of the opinion that was taken: the graph, or the SMILES.

A product is the probability of being right only if the model knows its own doubts, and no model
does; `Calibration` learns the way from the one to the other (J. Platt, "Probabilistic outputs for
support vector machines", 1999).

No torch in here.
"""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eyesmol.answer.text import Answer, Span

__all__ = [
    "Calibration",
    "CalibrationError",
    "Confidences",
    "Reliability",
    "TokenTrace",
    "cross_validated",
    "reliability",
]

# The digits of a place: at the beginning of a compact line, in brackets behind "xy" in JSON.
_PLACE = re.compile(r'^[ \t]*(-?\d+ -?\d+)\b|"xy":\s*\[([^\]]*)', re.MULTILINE)


class TokenTrace:
    """The tokens of an answer: where each ends, and how likely the model found it.

    Args:
        ends: for each token the letters of the answer up to its end; the last may be the end token,
            which adds none.
        log_probabilities: natural logarithms, the same number.
    """

    def __init__(self, ends: Sequence[int], log_probabilities: Sequence[float]) -> None:
        if len(ends) != len(log_probabilities):
            raise ValueError(f"{len(ends)} ends, but {len(log_probabilities)} log-probabilities")
        self._ends, self._begins = list(ends), [0, *ends][: len(ends)]
        self._sums = [0.0, *accumulate(log_probabilities)]

    def without(self, spans: Sequence[Span]) -> TokenTrace:
        """The same tokens, those that touch a span taken for certain."""
        values = [b - a for a, b in zip(self._sums, self._sums[1:], strict=False)]
        for span in spans:
            for token in range(*self._tokens(span)):
                values[token] = 0.0
        return TokenTrace(self._ends, values)

    def over(self, span: Span) -> float:
        """Sum of the log-probabilities of the tokens that have a letter in a span."""
        first, last = self._tokens(span)
        return self._sums[last] - self._sums[first]

    def until(self, letter: int) -> float:
        """The same of all tokens that end before a letter, or there."""
        return self._sums[bisect_right(self._ends, letter)]

    def since(self, letter: int) -> float:
        """The same of the others, the end of the answer included."""
        return self._sums[-1] - self.until(letter)

    def _tokens(self, span: Span) -> tuple[int, int]:
        begin, end = span
        return bisect_right(self._ends, begin), max(
            bisect_left(self._begins, end), bisect_right(self._ends, begin)
        )


@dataclass(frozen=True)
class Confidences:
    """Probabilities 0 to 1, as the model saw them.

    Attributes:
        atoms, bonds: of each one of the answer's graph.
        graph: of the graph as a whole.
        smiles: of the written SMILES, given the graph.
    """

    atoms: tuple[float, ...]
    bonds: tuple[float, ...]
    graph: float
    smiles: float

    @classmethod
    def of(cls, answer: Answer, text: str, trace: TokenTrace) -> Confidences:
        """From an answer, its text, and the tokens that wrote it."""
        places = (match.span(match.lastindex or 0) for match in _PLACE.finditer(text))
        trace = trace.without([(begin, end) for begin, end in places if begin < end])
        spans = answer.spans
        begin = spans.smiles[0] if spans.smiles else len(text)
        return cls(
            tuple(_probability(trace.over(span)) for span in spans.atoms),
            tuple(_probability(trace.over(span)) for span in spans.bonds),
            _probability(trace.until(begin)),
            _probability(trace.since(begin)) if spans.smiles else 0.0,
        )


def _probability(log: float) -> float:
    """Four figures, so that a very small one stays more than nothing."""
    return float(f"{math.exp(max(log, -600.0)):.4g}")


# ---- calibration ----


class CalibrationError(Exception):
    """A calibration that cannot be read or learnt; the message says why and what to do."""


_FEWEST = 30  # pictures to learn from


@dataclass(frozen=True)
class Calibration:
    """From the raw confidence to the probability of being right: sigmoid(slope * log raw + offset).

    It keeps the order of the pictures, and two numbers can be learnt from a hundred of them.

    Attributes:
        slope, offset: see above.
        rows: pictures that it was learnt from.
        right: share of them whose best guess was right, stereo included.
    """

    slope: float
    offset: float
    rows: int
    right: float

    def __call__(self, raw: float) -> float:
        """Probability of being right, of a raw confidence."""
        return round(float(_sigmoid(self.slope * _log(raw) + self.offset)), 4)

    @classmethod
    def learnt(cls, raw: Sequence[float], right: Sequence[bool]) -> Calibration:
        """From pictures of known truth, by maximum likelihood on Platt's softened targets.

        A confidence that ranks the wrong way round gets slope 0: the plain share of right ones.

        Raises:
            CalibrationError: fewer than 30 pictures.
        """
        if len(raw) < _FEWEST:
            raise CalibrationError(
                f"{len(raw)} pictures with a confidence; expected at least {_FEWEST}, better 300"
            )
        from scipy.optimize import minimize  # to learn only: reading goes without SciPy

        logs, good = np.array([_log(value) for value in raw]), np.array(right, dtype=bool)
        count = int(good.sum())
        # Platt's targets: one more right and one more wrong picture than were seen.
        target = np.where(good, (count + 1) / (count + 2), 1 / (len(good) - count + 2))
        share = (count + 1) / (len(good) + 2)
        start = np.array([0.1, math.log(share / (1 - share))])

        def loss(values: npt.NDArray[np.float64]) -> float:
            z = values[0] * logs + values[1]
            return float(np.mean(np.logaddexp(0, z) - target * z))

        found = minimize(loss, start, bounds=[(0, None), (None, None)])
        slope, offset = map(float, found.x)
        return cls(slope, offset, len(good), round(count / len(good), 4))

    def write(self, path: Path) -> None:
        """As JSON, moved into place when it is whole."""
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        temporary.replace(path)

    @classmethod
    def read(cls, path: Path | str) -> Calibration:
        """From a file that `write` made.

        Raises:
            CalibrationError: no such file, or none of a calibration.
        """
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
            numbers = {name: float(values[name]) for name in ("slope", "offset", "right")}
            found = cls(**numbers, rows=int(values["rows"]))
            if not (math.isfinite(found.offset) and 0 <= found.slope < math.inf):
                raise ValueError(f"slope {found.slope}, offset {found.offset}")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CalibrationError(
                f"{path}: cannot be read as a calibration: {error!r}; expected the file that "
                "`eyesmol calibrate` writes"
            ) from None
        return found


def _log(raw: float) -> float:
    return math.log(min(max(raw, 1e-260), 1.0))


def _sigmoid(values: Any) -> Any:
    return 1 / (1 + np.exp(-np.clip(values, -500, 500)))


@dataclass(frozen=True)
class Reliability:
    """How confidences and the truth go together.

    Attributes:
        brier: mean squared difference of confidence and truth; 0 is best.
        error: expected calibration error over 10 bins of as many pictures each; 0 is best.
        top_half, rest: shares of right ones among the more and the less confident half.
        bins: for each bin (mean confidence, share right, pictures), from low to high.
    """

    brier: float
    error: float
    top_half: float
    rest: float
    bins: tuple[tuple[float, float, int], ...]


def reliability(confidence: Sequence[float], right: Sequence[bool]) -> Reliability:
    """Compare confidences with the truth; both of one length, at least 1."""
    order = np.argsort(-np.array(confidence, dtype=float), kind="stable")
    value, good = np.array(confidence, dtype=float)[order], np.array(right, dtype=float)[order]
    half = (len(good) + 1) // 2
    parts = [p for p in np.array_split(np.arange(len(good)), 10) if len(p)][::-1]
    bins = tuple((float(value[p].mean()), float(good[p].mean()), len(p)) for p in parts)
    return Reliability(
        brier=float(np.mean((value - good) ** 2)),
        error=float(sum(abs(mean - share) * n for mean, share, n in bins) / len(good)),
        top_half=float(good[:half].mean()),
        rest=float(good[half:].mean()) if len(good) > half else math.nan,
        bins=bins,
    )


def cross_validated(raw: Sequence[float], right: Sequence[bool], folds: int = 5) -> list[float]:
    """Calibrated confidence of each picture, learnt from the pictures of the other folds."""
    found = [0.0] * len(raw)
    for fold in range(folds):
        others = [n for n in range(len(raw)) if n % folds != fold]
        learnt = Calibration.learnt([raw[n] for n in others], [right[n] for n in others])
        for n in range(fold, len(raw), folds):
            found[n] = learnt(raw[n])
    return found
