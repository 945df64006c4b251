#!/usr/bin/env bash
# Everything that must hold: style, types, tests. Arguments go to pytest:
#   bash scripts/test.sh                    all of it
#   bash scripts/test.sh tests/eyesmol -x   the tests of one package, up to the first failure
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.sh"

# The tests run side by side; more threads than cores would only get in each other's way.
export OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1

ruff check .
ruff format --check .
mypy
# A file's tests stay in one process, so that what they share (a trained model, a finished quickstart)
# is made once.
python -m pytest --numprocesses "${TEST_PROCESSES:-2}" --dist loadfile --no-loadscope-reorder "$@"
