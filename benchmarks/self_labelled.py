"""Images that label themselves: how many become rows, and are their atoms where they should be?

    python benchmarks/self_labelled.py --images DIR --smiles TABLE --limit 40 --sheet sheet.png
    python benchmarks/self_labelled.py --images DIR --molfiles DIR --limit 40

With a table the share of images that become rows is counted, and the sheet shows the rows over
their images, to be looked at. With molfiles, which the labelling does not see, every row is held
against the row that the molfile gives: where its atoms are, how they are labelled, how bonded.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.optimize import linear_sum_assignment
from tqdm import tqdm

from benchmarks.contact_sheet import Row, drawn, write_sheet
from data_preprocess.build.detector_labels import Labeller
from data_preprocess.build.examples import Drop, Example, molecule_of, pictured
from data_preprocess.sources.files import Item, PairedFolders
from data_preprocess.sources.images_and_smiles import ImagesWithSmiles
from eyesmol.chem.graph import MolGraph
from eyesmol.image.overlay import draw_overlay

_SIZE = (448, 448)  # of drawings, of which there are none here


@dataclass
class Found:
    """What became of the images.

    Attributes:
        rows: name, image and the row of each that became one.
        drops: reasons.
        seconds: of the CPU, of the labelling.
    """

    rows: list[tuple[str, Image.Image, Example]] = field(default_factory=list)
    drops: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def total(self) -> int:
        return len(self.rows) + sum(self.drops.values())


@dataclass
class Against:
    """Rows against those of the molfiles.

    Attributes:
        pixels: of each atom that both have, how far apart they lie, in pixels of the image.
        bonds: the same as a share of the median bond.
        same_atoms, same_labels, same_graph: rows with as many atoms; whose atoms are labelled
            alike, too; whose bonds are between the same atoms, too.
        rows: compared; without those whose molfile is refused itself.
    """

    pixels: list[float] = field(default_factory=list)
    bonds: list[float] = field(default_factory=list)
    same_atoms: int = 0
    same_labels: int = 0
    same_graph: int = 0
    rows: int = 0

    def add(self, seen: MolGraph, true: MolGraph) -> None:
        """Compare one row."""
        self.rows += 1
        away = np.linalg.norm(_places(seen)[:, None] - _places(true)[None], axis=-1)
        here, there = linear_sum_assignment(away)
        near = away[here, there]
        self.pixels += near.tolist()
        self.bonds += (near / (true.median_bond_length() or 1.0)).tolist()
        partner = dict(zip(here.tolist(), there.tolist(), strict=True))
        if len(seen.atoms) != len(true.atoms):
            return
        self.same_atoms += 1
        if any(seen.atoms[a].text != true.atoms[b].text for a, b in partner.items()):
            return
        self.same_labels += 1
        pairs = [
            {frozenset((names[bond.begin], names[bond.end])) for bond in graph.bonds}
            for graph, names in ((seen, partner), (true, range(len(true.atoms))))
        ]
        self.same_graph += pairs[0] == pairs[1]


def _places(graph: MolGraph) -> NDArray[np.float64]:
    return np.array([(atom.x, atom.y) for atom in graph.atoms], np.float64).reshape(-1, 2)


def label_all(items: Sequence[Item], labeller: Labeller) -> Found:
    """The rows of images with SMILES."""
    found = Found()
    for item in tqdm(items, unit=" images"):
        start = time.process_time()
        try:
            if item.problem:
                raise Drop(item.problem)
            molecule = molecule_of(item, draw=False)
            example = pictured(
                item, molecule, task="cot", draw=False, size=_SIZE, seed=0, labeller=labeller
            )
            assert example.image is not None
            found.rows.append((item.name, example.image, example))
        except Drop as drop:
            found.drops[str(drop)] += 1
        found.seconds += time.process_time() - start
    return found


def against_molfiles(items: Sequence[Item], labeller: Labeller) -> tuple[Found, Against]:
    """Rows with the molfiles hidden, and held against the rows that the molfiles give."""
    hidden, truths = [], {}
    for item in items:
        try:
            molecule = molecule_of(item, draw=False)
            fit = pictured(item, molecule, task="cot", draw=False, size=_SIZE, seed=0)
        except Drop:
            continue
        truths[item.name] = fit.graph
        hidden.append(Item(item.name, item.source, smiles=molecule.smiles, image=item.image))
    found, against = label_all(hidden, labeller), Against()
    for name, _, example in found.rows:
        true = truths[name]
        assert example.graph is not None
        assert true is not None
        against.add(example.graph, true)
    return found, against


def _print(found: Found) -> None:
    print(f"{len(found.rows)} of {found.total} images became rows "
          f"({100 * len(found.rows) / found.total:.1f} %), "
          f"{found.seconds / found.total:.2f} CPU seconds an image")  # fmt: skip
    for correction, count in Counter(e.labelled for _, _, e in found.rows).most_common():
        print(f"  {count:>5}  {correction}")
    for reason, count in found.drops.most_common():
        print(f"  {count:>5}  dropped: {reason}")


def _print_against(against: Against) -> None:
    if not against.rows:
        return
    pixels, bonds = np.array(against.pixels), np.array(against.bonds)
    print(f"{against.rows} rows against their molfiles' fit, {len(pixels)} atoms: "
          f"median {np.median(pixels):.2f} pixels, 95th percentile "
          f"{np.percentile(pixels, 95):.2f}, largest {pixels.max():.2f}; of a bond's length "
          f"{np.median(bonds):.3f} and {np.percentile(bonds, 95):.3f}")  # fmt: skip
    print(f"  as many atoms {against.same_atoms}, labelled alike, too {against.same_labels}, "
          f"bonded alike, too {against.same_graph} of {against.rows}")  # fmt: skip


def _write_sheet(found: Found, path: Path) -> None:
    rows = []
    for name, image, example in found.rows:
        assert example.graph is not None
        scale = min(1.0, 700 / max(image.size))
        rows.append(
            Row(
                f"{name}: {example.labelled}",
                _small(image),
                (draw_overlay(image, example.graph, scale=scale), drawn(example.smiles)),
                ("image", "labelled", example.smiles),
            )
        )
    write_sheet(rows, path, columns=1)


def _small(image: Image.Image) -> Image.Image:
    """No larger than a sheet shows it."""
    small = image.convert("RGB")
    small.thumbnail((700, 700))
    return small


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--smiles", type=Path, help="table with the columns image and SMILES")
    parser.add_argument("--molfiles", type=Path)
    parser.add_argument("--limit", type=int, help="images, chosen at random")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--labels-from", default="detector")
    parser.add_argument("--sheet", type=Path, help="PNG of the rows over their images")
    options = parser.parse_args()
    if (options.smiles is None) == (options.molfiles is None):
        parser.error("give either --smiles TABLE or --molfiles DIR")
    source = (
        ImagesWithSmiles(options.images, options.smiles)
        if options.smiles
        else PairedFolders(options.images, options.molfiles)
    )
    items = list(source.items())
    random.Random(options.seed).shuffle(items)
    labeller = Labeller.of(options.labels_from)
    items = items[: options.limit]
    if options.smiles:
        found = label_all(items, labeller)
        _print(found)
    else:
        found, against = against_molfiles(items, labeller)
        _print(found)
        _print_against(against)
    if options.sheet and found.rows:
        _write_sheet(found, options.sheet)


if __name__ == "__main__":
    main()
