"""The recipe at a tiny size: the same seed, the same weights; what a stop costs; what is taught.

What holds of a run that was stopped: its weights, their average and the optimizers' memory come
back bit for bit, and the same batch then teaches the same. What does not: each piece warms its
learning rates up anew, cools them down by the clock, and begins at a group that nobody has drawn.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from data_preprocess.drawing import fonts
from detector_training import samples
from detector_training.curve import main as draw_curve
from detector_training.fonts import PACKAGES, missing_packages
from detector_training.losses import losses
from detector_training.optimizer import Muon
from detector_training.samples import (
    Batch,
    Sample,
    Samples,
    bare_words_of,
    batch_of,
    sample,
    words_of,
)
from detector_training.train import Run, train
from eyesmol.detector.network import Network, Shape
from eyesmol.detector.network_shape import MULTIPLE
from eyesmol.detector.vocabulary import CARBON, BondClass, label_class

TINY = Shape(channels=(8, 8, 8, 8, 8), junction=16, bond=16, letter=16, rounds=2)
SEED = 11
FOREVER = 1e9  # minutes: a piece that ends with its batches, whatever the clock says


@pytest.fixture(scope="module", autouse=True)
def packaged_fonts() -> Iterator[None]:
    """Only the fonts that every machine has."""
    patch = pytest.MonkeyPatch()
    patch.setattr(fonts, "_SYSTEM_FOLDERS", ())
    patch.setattr(samples, "_GROUP", 5)
    fonts.font_shelf.cache_clear()
    yield
    patch.undo()
    fonts.font_shelf.cache_clear()


@pytest.fixture(scope="module")
def batches(packaged_fonts: None) -> list[Batch]:
    """A few small batches of the first group."""
    drawn = [found for n in range(16) if (found := sample(SEED, n)) is not None]
    drawn.sort(key=lambda s: s.ink.size)
    return [batch_of(drawn[k : k + 3], random.Random(k)) for k in (0, 3, 6)]


def _run(folder: Path) -> Run:
    return Run(folder, TINY, SEED, lr=2e-3, muon_lr=0.02)


def _weights(run: Run) -> dict[str, Tensor]:
    """All that a run knows."""
    found = {f"network.{k}": v for k, v in run.network.state_dict().items()}
    found |= {f"average.{k}": v for k, v in run.average.state_dict().items()}
    for number, optimizer in enumerate(run.optimizers):
        for weight, state in optimizer.state_dict()["state"].items():
            found |= {f"{number}.{weight}.{k}": torch.as_tensor(v) for k, v in state.items()}
    return {name: value.clone() for name, value in found.items()}


def _assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def test_one_seed_gives_the_same_weights_twice(batches: list[Batch], tmp_path: Path) -> None:
    """From drawing to the weights that are saved, bit for bit."""
    found = []
    for name in ("first", "second"):
        run = _run(tmp_path / name)
        train(run, islice(iter(Samples(SEED, area=150_000)), 2), FOREVER)
        train(run, batches, FOREVER)
        found.append(_weights(run))
        assert (run.progress.steps, len(run.progress.history)) == (5, 2)
    _assert_same(*found)
    saved = [(tmp_path / name / "last.safetensors").read_bytes() for name in ("first", "second")]
    assert saved[0] == saved[1]
    fresh = _weights(_run(tmp_path / "untrained"))
    name = "network.backbone.stem.0.weight"
    assert not torch.equal(fresh[name], found[0][name]), "it learnt nothing"


def test_a_stopped_run_comes_back_whole(batches: list[Batch], tmp_path: Path) -> None:
    run = _run(tmp_path)
    train(run, batches[:2], FOREVER)
    before = (tmp_path / "last.json").read_text()
    resumed = Run(tmp_path, Shape(), seed=99, lr=2e-3, muon_lr=0.02)  # the folder's own count
    _assert_same(_weights(run), _weights(resumed))
    resumed.save()
    assert (tmp_path / "last.json").read_text() == before, "counts, shape, seed and history"

    # From here on, one batch teaches both the same.
    for one in (run, resumed):
        one.set_rate(1.0)
        one.step(batches[2], torch.Generator().manual_seed(5))
    _assert_same(_weights(run), _weights(resumed))


def test_a_resumed_run_draws_what_nobody_has_drawn(batches: list[Batch], tmp_path: Path) -> None:
    run = _run(tmp_path)
    later = Batch(**{**vars(batches[0]), "group": 4})
    train(run, [batches[1], later], FOREVER)
    assert _run(tmp_path).progress.group == 5


def test_a_piece_ends_with_its_minutes(batches: list[Batch], tmp_path: Path) -> None:
    run = _run(tmp_path)
    train(run, iter(lambda: batches[0], None), minutes=0.01)
    assert 1 <= run.progress.steps < 200
    assert run.progress.history[0]["images"] == run.progress.images


_ELSEWHERE = """
import sys
from data_preprocess.drawing import fonts
fonts._SYSTEM_FOLDERS = ()
from detector_training.samples import sample
for number in map(int, sys.argv[2:]):
    found = sample(int(sys.argv[1]), number)
    print(found and (found.ink.tobytes().hex(), found.texts, found.places.tolist(),
                     found.bonds.tolist(), found.bond_length))
"""


def test_a_sample_is_the_same_in_any_process() -> None:
    numbers = (3, 8)
    command = [sys.executable, "-c", _ELSEWHERE, str(SEED), *map(str, reversed(numbers))]
    elsewhere = subprocess.run(command, capture_output=True, text=True, check=True)
    here = []
    for number in reversed(numbers):
        found = sample(SEED, number)
        here.append(str(found and (found.ink.tobytes().hex(), found.texts, found.places.tolist(),
                                   found.bonds.tolist(), found.bond_length)))  # fmt: skip
    assert elsewhere.stdout.splitlines() == here
    assert len(set(here)) == 2


def test_a_batch_shows_its_drawings(batches: list[Batch]) -> None:
    """Heat at each junction's cell, ends of bonds on the image and, most of them, on ink."""
    bonded = on_ink = 0
    for batch in batches:
        count, _, height, width = batch.image.shape
        assert height % MULTIPLE == width % MULTIPLE == 0
        assert batch.heat.shape == (count, height // 4, width // 4)
        assert 0 <= batch.image.min() < batch.image.max() <= 1
        assert len(batch.places) == len(batch.of) == len(batch.texts)

        cells = (batch.places / 2 - 0.5).round().long()
        assert (batch.heat[batch.of, cells[:, 1], cells[:, 0]] == 1).all()
        assert (batch.heat == 1).sum() <= len(batch.places)

        first, second, kind = batch.bonds.T
        assert (batch.of[first] == batch.of[second]).all()
        assert (first != second).all()
        assert ((kind > BondClass.NONE) & (kind < len(BondClass))).all()
        size = torch.tensor([width / 2, height / 2])
        assert ((batch.places >= 0) & (batch.places < size)).all()

        middles = (batch.places[first] + batch.places[second]) / 2
        plain = kind == BondClass.SINGLE
        for image, (x, y) in zip(batch.of[first][plain], middles[plain] * 2, strict=True):
            near = batch.image[
                image, 0, max(int(y) - 3, 0) : int(y) + 4, max(int(x) - 3, 0) : int(x) + 4
            ]
            on_ink += bool(near.max() > 0.25)
            bonded += 1
    assert bonded > 50
    assert on_ink > 0.9 * bonded, "a part is hidden by letters, no more"


def test_a_blank_image_can_be_learnt_from() -> None:
    nothing = Sample(
        np.zeros((90, 70), np.uint8), np.zeros((0, 2), np.float32), (),
        np.zeros((0, 3), np.int64), 16.0,
    )  # fmt: skip
    batch = batch_of([nothing, nothing], random.Random(0))
    found = losses(Network(TINY).train(), batch, torch.Generator().manual_seed(0))
    assert torch.isfinite(found.total)
    found.total.backward()


def test_losses_fall_on_a_batch_that_is_seen_again(batches: list[Batch], tmp_path: Path) -> None:
    run = _run(tmp_path)
    shown = [run.step(batches[0], torch.Generator().manual_seed(0)) for _ in range(40)]
    for name in ("heat", "offset", "label", "bond", "spell"):
        assert shown[-1][name] < 0.8 * shown[0][name], (name, shown[0][name], shown[-1][name])


def test_words_alone_teach_the_speller_and_nothing_else(tmp_path: Path) -> None:
    run = Run(tmp_path, TINY, 0, 2e-3, 0.02)
    before = {name: value.clone() for name, value in run.network.state_dict().items()}
    batches = islice(iter(Samples(1, words_only=True)), 2)
    train(run, batches, minutes=5)
    changed = {
        name.split(".")[0]
        for name, value in run.network.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert changed == {"speller"}
    assert run.progress.history[-1]["words"] > 50


def test_the_curve_of_a_run(tmp_path: Path) -> None:
    names = ("heat", "offset", "label", "bond", "spell", "labels", "bonds", "no bonds", "false",
             "words")  # fmt: skip
    rows = [{"minutes": k, **dict.fromkeys(names, 0.9 / k)} for k in (1, 2, 3)]
    log = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "log.jsonl").write_text(log + '{"minutes": 4, "he')
    score = {"minutes": 3.0, "set": "clef300", "exact": 0.9, "low": 0.85, "high": 0.93}
    (tmp_path / "scores.jsonl").write_text(json.dumps(score) + "\n")
    draw_curve([str(tmp_path)])
    assert (tmp_path / "curve.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(FileNotFoundError, match=r"found no log\.jsonl"):
        draw_curve([str(tmp_path / "elsewhere")])


def test_packages_that_would_add_fonts_are_named(tmp_path: Path) -> None:
    bare = fonts.FontShelf((("sans", ("/a/FreeSans.ttf", "/a/LiberationSans-Regular.ttf")),
                            ("mono", ("/b/Courier Prime.otf",))))  # fmt: skip
    missing = missing_packages(bare)
    assert "fonts-liberation" not in missing
    assert "fonts-courier-prime" not in missing
    assert "fonts-unifont" in missing
    known = {name for names in fonts._NAMES.values() for name in names.split()}
    assert set(PACKAGES.values()) <= known, "a font that the pen never uses"


def test_words_are_what_the_speller_sees_round_a_junction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "JITTER", 0.0)
    rng = random.Random(1)
    sheet = next(s for n in range(9) if (s := sample(3, n, sheet=True)) is not None)
    batch = batch_of([sheet], rng)
    on_paper = replace(
        sheet, ink=(batch.image[0, 0] * 255).round().byte().numpy(), places=batch.places.numpy()
    )
    monkeypatch.setattr(samples, "_BARE", 1.0)
    words = words_of(on_paper, rng)
    assert len(set(words.texts)) > 3
    network = Network(TINY).eval()
    lettered = list(range(len(batch.texts)))
    assert words.texts == tuple(
        text if label_class(text) != CARBON or n in sheet.written else ""
        for n, text in enumerate(batch.texts)
    )
    assert set(bare_words_of(on_paper, rng).texts) == {""}
    with torch.no_grad():
        features = network.features(batch.image)
        whole = network.speller.see(features, batch.of[lettered], batch.places[lettered])
        ink = torch.from_numpy(words.ink).float() / 255
        alone = network.speller.see_ink(torch.nn.functional.pixel_unshuffle(ink, 4))
    assert torch.allclose(whole, alone, atol=1e-5)


@given(st.integers(1, 12), st.integers(1, 40), st.integers(0, 99))
def test_muon_steps_along_an_orthogonal_matrix(rows: int, columns: int, seed: int) -> None:
    weight = torch.nn.Parameter(torch.zeros(rows, columns))
    weight.grad = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    full_rank = torch.linalg.svdvals(weight.grad).min() > 0.1 * torch.linalg.svdvals(weight.grad)[0]
    Muon([weight], lr=1.0, weight_decay=0.0).step()
    stretch = max(1.0, rows / columns) ** 0.5
    sizes = torch.linalg.svdvals(weight.detach()) / stretch
    assert sizes.max() < 1.35
    assert not full_rank or sizes.min() > 0.5
