"""Training rows made when they are asked for: random molecules, drawn on the spot, none stored.

The trainer takes them through ``--data_path data_preprocess.build.online:Drawings`` with the
arguments of `Drawings` as ``--data_options``. A row depends on the seed and its number alone, so
any worker makes any row, and a run that was stopped resumes with the very rows that it would have
seen.
"""

from __future__ import annotations

import itertools
import random
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from data_preprocess.build.examples import Drop, Example, fit_to_frame
from data_preprocess.build.exclude import read_excluded
from data_preprocess.dataset.splits import connectivity_key, number_of, split_of
from data_preprocess.drawing.render import RenderError, Style, StyleRange, render
from data_preprocess.sources.random_molecules import STEREO, Sizes, random_molecule
from data_preprocess.tasks import cot_turn
from eyesmol.answer.text import PROMPT_VERSION, AnswerForm
from eyesmol.atomic import write_json
from eyesmol.exceptions import InputError
from eyesmol.image.pixel_frame import PixelFrame

__all__ = ["Drawings", "store"]

_SMALLEST = 0.8  # times the side
_OBLONG = 2.0  # width to height, or height to width


class Drawings:
    """Rows of LLaVA JSON whose `image` is the image itself.

    Args:
        count: how many rows there are.
        seed: another one gives other molecules and other styles.
        side: width and height of the images, in pixels; the pixel frame is just this size.
        varied: fraction of the images in varied styles; the rest is clean.
        shrunk: fraction of the images that are drawn larger, or a little smaller, as they come from
            other programs, and brought to their size by the pixel frame.
        largest: how much larger; drawing takes longer with the square of it.
        oblong: fraction of the images that are drawn up to twice as wide as high, or as high as
            wide; the model sees them stretched, as it will see those of others.
        coloured: fraction of the clean images whose letters have the usual colours.
        least, most: heavy atoms.
        mean, spread: of their normal distribution; USPTO's by default.
        stereo: fraction of the molecules whose stereo centres are drawn as such; USPTO's by
            default.
        grow: fraction of the rows in which `most` rises from `start` to its full value, so that
            small molecules come first; 0 for all sizes from the first row on.
        start: heavy atoms of the largest molecules at the beginning, with `grow`.
        times: how often each drawing is shown; making them is then less of the time, but a model
            learns less from what it has seen a moment ago.
        apart: rows from one showing of a drawing to the next; so many drawings are kept in memory.
            A worker has them at hand where this is a multiple of the rows that all workers take
            at a time, and else makes them again.
        alike: so many neighbouring rows have the same number of heavy atoms. With the batch size,
            answers of a batch are about equally long, and little of it is padding.
        form: of the answers.
        prompt_version: of the questions.
        held_out: fraction of all molecules that are kept for scoring, the same for every seed:
            those that `build` puts into valid and test with fractions of this sum.
        part: the molecules that rows show: all but those, or those alone (many are made to find
            one, so that rows come some ten times as slowly).
        exclude: molecules that no row shows, in files as for ``build --exclude``.

    Raises:
        InputError: arguments that no row can satisfy.
    """

    def __init__(
        self,
        count: int,
        *,
        seed: int = 0,
        side: int = 224,
        varied: float = 0.5,
        shrunk: float = 0.5,
        largest: float = 3.0,
        oblong: float = 0.5,
        coloured: float = 0.25,
        least: int = 3,
        most: int = 60,
        mean: float = Sizes.mean,
        spread: float = Sizes.spread,
        stereo: float = STEREO,
        grow: float = 0.0,
        start: int = 8,
        times: int = 1,
        apart: int = 4_800,
        alike: int = 1,
        form: AnswerForm = "compact",
        prompt_version: int = PROMPT_VERSION,
        held_out: float = 0.01,
        part: Literal["train", "held_out"] = "train",
        exclude: Sequence[str] = (),
    ) -> None:
        if min(count, alike, times, apart) < 1:
            raise InputError(
                f"count {count}, alike {alike}, times {times}, apart {apart}: expected at least 1 "
                "of each"
            )
        if times > 1 and apart % alike:
            raise InputError(f"apart {apart}: expected a multiple of alike, {alike}")
        if not 1 <= least <= (min(start, most) if grow else most):
            raise InputError(f"sizes from {least} to {most} atoms (at the start {start}): none fit")
        self.count, self.seed, self.side = count, seed, side
        self.varied, self.shrunk, self.largest = varied, shrunk, largest
        self.oblong, self.coloured = oblong, coloured
        self.least, self.most, self.mean, self.spread = least, most, mean, spread
        self.stereo = stereo
        self.grow, self.start, self.alike = grow, start, alike
        self.times, self.apart = times, apart
        self.form: AnswerForm = form
        self.prompt_version = prompt_version
        self.held_out, self.part = held_out, part
        self.frame = PixelFrame(side * side, side * side)
        self._kept: OrderedDict[int, dict[str, Any]] = OrderedDict()
        self._excluded = read_excluded([Path(path) for path in exclude]).keys

    def __len__(self) -> int:
        return self.count

    @property
    def pixel_frame(self) -> dict[str, int]:
        """As in `dataset_info.json`."""
        return self.frame.to_dict()

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Row `index`, the same whenever it is asked for."""
        if not 0 <= index < self.count:
            raise IndexError(f"row {index} of {self.count}")
        number = self.number(index)
        if self.times == 1:
            return self._made(number)
        row = self._kept.pop(number, None) or self._made(number)
        self._kept[number] = row
        if len(self._kept) > self.apart:
            self._kept.popitem(last=False)
        return row

    def number(self, index: int) -> int:
        """Of the drawing that row `index` shows: `apart` drawings in order, `times` times over."""
        turn, position = divmod(index, self.times * self.apart)
        return turn * self.apart + position % self.apart

    def drawings(self, rows: int) -> int:
        """How many drawings the first `rows` rows show: those numbered from 0 on."""
        turns, rest = divmod(rows, self.times * self.apart)
        return turns * self.apart + min(rest, self.apart)

    def _made(self, number: int) -> dict[str, Any]:
        # One in some hundred cannot be drawn.
        tried = ((name, self._drawn(name, smiles)) for name, smiles in self.molecules(number))
        name, example = next((name, made) for name, made in tried if made is not None)
        assert example.graph is not None
        turn = cot_turn(example.graph, example.smiles, self.form, self.prompt_version)
        return {
            "id": name,
            "image": example.image,
            "conversations": [
                {"from": "human", "value": f"<image>\n{turn.question}"},
                {"from": "gpt", "value": turn.answer},
            ],
            "source": "invented",
            "task": turn.task,
        }

    def sizes(self, number: int) -> Sizes:
        """How large the molecule of a drawing may be."""
        block = number // self.alike
        most = self.most
        if self.grow:
            progress = min(1.0, block * self.alike * self.times / (self.grow * self.count))
            most = round(self.start + progress * (self.most - self.start))
        sizes = Sizes(self.mean, self.spread, self.least, most)
        if self.alike == 1:
            return sizes
        size = sizes.draw(random.Random(f"{self.seed} block {block}"))
        return Sizes(size, 0.0, size, size)

    def molecules(self, number: int) -> Iterator[tuple[str, str]]:
        """Ids and SMILES that a drawing may show, without end; it shows the first that can be
        drawn."""
        sizes = self.sizes(number)
        for attempt in itertools.count():
            name = f"{self.seed}-{number}-{attempt}"
            smiles = random_molecule(self.seed, number_of(name), sizes, stereo=self.stereo)
            key = connectivity_key(smiles) or smiles
            part = "train" if split_of(key, self.held_out, 0.0) == "train" else "held_out"
            if key not in self._excluded and part == self.part:
                yield name, smiles

    def _drawn(self, name: str, smiles: str) -> Example | None:
        rng = random.Random(number_of(name))

        def chance(fraction: float) -> bool:  # what is not asked for leaves the other choices alone
            return fraction > 0 and rng.random() < fraction

        look: StyleRange = "varied" if rng.random() < self.varied else "clean"
        scale = rng.uniform(_SMALLEST, self.largest) if rng.random() < self.shrunk else 1.0
        ratio = _OBLONG ** rng.uniform(-1, 1) if chance(self.oblong) else 1.0
        size = round(self.side * scale * ratio**0.5), round(self.side * scale / ratio**0.5)
        style = None
        if look == "clean" and chance(self.coloured):
            style = replace(Style.random(rng, size), colour=True)
        try:
            drawing = render(smiles, size, seed=rng.getrandbits(63), look=look, style=style)
            return fit_to_frame(Example(drawing.image, drawing.graph, drawing.smiles), self.frame)
        except (RenderError, Drop):
            return None


def store(rows: Drawings, folder: Path, name: str) -> Path:
    """Rows as files, to evaluate on: images in `folder`/images and LLaVA JSON beside them.

    Returns:
        The JSON file, `folder`/`name`.json, which is written last and in one go.
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    stored = []
    for index in tqdm(range(len(rows)), desc=name, unit="row"):
        row = rows[index]
        image = f"images/{name}-{row['id']}.png"
        row["image"].save(folder / image)
        stored.append({**row, "image": image})
    path = folder / f"{name}.json"
    write_json(path, stored, indent=0)
    return path
