#!/usr/bin/env bash
# Does the first step help the second? Base, instruction, one-step and two-step chain of thought,
# from several seeds with equal budgets, on the embedded reader: one table, one plot.
#   bash scripts/compare_one_and_two_step.sh           half an hour on two cores
#   bash scripts/compare_one_and_two_step.sh --help    all options
# Stopped, it goes on where it was when it is called again.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.sh"
export TOKENIZERS_PARALLELISM=false
exec python -m scripts.compare_one_and_two_step "$@"
