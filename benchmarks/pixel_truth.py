"""Do the coordinates lie where the ink is? Our fit beside stretching, on the same drawings.

    python benchmarks/pixel_truth.py --images DIR --molfiles DIR

A bond midpoint counts as right within 3 pixels of ink. Stretching lays the box of the atoms over a
box of the picture, each axis by itself: over the whole picture, as the original data did, or over
the box of its ink, which is the best that stretching can do. All drawings count for all three;
the last line leaves out those that the fit itself refuses, as the builder does.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from tqdm import tqdm

from data_preprocess.build.align_to_ink import TOLERANCE, AlignmentError, align, ink_mask
from data_preprocess.sources.files import PairedFolders
from eyesmol.chem.graph import MolGraph
from eyesmol.chem.molfile import MolfileError, parse_molblock, read_molblock

Points = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass
class Count:
    """Of one method: drawings, those with 95 % on ink, midpoints, those on ink."""

    drawings: int = 0
    good: int = 0
    midpoints: int = 0
    on_ink: int = 0

    def add(self, hits: Mask) -> None:
        """One more drawing; `hits` says which of its midpoints lie on ink."""
        self.drawings += 1
        self.good += hits.mean() >= 0.95
        self.midpoints += hits.size
        self.on_ink += int(hits.sum())


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=Path, required=True, metavar="DIR")
    parser.add_argument("--molfiles", type=Path, required=True, metavar="DIR")
    options = parser.parse_args()
    counts, refused, unreadable = measured(options.images, options.molfiles)
    print(f"{'':34}{'drawings':>9}{'midpoints on ink':>18}{'drawings with 95 % on ink':>27}")
    for name, count in counts.items():
        print(
            f"{name:34}{count.drawings:9,}{count.on_ink / max(count.midpoints, 1):18.1%}"
            f"{count.good / max(count.drawings, 1):27.1%}"
        )
    print(f"\nrefused by the fit: {len(refused)}\n  " + "\n  ".join(refused))
    print(f"without a bond or not readable: {len(unreadable)} {' '.join(unreadable)}")


def measured(images: Path, molfiles: Path) -> tuple[dict[str, Count], list[str], list[str]]:
    """Counts by method, the drawings that the fit refuses, and those with nothing to measure."""
    stretches: dict[str, Callable[[Points, Mask], Points]] = {
        "stretched over the picture": _over_picture,
        "stretched over the ink": _over_ink,
    }
    counts = {name: Count() for name in [*stretches, "fitted, all", "fitted and not refused"]}
    refused: list[str] = []
    unreadable: list[str] = []
    pairs = [
        item for item in PairedFolders(images, molfiles).items() if item.image and item.molfile
    ]
    for item in tqdm(pairs, disable=None):
        assert item.image
        assert item.molfile
        try:
            graph = parse_molblock(read_molblock(item.molfile))
        except MolfileError:
            unreadable.append(item.name)
            continue
        with Image.open(item.image) as image:
            ink = ink_mask(image)
            try:
                fit = align(image, graph)
            except AlignmentError:
                unreadable.append(item.name)
                continue
        if not graph.bonds:
            unreadable.append(item.name)
            continue
        distance = ndimage.distance_transform_edt(~ink)
        atoms = np.array([(atom.x, -atom.y) for atom in graph.atoms])
        for name, stretch in stretches.items():
            counts[name].add(_hits(stretch(atoms, ink), graph, distance))
        hits = _hits(atoms * fit.scale + (fit.dx, fit.dy), graph, distance)
        counts["fitted, all"].add(hits)
        if fit.problem:
            refused.append(f"{item.name}: {fit.problem}")
        else:
            counts["fitted and not refused"].add(hits)
    return counts, refused, unreadable


def _hits(places: Points, graph: MolGraph, distance: Points) -> Mask:
    """Whether each bond's midpoint is near ink; outside the picture it is not."""
    middle = np.array([(places[bond.begin] + places[bond.end]) / 2 for bond in graph.bonds])
    columns, rows = np.rint(middle).astype(int).T
    height, width = distance.shape
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    hits = np.zeros(len(middle), dtype=bool)
    hits[inside] = distance[rows[inside], columns[inside]] <= TOLERANCE
    return hits


def _over_picture(atoms: Points, ink: Mask) -> Points:
    height, width = ink.shape
    return _stretched(atoms, np.array([0.0, 0.0]), np.array([width - 1.0, height - 1.0]))


def _over_ink(atoms: Points, ink: Mask) -> Points:
    rows, columns = np.nonzero(ink)
    return _stretched(
        atoms,
        np.array([columns.min(), rows.min()], dtype=np.float64),
        np.array([columns.max(), rows.max()], dtype=np.float64),
    )


def _stretched(atoms: Points, low: Points, high: Points) -> Points:
    smallest, extent = atoms.min(axis=0), np.ptp(atoms, axis=0)
    shares = (atoms - smallest) / np.where(extent > 0, extent, 1)
    return low + shares * (high - low)


if __name__ == "__main__":
    main()
