"""GRPO: rewards see the right texts, the reward rises, and the run is one that the tools take."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from qwen_vl_finetune.adapters import ADAPTER, TRAINED, adapter_of
from qwen_vl_finetune.dataset import LlavaDataset
from qwen_vl_finetune.errors import UserError
from qwen_vl_finetune.grpo import (
    GrpoTrainer,
    ImageOnlyProcessor,
    Prompts,
    Reference,
    SpreadWatch,
    main,
)
from qwen_vl_finetune.merge import merge
from qwen_vl_finetune.processing import load_processor, mrope_positions
from safetensors.torch import load_file
from transformers import TrainerCallback

from .conftest import FROZEN_MERGER, LORA, Train, make_rows, write_rows

Calls = list[tuple[list[str], list[str]]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """A module `rewards_here` with two rewards; what they were called with."""
    seen: Calls = []

    def two(answers: list[str], references: list[str]) -> list[float]:
        seen.append((answers, references))
        return [float("2" in answer) for answer in answers]

    def nothing(answers: list[str], references: list[str]) -> list[float | None]:
        return [None] * len(answers)

    module = ModuleType("rewards_here")

    def broken(answers: list[str], references: list[str]) -> list[float]:
        raise LookupError("no such reward")

    module.__dict__.update(two=two, nothing=nothing, broken=broken)
    monkeypatch.setitem(sys.modules, "rewards_here", module)
    return seen


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of which the even ones have a SMILES of their own."""
    folder = tmp_path_factory.mktemp("mixed")
    rows = make_rows(folder)
    for i in range(0, len(rows), 2):
        rows[i]["smiles"] = "C" * (i + 1)
    return write_rows(folder, rows)


def grpo(model: Path, rows: Path, output: Path, *flags: str) -> Path:
    words = [
        *("--model_id", str(model), "--data_path", str(rows), "--output_dir", str(output)),
        *("--reward", "rewards_here:two", "--num_generations", "8"),
        *("--per_device_train_batch_size", "16", "--max_completion_length", "8"),
        *("--learning_rate", "1e-2", "--lr_scheduler_type", "constant", "--logging_steps", "1"),
        *("--use_cpu", "true", "--save_strategy", "no", "--report_to", "none"),
        *("--disable_tqdm", "true", *LORA, *flags),
    ]
    assert main(words) == 0
    return output


@pytest.fixture(scope="module")
def answering(train: Train, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that answers `at N, 8`: one of random weights is too even to be swayed."""
    return train(
        tmp_path_factory.mktemp("models") / "answering",
        "--optim_muon", "true", "--muon_lr", "1e-2",
        "--per_device_train_batch_size", "8", "--max_steps", "80", "--cache_samples", "true",
    )  # fmt: skip


def test_reward_rises_and_the_stack_merges(
    answering: Path, mixed: Path, train: Train, calls: Calls, tmp_path: Path
) -> None:
    """An adapter on a frozen one learns what pays; the merge equals what was trained."""
    first = train(tmp_path / "first", *LORA, *FROZEN_MERGER, model=answering)
    before = (first / ADAPTER).read_bytes()
    run = grpo(
        answering, mixed, tmp_path / "run", "--first_lora_path", str(first), "--max_steps", "30"
    )

    rows = json.loads(mixed.read_text())
    wanted = {row.get("smiles", row["conversations"][1]["value"]) for row in rows}
    assert {reference for _, references in calls for reference in references} == wanted
    for answers, references in calls:
        assert len(answers) == len(references) == 16
        assert len(set(references[:8])) == len(set(references[8:])) == 1, "groups were torn apart"
        assert not any("<|" in answer or "Where is it?" in answer for answer in answers)

    history = json.loads((run / "trainer_state.json").read_text())["log_history"]
    rewards = [entry["reward"] for entry in history if "reward" in entry]
    assert sum(rewards[-5:]) / 5 > sum(rewards[:5]) / 5 + 0.2

    assert (first / ADAPTER).read_bytes() == before
    trained = load_file(run / ADAPTER)
    assert all(value.any() for name, value in trained.items() if "lora_B" in name)
    merge(str(answering), [first, run], tmp_path / "merged", verify=True, tol=None)


def test_likelihoods_are_those_of_training(
    nano: Path, data: Path, calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What TRL computes for a batch equals our forward of each sample at our M-RoPE positions."""
    stock = GrpoTrainer._get_per_token_logps_and_entropies
    worst: list[float] = []

    def check(
        self: GrpoTrainer, model: Any, ids: torch.Tensor, mask: torch.Tensor, keep: int, **more: Any
    ) -> Any:
        found = stock(self, model, ids, mask, keep, **more)
        patches = more["pixel_values"].chunk(len(ids))  # images of one size
        for i, (row, real) in enumerate(zip(ids, mask.bool(), strict=True)):
            row, grid = row[real], more["image_grid_thw"][i : i + 1]
            positions = mrope_positions(
                (row == model.config.image_token_id).numpy(), [tuple(grid[0].tolist())], merge=2
            )
            with torch.no_grad():
                logits = model(
                    input_ids=row[None], position_ids=torch.from_numpy(positions)[:, None],
                    attention_mask=torch.ones_like(row)[None], pixel_values=patches[i],
                    image_grid_thw=grid,
                ).logits  # fmt: skip
            ours = logits[0, :-1].log_softmax(-1).gather(-1, row[1:, None])[:, 0]
            answered = int(real[-keep:].sum())
            given = found[0][i, :answered].detach()
            worst.append(float((ours[-answered:] - given).abs().max()))
        return found

    monkeypatch.setattr(GrpoTrainer, "_get_per_token_logps_and_entropies", check)
    grpo(nano, data, tmp_path / "run", "--max_steps", "2")
    assert len(worst) == 32
    assert max(worst) < 1e-4


def test_the_model_sees_what_it_saw_in_training(nano: Path, data: Path) -> None:
    """TRL's way through a processor class gives the ids and pixels of ours."""
    processor = load_processor(nano)
    rows = LlavaDataset(data, data.parent, processor)
    stock = ImageOnlyProcessor.of(processor)
    for index in (0, 5):
        sample = rows[index]
        (example,) = Prompts(rows)([{"row": index}])
        found = stock.apply_chat_template(
            [example["prompt"]],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        prompt = sample["input_ids"][sample["labels"] == -100]
        assert torch.equal(found["input_ids"][0], prompt)
        assert torch.equal(found["pixel_values"], processor.pixel_values(sample["pixels"][0]))
        assert example["reference"] == f"at {4 * index}, 8"


def test_a_stopped_run_resumes_as_if_nothing_had_been(
    nano: Path, mixed: Path, calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qwen_vl_finetune import grpo as module

    flags = ("--max_steps", "4", "--save_strategy", "steps", "--save_steps", "2")
    whole = grpo(nano, mixed, tmp_path / "whole", *flags)

    class Stop(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 3:
                raise KeyboardInterrupt

    class Stopping(module.GrpoTrainer):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self.add_callback(Stop())

    with monkeypatch.context() as patch:
        patch.setattr(module, "GrpoTrainer", Stopping)
        with pytest.raises(KeyboardInterrupt):
            grpo(nano, mixed, tmp_path / "cut", *flags)
    cut = grpo(nano, mixed, tmp_path / "cut", *flags)
    one, two = load_file(whole / ADAPTER), load_file(cut / ADAPTER)
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--reward_weights", "1", "2"), "found 2, expected one for each of the 1 rewards"),
        (("--num_generations", "5"), "do not go together"),
        (("--packing", "true"), "--packing is not taken"),
        (("--num_generation", "4"), "no such flag"),
        (("--reward", "rewards_here:missing"), "expected module:name"),
        (("--beta", "0.1"), "merger trains in full: how it was before is not kept"),
        (("--top_k", "-1"), "--top_k and --no_spread_patience: expected at least 0"),
        (("--use_vllm", "true"), "--use_vllm true needs the package vllm"),
        (("--use_vllm", "true", "--vllm_mode", "x"), "--vllm_mode x: expected colocate or server"),
        (("--use_vllm", "true", "--bits", "4"), "--use_vllm with --bits 4"),
    ],
)
def test_mistakes_are_named_before_anything_is_loaded(
    nano: Path, data: Path, calls: Calls, tmp_path: Path, flags: tuple[str, ...], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        grpo(nano, data, tmp_path / "run", *flags)
    assert not (tmp_path / "run").exists()


def test_a_reward_that_raises_is_named(
    nano: Path, data: Path, calls: Calls, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"--reward rewards_here:broken: LookupError: no such rew"):
        grpo(nano, data, tmp_path / "run", "--reward", "rewards_here:broken", "--max_steps", "1")


def test_rewards_that_have_nothing_to_say_are_left_out(
    nano: Path, data: Path, calls: Calls, tmp_path: Path
) -> None:
    run = grpo(
        nano, data, tmp_path / "run", "--reward", "rewards_here:two", "rewards_here:nothing",
        "--max_steps", "1",
    )  # fmt: skip
    history = json.loads((run / "trainer_state.json").read_text())["log_history"]
    assert history[0]["reward"] == pytest.approx(history[0]["rewards/two/mean"])
    assert history[0]["learning_rate_vision"] == history[0]["learning_rate"] == 1e-2


def test_a_run_without_spread_stops_and_says_why(
    nano: Path, data: Path, calls: Calls, tmp_path: Path
) -> None:
    sys.modules["rewards_here"].__dict__["flat"] = lambda answers, references: [0.5] * len(answers)
    flags = ("--reward", "rewards_here:flat", "--max_steps", "9")
    with pytest.raises(UserError, match=r"for 2 steps .* alike \(0\.5 on average\).*--max_comple"):
        grpo(nano, data, tmp_path / "run", *flags, "--no_spread_patience", "2")


def test_spread_starts_the_count_again() -> None:
    watch, args = SpreadWatch(3), SimpleNamespace(max_completion_length=8)
    state: Any = SimpleNamespace(global_step=40)
    watch.on_train_begin(args, state, None)
    for step, alike in ((41, 1.0), (42, 1.0), (43, 0.75), (44, 1.0), (45, 1.0)):
        state.global_step = step
        watch.on_log(args, state, None, {"frac_reward_zero_std": alike})
    state.global_step = 46
    with pytest.raises(UserError, match="for 3 steps"):
        watch.on_log(args, state, None, {"frac_reward_zero_std": 1.0})


def test_the_divergence_is_from_the_stack_as_it_was(
    nano: Path, data: Path, train: Train, calls: Calls, tmp_path: Path
) -> None:
    """With the frozen adapter, without the one that trains; and nothing else is switched."""
    first = train(tmp_path / "first", *LORA, *FROZEN_MERGER)
    flags = ("--first_lora_path", str(first), *FROZEN_MERGER, "--beta", "0.1", "--max_steps", "3")
    seen: list[tuple[set[str], set[str]]] = []
    stock = Reference.__call__

    def look(self: Reference, **inputs: Any) -> Any:
        found = stock(self, **inputs)
        trained = {adapter_of(n) for n, p in self.model.named_parameters() if p.requires_grad}
        seen.append((set(self.model.active_adapters), {str(name) for name in trained}))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reference, "__call__", look)
        run = grpo(nano, data, tmp_path / "run", *flags)
    assert seen
    assert all(active == {"frozen_0", TRAINED} for active, _ in seen)
    assert all(trained == {TRAINED} for _, trained in seen)
    history = json.loads((run / "trainer_state.json").read_text())["log_history"]
    divergences = [entry["kl"] for entry in history if "kl" in entry]
    assert divergences[0] == pytest.approx(0, abs=1e-6)  # the new adapter adds nothing yet
    assert divergences[-1] > 1e-6


def test_flags_of_vllm_reach_trl(
    nano: Path, data: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qwen_vl_finetune import grpo as module

    monkeypatch.setattr(module, "package_problems", lambda flag, package: [])
    words = [
        *("--model_id", str(nano), "--data_path", str(data), "--output_dir", "unused", *LORA),
        *("--reward", "rewards_here:two", "--use_vllm", "true", "--vllm_mode", "server"),
        *("--vllm_server_base_url", "http://127.0.0.1:8000", "--top_k", "50"),
    ]
    config = module.trl_config(*module.parse(words))
    assert (config.use_vllm, config.vllm_mode, config.top_k) == (True, "server", 50)
    assert config.vllm_server_base_url == "http://127.0.0.1:8000"


def test_a_reward_that_takes_images_gets_their_files(
    monkeypatch: pytest.MonkeyPatch, nano: Path, data: Path, calls: Calls, tmp_path: Path
) -> None:
    seen: list[list[str]] = []

    def looking(answers: list[str], references: list[str], images: list[list[str]]) -> list[float]:
        seen.extend(images)
        return [0.0] * len(answers)

    monkeypatch.setattr(sys.modules["rewards_here"], "looking", looking, raising=False)
    grpo(nano, data, tmp_path / "run", "--reward", "rewards_here:looking", "--max_steps", "1")
    assert len(seen) == 16
    assert all(Path(file).is_file() for [file] in seen)
