"""``build cot|instruction``: a dataset folder from drawings or from SMILES."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from data_preprocess.build import Settings, build
from data_preprocess.engine import available_cores
from data_preprocess.sources import InputError, PairedFolders, SmilesList, Source
from eyesmol.frame import PixelFrame

_EXAMPLES = """\
examples:
  # your own drawings: images/a12.png with molfiles/a12.mol, and so on
  python -m data_preprocess build cot --images images --molfiles molfiles --out data/cot

  # all small molecules, 9 pictures of each, small enough for a tiny model
  python -m data_preprocess build cot --smiles small --copies 9 --size 112x112 --out data/cot

  # questions about the same pictures, split alike
  python -m data_preprocess build instruction --smiles small --size 112x112 --out data/questions

  # your own list (a SMILES a line, or a CSV with a column SMILES), answers as JSON
  python -m data_preprocess build cot --smiles list.csv --form json --out data/list

Stop it whenever you like: the same command goes on where it was. The counts, and every drawing that
was dropped with its reason, stand in dataset_info.json.
"""


def add(commands: Any) -> None:
    """Add the command to the parsers."""
    parser = commands.add_parser(
        "build",
        help="build a dataset folder from drawings or from SMILES",
        description="Build a dataset folder: train.json, valid.json, test.json, images/ and "
        "dataset_info.json.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_options(parser)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "task",
        choices=["cot", "instruction"],
        help="cot: read the molecule atom by atom; instruction: questions with short answers",
    )
    source = parser.add_argument_group("what to build from (one of the two)")
    source.add_argument("--images", type=Path, metavar="DIR", help="pictures of molecules")
    source.add_argument("--molfiles", type=Path, metavar="DIR", help="a molfile for each picture")
    source.add_argument(
        "--smiles", metavar="FILE|small", help="SMILES to draw, or all small molecules"
    )
    drawing = parser.add_argument_group("drawing, with --smiles")
    drawing.add_argument("--copies", type=int, default=1, metavar="N", help="pictures a molecule")
    drawing.add_argument(
        "--size", type=_size, default=(448, 448), metavar="WxH", help="of the pictures (448x448)"
    )
    drawing.add_argument(
        "--max-atoms", type=int, default=5, metavar="N", help="heavy atoms, with small (5)"
    )
    drawing.add_argument("--stereo", action="store_true", help="stereoisomers, with small")
    rows = parser.add_argument_group("rows")
    rows.add_argument(
        "--form", choices=["compact", "json"], default="compact", help="of cot answers (compact)"
    )
    rows.add_argument(
        "--questions", type=int, default=4, metavar="N", help="instruction rows a picture (4)"
    )
    rows.add_argument("--valid", type=float, default=0.1, help="share of the molecules (0.1)")
    rows.add_argument("--test", type=float, default=0.1, help="share of the molecules (0.1)")
    rows.add_argument("--seed", type=int, default=0, help="of styles and questions (0)")
    frame = PixelFrame()
    rows.add_argument(
        "--min-pixels",
        type=int,
        metavar="N",
        help=f"smaller pictures are enlarged ({frame.min_pixels}, or --size if that is less)",
    )
    rows.add_argument(
        "--max-pixels",
        type=int,
        default=frame.max_pixels,
        metavar="N",
        help=f"larger pictures are reduced ({frame.max_pixels})",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="dataset folder")
    parser.add_argument(
        "--workers", type=int, default=available_cores(), metavar="N", help="processes (all cores)"
    )
    parser.add_argument("--overwrite", action="store_true", help="build anew what --out holds")
    parser.set_defaults(run=_build)


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(side) for side in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: expected WIDTHxHEIGHT, as 448x448") from None
    return width, height


def _build(options: argparse.Namespace) -> int:
    source = _source(options)
    settings = Settings(
        task=options.task,
        form=options.form,
        frame=_frame(options),
        valid=options.valid,
        test=options.test,
        seed=options.seed,
        size=options.size,
        questions=options.questions,
    )
    info = build(
        source, options.out, settings, workers=options.workers, overwrite=options.overwrite
    )
    _report(info, options.out)
    return 0


def _source(options: argparse.Namespace) -> Source:
    if options.smiles and not (options.images or options.molfiles):
        return SmilesList(
            options.smiles,
            copies=options.copies,
            max_atoms=options.max_atoms,
            stereo=options.stereo,
        )
    if options.images and options.molfiles and not options.smiles:
        return PairedFolders(options.images, options.molfiles)
    raise InputError("give either --images DIR with --molfiles DIR, or --smiles FILE|small")


def _frame(options: argparse.Namespace) -> PixelFrame:
    smallest = options.min_pixels
    if smallest is None:
        # A picture drawn to a wish is not enlarged against it.
        drawn = options.size[0] * options.size[1] if options.smiles else PixelFrame().min_pixels
        smallest = min(PixelFrame().min_pixels, drawn, options.max_pixels)
    try:
        return PixelFrame(min_pixels=smallest, max_pixels=options.max_pixels)
    except ValueError as error:
        raise InputError(str(error)) from None


def _report(info: dict[str, Any], out: Path) -> None:
    rows = sum(info["splits"].values())
    dropped = sum(drop["count"] for drop in info["drops"].values())
    shares = ", ".join(f"{count:,} {split}" for split, count in info["splits"].items())
    print(f"{out}: {rows:,} rows ({shares}) of {info['items']:,} drawings, {dropped:,} dropped")
    for reason, drop in sorted(info["drops"].items(), key=lambda item: -item[1]["count"]):
        print(f"  {drop['count']:>7,}  {reason}, such as {drop['examples'][0]}")
    for split, count in info["splits"].items():
        if not count:
            print(f"  {split} is empty: too few molecules for its share")
