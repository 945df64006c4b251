"""Reinforcement learning (GRPO) on LLaVA JSON, with rewards as plug-ins. Run with --help.

python train_grpo.py --config ../configs/grpo.yaml --model_id BASE --data_path train.json
torchrun --nproc_per_node 4 train_grpo.py ...
"""

from qwen_vl_finetune.errors import entry_point


def main() -> int:
    """Load what it takes inside of the entry point, so that a missing package is one line."""
    from qwen_vl_finetune.grpo import main as train

    return train()


if __name__ == "__main__":
    entry_point(main)()
