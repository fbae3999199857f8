"""The door of a receiver: it hands on to the stand-in, or fails as receivers and networks do."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

#: How a door fails; `half-closed` takes the request, ends its own side and keeps the connection.
WAYS = ("refused", "silent", "500", "429", "half-closed", "no TLS")
_ANSWERS = {
    "500": b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    "429": b"HTTP/1.1 429 No\r\nretry-after: 120\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
}
_PATIENCE = 10.0


class Door:
    """Listens on a port of its own; `way` is empty while it hands on to the stand-in behind it.

    tried: connections that came while it failed.
    """

    def __init__(self, behind: str, tls: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(behind)
        self._behind = (parts.hostname or "", parts.port or 0)
        self._tls = tls
        self._held: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self.way = ""
        self.tried = 0
        self._listen(0)
        assert self._listener is not None
        self._port = self._listener.getsockname()[1]

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    def fail(self, way: str) -> None:
        self.way = way
        if way == "refused":
            self._deafen()

    def heal(self) -> None:
        """Whoever waits for an answer is let go."""
        if self.way == "refused":
            self._listen(self._port)
        self.way = ""
        self._let_go()

    def close(self) -> None:
        self._deafen()
        self._let_go()

    def _listen(self, port: int) -> None:
        listener = socket.create_server(("127.0.0.1", port), backlog=200)
        self._listener = listener
        threading.Thread(target=self._serve, args=[listener], name="door", daemon=True).start()

    def _deafen(self) -> None:
        if self._listener is not None:
            with suppress(OSError):  # it wakes the thread that accepts
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None

    def _let_go(self) -> None:
        for each in self._held:
            each.close()
        self._held.clear()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                caller, _ = listener.accept()
            except OSError:
                return
            caller.settimeout(_PATIENCE)
            threading.Thread(target=self._answer, args=[caller], daemon=True).start()

    def _answer(self, caller: socket.socket) -> None:
        way = self.way
        self.tried += bool(way)
        if way == "silent":
            self._held.append(caller)
            return
        with suppress(OSError), caller:
            if way == "no TLS":
                caller.sendall(b"220 this is no TLS\r\n" * 10)
                return
            with self._tls.wrap_socket(caller, server_side=True) if self._tls else caller as inner:
                if way:
                    self._fail(inner, way)
                else:
                    self._hand_on(inner)

    def _fail(self, caller: socket.socket, way: str) -> None:
        _request(caller)
        if way == "half-closed":
            caller.shutdown(socket.SHUT_WR)
            while caller.recv(65_536):
                pass
        else:
            caller.sendall(_ANSWERS[way])
            caller.shutdown(socket.SHUT_WR)

    def _hand_on(self, caller: socket.socket) -> None:
        """One request for each connection: what is said must not be read by a door that fails."""
        with socket.create_connection(self._behind, _PATIENCE) as behind:
            behind.sendall(_request(caller).replace(b"keep-alive", b"close", 1))
            while piece := behind.recv(65_536):
                caller.sendall(piece)


def _request(caller: socket.socket) -> bytes:
    """A request, whole, as far as its content-length says."""
    read = b""
    while b"\r\n\r\n" not in read and (piece := caller.recv(65_536)):
        read += piece
    head, _, body = read.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    left = int(lengths[0].partition(b":")[2]) - len(body) if lengths else 0
    while left > 0 and (piece := caller.recv(65_536)):
        read += piece
        left -= len(piece)
    return read


@contextmanager
def opened(*behind: str, tls: ssl.SSLContext | None = None) -> Iterator[list[Door]]:
    """A door before each of these."""
    doors = [Door(each, tls) for each in behind]
    try:
        yield doors
    finally:
        for door in doors:
            door.close()


def certified(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """What a server of 127.0.0.1 needs for TLS, and the file of the authority behind it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a receiver")])
    now = datetime.now(UTC)
    address = x509.IPAddress(ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context, folder / "certificate.pem"
