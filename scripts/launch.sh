# Sourced by run_lora_finetuning_*.sh: options, checks, and the one call of the trainer.
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
  --first-lora DIR  adapter that stays frozen under this one; repeat it     (or FIRST_LORA; A:B for two)
  --gpus N          GPUs of this machine, any number                        (or GPUS; all that
                    CUDA_VISIBLE_DEVICES leaves); the global batch stays as near to 64 as it divides
  --batch N         samples a GPU takes at a time                           (or BATCH; the config's)
  --dry-run         print the command, run nothing
  --help            this text

Several machines: NNODES, NODE_RANK, MASTER_ADDR and MASTER_PORT, as torchrun names them.
Everything behind -- goes to the trainer and overrides the config, for example
  -- --lora_rank 16 --report_to wandb     (log in with 'wandb login' or WANDB_API_KEY first)
EOF
}

fail() { echo "$STEP: $1" >&2; exit 2; }

# GPUs that a process sees: those of the machine, or those of them that CUDA_VISIBLE_DEVICES names.
count_gpus() {
  local all visible=()
  all=$(nvidia-smi --list-gpus 2>/dev/null | wc -l)
  [ -n "${CUDA_VISIBLE_DEVICES+set}" ] || { echo "$all"; return; }
  IFS=, read -ra visible <<<"${CUDA_VISIBLE_DEVICES%%-1*}"  # CUDA reads no further than a -1
  echo $((${#visible[@]} < all ? ${#visible[@]} : all))
}

# How many GPUs to start on, in `gpus`.
choose_gpus() {
  local there
  there=$(count_gpus)
  gpus=${GPUS:-$there}
  [[ $gpus =~ ^[0-9]+$ ]] || fail "--gpus $gpus: expected a number"
  [ "$gpus" -gt 0 ] || gpus=$WANTED
  [ "$there" -eq 0 ] || [ "$gpus" -le "$there" ] ||
    fail "--gpus $gpus, but $there can be seen${CUDA_VISIBLE_DEVICES+ (CUDA_VISIBLE_DEVICES=$CUDA_VISIBLE_DEVICES)}"
}

# Micro-batches a step, in `steps`, for a global batch as near to the original run's 64 as it gets.
choose_steps() {
  local each=$(($1 * $2 * $3))
  steps=$(((64 + each / 2) / each))
  [ "$steps" -gt 0 ] || steps=1
  [ $((steps * each)) -eq 64 ] ||
    echo "$STEP: the global batch is $((steps * each)), not 64: $1 GPUs x $2 nodes x batch $3 x $steps micro-batches" >&2
}

parse() {
  FIRST=()
  [ -z "${FIRST_LORA:-}" ] || IFS=: read -ra FIRST <<<"$FIRST_LORA"
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

# Looked for and not imported, which takes ten seconds.
INSTALLED='import importlib.util as found
if not all(map(found.find_spec, ["bitsandbytes", "deepspeed"])): raise SystemExit(1)'

# What is missing, all at once; a dry run only warns.
check() {
  local missing=()
  [ -f "${DATA:-}/train.json" ] || missing+=("--data: no train.json in '${DATA:-}'; build one with python -m data_preprocess build")
  [ -n "${OUTPUT:-}" ] || missing+=("--output: where should the run go?")
  if [ "$STEP" = run_lora_finetuning_cot_stack ] && [ ${#FIRST[@]} -eq 0 ]; then
    missing+=("--first-lora: the run folder of run_lora_finetuning_instruction.sh")
  fi
  [ "$(count_gpus)" -gt 0 ] || missing+=("no CUDA GPU found (nvidia-smi lists none); for a machine without one: bash scripts/quickstart.sh")
  python -c "$INSTALLED" 2>/dev/null ||
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
  local gpus steps batch=${BATCH:-$PER_DEVICE} nodes=${NNODES:-1}
  [[ $batch =~ ^[1-9][0-9]*$ ]] || fail "--batch $batch: expected a number, at least 1"
  choose_gpus
  [[ " ${EXTRA[*]} " == *" --gradient_accumulation_steps"* ]] || choose_steps "$gpus" "$nodes" "$batch"
  local command=(
    torchrun --nproc_per_node "$gpus"
    --nnodes "$nodes" --node_rank "${NODE_RANK:-0}"
    --master_addr "${MASTER_ADDR:-127.0.0.1}" --master_port "${MASTER_PORT:-29500}"
    Qwen2-VL-Finetune/src/train_sft.py --config "$CONFIG"
    --data_path "${DATA:-DATA}/train.json" --eval_path "${DATA:-DATA}/valid.json"
    --image_folder "${DATA:-DATA}" --output_dir "${OUTPUT:-OUTPUT}"
    --per_device_train_batch_size "$batch"
  )
  [ -z "${steps:-}" ] || command+=(--gradient_accumulation_steps "$steps")
  [ -z "${MODEL:-}" ] || command+=(--model_id "$MODEL")
  [ ${#FIRST[@]} -eq 0 ] || command+=(--first_lora_path "${FIRST[@]}")
  command+=("${EXTRA[@]}")
  printf '%q ' "${command[@]}"; echo
  [ -n "${DRY_RUN:-}" ] || exec "${command[@]}"
}
