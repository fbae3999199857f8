"""Faults on demand: what a receiver does on a bad day, and a sender has to live with."""

import socket
import struct
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedIOBase
from typing import Any

from responder.cli.demo.stand_in.kept import Kept

#: The path by which the SMTP server is told to fail.
SMTP = "smtp"
#: `drip` and `lost` take the message; the sender of a lost one cannot know that.
HTTP_FAULTS = ("429", "500", "503", "200-error", "redirect", "reset", "hang", "drip", "lost")
SMTP_FAULTS = ("450", "550", "reset", "hang", "drip", "lost")
RETRY_AFTER_SECONDS = 1
HANG_SECONDS = 60.0
DRIP_SECONDS = 0.2
#: What the stand-in itself offers never fails.
_SPARED = ("/faults", "/known", "/received", "/redirected")


@dataclass
class _Planned:
    prefix: str
    fault: str
    times: int


class Faults:
    """Each request takes the first fault that is planned for its path."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._planned: deque[_Planned] = deque()

    def plan(self, path_prefix: str, fault: str, times: int = 1) -> None:
        """ValueError for a fault that this path cannot have."""
        known = SMTP_FAULTS if path_prefix == SMTP else HTTP_FAULTS
        if fault not in known:
            raise ValueError(f"a fault of {path_prefix!r} is one of {', '.join(known)}")
        if path_prefix != SMTP and not path_prefix.startswith("/"):
            raise ValueError(f"a path begins with / or is {SMTP!r}")
        if times < 1:
            raise ValueError("a fault happens at least once")
        with self._lock:
            self._planned.append(_Planned(path_prefix, fault, times))

    def take(self, path: str) -> str | None:
        if path.startswith(_SPARED):
            return None
        with self._lock:
            for planned in self._planned:
                if path.startswith(planned.prefix):
                    break
            else:
                return None
            planned.times -= 1
            if not planned.times:
                self._planned.remove(planned)
        self._kept.keep("failed", path=path, fault=planned.fault)
        return planned.fault

    def clear(self) -> None:
        with self._lock:
            self._planned.clear()


def reset(connection: socket.socket) -> None:
    """End the connection by a RST, as a receiver does whose process was killed."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    socket.close(connection.detach())


def hang(connection: socket.socket) -> None:
    """Say nothing until the other side, or the stand-in, ends the connection."""
    connection.settimeout(HANG_SECONDS)
    deadline = time.monotonic() + HANG_SECONDS
    with suppress(OSError):
        while time.monotonic() < deadline and connection.recv(65_536):
            pass


class Drip(BufferedIOBase):
    """A connection written to byte by byte, with a pause after each."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        for byte in bytes(data):
            self._connection.sendall(bytes([byte]))
            time.sleep(DRIP_SECONDS)
        return len(data)
