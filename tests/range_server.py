"""A web server on this machine that serves ranges of a folder's files, well or badly."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class RangeServer(ThreadingHTTPServer):
    """Counts what it gives; its faults are asked for.

    Attributes
    ----------
    faults : list of str
        What the next requests for a range meet, one each: ``drop``, ``truncate``, ``stall`` or a status.
    ranges : bool
        Whether it gives ranges at all.
    given : list of tuple
        Start and end of each range it gave.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder, self.ranges, self.seconds = folder, True, 0.0
        self.faults: list[str] = []
        self.given: list[tuple[int, int]] = []
        self.stop = threading.Event()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: RangeServer

    def log_message(self, *args: object) -> None:
        """Nothing is printed."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = self.server.folder / self.path.partition("?")[0].lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        size, asked = path.stat().st_size, self.headers.get("Range")
        start, end = 0, size
        if asked and self.server.ranges:
            first, last = asked.removeprefix("bytes=").split("-")
            if first:
                start, end = int(first), min(size, int(last) + 1)
            else:  # the last so many
                start = max(0, size - int(last))
        is_part = (start, end) != (0, size)
        fault = self.server.faults.pop(0) if body and self.server.faults else ""
        if fault.isdigit():
            self.send_error(int(fault))
            return
        if fault == "drop":
            self.close_connection = True
            self.connection.close()
            return
        time.sleep(self.server.seconds)
        self.send_response(206 if is_part else 200)
        self.send_header("Content-Length", str(end - start))
        if self.server.ranges:
            self.send_header("Accept-Ranges", "bytes")
        if is_part:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        self.end_headers()
        if body:
            self._send(path, start, end, fault)

    def _send(self, path: Path, start: int, end: int, fault: str) -> None:
        with path.open("rb") as file:
            file.seek(start)
            data = file.read(end - start)
        if fault:
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            if fault == "stall":
                self.server.stop.wait(30)
            self.close_connection = True
            return
        self.server.given.append((start, end))
        self.wfile.write(data)


@contextmanager
def serving(folder: Path) -> Iterator[RangeServer]:
    """Serve a folder for a while."""
    server = RangeServer(folder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop.set()
        server.shutdown()
        server.server_close()
        thread.join()
