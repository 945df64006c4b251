"""bf16 in every family and path: trained parts stay fp32, and nothing meets in two precisions.

What trains is kept in fp32 and the rest in bf16, so a forward outside of autocast ends in "expected
... to have the same dtype". Generation is where that happens: PEFT passes by the wrapped forward.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from qwen_vl_finetune.adapters import ADAPTER, FULL_MODULES
from safetensors.torch import load_file

from .conftest import LORA, Train
from .test_families import FAMILIES, make_model

HALF = ["--bf16", "true", "--use_cpu", "true", "--max_steps", "2"]
VISION_IN_FULL = [
    *("--lora_enable", "true", "--lora_rank", "4", "--freeze_llm", "true"),
    *("--freeze_vision_tower", "false", "--freeze_merger", "true"),
]
PARTS = {
    "merger in full": LORA,
    "vision in full": VISION_IN_FULL,
    "LoRA everywhere": [*LORA, "--freeze_merger", "true", "--merger_lora", "true"],
    "nothing frozen": [],
}


@pytest.fixture(scope="module", params=["qwen2_5_vl", *FAMILIES])
def base(
    request: pytest.FixtureRequest, nano: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A tiny model of each family."""
    folder = tmp_path_factory.mktemp("families") / str(request.param)
    return nano if request.param == "qwen2_5_vl" else make_model(request.param, nano, folder)


@pytest.fixture
def plug_in(monkeypatch: pytest.MonkeyPatch) -> str:
    """A score, and a reward that tells answers apart."""
    module = ModuleType("scores_here")
    module.__dict__["score"] = lambda predictions, references: {"rows": len(references)}
    module.__dict__["reward"] = lambda answers, references: [float(i) for i in range(len(answers))]
    monkeypatch.setitem(sys.modules, "scores_here", module)
    return "scores_here"


def check(run: Path) -> None:
    """Losses are numbers, what trained was saved in fp32, and it moved."""
    history = json.loads((run / "trainer_state.json").read_text())["log_history"]
    losses = [v for entry in history for k, v in entry.items() if k in ("loss", "eval_loss")]
    assert len(losses) >= 2
    assert all(math.isfinite(loss) for loss in losses)
    names = [n for n in (ADAPTER, FULL_MODULES, "model.safetensors") if (run / n).is_file()]
    tensors = {k: v for name in names for k, v in load_file(run / name).items()}
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    assert all(tensor.any() for key, tensor in tensors.items() if "lora_B" in key)


@pytest.mark.parametrize("parts", PARTS)
def test_training_evaluation_and_answers(
    parts: str, base: Path, data: Path, train: Train, plug_in: str, tmp_path: Path
) -> None:
    flags = [*("--eval_path", str(data), "--eval_strategy", "steps", "--eval_steps", "1")]
    flags += ["--eval_score", f"{plug_in}:score", "--eval_generate_rows", "2"]
    rate = ["--learning_rate", "1e-3", "--eval_max_new_tokens", "3"]
    check(train(tmp_path / "run", *PARTS[parts], *HALF, *flags, *rate, model=base))


def test_a_packed_stack(base: Path, data: Path, train: Train, plug_in: str, tmp_path: Path) -> None:
    first = train(tmp_path / "first", *LORA, *HALF, model=base)
    flags = ["--first_lora_path", str(first), "--packing", "true", "--tokens_per_batch", "120"]
    flags += ["--eval_path", str(data), "--eval_strategy", "steps", "--eval_steps", "1"]
    flags += ["--eval_score", f"{plug_in}:score", "--eval_generate_rows", "2"]
    flags += ["--eval_max_new_tokens", "3", "--gradient_checkpointing", "true"]
    check(train(tmp_path / "second", *LORA, *HALF, *flags, model=base))


def test_rewarded_answers(base: Path, data: Path, plug_in: str, tmp_path: Path) -> None:
    """GRPO, with the merger trained in full."""
    pytest.importorskip("trl", reason="trl is not installed")
    from qwen_vl_finetune import grpo

    words = [
        *("--model_id", str(base), "--data_path", str(data), "--output_dir", str(tmp_path)),
        *("--reward", f"{plug_in}:reward", "--num_generations", "2", "--logging_steps", "1"),
        *("--per_device_train_batch_size", "4", "--max_completion_length", "3"),
        *("--save_strategy", "no", "--report_to", "none", "--disable_tqdm", "true"),
        *("--learning_rate", "1e-2", *LORA, *HALF),
    ]
    assert grpo.main(words) == 0
    check(tmp_path)
