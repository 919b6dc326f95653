#!/bin/sh
# Run a command on the screen there is, or on a virtual one.
if [ "$(uname -s)" != Linux ] || [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
    exec "$@"
fi
exec xvfb-run --auto-servernum --server-args="-screen 0 1600x1000x24" "$@"
