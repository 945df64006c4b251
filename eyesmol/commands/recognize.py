"""``recognize``: read molecules from pictures."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from eyesmol import __version__
from eyesmol.commands import UsageError, positive, share
from eyesmol.outputs import FORMATS, Journal, check_output

if TYPE_CHECKING:
    from eyesmol.recognition import Recognition
    from eyesmol.recognizer import Recognizer


def add(commands: Any) -> None:
    """Add the command to the parsers."""
    parser = commands.add_parser(
        "recognize",
        help="read molecules from pictures",
        description="Read molecules from pictures. A picture that cannot be read is a row with its "
        "error. A run that was stopped goes on where it was when started again.",
    )
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="a picture, a TIFF or PDF (each page), a zip archive, or a folder of them",
    )
    parser.add_argument("--model", required=True, help="folder of a merged model, or its hub name")
    parser.add_argument(
        "--out",
        metavar="FILE",
        default="-",
        help=f"file to write: {', '.join(FORMATS)}; JSON Lines are printed without it",
    )
    parser.add_argument("--batch-size", type=positive, default=8, help="pictures at a time (8)")
    parser.add_argument("--max-new-tokens", type=positive, help="where to cut an answer off (4096)")
    parser.add_argument(
        "--form", choices=("json", "compact"), help="answer form, where the model does not say"
    )
    parser.add_argument(
        "--no-grammar",
        dest="grammar",
        action="store_false",
        help="let the model write what it will, not only well-formed answers",
    )
    parser.add_argument(
        "--pages",
        action="store_true",
        help="what is given are pages: find the structures on them, and read each",
    )
    parser.add_argument(
        "--v3000", action="store_true", help="write molblocks in V3000 instead of V2000"
    )
    parser.add_argument(
        "--calibration",
        metavar="FILE",
        help="of eyesmol calibrate (calibration.json in the model's folder, where there is one)",
    )
    parser.add_argument(
        "--min-confidence",
        type=share,
        default=0.0,
        metavar="SHARE",
        help="give no molecule below it, but say so and keep the guess in withheld_smiles (0)",
    )
    parser.add_argument(
        "--allow-any-picture",
        action="store_true",
        help="read pictures too that show no drawing of a molecule: blank, photograph, chart, text",
    )
    parser.add_argument("--device", help="cuda, cuda:1, cpu, ... (the first GPU, else the CPU)")
    parser.set_defaults(run=_recognize)


def _recognize(options: argparse.Namespace) -> None:
    images = list(_image_paths(options.images))
    if options.pages:
        images = _structures(images)
    if options.out == "-":
        reader = _reader(options)
        for result in _read(reader, images, options):
            print(json.dumps(result.to_dict(), ensure_ascii=False), flush=True)
        return
    output = Path(options.out)
    check_output(output)  # before the model loads
    with Journal(output, _settings(options), images) as journal:
        done = len(journal.done)
        if done:
            print(f"going on after {done} of {len(images)} pictures", file=sys.stderr)
        failed = without = 0
        if done < len(images):
            for result in _read(_reader(options), images[done:], options, done):
                journal.add(result)
                failed += result.error is not None
                without += result.reason is not None
        journal.finish()
    note = f", {failed} could not be read (see their errors)" if failed else ""
    note += f", {without} without a molecule (see their reasons)" if without else ""
    print(f"{len(images)} pictures -> {output}{note}", file=sys.stderr)


def _image_paths(names: list[str]) -> Iterator[str]:
    """All pictures in what was given: files, folders, archives, documents."""
    from eyesmol.pictures import PictureError, list_pictures

    try:
        for name in names:
            yield from list_pictures(name)
    except PictureError as error:
        raise UsageError(str(error)) from None


def _structures(pages: list[str]) -> list[str]:
    """The structures on all pages: names of parts of pages."""
    from eyesmol.pages import list_structures

    found: list[str] = []
    for page in tqdm(pages, desc="finding", unit="page"):
        found += list_structures([page])
    print(f"{len(found)} structures on {len(pages)} pages", file=sys.stderr)
    return found


def _reader(options: argparse.Namespace) -> Recognizer:
    from eyesmol.recognizer import Recognizer

    return Recognizer.from_pretrained(
        options.model, form=options.form, device=options.device, calibration=options.calibration
    )


def _read(
    reader: Recognizer, images: list[str], options: argparse.Namespace, done: int = 0
) -> Iterator[Recognition]:
    results = reader.recognize(
        images,
        batch_size=options.batch_size,
        max_new_tokens=options.max_new_tokens,
        grammar=options.grammar,
        any_picture=options.allow_any_picture or options.pages,
        min_confidence=options.min_confidence,
    )
    if options.v3000:
        results = (result.as_v3000() for result in results)
    total = done + len(images)
    return iter(tqdm(results, desc="reading", unit="picture", total=total, initial=done))


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """What answers depend on: a journal made with other settings is not continued."""
    folder = Path(options.model)
    changed = max((p.stat().st_mtime_ns for p in folder.glob("*")), default=0)
    return {
        "version": __version__,
        "model": str(folder.resolve()) if folder.is_dir() else options.model,
        "model_changed": changed,
        "form": options.form,
        "max_new_tokens": options.max_new_tokens,
        "grammar": options.grammar,
        "v3000": options.v3000,
        "calibration": _content(options.calibration),
        "min_confidence": options.min_confidence,
        "any_picture": options.allow_any_picture,
    }


def _content(name: str | None) -> str | None:
    """The text of a file; None where there is none, which the reader will say."""
    return Path(name).read_text("utf-8") if name and Path(name).is_file() else None
