"""Readers of every kind for the benchmarks, and their readings, kept on disk as they come.

A reader is named on the command line: a training run of the detector, a model that `Recognizer`
takes, or OSRA. It is loaded once in each worker; a worker uses one core, and the seconds of an
image are processor time: what one core takes, however busy the machine is.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tqdm import tqdm

import eyesmol
from eyesmol.chem.molfile import graph_to_molblock
from eyesmol.chem.smiles import expand_abbreviations
from eyesmol.image.loading import load_picture
from eyesmol.recognition import Molecule, Recognition

Read = Callable[[str], Recognition]
Item = TypeVar("Item")
Result = TypeVar("Result")


class Reader(Protocol):
    """What reads images, before it is loaded."""

    @property
    def name(self) -> str:
        """In tables."""

    @property
    def key(self) -> str:
        """For file names: another one for other weights or other code."""

    def load(self) -> Read:
        """A function from a file name to what was read; it raises nothing."""


# ---- the detector in training ----


@dataclass(frozen=True)
class RunReader:
    """A training run of the detector: torch, with the moving average of its weights.

    Attributes:
        folder: of the run.
        images, minutes: seen and trained so far.
    """

    folder: Path
    name: str
    key: str
    images: int
    minutes: float

    @classmethod
    def of(cls, folder: Path) -> RunReader:
        """From a run folder.

        Raises:
            FileNotFoundError: it holds no run.
        """
        state = folder / "last.json"
        if not state.is_file():
            raise FileNotFoundError(
                f"{folder}: no run: found no last.json; expected the folder that "
                "`python -m detector_training.train --out` wrote"
            )
        progress = json.loads(state.read_text(encoding="utf-8"))
        name = f"{folder.name}, {progress['images']:,} images"
        key = f"run-{fingerprint([folder / 'last.safetensors', *_code()])}"
        return cls(folder, name, key, progress["images"], progress["minutes"])

    def load(self) -> Read:
        """See `Reader`."""
        import torch
        from safetensors.torch import load_file

        from eyesmol.detector.network import Network, Shape
        from eyesmol.detector.reading import read
        from eyesmol.detector.torch_engine import TorchEngine

        torch.set_num_threads(1)
        state = json.loads((self.folder / "last.json").read_text(encoding="utf-8"))
        tensors = load_file(self.folder / "last.safetensors")
        network = Network(Shape.from_dict(state["shape"]))
        prefix = "average."
        network.load_state_dict(
            {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        )
        engine = TorchEngine(network)

        def recognise(image: str) -> Recognition:
            picture = load_picture(image)
            return _recognition(image, read(engine, picture), picture.size)

        return timed(recognise)


def _recognition(image: str, reading: Any, size: tuple[int, int]) -> Recognition:
    """A `Reading` as a row; its confidence only ranks: agreement first, then probability."""
    found = reading.assembly
    block = graph_to_molblock(expand_abbreviations(found.graph)[0]) if found.smiles else None
    molecule = Molecule(
        smiles=found.smiles,
        smiles_from="graph" if found.smiles else None,
        molblock=block,
        graph_smiles=found.smiles,
        problems=found.changes,
    )
    sure = (3 * reading.agreement + math.exp(found.log_probability)) / 4 if found.smiles else None
    return Recognition(
        image,
        graph=found.graph,
        molecule=molecule,
        confidence=sure,
        raw_confidence=sure,
        size=size,
        atom_confidence=found.atom_confidence,
        bond_confidence=found.bond_confidence,
        reason=None if found.smiles else "no molecule was found",
    )


# ---- models, OSRA ----


@dataclass(frozen=True)
class ModelReader:
    """Whatever `Recognizer.from_pretrained` takes."""

    model: str
    name: str
    key: str

    @classmethod
    def of(cls, model: str) -> ModelReader:
        """From a name (``detector``, ``nano``) or a model folder."""
        folders = (Path(model), Path(eyesmol.__file__).parent / "weights" / model)
        folder = next((folder for folder in folders if folder.is_dir()), None)
        files = [path for path in sorted(folder.iterdir()) if path.is_file()] if folder else []
        name = Path(model).name
        return cls(model, name, f"{name}-{fingerprint([*files, *_code()])}")

    def load(self) -> Read:
        """See `Reader`."""
        reader = eyesmol.Recognizer.from_pretrained(self.model)
        return timed(lambda image: next(iter(reader.recognize(image, pages=False))))


@dataclass(frozen=True)
class OsraReader:
    """The free tool that people use today, where it is installed."""

    name: str
    key: str

    @classmethod
    def of(cls) -> OsraReader:
        """Of this machine.

        Raises:
            FileNotFoundError: there is none.
        """
        if shutil.which("osra") is None:
            raise FileNotFoundError(
                "osra is not installed. Debian and Ubuntu: apt-get install osra"
            )
        said = subprocess.run(["osra", "--version"], capture_output=True, text=True, check=False)
        version = said.stdout.strip() or "unknown"
        return cls(f"OSRA {version}", f"osra-{version}")

    def load(self) -> Read:
        """See `Reader`."""
        from osra import read

        return lambda image: read(image, timeout=300)


def timed(read: Read) -> Read:
    """The same with the processor seconds of each image; what it raises becomes a row."""

    def found(image: str) -> Recognition:
        begin = time.process_time()
        try:
            result = read(image)
        except Exception as error:  # one image must not end the benchmark
            result = Recognition(image, error=f"{image}: {type(error).__name__}: {error}")
        return replace(result, seconds=round(time.process_time() - begin, 4))

    return found


# ---- the command line ----


def add_reader_options(parser: argparse.ArgumentParser) -> None:
    """The options that name readers, and how many processes use them."""
    # fmt: off
    parser.add_argument("--run", type=Path, action="append", default=[], metavar="FOLDER",
                        help="a training run of the detector: average weights, by torch")
    parser.add_argument("--model", action="append", default=[], metavar="NAME_OR_FOLDER",
                        help="for Recognizer.from_pretrained: detector, nano, a folder")
    parser.add_argument("--osra", action="store_true", help="OSRA, which has to be installed")
    parser.add_argument("--workers", type=int, default=1, metavar="N",
                        help="processes that read, one core each (1)")
    # fmt: on


def readers_of(options: argparse.Namespace) -> list[Reader]:
    """The readers that were named.

    Raises:
        FileNotFoundError: one is not there; says which and what to do.
    """
    found: list[Reader] = [RunReader.of(folder) for folder in options.run]
    found += [ModelReader.of(model) for model in options.model]
    return [*found, OsraReader.of()] if options.osra else found


# ---- reading ----

_work: Callable[[Any], Any] | None = None


def _load_work(load: Callable[[], Callable[[Any], Any]]) -> None:
    global _work
    _work = load()


def _do_work(item: Any) -> Any:
    assert _work is not None
    return _work(item)


def in_processes(
    load: Callable[[], Callable[[Item], Result]], items: Sequence[Item], workers: int, title: str
) -> Iterator[Result]:
    """The results of some work, in the order of the items, with a progress bar.

    Args:
        load: prepares the work, once in each process; it can be pickled.
        items: what the work is done on.
        workers: processes; 1 works in this one.
        title: of the progress bar.
    """
    if not items:
        return
    bar = partial(tqdm, desc=title, unit="image", total=len(items), disable=None)
    if workers <= 1:
        yield from bar(map(load(), items))
        return
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):  # a core each
        os.environ.setdefault(name, "1")
    with ProcessPoolExecutor(workers, initializer=_load_work, initargs=(load,)) as pool:
        yield from bar(pool.map(_do_work, items))


def readings(
    reader: Reader, images: Sequence[str], out: Path, workers: int = 1
) -> list[Recognition]:
    """What a reader says of images: what `out` (JSON Lines) holds already, the rest read now.

    Each reading is on disk before the next begins, so a run that was stopped resumes.
    """
    known = {read.image: read for read in kept_rows(out)}
    todo = [image for image in images if image not in known]
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a", encoding="utf-8") as file:
        for read in in_processes(reader.load, todo, workers, f"{reader.name}: {out.stem}"):
            file.write(json.dumps(read.to_dict(), ensure_ascii=False) + "\n")
            file.flush()
            known[read.image] = read
    return [known[image] for image in images]


def kept_rows(path: Path) -> list[Recognition]:
    """The rows of a file, if there is one; a last line that a stop cut off is taken off it."""
    if not path.is_file():
        return []
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        path.write_bytes(whole)
    return [Recognition.from_dict(json.loads(line)) for line in whole.splitlines()]


def fingerprint(files: Iterable[Path]) -> str:
    """Eight hexadecimal digits that stand for the bytes of some files."""
    found = hashlib.sha256()
    for file in files:
        found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()[:8]


def _code() -> list[Path]:
    """The code that a reading goes through: other code, other readings."""
    root = Path(eyesmol.__file__).parent
    parts = ("answer", "chem", "detector", "image", "reader")
    return [file for part in parts for file in sorted((root / part).glob("*.py"))]
