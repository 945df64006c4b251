"""What the network is taught: junctions, labels, bonds and spelling, all from one drawing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from detector_training.samples import JITTER, STRIDE, Batch
from eyesmol.detector.candidates import candidate_pairs
from eyesmol.detector.network import Features, Network
from eyesmol.detector.network_shape import FINE
from eyesmol.detector.vocabulary import (
    BEGIN,
    CARBON,
    END,
    LABEL_CLASSES,
    NONE,
    PADDING,
    BondClass,
    characters_of,
    label_class,
)

__all__ = ["Losses", "losses"]

_FALSE = 0.12  # heat from which a wrong peak is shown to the heads as no atom
_FALSE_APART = 3.5  # grid pixels: nearer to a junction, a peak is that junction
_MOST_FALSE = 16  # of an image
_SPELT_A_BATCH = 24  # of the drawings themselves
_CARBON_WEIGHT, _NO_BOND_WEIGHT = 0.4, 0.4
_ROUND_WEIGHTS = (0.3, 0.3, 1.0)


@dataclass(frozen=True)
class Losses:
    """The total, to go back from, and its parts and shares of right answers, to look at."""

    total: Tensor
    shown: dict[str, float]


def losses(network: Network, batch: Batch, generator: torch.Generator) -> Losses:
    """Losses of a batch. The network is called in here: its heat map decides what it is asked.

    Of a batch without images, only the words are learnt; nothing but the speller is changed.
    """
    if len(batch.image) == 0:
        spelling, words = _spelling_loss(network, None, batch, generator)
        return Losses(spelling, {"spell": float(spelling.detach()), "words": float(words)})
    features = network.features(batch.image)
    heat, offset = _heat_losses(features.heat, batch)
    nodes = _nodes(features.heat, batch, generator)
    labels, orders = network.decide(features, nodes.of, nodes.places, nodes.pairs, nodes.scale)
    weights = torch.ones(LABEL_CLASSES)
    weights[CARBON] = _CARBON_WEIGHT
    bond_weights = torch.ones(len(BondClass))
    bond_weights[BondClass.NONE] = _NO_BOND_WEIGHT
    label_loss, bond_loss = torch.zeros(()), torch.zeros(())
    for weight, label, order in zip(_ROUND_WEIGHTS, labels, orders, strict=True):
        if len(nodes.labels):  # an image may show nothing at all
            label_loss = label_loss + weight * F.cross_entropy(label, nodes.labels, weights)
        if len(nodes.pairs):
            bond_loss = bond_loss + weight * F.cross_entropy(order, nodes.orders, bond_weights)
    spelling, words = _spelling_loss(network, features, batch, generator)
    total = heat + 0.5 * offset + label_loss + 2 * bond_loss + spelling
    found = labels[-1].argmax(1) == nodes.labels
    real = nodes.labels != NONE
    lettered = real & (nodes.labels != CARBON)
    bonded = nodes.orders != BondClass.NONE
    right = orders[-1].argmax(1) == nodes.orders
    shown = {
        "heat": heat, "offset": offset, "label": label_loss, "bond": bond_loss, "spell": spelling,
        "labels": _share(found[lettered]), "bonds": _share(right[bonded]),
        "no bonds": _share(right[~bonded]), "false": _share(found[~real]), "words": words,
    }  # fmt: skip
    return Losses(total, {name: float(value.detach()) for name, value in shown.items()})


def _share(right: Tensor) -> Tensor:
    return right.float().mean() if len(right) else torch.ones(())


def _heat_losses(heat: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """CenterNet's focal loss, and the way from the 3 x 3 cells round a junction to it."""
    logit, target = heat[:, 0], batch.heat
    probability = torch.sigmoid(logit).clamp(1e-4, 1 - 1e-4)
    peaks = target > 0.999
    count = max(1, len(batch.of))
    focal = torch.where(
        peaks,
        (1 - probability) ** 2 * F.logsigmoid(logit),
        (1 - target) ** 4 * probability**2 * F.logsigmoid(-logit),
    )
    cells = batch.places / STRIDE - 0.5
    middle = cells.round().long()
    rows, columns = logit.shape[1:]
    offset = torch.zeros(())
    if len(batch.of):
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                y = (middle[:, 1] + dy).clamp(0, rows - 1)
                x = (middle[:, 0] + dx).clamp(0, columns - 1)
                weight = 1.0 if dx == dy == 0 else 0.15
                way = cells - torch.stack([x, y], 1)
                offset = offset + weight * F.l1_loss(heat[batch.of, 1:, y, x], way)
    return -focal.sum() / count, offset


@dataclass(frozen=True)
class _Nodes:
    """Junctions as reading will meet them: the real ones a little off, and wrong peaks."""

    of: Tensor
    places: Tensor
    labels: Tensor
    pairs: Tensor
    orders: Tensor  # of the pairs, then of the pairs the other way round
    scale: Tensor


def _nodes(heat: Tensor, batch: Batch, generator: torch.Generator) -> _Nodes:
    noise = torch.randn(batch.places.shape, generator=generator) * JITTER
    real = batch.places + noise
    false_of, false = _false_peaks(heat.detach(), batch)
    of = torch.cat([batch.of, false_of])
    places = torch.cat([real, false])
    labels = torch.tensor(
        [label_class(text) for text in batch.texts] + [NONE] * len(false), dtype=torch.long
    )
    wobble = torch.rand(len(batch.bond_length), generator=generator) * 0.3 + 0.85
    scale = (batch.bond_length * wobble).clamp(min=5.0)
    pairs, orders = _pairs(of, places, len(real), batch, scale)
    return _Nodes(of, places, labels, pairs, orders, scale[of])


def _false_peaks(heat: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Peaks of the heat map that are no junctions: their image and place."""
    probability = torch.sigmoid(heat[:, 0])
    highest = F.max_pool2d(probability[:, None], 3, 1, 1)[:, 0]
    peak = (probability >= highest) & (probability > _FALSE)
    images, places = [], []
    for k in range(len(probability)):
        y, x = torch.nonzero(peak[k], as_tuple=True)
        if len(y) == 0:
            continue
        strength = probability[k, y, x]
        at = torch.stack([x, y], 1) + 0.5 + heat[k, 1:, y, x].T.clamp(-1.2, 1.2)
        at = at * STRIDE
        mine = batch.places[batch.of == k]
        if len(mine):
            away = torch.cdist(at, mine).min(1).values > _FALSE_APART
            at, strength = at[away], strength[away]
        at = at[strength.argsort(descending=True)[:_MOST_FALSE]]
        places.append(at)
        images.append(torch.full((len(at),), k, dtype=torch.long))
    if not places:
        return torch.zeros(0, dtype=torch.long), torch.zeros(0, 2)
    return torch.cat(images), torch.cat(places)


def _pairs(
    of: Tensor, places: Tensor, real: int, batch: Batch, scale: Tensor
) -> tuple[Tensor, Tensor]:
    """Candidate bonds of all images, every real bond among them, and their classes both ways."""
    known = {(int(a), int(b)): int(c) for a, b, c in batch.bonds.tolist()}
    known |= {(b, a): int(BondClass(c).reverse) for (a, b), c in known.items()}
    found: list[NDArray[np.int64]] = []
    for k in range(len(batch.bond_length)):
        mine = torch.nonzero(of == k)[:, 0].numpy()
        sure = mine < real
        local = candidate_pairs(places[mine].numpy(), sure, float(scale[k]))
        found.append(mine[local])
    pairs = [tuple(p) for p in np.concatenate(found).tolist()]
    missing = {(min(p), max(p)) for p in known} - {(min(p), max(p)) for p in pairs}
    pairs += sorted(missing)
    forward = [known.get((a, b), 0) for a, b in pairs]
    backward = [known.get((b, a), 0) for a, b in pairs]
    return (
        torch.tensor(pairs, dtype=torch.long).reshape(-1, 2),
        torch.tensor(forward + backward, dtype=torch.long),
    )


def _spelling_loss(
    network: Network, features: Features | None, batch: Batch, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Cross entropy of the characters, and the share of labels spelt right throughout.

    Labels with a class of their own are spelt, too: letters are letters, and reading asks the
    speller about those of which the classes are unsure.
    """
    lettered = [n for n, text in enumerate(batch.texts) if label_class(text) != CARBON]
    lettered = _some(lettered, _SPELT_A_BATCH, generator)
    words = [
        characters_of(text) for text in (*(batch.texts[n] for n in lettered), *batch.words.texts)
    ]
    if not words:
        return torch.zeros(()), torch.ones(())
    length = max(map(len, words)) + 1
    given = torch.full((len(words), length), PADDING)
    wanted = torch.full((len(words), length), PADDING)
    for row, word in enumerate(words):
        given[row, 0] = BEGIN
        given[row, 1 : len(word) + 1] = torch.tensor(word)
        wanted[row, : len(word) + 1] = torch.tensor([*word, END])
    seen = []
    if features is not None:
        asked = torch.tensor(lettered, dtype=torch.long)
        places = batch.places[asked]
        places = places + torch.randn(places.shape, generator=generator) * JITTER
        seen.append(network.speller.see(features, batch.of[asked], places))
    if batch.words.texts:
        ink = torch.from_numpy(batch.words.ink).float() / 255
        seen.append(network.speller.see_ink(F.pixel_unshuffle(ink, FINE * STRIDE)))
    logits = network.speller(torch.cat(seen), given)
    loss = F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=PADDING)
    right = ((logits.argmax(-1) == wanted) | (wanted == PADDING)).all(1)
    return loss, _share(right)


def _some(indices: list[int], most: int, generator: torch.Generator) -> list[int]:
    order = torch.randperm(len(indices), generator=generator)[:most]
    return [indices[i] for i in order.tolist()]
