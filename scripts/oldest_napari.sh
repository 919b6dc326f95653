#!/bin/sh
# The tests of the window with the oldest napari that is supported, in an environment of its own (a minute to
# make; by hand, not in .ci/run: the window's tests would take its time twice).
#   scripts/oldest_napari.sh [FOLDER [TESTS…]]
set -eu
cd "$(dirname "$0")/.."
folder=${1:-/tmp/deepheme-oldest-napari}
[ $# -gt 0 ] && shift
uv=.tools/bin/uv
command -v uv >/dev/null && uv=uv
if [ ! -x "$folder/bin/python" ]; then
    "$uv" venv --quiet --python .venv/bin/python "$folder"
    # napari and what depends on its version are left to it
    sed -e '/^napari/d' -e '/^vispy/d' -e '/^app-model/d' -e '/^npe2/d' -e '/^magicgui/d' \
        -e '/^docutils/d' constraints.txt \
        >"$folder/constraints.txt"
    # numpydoc, which napari needs, refuses an older sphinx
    printf "napari==0.6.2\nsphinx>=5\n" >>"$folder/constraints.txt"
    "$uv" pip install --quiet --python "$folder/bin/python" --constraint "$folder/constraints.txt" \
        --group dev --editable ".[all]"
fi
[ $# -gt 0 ] || set -- tests/gui tests/unit/ui
scripts/with_screen.sh "$folder/bin/python" -m pytest -q -p no:cacheprovider -W default "$@"  # an old napari warns of what is newer
