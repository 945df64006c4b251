#!/usr/bin/env bash
# Train the embedded detector on molecules invented and drawn as it trains; nothing is downloaded.
#   bash scripts/train_detector.sh                                an hour: one core trains, one draws
#   bash scripts/train_detector.sh --minutes 30                   a piece; run again, it goes on
#   bash scripts/train_detector.sh --workers 15 --threads 8       many cores: all of them draw
#   bash scripts/train_detector.sh --out runs/wide --channels 48 80 112 176 208
#   bash scripts/train_detector.sh --fonts                        which fonts are drawn with, and stop
#   bash scripts/train_detector.sh --help                         all options
# Stopped at any moment, it resumes when it is called again. All options go to detector_training.train;
# without --out the run folder is runs/detector, without --workers all cores but one draw.
set -euo pipefail
given=" $* "
help=
case "$given" in *" --help "* | *" -h "*) help=1; sed -n '2,10s/^# \{0,1\}//p' "$0"; echo ;; esac
if [ -n "${EYESMOL_NO_VENV:-}" ]; then  # on a machine that brings its own packages
  cd "$(dirname "${BASH_SOURCE[0]}")/.."
  export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
else
  source "$(dirname "${BASH_SOURCE[0]}")/venv.sh"
fi

[ -z "$help" ] || exec python -m detector_training.train --help
case "$given" in *" --fonts "*) exec python -m detector_training.fonts ;; esac
python -m detector_training.fonts --short

cores=$(python -c 'import os; print(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())')
defaults=()
case "$given" in *" --out"[\ =]*) ;; *) defaults+=(--out runs/detector) ;; esac
case "$given" in *" --workers"[\ =]*) ;; *) defaults+=(--workers $((cores > 1 ? cores - 1 : 1))) ;; esac
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}  # of each process that draws; --threads is the network's
exec python -m detector_training.train "${defaults[@]}" "$@"
