"""Training the detector: pieces of any length that add up, stopped at any moment and resumed.

A run folder holds `last.safetensors` (weights, their moving average, the optimizers' memory),
`last.json` (how far it came) and `log.jsonl`. `python -m detector_training.train --help`.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader

from detector_training.losses import losses
from detector_training.optimizer import optimizers
from detector_training.samples import Batch, Samples
from eyesmol.atomic import atomic_path, write_json
from eyesmol.detector.network import Network, Shape
from eyesmol.detector.weights import DESCRIPTION, WEIGHTS

__all__ = ["Progress", "Run", "main"]

_WARM_UP = 60  # steps, at the beginning of every piece
_COOL_DOWN = 0.5  # share of a piece in which the rates fall to nearly nothing
_AVERAGE = 0.998  # share of the old average that a step keeps
_LOG_EVERY = 25  # steps
_LARGEST_GRADIENT = 5.0


@dataclass
class Progress:
    """How far a run came.

    Attributes:
        steps, images: seen.
        minutes: of training, all pieces together.
        group: the next group of samples that nobody has drawn.
        shape: of the network.
        seed: of the samples.
        history: a line for each piece: minutes, images, words of sheets that were spelt besides.
    """

    steps: int = 0
    images: int = 0
    minutes: float = 0.0
    group: int = 0
    seed: int = 0
    shape: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)


class Run:
    """A network in training, with all that is needed to resume from where it stands.

    Args:
        folder: of the run; what it holds is resumed.
        shape, seed: of a new run.
        lr, muon_lr: full learning rates.
        start: an exported folder whose weights a new run begins with, in place of random ones; it
            continues the count of minutes, images and samples there.
    """

    def __init__(
        self,
        folder: Path,
        shape: Shape,
        seed: int,
        lr: float,
        muon_lr: float,
        start: Path | None = None,
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        state = folder / "last.json"
        self.progress = Progress(seed=seed, shape=dict(shape.as_dict()))
        if state.exists():
            self.progress = Progress(**json.loads(state.read_text(encoding="utf-8")))
        elif start is not None:
            exported = json.loads((start / DESCRIPTION).read_text(encoding="utf-8"))
            self.progress = Progress(**exported["training"], shape=dict(shape.as_dict()))
        torch.manual_seed(self.progress.seed)
        self.network = Network(Shape.from_dict(self.progress.shape))
        if start is not None and not state.exists():
            known = self.network.state_dict()
            weights = {k: v.to(known[k].dtype) for k, v in load_file(start / WEIGHTS).items()
                       if k in known and v.shape == known[k].shape}  # fmt: skip
            for part in sorted({k.split(".")[0] for k in known.keys() - weights.keys()}):
                print(f"{start}: {part} is of another shape there, and begins anew in part")
            self.network.load_state_dict(weights, strict=False)
        self.average = copy.deepcopy(self.network)
        self._averaged = self.progress.steps if state.exists() else 0  # steps in the average
        self.optimizers = optimizers(self.network, lr, muon_lr)
        self.rates = [group["lr"] for o in self.optimizers for group in o.param_groups]
        if state.exists():
            self._load()

    def set_rate(self, share: float) -> None:
        """Learning rates as a share of their full values."""
        groups = [group for o in self.optimizers for group in o.param_groups]
        for group, rate in zip(groups, self.rates, strict=True):
            group["lr"] = rate * share

    def step(self, batch: Batch, generator: torch.Generator) -> dict[str, float]:
        """Learn from one batch; what `Losses.shown` shows."""
        self.network.train()
        found = losses(self.network, batch, generator)
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        found.total.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), _LARGEST_GRADIENT)
        for optimizer in self.optimizers:
            optimizer.step()
        self.progress.steps += 1
        self.progress.images += len(batch.image)
        self.progress.group = max(self.progress.group, batch.group + 1)
        self._add_to_average()
        return found.shown

    @torch.no_grad()
    def _add_to_average(self) -> None:
        keep = min(_AVERAGE, (1 + self._averaged) / (10 + self._averaged))
        self._averaged += 1
        now = self.network.state_dict()
        for name, value in self.average.state_dict().items():
            if value.dtype.is_floating_point:
                value.lerp_(now[name], 1 - keep)
            else:
                value.copy_(now[name])

    def save(self) -> None:
        """Write all of it, each file whole or not at all."""
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for number, optimizer in enumerate(self.optimizers):
            for weight, state in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{number}.{weight}.{k}": v for k, v in state.items()}
        tensors = {k: v.contiguous().clone() for k, v in tensors.items()}
        with atomic_path(self.folder / "last.safetensors") as draft:
            save_file(tensors, draft)
        write_json(self.folder / "last.json", asdict(self.progress))

    def _load(self) -> None:
        tensors = load_file(self.folder / "last.safetensors")
        self.network.load_state_dict(_part(tensors, "network."))
        self.average.load_state_dict(_part(tensors, "average."))
        for number, optimizer in enumerate(self.optimizers):
            state: dict[int, dict[str, Tensor]] = {}
            for name, value in _part(tensors, f"optimizer.{number}.").items():
                weight, key = name.split(".", 1)
                state.setdefault(int(weight), {})[key] = value
            whole = optimizer.state_dict()
            whole["state"] = state
            optimizer.load_state_dict(whole)


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def train(run: Run, batches: Iterable[Batch], minutes: float, save_every: float = 3.0) -> None:
    """One piece: until its minutes are over, or whatever comes first."""
    generator = torch.Generator().manual_seed(run.progress.seed * 7919 + run.progress.steps)
    start = last_saved = time.monotonic()
    before, first_step, first_image = run.progress.minutes, run.progress.steps, run.progress.images
    smooth: dict[str, float] = {}
    words = 0
    log = (run.folder / "log.jsonl").open("a", encoding="utf-8")
    with log:
        for batch in batches:
            done = (time.monotonic() - start) / 60 / minutes
            if done >= 1:
                break
            step = run.progress.steps - first_step
            run.set_rate(min(1.0, (step + 1) / _WARM_UP) * min(1.0, (1 - done) / _COOL_DOWN + 0.01))
            shown = run.step(batch, generator)
            words += len(batch.words.texts)
            smooth = {k: 0.95 * smooth.get(k, v) + 0.05 * v for k, v in shown.items()}
            run.progress.minutes = before + (time.monotonic() - start) / 60
            if run.progress.steps % _LOG_EVERY == 0:
                line = {"minutes": round(run.progress.minutes, 2), "steps": run.progress.steps,
                        "images": run.progress.images,
                        "a second": round((run.progress.images - first_image)
                                          / (time.monotonic() - start), 2),
                        **{k: round(v, 4) for k, v in smooth.items()}}  # fmt: skip
                print(json.dumps(line), file=log, flush=True)
                print("  ".join(f"{k} {v}" for k, v in line.items()), flush=True)
            if time.monotonic() - last_saved > 60 * save_every:
                run.save()
                last_saved = time.monotonic()
    piece: dict[str, Any] = {
        "minutes": round(run.progress.minutes - before, 2),
        "images": run.progress.images - first_image,
        "words": words,
    }
    run.progress.history.append(piece)
    run.save()


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m detector_training.train",
        description="Train the detector on drawings made on the spot, for some minutes; run again "
        "to resume.",
    )
    parser.add_argument("--out", type=Path, required=True, help="run folder; resumed if it has one")
    parser.add_argument(
        "--start",
        type=Path,
        help="an exported folder (eyesmol/weights/detector) whose weights a new run begins with",
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="length of this piece")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw; 0: none")
    parser.add_argument("--threads", type=int, default=1, help="threads of the network")
    parser.add_argument("--seed", type=int, default=0, help="of weights and samples")
    parser.add_argument("--lr", type=float, default=2e-3, help="of AdamW")
    parser.add_argument("--muon_lr", type=float, default=0.02, help="of Muon")
    parser.add_argument("--area", type=int, default=1_200_000, help="image pixels of a batch")
    parser.add_argument(
        "--words_only",
        action="store_true",
        help="teach the speller alone, many times more words a minute",
    )
    parser.add_argument("--channels", type=int, nargs=5, default=list(Shape.channels))
    return parser.parse_args(argv)


def _batches(samples: Samples, workers: int) -> Iterator[Batch]:
    yield from DataLoader(
        samples, batch_size=None, num_workers=workers, prefetch_factor=16 if workers else None
    )


def main(argv: list[str] | None = None) -> None:
    """The command."""
    args = _arguments(argv)
    torch.set_num_threads(args.threads)
    run = Run(
        args.out, Shape(channels=tuple(args.channels)), args.seed, args.lr, args.muon_lr, args.start
    )
    samples = Samples(run.progress.seed, run.progress.group, args.area, words_only=args.words_only)
    train(run, _batches(samples, args.workers), args.minutes)


if __name__ == "__main__":
    main()
