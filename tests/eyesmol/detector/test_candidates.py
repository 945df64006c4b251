"""Candidate pairs: near ones, each once, none over a sure junction, whatever the places."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from eyesmol.detector.candidates import candidate_pairs

SCALE = 16.0
REACH = 2.6
NEAREST = 11


@st.composite
def _places(draw: st.DrawFn) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Junctions that are no nearer than a peak of the heat map can be, and which are sure."""
    cells = draw(
        st.lists(st.tuples(st.integers(0, 24), st.integers(0, 24)), max_size=40, unique=True)
    )
    sure = draw(st.lists(st.booleans(), min_size=len(cells), max_size=len(cells)))
    return np.array(cells, np.float32).reshape(-1, 2) * 6, np.array(sure, bool)


def _pairs(places: NDArray[np.float32], sure: NDArray[np.bool_]) -> set[tuple[int, int]]:
    return {(int(a), int(b)) for a, b in candidate_pairs(places, sure, SCALE)}


@given(_places())
def test_pairs_are_ordered_near_and_listed_once(
    drawn: tuple[NDArray[np.float32], NDArray[np.bool_]],
) -> None:
    places, sure = drawn
    found = candidate_pairs(places, sure, SCALE)
    assert found.shape[1] == 2
    assert found.dtype == np.int64
    assert len({tuple(pair) for pair in found.tolist()}) == len(found)
    for a, b in found.tolist():
        assert 0 <= a < b < len(places)
        assert math.dist(places[a], places[b]) < REACH * SCALE


@given(_places())
def test_no_pair_runs_over_a_sure_junction(
    drawn: tuple[NDArray[np.float32], NDArray[np.bool_]],
) -> None:
    places, sure = drawn
    for a, b in _pairs(places, sure):
        way = places[b] - places[a]
        for k in np.nonzero(sure)[0]:
            along = float((places[k] - places[a]) @ way / (way @ way))
            offset = places[k] - places[a]
            aside = abs(float(offset[0] * way[1] - offset[1] * way[0])) / float(np.linalg.norm(way))
            assert not (0.13 < along < 0.87 and aside < 0.17 * SCALE), (a, b, k)


@given(_places())
def test_a_near_pair_with_a_free_line_is_always_asked(
    drawn: tuple[NDArray[np.float32], NDArray[np.bool_]],
) -> None:
    """Where nothing is sure, only distance and the eleven nearest decide."""
    places, _ = drawn
    found = _pairs(places, np.zeros(len(places), bool))
    for a in range(len(places)):
        away = np.linalg.norm(places - places[a], axis=1)
        for b in range(a + 1, len(places)):
            nearer = int((away < away[b]).sum()) - 1
            if away[b] < REACH * SCALE - 1e-3 and nearer < NEAREST:
                assert (a, b) in found


@given(_places(), st.sampled_from((0.25, 2.0, 8.0)), st.randoms(use_true_random=False))
def test_the_unit_and_the_order_do_not_matter(
    drawn: tuple[NDArray[np.float32], NDArray[np.bool_]], factor: float, rng: object
) -> None:
    places, sure = drawn
    bigger = candidate_pairs(places * np.float32(factor), sure, SCALE * factor)
    assert {tuple(pair) for pair in bigger.tolist()} == _pairs(places, sure)
    order = list(range(len(places)))
    rng.shuffle(order)  # type: ignore[attr-defined]
    there = [tuple(sorted((order[a], order[b]))) for a, b in _pairs(places[order], sure[order])]
    assert set(there) == _pairs(places, sure)


def test_a_blocked_line_and_a_faint_blocker() -> None:
    row = np.array([(0, 0), (16, 0), (32, 0)], np.float32)
    assert _pairs(row, np.ones(3, bool)) == {(0, 1), (1, 2)}
    assert _pairs(row, np.array([True, False, True])) == {(0, 1), (0, 2), (1, 2)}


def test_a_bond_beside_a_junction_is_not_blocked() -> None:
    """In a hexagon the junctions between two others stand well beside the line."""
    turn = np.arange(6) * np.pi / 3
    hexagon = (SCALE * np.stack([np.cos(turn), np.sin(turn)], 1)).astype(np.float32)
    found = _pairs(hexagon, np.ones(6, bool))
    assert {(k, k + 1) for k in range(5)} | {(0, 5)} <= found
    assert len(found) == 15, "across the ring, too: nothing stands in its middle"


def test_longer_bonds_on_request() -> None:
    two = np.array([(0, 0), (48, 0)], np.float32)
    assert len(candidate_pairs(two, np.ones(2, bool), SCALE)) == 0
    assert len(candidate_pairs(two, np.ones(2, bool), SCALE, reach=3.2)) == 1
