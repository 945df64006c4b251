"""Evaluation by generated answers: some rows are answered greedily and scored by a plug-in.

The plug-in is a function `score(predictions: list[str], references: list[str]) -> dict[str, float]`
that the trainer knows by its name only (`module:function`).
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import broadcast_object_list, gather_object
from transformers import GenerationConfig, PreTrainedModel

from .dataset import Sample, SampleDataset
from .errors import UserError
from .flags import Arguments
from .plugins import load_plugin, raised
from .processing import IGNORED, Processor

Score = Callable[[list[str], list[str]], dict[str, float]]

SAMPLES = "samples.jsonl"
MAX_NEW_TOKENS = 512  # of an answer, if nothing else is asked
TABLE_ROWS = 4  # answers of an evaluation that go to the table


def load_score(name: str) -> Score:
    """The function `module:function`."""
    score: Score = load_plugin(name, "--eval_score")
    return score


class GenerationEval:
    """Answers some rows and scores the answers; every process answers its part.

    So all processes are kept busy. One process alone would make the others wait in their
    next collective call, up to its time limit.

    Args:
        score: the plug-in.
        name: how messages call it.
        dataset: the evaluation data; rows are taken evenly from all of it.
        rows: how many.
        max_new_tokens: the longest answer.
        batch_size: rows answered at once by a process.
        output: the run folder; `samples.jsonl` in it shows a few answers of every evaluation.
    """

    def __init__(
        self,
        score: Score,
        name: str,
        dataset: SampleDataset,
        rows: int,
        max_new_tokens: int,
        batch_size: int,
        output: Path,
    ) -> None:
        self.score, self.name, self.dataset = score, name, dataset
        count = min(rows, len(dataset))
        self.indices = [i * len(dataset) // count for i in range(count)]
        self.max_new_tokens, self.batch_size = max_new_tokens, batch_size
        self.table = output / SAMPLES

    def run(
        self, model: PreTrainedModel, step: int, rank: int = 0, processes: int = 1
    ) -> dict[str, float]:
        """The scores of a model, alike on every process.

        Args:
            model: the model, unwrapped, in evaluation mode.
            step: the training step, for the table.
            rank: this process.
            processes: how many there are.
        """
        with untouched_random_state():
            answers = answer(
                model,
                self.dataset,
                self.indices[rank::processes],
                self.max_new_tokens,
                self.batch_size,
            )
            if processes > 1:
                parts = gather_object([answers])
                answers = [parts[i % processes][i // processes] for i in range(len(self.indices))]
            found: list[Any] = [None]
            if rank == 0:  # one process scores, so that all take the same decisions
                references = [last_answer(self.dataset, i) for i in self.indices]
                found = [self._scored(answers, references)]
                self._show(step, answers, references)
            if processes > 1:
                broadcast_object_list(found)
        if isinstance(found[0], str):
            raise UserError(found[0])
        scores: dict[str, float] = found[0]
        return scores

    def _scored(self, answers: list[str], references: list[str]) -> dict[str, float] | str:
        """The plug-in's scores, or what is wrong with them."""
        try:
            scores = self.score(list(answers), list(references))
        except Exception as error:  # a plug-in may raise anything
            return f"--eval_score {self.name}: {raised(error)}"
        try:
            return {str(key): float(value) for key, value in scores.items()}
        except (AttributeError, TypeError, ValueError):
            return f"--eval_score {self.name} returned {scores!r}, expected a dict of numbers."

    def _show(self, step: int, answers: list[str], references: list[str]) -> None:
        """Add a few answers to the table; a resumed run writes its steps again."""
        lines = []
        if self.table.is_file():
            lines = self.table.read_text(encoding="utf-8").splitlines()
            lines = [line for line in lines if json.loads(line)["step"] < step]
        for index, prediction, reference in zip(
            self.indices[:TABLE_ROWS], answers, references, strict=False
        ):
            line: dict[str, Any] = {"step": step, "row": self.dataset.numbers[index]}
            line["id"] = self.dataset.row(index).get("id")
            line |= {"prediction": prediction, "reference": reference}
            lines.append(json.dumps(line, ensure_ascii=False))
        draft = self.table.with_suffix(".tmp")
        draft.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text("\n".join(lines) + "\n", encoding="utf-8")
        draft.replace(self.table)


def last_answer(dataset: SampleDataset, index: int) -> str:
    """The true answer to a row's last question."""
    return str(dataset.row(index)["conversations"][-1]["value"])


def prompt_of(sample: Sample) -> torch.Tensor:
    """The token ids of a sample up to its last answer, just as they are trained on."""
    end = int(torch.nonzero(sample["labels"] == IGNORED).max()) + 1
    prompt: torch.Tensor = sample["input_ids"][:end]
    return prompt


def prompt_batch(samples: list[Sample], processor: Processor) -> dict[str, torch.Tensor]:
    """Prompts to one batch, filled up on the left, so that all answers begin side by side.

    Returns:
        `input_ids`, `attention_mask`, `mm_token_type_ids` [B, S], and what
        `Processor.visual_inputs` gives.
    """
    prompts = [prompt_of(sample) for sample in samples]
    size = (len(prompts), max(len(prompt) for prompt in prompts))
    ids = torch.full(size, processor.pad_token_id)
    mask = torch.zeros(size, dtype=torch.long)
    for i, prompt in enumerate(prompts):
        ids[i, -len(prompt) :], mask[i, -len(prompt) :] = prompt, 1
    types = processor.token_types(ids) * mask.int()
    batch = {"input_ids": ids, "attention_mask": mask, "mm_token_type_ids": types}
    return batch | processor.visual_inputs(samples)


@torch.no_grad()
def answer(
    model: PreTrainedModel,
    dataset: SampleDataset,
    indices: list[int],
    max_new_tokens: int,
    batch_size: int,
) -> list[str]:
    """Greedy answers to the last questions of some rows, in their order."""
    processor, answers = dataset.processor, []
    for start in range(0, len(indices), batch_size):
        samples = [dataset[i] for i in indices[start : start + batch_size]]
        batch = prompt_batch(samples, processor)
        # everything said here: the base's own settings may sample, or punish repetition
        settings = GenerationConfig(
            max_new_tokens=max_new_tokens,
            do_sample=False,
            num_beams=1,
            repetition_penalty=1.0,
            use_cache=True,
            pad_token_id=processor.pad_token_id,
            eos_token_id=end_tokens(samples, processor),
        )
        inputs = {name: tensor.to(model.device) for name, tensor in batch.items()}
        tokens = model.generate(**inputs, generation_config=settings)
        new = tokens[:, batch["input_ids"].shape[1] :]
        texts = processor.tokenizer.batch_decode(new, skip_special_tokens=True)
        answers += [text.strip() for text in texts]
    return answers


def end_tokens(samples: list[Sample], processor: Processor) -> list[int]:
    """What ends an answer: the token that ends the true ones, and the tokenizer's own."""
    ends = {int(sample["input_ids"][-1]) for sample in samples}
    return sorted(ends | {int(processor.tokenizer.eos_token_id)})


@contextmanager
def untouched_random_state() -> Iterator[None]:
    """Leave every random state as it was, whatever model and plug-in draw."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 (the global one)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


def evaluation_problems(arguments: Arguments) -> list[str]:
    """What is wrong with evaluation, by loss and by answers."""
    train, eval_path = arguments.train, arguments.data.eval_path
    problems = []
    if str(train.eval_strategy.value) != "no" and not eval_path:
        problems.append("--eval_strategy asks for evaluation, but --eval_path is missing")
    for name in ("eval_generate_rows", "eval_max_new_tokens", "early_stopping_patience"):
        value = getattr(train, name)
        if value is not None and value < 1:
            problems.append(f"--{name} {value}: expected at least 1")
        if value is not None and name.startswith("eval_") and not train.eval_score:
            problems.append(f"--{name} needs --eval_score")
    metric = (train.metric_for_best_model or "loss").removeprefix("eval_")
    if metric != "loss" and not train.eval_score:
        problems.append(
            f"--metric_for_best_model {metric}: without --eval_score there is none but loss"
        )
    if train.eval_score and not eval_path:
        problems.append("--eval_score needs --eval_path")
    if train.early_stopping_patience is not None and not train.load_best_model_at_end:
        problems.append("--early_stopping_patience needs --load_best_model_at_end true")
    return problems
