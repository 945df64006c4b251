"""The detector and a vision-language model on the same images: drafts, and second opinions.

    python benchmarks/two_readers.py --small 40
    python benchmarks/two_readers.py --model runs/cot/merged --images DIR --smiles TABLE --limit 40

The first table reads with the model alone, with the detector's drafts verified exactly, and with
near coordinates kept: forward passes, tokens, seconds of the CPU (the detector's included), answers
that are the plain one, and images read right. The second tells who is right where the two readers
agree and where they differ, and how often the one that `eyesmol.reader.second_opinion` takes is.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from data_preprocess.drawing.render import render
from data_preprocess.sources.images_and_smiles import ImagesWithSmiles
from data_preprocess.sources.small_molecules import small_molecules
from eyesmol.chem.smiles import canonical_smiles
from eyesmol.reader.base import Recognizer
from eyesmol.reader.draft_decoding import DraftCounts
from eyesmol.reader.local import LocalRecognizer
from eyesmol.reader.second_opinion import both_read
from eyesmol.recognition import Recognition

_SMALL = (112, 112)  # what nano is trained on


@dataclass(frozen=True)
class Known:
    """An image and the molecule that it shows, canonical."""

    image: Image.Image
    smiles: str


def small(count: int, seed: int) -> list[Known]:
    """Small molecules, drawn."""
    molecules = list(small_molecules(5))
    random.Random(seed).shuffle(molecules)
    drawings = (render(smiles, _SMALL, seed=seed + n) for n, smiles in enumerate(molecules[:count]))
    return [Known(drawing.image, drawing.smiles) for drawing in drawings]


def of_table(images: Path, table: Path, count: int | None, seed: int) -> list[Known]:
    """Images whose molecules a table names."""
    items = [item for item in ImagesWithSmiles(images, table).items() if not item.problem]
    random.Random(seed).shuffle(items)
    known = []
    for item in items[:count]:
        assert isinstance(item.image, Path)
        smiles = canonical_smiles(item.smiles or "")
        if smiles:
            with Image.open(item.image) as image:
                known.append(Known(image.copy(), smiles))
    return known


def read(reader: Recognizer, known: Sequence[Known], **options: Any) -> list[Recognition]:
    """Whole images, whatever they show."""
    images = [one.image for one in known]
    return list(reader.recognize(images, pages=False, any_image=True, **options))


def right(results: Sequence[Recognition], known: Sequence[Known]) -> list[bool]:
    """Stereo included."""
    return [r.smiles == one.smiles for r, one in zip(results, known, strict=True)]


def compare_drafts(reader: LocalRecognizer, known: Sequence[Known], batch_size: int) -> None:
    """Print the first table; see above."""
    ways: dict[str, dict[str, Any]] = {
        "plain": {},
        "draft, exact": {"draft": "detector", "draft_tolerance": 0},
        "draft, 3 pixels": {"draft": "detector", "draft_tolerance": 3},
    }
    print("| way | forward passes an image | tokens an image | accepted, % | kept, % | "
          "CPU s an image | as plain | right |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    plain: list[str] = []
    read(reader, known[:1], views=1, draft="detector")  # both are loaded, the grammar is made
    for name, options in ways.items():
        reader.draft_counts = counts = DraftCounts()
        passes = _Passes(reader)
        start = time.process_time()
        results = read(reader, known, views=1, batch_size=batch_size, **options)
        seconds = (time.process_time() - start) / len(known)
        passes.remove()
        answers = [result.answer for result in results]
        plain = plain or answers
        same = sum(a == b for a, b in zip(answers, plain, strict=True))
        written = counts.tokens or sum(len(reader._tokenizer(a).input_ids) + 1 for a in answers)
        print(f"| {name} | {passes.count / len(known):.1f} | {written / len(known):.1f} | "
              f"{100 * counts.accepted / written:.0f} | {100 * counts.kept / written:.0f} | "
              f"{seconds:.3f} | {same} of {len(known)} | {sum(right(results, known))} |",
              flush=True)  # fmt: skip


class _Passes:
    """Counts the forward passes of a reader's model."""

    def __init__(self, reader: LocalRecognizer) -> None:
        self.count = 0
        self._hook = reader._model.register_forward_pre_hook(self._one_more)

    def _one_more(self, *_: object) -> None:
        self.count += 1

    def remove(self) -> None:
        """Count no more."""
        self._hook.remove()


def compare_opinions(model: Recognizer, detector: Recognizer, known: Sequence[Known]) -> None:
    """Print the second table; see above."""
    first, second = read(model, known), read(detector, known)
    both = [both_read(a, b) for a, b in zip(first, second, strict=True)]
    table: Counter[tuple[str, str]] = Counter()
    for a, b, a_right, b_right in zip(
        first, second, right(first, known), right(second, known), strict=True
    ):
        how = "agree" if a.smiles == b.smiles else "differ"
        names = {(True, True): "both", (True, False): "the model", (False, True): "the detector"}
        table[how, names.get((a_right, b_right), "neither")] += 1
    for (how, who), count in sorted(table.items()):
        print(f"they {how}, right: {who}: {count}")
    for name, results in (("the model", first), ("the detector", second), ("both", both)):
        good = right(results, known)
        error = [((r.confidence or 0) - g) ** 2 for r, g in zip(results, good, strict=True)]
        print(f"{name}: {sum(good)} of {len(known)} right, Brier score of the confidence "
              f"{sum(error) / len(error):.3f}")  # fmt: skip


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="nano", help="a vision-language model (nano)")
    parser.add_argument("--small", type=int, metavar="N", help="small molecules, drawn")
    parser.add_argument("--images", type=Path)
    parser.add_argument("--smiles", type=Path, help="table with the columns image and SMILES")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=["drafts", "opinions"])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.small:
        known = small(options.small, options.seed)
    elif options.images and options.smiles:
        known = of_table(options.images, options.smiles, options.limit, options.seed)
    else:
        parser.error("give --small N, or --images DIR with --smiles TABLE")
    model = Recognizer.from_pretrained(options.model)
    if not isinstance(model, LocalRecognizer):
        parser.error(f"--model {options.model}: expected a vision-language model")
    print(f"{options.model}, {len(known)} images")
    if options.only != "opinions":
        compare_drafts(model, known, options.batch_size)
    if options.only != "drafts":
        compare_opinions(model, Recognizer.from_pretrained("detector"), known)


if __name__ == "__main__":
    main()
