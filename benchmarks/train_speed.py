"""Training speed: packed against padded, grouped by length, and one sample at a time, in one run.

    python benchmarks/train_speed.py --molfiles MOLFILES
    python benchmarks/train_speed.py                      # drawn small molecules instead

Every way trains the same rows (pictures and chain-of-thought answers) on a small model with random
weights: forward, backward and optimizer step, samples decoded beforehand. ``stock`` is a padded
batch with the attention of transformers, which takes pictures one by one, and its loss; the others
have the trainer's own. Each lives in a process of its own, so that peaks of memory can be told
apart; they take turns, so that a busy machine slows them all alike. Shown are the medians over the
rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "Qwen2-VL-Finetune" / "src")]

WAYS = ("stock", "one at a time", "padded", "grouped", "packed")


@dataclass
class Pass:
    """One pass over all rows.

    Attributes:
        seconds: of all its steps.
        real: tokens that belong to a sample.
        computed: tokens that went through the model.
        peak: bytes of memory at the highest, less those before the first step.
    """

    seconds: float
    real: int
    computed: int
    peak: int


# ---- rows ----


def molecules(folder: Path | None, rows: int) -> list[tuple[Any, str]]:
    """Graphs and SMILES: of a folder's molfiles in random order, or of small molecules."""
    from data_preprocess.drawing.render import RenderError, render
    from data_preprocess.sources.small_molecules import small_molecules
    from eyesmol.chem.molfile import parse_molblock, read_molblock
    from eyesmol.chem.smiles import molblock_to_smiles

    found: list[tuple[Any, str]] = []
    if folder is None:
        names = list(small_molecules(5))
        for smiles in random.Random(0).sample(names, min(rows, len(names))):
            try:
                found.append((render(smiles, (112, 112)).graph, smiles))
            except RenderError:
                continue
        return found
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".mol")
    random.Random(0).shuffle(paths)
    for path in paths:
        if len(found) == rows:
            break
        try:
            block = read_molblock(path)
            found.append((parse_molblock(block), molblock_to_smiles(block)))
        except ValueError:  # a molfile that RDKit refuses trains nobody
            continue
    return found


def write_data(options: argparse.Namespace, folder: Path) -> None:
    """A model folder and a LLaVA JSON whose answers have the lengths of real ones."""
    from PIL import Image

    from eyesmol.answer.text import prompt, write_answer
    from eyesmol.image.pixel_frame import PixelFrame
    from nano.model import create_nano

    side = options.side
    (folder / "images").mkdir()
    rows, answers = [], []
    for number, (graph, smiles) in enumerate(molecules(options.molfiles, options.rows)):
        places = [(abs(atom.x) * 20 % side, abs(atom.y) * 20 % side) for atom in graph.atoms]
        answers.append(write_answer(graph.placed(places), smiles, options.form))
        image = f"images/{number}.png"
        Image.effect_noise((side, side), 60).save(folder / image)
        turns = [
            {"from": "human", "value": "<image>\n" + prompt(options.form)},
            {"from": "gpt", "value": answers[-1]},
        ]
        rows.append({"id": str(number), "image": image, "conversations": turns})
    (folder / "train.json").write_text(json.dumps(rows), "utf-8")
    frame = PixelFrame(side * side, side * side)
    create_nano(
        folder / "model", width=options.width, layers=options.layers, frame=frame, texts=answers
    )


# ---- one way to train ----


class Trainee:
    """A model, its optimizer, and the batches of one way to train; lives in its own process."""

    def __init__(self, way: str, folder: Path, batch: int, device: str) -> None:
        import torch
        from qwen_vl_finetune.attention import register, speed_up_vision
        from qwen_vl_finetune.collator import Collator
        from qwen_vl_finetune.dataset import LlavaDataset
        from qwen_vl_finetune.label_loss import lean_loss
        from qwen_vl_finetune.model import load_checked
        from qwen_vl_finetune.packing import PackCollator
        from qwen_vl_finetune.processing import load_processor

        torch.set_num_threads(1)
        self.device, dtype = device, torch.bfloat16 if device == "cuda" else torch.float32
        processor = load_processor(folder / "model")
        data = LlavaDataset(folder / "train.json", folder, processor, cache=True)
        data.fill_cache()
        self.samples = [data[i] for i in range(len(data))]
        self.lengths = data.lengths()
        self.batches = batches_of(way, self.lengths, batch)
        self.collate = PackCollator(processor) if way == "packed" else Collator(processor)
        attention = "sdpa" if way == "stock" else register()
        model = load_checked(folder / "model", dtype=dtype, attn_implementation=attention)
        if way != "stock":
            speed_up_vision(model)
            lean_loss(model)
        self.model: Any = model.to(device).train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-5)
        self.step(self.batches[0][:1])  # optimizer state and libraries are there before we look

    def step(self, indices: list[int]) -> int:
        """Train on some samples at once; returns how many tokens were computed."""
        batch = self.collate([self.samples[i] for i in indices])
        batch = {
            name: value.to(self.device) if hasattr(value, "to") else value
            for name, value in batch.items()
        }
        self.model(**batch, use_cache=False).loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return int(batch["input_ids"].numel())

    def run(self) -> Pass:
        """One pass over all rows."""
        before = peak_memory(self.device)
        start = time.perf_counter()
        computed = sum(self.step(batch) for batch in self.batches)
        if self.device == "cuda":
            import torch

            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
        return Pass(seconds, sum(self.lengths), computed, peak_memory(self.device) - before)


def batches_of(way: str, lengths: list[int], batch: int) -> list[list[int]]:
    """The batches of one pass, as the trainer's samplers make them."""
    import torch
    from qwen_vl_finetune.packing import make_packs
    from transformers.trainer_pt_utils import LengthGroupedSampler

    if way == "packed":  # as many real tokens at once as a padded batch holds on average
        return make_packs(lengths, max(max(lengths), batch * sum(lengths) // len(lengths)), seed=0)
    order = list(range(len(lengths)))
    random.Random(0).shuffle(order)
    if way == "grouped":
        seeded = torch.Generator().manual_seed(0)
        order = list(LengthGroupedSampler(batch, lengths=lengths, generator=seeded))
    size = 1 if way == "one at a time" else batch
    return [order[i : i + size] for i in range(0, len(order), size)]


def peak_memory(device: str) -> int:
    """Bytes of memory at the highest so far."""
    if device == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated())
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


_trainee: Trainee | None = None


def set_up(way: str, folder: Path, batch: int, device: str) -> None:
    """Prepare this process for one way to train."""
    global _trainee
    _trainee = Trainee(way, folder, batch, device)


def run_pass() -> Pass:
    """One pass in this process."""
    assert _trainee is not None
    return _trainee.run()


# ---- side by side ----


def measure(options: argparse.Namespace, folder: Path) -> dict[str, list[Pass]]:
    """The passes of every way, which take turns."""
    context = get_context("spawn")
    workers = {
        way: ProcessPoolExecutor(
            1, context, set_up, (way, folder, options.batch, options.device)
        )
        for way in WAYS
    }  # fmt: skip
    passes: dict[str, list[Pass]] = {way: [] for way in WAYS}
    try:
        for number in range(options.rounds):
            for way, worker in workers.items():
                passes[way].append(worker.submit(run_pass).result())
            print(f"round {number + 1} of {options.rounds}", flush=True)
    finally:
        for worker in workers.values():
            worker.shutdown()
    return passes


def table(passes: dict[str, list[Pass]]) -> str:
    """Medians over the rounds, and ratios against padded batches."""
    seconds = {way: statistics.median(p.seconds for p in found) for way, found in passes.items()}
    lines = [
        f"{'way':<15}{'real tokens/s':>15}{'against padded':>16}{'padding':>9}{'peak memory':>13}"
        f"{'against padded':>16}"
    ]
    for way, found in passes.items():
        first = found[0]  # later rounds never rise above the first one's peak by much
        ratios = [a.seconds / b.seconds for a, b in zip(passes["padded"], found, strict=True)]
        lines.append(
            f"{way:<15}{first.real / seconds[way]:>15,.0f}{statistics.median(ratios):>15.2f}x"
            f"{1 - first.real / first.computed:>9.0%}{first.peak / 2**20:>9,.0f} MiB"
            f"{first.peak / passes['padded'][0].peak:>15.2f}x"
        )
    return "\n".join(lines)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=str(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--molfiles", type=Path, help="folder of molfiles, for real lengths")
    parser.add_argument("--rows", type=int, default=96, help="samples to train on (96)")
    parser.add_argument("--rounds", type=int, default=3, help="passes of each way (3)")
    parser.add_argument("--batch", type=int, default=8, help="samples in a padded batch (8)")
    parser.add_argument("--form", choices=("json", "compact"), default="compact",
                        help="of the answers (compact)")  # fmt: skip
    parser.add_argument("--side", type=int, default=224, help="of a picture, in pixels (224)")
    parser.add_argument("--width", type=int, default=96, help="of the model (96)")
    parser.add_argument("--layers", type=int, default=3, help="of the model (3)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(cpu)")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    options = parse()
    with tempfile.TemporaryDirectory() as name:
        os.environ["HF_HOME"] = str(Path(name) / "home")  # the rows are kept there
        write_data(options, Path(name))
        passes = measure(options, Path(name))
    source = options.molfiles.name if options.molfiles else "small molecules"
    print(f"{options.rows} rows of {source}, {options.form} answers, batches of {options.batch}")
    print(table(passes))


if __name__ == "__main__":
    main()
