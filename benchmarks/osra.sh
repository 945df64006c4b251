#!/usr/bin/env bash
# What the free tool that people use today reads of the same pictures: OSRA, scored as ours are.
#
#     bash benchmarks/osra.sh IMAGES GOLD OUT [--workers N]

set -euo pipefail

usage() {
  cat <<END
usage: bash benchmarks/osra.sh IMAGES GOLD OUT [--workers N] [--timeout SECONDS]

  IMAGES  a picture, or a folder of them
  GOLD    a folder of molfiles named like the pictures, or what eyesmol evaluate takes else
  OUT     a folder: osra.jsonl (predictions, with seconds a picture), scores.json, report.html

Stopped, the same command goes on where it was. Needs the program osra (Debian, Ubuntu:
apt-get install osra) and this project installed (bash scripts/test.sh makes .venv).
END
}

case "${1:-}" in -h|--help) usage; exit 0 ;; esac
[ $# -ge 3 ] || { usage >&2; exit 2; }
images=$1 gold=$2 out=$3
shift 3

command -v osra >/dev/null || {
  echo "osra is not installed. Debian and Ubuntu: sudo apt-get install osra" >&2
  echo "Others: https://sourceforge.net/projects/osra (it has to be found on PATH)" >&2
  exit 2
}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [ -z "${VIRTUAL_ENV:-}" ] && [ -f "$here/../.venv/bin/activate" ]; then
  # shellcheck disable=SC1091
  source "$here/../.venv/bin/activate"
fi

python "$here/osra.py" "$images" --out "$out/osra.jsonl" "$@"
folder=$images
[ -d "$folder" ] || folder=$(dirname "$folder")
python -m eyesmol evaluate "$gold" "$out/osra.jsonl" --name OSRA --images "$folder" --subsets \
  --out "$out/scores.json" --report "$out/report.html"
