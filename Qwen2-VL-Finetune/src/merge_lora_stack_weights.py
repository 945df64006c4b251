"""Merge a stack of LoRA adapters into their base model. Run with --help for the flags."""

from qwen_vl_finetune.errors import entry_point
from qwen_vl_finetune.merge_cli import main_stack

if __name__ == "__main__":
    entry_point(main_stack)()
