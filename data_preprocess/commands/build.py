"""``build cot|instruction``: a dataset folder from catalogues, drawings or SMILES."""

from __future__ import annotations

import argparse
import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from data_preprocess.build.build import Settings, build
from data_preprocess.build.detector_labels import Labeller
from data_preprocess.build.exclude import read_excluded
from data_preprocess.dataset.info import DatasetInfo
from data_preprocess.drawing.style import StyleRange
from data_preprocess.engine import available_cores
from data_preprocess.recipes import RECIPES, Recipe
from data_preprocess.sources.files import PairedFolders, SmilesList, Source
from data_preprocess.sources.images_and_smiles import ImagesWithSmiles
from data_preprocess.tally import print_drops
from data_preprocess.tasks.task import LANGUAGES
from eyesmol.answer.text import OLDEST_PROMPT_VERSION, PROMPT_VERSION
from eyesmol.exceptions import InputError
from eyesmol.image.pixel_frame import PixelFrame
from eyesmol.reader.embedded import DETECTOR

_EXAMPLES = """\
examples:
  # your own drawings: images/a12.png with molfiles/a12.mol, and so on
  python -m data_preprocess build cot --images images --molfiles molfiles --out data/cot

  # your own images with a table of SMILES (columns image and SMILES): the detector says where the
  # atoms are, and what it reads otherwise is dropped and counted
  python -m data_preprocess build cot --images images --smiles table.csv --out data/cot

  # what `collect` and `import` brought: images with molfiles are placed, the rest is drawn
  python -m data_preprocess build cot --catalogue patents --catalogue pubchem --draw --out data/cot

  # questions: many kinds, mixed with charts; no molecule of the benchmarks
  python -m data_preprocess build instruction --catalogue pubchem --catalogue chebi --recipe v2 \\
      --charts charts --exclude uspto_gold.csv --exclude clef_molfiles --out data/questions

  # patents: a whole patent on one side; the counts first, the images later
  python -m data_preprocess build cot --catalogue patents --split-by group --no-images --out try

  # all small molecules, 9 images of each, small enough for a tiny model
  python -m data_preprocess build cot --smiles small --copies 9 --size 112x112 --out data/cot

  # questions about the same images, split alike
  python -m data_preprocess build instruction --smiles small --size 112x112 --out data/questions

  # your own list (a SMILES a line, or a CSV with a column SMILES), answers as JSON
  python -m data_preprocess build cot --smiles list.csv --form json --out data/list

A row of a catalogue with an image and a molfile is laid onto its image; with an image and a
SMILES alone it gets questions (cot drops it, unless --labels-from detector or --draw); without an
image its molfile is drawn as it is, or else its SMILES.

Stop it whenever you like: the same command resumes. The counts, and every drawing that
was dropped with its reason, stand in dataset_info.json, with the proof that no molecule is in two
splits and none of --exclude in any.
"""


def add(commands: Any) -> None:
    """Add the command to the parsers."""
    parser = commands.add_parser(
        "build",
        help="build a dataset folder from catalogues, drawings or SMILES",
        description="Build a dataset folder: train.json, valid.json, test.json, images/ and "
        "dataset_info.json. Sources can be given together, and several of each.",
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
    _add_sources(parser.add_argument_group("what to build from (one or more)"))
    _add_drawing(parser.add_argument_group("drawing"))
    _add_rows(parser.add_argument_group("rows"))
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="dataset folder")
    parser.add_argument(
        "--workers", type=int, default=available_cores(), metavar="N", help="processes (all cores)"
    )
    parser.add_argument(
        "--engine",
        choices=["processes", "ray"],
        default="processes",
        help="ray: a cluster that runs (RAY_ADDRESS) and sees the same folders, else a local one; "
        "needs the extra ray (processes)",
    )
    parser.add_argument(
        "--shards",
        type=int,
        metavar="N",
        help="for many millions of rows: N JSON Lines files a split in place of one LLaVA JSON, "
        "written side by side; the trainer takes them as --data_path 'DIR/train-*.jsonl'",
    )
    parser.add_argument("--overwrite", action="store_true", help="build again what --out holds")
    parser.set_defaults(run=_build)


def _add_sources(source: argparse._ArgumentGroup) -> None:
    source.add_argument(
        "--catalogue",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="compounds and drawings, as collect and import write them",
    )
    source.add_argument("--images", type=Path, metavar="DIR", help="images of molecules")
    source.add_argument("--molfiles", type=Path, metavar="DIR", help="a molfile for each image")
    source.add_argument(
        "--smiles",
        action="append",
        default=[],
        metavar="FILE|small",
        help="SMILES to draw, or all small molecules; with --images and no --molfiles the table of "
        "the images' molecules",
    )
    source.add_argument(
        "--labels-from",
        metavar="detector|DIR",
        help="who says where the atoms are on an image that has a SMILES and no molfile: the "
        "detector, or the folder of one (detector with --images and --smiles, else such images "
        "get no chain of thought)",
    )
    source.add_argument(
        "--exclude",
        type=Path,
        action="append",
        default=[],
        metavar="FILE|DIR",
        help="molecules that become no row, nor their salts, stereo left aside: a list of SMILES "
        "or InChIKeys (of salts give SMILES), a CSV with a column of either, a dataset's JSON, or "
        "a folder of molfiles",
    )


def _add_drawing(drawing: argparse._ArgumentGroup) -> None:
    drawing.add_argument(
        "--draw",
        action="store_true",
        help="draw every row in place of its image: its molfile as it is, or else its SMILES",
    )
    drawing.add_argument("--copies", type=int, default=1, metavar="N", help="images a molecule")
    drawing.add_argument(
        "--size", type=_size, default=(448, 448), metavar="WxH", help="of the images (448x448)"
    )
    drawing.add_argument(
        "--style",
        choices=get_args(StyleRange),
        default="clean",
        help="scanned: clean drawings, printed and scanned; varied: two engines, abbreviations, "
        "R groups, captions, scans (clean)",
    )
    drawing.add_argument(
        "--max-atoms", type=int, default=5, metavar="N", help="heavy atoms, with small (5)"
    )
    drawing.add_argument("--stereo", action="store_true", help="stereoisomers, with small")


def _add_rows(rows: argparse._ArgumentGroup) -> None:
    rows.add_argument(
        "--form", choices=["compact", "json"], default="compact", help="of cot answers (compact)"
    )
    rows.add_argument(
        "--prompt-version",
        type=int,
        default=PROMPT_VERSION,
        choices=range(OLDEST_PROMPT_VERSION, PROMPT_VERSION + 1),
        help=f"of cot questions: an older one for a model that was trained with it "
        f"({PROMPT_VERSION})",
    )
    rows.add_argument(
        "--recipe",
        metavar="NAME|FILE",
        help=f"which questions instruction rows ask: {', '.join(RECIPES)}, or a YAML file (short)",
    )
    rows.add_argument(
        "--questions", type=int, metavar="N", help="instruction rows an image (the recipe's)"
    )
    rows.add_argument(
        "--language",
        choices=LANGUAGES,
        default="en",
        help="of questions and answers; names of compounds and ring systems, and what a source "
        "says, stay in English (en)",
    )
    rows.add_argument(
        "--replay",
        type=float,
        metavar="FRACTION",
        help="chain-of-thought rows among the instruction rows of molecules, so that a model does "
        "not forget to read atom by atom (the recipe's)",
    )
    rows.add_argument(
        "--charts",
        type=Path,
        metavar="DIR",
        help="charts to mix in in the recipe's fraction, as collect pixmo writes them",
    )
    rows.add_argument(
        "--split-by",
        choices=["molecule", "group"],
        default="molecule",
        help="what stays on one side: a molecule, or a whole group (a patent) where a row has one; "
        "a molecule in groups of two sides stays on the first (molecule)",
    )
    rows.add_argument(
        "--no-images",
        "--no-pictures",  # its former name
        action="store_true",
        help="rows of text alone: the counts, drops and lengths, much sooner",
    )
    rows.add_argument("--valid", type=float, default=0.1, help="fraction of the molecules (0.1)")
    rows.add_argument("--test", type=float, default=0.1, help="fraction of the molecules (0.1)")
    rows.add_argument("--seed", type=int, default=0, help="of styles and questions (0)")
    frame = PixelFrame()
    rows.add_argument(
        "--min-pixels",
        type=int,
        metavar="N",
        help=f"smaller images are enlarged ({frame.min_pixels}, or --size if that is less)",
    )
    rows.add_argument(
        "--max-pixels",
        type=int,
        default=frame.max_pixels,
        metavar="N",
        help=f"larger images are reduced ({frame.max_pixels})",
    )


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(side) for side in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: expected WIDTHxHEIGHT, as 448x448") from None
    return width, height


def _build(options: argparse.Namespace) -> int:
    settings = Settings(
        task=options.task,
        form=options.form,
        prompt_version=options.prompt_version,
        frame=_frame(options),
        valid=options.valid,
        test=options.test,
        seed=options.seed,
        size=options.size,
        style=options.style,
        questions=options.questions,
        recipe=_recipe(options),
        split_by=options.split_by,
        draw=options.draw,
        images=not options.no_images,
        labeller=_labeller(options),
    )
    info = build(
        _sources(options),
        options.out,
        settings,
        charts=_charts(options),
        excluded=read_excluded(options.exclude),
        shards=options.shards,
        workers=options.workers,
        engine=options.engine,
        overwrite=options.overwrite,
    )
    _report(info, options.out)
    return 0


def _recipe(options: argparse.Namespace) -> Recipe | None:
    if options.task != "instruction":
        return None
    recipe = Recipe.load(options.recipe or "short")
    replay = recipe.replay if options.replay is None else options.replay
    questions = options.questions or recipe.questions
    return replace(recipe, questions=questions, replay=replay, language=options.language)


def _sources(options: argparse.Namespace) -> list[Source]:
    sources: list[Source] = []
    if options.catalogue:
        catalogue = _with_pyarrow("catalogue.source", "--catalogue")
        sources += [catalogue.CompoundCatalogue(folder) for folder in options.catalogue]
    if options.images and options.molfiles:
        sources.append(PairedFolders(options.images, options.molfiles))
    elif _is_table(options):
        return [*sources, ImagesWithSmiles(options.images, Path(options.smiles[0]))]
    elif options.images or options.molfiles:
        raise InputError(
            "give --images DIR together with --molfiles DIR, or with one --smiles TABLE of their "
            "molecules"
        )
    for smiles in options.smiles:
        sources.append(
            SmilesList(
                smiles,
                copies=options.copies,
                max_atoms=options.max_atoms,
                stereo=options.stereo,
            )
        )
    if not sources:
        raise InputError(
            "give either --catalogue DIR, --images DIR with --molfiles DIR or --smiles TABLE, or "
            "--smiles FILE|small"
        )
    return sources


def _is_table(options: argparse.Namespace) -> bool:
    """Whether --smiles names the molecules of --images, instead of molecules to draw."""
    return bool(options.images and not options.molfiles and len(options.smiles) == 1)


def _labeller(options: argparse.Namespace) -> Labeller | None:
    if options.task != "cot" or not (options.labels_from or _is_table(options)):
        return None
    return Labeller.of(options.labels_from or DETECTOR)


def _charts(options: argparse.Namespace) -> Any:
    if not options.charts:
        return None
    return _with_pyarrow("build.chart_mixing", "--charts").ChartFolder(options.charts)


def _with_pyarrow(module: str, option: str) -> Any:
    try:
        return importlib.import_module(f"data_preprocess.{module}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "pyarrow":
            raise
        raise InputError(f"{option} needs pyarrow: pip install 'eyesmol[data]'") from None


def _frame(options: argparse.Namespace) -> PixelFrame:
    smallest = options.min_pixels
    if smallest is None:
        # An image drawn to a wish is not enlarged against it.
        all_drawn = options.smiles and not (options.catalogue or options.images)
        drawn = options.size[0] * options.size[1] if all_drawn else PixelFrame().min_pixels
        smallest = min(PixelFrame().min_pixels, drawn, options.max_pixels)
    try:
        return PixelFrame(min_pixels=smallest, max_pixels=options.max_pixels)
    except ValueError as error:
        raise InputError(str(error)) from None


def _report(info: DatasetInfo, out: Path) -> None:
    dropped = sum(drop["count"] for drop in info.drops.values())
    splits = ", ".join(f"{count:,} {split}" for split, count in info.splits.items())
    print(f"{out}: {info.rows:,} rows ({splits}) of {info.items:,} drawings, {dropped:,} dropped")
    print_drops(info.drops)
    for correction, count in info.labelled.items():
        print(f"  {count:>7,}  labelled by the detector: {correction}")
    charts = info.chart_rows
    if charts and charts["written"] < charts["wanted"]:
        print(
            f"  too few charts: {charts['written']:,} rows of the {charts['wanted']:,} that the "
            "recipe asks for"
        )
    for split, count in info.splits.items():
        if not count:
            print(f"  {split} is empty: too few molecules for its share")
