"""A mail server of a few lines that can misbehave wherever a test wants it to."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

#: Instead of a reply.
HANG_UP = "hang up"
DRIP = "drip"


@dataclass
class Mailbox:
    """replies: instead of the usual one, by command (`RCPT bob@example.com` before `RCPT`);
    `GREETING` and `CONTENT` are what is said first and after the letter. security: what is offered.

    said: what clients said, each with whether it was encrypted; letters: what arrived.
    """

    security: str = "none"
    login: str = ""
    certificate: Path | None = None
    replies: Mapping[str, str] = field(default_factory=dict)
    before: Mapping[str, Callable[[], object]] = field(default_factory=dict)
    said: list[tuple[str, bool]] = field(default_factory=list)
    letters: list[tuple[str, list[str], bytes]] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    @property
    def commands(self) -> list[str]:
        return [command.split(" ")[0].upper() for command, _ in self.said]

    @contextmanager
    def open(self) -> Iterator["Mailbox"]:
        server = _Server(("127.0.0.1", 0), _Session)
        server.mailbox = self
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def context(self) -> ssl.SSLContext:
        assert self.certificate is not None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate)
        return context


class _Server(ThreadingTCPServer):
    mailbox: Mailbox
    allow_reuse_address = True
    daemon_threads = False


class _HungUp(Exception):
    pass


class _Session(StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        self.mailbox, self.encrypted = self.server.mailbox, False
        self.sender, self.recipients = "", list[str]()
        with suppress(_HungUp, OSError):
            if self.mailbox.security == "tls":
                self._encrypt()
            self._reply("GREETING", "220 ready")
            while line := self.rfile.readline(2_000):
                self._command(line.decode("utf-8", "replace").rstrip("\r\n"))

    def finish(self) -> None:
        with suppress(OSError):
            super().finish()
        self.connection.close()
        self.mailbox.ended.set()

    def _command(self, line: str) -> None:
        self.mailbox.said.append((line, self.encrypted))
        verb = line.split(" ")[0].upper()
        address = line.partition("<")[2].partition(">")[0]
        if verb == "EHLO":
            self._reply("EHLO", "\r\n".join(self._features()))
        elif verb == "STARTTLS":
            self._reply("STARTTLS", "220 go")
            self._encrypt()
        elif verb == "AUTH":
            right = self.mailbox.login in line
            self._reply("AUTH", "235 welcome" if right else "535 no such login")
        elif verb == "MAIL":
            self.sender, self.recipients = address, []
            self._reply("MAIL", "250 ok")
        elif verb == "RCPT":
            said = self._reply("RCPT", "250 ok", f"RCPT {address}")
            self.recipients += [address] if said.startswith("250") else []
        elif verb == "DATA":
            if self._reply("DATA", "354 go").startswith("354"):
                self._content()
        elif verb == "QUIT":
            self._reply("QUIT", "221 bye")
            raise _HungUp

    def _content(self) -> None:
        lines = []
        while (line := self.rfile.readline(2_000)) != b".\r\n":
            if not line:
                raise _HungUp
            lines.append(line[1:] if line.startswith(b".") else line)
        if self._reply("CONTENT", "250 taken").startswith("250"):
            self.mailbox.letters.append((self.sender, self.recipients, b"".join(lines)))

    def _features(self) -> Iterator[str]:
        yield "250-mailbox"
        if self.mailbox.security == "starttls" and not self.encrypted:
            yield "250-STARTTLS"
        if self.mailbox.login:
            yield "250-AUTH PLAIN"
        yield "250 8BITMIME"

    def _reply(self, verb: str, usual: str, special: str = "") -> str:
        self.mailbox.before.get(verb, lambda: None)()
        replies = self.mailbox.replies
        said = replies.get(special) or replies.get(verb) or usual
        if said == HANG_UP:
            raise _HungUp
        if said == DRIP:
            self._drip()
        self.wfile.write(said.encode() + b"\r\n")
        return said

    def _drip(self) -> None:
        """A byte now and then, so that no reading ever times out, until the client is gone."""
        self.connection.settimeout(0.02)
        while True:
            self.wfile.write(b"2")
            try:
                if not self.connection.recv(100):
                    raise _HungUp
            except TimeoutError:
                continue

    def _encrypt(self) -> None:
        secured: Any = self.mailbox.context().wrap_socket(self.connection, server_side=True)
        self.connection = self.request = secured
        self.rfile, self.wfile = secured.makefile("rb"), _Writer(secured)
        self.encrypted = True


class _Writer:
    """What StreamRequestHandler writes through, for a socket that it did not open itself."""

    closed = False

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def write(self, data: bytes) -> None:
        self._connection.sendall(data)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


def make_certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that signs itself, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mailbox")])
    now = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = folder / "mailbox.pem"
    path.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    return path
