"""What the network sees in one image at one scale, and several such views put together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from eyesmol.detector.candidates import candidate_pairs
from eyesmol.detector.engine import Engine, FloatArray, View
from eyesmol.detector.ink import Ink, padded, scaled
from eyesmol.detector.network_shape import FINE, MULTIPLE
from eyesmol.detector.vocabulary import CARBON, LABELS, NONE, SPELT, BondClass

__all__ = ["Detection", "Sight", "detect", "fused"]

_MARGIN = 16  # image pixels of paper round the drawing
_CELL = 2  # grid pixels
_FAINT, _SURE = 0.12, 0.5  # heat of a junction that is asked about; that blocks lines over it
_MOST = 400  # junctions
_APART = 0.3  # of a bond: nearer to each other, two peaks are one
_REACH = 3.2  # median bonds: the longest bond
_CERTAIN = 0.985  # a label less certain is spelt, too
_UNSEEN = 0.03  # of what the speller leaves open: the share of a class that it did not think of
_END = 0.25  # how likely at least a carbon at an end is a label that has to be spelt
_SLIP = 0.3  # how often an element or a CH3 is taken for a label that has to be spelt
_CARBONS = ("C", "CH", "CH2", "CH3", "HC", "H2C", "H3C")  # with letters
_GONE = 0.9  # probability of no atom from which a junction no longer blocks lines


@dataclass(frozen=True)
class Detection:
    """Junctions, labels and bonds with their probabilities; places in the image's own pixels.

    Attributes:
        places: (N, 2).
        labels: N dictionaries, text as `Atom.text` writes it -> probability; the rest is that no
            atom is there.
        pairs: (M, 2) junctions i < j.
        bonds: (M, number of `BondClass`).
        bond_length: median, image pixels.
        factor: scale of the view: image pixels of the network for a pixel of the image.
    """

    places: FloatArray
    labels: tuple[dict[str, float], ...]
    pairs: NDArray[np.int64]
    bonds: FloatArray
    bond_length: float
    factor: float

    @property
    def existence(self) -> FloatArray:
        """(N,) probability that an atom is there."""
        return np.array([sum(options.values()) for options in self.labels], np.float32)

    @property
    def certainty(self) -> float:
        """How sure and how connected the view is, 0 to 1, whatever its size.

        The mean of the logarithms of what was decided about junctions and bonds, times the root of
        the largest connected part's share.
        """
        real = self.existence > 0.5
        bonded = (self.bonds[:, BondClass.NONE] < 0.5) & real[self.pairs].all(1)
        if not bonded.any():
            return 0.0
        count = int(real.sum())
        best = np.array([max(o.values()) for o, r in zip(self.labels, real, strict=True) if r])
        doubt = -np.log(np.maximum(best, 0.01)).sum()
        doubt += -np.log(np.maximum(self.bonds.max(1), 0.01)).sum()
        near = self.existence
        doubt += -np.log(np.maximum(np.maximum(near, 1 - near), 0.01)).sum()
        largest = _largest_part(len(self.places), self.pairs[bonded]) / count
        return math.exp(-doubt / count) * largest**0.5 * min(1.0, (count / 6) ** 0.25)

    @property
    def bond_counts(self) -> NDArray[np.int64]:
        """(N,) likely bonds of each junction."""
        bonded = self.pairs[self.bonds[:, BondClass.NONE] < 0.5]
        return np.bincount(bonded.reshape(-1), minlength=len(self.places))

    def median_bond(self) -> float | None:
        """Median length of the bonds that are likelier there than not; None without any."""
        real = self.existence > 0.5
        bonded = (self.bonds[:, BondClass.NONE] < 0.5) & real[self.pairs].all(1)
        if not bonded.any():
            return None
        ends = self.places[self.pairs[bonded]]
        return float(np.median(np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1)))


def _largest_part(count: int, pairs: NDArray[np.int64]) -> int:
    root = list(range(count))

    def find(a: int) -> int:
        while root[a] != a:
            root[a] = root[root[a]]
            a = root[a]
        return a

    for a, b in pairs.tolist():
        root[find(a)] = find(b)
    sizes = np.bincount([find(a) for a in range(count)], minlength=1)
    return int(sizes.max())


@dataclass(frozen=True)
class Sight:
    """One look at an image, its labels not spelt yet.

    Attributes:
        detection: labels that have no class of their own are ``*``.
        view: of the network; None where it saw nothing.
        places: (N, 2) junctions in grid pixels.
        classes: (N, LABEL_CLASSES) probabilities.
    """

    detection: Detection
    view: View | None
    places: FloatArray
    classes: FloatArray

    def spelt(self) -> Detection:
        """What was detected, its labels read letter by letter."""
        if self.view is None:
            return self.detection
        ends = self.detection.bond_counts <= 1
        return replace(self.detection, labels=_spelt(self.view, self.places, self.classes, ends))


def detect(engine: Engine, ink: Ink, factor: float) -> Sight:
    """Look at an image at one scale.

    Args:
        engine: runs the network.
        ink: of the whole image.
        factor: image pixels of the network for a pixel of the image; a bond should come out about
            `FINE * BOND` long.
    """
    small, fx, fy = scaled(ink, factor)
    sides = [-(-(side + 2 * _MARGIN) // MULTIPLE) * MULTIPLE for side in small.shape]
    view = engine.look(padded(small, _MARGIN, _MARGIN, sides[0], sides[1]))
    places, heat = _peaks(view.heat)
    if len(places) == 0:
        return _nothing(factor)
    scale = _spacing(places[heat > _SURE])
    places, heat = _thinned(places, heat, _APART * scale)
    pairs = candidate_pairs(places, heat > _SURE, scale, reach=_REACH)
    labels, bonds = view.decide(places, pairs, scale)
    gone = labels[:, NONE] > _GONE
    if (gone & (heat > _SURE)).any():  # what blocked lines was no atom: look at those lines, too
        kept = ~gone
        if not kept.any():
            return _nothing(factor)
        places, heat = places[kept], heat[kept]
        pairs = candidate_pairs(places, heat > _SURE, scale, reach=_REACH)
        labels, bonds = view.decide(places, pairs, scale)
    in_image = (places * FINE - _MARGIN) / np.array([fx, fy], np.float32)
    texts = tuple({**_known(row), "*": float(row[SPELT])} for row in labels)
    length = scale * FINE / fx
    seen = Detection(in_image.astype(np.float32), texts, pairs, bonds, length, factor)
    return Sight(seen, view, places, labels)


def _nothing(factor: float) -> Sight:
    nowhere, pairs = np.zeros((0, 2), np.float32), np.zeros((0, 2), np.int64)
    bonds = np.zeros((0, len(BondClass)), np.float32)
    return Sight(Detection(nowhere, (), pairs, bonds, 0.0, factor), None, nowhere, bonds)


def _peaks(heat: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Places in grid pixels and heat of the junctions, the hottest first."""
    probability = heat[0]
    y, x = np.nonzero((probability >= _highest_near(probability)) & (probability > _FAINT))
    order = np.argsort(-probability[y, x], kind="stable")[:_MOST]
    y, x = y[order], x[order]
    offset = np.clip(heat[1:, y, x], -1.2, 1.2).T
    places = (np.stack([x, y], 1) + 0.5 + offset) * _CELL
    return places.astype(np.float32), probability[y, x]


def _highest_near(values: FloatArray) -> FloatArray:
    """The largest of each cell and its eight neighbours."""
    rows = np.pad(values, ((1, 1), (0, 0)))
    rows = np.maximum(np.maximum(rows[:-2], rows[1:-1]), rows[2:])
    columns = np.pad(rows, ((0, 0), (1, 1)))
    return np.maximum(np.maximum(columns[:, :-2], columns[:, 1:-1]), columns[:, 2:])


def _distances(first: FloatArray, second: FloatArray) -> FloatArray:
    """(N, M) between (N, 2) and (M, 2) places."""
    return np.linalg.norm(first[:, None] - second[None], axis=-1)


def _spacing(places: FloatArray) -> float:
    """Median distance to the nearest junction, in grid pixels, within what the network knows."""
    if len(places) < 2:
        return 16.0
    apart = _distances(places, places)
    np.fill_diagonal(apart, np.inf)
    return float(np.clip(np.median(apart.min(1)), 6.0, 48.0))


def _thinned(places: FloatArray, heat: FloatArray, apart: float) -> tuple[FloatArray, FloatArray]:
    """Without the cooler of two peaks that are too near to each other."""
    kept: list[int] = []
    for index, place in enumerate(places):
        if all(math.dist(place, places[other]) > apart for other in kept):
            kept.append(index)
    return places[kept], heat[kept]


def _known(classes: FloatArray) -> dict[str, float]:
    """Labels that have a class, with their probabilities."""
    return {text: float(p) for text, p in zip(LABELS, classes, strict=False) if p > 1e-4}


def _spelt(
    view: View, places: FloatArray, classes: FloatArray, ends: NDArray[np.bool_]
) -> tuple[dict[str, float], ...]:
    """Texts of each junction with their probabilities.

    Carbons at ends are spelt however sure they are: CF3 is like CH3, and CH3 is a carbon.
    """
    real = classes[:, NONE] < 0.95
    carbon = classes[:, CARBON] >= 0.5
    doubtful = ~carbon & (classes[:, : len(LABELS)].max(1) < _CERTAIN)
    classes = np.where((carbon & ends)[:, None], _opened(classes), classes)
    options = [_known(row) for row in classes]
    asked = np.nonzero(real & (doubtful | (classes[:, SPELT] > 0.005)))[0]
    for index, spelt in zip(asked.tolist(), view.spell(places[asked]), strict=True):
        options[index] = _with_spellings(options[index], spelt, float(classes[index, SPELT]))
    return tuple(options)


def _opened(classes: FloatArray) -> FloatArray:
    """Probabilities of which that of a label to be spelt is at least `_END`."""
    spelt = np.maximum(classes[:, SPELT], _END)
    opened = classes * ((1 - spelt) / np.maximum(1 - classes[:, SPELT], 1e-6))[:, None]
    opened[:, SPELT] = spelt
    return opened.astype(np.float32)


def _with_spellings(
    classes: dict[str, float], spelt: dict[str, float], to_spell: float
) -> dict[str, float]:
    """Probabilities of texts from two opinions: of the classes, and of the speller.

    They see the letters each in its own way, so their probabilities are multiplied. At a bare
    carbon the speller reads nothing; CH3 is a carbon, too. What was to be spelt and was not surely
    is a label that nobody knows.

    Args:
        classes: probabilities of the labels that have a class.
        spelt: of the spellings.
        to_spell: that the label has no class.
    """
    carbon = LABELS[CARBON]
    known = {text: spelt.get(text.strip("[]"), 0.0) for text in LABELS}
    known[carbon] = sum(spelt.get(text, 0.0) for text in ("", *_CARBONS))
    rest = max(0.0, 1 - sum(spelt.values()))
    found = {text: p * max(known[text], _UNSEEN * rest) for text, p in classes.items()}
    for text, p in known.items():
        found[text] = found.get(text, 0.0) + _SLIP * to_spell * p
    for text, p in spelt.items():
        if text and text not in (*LABELS, *_CARBONS) and f"[{text}]" not in LABELS:
            found[f"[{text}]"] = to_spell * p
    found["*"] = to_spell * rest
    total = sum(found.values())
    real = sum(classes.values()) + to_spell
    return {text: p * real / total for text, p in found.items()} if total else {"*": real}


def fused(views: Sequence[Detection]) -> Detection:
    """Several views of one image as one: junctions matched by place, probabilities averaged.

    A junction that a view lacks counts there as no atom, a bond whose ends it has and which it did
    not ask about as none.
    """
    if len(views) == 1:
        return views[0]
    first = views[0]
    length = first.bond_length
    centres: list[NDArray[np.float32]] = []
    members: list[dict[int, int]] = []  # view -> its junction
    for number, view in enumerate(views):
        _match(centres, members, number, view, _APART * 0.95 * length)
    places = np.array(
        [np.mean([views[v].places[j] for v, j in m.items()], axis=0) for m in members], np.float32
    ).reshape(-1, 2)
    labels = []
    for member in members:
        merged: dict[str, float] = {}
        for number, junction in member.items():
            for text, p in views[number].labels[junction].items():
                merged[text] = merged.get(text, 0.0) + p / len(views)
        labels.append(merged)
    pairs, bonds = _fused_bonds(views, members)
    return replace(first, places=places, labels=tuple(labels), pairs=pairs, bonds=bonds)


def _match(
    centres: list[NDArray[np.float32]],
    members: list[dict[int, int]],
    number: int,
    view: Detection,
    apart: float,
) -> None:
    """Put a view's junctions to those that are known, nearest pairs first, or beside them."""
    free = set(range(len(view.places)))
    if centres and len(view.places):
        away = _distances(np.array(centres), view.places)
        for a, j in zip(*np.unravel_index(np.argsort(away, axis=None), away.shape), strict=True):
            if away[a, j] > apart:
                break
            if j in free and number not in members[a]:
                members[a][number] = int(j)
                free.discard(int(j))
    for j in sorted(free):
        centres.append(view.places[j])
        members.append({number: j})


def _fused_bonds(
    views: Sequence[Detection], members: list[dict[int, int]]
) -> tuple[NDArray[np.int64], FloatArray]:
    merged_of = [{j: m for m, member in enumerate(members) if (j := member.get(v)) is not None}
                 for v in range(len(views))]  # fmt: skip
    known: list[dict[tuple[int, int], FloatArray]] = []
    for view, merged in zip(views, merged_of, strict=True):
        table: dict[tuple[int, int], FloatArray] = {}
        for (i, j), row in zip(view.pairs.tolist(), view.bonds, strict=True):
            a, b = merged[i], merged[j]
            table[(a, b) if a < b else (b, a)] = row if a < b else row[_SWAP]
        known.append(table)
    nothing = np.zeros(len(BondClass), np.float32)
    nothing[BondClass.NONE] = 1
    pairs = sorted(set().union(*known))
    bonds = []
    for a, b in pairs:
        rows = [
            table.get((a, b), nothing)
            for v, table in enumerate(known)
            if v in members[a] and v in members[b]
        ]
        bonds.append(np.mean(rows, axis=0))
    return (
        np.array(pairs, np.int64).reshape(-1, 2),
        np.array(bonds, np.float32).reshape(-1, len(BondClass)),
    )


_SWAP = [int(kind.reverse) for kind in BondClass]
