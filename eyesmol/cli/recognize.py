"""``recognize``: read molecules from images."""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eyesmol import __version__
from eyesmol.cli import MIN_CONFIDENCE, UsageError, add_views, fraction, positive
from eyesmol.outputs import FORMATS, Counts, Journal, check_output
from eyesmol.reader.embedded import DETECTOR, is_detector, model_folder

if TYPE_CHECKING:
    from eyesmol.reader.base import Recognizer
    from eyesmol.reader.options import ReadOptions
    from eyesmol.reader.remote import RemoteRecognizer
    from eyesmol.recognition import Recognition

_STANDARD = "-"  # input or output

_DESCRIPTION = f"""\
Read molecules from images. Printed is a line for each: SMILES, confidence, image, and where there
is no molecule why, with tabs between them; --json and --out give all that is known.

Structures on the pages of PDFs, and on images with the shape of a page, are found and read one by
one. Files of this machine are read; nothing is fetched from the network, so download a URL first.
A molecule of a confidence below {MIN_CONFIDENCE} is withheld and said to be (--min-confidence).
A run with --out that was stopped resumes when started again.

The exit status is 0, 1 where an image could not be read or no molecule was found at all (see
--allow-errors), 2 where the command could not be carried out."""

_EXAMPLES = """\
examples:
  eyesmol recognize a.png
  eyesmol recognize scans/ paper.pdf drawings.zip --out read.sdf
  eyesmol recognize scans/ --model runs/cot/merged --out read.xlsx
  xclip -selection clipboard -t image/png -o | eyesmol recognize - --json

  with the model behind a server, many images at a time (pip install 'eyesmol[remote]'):
  vllm serve runs/cot/merged
  eyesmol recognize scans/ --server http://localhost:8000/v1 --out read.jsonl
  eyesmol recognize scans/ --server https://host/v1 --frame-from merged/ --out read.jsonl
  A key is taken from EYESMOL_API_KEY or OPENAI_API_KEY in the environment.

  a folder of millions, with a model on each GPU of a machine or of a Ray cluster
  (pip install 'eyesmol[ray]'; RAY_ADDRESS names a cluster that runs):
  eyesmol recognize patents/ --model runs/cot/merged --engine ray --out read.parquet
  eyesmol recognize patents/ --model runs/cot/merged --engine ray --workers 8 \\
    --gpus-per-worker 0.5 --out read.parquet
"""


def add(commands: Any) -> None:
    """Add the command to the parsers."""
    parser = commands.add_parser(
        "recognize",
        help="read molecules from images",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="an image, a TIFF or PDF (each page), a zip archive, a folder of them, or - for one "
        "file on standard input",
    )
    parser.add_argument(
        "--model",
        help="detector, which comes with EyesMol (the default); nano, the tiny vision-language "
        "model that comes with it; the folder of a merged model, or its hub name; with --server "
        "its name there, where several are served",
    )
    _add_output(parser)
    _add_reading(parser)
    _add_server(parser)
    _add_engine(parser)
    parser.set_defaults(run=_recognize)


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what comes out")
    group.add_argument(
        "--out",
        metavar="FILE",
        default=_STANDARD,
        help=f"file to write: {', '.join(FORMATS)}; - is standard output (the default)",
    )
    group.add_argument("--json", action="store_true", help="print all that is known, as JSON Lines")
    group.add_argument(
        "--overwrite", action="store_true", help="read again although FILE is there already"
    )
    group.add_argument(
        "--min-confidence",
        type=fraction,
        default=MIN_CONFIDENCE,
        metavar="FRACTION",
        help="give no molecule below it, but say so and keep the guess in withheld_smiles "
        f"({MIN_CONFIDENCE}); 0 gives all, as calibrate and a fair score need",
    )
    group.add_argument(
        "--v3000", action="store_true", help="write molblocks in V3000 instead of V2000"
    )
    group.add_argument(
        "--allow-errors",
        action="store_true",
        help="exit with 0 although images failed or no molecule was found, unless all failed",
    )
    group.add_argument("--quiet", action="store_true", help="no progress and no summary")


def _add_reading(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how it is read")
    group.add_argument(
        "--pages",
        action=argparse.BooleanOptionalAction,
        help="find the structures on every image and read each by itself, or on none (on PDFs and "
        "images with the shape of a page)",
    )
    group.add_argument(
        "--any-image",
        "--allow-any-picture",  # its name in earlier versions
        action="store_true",
        help="read images too that show no drawing of a molecule: blank, photograph, chart, text",
    )
    add_views(group)
    group.add_argument(
        "--calibration",
        metavar="FILE",
        help="of eyesmol calibrate (calibration.json in the model's folder, where there is one)",
    )
    group.add_argument("--batch-size", type=positive, metavar="N", help="images at a time (8)")
    group.add_argument(
        "--max-new-tokens", type=positive, metavar="N", help="where to cut an answer off (4096)"
    )
    group.add_argument(
        "--form", choices=("json", "compact"), help="answer form, where the model does not say"
    )
    group.add_argument(
        "--no-grammar",
        dest="grammar",
        action="store_false",
        help="let the model write what it will, not only well-formed answers",
    )
    group.add_argument(
        "--draft",
        choices=("detector",),
        help="let the detector draft what a vision-language model verifies in few forward passes; "
        "with a model in this process",
    )
    group.add_argument(
        "--draft-tolerance",
        type=int,
        default=3,
        metavar="PIXELS",
        help="within which a coordinate of the draft is kept (3); 0: the model's own answer, token "
        "for token",
    )
    group.add_argument(
        "--second-opinion",
        choices=("detector",),
        help="let the detector read too, tell where the two differ, and take the better one",
    )
    group.add_argument("--device", help="cuda, cuda:1, cpu, ... (the first GPU, else the CPU)")


def _add_server(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "a model behind a server",
        "vLLM (0.12 or later), SGLang, or any server with OpenAI's chat completions. Images are\n"
        "resized here, as in training, and confidences come from the server's log-probabilities.",
    )
    group.add_argument("--server", metavar="URL", help="such as http://localhost:8000/v1")
    group.add_argument(
        "--concurrency", type=positive, default=16, metavar="N", help="requests at a time (16)"
    )
    group.add_argument(
        "--frame-from",
        metavar="FOLDER",
        help="the model's folder, or a copy of its dataset_info.json and preprocessor_config.json: "
        "they say how it was trained (the folder that the server loaded, if it can be seen here)",
    )
    for name in ("--min-pixels", "--max-pixels"):
        group.add_argument(
            name, type=positive, metavar="N", help="of the frame; with --form, where no folder says"
        )
    group.add_argument(
        "--timeout",
        type=positive,
        default=600,
        metavar="SECONDS",
        help="after which a request is given up (600)",
    )


def _add_engine(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("many models at a time")
    group.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="ray: on the cluster at RAY_ADDRESS, which must see the same folders, else on all of "
        "this machine; needs --out",
    )
    group.add_argument(
        "--workers", type=positive, metavar="N", help="models (as many as the GPUs hold, else 1)"
    )
    group.add_argument(
        "--gpus-per-worker",
        type=float,
        metavar="FRACTION",
        help="0.5: two models on each GPU (1 where there is a GPU, else 0)",
    )


def _recognize(options: argparse.Namespace) -> int:
    _check(options)
    if options.engine == "ray":
        return _on_ray(options)
    # A server that is down is said at once, a model takes a while to load.
    server = _remote(options) if options.server else None
    with _standard_input(options.images) as (names, folder):
        images = list(_image_paths(names))
        if options.out == _STANDARD:
            return _to_standard_output(server, images, folder, options)
        return _to_file(server, images, folder, options)


def _to_standard_output(
    server: RemoteRecognizer | None, images: list[str], folder: str, options: argparse.Namespace
) -> int:
    counts = Counts()
    for result in _read(server or _local(options), images, folder, options):
        row = result.to_dict()
        counts.add(row)
        print(json.dumps(row, ensure_ascii=False) if options.json else _line(result), flush=True)
    if counts.rows > 1:
        _report("", counts, options)
    return _status(counts, options)


def _to_file(
    server: RemoteRecognizer | None, images: list[str], folder: str, options: argparse.Namespace
) -> int:
    output = Path(options.out)
    check_output(output)
    if output.suffix.lower() == ".mol" and len(images) > 1:
        raise UsageError(f"--out {output}: a .mol holds one molecule; give .sdf for {len(images)}")
    names = [_shown(name, folder) for name in images]
    settings = _settings(options, server, folder)
    with Journal(output, settings, names, overwrite=options.overwrite) as journal:
        done = journal.done
        if done and not options.quiet:
            print(f"resuming after {done} of {len(images)} images", file=sys.stderr)
        if done < len(images):
            reader = server or _local(options)
            for result in _read(reader, images, folder, options, done):
                journal.add(result)
        counts = journal.finish()
    _report(f" -> {output}", counts, options)
    return _status(counts, options)


def _on_ray(options: argparse.Namespace) -> int:
    from eyesmol.reader.ray_batch import Plan, read_on_ray
    from eyesmol.reader.ray_cluster import ClusterError

    output = Path(options.out)
    if output.exists() and not options.overwrite:
        raise UsageError(f"{output}: is there already; --overwrite replaces it")
    plan = Plan(
        options.model,
        options.form,
        options.device,
        options.calibration,
        _read_options(options),
        v3000=options.v3000,
    )
    with _bar(None, options) as bar:
        try:
            counts = read_on_ray(
                _image_paths(options.images),
                output,
                plan,
                _settings(options, None),
                workers=options.workers,
                gpus_per_worker=options.gpus_per_worker,
                progress=bar.update,
            )
        except ClusterError as error:
            raise UsageError(str(error)) from None
    _report(f" -> {output}", counts, options)
    return _status(counts, options)


# ---- what is printed ----


def _line(result: Recognition) -> str:
    """SMILES, confidence, image, and why there is no molecule."""
    sure = result.confidence
    fields = [
        result.smiles or "-",
        "-" if sure is None else f"{sure:.2f}" if sure >= 0.1 else f"{sure:.1g}",
        result.image,
    ]
    if result.error or not result.smiles:
        fields.append(f"error: {result.error}" if result.error else result.reason or "")
    return "\t".join(" ".join(field.split()) for field in fields)


def _report(where: str, counts: Counts, options: argparse.Namespace) -> None:
    if options.quiet:
        return
    note = f", {counts.failed} could not be read" if counts.failed else ""
    if counts.without:
        note += f", {counts.without} without a molecule"
        note += " (they have no line in it)" if where.endswith(".smi") else ""
    print(f"{counts.rows} images, {counts.molecules} molecules{where}{note}", file=sys.stderr)


def _status(counts: Counts, options: argparse.Namespace) -> int:
    """The exit status: see the description."""
    if counts.failed == counts.rows:
        return 1
    return int(not options.allow_errors and (counts.failed > 0 or not counts.molecules))


@contextmanager
def _bar(total: int | None, options: argparse.Namespace, done: int = 0) -> Iterator[Any]:
    """Progress on standard error: not of a single image, nor between lines on a terminal."""
    from tqdm import tqdm

    lines_tell = options.out == _STANDARD and sys.stdout.isatty()
    is_terminal = sys.stderr.isatty()
    with tqdm(
        desc="reading",
        unit="image",
        total=total,
        initial=done,
        disable=options.quiet or total == 1 or lines_tell,
        # Images come in batches: the mean over all of them is what is left to wait for, and each
        # is shown, or the first of a batch would stand for it.
        smoothing=0,
        mininterval=0 if is_terminal else 10,
        miniters=1,
    ) as bar:
        yield bar


# ---- what is read ----


def _check(options: argparse.Namespace) -> None:
    """Say what does not go together."""
    if not options.server:
        options.model = model_folder(options.model or DETECTOR)
    if options.engine == "ray" and (options.server or options.out == _STANDARD):
        raise UsageError(
            "--engine ray loads models of its own and writes a file: give --out; a server takes "
            "--concurrency"
        )
    if options.engine == "ray" and _STANDARD in options.images:
        raise UsageError("--engine ray reads files, not standard input")
    if options.engine != "ray" and (options.workers or options.gpus_per_worker is not None):
        raise UsageError("--workers and --gpus-per-worker go with --engine ray")
    if options.server and options.device:
        raise UsageError("--device is of a model that is loaded here; --server has its own")
    if not options.server and (options.frame_from or options.min_pixels or options.max_pixels):
        raise UsageError("--frame-from, --min-pixels and --max-pixels go with --server")
    if options.draft and (options.server or is_detector(options.model)):
        raise UsageError("--draft goes with a vision-language model in this process: --model")
    if options.second_opinion and not options.server and is_detector(options.model):
        raise UsageError("--second-opinion goes with a vision-language model: --model or --server")
    if options.draft_tolerance < 0:
        raise UsageError(f"--draft-tolerance {options.draft_tolerance}: expected at least 0 pixels")
    if bool(options.min_pixels) != bool(options.max_pixels):
        raise UsageError("--min-pixels and --max-pixels go together")
    if options.pages:
        try:
            import eyesmol.image.segmentation  # noqa: F401 (asked for here, needed later)
        except ImportError as error:
            raise UsageError(f"--pages needs {error.name}: pip install 'eyesmol[pdf]'") from None
    if options.json and options.out != _STANDARD:
        raise UsageError("--json prints; with --out the file's ending says the format (.jsonl)")
    if options.images.count(_STANDARD) > 1:
        raise UsageError("- can be given once: it is all of standard input")


@contextmanager
def _standard_input(names: list[str]) -> Iterator[tuple[list[str], str]]:
    """The names with a file in place of ``-``, and the folder that no name should show."""
    if _STANDARD not in names:
        yield names, ""
        return
    with tempfile.TemporaryDirectory() as folder:
        # Under a short name, in a folder of its own: "stdin.pdf#2" tells what was meant.
        path = Path(folder, "stdin")
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        with path.open("rb") as file:
            start = file.read(5)
        ending = next((end for magic, end in _MAGIC.items() if start.startswith(magic)), "")
        path = path.rename(path.with_suffix(ending))
        yield [str(path) if name == _STANDARD else name for name in names], folder


# What cannot be told from its content alone by those who read it.
_MAGIC = {b"%PDF-": ".pdf", b"PK\x03\x04": ".zip", b"II*\0": ".tif", b"MM\0*": ".tif"}


def _shown(text: str, folder: str) -> str:
    """A name or a message without the folder of standard input."""
    return text.replace(f"{folder}/", "") if folder else text


def _image_paths(names: list[str]) -> Iterator[str]:
    """All images in what was given: files, folders, archives, documents."""
    from eyesmol.image.loading import PictureError, list_pictures

    try:
        for name in names:
            yield from list_pictures(name)
    except PictureError as error:
        raise UsageError(str(error)) from None


def _remote(options: argparse.Namespace) -> RemoteRecognizer:
    from eyesmol.image.pixel_frame import PixelFrame
    from eyesmol.reader.remote import Patience, RemoteRecognizer

    try:
        frame = PixelFrame(options.min_pixels, options.max_pixels) if options.min_pixels else None
    except ValueError as error:
        raise UsageError(str(error)) from None
    return RemoteRecognizer.connect(
        options.server,
        options.model,
        folder=options.frame_from,
        form=options.form,
        frame=frame,
        calibration=options.calibration,
        concurrency=options.concurrency,
        patience=Patience(timeout=options.timeout),
        options=_read_options(options),
    )


def _local(options: argparse.Namespace) -> Recognizer:
    from eyesmol.reader.base import Recognizer

    return Recognizer.from_pretrained(
        options.model,
        form=options.form,
        device=options.device,
        calibration=options.calibration,
        options=_read_options(options),
    )


def _read_options(options: argparse.Namespace) -> ReadOptions:
    from eyesmol.reader.options import ReadOptions

    return ReadOptions(
        views=options.views,
        batch_size=options.concurrency if options.server else options.batch_size,
        max_new_tokens=options.max_new_tokens,
        grammar=options.grammar,
        pages=options.pages,
        any_image=options.any_image,
        draft=options.draft,
        draft_tolerance=options.draft_tolerance,
        second_opinion=options.second_opinion,
        min_confidence=options.min_confidence,
    )


def _read(
    reader: Recognizer,
    images: list[str],
    folder: str,
    options: argparse.Namespace,
    done: int = 0,
) -> Iterator[Recognition]:
    """What is read from the images but for the first `done`, with progress."""
    from eyesmol.image.loading import whole_of
    from eyesmol.memory import peak_memory_mib

    with _bar(len(images), options, done) as bar:
        last = ""
        for result in reader.recognize(images[done:]):
            whole = whole_of(result.image) if result.box else ""
            bar.update(not whole or whole != last)  # a page counts once
            last = whole
            shown = replace(
                result,
                image=_shown(result.image, folder),
                error=result.error and _shown(result.error, folder),
                # With a server the memory that counts is there.
                memory_mib=None if options.server else peak_memory_mib(),
            )
            yield shown.as_v3000() if options.v3000 else shown


def _settings(
    options: argparse.Namespace, server: RemoteRecognizer | None, folder: str = ""
) -> dict[str, Any]:
    """What answers depend on: a journal made with other settings is not continued."""
    model: dict[str, Any]
    if server:  # wherever it listens today
        frame = server.frame.to_dict()
        model = {"served": server.model, "form": server.form, "frame": frame}
    else:
        place = Path(options.model)
        changed = max((p.stat().st_mtime_ns for p in place.glob("*")), default=0)
        name = str(place.resolve()) if place.is_dir() else options.model
        model = {"model": name, "model_changed": changed, "form": options.form}
    return {
        "version": __version__,
        **model,
        **_read_options(options).to_dict(),
        "v3000": options.v3000,
        "calibration": _content(options.calibration),
        "standard_input": _digests(Path(folder).iterdir() if folder else ()),
    }


def _digests(files: Iterable[Path]) -> list[str]:
    """What tells one standard input from another, which have the same name."""
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]


def _content(name: str | None) -> str | None:
    """The text of a file; None where there is none, which the reader will say."""
    return Path(name).read_text("utf-8") if name and Path(name).is_file() else None
