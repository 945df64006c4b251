"""Merge one LoRA adapter into its base model. Run with --help for the flags."""

from qwen_vl_finetune.errors import entry_point
from qwen_vl_finetune.merge_cli import main_one

if __name__ == "__main__":
    entry_point(main_one)()
