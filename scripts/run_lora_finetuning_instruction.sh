#!/usr/bin/env bash
# Step 1: teaches Qwen2.5-VL to answer questions about molecules (QLoRA).
#   bash scripts/run_lora_finetuning_instruction.sh --help
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
STEP=run_lora_finetuning_instruction
CONFIG=Qwen2-VL-Finetune/configs/instruction.yaml
SUMMARY="Step 1: teaches Qwen2.5-VL to answer questions about molecules (QLoRA)."
WANTED=4
PER_DEVICE=4
launch "$@"
