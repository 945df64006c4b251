"""Which pairs of junctions may be bonded: near ones, with no sure junction on the way."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["candidate_pairs"]

_ON_THE_WAY = (0.12, 0.88)  # share of the line's length between which a third junction blocks
_BESIDE = 0.18  # of a bond: how near to the line it has to be
_MOST = 11  # nearest others of one junction; more bonds than that no atom has


def candidate_pairs(
    places: NDArray[np.float32],
    sure: NDArray[np.bool_],
    scale: float,
    *,
    reach: float = 2.6,
) -> NDArray[np.int64]:
    """(M, 2) indices i < j of the junctions of one image that may be bonded.

    Args:
        places: (N, 2) in any unit.
        sure: (N,) whether a junction is certain enough to block a line that runs over it.
        scale: a median bond, in the same unit.
        reach: of the longest bond, in median bonds.
    """
    count = len(places)
    if count < 2:
        return np.zeros((0, 2), np.int64)
    distance = np.linalg.norm(places[:, None] - places[None], axis=-1)
    near = distance < reach * scale
    if count > _MOST + 1:
        limit = np.partition(distance, _MOST, axis=1)[:, _MOST]
        near &= (distance <= limit[:, None]) | (distance <= limit[None])
    first, second = np.nonzero(np.triu(near, 1))
    blockers = places[sure]
    if len(first) == 0 or len(blockers) == 0:
        return np.stack([first, second], 1)
    start, way = places[first], places[second] - places[first]
    square = (way**2).sum(1) + 1e-9
    offset = blockers[None] - start[:, None]
    along = (offset * way[:, None]).sum(-1) / square[:, None]
    aside = offset[..., 0] * way[:, None, 1] - offset[..., 1] * way[:, None, 0]
    aside = np.abs(aside) / np.sqrt(square)[:, None]
    low, high = _ON_THE_WAY
    blocked = ((along > low) & (along < high) & (aside < _BESIDE * scale)).any(1)
    return np.stack([first, second], 1)[~blocked]
