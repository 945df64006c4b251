"""Two opinions about letters: the classes of labels and the speller."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from eyesmol.detector.detection import _spelt, _with_spellings
from eyesmol.detector.engine import View
from eyesmol.detector.vocabulary import CARBON, LABEL_CLASSES, LABELS


def _likeliest(classes: dict[str, float], spelt: dict[str, float], to_spell: float) -> str:
    found = _with_spellings(classes, spelt, to_spell)
    return max(found, key=lambda text: found[text])


@pytest.mark.parametrize(
    ("classes", "spelt", "to_spell", "expected"),
    [
        # A class that is nearly sure is not overruled by a spelling that no class expects.
        ({"O": 0.995}, {"Q": 0.6, "O": 0.3}, 0.003, "O"),
        # A class that is weak is overruled by a sure spelling: CF3 looks like CH3.
        ({"C": 0.87}, {"CF3": 0.7, "CR3": 0.03}, 0.08, "[CF3]"),
        # A corner where nothing is written stays a carbon, though a hash looks like a Z.
        ({"C": 0.6}, {"": 0.5, "Z": 0.4}, 0.3, "C"),
        # A CH3 that the classes took for something rarer is a carbon.
        ({"C": 0.001}, {"CH3": 0.78, "ClHg": 0.12}, 0.996, "C"),
        ({"C": 0.6}, {"CH3": 0.9}, 0.3, "C"),
        # A charge is of the label, and the label has a class of its own.
        ({"N": 0.5, "[N+]": 0.4}, {"N+": 0.9, "N": 0.05}, 0.05, "[N+]"),
        # To be spelt, and not spelt surely: nobody knows.
        ({"N": 0.02}, {"NHR3": 0.1, "NHR2": 0.05}, 0.97, "*"),
    ],
)
def test_both_opinions_count(
    classes: dict[str, float], spelt: dict[str, float], to_spell: float, expected: str
) -> None:
    assert _likeliest(classes, spelt, to_spell) == expected


_SHARES = st.lists(st.floats(0.0, 1.0), min_size=6, max_size=6).filter(lambda p: sum(p) > 0.01)


@given(_SHARES, _SHARES)
def test_how_likely_an_atom_is_there_is_left_as_it_is(
    of_classes: list[float], of_spellings: list[float]
) -> None:
    scale = 0.9 / sum(of_classes)
    *shares, to_spell = (scale * p for p in of_classes)
    classes = dict(zip(LABELS, shares, strict=False))
    total = sum(of_spellings)
    spelt = {
        text: p / total
        for text, p in zip(("O", "OMe", "CH3", "N+", "R1"), of_spellings, strict=False)
    }
    found = _with_spellings(classes, spelt, to_spell)
    assert sum(found.values()) == pytest.approx(0.9)
    assert min(found.values()) >= 0


class _Spells:
    """A view whose speller reads the same everywhere."""

    def __init__(self, spelt: dict[str, float]) -> None:
        self.spelt = spelt

    def spell(self, places: NDArray[np.float32]) -> list[dict[str, float]]:
        return [self.spelt] * len(places)


@pytest.mark.parametrize(
    ("spelt", "at_end", "expected"),
    [
        ({"CF3": 0.9, "CH3": 0.05}, True, "[CF3]"),
        ({"CF3": 0.9, "CH3": 0.05}, False, "C"),  # not even asked
        ({"": 0.97, "CF3": 0.01}, True, "C"),
        ({"CH3": 0.6, "CF3": 0.3}, True, "C"),
    ],
)
def test_a_carbon_at_an_end_is_spelt_however_sure_it_is(
    spelt: dict[str, float], at_end: bool, expected: str
) -> None:
    classes = np.full((1, LABEL_CLASSES), 1e-6, np.float32)
    classes[0, CARBON] = 1 - classes.sum()
    view = cast(View, _Spells(spelt))
    [found] = _spelt(view, np.zeros((1, 2), np.float32), classes, np.array([at_end]))
    assert max(found, key=lambda text: found[text]) == expected
    assert sum(found.values()) == pytest.approx(1.0, abs=1e-3)
