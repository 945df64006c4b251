"""How well readers read real drawings: every set that is at hand, every measure, one table.

    python benchmarks/real.py --model detector --osra
    python benchmarks/real.py --run runs/detector --sample 200 --errors sheets/errors.png
    python benchmarks/real.py --images IMAGES --gold FOLDER_OR_CSV --predictions other.csv

A set is a folder with `images/` and either `molfiles/` or `smiles.csv`, named like the images; all
that lie in the data folder are read (``--data``, else EYESMOL_SHARED_DATA, else ../shared/data).
Scores are those of `eyesmol.evaluation.metrics`, where each column is explained. Readings stay in
the folder ``--out``, a file for each set, reader and version of the weights and the code, so that a
run that was stopped resumes and a larger sample reads only what is new; `scores.json` there holds
every figure with its interval, `table.md` what is printed.

Seconds are processor time of one core. *Changed* are the readings in which something likelier was
impossible and changed, or in which something is doubtful. *Surest half*: the share of right ones
among the half of the images of which the reader was surest.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from contact_sheet import Row, drawn, write_sheet
from readers import RunReader, add_reader_options, readers_of, readings

from eyesmol.atomic import write_json, write_text
from eyesmol.evaluation.error_analysis import ERROR_KINDS
from eyesmol.evaluation.gold import GoldSet, ScoreError, load_gold
from eyesmol.evaluation.metrics import METRICS, Evaluation, RowScore, Share, evaluate
from eyesmol.evaluation.predictions import load_predictions
from eyesmol.evaluation.subsets import SUBSETS, subset_shares
from eyesmol.image.loading import list_pictures, load_picture
from eyesmol.recognition import Recognition

_ROOT = Path(__file__).resolve().parents[1]
_COLUMNS = {
    "exact": "exact",
    "exact_without_cis_trans": "no cis/trans",
    "exact_without_stereo": "no stereo",
    "any_r": "any R",
    "inchi": "InChI",
    "chirality": "chirality",
    "validity": "valid",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Read, score, print; returns the exit status."""
    options = _options(arguments)
    try:
        readers = readers_of(options)
        sets = _sets(options)
        others = {path.stem: load_predictions(path) for path in options.predictions}
    except (FileNotFoundError, ScoreError) as error:
        print(error, file=sys.stderr)
        return 2
    if not readers and not others:
        print("nothing to score: give --run, --model, --osra or --predictions", file=sys.stderr)
        return 2
    found: list[Scored] = []
    for one in sets:
        for reader in readers:
            out = options.out / f"{one.name}-{reader.key}.jsonl"
            read = readings(reader, one.images, out, options.workers)
            found.append(Scored.of(one, reader.name, read))
            if options.append and isinstance(reader, RunReader):
                _append_score(options.append, reader, found[-1])
        for name, rows in others.items():
            try:
                found.append(Scored.of(one, name, rows))
            except ScoreError:
                print(f"{name}: holds no image of {one.name}", file=sys.stderr)
    table = f"{score_table(found)}\n\n{subset_table(found)}\n"
    print(table)
    options.out.mkdir(parents=True, exist_ok=True)
    write_text(options.out / "table.md", table)
    write_json(options.out / "scores.json", [one.to_dict() for one in found])
    if options.errors:
        write_errors(found, options.errors, options.most_errors)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_reader_options(parser)
    parser.add_argument("--predictions", type=Path, action="append", default=[], metavar="FILE",
                        help="what another tool wrote, as eyesmol evaluate takes it")  # fmt: skip
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="a folder of sets")
    parser.add_argument("--sets", nargs="*", metavar="NAME", help="of the data folder (all)")
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="a set of your own")
    parser.add_argument("--gold", type=Path, metavar="FOLDER_OR_CSV", help="its molecules")
    parser.add_argument("--sample", type=int, metavar="N", help="so many images of each set; a "
                        "smaller sample is a part of a larger one")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of the sample (0)")
    parser.add_argument("--out", type=Path, default=Path("runs/real"), metavar="FOLDER",
                        help="for readings, scores and tables (runs/real)")  # fmt: skip
    parser.add_argument("--append", type=Path, metavar="FILE.jsonl", help="add each run's exact "
                        "match, for python -m detector_training.curve")  # fmt: skip
    parser.add_argument("--errors", type=Path, metavar="SHEET.png", help="contact sheets of the "
                        "errors, SHEET-KIND.png for each kind: drawing, reading, gold")  # fmt: skip
    parser.add_argument("--most-errors", type=int, default=40, metavar="N",
                        help="on one sheet (40)")  # fmt: skip
    options = parser.parse_args(arguments)
    if (options.images is None) != (options.gold is None):
        parser.error("--images and --gold go together")
    return options


# ---- sets ----


@dataclass(frozen=True)
class ImageSet:
    """Images whose molecules are known.

    Attributes:
        name: in tables.
        images: names of the files, in the order of the gold's rows.
        gold: of these images, and what of the whole set cannot be scored.
    """

    name: str
    images: tuple[str, ...]
    gold: GoldSet

    @classmethod
    def of(cls, name: str, images: Path, gold: Path) -> ImageSet:
        """Images with a gold, told by file name or by file name without ending.

        Raises:
            ScoreError: the gold cannot be read, or no image has one.
        """
        golds = load_gold(gold)
        listed = list(list_pictures(images))
        by_name = {Path(image).stem: image for image in listed}
        by_name |= {Path(image).name: image for image in listed}
        names = [(row, Path(row.image)) for row in golds.rows]
        found = [(row, by_name.get(path.name) or by_name.get(path.stem)) for row, path in names]
        rows = [(row, image) for row, image in found if image]
        if not rows:
            raise ScoreError(f"{images}: no image has a gold in {gold}; names must agree")
        kept = replace(golds, rows=tuple(row for row, _ in rows))
        return cls(name, tuple(image for _, image in rows), kept)

    def sample(self, count: int, seed: int) -> ImageSet:
        """So many of the images; of one seed, a smaller sample is a part of a larger one."""
        order = list(range(len(self.images)))
        random.Random(f"{self.name} {seed}").shuffle(order)
        chosen = sorted(order[:count])
        gold = replace(self.gold, rows=tuple(self.gold.rows[k] for k in chosen))
        return ImageSet(self.name, tuple(self.images[k] for k in chosen), gold)


def _sets(options: argparse.Namespace) -> list[ImageSet]:
    """The sets that were asked for.

    Raises:
        FileNotFoundError: none is there, or one that was named is not.
        ScoreError: a gold cannot be read.
    """
    if options.images:
        sets = [ImageSet.of(options.images.name, options.images, options.gold)]
    else:
        data = options.data or Path(os.environ.get("EYESMOL_SHARED_DATA", _ROOT / "../shared/data"))
        folders = [f for f in sorted(data.glob("*")) if (f / "images").is_dir() and _gold_of(f)]
        names = options.sets or [folder.name for folder in folders]
        missing = set(names) - {folder.name for folder in folders}
        if missing or not folders:
            raise FileNotFoundError(
                f"{data}: found {', '.join(f.name for f in folders) or 'no set'}; expected "
                f"{', '.join(sorted(missing)) or 'folders with images/ and a gold'}. Name the "
                "folder with --data, or one set with --images and --gold"
            )
        sets = [
            ImageSet.of(f.name, f / "images", gold)
            for f in folders
            if f.name in names and (gold := _gold_of(f))
        ]
    return [one.sample(options.sample, options.seed) for one in sets] if options.sample else sets


def _gold_of(folder: Path) -> Path | None:
    found = (folder / "molfiles", folder / "smiles.csv")
    return next((path for path in found if path.exists()), None)


# ---- scores ----


@dataclass(frozen=True)
class Scored:
    """One reader on one set."""

    images: ImageSet
    evaluation: Evaluation

    @classmethod
    def of(cls, images: ImageSet, reader: str, read: Sequence[Recognition]) -> Scored:
        """Score readings.

        Raises:
            ScoreError: none is of an image of the set.
        """
        return cls(images, evaluate(images.gold, read, name=reader))

    @property
    def seconds(self) -> list[float]:
        """Of each image of which they are known."""
        return [row.seconds for row in self.evaluation.rows if row.seconds]

    @property
    def changed(self) -> int | None:
        """Readings with a problem; None where the reader tells of none at all."""
        counts = [len(row.prediction.problems) for row in self.evaluation.rows if row.prediction]
        graphs = any(row.prediction and row.prediction.graph for row in self.evaluation.rows)
        return sum(count > 0 for count in counts) if graphs else None

    @property
    def surest_half(self) -> Share | None:
        """Exact among the half of the rows with the highest confidence; None without any."""
        sure = [(row.prediction.confidence, row.exact) for row in self.evaluation.rows
                if row.prediction and row.prediction.confidence is not None]  # fmt: skip
        half = sorted(sure, key=lambda pair: -pair[0])[: len(self.evaluation.rows) // 2]
        return METRICS["exact"].share([exact for _, exact in half], None) if half else None

    def to_dict(self) -> dict[str, Any]:
        """For a JSON file."""
        half, seconds = self.surest_half, self.seconds
        return {
            "set": self.images.name,
            **self.evaluation.to_dict(),
            "subsets": {k: s.to_dict() for k, s in subset_shares(self.evaluation).items()},
            "seconds_median": statistics.median(seconds) if seconds else None,
            "changed": self.changed,
            "surest_half": half and half.to_dict(),
        }


def _append_score(file: Path, run: RunReader, scored: Scored) -> None:
    exact = scored.evaluation.shares()["exact"]
    row = {"minutes": run.minutes, "images": run.images, "set": scored.images.name, "n": exact.n,
           "exact": exact.value, "low": exact.low, "high": exact.high}  # fmt: skip
    with file.open("a", encoding="utf-8") as log:
        log.write(json.dumps(row) + "\n")


def score_table(found: Sequence[Scored]) -> str:
    """Markdown: a line for each set and reader, per cent, with Wilson's 95 % intervals."""
    head = ["set", "reader", "images", *_COLUMNS.values(), "surest half right", "changed",
            "s an image, median", "mean"]  # fmt: skip
    lines = [_line(head), _line(["---"] * len(head))]
    for one in found:
        shares, seconds, changed = one.evaluation.shares(), one.seconds, one.changed
        lines.append(_line([
            one.images.name, one.evaluation.name, str(len(one.evaluation.rows)),
            *(_percent(shares.get(key)) for key in _COLUMNS),
            _percent(one.surest_half),
            "-" if changed is None else str(changed),
            f"{statistics.median(seconds):.2f}" if seconds else "-",
            f"{statistics.mean(seconds):.2f}" if seconds else "-",
        ]))  # fmt: skip
    return "\n".join(lines)


def subset_table(found: Sequence[Scored]) -> str:
    """Markdown: exact match by size and kind, a column for each set and reader."""
    columns = [subset_shares(one.evaluation) for one in found]
    head = ["exact match, % (images)",
            *(f"{one.images.name}, {one.evaluation.name}" for one in found)]  # fmt: skip
    lines = [_line(head), _line(["---"] * len(head))]
    for name in SUBSETS:
        shares = [column.get(name) for column in columns]
        if any(shares):
            lines.append(_line([name, *(f"{100 * s.value:.1f} ({s.n})" if s else "-"
                                        for s in shares)]))  # fmt: skip
    return "\n".join(lines)


def _percent(share: Share | None) -> str:
    if share is None:
        return "-"
    return f"{100 * share.value:.1f} ({100 * share.low:.1f} to {100 * share.high:.1f})"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


# ---- errors ----


def write_errors(found: Sequence[Scored], path: Path, most: int) -> None:
    """Contact sheets of what was read wrongly: one for each kind, all sets and readers together."""
    by_kind: dict[str, list[tuple[Scored, RowScore]]] = defaultdict(list)
    for one in found:
        for row in one.evaluation.rows:
            if row.kinds:
                by_kind[row.kinds[0]].append((one, row))
    for kind in (kind for kind in ERROR_KINDS if kind in by_kind):
        rows = by_kind[kind]
        sheet = path.with_name(f"{path.stem}-{kind}{path.suffix or '.png'}")
        write_sheet([_error_row(*pair) for pair in _spread(rows, most)], sheet)
        print(f"{ERROR_KINDS[kind]}: {len(rows)} -> {sheet}", file=sys.stderr)


def _spread(rows: list[Any], most: int) -> list[Any]:
    """At most so many, from the first to the last."""
    step = max(1.0, len(rows) / most)
    return [rows[int(k * step)] for k in range(min(most, len(rows)))]


def _error_row(one: Scored, row: RowScore) -> Row:
    read = row.prediction or Recognition(row.gold.image)
    image = dict(zip((r.image for r in one.images.gold.rows), one.images.images, strict=True))
    said = read.smiles or read.error or read.reason or "nothing"
    sure = "" if read.confidence is None else f", confidence {read.confidence:.2f}"
    return Row(
        f"{one.images.name} {Path(row.gold.image).name}, {one.evaluation.name}: "
        f"{', '.join(ERROR_KINDS[k] for k in row.kinds)}{sure}",
        load_picture(image[row.gold.image]),
        (drawn(read.smiles, read.graph), drawn(row.gold.smiles, row.gold.graph)),
        ("; ".join(read.problems), f"read: {said}", f"gold: {row.gold.smiles}"),
    )


if __name__ == "__main__":
    sys.exit(main())
