"""Fine-tune a reader on your own molecules: draw them, train a LoRA, merge it, read with it.

python examples/fine_tune.py molecules.smi runs/mine

The model is nano, so that it takes minutes on a CPU. For a Qwen2.5-VL give its folder, or its name
on the hub, with --model; its own settings stand in scripts/run_lora_finetuning_cot.sh.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TRAINER = ROOT / "Qwen2-VL-Finetune/src"
NANO = ROOT / "eyesmol/weights/nano"


def fine_tune(smiles: Path, out: Path, model: str = str(NANO), steps: int = 500) -> Path:
    """From a list of SMILES to a merged model; returns its folder.

    Args:
        smiles: one SMILES in each line.
        out: gets the dataset, the adapter and the model.
        model: to start from.
        steps: of training, 16 drawings each.
    """
    data, adapter, merged = out / "data", out / "adapter", out / "model"
    run("-m", "data_preprocess", "build", "cot", "--smiles", smiles, "--copies", 8,
        "--size", "112x112", "--max-pixels", 112 * 112, "--style", "scanned",
        "--out", data)  # fmt: skip
    run(TRAINER / "train_sft.py", "--model_id", model, "--data_path", data / "train.json",
        "--image_folder", data, "--output_dir", adapter, "--use_cpu", "true",
        "--lora_enable", "true", "--vision_lora", "true", "--lora_rank", 16, "--lora_alpha", 32,
        "--freeze_llm", "true", "--freeze_vision_tower", "true", "--freeze_merger", "false",
        "--learning_rate", 1e-3, "--merger_lr", 3e-4, "--vision_lr", 5e-4,
        "--per_device_train_batch_size", 16, "--max_steps", steps,
        "--save_steps", steps, "--report_to", "none")  # fmt: skip
    run(TRAINER / "merge_lora_weights.py", "--model-path", adapter, "--model-base", model,
        "--save-model-path", merged)  # fmt: skip
    return merged


def run(*words: str | Path | float) -> None:
    """Show a command and run it with this Python."""
    command = [sys.executable, *map(str, words)]
    print("$", *command, flush=True)
    subprocess.run(command, cwd=ROOT, check=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Fine-tune a reader on your own molecules.")
    parser.add_argument("smiles", type=Path, help="one SMILES in each line")
    parser.add_argument("out", type=Path, help="gets the dataset, the adapter and the model")
    parser.add_argument("--model", default=str(NANO), help="to start from (nano)")
    parser.add_argument("--steps", type=int, default=500, help="of training (500)")
    options = parser.parse_args()
    folder = fine_tune(
        options.smiles.resolve(), options.out.resolve(), options.model, options.steps
    )
    print(f"eyesmol recognize IMAGE --model {folder}")
