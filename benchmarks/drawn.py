"""How well readers read drawings whose every atom is known: junctions, labels, bonds, molecules.

    python benchmarks/drawn.py --model detector
    python benchmarks/drawn.py --run runs/detector --each 40 --kinds varied pen --errors sheet.png

Three kinds of drawing, by the number of atoms drawn:

- clean: RDKit, black on white (`data_preprocess.drawing.render`)
- varied: RDKit and Indigo in the styles of patents, papers and slides, with captions and scans
- pen: the renderer that the detector is trained with, from seeds that no training uses

The first two are foreign to the detector: it is trained with neither. Drawings and readings stay in
the folder ``--out``; a run that was stopped resumes.

Junctions are matched by place, within 0.4 of a bond. *Precision* and *recall* are of junctions,
*labels* the share of matched ones with the right label (either way round), *bonds* the right ones,
kind and narrow end, over those drawn and those read besides. *As drawn*: every junction, label and
bond is right. *Exact*: the molecule is, where what is drawn is one; the pen also draws labels that
mean nothing.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count
from pathlib import Path

import numpy as np
from contact_sheet import Row, drawn, write_sheet
from PIL import Image
from rdkit import Chem
from readers import add_reader_options, in_processes, kept_rows, readers_of, readings
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from data_preprocess.drawing.pen import draw
from data_preprocess.drawing.pen_style import PenStyle
from data_preprocess.drawing.render import RenderError, Style, render
from data_preprocess.sources.random_molecules import Sizes, random_molecule
from detector_training.subjects import subject
from eyesmol.answer.confidence import Calibration
from eyesmol.atomic import atomic_path, write_text
from eyesmol.chem.expansion import read_label
from eyesmol.chem.graph import MolGraph
from eyesmol.chem.smiles import graph_to_smiles
from eyesmol.evaluation.metrics import METRICS, same_smiles
from eyesmol.image.loading import load_picture
from eyesmol.recognition import Molecule, Recognition

KINDS = ("clean", "varied", "pen")
SIZES = ((2, 10), (11, 20), (21, 30), (31, 50), (51, 80))  # atoms drawn
_SEED = 918273  # of a series that no training draws
_NEAR = 0.4  # of a bond: as far from its place a junction may be
_MOST_TRIES = 40  # drawings refused in a row


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw, read, score, print; returns the exit status."""
    options = _options(arguments)
    try:
        readers = readers_of(options)
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 2
    if not readers:
        print("nothing to score: give --run, --model or --osra", file=sys.stderr)
        return 2
    lines = [_line(_HEAD), _line(["---"] * len(_HEAD))]
    wrong: list[Row] = []
    sure: list[tuple[float, bool]] = []  # raw confidence, and whether the molecule is right
    for kind in options.kinds:
        for size in SIZES:
            golds = drawings(options.out, kind, size, options.each, options.seed, options.workers)
            for reader in readers:
                name = f"{kind}-{size[0]}-{size[1]}-{options.seed}-{reader.key}.jsonl"
                images = [gold.image for gold in golds]
                read = readings(reader, images, options.out / name, options.workers)
                scores = [score(gold, one) for gold, one in zip(golds, read, strict=True)]
                lines.append(_scores_line(kind, size, reader.name, scores))
                sure += [
                    (one.raw_confidence, found.exact)
                    for one, found in zip(read, scores, strict=True)
                    if one.raw_confidence is not None and found.exact is not None
                ]
                wrong += [
                    _error_row(gold, one)
                    for gold, one, found in zip(golds, read, scores, strict=True)
                    if not found.as_drawn
                ]
    table = "\n".join(lines)
    print(table)
    write_text(options.out / "table.md", table + "\n")
    if options.calibration:
        Calibration.learnt(*zip(*sure, strict=True)).write(options.calibration)
    if options.errors and wrong:
        write_sheet(wrong[:: max(1, len(wrong) // 60)][:60], options.errors)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_reader_options(parser)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="(all)")
    parser.add_argument("--each", type=int, default=100, metavar="N",
                        help="drawings of each kind and size (100)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=_SEED, help=f"of the drawings ({_SEED})")
    parser.add_argument("--out", type=Path, default=Path("runs/drawn"), metavar="FOLDER",
                        help="for drawings, readings and the table (runs/drawn)")  # fmt: skip
    parser.add_argument("--calibration", type=Path, metavar="FILE.json",
                        help="learn from these drawings what a confidence is worth")  # fmt: skip
    parser.add_argument("--errors", type=Path, metavar="SHEET.png",
                        help="a contact sheet of drawings read wrongly")  # fmt: skip
    return parser.parse_args(arguments)


# ---- drawings ----


def drawings(
    out: Path, kind: str, size: tuple[int, int], each: int, seed: int, workers: int
) -> list[Recognition]:
    """Drawings of one kind and size, as rows with the true graph; drawn unless they are there."""
    folder = out / "drawings" / f"{kind}-{size[0]}-{size[1]}-{seed}"
    file = folder / f"{each}.jsonl"
    if not file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        work = _Drawer(folder, kind, size, seed)
        rows = list(in_processes(work.load, range(each), workers, f"drawing {folder.name}"))
        with atomic_path(file) as draft:
            draft.write_text("".join(json.dumps(row.to_dict()) + "\n" for row in rows))
    return kept_rows(file)


@dataclass(frozen=True)
class _Drawer:
    """Makes the drawings of one kind and size, each from its number alone."""

    folder: Path
    kind: str
    size: tuple[int, int]
    seed: int

    def load(self) -> _Drawer:
        return self

    def __call__(self, number: int) -> Recognition:
        name = self.folder / f"{number:04}.png"
        for attempt in count():
            rng = random.Random(f"{self.kind} {self.size} {self.seed} {number} {attempt}")
            found = self._drawn(rng)
            if found is not None:
                image, graph = found
                image.save(name)
                smiles, problems = graph_to_smiles(graph)
                return Recognition(
                    str(name), graph=graph, molecule=Molecule(None if problems else smiles)
                )
            if attempt == _MOST_TRIES:
                raise RuntimeError(f"{name}: {_MOST_TRIES} drawings in a row failed")
        raise AssertionError

    def _drawn(self, rng: random.Random) -> tuple[Image.Image, MolGraph] | None:
        least, most = self.size
        sizes = Sizes((least + most) / 2, (most - least) / 2, max(least, 3), most)
        series, number = rng.getrandbits(32), rng.getrandbits(32)
        if self.kind == "pen":
            shown = subject(series, number, sizes)
            drawing = draw(shown, PenStyle.random(rng), rng) if shown is not None else None
            if drawing is None or not least <= len(drawing.graph.atoms) <= most:
                return None
            return Image.fromarray(drawing.image), drawing.graph
        return self._rendered(random_molecule(series, number, sizes, stereo=0.5), rng)

    def _rendered(self, smiles: str, rng: random.Random) -> tuple[Image.Image, MolGraph] | None:
        # Room for bonds of about 20 to 60 pixels, oblong as often as not.
        root = max(self.size[1], 8) ** 0.5
        width, height = (round(rng.uniform(60, 110) * root) for _ in range(2))
        make = Style.random if self.kind == "clean" else Style.varied
        style = replace(make(rng, (width, height)), legible=True)
        try:
            found = render(smiles, (width, height), seed=rng.getrandbits(32), style=style)
        except RenderError:
            return None
        return found.image, found.graph


# ---- scores ----


@dataclass(frozen=True)
class Score:
    """One drawing: counts, and what is right as a whole.

    Attributes:
        drawn, read, matched: junctions.
        labels: matched junctions with the right label.
        bonds, right_bonds: those drawn or read, and those that are right.
        exact: None where the drawing is no molecule.
    """

    drawn: int
    read: int
    matched: int
    labels: int
    bonds: int
    right_bonds: int
    exact: bool | None

    @property
    def as_drawn(self) -> bool:
        """Whether every junction, label and bond is right."""
        return (
            self.drawn == self.read == self.matched == self.labels
            and self.bonds == self.right_bonds
        )


def score(gold: Recognition, read: Recognition) -> Score:
    """Compare the graph that was read with the one that was drawn."""
    true, found = gold.graph or MolGraph(), read.graph or MolGraph()
    pairs = _matched(true, found)
    labels = sum(_same_label(true.atoms[a].text, found.atoms[b].text) for a, b in pairs.items())
    back = {b: a for a, b in pairs.items()}
    wanted = {_bond(b.begin, b.end, b.order) for b in true.bonds}
    # A bond that ends at a junction which is not there is a bond too many.
    seen = {
        _bond(back.get(b.begin, -1 - b.begin), back.get(b.end, -1 - b.end), b.order)
        for b in found.bonds
    }
    return Score(
        len(true.atoms), len(found.atoms), len(pairs), labels,
        len({pair for pair, *_ in wanted | seen}), len(wanted & seen),
        same_smiles(read.smiles, gold.smiles) if gold.smiles else None,
    )  # fmt: skip


def _matched(true: MolGraph, found: MolGraph) -> dict[int, int]:
    """Junctions at the same place: the assignment that moves them least in all."""
    if not true.atoms or not found.atoms:
        return {}
    away = cdist([(a.x, a.y) for a in true.atoms], [(a.x, a.y) for a in found.atoms])
    near = _NEAR * (true.median_bond_length() or 30.0)
    rows, columns = linear_sum_assignment(np.minimum(away, 4 * near))
    return {int(a): int(b) for a, b in zip(rows, columns, strict=True) if away[a, b] <= near}


def _bond(begin: int, end: int, order: int) -> tuple[frozenset[int], int, int | None]:
    """Its ends, its kind, and where it is narrow."""
    return frozenset((begin, end)), int(order), begin if order in (5, 6) else None


def _same_label(true: str, read: str) -> bool:
    return true == read or ((meaning := _meaning(true)) is not None and meaning == _meaning(read))


@lru_cache(maxsize=4096)
def _meaning(text: str) -> str | None:
    """A label as SMILES, so that MeO is OMe; None for one that cannot be read."""
    fragment = read_label(text.strip("[]"), (1,))
    return str(Chem.MolToSmiles(fragment.mol)) if fragment is not None else None


# ---- output ----

_HEAD = ("drawings", "atoms drawn", "reader", "images", "precision", "recall", "labels", "bonds",
         "as drawn", "exact")  # fmt: skip


def _scores_line(kind: str, size: tuple[int, int], reader: str, scores: list[Score]) -> str:
    def ratio(parts: int, whole: int) -> str:
        return f"{100 * parts / whole:.1f}" if whole else "-"

    def share(values: list[float]) -> str:
        if not values:
            return "-"
        found = METRICS["exact"].share(values, None)
        return f"{100 * found.value:.1f} ({100 * found.low:.1f} to {100 * found.high:.1f})"

    matched = sum(s.matched for s in scores)
    return _line([
        kind, f"{size[0]} to {size[1]}", reader, str(len(scores)),
        ratio(matched, sum(s.read for s in scores)),
        ratio(matched, sum(s.drawn for s in scores)),
        ratio(sum(s.labels for s in scores), matched),
        ratio(sum(s.right_bonds for s in scores), sum(s.bonds for s in scores)),
        share([s.as_drawn for s in scores]),
        share([s.exact for s in scores if s.exact is not None]),
    ])  # fmt: skip


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _error_row(gold: Recognition, read: Recognition) -> Row:
    return Row(
        f"{Path(gold.image).parent.name} {Path(gold.image).name}",
        load_picture(gold.image),
        (drawn(read.smiles, read.graph), drawn(gold.smiles, gold.graph)),
        ("; ".join(read.problems), f"read: {read.smiles}", f"drawn: {gold.smiles}"),
    )


if __name__ == "__main__":
    sys.exit(main())
