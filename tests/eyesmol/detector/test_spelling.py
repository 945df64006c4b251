"""The beam search over characters finds what an exhaustive search finds."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from eyesmol.detector.spelling import spellings
from eyesmol.detector.vocabulary import CHARACTERS, END, LONGEST_LABEL, characters_of

_COUNT = len(CHARACTERS) + 3


def _table(words: dict[str, float]) -> dict[tuple[int, ...], NDArray[np.float32]]:
    """Log probabilities of what follows each prefix, for a language of so many words."""
    mass: dict[tuple[int, ...], dict[int, float]] = {}
    for word, p in words.items():
        path = [*characters_of(word), END]
        for length, character in enumerate(path):
            following = mass.setdefault(tuple(path[:length]), {})
            following[character] = following.get(character, 0.0) + p
    table = {}
    for prefix, following in mass.items():
        row = np.full(_COUNT, -1e9, np.float32)
        for character, p in following.items():
            row[character] = math.log(p / sum(following.values()))
        table[prefix] = row
    return table


def _spelt(languages: list[dict[str, float]]) -> list[dict[str, float]]:
    """Spellings of labels, each of which says one of the words of a language."""
    tables = [_table(words) for words in languages]
    state: list[tuple[int, tuple[int, ...]]] = [(k, ()) for k in range(len(tables))]
    started = False

    def step(rows: NDArray[np.int64], characters: NDArray[np.int64]) -> NDArray[np.float32]:
        nonlocal state, started
        pairs = zip(rows.tolist(), characters.tolist(), strict=True)
        state = [
            (state[row][0], (*state[row][1], character) if started else ())
            for row, character in pairs
        ]
        started = True
        return np.array([tables[label][prefix] for label, prefix in state])

    return spellings(len(tables), step)


def test_greed_would_be_wrong() -> None:
    # The likeliest first letter is O (0.6), but the likeliest word is Cl.
    [found] = _spelt([{"OMe": 0.3, "OEt": 0.3, "Cl": 0.4}])
    assert max(found, key=lambda text: found[text]) == "Cl"
    assert set(found) == {"OMe", "OEt", "Cl"}


def test_the_longest_label_ends() -> None:
    longest = "C" * LONGEST_LABEL
    [found] = _spelt([{longest: 1.0}])
    assert list(found) == [longest]


@given(
    st.lists(
        st.dictionaries(
            st.text("COHRe12", min_size=1, max_size=4), st.floats(0.05, 1.0), min_size=1, max_size=3
        ),
        min_size=1,
        max_size=4,
    )
)
def test_every_likely_word_is_found_with_its_probability(languages: list[dict[str, float]]) -> None:
    for found, words in zip(_spelt(languages), languages, strict=True):
        total = sum(words.values())
        assert set(found) == set(words)
        for text, p in words.items():
            assert abs(found[text] - p / total) < 1e-4
