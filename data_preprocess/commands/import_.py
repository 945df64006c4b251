"""``import eyesmol-dataset``: the published data set, repaired, as a dataset folder."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from data_preprocess.dataset.info import DatasetInfo
from data_preprocess.engine import available_cores
from data_preprocess.original.import_eyesmol import Published, Settings, import_dataset
from data_preprocess.tally import print_drops
from eyesmol.exceptions import InputError
from eyesmol.image.pixel_frame import PixelFrame

_EXAMPLES = """\
examples:
  python -m data_preprocess import eyesmol-dataset --cot cot_result_v2_train.json \\
      --images uspto_mol --out data/original-cot

  python -m data_preprocess import eyesmol-dataset --instruction instruction_result_v2_train.json \\
      --ids instruction_data_id.parquet --images images --out data/original-questions

A chain of thought is kept only if its graph, once repaired, gives its SMILES back and fits the ink
of its image. What was repaired and what was dropped, and why, stands in dataset_info.json. Stop it
whenever you like: the same command resumes.
"""


def add(commands: Any) -> None:
    """Add the command to the parsers."""
    parser = commands.add_parser(
        "import",
        help="bring somebody else's data set into a dataset folder",
        description="Read a published data set as it is and write a dataset folder.",
    )
    kinds = parser.add_subparsers(required=True, metavar="DATASET")
    original = kinds.add_parser(
        "eyesmol-dataset",
        help="the original EyesMol data: chain of thought and questions",
        description="Read the files of the original EyesMol data set, repair what can be repaired "
        "for certain, and count the rest by its faults.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_options(original)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cot", type=Path, metavar="FILE", help="cot_result_v2_train.json")
    parser.add_argument(
        "--instruction", type=Path, metavar="FILE", help="instruction_result_v2_train.json"
    )
    parser.add_argument("--ids", type=Path, metavar="FILE", help="instruction_data_id.parquet")
    parser.add_argument(
        "--images",
        type=Path,
        required=True,
        metavar="DIR",
        help="the images; a row's path is looked for below it, whole or from a later part on",
    )
    parser.add_argument(
        "--form", choices=["compact", "json"], default="compact", help="of cot answers (compact)"
    )
    parser.add_argument("--valid", type=float, default=0.0, help="fraction of the molecules (0)")
    parser.add_argument("--test", type=float, default=0.0, help="fraction of the molecules (0)")
    frame = PixelFrame()
    parser.add_argument(
        "--min-pixels",
        type=int,
        default=frame.min_pixels,
        metavar="N",
        help=f"({frame.min_pixels})",
    )
    parser.add_argument(
        "--max-pixels",
        type=int,
        default=frame.max_pixels,
        metavar="N",
        help=f"({frame.max_pixels})",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="dataset folder")
    parser.add_argument(
        "--workers", type=int, default=available_cores(), metavar="N", help="processes (all cores)"
    )
    parser.add_argument("--overwrite", action="store_true", help="import again what --out holds")
    parser.set_defaults(run=_import)


def _import(options: argparse.Namespace) -> int:
    try:
        frame = PixelFrame(min_pixels=options.min_pixels, max_pixels=options.max_pixels)
    except ValueError as error:
        raise InputError(str(error)) from None
    settings = Settings(options.form, frame, options.valid, options.test)
    published = Published(options.images, options.cot, options.instruction, options.ids)
    info = import_dataset(
        published, options.out, settings, workers=options.workers, overwrite=options.overwrite
    )
    _report(info, options.out)
    return 0


def _report(info: DatasetInfo, out: Path) -> None:
    print(f"{out}: {info.rows:,} of {info.items:,} rows")
    print("repaired:")
    for repair, count in (info.repairs or {}).items():
        print(f"  {count:>9,}  {repair}")
    print("dropped:")
    print_drops(info.drops)
    if ids := info.ids:
        print(
            f"ids ({ids['column']}): {ids['listed']:,} listed, {ids['listed_without_a_row']:,} of "
            f"them without a row; {ids['rows_not_listed']:,} rows are not listed"
        )
