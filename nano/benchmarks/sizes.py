"""How well a reader reads drawings of molecules that no training has seen, by their size.

    python -m nano.benchmarks.sizes                                   the embedded reader
    python -m nano.benchmarks.sizes --model runs/quickstart/merged    another one
    python -m nano.benchmarks.sizes --images IMAGES --gold MOLFILES --beside osra.jsonl

For each size, held-out molecules are invented and drawn: clean, half of them at the reader's own
size and half at others; by RDKit as people use it (`MolToImage`, 300 x 300 pixels, in colour); in
varied styles. With ``--images`` real drawings are read, too, and scored beside the predictions of
other tools. Pictures and answers stay in the folder ``--out``.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from rdkit import Chem
from rdkit.Chem import Draw
from tqdm import tqdm
from transformers.utils import logging

from data_preprocess.build.online import Drawings, store
from eyesmol.evaluation.gold import load_gold
from eyesmol.evaluation.metrics import Evaluation, evaluate, load_predictions
from eyesmol.image.loading import list_pictures
from eyesmol.outputs import write_as
from eyesmol.reader.local import LocalRecognizer
from eyesmol.reader.options import ReadOptions

_LONGEST = 600  # tokens: more than most molecules of patents take
SIZES = ((2, 6), (7, 8), (9, 10), (11, 13), (14, 16), (17, 20), (21, 30))


def main() -> int:
    """Draw, read, score; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--model", default="nano", help="a model folder (nano)")
    parser.add_argument(
        "--each", type=int, default=200, help="pictures of each size and kind (200)"
    )
    parser.add_argument("--most", type=int, default=30, help="heavy atoms (30)")
    parser.add_argument("--looks", type=int, help="at each picture (as the model's folder says)")
    parser.add_argument("--images", type=Path, help="a folder of real drawings")
    parser.add_argument("--gold", type=Path, help="their truth: as for eyesmol evaluate")
    parser.add_argument("--beside", type=Path, nargs="*", default=[], help="others' predictions")
    parser.add_argument("--out", type=Path, default=Path("runs/nano_scores"), help="a folder")
    options = parser.parse_args()
    logging.disable_progress_bar()
    reader = LocalRecognizer.from_folder(options.model, options=ReadOptions(views=options.looks))
    side = math.isqrt(reader.frame.max_pixels)
    kinds = {"clean": 0.0, "RDKit's own": 0.0, "varied styles": 1.0}
    print(f"exact match (%, 95 % interval) of {options.model}, {options.each} pictures each, "
          f"{reader.options.views} views of each\n")  # fmt: skip
    print(f"| heavy atoms | molecules | {' | '.join(kinds)} | seconds a picture |")
    print(f"|---|---|{'---|' * len(kinds)}---|", flush=True)
    for least, most in (size for size in SIZES if size[0] <= options.most):
        cells, seconds, molecules = [], [], 0
        for kind, varied in kinds.items():
            folder = options.out / f"{kind.replace(' ', '_').replace(chr(39), '')}_{least}_{most}"
            gold = drawn(folder, options.each, (least, most), varied, side)
            if kind == "RDKit's own":
                redraw(folder, gold)
            found, took = read(reader, gold, folder)
            cells.append(exact(found))
            seconds.append(took)
            molecules = len({row.gold.smiles for row in found.rows})
        mean = sum(seconds) / len(seconds)
        line = [f"{least} to {most}", str(molecules), *cells, f"{mean:.3f}"]
        print(f"| {' | '.join(line)} |", flush=True)
    if options.images:
        real(reader, options.images, options.gold, options.beside, options.out)
    return 0


def drawn(folder: Path, count: int, size: tuple[int, int], varied: float, side: int) -> Path:
    """A gold file of held-out molecules of these sizes, drawn unless they are there."""
    file = folder / "gold.json"
    if not file.exists():
        least, most = size
        mean = (least + most) / 2
        rows = Drawings(
            count, seed=99, side=side, varied=varied, shrunk=0.5, least=least, most=most,
            mean=mean, spread=mean, part="held_out",
        )  # fmt: skip
        store(rows, folder, "gold")
    return file


def redraw(folder: Path, gold: Path) -> None:
    """Put RDKit's own picture of each molecule in place of ours."""
    for row in load_gold(gold).rows:
        picture: Image.Image = Draw.MolToImage(Chem.MolFromSmiles(row.smiles), size=(300, 300))
        picture.save(folder / row.image)


def read(reader: LocalRecognizer, gold_file: Path, folder: Path) -> tuple[Evaluation, float]:
    """Scores, and seconds a picture, one by one as a person would wait for it."""
    gold = load_gold(gold_file)
    paths = [folder / row.image for row in gold.rows]
    begun = time.perf_counter()
    results = list(
        tqdm(
            reader.recognize(paths[:20], batch_size=1, max_new_tokens=_LONGEST),
            total=20,
            leave=False,
        )
    )
    seconds = (time.perf_counter() - begun) / min(20, len(paths))
    results += tqdm(
        reader.recognize(paths[20:], batch_size=16, max_new_tokens=_LONGEST),
        total=len(paths[20:]),
        leave=False,
    )
    write_as(folder / "predictions.jsonl", (found.to_dict() for found in results))
    mine = load_predictions(folder / "predictions.jsonl")
    return evaluate(gold, mine, name=folder.name), seconds


def exact(found: Evaluation) -> str:
    """Exact match with its interval, as a table's cell."""
    share = found.shares()["exact"]
    return f"{100 * share.value:.1f} ({100 * share.low:.0f} to {100 * share.high:.0f})"


def real(
    reader: LocalRecognizer, images: Path, gold_file: Path, beside: Sequence[Path], out: Path
) -> None:
    """Real drawings, read and scored in one table with what others read of them."""
    gold = load_gold(gold_file)
    paths = list(list_pictures(str(images)))
    answers = reader.recognize(paths, batch_size=16, max_new_tokens=_LONGEST)
    results = tqdm(answers, total=len(paths), leave=False)
    mine = out / "real.jsonl"
    write_as(mine, (found.to_dict() for found in results))
    print(f"\n{len(paths)} real drawings:\n")
    for file in (mine, *beside):
        found = evaluate(gold, load_predictions(file), name=file.stem)
        print(found.table(), end="\n\n")


if __name__ == "__main__":
    sys.exit(main())
