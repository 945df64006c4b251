#!/usr/bin/env bash
# Train the embedded reader from random weights, on molecules invented and drawn as it trains.
#   bash scripts/train_nano.sh                                    an hour and a half on two CPU cores
#   bash scripts/train_nano.sh --minutes 9                        a piece; the same command goes on
#   bash scripts/train_nano.sh --gpu --minutes 8 --keep DIR       a piece on a GPU, kept in small files
#   bash scripts/train_nano.sh --gpu --start DIR --steps 6000     the last piece, from those files
#   bash scripts/train_nano.sh --help                             all options
# Stopped, it resumes where it was when it is called again.
set -euo pipefail
if [ -n "${EYESMOL_NO_VENV:-}" ]; then  # on a machine that brings its own packages
  cd "$(dirname "${BASH_SOURCE[0]}")/.."
  export PYTHONPATH=$PWD:$PWD/Qwen2-VL-Finetune/src${PYTHONPATH:+:$PYTHONPATH}
else
  source "$(dirname "${BASH_SOURCE[0]}")/venv.sh"
fi
export TOKENIZERS_PARALLELISM=false
exec python -m nano.train_nano "$@"
