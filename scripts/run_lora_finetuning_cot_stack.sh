#!/usr/bin/env bash
# Step 2: the same on top of step 1, whose adapter stays frozen underneath (QLoRA).
#   bash scripts/run_lora_finetuning_cot_stack.sh --help
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
STEP=run_lora_finetuning_cot_stack
CONFIG=Qwen2-VL-Finetune/configs/cot_stack.yaml
SUMMARY="Step 2: the same on top of step 1, whose adapter stays frozen underneath (QLoRA)."
WANTED=4
PER_DEVICE=2
launch "$@"
