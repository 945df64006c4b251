#!/usr/bin/env bash
# All stages in one command: pictures -> data -> training -> merging -> reading -> report.
#   bash scripts/quickstart.sh                                    new drawing styles for nano
#   bash scripts/quickstart.sh --images DIR --molfiles DIR        your own drawings
#   bash scripts/quickstart.sh --model PATH_OR_NAME               a real checkpoint
#   bash scripts/quickstart.sh --help                             all options
# Stopped, it goes on where it was when it is called again.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.sh"
export TOKENIZERS_PARALLELISM=false
exec python -m scripts.quickstart "$@"
