#!/usr/bin/env bash
# Writes requirements.txt: pins for Python 3.11 to 3.14 of all that quickstart.sh and test.sh need.
# Needs uv (pip install uv). CUDA packages are left out: a CUDA build of torch asks for its own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
torch="torch==2.13.0"  # the newest that all stages have been run on

draft=$(mktemp)
trap 'rm -f "$draft"' EXIT
uv pip compile pyproject.toml --extra train --extra notebook --extra dev \
  --extra data --extra rl --extra ray --extra serve --extra remote --universal --python-version 3.11 --constraint <(echo "$torch") \
  --no-emit-index-url --no-header --no-annotate --quiet --output-file "$draft"
{
  echo "# Compiled by scripts/pin.sh from pyproject.toml (all extras but cuda). Do not edit."
  grep -Ev '^(nvidia-|cuda-|triton)' "$draft"
} > requirements.txt
echo "requirements.txt: $(grep -c == requirements.txt) pins"
