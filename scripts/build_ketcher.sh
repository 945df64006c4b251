#!/usr/bin/env bash
# Builds the structure editor of `eyesmol serve`: Ketcher (Apache-2.0, by EPAM) as one script,
# which the page loads from this server and from nowhere else. Needs Node.js 20 or newer and npm; run once.
#
#   bash scripts/build_ketcher.sh
#
# Downloads 400 MB of packages into build/ketcher, writes 8 MB into eyesmol/serve/ketcher (neither
# is committed). Where that folder is missing the page says so and edits SMILES as text.
set -euo pipefail
cd "$(dirname "$0")/.."

version=3.18.0
work=build/ketcher
out=eyesmol/serve/ketcher
command -v npm >/dev/null || { echo "npm is missing: install Node.js 20 or newer" >&2; exit 1; }

mkdir -p "$work"
cp scripts/ketcher/editor.jsx "$work/"
[[ -f $work/package.json ]] || echo '{"private": true}' >"$work/package.json"
npm install --prefix "$work" --no-audit --no-fund --no-package-lock \
  "ketcher-core@$version" "ketcher-react@$version" "ketcher-standalone@$version" \
  react@18.3.1 react-dom@18.3.1 events@3.3.0 esbuild@0.28.2

"$work/node_modules/.bin/esbuild" "$work/editor.jsx" \
  --bundle --minify --legal-comments=eof --log-level=warning --outfile="$work/dist/ketcher.js" \
  '--define:process.env.NODE_ENV="production"' --define:global=window \
  --loader:.svg=dataurl --loader:.woff=dataurl --loader:.woff2=dataurl --loader:.ttf=dataurl \
  --loader:.sdf=text

# Compressed once, here; the folder appears when it is whole.
gzip -9nf "$work/dist/ketcher.js" "$work/dist/ketcher.css"
cp scripts/ketcher/index.html scripts/ketcher/process.js "$work/dist/"
{ echo "Ketcher $version by EPAM Systems, https://github.com/epam/ketcher"; echo; cat LICENSE; } \
  >"$work/dist/LICENSE"
rm -rf "$out"
mv "$work/dist" "$out"
du -sh "$out"
