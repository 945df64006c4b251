"""Folders of millions of images, read by many models at once: on a Ray cluster, or on the GPUs
and cores of this machine.

The images are listed as they are needed and dealt out in parts of a few hundred. Each worker
holds one model, reads a part and writes its rows to a file of its own beside the output
(``out.jsonl.parts/``). When all are there they are joined, in order, into the output. A part that
is there is not read again, so a run that was stopped goes on; a worker that dies is started again,
and loses one part.

All machines must see the images, the model and the output under the same paths, and have the same
EyesMol installed. No torch in here but in the workers.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

from eyesmol import __version__
from eyesmol.answer.text import AnswerForm
from eyesmol.memory import peak_memory_mib
from eyesmol.outputs import (
    Counts,
    OutputError,
    check_output,
    lock_or_refuse,
    read_rows,
    replacing,
    write_as,
)
from eyesmol.reader.base import Recognizer
from eyesmol.reader.embedded import is_detector
from eyesmol.reader.options import ReadOptions
from eyesmol.reader.ray_cluster import ClusterError, available_cores, cluster
from eyesmol.reader.vlm import check_folder

__all__ = ["Plan", "read_on_ray"]

_PART = re.compile(r"\.?\d{8}-[0-9a-f]{16}\.jsonl(\.[0-9a-f]{8}\.tmp)?")
_SETTINGS, _LOCK = "settings.json", "lock"  # beside the parts
_PART_SIZE = 256  # images: seconds of work on a GPU, minutes on a few cores
_AHEAD = 2  # parts for each worker, so that none waits for the next
_RESTARTS = 3  # of a worker that dies, and of a part that was lost with it


@dataclass(frozen=True)
class Plan:
    """What each worker does.

    Attributes:
        model: folder or hub name, as in `Recognizer.from_pretrained`.
        form, device, calibration, options: as there.
        v3000: write molblocks in V3000.
    """

    model: str
    form: AnswerForm | None = None
    device: str | None = None
    calibration: str | None = None
    options: ReadOptions = field(default_factory=ReadOptions)
    v3000: bool = False


@dataclass(frozen=True)
class _Part:
    names: tuple[str, ...]
    path: Path

    @classmethod
    def of(cls, folder: Path, number: int, names: tuple[str, ...]) -> _Part:
        """The file's name says which images are in it: other ones are another part."""
        digest = hashlib.sha256("\0".join(names).encode("utf-8", "surrogateescape")).hexdigest()
        return cls(names, folder / f"{number:08}-{digest[:16]}.jsonl")


class _Worker:
    """One model, in a process of its own."""

    def __init__(self, plan: Plan, folder: str, threads: int, version: str) -> None:
        self._plan, self._folder, self._threads = plan, folder, threads
        self._version, self._reader = version, None

    def read(self, names: tuple[str, ...], path: Path) -> int:
        """Read images and write their rows; returns how many images there were."""
        # Loaded by the first part, whose errors come back as they are.
        reader = self._reader = self._reader or self._loaded()
        results = reader.recognize(names)
        if self._plan.v3000:
            results = (result.as_v3000() for result in results)
        with replacing(path) as file:
            for result in results:
                row = {**result.to_dict(), "memory_mib": peak_memory_mib()}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        return len(names)

    def _loaded(self) -> Any:
        if __version__ != self._version:
            raise ClusterError(
                f"a worker has EyesMol {__version__}, expected {self._version}: install the same "
                "on all machines of the cluster"
            )
        os.chdir(self._folder)  # paths are the user's, where they were given
        plan = self._plan
        return Recognizer.from_pretrained(
            plan.model,
            form=plan.form,
            device=plan.device,
            calibration=plan.calibration,
            options=plan.options,
            threads=self._threads,
        )


def read_on_ray(
    images: Iterable[str],
    output: Path,
    plan: Plan,
    settings: dict[str, Any],
    *,
    workers: int | None = None,
    gpus_per_worker: float | None = None,
    part_size: int | None = None,
    progress: Callable[[int], Any] = lambda pictures: None,
) -> Counts:
    """Read images on a Ray cluster into one file, the same as one reader writes.

    Args:
        images: names of images, taken only as fast as they are read.
        output: a file with an ending of `eyesmol.outputs.FORMATS`.
        plan: what the workers do.
        settings: what answers depend on; parts that were made with others are made again.
        workers: models at a time: as many as the GPUs hold, else 1.
        gpus_per_worker: share of a GPU that each takes, such as 0.5 for two models on each; 1 where
            there is a GPU, else 0.
        part_size: images of a part; 256 by default.
        progress: is told of images that are done.

    Raises:
        ClusterError: no Ray, no cluster, or one that is too small.
        RecognizerError: a model that cannot be used.
        OutputError: an output that cannot be written.
    """
    check_output(output)
    if not is_detector(plan.model):
        check_folder(plan.model)  # said at once, where a cluster takes a while to start
    folder = output.absolute().with_name(output.name + ".parts")
    try:
        folder.mkdir(exist_ok=True)
        lock = (folder / _LOCK).open("a")
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made: {error}") from None
    with lock:
        lock_or_refuse(lock, output)
        _prepare(folder, settings)
        counts = Counts()
        paths = _read_parts(images, folder, plan, workers, gpus_per_worker, part_size, progress)
        write_as(output, counts.counted(_rows(paths)))
        _remove(folder)
    return counts


def _read_parts(
    images: Iterable[str],
    folder: Path,
    plan: Plan,
    workers: int | None,
    gpus_per_worker: float | None,
    part_size: int | None,
    progress: Callable[[int], Any],
) -> list[Path]:
    """Have all parts read that are not there yet; the files of all of them, in order."""
    paths: list[Path] = []

    def missing() -> Iterator[_Part]:
        for part in _parts(images, folder, part_size or _PART_SIZE):
            paths.append(part.path)
            if not part.path.is_file():
                yield part
            else:
                progress(len(part.names))

    todo = missing()
    for first in todo:  # none: a run that was stopped while it joined its parts
        with cluster(available_cores()) as ray:
            pool = _Pool(ray, plan, workers, gpus_per_worker)
            for pictures in pool.work(chain([first], todo)):
                progress(pictures)
    return paths


def _prepare(folder: Path, settings: dict[str, Any]) -> None:
    """The folder for the parts of these settings; parts of others go."""
    folder.mkdir(exist_ok=True)
    path = folder / _SETTINGS
    try:
        is_same = json.loads(path.read_text("utf-8")) == settings
    except (OSError, ValueError):
        is_same = False
    if is_same:
        return
    _clear(folder)
    with replacing(path) as file:
        file.write(json.dumps(settings))


def _clear(folder: Path) -> None:
    """Remove the parts, and nothing that a user may have put beside them."""
    for path in folder.iterdir():
        if _PART.fullmatch(path.name) or path.name == _SETTINGS:
            path.unlink()


def _remove(folder: Path) -> None:
    """Remove the parts, and the folder unless a user has put something into it."""
    _clear(folder)
    (folder / _LOCK).unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def _parts(images: Iterable[str], folder: Path, size: int) -> Iterator[_Part]:
    images = iter(images)
    for number in count():
        names = tuple(islice(images, size))
        if not names:
            return
        yield _Part.of(folder, number, names)


def _rows(paths: Iterable[Path]) -> Iterator[dict[str, Any]]:
    for path in paths:
        for _, row in read_rows(path):
            yield row


# ---- the workers ----


class _Pool:
    """Workers on a cluster, each with its share of the GPUs or cores."""

    def __init__(self, ray: Any, plan: Plan, workers: int | None, share: float | None) -> None:
        from ray.util import ActorPool

        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        gpus = sum(node.get("GPU", 0.0) for node in nodes)
        share = (1.0 if gpus else 0.0) if share is None else share
        self.workers = workers or max(int(gpus // share) if share else 1, 1)
        most = max((node.get("GPU", 0.0) for node in nodes), default=0.0)
        if share > most or share * self.workers > gpus:
            raise ClusterError(
                f"--engine ray: {self.workers} workers with {share:g} GPUs each; found {gpus:g} "
                f"GPUs, at most {most:g} on one machine. Give fewer --workers or a smaller "
                "--gpus-per-worker"
            )
        # Beside a GPU one core is enough; without one the workers share out all cores.
        cores = sum(node.get("CPU", 0.0) for node in nodes)
        largest = max((node.get("CPU", 0.0) for node in nodes), default=1.0)
        each = min(1.0 if share else cores / self.workers, largest)
        each = float(int(each)) if each >= 1 else each  # Ray deals whole cores, or parts of one
        plan = plan if plan.device else replace(plan, device="cuda" if share else "cpu")
        worker = ray.remote(
            num_cpus=each, num_gpus=share, max_restarts=_RESTARTS, max_task_retries=_RESTARTS
        )(_Worker)
        arguments = (plan, str(Path.cwd()), max(int(each), 1), __version__)
        self._pool = ActorPool([worker.remote(*arguments) for _ in range(self.workers)])

    def work(self, parts: Iterable[_Part]) -> Iterator[int]:
        """Have the parts read, in any order; yields how many images were in each."""
        waiting = 0
        for part in parts:
            self._pool.submit(lambda worker, p: worker.read.remote(p.names, p.path), part)
            waiting += 1
            if waiting >= _AHEAD * self.workers:
                yield self._pool.get_next_unordered()
                waiting -= 1
        while self._pool.has_next():
            yield self._pool.get_next_unordered()
