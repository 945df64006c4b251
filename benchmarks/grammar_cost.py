"""What the grammar costs a token: masks worked out along real answers, over a large vocabulary.

    python benchmarks/grammar_cost.py --tokenizer Qwen/Qwen2.5-VL-3B-Instruct --gold MOLFILES

The answers are those of the gold's drawings, each in a picture of another size, so caches that do
not carry over from one picture to the next show. A warm-up round is not counted. Beside the mask
the whole step of `GrammarGuide` (mask, comparison with the end, filling the logits) is timed on a
batch of one, and of eight.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from pathlib import Path
from typing import get_args

import torch
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from eyesmol.answer.text import AnswerForm, write_answer
from eyesmol.chem.graph import MolGraph
from eyesmol.evaluation.gold import load_gold
from eyesmol.reader.constrained_decoding import AnswerTokens, GrammarGuide, token_bytes

_MARGIN = 40  # pixels round a drawing


def main() -> int:
    """Measure and print; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--tokenizer", required=True, help="a model's, or a tokenizer.json")
    parser.add_argument(
        "--gold", type=Path, required=True, help="a dataset or a folder of molfiles"
    )
    parser.add_argument("--most", type=int, default=40, help="answers (40)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = load_tokenizer(options.tokenizer)
    rows = [row for row in load_gold(options.gold).rows if row.graph and len(row.graph.atoms) > 1]
    rows = random.Random(0).sample(rows, min(options.most, len(rows)))
    texts = token_bytes(tokenizer)
    size = max(texts) + 1
    for form in get_args(AnswerForm):
        start = time.process_time()
        tokens = AnswerTokens(texts, [size], form, size + 1)
        made = time.process_time() - start
        answers = []
        for number, row in enumerate(rows):
            graph = drawn(row.graph or MolGraph(), 30 + number % 20)
            places = [(atom.x, atom.y) for atom in graph.atoms]
            sides = [round(max(xs) + _MARGIN) for xs in zip(*places, strict=True)]
            ids = tokenizer(write_answer(graph, row.smiles, form), add_special_tokens=False)
            answers.append(((sides[0], sides[1]), ids["input_ids"]))
        first = mask_milliseconds(tokens, answers)
        second = mask_milliseconds(tokens, answers)
        step1, step8 = (step_milliseconds(tokens, answers, size + 1, batch) for batch in (1, 8))
        print(
            f"{form:<8} {size:,} tokens: grammar made in {made:.2f} s; a mask {first[0]:.2f} ms "
            f"while caches fill (slowest {first[1]:.0f}), then {second[0]:.2f} ms (median "
            f"{second[2]:.2f}, slowest {second[1]:.0f}); a step {step1:.2f} ms, of a batch of 8 "
            f"{step8:.2f} ms"
        )
    return 0


def load_tokenizer(name: str) -> PreTrainedTokenizerFast:
    """A tokenizer of a model, or a bare tokenizer.json."""
    if name.endswith(".json"):
        return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_file(name))
    loaded: PreTrainedTokenizerFast = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    return loaded


def drawn(graph: MolGraph, bond: float) -> MolGraph:
    """The graph with bonds of some pixels, a margin round it."""
    scale = bond / (graph.median_bond_length() or bond)
    left, top = min(a.x for a in graph.atoms), min(a.y for a in graph.atoms)
    return graph.transformed(scale, _MARGIN - left * scale, _MARGIN - top * scale)


_Answers = list[tuple[tuple[int, int], list[int]]]


def mask_milliseconds(tokens: AnswerTokens, answers: _Answers) -> tuple[float, float, float]:
    """Mean, longest and median time of a mask."""
    times = []
    for size, ids in answers:
        grammar = tokens.grammar(*size)
        state = grammar.start
        for number in ids:
            start = time.process_time()
            tokens.allowed(grammar, state)
            times.append((time.process_time() - start) * 1000)
            after = tokens.advance(grammar, state, number)
            assert after is not None
            state = after
    return statistics.mean(times), max(times), statistics.median(times)


def step_milliseconds(tokens: AnswerTokens, answers: _Answers, size: int, batch: int) -> float:
    """Mean time of a whole step of the guide."""
    total, steps = 0.0, 0
    for begin in range(0, len(answers) - batch + 1, batch):
        chosen = answers[begin : begin + batch]
        longest = max(len(ids) for _, ids in chosen)
        guide = GrammarGuide(tokens, [size for size, _ in chosen], 0, 4096)
        padded = torch.tensor([ids + [size - 1] * (longest - len(ids)) for _, ids in chosen])
        logits = torch.randn(batch, size)
        for length in range(longest):
            start = time.process_time()
            guide(padded[:, :length], logits)
            total, steps = total + time.process_time() - start, steps + 1
    return total * 1000 / max(steps, 1)


if __name__ == "__main__":
    sys.exit(main())
