#!/usr/bin/env bash
# Step 3: rewards instead of answers, for pictures that have a SMILES and no graph (GRPO).
#   bash scripts/run_grpo.sh --help
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
STEP=run_grpo
CONFIG=Qwen2-VL-Finetune/configs/grpo.yaml
SUMMARY="Step 3: rewards instead of answers, for pictures that have a SMILES and no graph (GRPO)."
WANTED=4
PER_DEVICE=8

usage() {
  cat <<TEXT
usage: bash scripts/$STEP.sh --data DIR --model DIR --output DIR [options] [-- trainer flags]

$SUMMARY
Values and rewards: $CONFIG

  --data DIR        folder with train.json (rows with "smiles") and images  (or DATA)
  --model DIR       merged model that answers step by step already          (or MODEL)
  --output DIR      run folder; merge_lora_weights.py takes it              (or OUTPUT)
  --first-lora DIR  adapter that stays frozen under this one; repeat it     (or FIRST_LORA; A:B for two)
  --gpus N          GPUs of this machine                                    (or GPUS; all there are)
  --batch N         answers a GPU takes at a time                           (or BATCH; $PER_DEVICE)
  --dry-run         print the command, run nothing
  --help            this text

Everything behind -- goes to the trainer and overrides the config, for example
  -- --num_generations 16 --reward my_package.rewards:mine eyesmol.evaluation.rewards:smiles
TEXT
}

# What is missing, all at once; a dry run only warns.
check() {
  local missing=()
  [ -f "${DATA:-}/train.json" ] || missing+=("--data: no train.json in '${DATA:-}'")
  [ -n "${MODEL:-}" ] || missing+=("--model: the merged model to start from (merge_lora_stack_weights.py makes it)")
  [ -n "${OUTPUT:-}" ] || missing+=("--output: where should the run go?")
  [ "$(count_gpus)" -gt 0 ] || missing+=("no CUDA GPU found (nvidia-smi lists none)")
  python -c 'import trl' 2>/dev/null || missing+=("trl is not installed: pip install -e '.[train,rl]'")
  [ ${#missing[@]} -eq 0 ] && return
  printf "$STEP: missing: %s\n" "${missing[@]}" >&2
  [ -n "${DRY_RUN:-}" ] || exit 2
}

launch_grpo() {
  cd "$(dirname "${BASH_SOURCE[0]}")/.."
  # shellcheck disable=SC1091
  [ -n "${VIRTUAL_ENV:-}" ] || [ ! -f .venv/bin/activate ] || source .venv/bin/activate
  EXTRA=()
  parse "$@"
  check
  local gpus
  choose_gpus
  local command=(
    torchrun --nproc_per_node "$gpus" --nnodes "${NNODES:-1}" --node_rank "${NODE_RANK:-0}"
    --master_addr "${MASTER_ADDR:-127.0.0.1}" --master_port "${MASTER_PORT:-29500}"
    Qwen2-VL-Finetune/src/train_grpo.py --config "$CONFIG" --model_id "${MODEL:-MODEL}"
    --data_path "${DATA:-DATA}/train.json" --image_folder "${DATA:-DATA}"
    --output_dir "${OUTPUT:-OUTPUT}" --per_device_train_batch_size "${BATCH:-$PER_DEVICE}"
  )
  [ ${#FIRST[@]} -eq 0 ] || command+=(--first_lora_path "${FIRST[@]}")
  command+=("${EXTRA[@]}")
  printf '%q ' "${command[@]}"; echo
  [ -n "${DRY_RUN:-}" ] || exec "${command[@]}"
}

launch_grpo "$@"
