"""Rows made on the spot: the same for the same number, true to their image, never held out."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data_preprocess.build.online import Drawings, store
from data_preprocess.dataset.splits import connectivity_key, split_of
from data_preprocess.drawing.render import Drawing, render
from eyesmol.answer.text import read_answer
from eyesmol.chem.smiles import canonical_smiles, graph_to_smiles
from eyesmol.evaluation.gold import load_gold
from eyesmol.exceptions import InputError

SMALL: dict[str, Any] = {"side": 112, "least": 2, "most": 8, "mean": 5.0, "spread": 2.0}


@settings(max_examples=30)
@given(st.integers(0, 999), st.integers(0, 5))
def test_a_row_depends_on_seed_and_number_alone(index: int, seed: int) -> None:
    first = Drawings(1_000, seed=seed, varied=0.5, **SMALL)[index]
    again = Drawings(1_000, seed=seed, varied=0.5, **SMALL)[index]
    assert first["image"].tobytes() == again["image"].tobytes()
    assert first["conversations"] == again["conversations"]
    width, height = first["image"].size
    assert width * height <= 112 * 112
    answer = read_answer(first["conversations"][1]["value"])
    assert not answer.problems
    found, problems = graph_to_smiles(answer.graph)
    if not problems:  # abbreviations and R groups of a varied style
        assert answer.smiles is not None
        assert found == canonical_smiles(answer.smiles)
    assert all(0 <= atom.x < width and 0 <= atom.y < height for atom in answer.graph.atoms)


@given(st.integers(1, 4), st.integers(1, 7), st.integers(0, 200))
def test_each_drawing_is_shown_so_often_and_so_far_apart(times: int, apart: int, rows: int) -> None:
    made = Drawings(max(rows, 1), times=times, apart=apart, **SMALL)
    numbers = [made.number(index) for index in range(rows)]
    assert set(numbers) == set(range(made.drawings(rows)))
    whole = rows // (times * apart) * times * apart
    for number in set(numbers[:whole]):
        at = [index for index in range(whole) if numbers[index] == number]
        assert [b - a for a, b in itertools.pairwise(at)] == [apart] * (times - 1)


def test_a_drawing_that_is_shown_again_is_kept_and_one_that_is_not_kept_is_made_again() -> None:
    made = Drawings(40, times=2, apart=10, **SMALL)
    first = [made[index] for index in range(10)]
    assert all(made[index + 10] is row for index, row in enumerate(first))
    again = Drawings(40, times=2, apart=10, **SMALL)[13]  # as a run that goes on there
    assert again["image"].tobytes() == first[3]["image"].tobytes()
    assert again["conversations"] == first[3]["conversations"]
    assert made[20]["id"] != first[0]["id"]
    assert len({id(made[index]) for index in range(20, 30)}) == 10
    with pytest.raises(InputError, match="apart 10: expected a multiple of alike, 4"):
        Drawings(40, times=2, apart=10, alike=4, **SMALL)


def coloured(image: Image.Image) -> bool:
    return bool(np.ptp(np.asarray(image.convert("RGB")).astype(int), axis=2).max() > 40)


def test_shapes_and_colours_are_as_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, int]] = []

    def spied(smiles: str, size: tuple[int, int], **options: Any) -> Drawing:
        sizes.append(size)
        return render(smiles, size, **options)

    monkeypatch.setattr("data_preprocess.build.online.render", spied)

    def rows(**options: float) -> list[Any]:
        plain: dict[str, Any] = {"varied": 0.0, "shrunk": 0.0, "oblong": 0.0, "coloured": 0.0}
        made = Drawings(40, **{**plain, **options}, **SMALL)
        sizes.clear()
        return [made[index]["image"] for index in range(40)]

    assert not any(coloured(image) for image in rows())
    assert set(sizes) == {(112, 112)}
    assert sum(coloured(image) for image in rows(coloured=1.0)) > 20  # hydrocarbons are black
    assert set(sizes) == {(112, 112)}
    assert {image.size for image in rows(oblong=1.0)} == {(112, 112)}  # as the model sees them
    wide = [width / height for width, height in sizes]
    assert 0.49 < min(wide) < 0.7 < 1.4 < max(wide) < 2.05
    rows(shrunk=1.0)
    assert 89 <= min(size[0] for size in sizes) < 112 < max(size[0] for size in sizes) <= 336


def test_held_out_and_excluded_molecules_are_never_shown(tmp_path: Path) -> None:
    shown = Drawings(150, varied=0.0, held_out=0.5, **SMALL)
    keys = {_key(row) for row in (shown[index] for index in range(len(shown)))}
    assert {split_of(key, 0.5, 0.0) for key in keys} == {"train"}
    some = sorted(key for key in keys if len(key) == 14)[: len(keys) // 2]
    (tmp_path / "keys.txt").write_text("\n".join(some))
    without = Drawings(150, varied=0.0, held_out=0.5, exclude=[str(tmp_path / "keys.txt")], **SMALL)
    assert not {_key(row) for row in (without[i] for i in range(len(without)))} & set(some)


def test_what_is_held_out_is_stored_whole_and_is_no_training_row(tmp_path: Path) -> None:
    """Scores are taken on such files: every row is there, and none of them is ever trained on."""
    rows = Drawings(20, varied=0.0, held_out=0.2, part="held_out", **SMALL)
    file = store(rows, tmp_path, "small")
    gold = load_gold(file)
    assert len(gold.rows) == 20
    assert not gold.unscorable
    assert {split_of(connectivity_key(g.smiles) or g.smiles, 0.2, 0.0) for g in gold.rows} == {
        "valid"
    }
    for index, found in enumerate(gold.rows):
        with Image.open(tmp_path / found.image) as image:
            assert image.tobytes() == rows[index]["image"].tobytes()


def test_small_molecules_come_first_and_neighbours_are_alike() -> None:
    rows = Drawings(400, grow=0.5, start=8, alike=20, least=3, most=40, mean=25.0)
    early = max(rows.sizes(index).most for index in range(0, 60))
    late = max(rows.sizes(index).most for index in range(200, 400))
    assert early <= 17 < 30 <= late <= 40
    for index in range(0, 400, 20):
        assert len({rows.sizes(index + k) for k in range(20)}) == 1


def test_what_no_row_can_satisfy_is_refused() -> None:
    with pytest.raises(InputError, match="none fit"):
        Drawings(10, least=9, most=5)
    with pytest.raises(InputError, match="count 0"):
        Drawings(0)
    with pytest.raises(IndexError):
        Drawings(3, **SMALL)[3]


def _key(row: dict[str, Any]) -> str:
    smiles = read_answer(row["conversations"][1]["value"]).smiles
    assert smiles is not None
    return connectivity_key(smiles) or smiles
