"""How fast pictures are read: batches against one by one, the grammar on against off, and the
lengths of the two answer forms. All that is compared is measured in turns in one run, so that a
busy machine slows both sides alike.

    python benchmarks/read_speed.py --model runs/quickstart/merged \\
        --pictures runs/quickstart/held_out/images --gold runs/quickstart/held_out/gold.json

With ``--tokenizer`` the lengths are counted in another model's tokens, such as Qwen's.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from transformers import AutoTokenizer
from transformers.utils import logging

from eyesmol.answer.text import write_answer
from eyesmol.chem.graph import MolGraph
from eyesmol.evaluation.gold import load_gold
from eyesmol.reader.local import LocalRecognizer


def main() -> int:
    """Measure and print; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--model", type=Path, required=True, help="a merged model")
    parser.add_argument("--pictures", type=Path, required=True, help="a folder of pictures")
    parser.add_argument("--gold", type=Path, help="a dataset or folder of molfiles, for lengths")
    parser.add_argument("--tokenizer", help="whose tokens to count (the model's)")
    parser.add_argument("--most", type=int, default=96, help="pictures to read (96)")
    parser.add_argument("--batch-size", type=int, default=16, help="pictures at a time (16)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each measurement (5)")
    options = parser.parse_args()
    logging.disable_progress_bar()
    pictures = sorted(path for path in options.pictures.iterdir() if path.is_file())[: options.most]
    reader = LocalRecognizer.from_folder(options.model)
    print(f"{len(pictures)} pictures, {options.rounds} rounds, seconds are medians\n")
    compare_reading(reader, pictures, options.batch_size, options.rounds)
    if options.gold:
        compare_lengths(options.gold, options.tokenizer or str(options.model))
    return 0


def compare_reading(
    reader: LocalRecognizer, pictures: list[Path], batch_size: int, rounds: int
) -> None:
    """Times of reading, and their ratios."""

    def reading(size: int, *, grammar: bool, whole_window: bool = True) -> Callable[[], None]:
        def read() -> None:
            # A call for each batch leaves nothing to sort.
            step = len(pictures) if whole_window else size
            for begin in range(0, len(pictures), step):
                chunk = pictures[begin : begin + step]
                list(reader.recognize(chunk, batch_size=size, grammar=grammar))

        return read

    one, batched = "one by one", f"batches of {batch_size}"
    in_order, guided = f"{batched}, in the order given", f"{batched}, grammar"
    seconds = in_turns(
        {
            one: reading(1, grammar=False),
            in_order: reading(batch_size, grammar=False, whole_window=False),
            batched: reading(batch_size, grammar=False),
            guided: reading(batch_size, grammar=True),
        },
        rounds,
    )
    width = max(map(len, seconds))
    for name, times in seconds.items():
        median = statistics.median(times)
        print(f"  {name:<{width}}  {median:7.2f} s   {len(pictures) / median:7.1f} pictures/s")
    print(f"\n  batched against one by one:    {ratio(seconds, one, batched):.2f} times as fast")
    print(f"  sorted against in order:       {ratio(seconds, in_order, batched):.2f} times as fast")
    slower = ratio(seconds, guided, batched) - 1
    print(f"  with the grammar:              {slower:+.1%} time\n")


def in_turns(tasks: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each task in each round, after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for count in range(rounds + 1):
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            if count:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(seconds: dict[str, list[float]], first: str, second: str) -> float:
    """How many times as long the first takes: the median over rounds of the ratio within one."""
    return statistics.median(a / b for a, b in zip(seconds[first], seconds[second], strict=True))


def compare_lengths(gold: Path, tokenizer_name: str) -> None:
    """Tokens of the same molecules in both answer forms."""
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_name, trust_remote_code=False)
    tokens = {"json": 0, "compact": 0}
    molecules = atoms = 0
    for row in load_gold(gold).rows:
        if row.graph is None:
            continue
        graph = drawn(row.graph)
        molecules, atoms = molecules + 1, atoms + len(graph.atoms)
        tokens["json"] += len(tokenizer(write_answer(graph, row.smiles, "json"))["input_ids"])
        tokens["compact"] += len(tokenizer(write_answer(graph, row.smiles, "compact"))["input_ids"])
    if not molecules:
        print(f"  {gold}: no gold row has a graph")
        return
    print(f"  tokens an atom, {molecules} molecules of {atoms / molecules:.1f} atoms:")
    for form, count in tokens.items():
        print(f"    {form:<8} {count / atoms:5.1f}")
    print(f"    json needs {tokens['json'] / tokens['compact']:.2f} times as many")


def drawn(graph: MolGraph) -> MolGraph:
    """The graph as large as in a usual picture: bonds of 40 pixels, from a corner at (40, 40)."""
    scale = 40 / (graph.median_bond_length() or 40)
    left, top = min(a.x for a in graph.atoms), min(a.y for a in graph.atoms)
    return graph.transformed(scale, 40 - left * scale, 40 - top * scale)


if __name__ == "__main__":
    sys.exit(main())
