"""Several readers, one answer: what most of them say of an image, and how likely that is right.

Readers that were built apart make different mistakes, so what several of them read alike is nearly
always right. The answer is the molecule (canonical SMILES, stereo included) that most readers give;
of equally many votes that of the better reader, or of the reader that is named first where it is
not known which is better.

How likely an answer is right is learnt where the truth is known. Its log-odds are

    offset + sum of the weights of the readers that give it - sum of those that give another

with a weight of at least 0 for each reader, by maximum likelihood on Platt's targets (see
`eyesmol.answer.confidence`). This is the rule of a weighted majority vote (S. Nitzan and
J. Paroush, Int. Econ. Rev. 1982, 23, 289), its weights learnt together, so that two readers that
make the same mistakes do not count twice.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eyesmol.evaluation.gold import GoldSet, ScoreError
from eyesmol.evaluation.metrics import evaluate, image_keys, molecule_key
from eyesmol.outputs import replacing
from eyesmol.recognition import Molecule, Recognition

__all__ = ["Ballot", "Learnt", "Trust", "ballots", "learn"]

_FEWEST = 30  # images to learn from
_FOLDS = 5


@dataclass(frozen=True)
class Ballot:
    """What each reader says of one image.

    Attributes:
        image: its name, as the first reader that has it writes it.
        readings: one a reader; None where it has no row of this image.
    """

    image: str
    readings: tuple[Recognition | None, ...]

    @cached_property
    def answers(self) -> dict[str, tuple[int, ...]]:
        """The readers (by number) that give each molecule. A guess that was withheld counts."""
        found: dict[str, list[int]] = {}
        for reader, read in enumerate(self.readings):
            smiles = read and (read.smiles or read.withheld_smiles)
            if smiles and (key := molecule_key(smiles)):
                found.setdefault(key, []).append(reader)
        return {key: tuple(readers) for key, readers in found.items()}

    def ranked(self, order: Sequence[int]) -> list[str]:
        """The molecules, most votes first; of equally many that of the first reader in an order."""
        place = {reader: rank for rank, reader in enumerate(order)}
        return sorted(
            self.answers,
            key=lambda key: (
                -len(self.answers[key]),
                min(map(place.__getitem__, self.answers[key])),
            ),
        )

    def signs(self, answer: str) -> npt.NDArray[np.float64]:
        """Of each reader: 1 where it gives an answer, -1 where it gives another, 0 for none."""
        signs = np.zeros(len(self.readings))
        for key, readers in self.answers.items():
            signs[list(readers)] = 1 if key == answer else -1
        return signs


def ballots(predictions: Sequence[Sequence[Recognition]], names: Sequence[str]) -> list[Ballot]:
    """The readings of each image, brought together by path, else file name, else stem.

    Args:
        predictions: of each reader.
        names: of the readers, for messages.

    Raises:
        ScoreError: the readers have no image in common, or one has an image twice.
    """

    def shared(key: Any) -> int:
        files = Counter(name for reads in predictions for name in {key(r.image) for r in reads})
        return sum(count - 1 for count in files.values())

    key = max(image_keys(), key=shared)  # of equals the first, the strictest
    if not shared(key):
        first, second = (reads[0].image if reads else "none" for reads in predictions[:2])
        raise ScoreError(
            f"{' and '.join(names)}: no image in common: found names like {first!r} and "
            f"{second!r}; expected the same but for folder and ending"
        )
    rows: dict[str, list[Recognition | None]] = {}
    for reader, reads in enumerate(predictions):
        for read in reads:
            row = rows.setdefault(key(read.image), [None] * len(predictions))
            if row[reader] is not None:
                raise ScoreError(f"{names[reader]}: found {read.image!r} twice, expected it once")
            row[reader] = read
    return [Ballot(next(r for r in row if r).image, tuple(row)) for row in rows.values()]


# ---- what was learnt ----


@dataclass(frozen=True)
class Trust:
    """How far to trust some readers; see above.

    Attributes:
        readers: their names.
        right: the share of these images that each reads rightly; the best comes first in a tie.
        weights: of each reader, at least 0.
        offset: see above.
        images: from which it was learnt.
    """

    readers: tuple[str, ...]
    right: tuple[float, ...]
    weights: tuple[float, ...]
    offset: float
    images: int

    @property
    def order(self) -> list[int]:
        """The readers by number, the best first."""
        return sorted(range(len(self.readers)), key=lambda reader: -self.right[reader])

    def probability(self, ballot: Ballot, answer: str) -> float:
        """That an answer is right."""
        z = self.offset + float(np.dot(self.weights, ballot.signs(answer)))
        return round(1 / (1 + math.exp(-max(-500.0, min(500.0, z)))), 4)

    def write(self, path: Path) -> None:
        """As JSON, moved into place when it is whole."""
        with replacing(path) as file:
            json.dump(asdict(self), file, indent=2)
            file.write("\n")

    @classmethod
    def read(cls, path: Path | str) -> Trust:
        """From a file that `write` made.

        Raises:
            ScoreError: no such file, or none of these.
        """
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
            found = cls(
                tuple(map(str, values["readers"])),
                tuple(map(float, values["right"])),
                tuple(map(float, values["weights"])),
                float(values["offset"]),
                int(values["images"]),
            )
            if not len(found.readers) == len(found.right) == len(found.weights):
                raise ValueError("lists of different lengths")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ScoreError(
                f"{path}: cannot be read as a vote's calibration: {error!r}; expected the file "
                "that `eyesmol vote --learn GOLD --save-calibration FILE` writes"
            ) from None
        return found


@dataclass(frozen=True)
class Learnt:
    """What a validation set teaches.

    Attributes:
        trust: from all its images.
        honest: the probability of each of its images (by its name in the ballots), learnt from the
            images of other molecules (5-fold).
        rows: of each image with a truth and an answer: its ballot, and whether the answer is right.
    """

    trust: Trust
    honest: Mapping[str, float]
    rows: tuple[tuple[Ballot, bool], ...]


def learn(found: Sequence[Ballot], names: Sequence[str], gold: GoldSet) -> Learnt:
    """Which readers to trust, from the images whose truth is known.

    Args:
        found: of `ballots`.
        names: of the readers.
        gold: the truth of some of the images.

    Raises:
        ScoreError: fewer than 30 images have a truth and an answer.
    """
    cases = _cases(found, len(names), gold)
    if len(cases) < _FEWEST:
        raise ScoreError(
            f"{gold.source}: {len(cases)} images with a truth and an answer; expected at least "
            f"{_FEWEST}, better 300, to learn a vote's probability from"
        )
    right = tuple(
        round(
            sum(reader in ballot.answers.get(truth, ()) for ballot, truth in cases) / len(cases), 4
        )
        for reader in range(len(names))
    )
    blank = Trust(tuple(names), right, (), 0.0, 0)
    trust = _fitted(blank, cases)
    fold = {truth: n % _FOLDS for n, truth in enumerate(sorted({truth for _, truth in cases}))}
    honest: dict[str, float] = {}
    for number in range(_FOLDS):
        others = [(ballot, truth) for ballot, truth in cases if fold[truth] != number]
        known = _fitted(blank, others) if others else trust
        honest |= {
            ballot.image: known.probability(ballot, ballot.ranked(trust.order)[0])
            for ballot, truth in cases
            if fold[truth] == number
        }
    rows = tuple((ballot, ballot.ranked(trust.order)[0] == truth) for ballot, truth in cases)
    return Learnt(trust, honest, rows)


def _cases(found: Sequence[Ballot], readers: int, gold: GoldSet) -> list[tuple[Ballot, str]]:
    """Ballots with an answer whose truth is known, and the truth (its `molecule_key`)."""
    by_image = {ballot.image: ballot for ballot in found}
    answers = [voted(ballot, range(readers)) for ballot in found]
    return [
        (by_image[row.prediction.image], truth)
        for row in evaluate(gold, answers, name="vote").rows
        if row.prediction and row.prediction.smiles and (truth := molecule_key(row.gold.smiles))
    ]


def _fitted(blank: Trust, cases: Sequence[tuple[Ballot, str]]) -> Trust:
    """Weights and offset by maximum likelihood; see above."""
    from scipy.optimize import minimize  # to learn only

    answers = [(ballot, ballot.ranked(blank.order)[0]) for ballot, _ in cases]
    signs = np.array([ballot.signs(answer) for ballot, answer in answers])
    good = np.array(
        [answer == truth for (_, answer), (_, truth) in zip(answers, cases, strict=True)]
    )
    count, readers = int(good.sum()), len(blank.readers)
    # Platt's targets: one more right and one more wrong image than were seen.
    target = np.where(good, (count + 1) / (count + 2), 1 / (len(good) - count + 2))

    def loss(values: npt.NDArray[np.float64]) -> float:
        weights, offset = values[:-1], values[-1]
        z = signs @ weights + offset
        # Where the images do not tell readers apart, equal weights are the likeliest.
        uneven = float(((weights - weights.mean()) ** 2).sum()) / len(good)
        return float(np.mean(np.logaddexp(0, z) - target * z)) + uneven

    start = np.array([0.5] * readers + [0.0])
    bounds: list[tuple[float | None, float | None]] = [(0, None)] * readers + [(None, None)]
    values = minimize(loss, start, bounds=bounds).x
    weights = tuple(round(float(value), 4) for value in values[:-1])
    return replace(blank, weights=weights, offset=round(float(values[-1]), 4), images=len(good))


# ---- the answer ----


def voted(
    ballot: Ballot,
    order: Sequence[int],
    names: Sequence[str] = (),
    probability: float | None = None,
) -> Recognition:
    """The answer of most readers: the reading of the best of them, a graph before none.

    Args:
        ballot: of one image.
        order: the readers, the best first.
        names: of the readers, for the reason.
        probability: that the answer is right; without it the confidence is the share of the
            readers that give the answer, which only ranks.
    """
    count = len(ballot.readings)
    reads = [read for reader in order if (read := ballot.readings[reader]) is not None]
    seconds = sum(read.seconds for read in reads)
    ranked = ballot.ranked(order)
    if not ranked:
        errors = [read.error for read in reads if read.error]
        return Recognition(
            ballot.image,
            error=errors[0] if len(errors) == len(reads) else None,
            reason=f"no molecule: none of {count} readers gives one",
            seconds=seconds,
        )
    agreed = [reader for reader in order if reader in ballot.answers[ranked[0]]]
    chosen = [read for reader in agreed if (read := ballot.readings[reader]) is not None]
    best = next((read for read in chosen if read.smiles and read.graph), None)
    best = best or next((read for read in chosen if read.smiles), chosen[0])
    share = round(len(agreed) / count, 4)
    why = f"{len(agreed)} of {count} readers agree"
    if names:
        why += f": {', '.join(names[reader] for reader in agreed)}"
    molecule = best.molecule if best.smiles else Molecule()
    return replace(
        best,
        image=ballot.image,
        molecule=replace(molecule, smiles=ranked[0], why=why),
        confidence=share if probability is None else probability,
        raw_confidence=share,
        seconds=seconds,
        memory_mib=None,
        alternatives=tuple(ranked[1:]),
        error=None,
        reason=None,
        withheld_smiles=None,
        second_smiles=None,
        differences=(),
    )


def vote_row(ballot: Ballot, answer: Recognition, names: Sequence[str]) -> dict[str, Any]:
    """A row of the output: the answer, how many agreed, and who gave which molecule."""
    votes = {key: [names[r] for r in readers] for key, readers in ballot.answers.items()}
    agreed = len(ballot.answers.get(answer.smiles or "", ()))
    return {**answer.to_dict(), "agreed": agreed, "readers": len(names), "votes": votes}
