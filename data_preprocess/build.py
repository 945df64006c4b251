"""Build a dataset folder: drawings in, LLaVA JSON with pictures on the model's grid out.

The folder holds ``train.json``, ``valid.json``, ``test.json``, ``images/`` and
``dataset_info.json``. A row is ::

    {"id": "a12", "image": "images/000000/a12.png", "conversations": [
        {"from": "human", "value": "<image>\\nRead the molecule ..."},
        {"from": "gpt", "value": "824 133 [OMe]\\n..."}], "source": "drawings", "task": "cot"}

with the image's path relative to the folder, and every place in whole pixels of that image.
``dataset_info.json`` says what the rows are:

==================  ================================================================================
``version``         of EyesMol
``pixel_frame``     the size at which the model sees the pictures: `PixelFrame.from_dict` reads it
``answer_form``     ``json`` or ``compact``; null for instruction sets
``prompt_version``  of the chain-of-thought prompt
``splits``          rows of train, valid and test; a molecule stands in one split only
``tasks``           rows of each task
``items``           drawings that went in: every one became rows or a drop
``drops``           reason -> ``count`` and up to five ``examples``
``reads_back``      chain of thought from molfiles: how many graphs give the molfile's own SMILES
                    back (``same``), another one (``different``), or have labels that do not expand
                    (``unknown label``)
``sources``         name, kind, number of items, licence and digest of each source
``licences``        of all sources
``seed``            of styles and questions
``settings``        everything that decided what the rows are, as `Settings` has it
==================  ================================================================================

Placed graphs come from the drawing itself (SMILES) or from a fit onto the ink (molfiles).
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from PIL import Image, ImageChops
from rdkit import Chem, rdBase
from tqdm import tqdm

from data_preprocess.dataset import Parts, Record, write_json, write_lists, write_part
from data_preprocess.engine import run
from data_preprocess.place import PlaceError, place, settle_labels
from data_preprocess.render import RenderError, render
from data_preprocess.sources import InputError, Item, Source
from data_preprocess.tasks import Turn, cot_turn, instruction_turns
from eyesmol import MolGraph, __version__
from eyesmol.answer import PROMPT_VERSION, AnswerForm
from eyesmol.chemistry import graph_to_smiles, molblock_to_smiles
from eyesmol.frame import PixelFrame
from eyesmol.molfile import MolfileError, block_to_mol, mol_to_graph, read_molblock

__all__ = ["Settings", "build"]

_PART = 100  # items of a part: seconds of work, so a kill costs little and progress is smooth
_EDGE = 0.02  # an atom this share of the picture's side outside is at a cropped edge, not misplaced


@dataclass(frozen=True)
class Settings:
    """Everything that decides what the rows are.

    Attributes:
        task: ``cot`` (one row a drawing) or ``instruction`` (`questions` rows a drawing).
        form: of chain-of-thought answers.
        frame: the size at which the model sees the pictures.
        valid, test: shares of the molecules.
        seed: of drawing styles and of the choice of questions; splits do not depend on it.
        size: width and height of drawn pictures, in pixels, before they go into the frame.
        questions: instruction rows a drawing.
    """

    task: Literal["cot", "instruction"]
    form: AnswerForm = "compact"
    frame: PixelFrame = field(default_factory=PixelFrame)
    valid: float = 0.1
    test: float = 0.1
    seed: int = 0
    size: tuple[int, int] = (448, 448)
    questions: int = 4

    def __post_init__(self) -> None:
        if not (self.valid >= 0 and self.test >= 0 and self.valid + self.test < 1):
            raise InputError(
                f"valid {self.valid} and test {self.test}: expected shares of at least 0 that "
                "leave something for training"
            )
        if self.questions < 1:
            raise InputError(f"questions {self.questions}: expected at least 1")
        if min(self.size) < 28 or max(self.size) > 4096:
            raise InputError(f"size {self.size}: expected sides of 28 to 4096 pixels")


def build(
    source: Source,
    out: Path,
    settings: Settings,
    *,
    workers: int = 1,
    overwrite: bool = False,
    progress: bool = True,
) -> dict[str, Any]:
    """Build a dataset folder, or go on with one that was interrupted.

    Byte for byte the same whatever the number of `workers` and however often it was stopped.

    Returns:
        The content of `dataset_info.json`; of a dataset that is already finished too.

    Raises:
        InputError: the folder holds a dataset of other settings, or not one row came out.
    """
    about = source.describe()
    # Through JSON, so that it compares equal to what is read back from a file.
    made_with = json.loads(
        json.dumps({"version": __version__, "settings": asdict(settings), "sources": [about]})
    )
    parts = Parts(out, made_with)
    if overwrite:
        parts.clear()
    if (info := parts.finished()) is not None:
        return info
    parts.begin()
    jobs = _jobs(source, settings, out, parts)
    with tqdm(total=about["items"], unit=" drawings", desc=out.name, disable=not progress) as bar:
        for done in run(jobs, _build_part, workers):
            bar.update(done)
    info = _finish(out, parts, settings, made_with)
    parts.discard()
    return info


def _finish(
    out: Path, parts: Parts, settings: Settings, made_with: dict[str, Any]
) -> dict[str, Any]:
    (about,) = made_with["sources"]
    counted = write_lists(out, parts.records(-(-about["items"] // _PART)))
    if not sum(counted["splits"].values()):
        reasons = "; ".join(
            f"{reason}: {drop['count']}" for reason, drop in counted["drops"].items()
        )
        raise InputError(f"{out}: of {about['items']} drawings not one became a row ({reasons})")
    cot = settings.task == "cot"
    info = {
        **made_with,
        "pixel_frame": settings.frame.to_dict(),
        "answer_form": settings.form if cot else None,
        "prompt_version": PROMPT_VERSION if cot else None,
        "splits": counted["splits"],
        "tasks": counted["tasks"],
        "items": about["items"],
        "drops": counted["drops"],
        "reads_back": counted["reads_back"],
        "licences": sorted({about["licence"]}),
        "seed": settings.seed,
    }
    write_json(out / "dataset_info.json", info)
    return info


@dataclass(frozen=True)
class _Job:
    """One part for one process; small and picklable."""

    number: int
    items: tuple[Item, ...]
    source: str
    settings: Settings
    out: Path
    path: Path


def _jobs(source: Source, settings: Settings, out: Path, parts: Parts) -> Iterator[_Job]:
    items = source.items()
    for number in itertools.count():
        chunk = tuple(itertools.islice(items, _PART))
        if not chunk:
            return
        yield _Job(number, chunk, source.name, settings, out, parts.path(number))


def _build_part(job: _Job) -> int:
    if not job.path.exists():
        folder = Path("images") / f"{job.number:06d}"
        (job.out / folder).mkdir(parents=True, exist_ok=True)
        records = [record for item in job.items for record in _records(item, folder, job)]
        write_part(job.path, records)
    return len(job.items)


class _Drop(Exception):
    """This item becomes no row; the message is the reason, one of a few fixed phrases."""


@dataclass(frozen=True)
class _Example:
    """A picture with its molecule; the graph is placed in the picture's pixels."""

    image: Image.Image
    graph: MolGraph | None
    smiles: str


def _records(item: Item, folder: Path, job: _Job) -> Iterator[Record]:
    settings = job.settings
    try:
        example = _in_frame(_read(item, settings), settings.frame)
    except _Drop as drop:
        file = item.image or item.molfile
        yield {"drop": str(drop), "name": file.name if file else f"{item.name} {item.smiles}"}
        return
    path = folder / f"{item.name}.png"
    _save(example.image, job.out / path)
    split = _split(example.smiles, settings.valid, settings.test)
    if example.graph is not None and item.smiles is None:
        yield {"reads_back": _reads_back(example.graph.rounded(), example.smiles)}
    for turn in _turns(item, example, settings):
        row_id = item.name if settings.task == "cot" else f"{item.name}-{turn.task}"
        row = {
            "id": row_id,
            "image": path.as_posix(),
            "conversations": [
                {"from": "human", "value": f"<image>\n{turn.question}"},
                {"from": "gpt", "value": turn.answer},
            ],
            "source": job.source,
            "task": turn.task,
        }
        yield {"split": split, "row": row}


def _turns(item: Item, example: _Example, settings: Settings) -> list[Turn]:
    if settings.task == "cot":
        assert example.graph is not None, "the chain of thought is always placed"
        return [cot_turn(example.graph, example.smiles, settings.form)]
    rng = random.Random(_number(f"{settings.seed} questions {item.name}"))
    return instruction_turns(example.smiles, settings.questions, rng)


def _read(item: Item, settings: Settings) -> _Example:
    if item.smiles is not None:
        return _drawn(item, settings)
    if item.image is None:
        raise _Drop("missing image")
    if item.molfile is None:
        raise _Drop("missing molfile")
    graph, smiles = _molecule(item.molfile)
    image = _opened(item.image)
    if settings.task == "instruction":
        return _Example(image, None, smiles)  # no place is asked for, so no fit is needed
    try:
        fit = place(image, graph)
        if fit.problem:
            raise _Drop(fit.problem)
        placed = settle_labels(image, fit.apply(graph))
    except PlaceError as error:
        raise _Drop(error.reason) from None
    return _Example(image, placed, smiles)


def _drawn(item: Item, settings: Settings) -> _Example:
    assert item.smiles is not None
    # By seed and name alone: cot and instruction sets of one seed show the same pictures.
    seed = _number(f"{settings.seed} style {item.name}")
    try:
        drawing = render(item.smiles, settings.size, seed=seed)
    except RenderError as error:
        raise _Drop(error.reason) from None
    return _Example(drawing.image, drawing.graph, drawing.smiles)


def _molecule(path: Path) -> tuple[MolGraph, str]:
    """The graph as drawn, in molfile coordinates, and the canonical SMILES."""
    try:
        block = read_molblock(path)
    except MolfileError:
        raise _Drop("empty molfile") from None
    except OSError:
        raise _Drop("unreadable molfile") from None
    try:
        mol = block_to_mol(block, sanitize=False, source=path.name)
    except MolfileError:
        raise _Drop("RDKit cannot parse the molfile") from None
    if not mol.GetNumAtoms():
        raise _Drop("molfile without atoms")
    graph = mol_to_graph(mol)
    try:
        return graph, _open_smiles(mol, graph) or molblock_to_smiles(block, source=path.name)
    except MolfileError:
        raise _Drop("RDKit cannot sanitise the molecule") from None


def _open_smiles(mol: Chem.Mol, graph: MolGraph) -> str | None:
    """The SMILES with ``*`` for labels such as X, Q or NHR7; None where there are none.

    A molfile holds such a label as an alias of a carbon atom, so RDKit's own SMILES would say
    methyl where the picture says X: one in twelve of the CLEF molfiles. (The hidden atoms of an
    abbreviation S-group are right; only an alias has nothing behind it.)
    """
    if not any(atom.HasProp("molFileAlias") for atom in mol.GetAtoms()):
        return None
    smiles, problems = graph_to_smiles(graph.transformed(1, 0, 0, flip=True))
    return smiles if problems else None


def _opened(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.load()
            return image.copy()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise _Drop("unreadable image") from None


def _in_frame(example: _Example, frame: PixelFrame) -> _Example:
    """The picture at the model's size, the graph in its pixels."""
    width, height = example.image.size
    try:
        image = frame.fit(example.image)
    except ValueError:
        raise _Drop("picture too long and thin for the frame") from None
    if example.graph is None:
        return _Example(image, None, example.smiles)
    # The grid rounds both sides on their own, so the two scales differ a little.
    graph = example.graph.placed(
        (_inside(atom.x / width, image.width), _inside(atom.y / height, image.height))
        for atom in example.graph.atoms
    )
    return _Example(image, graph, example.smiles)


def _inside(share: float, side: int) -> float:
    if not -_EDGE <= share <= 1 + _EDGE:
        raise _Drop("atom outside the picture")
    return min(max(share * side, 0.0), side - 1.0)


def _save(image: Image.Image, path: Path) -> None:
    """As a PNG, under a temporary name first; grey where it is grey."""
    red, green, blue = image.split()
    if not ImageChops.difference(red, green).getbbox() and not (
        ImageChops.difference(red, blue).getbbox()
    ):
        image = red
    temporary = path.with_suffix(".tmp")
    # Level 9 makes a drawing 6 % smaller and takes six times as long.
    image.save(temporary, format="PNG", compress_level=6)
    temporary.replace(path)


def _reads_back(graph: MolGraph, smiles: str) -> str:
    found, problems = graph_to_smiles(graph)
    if found == smiles:
        return "same"
    return "unknown label" if problems and found is not None else "different"


@lru_cache(maxsize=256)  # copies and questions of a molecule follow each other
def _split(smiles: str, valid: float, test: float) -> str:
    """Train, valid or test, by the molecule's skeleton alone.

    The first block of the InChIKey leaves out stereo, isotopes and protonation: near twins stay
    together. A molecule without InChIKey (R groups) goes by its SMILES without stereo.
    """
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
        key = Chem.MolToInchiKey(mol) if mol is not None else ""
        skeleton = key[:14] or (Chem.MolToSmiles(mol, isomericSmiles=False) if mol else smiles)
    share = _number(skeleton) / 2**64
    if share < test:
        return "test"
    return "valid" if share < test + valid else "train"


def _number(text: str) -> int:
    """64 bits that depend on the text alone, on every machine."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
