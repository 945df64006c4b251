"""Some molecules of the sources, looked at before a set is built, to balance its questions."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

from data_preprocess.build.examples import Drop, molecule_of
from data_preprocess.build.settings import Settings
from data_preprocess.dataset.splits import number_of
from data_preprocess.recipes import Subject
from data_preprocess.sources.files import Source

__all__ = ["balanced"]

_MOST = 2_000  # molecules of a survey
_READ = 100_000  # items that they are chosen from


def balanced(settings: Settings, sources: Sequence[Source]) -> Settings:
    """The settings with a recipe that is balanced for the molecules of these sources."""
    recipe = settings.recipe
    if recipe is None or recipe.tasks is None:
        return settings
    return replace(settings, recipe=recipe.balanced(_subjects(sources, draw=settings.draw)))


def _subjects(sources: Sequence[Source], *, draw: bool) -> Iterator[Subject]:
    """Some of the first items, by a hash of their names: neighbours in a list are often alike."""
    items = itertools.chain.from_iterable(source.items() for source in sources)
    for item in heapq.nsmallest(
        _MOST, itertools.islice(items, _READ), key=lambda item: number_of(item.name)
    ):
        try:
            yield Subject(molecule_of(item, draw=draw).smiles)
        except Drop:
            continue
