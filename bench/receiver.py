"""A stand-in for every receiver that costs next to nothing: it notes when what arrived.

A process of its own (`python -m bench.receiver`); any POST is taken, GET /received tells.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import requests

from responder.embedded import tied

#: What PagerDuty says; others look at the status alone.
_TAKEN = b'{"status": "success"}'


@dataclass(frozen=True)
class Arrival:
    """at: seconds since 1970, of this machine's clock, when the whole body was there."""

    at: float
    path: str
    body: dict[str, Any]


@dataclass(frozen=True)
class Receiver:
    """The running stand-in, as it is asked."""

    url: str
    pid: int

    def received(self, after: int = 0) -> list[Arrival]:
        """All that arrived but the first `after`, in order."""
        answer = requests.get(f"{self.url}/received/{after}", timeout=60)
        return [Arrival(at, path, json.loads(body)) for at, path, body in answer.json()]

    def count(self) -> int:
        return int(requests.get(f"{self.url}/count", timeout=60).json())


@contextmanager
def open_receiver() -> Iterator[Receiver]:
    command = tied(sys.executable, "-m", "bench.receiver")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        yield Receiver(f"http://127.0.0.1:{port}", process.pid)
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


class _Connection(asyncio.Protocol):
    """HTTP/1.1 with Content-Length and keep-alive, which is all that our senders do."""

    kept: list[tuple[float, str, str]] = []  # noqa: RUF012 - of all connections, on purpose

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while self._next():
            pass

    def _next(self) -> bool:
        """One whole request of the buffer is answered."""
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return False
        lines = head.decode("latin-1").split("\r\n")
        names = (line.split(":", 1) for line in lines[1:])
        headers = {name.lower(): value.strip() for name, value in names}
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            if headers.get("expect"):
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return False
        self._buffer = rest[length:]
        method, path, _ = lines[0].split(" ", 2)
        self._answer(method, path, rest[:length])
        if headers.get("connection", "").lower() == "close":
            self._transport.close()
        return True

    def _answer(self, method: str, path: str, body: bytes) -> None:
        if method == "POST":
            self.kept.append((time.time(), path, body.decode()))
            status, answer = "202 Accepted", _TAKEN
        elif path == "/count":
            status, answer = "200 OK", str(len(self.kept)).encode()
        else:
            after = int(path.rpartition("/")[2])
            status, answer = "200 OK", json.dumps(self.kept[after:]).encode()
        head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n"
        self._transport.write(f"{head}content-length: {len(answer)}\r\n\r\n".encode() + answer)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(
        _Connection, "127.0.0.1", 0, backlog=1024
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())
