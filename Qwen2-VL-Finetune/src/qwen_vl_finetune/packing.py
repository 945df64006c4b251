"""Padding-free packing: samples laid end to end up to a token budget, none seeing its neighbours.

A pack is one row. The text positions of each sample start at 0 again, and there is no attention
mask: from the restarts transformers finds where a sample begins, for sdpa (a block-diagonal mask)
and for FlashAttention (cumulative lengths) alike. An all-ones mask would let samples see each other
without a word, and so would three rows of positions instead of four.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from accelerate.data_loader import SeedableRandomSampler
from torch.utils.data import Sampler
from transformers.utils import generic

from .collator import Collator
from .dataset import Sample
from .flags import Arguments
from .processing import IGNORED

Pack = list[int]

# from 5.2x on transformers gives these to the language model alone; before, the vision tower took
# them for the borders of its images
TELLS_BORDERS = hasattr(generic, "_FLASH_VARLEN_KWARGS")

WINDOW = (
    512  # samples packed together, at least; best fit over all of them would sort packs by length
)


def make_packs(lengths: Sequence[int], budget: int, seed: int, processes: int = 1) -> list[Pack]:
    """Distribute shuffled samples over packs of at most `budget` tokens, each sample in one pack.

    Packs are made once a run. An epoch only changes their order, so its number of steps is known
    beforehand and a resumed run finds where it was.

    Args:
        lengths: tokens of each sample.
        budget: the most tokens in a pack; a longer sample has a pack of its own.
        seed: of the shuffle.
        processes: the number of packs becomes a multiple of it.

    Returns:
        Indices of samples, a list a pack.
    """
    order = torch.randperm(len(lengths), generator=torch.Generator().manual_seed(seed)).tolist()
    windows = max(1, len(order) // WINDOW)  # even ones: a small rest would make a half-empty pack
    cuts = [len(order) * i // windows for i in range(windows + 1)]
    packs: list[Pack] = []
    for start, end in itertools.pairwise(cuts):
        packs += _best_fit(order[start:end], lengths, budget)
    return _even(packs, processes)


def _best_fit(indices: list[int], lengths: Sequence[int], budget: int) -> list[Pack]:
    """Best fit decreasing: longest first, each into the fullest pack that still takes it."""
    packs: list[Pack] = []
    free: list[tuple[int, int]] = []  # (tokens left, which pack), sorted
    for index in sorted(indices, key=lambda i: -lengths[i]):
        fullest = bisect.bisect_left(free, (lengths[index], 0))
        if fullest == len(free):
            left, number = budget, len(packs)
            packs.append([])
        else:
            left, number = free.pop(fullest)
        packs[number].append(index)
        bisect.insort(free, (left - lengths[index], number))
    return packs


def _even(packs: list[Pack], processes: int) -> list[Pack]:
    """As many packs for every process: split some; where none can be split, repeat some."""
    packs = list(packs)
    while len(packs) % processes:
        most = max(packs, key=len)
        if len(most) == 1:
            return packs + [packs[i % len(packs)] for i in range(-len(packs) % processes)]
        packs.remove(most)
        packs += [most[::2], most[1::2]]
    return packs


class PackSampler(Sampler[Pack]):
    """A batch sampler that gives one process its packs, in an order that changes by epoch.

    Args:
        packs: as made by `make_packs`, alike on every process.
        seed: of the order; the epoch is added to it.
        rank: this process.
        processes: how many there are; `len(packs)` is a multiple of it.
    """

    def __init__(self, packs: list[Pack], seed: int, rank: int = 0, processes: int = 1) -> None:
        self.packs, self.rank, self.processes = packs, rank, processes
        # a data loader looks for `sampler` to tell it the epoch
        self.sampler = SeedableRandomSampler(packs, generator=torch.Generator(), data_seed=seed)

    def __iter__(self) -> Iterator[Pack]:
        order = list(self.sampler)[self.rank :: self.processes]
        return (self.packs[number] for number in order)

    def __len__(self) -> int:
        return len(self.packs) // self.processes


class PackCollator(Collator):
    """Samples to one packed row, without padding and without an attention mask."""

    def lay_out(self, samples: list[Sample]) -> dict[str, Any]:
        """Lay samples end to end.

        Returns:
            `input_ids`, `labels`, `mm_token_type_ids` [1, S] and `position_ids` [4, 1, S]: text
            positions, then M-RoPE (time, height, width), all starting at 0 in every sample. Where
            transformers keeps them from the vision tower, also where each sample begins, as
            FlashAttention takes it: else every layer would find it anew.
        """
        ids = torch.cat([sample["input_ids"] for sample in samples])
        # nothing is asked of a sample's first token: what comes before it is another sample
        labels = [sample["labels"].clone() for sample in samples]
        for label in labels:
            label[0] = IGNORED
        positions = [
            torch.cat([torch.arange(len(sample["input_ids"]))[None], sample["position_ids"]])
            for sample in samples
        ]
        return {
            "input_ids": ids[None],
            "labels": torch.cat(labels)[None],
            "mm_token_type_ids": self.processor.token_types(ids)[None],
            "position_ids": torch.cat(positions, dim=1)[:, None],
            **(_borders(samples) if TELLS_BORDERS else {}),
        }


def _borders(samples: list[Sample]) -> dict[str, Any]:
    """Where each sample of a pack begins, and the length of the longest."""
    lengths = [len(sample["input_ids"]) for sample in samples]
    starts = torch.tensor([0, *itertools.accumulate(lengths)], dtype=torch.int32)
    longest = max(lengths)
    return {
        "cu_seq_lens_q": starts,
        "cu_seq_lens_k": starts,
        "max_length_q": longest,
        "max_length_k": longest,
    }


def packing_problems(arguments: Arguments) -> list[str]:
    """What does not go together with packing."""
    data = arguments.data
    if not data.packing:
        return ["--tokens_per_batch needs --packing true"] if data.tokens_per_batch else []
    problems = []
    if data.tokens_per_batch is not None and data.tokens_per_batch < 1:
        problems.append(f"--tokens_per_batch {data.tokens_per_batch}: expected at least 1")
    if arguments.sampling != "random":
        problems.append(
            f"--train_sampling_strategy {arguments.sampling} with --packing: packs have one order, "
            "random"
        )
    if arguments.train.dataloader_drop_last:
        problems.append("--dataloader_drop_last with --packing: every process has as many packs")
    return problems
