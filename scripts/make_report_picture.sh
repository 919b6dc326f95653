#!/bin/sh
# The top of the sample's report as a browser without a window shows it, for docs/using.md.
# Needs chromium-headless-shell (Debian's package of that name).
#   scripts/make_report_picture.sh docs/images/report.png
set -eu
picture=$(realpath "$1")
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
.venv/bin/napari-deepheme classify src/napari_deepheme/sample_data/smear.svs --out "$folder" > /dev/null
.venv/bin/napari-deepheme export "$folder/smear.deepheme.db" --to "$folder/report.html"
chromium-headless-shell --no-sandbox --disable-gpu --hide-scrollbars --window-size=960,1590 \
  --screenshot="$picture" "file://$folder/report.html"
.venv/bin/python -c "import sys; from PIL import Image
Image.open(sys.argv[1]).convert('RGB').quantize(128).save(sys.argv[1], optimize=True)" "$picture"
