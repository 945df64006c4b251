#!/usr/bin/env bash
# In one step: teaches the base to read molecules atom by atom (QLoRA).
#   bash scripts/run_lora_finetuning_cot.sh --help
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
STEP=run_lora_finetuning_cot
CONFIG=Qwen2-VL-Finetune/configs/cot.yaml
SUMMARY="In one step: teaches the base to read molecules atom by atom (QLoRA)."
WANTED=4
PER_DEVICE=2
launch "$@"
