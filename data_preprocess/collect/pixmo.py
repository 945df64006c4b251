"""``collect pixmo``: charts, diagrams and tables with questions, of allenai/pixmo-docs.

The original mixes 118K charts into its instruction data, so that a model that learns molecules does
not forget how to answer questions. ODC-BY 1.0 (https://huggingface.co/datasets/allenai/pixmo-docs).
The data set is streamed, never downloaded as a whole; the images stay as they were published.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import io
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from itertools import count, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from tqdm import tqdm

from data_preprocess.catalogue.charts import CHARTS, Chart
from data_preprocess.collect.info import finished
from data_preprocess.dataset.folder import Record, write_records
from data_preprocess.dataset.splits import Ledger
from data_preprocess.tally import Tally, print_drops
from eyesmol.atomic import write_json
from eyesmol.exceptions import InputError

LICENCE = "ODC-BY-1.0"

_REPOSITORY = "allenai/pixmo-docs"
_CONFIGS = ("charts", "diagrams", "tables", "other")
_COLUMNS = ("image", "image_id", "questions")
_PART = 200  # rows of a part: some tens of megabytes
_SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp"}
_FILE_NAME = re.compile(r"[\w-]{1,100}", re.ASCII)

_EPILOG = """\
examples:
  # the first ten thousand charts, streamed from the Hub
  python -m data_preprocess collect pixmo --config charts --limit 10000 --out data/charts

  # from Parquet files that are here already
  python -m data_preprocess collect pixmo --parquet charts/train-*.parquet --out data/charts

Stop it whenever you like: the same command resumes. Every image and question that is
left out is counted by its reason in collect_info.json.
"""


def add(sources: Any) -> None:
    """Add ``collect pixmo`` to the parsers."""
    parser = sources.add_parser(
        "pixmo",
        help="charts with questions, to keep a model's instruction following",
        description=f"Collect images with questions of {_REPOSITORY} into a folder of charts.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", choices=_CONFIGS, default="charts", help="which part (charts)")
    parser.add_argument("--split", choices=["train", "validation"], default="train", help="(train)")
    parser.add_argument(
        "--parquet", type=Path, nargs="+", metavar="FILE", help="read these, not the Hub"
    )
    parser.add_argument(
        "--repository",
        default=_REPOSITORY,
        metavar="NAME",
        help=f"on the Hub, or a folder laid out like it ({_REPOSITORY})",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="images to read (all)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of charts")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    info = collect(
        options.out,
        config=options.config,
        split=options.split,
        repository=options.repository,
        parquet=options.parquet,
        limit=options.limit,
    )
    print(
        f"{options.out}: {info['rows']:,} images with {info['questions']:,} questions, of "
        f"{info['read']:,} images"
    )
    print_drops(info["drops"])
    return 0


def collect(
    out: Path,
    *,
    config: str = "charts",
    split: str = "train",
    repository: str = _REPOSITORY,
    parquet: list[Path] | None = None,
    limit: int | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Write a folder of charts, in the order of the source, or resume an interrupted one.

    Args:
        out: gets ``charts.parquet``, ``images/`` and ``collect_info.json``.
        config: ``charts``, ``diagrams``, ``tables`` or ``other``.
        split: ``train`` or ``validation``.
        repository: on the Hub, or a folder laid out like it.
        parquet: files to read instead, in this order.
        limit: images to read; None for all.
        progress: show a bar.

    Returns:
        The content of ``collect_info.json``: images `read`, `rows` and `questions` kept, `drops`.

    Raises:
        InputError: no such source, or the folder holds another collection.
        OSError: the Hub cannot be reached.
    """
    if limit is not None and limit < 1:
        raise InputError(f"limit {limit}: expected at least 1")
    source = f"pixmo-docs {config}"
    made_with = {
        "source": source,
        "repository": None if parquet else repository,
        "files": [path.name for path in parquet] if parquet else None,
        "split": split,
        "limit": limit,
    }
    if (info := finished(out, made_with)) is not None:
        return info
    # Named by what makes them, so that parts of another call are never taken.
    digest = hashlib.sha256(json.dumps(made_with).encode()).hexdigest()[:12]
    parts = out / f"parts-{digest}"
    parts.mkdir(parents=True, exist_ok=True)
    stream = _stream(config, split, repository, parquet)
    with tqdm(total=limit, unit=" images", desc=out.name, disable=not progress) as bar:
        for done in _write_recordss(stream, out, parts, limit, source):
            bar.update(done)
    info = {**made_with, "licence": LICENCE, **_written(out, parts)}
    write_json(out / "collect_info.json", info)
    shutil.rmtree(parts)
    return info


# ---- reading ----


def _stream(config: str, split: str, repository: str, parquet: list[Path] | None) -> Any:
    """The rows as a `datasets.IterableDataset`, the images as the bytes that they are."""
    try:
        import datasets
    except ModuleNotFoundError:
        raise InputError("datasets is missing: pip install -e '.[data]'") from None
    if parquet:
        for path in parquet:
            _check_parquet(path)
        files = {split: [str(path) for path in parquet]}
        stream = datasets.load_dataset("parquet", data_files=files, split=split, streaming=True)
    else:
        stream = datasets.load_dataset(repository, config, split=split, streaming=True)
    names = list(stream.features or {})
    if names and (missing_columns := [name for name in _COLUMNS if name not in names]):
        raise InputError(
            f"{parquet[0] if parquet else repository}: found the columns {', '.join(names)}; "
            f"expected {', '.join(missing_columns)} too"
        )
    return stream.cast_column("image", datasets.Image(decode=False))


def _check_parquet(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"--parquet {path}: no such file")
    try:
        pq.ParquetFile(path).close()
    except pa.ArrowInvalid as error:
        raise InputError(f"--parquet {path}: not a whole Parquet file: {error}") from None


def _write_recordss(
    stream: Any, out: Path, parts: Path, limit: int | None, source: str
) -> Iterator[int]:
    """Write what is missing, part by part; yields the number of rows of each.

    The last record of a part says where the stream stood after it: the next run begins there,
    without reading again what lies before.
    """
    there, done = 0, 0
    end: Record | None = None
    while (path := _part(parts, there)).exists():
        *_, end = _records(path)
        there, done = there + 1, done + end["rows"]
        yield end["rows"]
        if end["rows"] < _PART:
            return  # the last one
    stream = _resumed(stream, end, done)
    rows = islice(stream, None if limit is None else limit - done)
    for number in count(there):
        chunk = list(islice(rows, _PART))
        folder = Path("images") / f"{number:06d}"
        (out / folder).mkdir(parents=True, exist_ok=True)
        records = [
            record
            for position, row in enumerate(chunk, start=done + 1)
            for record in _kept(row, position, out, folder, source)
        ]
        end = {"rows": len(chunk), "state": stream.state_dict(), "version": _version()}
        write_records(_part(parts, number), [*records, end])
        done += len(chunk)
        yield len(chunk)
        if len(chunk) < _PART:
            return


def _part(parts: Path, number: int) -> Path:
    return parts / f"{number:06d}.jsonl"


def _resumed(stream: Any, end: Record | None, done: int) -> Any:
    if end is None:
        return stream
    if end["version"] != _version():
        return stream.skip(done)  # slower, but every version understands it
    stream.load_state_dict(end["state"])
    return stream


def _version() -> str:
    return importlib.metadata.version("datasets")


def _records(path: Path) -> Iterator[Record]:
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


class _Drop(Exception):
    """This image stays out; the message is the reason, one of a few fixed phrases."""


def _kept(
    row: dict[str, Any], position: int, out: Path, folder: Path, source: str
) -> Iterator[Record]:
    """The chart of a row, its image saved, and what was left out of it."""
    name = str(row["image_id"] or f"row-{position}")
    if not _FILE_NAME.fullmatch(name):
        name = hashlib.sha256(name.encode()).hexdigest()[:32]
    try:
        turns = _turns(row["questions"])
        complete = [turn for turn in turns if all(turn)]
        if not complete:
            raise _Drop("no question with an answer")
        data, suffix = _image(row["image"])
    except _Drop as drop:
        yield {"drop": str(drop), "name": f"row {position} {name}"}
        return
    if len(complete) < len(turns):
        lost = len(turns) - len(complete)
        yield {"drop": "question or answer empty", "name": f"row {position} {name}", "count": lost}
    image = folder / f"{position:07d}{suffix}"  # not by its id, which another may have too
    (out / image).write_bytes(data)  # it counts once its part is there, as in `save` of the builder
    questions, answers = zip(*complete, strict=True)
    yield {"chart": asdict(Chart(name, source, LICENCE, image.as_posix(), questions, answers))}


def _turns(questions: Any) -> list[tuple[str, str]]:
    """Pairs of question and answer, from a dict of lists or a list of dicts."""
    if isinstance(questions, dict):
        columns = [questions.get(name) or [] for name in ("question", "answer")]
        if len(columns[0]) != len(columns[1]):
            raise _Drop("more questions than answers, or fewer")
        pairs = list(zip(*columns, strict=True))
    else:
        pairs = [(turn.get("question"), turn.get("answer")) for turn in questions or []]
    return [(str(question or "").strip(), str(answer or "").strip()) for question, answer in pairs]


def _image(value: Any) -> tuple[bytes, str]:
    """The bytes of an image and its file's ending; kinds that few programs read become PNG."""
    data = (value or {}).get("bytes")
    if not data:
        raise _Drop("no image")
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            if image.format in _SUFFIXES:
                return data, _SUFFIXES[image.format]
            buffer = io.BytesIO()
            image.convert("RGBA" if image.has_transparency_data else "RGB").save(buffer, "PNG")
            return buffer.getvalue(), ".png"
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise _Drop("corrupt image") from None


# ---- writing ----


def _written(out: Path, parts: Path) -> dict[str, Any]:
    """Stream the parts into ``charts.parquet``; a second image of one id is a drop."""
    counts = {"read": 0, "rows": 0, "questions": 0}
    drops = Tally()
    with Ledger(parts / "ids.sqlite") as seen, CHARTS.writer(out) as charts:
        for record in (r for path in sorted(parts.glob("*.jsonl")) for r in _records(path)):
            if "rows" in record:
                counts["read"] += record["rows"]
                continue
            if "chart" in record:
                chart = Chart(**record["chart"])
                if seen.is_new(chart.id):
                    charts.add(chart)
                    counts["rows"] += 1
                    counts["questions"] += len(chart.questions)
                    continue
                record = {"drop": "a second image of this image_id", "name": chart.id}
                (out / chart.image).unlink(missing_ok=True)
            drops.add(record["drop"], record["name"], record.get("count", 1))
    return {**counts, "drops": drops.to_dict()}
