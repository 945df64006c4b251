# Sourced by quickstart.sh and test.sh: makes .venv, installs the pinned packages, activates it.
# Finished once, it costs nothing until requirements.txt or pyproject.toml change.

cd "$(dirname "${BASH_SOURCE[0]}")/.."

usable() { "$1" -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null; }

# PYTHON=/path/to/python chooses another interpreter.
find_python() {
  local candidate
  for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if usable "$candidate"; then echo "$candidate"; return; fi
  done
  echo "EyesMol needs Python 3.11 to 3.14 with venv; found: $(python3 --version 2>&1)." >&2
  echo "Install one, or name it: PYTHON=/path/to/python3.13 bash $0" >&2
  return 1
}

# torch's CPU build, which is 6 GB smaller, unless EYESMOL_TORCH names another (auto, cu128, ...).
# Only uv can choose; where it cannot fetch that build, pip takes what it finds.
install_pinned() {
  .venv/bin/python -m pip install --quiet uv
  if ! .venv/bin/uv pip install --quiet --python .venv/bin/python \
    --torch-backend "${EYESMOL_TORCH:-cpu}" --requirement requirements.txt 2>/dev/null; then
    echo "uv could not install torch's ${EYESMOL_TORCH:-cpu} build; pip takes the one it finds ..."
    .venv/bin/python -m pip install --quiet --requirement requirements.txt
  fi
}

wanted=$(cat requirements.txt pyproject.toml | cksum)
if [ "$(cat .venv/.installed 2>/dev/null)" != "$wanted" ]; then
  python=$(find_python) || exit 1
  echo "Installing into .venv with $("$python" --version): some minutes, once ..."
  "$python" -m venv .venv
  install_pinned
  .venv/bin/python -m pip install --quiet --no-deps --editable .
  echo "$wanted" > .venv/.installed
fi
# shellcheck disable=SC1091
source .venv/bin/activate
