"""The `eyesmol` command: read molecules from pictures, and score what was read.

Each subcommand imports what it needs when it runs, so that ``--help`` and a mistyped option answer
at once.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from eyesmol import __version__
from eyesmol.outputs import FORMATS, Journal, OutputError, check_output, replacing

if TYPE_CHECKING:
    from eyesmol.recognition import Recognition
    from eyesmol.recognizer import Recognizer

__all__ = ["main"]


class _UsageError(Exception):
    """What the user asked for cannot be done; the message says why."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, or 2 where it could not be done."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except BrokenPipeError:  # of `eyesmol recognize ... | head`
        sys.stderr.close()
        return 1
    except KeyboardInterrupt:
        print("\neyesmol: stopped", file=sys.stderr)
        return 130
    except _expected_errors() as error:
        print(f"eyesmol: {error}", file=sys.stderr)
        return 2
    return 0


def _expected_errors() -> tuple[type[Exception], ...]:
    """Errors that are the user's to mend; any other is ours and shows its traceback."""
    from eyesmol.gold import ScoreError

    kinds: list[type[Exception]] = [_UsageError, OutputError, ScoreError]
    if "eyesmol.recognizer" in sys.modules:
        from eyesmol.recognizer import RecognizerError

        kinds.append(RecognizerError)
    return tuple(kinds)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="eyesmol", description="Read molecules from pictures, and score what was read."
    )
    parser.add_argument("--version", action="version", version=f"eyesmol {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_recognize(commands)
    _add_evaluate(commands)
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number of at least 1")
    return number


# ---- eyesmol recognize ----


def _add_recognize(commands: Any) -> None:
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
    parser.add_argument("--batch-size", type=_positive, default=8, help="pictures at a time (8)")
    parser.add_argument(
        "--max-new-tokens", type=_positive, help="where to cut an answer off (4096)"
    )
    parser.add_argument(
        "--form", choices=("json", "compact"), help="answer form, where the model does not say"
    )
    parser.add_argument(
        "--no-grammar",
        dest="grammar",
        action="store_false",
        help="let the model write what it will, not only well-formed answers",
    )
    parser.add_argument("--device", help="cuda, cuda:1, cpu, ... (the first GPU, else the CPU)")
    parser.set_defaults(run=_recognize)


def _recognize(options: argparse.Namespace) -> None:
    images = list(_image_paths(options.images))
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
        failed = 0
        if done < len(images):
            for result in _read(_reader(options), images[done:], options, done):
                journal.add(result)
                failed += result.error is not None
        journal.finish()
    note = f", {failed} could not be read (see their errors)" if failed else ""
    print(f"{len(images)} pictures -> {output}{note}", file=sys.stderr)


def _image_paths(names: list[str]) -> Iterator[str]:
    """All pictures in what was given: files, folders, archives, documents."""
    from eyesmol.pictures import PictureError, list_pictures

    try:
        for name in names:
            yield from list_pictures(name)
    except PictureError as error:
        raise _UsageError(str(error)) from None


def _reader(options: argparse.Namespace) -> Recognizer:
    from eyesmol.recognizer import Recognizer

    return Recognizer.from_pretrained(options.model, form=options.form, device=options.device)


def _read(
    reader: Recognizer, images: list[str], options: argparse.Namespace, done: int = 0
) -> Iterator[Recognition]:
    results = reader.recognize(
        images,
        batch_size=options.batch_size,
        max_new_tokens=options.max_new_tokens,
        grammar=options.grammar,
    )
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
    }


# ---- eyesmol evaluate ----


def _add_evaluate(commands: Any) -> None:
    parser = commands.add_parser(
        "evaluate",
        help="score predictions against the truth",
        description="Score what was read against the truth. Every gold row counts: a picture "
        "without a prediction is wrong, a gold row that cannot be scored is listed.",
    )
    parser.add_argument(
        "gold",
        metavar="GOLD",
        help="a dataset's test.json, a .csv with columns image and smiles, or a folder of molfiles",
    )
    parser.add_argument(
        "predictions",
        nargs="+",
        metavar="PREDICTIONS",
        help=".jsonl, .csv or .sdf of eyesmol recognize; of other tools a .csv with columns file "
        "and smiles, an .sdf, or a folder of molfiles. Several are compared with each other",
    )
    parser.add_argument("--out", metavar="FILE.json", help="scores and every row as JSON")
    parser.add_argument("--report", metavar="FILE.html", help="a page with pictures and scores")
    parser.add_argument(
        "--name",
        action="append",
        help="the system's name (the file name of its predictions); once for each of several",
    )
    parser.add_argument(
        "--subsets",
        action="store_true",
        help="exact match by size, stereo, abbreviations, R groups and fragments too",
    )
    parser.set_defaults(run=_evaluate)


def _evaluate(options: argparse.Namespace) -> None:
    from eyesmol.compare import comparison_dict, comparison_table
    from eyesmol.gold import load_gold
    from eyesmol.scores import evaluate, load_predictions
    from eyesmol.subsets import subset_table

    for name, ending in (("out", ".json"), ("report", ".html")):
        path = getattr(options, name)
        if path and Path(path).suffix.lower() != ending:
            raise _UsageError(f"--{name} {path}: expected a file that ends in {ending}")
    names = options.name or [Path(path).stem for path in options.predictions]
    if len(names) != len(options.predictions):
        raise _UsageError(
            f"{len(options.predictions)} predictions, but {len(names)} times --name: give as many"
        )
    gold = load_gold(options.gold)
    results = [
        evaluate(gold, load_predictions(path), name=name)
        for path, name in zip(options.predictions, names, strict=True)
    ]
    print(results[0].table() if len(results) == 1 else comparison_table(results))
    if options.subsets:
        print(subset_table(results))
    if options.out:
        path = Path(options.out)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = results[0].to_dict() if len(results) == 1 else comparison_dict(results)
        with replacing(path) as file:
            json.dump(content, file, ensure_ascii=False, indent=2)
            file.write("\n")
    if options.report:
        from eyesmol.report import pictures_of, write_report

        write_report(
            options.report,
            title=f"{results[-1].name}: what was read",
            evaluations=results,
            pictures=pictures_of(results[-1], folder=Path(options.gold).parent),
        )


if __name__ == "__main__":
    sys.exit(main())
