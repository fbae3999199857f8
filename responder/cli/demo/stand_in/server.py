"""A server for this machine alone, whose end is the end of all its threads and connections."""

import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from socketserver import BaseRequestHandler, TCPServer, ThreadingMixIn
from typing import Any


class Server(ThreadingMixIn, TCPServer):
    """Listens on a free port, with a thread for each connection."""

    allow_reuse_address = True
    request_queue_size = 128

    def __init__(
        self, handler: Callable[..., BaseRequestHandler], address: str = "127.0.0.1"
    ) -> None:
        super().__init__((address, 0), handler)
        self.port = int(self.server_address[1])
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._thread = threading.Thread(
            target=self.serve_forever, args=(0.02,), name=f"stand-in {self.port}"
        )

    def __enter__(self) -> "Server":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            with suppress(OSError):  # it ended by itself meanwhile
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()  # waits for the threads

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A sender that does not wait for the rest of our answer is no error of ours."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)
