"""Rows of LLaVA JSON or JSONL: read, checked, named in messages, and turned into chat messages.

A row is `{"id", "image": path or list of paths, "conversations": [{"from", "value"}]}` (image
optional) with turns human, gpt, human, gpt ... (a system turn may come first) and one `<image>` an
image.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from .errors import DataError, UserError
from .model_folder import DATASET_INFO, PixelFrame, read_json
from .processing import Message

ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant"}
IMAGE, VIDEO = "<image>", "<video>"
# what ends a turn, or stands for an image, in the model's own language
CONTROL = re.compile(
    r"<\|(?:im_start|im_end|endoftext|vision_start|vision_end|vision_pad|image_pad|video_pad)\|>"
)

_BLANKS = re.compile(r"\s*")

Row = dict[str, Any]
ImageSource = str | Image.Image  # a path, or the image itself in a row that a plug-in made


class Rows(Protocol):
    """What rows are taken from: a list of them, or a plug-in that makes them."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> Row: ...


def data_files(path: Path) -> list[Path]:
    """The files of some data: one, or the shards that a name with `*` stands for, in order."""
    return sorted(path.parent.glob(path.name)) if "*" in path.name else [path]


def content_fingerprint(path: Path) -> str:
    """What tells data apart: the content of its files."""
    try:
        stats = [(file, file.stat()) for file in data_files(path)]
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file.") from error
    return _digest(tuple((str(file), stat.st_size, stat.st_mtime_ns) for file, stat in stats))


@functools.lru_cache(maxsize=16)
def _digest(files: tuple[tuple[str, int, int], ...]) -> str:
    """The digest of files, read once as long as their sizes and dates are these."""
    digest = hashlib.sha256()
    for name, _, _ in files:
        with Path(name).open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of LLaVA JSON or JSONL, of one file or of shards; raises `DataError` otherwise."""
    empty = True
    for file in data_files(path):
        for row in _lines_of(file) if file.suffix == ".jsonl" else _items_of(file):
            empty = False
            yield row
    if empty:
        raise DataError(f"{path}: the list is empty; nothing to train on.")


def _items_of(file: Path) -> Iterator[Row]:
    """The items of a JSON list, one after the other: all at once take several times the room."""
    text = file.read_text(encoding="utf-8")
    decode = json.JSONDecoder().raw_decode
    if not text.lstrip().startswith("["):
        _refuse(file)
    at = _blank(text, text.index("[") + 1)
    try:
        while not text.startswith("]", at):
            row, at = decode(text, at)
            yield row
            at = _blank(text, at)
            if text.startswith(",", at):
                at = _blank(text, at + 1)
                if text.startswith("]", at):
                    raise json.JSONDecodeError("Expecting value", text, at)
            elif not text.startswith("]", at):
                raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
        if (end := _blank(text, at + 1)) < len(text):
            raise json.JSONDecodeError("Extra data", text, end)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{file}, line {error.lineno}: not valid JSON ({error.msg}). (JSON lines are read "
            "from a file called .jsonl)"
        ) from error


def _blank(text: str, at: int) -> int:
    """Where the next character stands that is no blank."""
    found = _BLANKS.match(text, at)
    return found.end() if found else at


def _refuse(file: Path) -> None:
    """Raise for a JSON file that holds no list."""
    try:
        found = read_json(file)
    except UserError as error:
        raise DataError(f"{error} (JSON lines are read from a file called .jsonl)") from error
    raise DataError(
        f"{file}: found one {type(found).__name__}, expected a list of rows "
        '[{"id": ..., "image": ..., "conversations": [...]}, ...].'
    )


def _lines_of(file: Path) -> Iterator[Row]:
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"{file}, line {number}: not valid JSON ({error.msg}).") from error


def image_names(row: Row) -> list[Any]:
    """The images of a row: their paths as written, or the images themselves."""
    images = row.get("image") or row.get("images") or []
    return [images] if isinstance(images, ImageSource) else list(images)


def image_path(folder: Path, name: str) -> Path:
    """The path of an image; raises ValueError if it leaves the image folder."""
    # lexical on purpose: links inside of the folder are its owner's choice
    root = Path(os.path.normpath(folder.absolute()))
    path = Path(os.path.normpath(root / name))
    if not path.is_relative_to(root):
        raise ValueError(f"{name!r} lies outside of the image folder {folder}")
    return path


def row_problem(row: Any, folder: Path) -> str | None:
    """What is wrong with one row, or None."""
    if not isinstance(row, dict):
        return f"found {type(row).__name__}, expected an object"
    turns = row.get("conversations")
    if not isinstance(turns, list) or not all(
        isinstance(t, dict) and isinstance(t.get("value"), str) for t in turns
    ):
        return 'expected "conversations": [{"from": ..., "value": text}, ...]'
    return (
        _turn_problem(turns)
        or _video_problem(row, turns)
        or _mark_problem(turns, len(image_names(row)))
        or _image_problem(row, folder)
    )


def _turn_problem(turns: list[dict[str, str]]) -> str | None:
    speakers = [str(turn.get("from")) for turn in turns]
    if speakers and speakers[0] == "system":
        speakers = speakers[1:]
    unknown = sorted({s for s in speakers if s not in ROLES})
    if unknown:
        return f'"from" is {unknown}, expected human or gpt (system only first)'
    roles = [ROLES[s] for s in speakers]
    if not roles or len(roles) % 2 or roles != ["user", "assistant"] * (len(roles) // 2):
        return f"turns are {speakers}, expected human, gpt, human, gpt ... ending with gpt"
    if not all(t["value"].strip() for t in turns if ROLES.get(t["from"]) == "assistant"):
        return "an answer is empty; it would teach the model to say nothing"
    return None


def _video_problem(row: Row, turns: list[dict[str, str]]) -> str | None:
    if row.get("video") or row.get("videos") or any(VIDEO in turn["value"] for turn in turns):
        return "a video; only images are trained on (give some of its frames as images)"
    return None


def _mark_problem(turns: list[dict[str, str]], count: int) -> str | None:
    marks = sum(turn["value"].count(IMAGE) for turn in turns if turn.get("from") in ROLES)
    answers = sum(t["value"].count(IMAGE) for t in turns if ROLES.get(t["from"]) == "assistant")
    if answers:
        return f"an answer holds {IMAGE}; images belong into the human's turns"
    for turn in turns:
        if token := CONTROL.search(turn["value"]):
            return f"a turn holds the control token {token[0]}; an image is written {IMAGE}"
    if marks != count:
        return f"found {marks} {IMAGE} for {count} images, expected one each"
    return None


def _image_problem(row: Row, folder: Path) -> str | None:
    names = image_names(row)
    if not all(isinstance(name, ImageSource) for name in names):
        return '"image" must be a path or a list of paths'
    for name in (name for name in names if isinstance(name, str)):
        try:
            path = image_path(folder, name)
        except ValueError as error:
            return f"image {error}; paths must stay inside of it"
        if not path.is_file():
            return f"image {path} is missing; correct the path or --image_folder"
    return None


def row_label(row: Any, number: int) -> str:
    """How messages name a row: its number in the list and its id."""
    identity = row.get("id") if isinstance(row, dict) else None
    return f"row {number}" + (f" (id {identity!r})" if identity is not None else "")


def read_pixel_frame(data_path: Path) -> PixelFrame | None:
    """The pixel frame that `dataset_info.json` beside the data states, if there is one."""
    path = data_path.parent / DATASET_INFO
    if not path.is_file():
        return None
    return frame_of(read_json(path).get("pixel_frame"), str(path))


def frame_of(frame: Any, source: str) -> PixelFrame | None:
    """A pixel frame as data states it: `{"min_pixels": int, "max_pixels": int, ...}`, or None."""
    if frame is None:
        return None
    try:
        return PixelFrame(int(frame["min_pixels"]), int(frame["max_pixels"]))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f'{source}: "pixel_frame" is {frame!r}, expected {{"min_pixels": int, '
            '"max_pixels": int, "factor": 28}.'
        ) from error


def to_messages(row: Row) -> list[Message]:
    """Chat messages of a row; each mark (and the line break after it) becomes a part."""
    messages: list[Message] = []
    for turn in row["conversations"]:
        role = ROLES.get(turn["from"], "system")
        content: Any = turn["value"]
        if role == "user":
            content = []
            for piece in re.split(rf"({IMAGE})\n?", turn["value"]):
                if piece == IMAGE:
                    content.append({"type": "image"})
                elif piece:
                    content.append({"type": "text", "text": piece})
        messages.append({"role": role, "content": content})
    return messages
