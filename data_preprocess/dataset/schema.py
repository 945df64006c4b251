"""What a row of LLaVA JSON must be: its turns, its images, and a chain of thought's answer.

A row is ``{"id": str, "image": str or [str], "conversations": [{"from": "human", "value": ...},
{"from": "gpt", "value": ...}, ...]}``. Turns alternate and are even in number; ``<image>`` stands
in human turns, as often as the row has images; a row of text has no ``image``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from data_preprocess.dataset.splits import connectivity_key
from eyesmol.answer.text import read_answer
from eyesmol.chem.smiles import canonical_smiles, graph_to_smiles
from eyesmol.exceptions import shown
from eyesmol.image.pixel_frame import PixelFrame

__all__ = ["WARNINGS", "Row", "check_row", "images_of"]

# What may be meant so; everything else is an error.
WARNINGS = frozenset(
    {
        "id stands twice",
        "row stands twice",
        "image stands twice under two names",
        "split is empty",
        "label that does not expand",
        "SMILES not in canonical form",
    }
)
_MARK = "<image>"


@dataclass
class Row:
    """What was found about a row.

    Attributes:
        problems: kind and detail of each.
        identifier: its id.
        content: digest of images and words.
        images: path and digest of the pixels of each.
        sizes: width and height of each image, in pixels.
        molecule: connectivity key, where the row says its SMILES.
    """

    problems: list[tuple[str, str]] = field(default_factory=list)
    identifier: str = ""
    content: bytes = b""
    images: list[tuple[str, bytes]] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    molecule: str | None = None


def check_row(row: Any, folder: Path, frame: PixelFrame | None) -> Row:
    """Everything that is wrong with a row, looked at on its own.

    Args:
        row: an element of the list.
        folder: its image paths start here.
        frame: the pixel frame of the dataset; None where it is not known.
    """
    found = Row()
    if not isinstance(row, dict):
        found.problems.append(("row is no object", f"found {shown(row)}"))
        return found
    identifier = row.get("id")
    if isinstance(identifier, str) and identifier:
        found.identifier = identifier
    else:
        found.problems.append(("no id", f"found {shown(identifier)}; expected words"))
    turns = list(_turns(row.get("conversations"), found))
    images = images_of(row)
    if images is None:
        found.problems.append(("image is no path", f"found {shown(row['image'])}"))
        images = []
    _check_marks(turns, len(images), found)
    for image in images:
        _check_image(image, folder, frame, found)
    words = json.dumps([images, turns], sort_keys=True)
    found.content = _digest(words.encode("utf-8", "surrogatepass"))
    if turns and not found.problems:
        _check_answer(str(row.get("task")), turns[-1][1], found)
    return found


def images_of(row: dict[str, Any]) -> list[str] | None:
    """The paths of a row's images; None where `image` is something else."""
    image = row.get("image")
    if image is None:
        return []
    paths = image if isinstance(image, list) else [image]
    return paths if all(isinstance(path, str) and path for path in paths) else None


def _turns(conversations: Any, found: Row) -> Iterator[tuple[str, str]]:
    """Speaker and words of each turn that has both."""
    if not isinstance(conversations, list) or not conversations:
        found.problems.append(("no conversations", f"found {shown(conversations)}"))
        return
    if len(conversations) % 2:
        found.problems.append(("odd number of turns", f"found {len(conversations)}"))
    for number, turn in enumerate(conversations):
        speaker = turn.get("from") if isinstance(turn, dict) else None
        value = turn.get("value") if isinstance(turn, dict) else None
        expected = ("human", "gpt")[number % 2]
        if speaker != expected:
            detail = f"turn {number + 1} is from {shown(speaker)}; expected {expected}"
            found.problems.append(("turns do not alternate human, gpt", detail))
        if not isinstance(value, str) or not value.replace(_MARK, "").strip():
            found.problems.append(("empty turn", f"turn {number + 1}: {shown(value)}"))
        if isinstance(value, str):
            yield expected if speaker is None else str(speaker), value
            if any("\ud800" <= letter <= "\udfff" for letter in value):
                found.problems.append(("text is not Unicode", f"turn {number + 1}: half a pair"))


def _check_marks(turns: list[tuple[str, str]], images: int, found: Row) -> None:
    human = sum(words.count(_MARK) for speaker, words in turns if speaker == "human")
    other = sum(words.count(_MARK) for speaker, words in turns if speaker != "human")
    if human != images:
        detail = f"{images} images, {human} marks {_MARK} in human turns"
        found.problems.append(("images and <image> marks differ", detail))
    if other:
        found.problems.append(("<image> in an answer", f"{other} times"))


def _check_image(image: str, folder: Path, frame: PixelFrame | None, found: Row) -> None:
    inside = PurePosixPath(image)
    if inside.is_absolute() or ".." in inside.parts or "\\" in image:
        found.problems.append(("image outside the dataset's folder", image))
        return
    try:
        with Image.open(folder / image) as file:
            rgb = file.convert("RGB")
    except FileNotFoundError:
        found.problems.append(("image is missing", image))
        return
    # What Pillow raises for broken files depends on their kind.
    except Exception as error:
        found.problems.append(("image cannot be read", f"{image}: {error}"))
        return
    found.sizes.append(rgb.size)
    found.images.append((image, _digest(repr(rgb.size).encode() + rgb.tobytes())))
    if frame is not None and not _is_on_grid(rgb.size, frame):
        detail = f"{image}: {rgb.width} x {rgb.height}; expected a size that the frame leaves alone"
        found.problems.append(("image size off the pixel frame", detail))


def _is_on_grid(size: tuple[int, int], frame: PixelFrame) -> bool:
    try:
        return frame.size(*size) == size
    except ValueError:  # far too long and thin
        return False


def _check_answer(task: str, answer: str, found: Row) -> None:
    if task == "smiles":
        words = answer.split()
        found.molecule = connectivity_key(words[-1]) if words else None
    elif task == "cot":
        _check_cot(answer, found)


def _check_cot(text: str, found: Row) -> None:
    """The graph reads back, lies in the image, and is the molecule of the SMILES."""
    answer = read_answer(text)
    if answer.problems:
        found.problems.append(("answer does not read back", "; ".join(answer.problems[:3])))
        return
    assert answer.smiles is not None, "an answer without SMILES has a problem"
    for width, height in found.sizes[:1]:
        outside = [a for a in answer.graph.atoms if not (0 <= a.x < width and 0 <= a.y < height)]
        if outside:
            atom = outside[0]
            detail = f"{len(outside)} atoms, such as {atom.text} at {atom.x:g} {atom.y:g}"
            found.problems.append(("atom outside the image", f"{detail}; {width} x {height}"))
    canonical = canonical_smiles(answer.smiles)
    found.molecule = connectivity_key(answer.smiles) or answer.smiles
    if canonical is None:
        found.problems.append(("SMILES that RDKit cannot read", answer.smiles))
        return
    if canonical != answer.smiles:
        detail = f"{answer.smiles}; canonical {canonical}"
        found.problems.append(("SMILES not in canonical form", detail))
    smiles, problems = graph_to_smiles(answer.graph)
    if smiles == canonical:
        return
    if problems and smiles is not None:
        found.problems.append(("label that does not expand", problems[0]))
    else:
        detail = f"graph {smiles or problems[-1]}; written {answer.smiles}"
        found.problems.append(("graph is another molecule than the SMILES", detail))


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()
