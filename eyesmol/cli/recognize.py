"""``recognize``: read molecules from pictures."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eyesmol import __version__
from eyesmol.cli import UsageError, add_looks, positive, share
from eyesmol.outputs import FORMATS, Journal, check_output
from eyesmol.reader.embedded import DETECTOR, model_folder

if TYPE_CHECKING:
    from eyesmol.reader.base import Recognizer
    from eyesmol.reader.remote import RemoteRecognizer
    from eyesmol.recognition import Recognition

_EXAMPLES = """\
examples:
  eyesmol recognize a.png
  eyesmol recognize a.png b.png --model runs/cot/merged
  eyesmol recognize scans/ paper.pdf drawings.zip --model runs/cot/merged --out read.sdf
  eyesmol recognize paper.pdf --pages --model runs/cot/merged --out read.csv

  with the model behind a server, many pictures at a time (pip install 'eyesmol[remote]'):
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
        help="read molecules from pictures",
        description="Read molecules from pictures. A picture that cannot be read is a row with its "
        "error.\nA run that was stopped goes on where it was when started again.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="a picture, a TIFF or PDF (each page), a zip archive, or a folder of them",
    )
    parser.add_argument(
        "--model",
        help="detector, which comes with EyesMol (the default); nano, the tiny vision-language "
        "model that comes with it; the folder of a merged model, or its hub name; with --server "
        "its name there, where several are served",
    )
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
    add_looks(parser)
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
    _add_server(parser)
    _add_engine(parser)
    parser.set_defaults(run=_recognize)


def _add_server(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "a model behind a server",
        "vLLM (0.12 or later), SGLang, or any server with OpenAI's chat completions. Pictures are\n"
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
        metavar="SHARE",
        help="0.5: two models on each GPU (1 where there is a GPU, else 0)",
    )


def _recognize(options: argparse.Namespace) -> None:
    _check(options)
    if options.engine == "ray":
        _on_ray(options)
        return
    # A server that is down is said at once, a model takes a while to load.
    server = _remote(options) if options.server else None
    images = list(_image_paths(options.images))
    if options.pages:
        images = _structures(images)
    if options.out == "-":
        for result in _read(server or _local(options), images, options):
            print(json.dumps(result.to_dict(), ensure_ascii=False), flush=True)
        return
    output = Path(options.out)
    check_output(output)  # before the model loads
    with Journal(output, _settings(options, server), images) as journal:
        done = len(journal.done)
        if done:
            print(f"going on after {done} of {len(images)} pictures", file=sys.stderr)
        failed = without = 0
        if done < len(images):
            for result in _read(server or _local(options), images[done:], options, done):
                journal.add(result)
                failed += result.error is not None
                without += result.reason is not None
        journal.finish()
    _report(output, len(images), failed, without)


def _on_ray(options: argparse.Namespace) -> None:
    from tqdm import tqdm

    from eyesmol.reader.ray_batch import Plan, read_on_ray
    from eyesmol.reader.ray_cluster import ClusterError

    output, images = Path(options.out), _image_paths(options.images)
    plan = Plan(
        options.model,
        options.form,
        options.device,
        options.calibration,
        options.looks,
        {"batch_size": options.batch_size, **_reading(options)},
        pages=options.pages,
        v3000=options.v3000,
    )
    settings = {**_settings(options, None), "pages": options.pages}
    with tqdm(desc="reading", unit="page" if options.pages else "picture") as bar:
        try:
            counts = read_on_ray(
                images,
                output,
                plan,
                settings,
                workers=options.workers,
                gpus_per_worker=options.gpus_per_worker,
                progress=bar.update,
            )
        except ClusterError as error:
            raise UsageError(str(error)) from None
    _report(output, counts.rows, counts.failed, counts.without)


def _report(output: Path, pictures: int, failed: int, without: int) -> None:
    note = f", {failed} could not be read (see their errors)" if failed else ""
    note += f", {without} without a molecule (see their reasons)" if without else ""
    print(f"{pictures} pictures -> {output}{note}", file=sys.stderr)


def _check(options: argparse.Namespace) -> None:
    """Say what does not go together."""
    if not options.server:
        options.model = model_folder(options.model or DETECTOR)
    if options.engine == "ray" and (options.server or options.out == "-"):
        raise UsageError(
            "--engine ray loads models of its own and writes a file: give --out; a server takes "
            "--concurrency"
        )
    if options.engine != "ray" and (options.workers or options.gpus_per_worker is not None):
        raise UsageError("--workers and --gpus-per-worker go with --engine ray")
    if options.server and options.device:
        raise UsageError("--device is of a model that is loaded here; --server has its own")
    if not options.server and (options.frame_from or options.min_pixels or options.max_pixels):
        raise UsageError("--frame-from, --min-pixels and --max-pixels go with --server")
    if bool(options.min_pixels) != bool(options.max_pixels):
        raise UsageError("--min-pixels and --max-pixels go together")


def _image_paths(names: list[str]) -> Iterator[str]:
    """All pictures in what was given: files, folders, archives, documents."""
    from eyesmol.image.loading import PictureError, list_pictures

    try:
        for name in names:
            yield from list_pictures(name)
    except PictureError as error:
        raise UsageError(str(error)) from None


def _structures(pages: list[str]) -> list[str]:
    """The structures on all pages: names of parts of pages."""
    from tqdm import tqdm

    from eyesmol.image.segmentation import list_structures

    found: list[str] = []
    for page in tqdm(pages, desc="finding", unit="page"):
        found += list_structures([page])
    print(f"{len(found)} structures on {len(pages)} pages", file=sys.stderr)
    return found


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
        looks=options.looks,
        concurrency=options.concurrency,
        patience=Patience(timeout=options.timeout),
    )


def _local(options: argparse.Namespace) -> Recognizer:
    from eyesmol.reader.base import Recognizer

    return Recognizer.from_pretrained(
        options.model,
        form=options.form,
        device=options.device,
        calibration=options.calibration,
        looks=options.looks,
    )


def _read(
    reader: Recognizer, images: list[str], options: argparse.Namespace, done: int = 0
) -> Iterator[Recognition]:
    results = reader.recognize(
        images,
        batch_size=options.concurrency if options.server else options.batch_size,
        **_reading(options),
    )
    if options.v3000:
        results = (result.as_v3000() for result in results)
    total = done + len(images)
    if total == 1:
        return iter(results)
    from tqdm import tqdm

    return iter(tqdm(results, desc="reading", unit="picture", total=total, initial=done))


def _reading(options: argparse.Namespace) -> dict[str, Any]:
    """What every reader is told."""
    return {
        "max_new_tokens": options.max_new_tokens,
        "grammar": options.grammar,
        "any_picture": options.allow_any_picture or options.pages,
        "min_confidence": options.min_confidence,
    }


def _settings(options: argparse.Namespace, server: RemoteRecognizer | None) -> dict[str, Any]:
    """What answers depend on: a journal made with other settings is not continued."""
    model: dict[str, Any]
    if server:  # wherever it listens today
        frame = server.frame.to_dict()
        model = {"served": server.model, "form": server.form, "frame": frame}
    else:
        folder = Path(options.model)
        changed = max((p.stat().st_mtime_ns for p in folder.glob("*")), default=0)
        name = str(folder.resolve()) if folder.is_dir() else options.model
        model = {"model": name, "model_changed": changed, "form": options.form}
    return {
        "version": __version__,
        **model,
        "max_new_tokens": options.max_new_tokens,
        "looks": options.looks,
        "grammar": options.grammar,
        "v3000": options.v3000,
        "calibration": _content(options.calibration),
        "min_confidence": options.min_confidence,
        "any_picture": options.allow_any_picture,
    }


def _content(name: str | None) -> str | None:
    """The text of a file; None where there is none, which the reader will say."""
    return Path(name).read_text("utf-8") if name and Path(name).is_file() else None
