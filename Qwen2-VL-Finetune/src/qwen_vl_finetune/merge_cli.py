"""The command lines of the two merge scripts. Heavy libraries come in after the flags are read."""

from __future__ import annotations

import argparse
from pathlib import Path


def _parser(description: str, example: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=description,
        epilog=example,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--model-base", required=True, help="full-precision base model: folder or hub name"
    )
    parser.add_argument(
        "--save-model-path", required=True, type=Path, help="folder for the merged model"
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="compare the logits of adapters and merged model (text, and text with an image; "
        "fp32) and keep nothing if they differ",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        help="largest difference allowed by --verify (default: 1e-4 for an fp32 base, 0.01 for "
        "fp16, 0.05 for bf16, times the largest logit where that is over 1)",
    )
    return parser


def main_one() -> int:
    """`merge_lora_weights.py`: one adapter."""
    parser = _parser(
        "Merge one LoRA adapter (and the modules it trained in full) into its base model.\n"
        "The result loads in stock transformers and vLLM; processor files are the base's own.",
        "example:\n  python merge_lora_weights.py --model-path runs/instruction \\\n"
        "    --model-base Qwen/Qwen2.5-VL-3B-Instruct --save-model-path merged --verify",
    )
    parser.add_argument(
        "--model-path", required=True, type=Path, help="adapter folder, or a checkpoint-N of a run"
    )
    args = parser.parse_args()
    _merge(args, [args.model_path])
    return 0


def main_stack() -> int:
    """`merge_lora_stack_weights.py`: the frozen adapters, oldest first, then the last one."""
    parser = _parser(
        "Merge a stack of LoRA adapters into their base model: the first one(s), which were\n"
        "frozen, and the one trained on top. Base and order are checked by fingerprint.",
        "example:\n  python merge_lora_stack_weights.py --checkpoint-path runs/cot_stack \\\n"
        "    --first-lora-path runs/instruction --model-base Qwen/Qwen2.5-VL-3B-Instruct \\\n"
        "    --save-model-path merged --verify",
    )
    parser.add_argument(
        "--checkpoint-path", required=True, type=Path, help="adapter on top, or its checkpoint-N"
    )
    parser.add_argument(
        "--first-lora-path",
        required=True,
        type=Path,
        nargs="+",
        help="frozen adapter(s) under it, oldest first",
    )
    args = parser.parse_args()
    _merge(args, [*args.first_lora_path, args.checkpoint_path])
    return 0


def _merge(args: argparse.Namespace, folders: list[Path]) -> None:
    from .merge import merge

    merge(args.model_base, folders, args.save_model_path, args.verify, args.tolerance)
