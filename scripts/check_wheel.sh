#!/usr/bin/env bash
# Builds the package, installs the wheel into an empty environment, and reads with it there.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/venv.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python -m venv "$work/build"
"$work/build/bin/pip" install --quiet build
"$work/build/bin/python" -m build --outdir "$work/dist" . >"$work/log" 2>&1 || {
  cat "$work/log"
  exit 1
}
# What pip says of its own configuration is no warning of the build.
if grep -i 'warning' "$work/log" | grep -vE 'byte-compiling is disabled|^ *WARNING: (Location|Retrying)'; then
  echo "check_wheel.sh: the package builds with warnings" >&2
  exit 1
fi

python -m venv "$work/empty"
"$work/empty/bin/pip" install --quiet "$work"/dist/*.whl
cd "$work"
"$work/empty/bin/python" -c "
from rdkit import Chem
from rdkit.Chem import Draw
Draw.MolToImage(Chem.MolFromSmiles('CCOC(=O)c1ccccc1'), (300, 200)).save('drawing.png')"
read=$("$work/empty/bin/eyesmol" recognize drawing.png)
echo "the wheel in an empty environment: $read"
[[ $read == 'CCOC(=O)c1ccccc1'$'\t'* ]]
