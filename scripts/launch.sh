# Sourced by run_lora_finetuning_*.sh: options, checks, and the one call of the trainer's door.
#
# A launcher sets STEP (its name), CONFIG (the original run's values), SUMMARY (what it does) and
# WANTED (GPUs of the original run), then calls `launch "$@"`.

usage() {
  cat <<EOF
usage: bash scripts/$STEP.sh --data DIR --output DIR [options] [-- trainer flags]

$SUMMARY
The values are those of the original run: $CONFIG

  --data DIR        dataset folder with train.json, valid.json and images   (or DATA)
  --output DIR      run folder                                              (or OUTPUT)
  --model NAME      base model: folder or hub name                          (or MODEL; the config's)
  --first-lora DIR  adapter that stays frozen under this one; repeat it     (or FIRST_LORA)
  --gpus N          GPUs of this machine; the global batch stays 64         (or GPUS; all there are)
  --batch N         samples a GPU takes at a time                           (or BATCH; the config's)
  --dry-run         print the command, run nothing
  --help            this text

Several machines: NNODES, NODE_RANK, MASTER_ADDR and MASTER_PORT, as torchrun names them.
Everything behind -- goes to the trainer and overrides the config, for example
  -- --lora_rank 16 --report_to wandb     (log in with 'wandb login' or WANDB_API_KEY first)
EOF
}

fail() { echo "$STEP: $1" >&2; exit 2; }

count_gpus() { nvidia-smi --list-gpus 2>/dev/null | wc -l; }

parse() {
  FIRST=(${FIRST_LORA:-})
  while [ $# -gt 0 ]; do
    case "$1" in
      --help|-h) usage; exit 0 ;;
      --dry-run) DRY_RUN=1; shift; continue ;;
      --) shift; EXTRA=("$@"); return ;;
      --data|--output|--model|--first-lora|--gpus|--batch) ;;
      *) fail "unknown option $1; --help lists them, trainer flags go behind --" ;;
    esac
    [ $# -ge 2 ] || fail "$1 needs a value"
    case "$1" in
      --data) DATA=$2 ;;
      --output) OUTPUT=$2 ;;
      --model) MODEL=$2 ;;
      --first-lora) FIRST+=("$2") ;;
      --gpus) GPUS=$2 ;;
      --batch) BATCH=$2 ;;
    esac
    shift 2
  done
}

# What is missing, all at once; a dry run only warns.
check() {
  local missing=()
  [ -f "${DATA:-}/train.json" ] || missing+=("--data: no train.json in '${DATA:-}'; build one with python -m data_preprocess build")
  [ -n "${OUTPUT:-}" ] || missing+=("--output: where should the run go?")
  if [ "$STEP" = run_lora_finetuning_cot_stack ] && [ ${#FIRST[@]} -eq 0 ]; then
    missing+=("--first-lora: the run folder of run_lora_finetuning_instruction.sh")
  fi
  [ "$(count_gpus)" -gt 0 ] || missing+=("no CUDA GPU found (nvidia-smi lists none); for a machine without one: bash scripts/quickstart.sh")
  python -c 'import bitsandbytes, deepspeed' 2>/dev/null ||
    missing+=("bitsandbytes and deepspeed are not installed: pip install -e '.[train,cuda]'")
  [ ${#missing[@]} -eq 0 ] && return
  printf "$STEP: missing: %s\n" "${missing[@]}" >&2
  [ -n "${DRY_RUN:-}" ] || exit 2
}

launch() {
  cd "$(dirname "${BASH_SOURCE[0]}")/.."
  # shellcheck disable=SC1091
  [ -n "${VIRTUAL_ENV:-}" ] || [ ! -f .venv/bin/activate ] || source .venv/bin/activate
  EXTRA=()
  parse "$@"
  check
  local gpus=${GPUS:-$(count_gpus)} batch=${BATCH:-$PER_DEVICE} nodes=${NNODES:-1}
  [ "$gpus" -gt 0 ] || gpus=$WANTED
  local each=$((gpus * nodes * batch))
  [ $((64 % each)) -eq 0 ] || fail "$gpus GPUs x $nodes nodes x batch $batch = $each does not divide the global batch of 64; choose another --batch, or say '-- --gradient_accumulation_steps N'"
  local command=(
    torchrun --nproc_per_node "$gpus"
    --nnodes "$nodes" --node_rank "${NODE_RANK:-0}"
    --master_addr "${MASTER_ADDR:-127.0.0.1}" --master_port "${MASTER_PORT:-29500}"
    Qwen2-VL-Finetune/src/train_sft.py --config "$CONFIG"
    --data_path "${DATA:-DATA}/train.json" --eval_path "${DATA:-DATA}/valid.json"
    --image_folder "${DATA:-DATA}" --output_dir "${OUTPUT:-OUTPUT}"
    --per_device_train_batch_size "$batch" --gradient_accumulation_steps $((64 / each))
  )
  [ -z "${MODEL:-}" ] || command+=(--model_id "$MODEL")
  [ ${#FIRST[@]} -eq 0 ] || command+=(--first_lora_path "${FIRST[@]}")
  command+=("${EXTRA[@]}")
  printf '%q ' "${command[@]}"; echo
  [ -n "${DRY_RUN:-}" ] || exec "${command[@]}"
}
