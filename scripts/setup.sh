#!/bin/sh
# What a fresh machine lacks. `setup.sh environment`: uv and .venv; `setup.sh screen`: what Qt needs on Linux.
set -eu
cd "$(dirname "$0")/.."

can_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

# install Debian packages, or print the exact command and fail
packages() {
    if can_install; then
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null
    else
        echo "Please run:  sudo apt-get update && sudo apt-get install -y $*" >&2
        return 1
    fi
}

find_python() {
    for name in python3.13 python3.12 python3.11 python3 python; do
        if command -v "$name" >/dev/null &&
            "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    echo "Python 3.11, 3.12 or 3.13 is needed and none was found." >&2
    return 1
}

environment() {
    python=$(find_python)
    if command -v uv >/dev/null; then
        uv=uv
    else
        uv=.tools/bin/uv
        if [ ! -x "$uv" ]; then
            # Debian ships venv apart from Python
            "$python" -m venv .tools 2>/dev/null || { packages python3-venv && "$python" -m venv .tools; }
            .tools/bin/pip install --quiet uv
        fi
    fi
    [ -x .venv/bin/python ] || "$uv" venv --quiet --python "$(command -v "$python")" .venv
    # compiled once here, not again by each of the many processes that tests and `make demo` start
    "$uv" pip install --quiet --compile-bytecode --python .venv/bin/python --constraint constraints.txt --group dev --editable ".[all]"
}

screen() {
    [ "$(uname -s)" = Linux ] || return 0
    known=$(PATH="$PATH:/sbin:/usr/sbin" ldconfig -p)
    missing=""
    need() { echo "$known" | grep -q "$1" || missing="$missing $2"; }
    need libEGL.so.1 libegl1
    need libGL.so.1 libgl1
    need libxkbcommon-x11.so.0 libxkbcommon-x11-0
    need libxcb-cursor.so.0 libxcb-cursor0
    need libxcb-icccm.so.4 libxcb-icccm4
    need libxcb-image.so.0 libxcb-image0
    need libxcb-keysyms.so.1 libxcb-keysyms1
    need libxcb-render-util.so.0 libxcb-render-util0
    need libxcb-shape.so.0 libxcb-shape0
    need libxcb-xinerama.so.0 libxcb-xinerama0
    need libdbus-1.so.3 libdbus-1-3
    need libfontconfig.so.1 libfontconfig1
    need libglib-2.0.so.0 libglib2.0-0
    if [ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
        command -v xvfb-run >/dev/null || missing="$missing xvfb xauth"
        ls /usr/lib/*/dri/swrast_dri.so >/dev/null 2>&1 || missing="$missing libgl1-mesa-dri"
    fi
    # shellcheck disable=SC2086  # one word a package
    [ -z "$missing" ] || packages $missing
}

"$1"
