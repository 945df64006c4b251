"""Training samples: drawings made on the spot, brought to the network's scale, put into batches.

Each sample depends on the seed and its number alone. Nothing is stored: a worker draws what the
trainer is about to see.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from data_preprocess.drawing.blank import blank
from data_preprocess.drawing.pen import draw
from data_preprocess.drawing.pen_style import PenStyle
from data_preprocess.drawing.subject import Drawing, Subject
from data_preprocess.sources.random_molecules import Sizes
from detector_training.subjects import label_sheet, subject
from eyesmol.detector.ink import Ink, ink_of, padded, scaled
from eyesmol.detector.network_shape import BOND, FINE, MULTIPLE, WINDOW
from eyesmol.detector.vocabulary import CARBON, bond_class, label_class

__all__ = ["JITTER", "STRIDE", "Batch", "Sample", "Samples", "Words", "sample"]

_SHEETS, _BLANKS = 0.2, 0.03  # shares of label sheets and of images without a molecule
_SCALE = (0.72, 1.2)  # of the network's favourite bond length
_SIZES = Sizes(mean=24.0, spread=10.0, most=70)  # heavy atoms: a little smaller than USPTO's
_MARGIN = 16  # image pixels of paper round a drawing, as reading leaves
_LARGEST = 650_000  # image pixels of a sample
_EXTRA_SHEETS = 10  # whose words are spelt beside each batch
_BARE = 0.15  # share of a sheet's bare corners and ends of which the speller learns to say nothing
_BARE_A_SAMPLE = 4  # of those of the drawings themselves
_GROUP = 96  # samples that are sorted by size before they are put into batches
STRIDE = 2  # grid pixels a cell of the heat map
JITTER = 0.5  # grid pixels: how far reading will find a junction from its place
_SPREAD = 0.8  # cells: standard deviation of a junction's peak


@dataclass(frozen=True)
class Sample:
    """A drawing at the network's scale.

    Attributes:
        ink: (2H, 2W), 0 to 255.
        places: (N, 2) junctions in grid pixels.
        texts: N labels as `Atom.text` writes them.
        bonds: (M, 3): first, second, `BondClass` seen from the first.
        bond_length: median, grid pixels.
        written: carbons that surely have letters.
    """

    ink: Ink
    places: NDArray[np.float32]
    texts: tuple[str, ...]
    bonds: NDArray[np.int64]
    bond_length: float
    written: frozenset[int] = frozenset()


def sample(seed: int, number: int, *, sheet: bool = False) -> Sample | None:
    """Sample `number` of a series; None where the drawing failed or is too large.

    Args:
        seed: of the series.
        number: of the sample.
        sheet: a sheet of words, of a series of its own.
    """
    rng = random.Random(f"sample {seed} {number}{' of sheets' if sheet else ''}")
    kind = _BLANKS if sheet else rng.random()
    style = PenStyle.random(rng)
    shown: Subject | None = None
    if kind < _BLANKS:
        drawing: Drawing | None = blank(rng)
    else:
        if kind < _BLANKS + _SHEETS:
            style = replace(style, methyl=False, written=0.0)  # a sheet has no room for them
            shown = label_sheet(seed, 2 * number + sheet)
        else:
            shown = subject(seed, number, _SIZES)
        drawing = draw(shown, style, rng) if shown is not None else None
    if drawing is None or (found := _at_scale(drawing, rng)) is None:
        return None
    return replace(found, written=shown.written) if shown is not None else found


def _at_scale(drawing: Drawing, rng: random.Random) -> Sample | None:
    low, high = map(math.log, _SCALE)
    wanted = BOND * math.exp(rng.uniform(low, high))
    factor = FINE * wanted / max(drawing.bond_length, 1.0)
    height, width = drawing.image.shape
    if height * width * factor * factor > _LARGEST:
        return None
    ink, fx, fy = scaled(ink_of(Image.fromarray(drawing.image)), factor)
    atoms = drawing.graph.atoms
    places = np.array([(a.x * fx / FINE, a.y * fy / FINE) for a in atoms], np.float32)
    bonds = [(b.begin, b.end, int(bond_class(b.order))) for b in drawing.graph.bonds]
    return Sample(
        ink,
        places.reshape(-1, 2),
        tuple(a.text for a in atoms),
        np.array(bonds, np.int64).reshape(-1, 3),
        drawing.bond_length * fx / FINE,
    )


class Words(NamedTuple):
    """Windows of ink round labels, and what is written there.

    Attributes:
        ink: (N, 1, height, width) bytes of ink, in image pixels: what the speller sees.
        texts: N labels; empty where there are no letters.
    """

    ink: NDArray[np.uint8]
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Batch:
    """Samples put together, and words of other sheets.

    Attributes:
        image: (B, 1, 2H, 2W) ink from 0 to 1.
        heat: (B, H/2, W/2): 1 at junctions, falling off round them.
        of: (N,) image of each junction.
        places: (N, 2) grid pixels.
        texts: N labels.
        bonds: (M, 3) as of a sample, junctions counted through the batch.
        bond_length: (B,) grid pixels.
        words: to be spelt besides.
        group: which group of samples it is from.
    """

    image: Tensor
    heat: Tensor
    of: Tensor
    places: Tensor
    texts: tuple[str, ...]
    bonds: Tensor
    bond_length: Tensor
    words: Words
    group: int


def words_of(s: Sample, rng: random.Random) -> Words:
    """What the speller would see of each junction with letters, and of some without.

    Hydrogens are not spelt: NH2 is N, and CH3 is C. Where no letter is, the text is empty.
    """
    bare = _bare(s)
    asked = [n for n in range(len(s.texts)) if n not in bare or rng.random() < _BARE]
    return _windows(s, asked, rng)


def bare_words_of(s: Sample, rng: random.Random) -> Words:
    """What the speller would see of some junctions without letters."""
    bare = sorted(_bare(s))
    return _windows(s, rng.sample(bare, min(_BARE_A_SAMPLE, len(bare))), rng)


def _bare(s: Sample) -> set[int]:
    """Corners and ends without letters."""
    return {n for n, t in enumerate(s.texts) if label_class(t) == CARBON and n not in s.written}


def _windows(s: Sample, asked: Sequence[int], rng: random.Random) -> Words:
    """Windows round junctions, each found a little beside its place."""
    cell = FINE * STRIDE
    width, height = (cell * side for side in WINDOW)
    paper = np.pad(s.ink, ((height, height), (width, width)))
    bare = _bare(s)
    windows, texts = [], []
    for n in asked:
        x, y = (rng.gauss(place, JITTER) // STRIDE * cell for place in s.places[n].tolist())
        left, top = (
            int(x) - width // 2 + cell // 2 + width,
            int(y) - height // 2 + cell // 2 + height,
        )
        windows.append(paper[top : top + height, left : left + width])
        texts.append("" if n in bare else s.texts[n])
    return Words(np.array(windows, np.uint8).reshape(-1, 1, height, width), tuple(texts))


def _joined(words: Sequence[Words]) -> Words:
    no_words = np.zeros((0, 1, *(FINE * STRIDE * side for side in reversed(WINDOW))), np.uint8)
    ink = np.concatenate([no_words, *(w.ink for w in words)])
    return Words(ink, tuple(text for w in words for text in w.texts))


def batch_of(
    samples: Sequence[Sample], rng: random.Random, words: Sequence[Words] = (), group: int = 0
) -> Batch:
    """Put samples on paper of one size, each at a random place."""
    sizes = [_paper_size(s) for s in samples]
    height, width = max(h for h, _ in sizes), max(w for _, w in sizes)
    image = np.zeros((len(samples), 1, height, width), np.float32)
    heat = np.zeros((len(samples), height // FINE // STRIDE, width // FINE // STRIDE), np.float32)
    of: list[int] = []
    places: list[NDArray[np.float32]] = []
    texts: list[str] = []
    bonds: list[NDArray[np.int64]] = []
    first = 0
    for k, s in enumerate(samples):
        top = _MARGIN + rng.randint(0, min(height - s.ink.shape[0] - 2 * _MARGIN, 24))
        left = _MARGIN + rng.randint(0, min(width - s.ink.shape[1] - 2 * _MARGIN, 24))
        image[k, 0] = padded(s.ink, left, top, height, width)
        moved = s.places + np.array([left / FINE, top / FINE], np.float32)
        _add_peaks(heat[k], moved)
        of += [k] * len(moved)
        places.append(moved)
        texts += s.texts
        bonds.append(s.bonds + np.array([first, first, 0]))
        first += len(moved)
    return Batch(
        torch.from_numpy(image).div_(255),
        torch.from_numpy(heat),
        torch.tensor(of, dtype=torch.long),
        torch.from_numpy(np.concatenate(places)),
        tuple(texts),
        torch.from_numpy(np.concatenate(bonds)),
        torch.tensor([s.bond_length for s in samples], dtype=torch.float32),
        _joined(words),
        group,
    )


def _no_images(words: Sequence[Words], group: int) -> Batch:
    nothing, nowhere = torch.zeros(0, dtype=torch.long), torch.zeros(0, 2)
    no_bonds, no_lengths = torch.zeros(0, 3, dtype=torch.long), torch.zeros(0)
    image, heat = torch.zeros(0, 1, MULTIPLE, MULTIPLE), torch.zeros(0, 16, 16)
    return Batch(image, heat, nothing, nowhere, (), no_bonds, no_lengths, _joined(words), group)


def _paper_size(s: Sample) -> tuple[int, int]:
    height, width = (-(-(side + 2 * _MARGIN) // MULTIPLE) * MULTIPLE for side in s.ink.shape)
    return height, width


def _add_peaks(heat: NDArray[np.float32], places: NDArray[np.float32]) -> None:
    rows, columns = heat.shape
    cells = np.round(places / STRIDE - 0.5).astype(int)
    for dy in range(-2, 3):
        for dx in range(-2, 3):
            x, y = cells[:, 0] + dx, cells[:, 1] + dy
            inside = (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
            value = np.float32(math.exp(-(dx * dx + dy * dy) / (2 * _SPREAD**2)))
            np.maximum.at(heat, (y[inside], x[inside]), value)


class Samples(IterableDataset[Batch]):
    """Batches without end; each worker draws every N-th group of samples.

    Args:
        seed: of the series.
        first_group: where a run that resumes begins.
        area: image pixels of a batch, paper included.
        words_only: batches without images, for a piece that teaches the speller alone.
    """

    def __init__(
        self,
        seed: int,
        first_group: int = 0,
        area: int = 1_200_000,
        *,
        words_only: bool = False,
    ) -> None:
        super().__init__()
        self.seed, self.first_group, self.area = seed, first_group, area
        self.words_only = words_only

    def __iter__(self) -> Iterator[Batch]:
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        torch.set_num_threads(1)
        group = self.first_group + worker
        while True:
            yield from self.group(group)
            group += workers

    def group(self, number: int) -> list[Batch]:
        """The batches of one group, in random order."""
        rng = random.Random(f"group {self.seed} {number}")
        if self.words_only:
            first = number * _GROUP
            return [_no_images(self._words(first + n, rng), number) for n in range(_GROUP)]
        drawn = [sample(self.seed, n) for n in range(number * _GROUP, (number + 1) * _GROUP)]
        found = [s for s in drawn if s is not None]
        found.sort(key=lambda s: (_paper_size(s)[0] // 128, _paper_size(s)[1], rng.random()))
        batches: list[list[Sample]] = [[]]
        for s in found:
            sizes = [_paper_size(t) for t in (*batches[-1], s)]
            area = max(h for h, _ in sizes) * max(w for _, w in sizes) * len(sizes)
            if batches[-1] and area > self.area:
                batches.append([])
            batches[-1].append(s)
        rng.shuffle(batches)
        return [
            batch_of(
                batch,
                rng,
                self._words(number * _GROUP + n, rng) + [bare_words_of(s, rng) for s in batch],
                number,
            )
            for n, batch in enumerate(batches)
            if batch
        ]

    def _words(self, number: int, rng: random.Random) -> list[Words]:
        """Of sheets that nothing else is learnt from."""
        sheets = (
            sample(self.seed, number * _EXTRA_SHEETS + n, sheet=True) for n in range(_EXTRA_SHEETS)
        )
        return [words_of(s, rng) for s in sheets if s is not None]
