"""An HTTP service on the loopback interface, in a separate process.

Run by bench_io: `python -m benchmarks.loopback` prints its port and answers each GET
with the same few bytes until its standard input is closed.
"""

from __future__ import annotations

import atexit
import http.client
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ANSWER = b'{"id": 7, "name": "a bolt"}'


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # which keeps connections open
    # Else the second half of an answer waits until the first is acknowledged.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: what is written takes longer than the answer."""


class Service:
    """The process, and a connection to it that stays open."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.loopback"],
            cwd=Path(__file__).parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        atexit.register(self.close)
        assert self.process.stdout is not None
        port = int(self.process.stdout.readline())
        self.connection = http.client.HTTPConnection("127.0.0.1", port)

    def get(self) -> int:
        """Ask once; return the status of the answer."""
        self.connection.request("GET", "/bolts/7")
        response = self.connection.getresponse()
        if response.read() != ANSWER:
            raise RuntimeError("the loopback service gave another answer than its own")
        return response.status

    def close(self) -> None:
        if hasattr(self, "connection"):
            self.connection.close()
        self.process.communicate()


def main() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(server.server_port, flush=True)
        sys.stdin.read()
        server.shutdown()


if __name__ == "__main__":
    main()
