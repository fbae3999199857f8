"""Every way in which a receiver can fail, over real sockets."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from responder.outbound import MAX_REFUSAL, MAX_RETRY_AFTER, Refused, Undelivered, post
from tests.receivers.mailbox import make_certificate

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


@contextmanager
def server(status: int, body: bytes = b"", **headers: str) -> Iterator[tuple[str, list[Any]]]:
    """A real HTTP server that always answers the same; yields its URL and what it got."""
    received: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            received.append((self.path, dict(self.headers), self.rfile.read(length)))
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(body))}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST

        def log_message(self, format: str, *args: Any) -> None: ...

    listening = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}", received
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


@contextmanager
def raw_server(talk: Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    """A socket that speaks as `talk` does, until the test is over."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10)

        def serve() -> None:
            connection, _ = listening.accept()
            with connection, suppress(OSError):  # the other side hangs up, as it should
                talk(connection, over)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/secret-path"
        finally:
            over.set()
            thread.join()


def fails(url: str, timeout: float = 5.0) -> Undelivered:
    with pytest.raises(Undelivered) as failed:
        post(url, b"{}", {}, now=NOW, timeout=timeout)
    return failed.value


def test_it_posts_json() -> None:
    with server(202) as (url, received):
        post(url + "/v2?a=b", b'{"a": "\xc3\xa9"}', {"x-mine": "1"}, now=NOW, timeout=5)
    ((path, headers, body),) = received
    assert path == "/v2?a=b"
    assert headers["content-type"] == "application/json"
    assert headers["x-mine"] == "1"
    assert headers["user-agent"].startswith("responder/")
    assert body == b'{"a": "\xc3\xa9"}'


@pytest.mark.parametrize(
    ("status", "permanent"),
    [
        (301, True),
        (304, True),
        (307, True),
        (400, True),
        (401, True),
        (404, True),
        (408, False),
        (410, True),
        (413, True),
        (425, False),
        (429, False),
        (500, False),
        (502, False),
        (503, False),
        (504, False),
    ],
)
def test_what_an_answer_means(status: int, permanent: bool) -> None:
    with server(status, b"why") as (url, _):
        failed = fails(url + "/secret-path?token=secret")
    assert isinstance(failed, Refused)
    assert (failed.status, failed.permanent, failed.retry_after) == (status, permanent, None)
    assert str(status) in str(failed)
    assert "secret" not in str(failed)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    with (
        server(200) as (elsewhere, followed),
        server(status, location=elsewhere) as (url, received),
    ):
        assert "redirects are not followed" in str(fails(url))
        assert len(received) == 1
        assert followed == []


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("999999999", MAX_RETRY_AFTER),
        (format_datetime(NOW + timedelta(seconds=90)), 90.0),
        (format_datetime(NOW.astimezone() + timedelta(seconds=90), usegmt=False), 90.0),
        (format_datetime(NOW - timedelta(hours=1)), 0.0),
        (format_datetime((NOW + timedelta(seconds=90)).replace(tzinfo=None)), 90.0),
        ("-5", None),
        ("1e9", None),
        ("nan", None),
        ("soon", None),
        ("Fri, 99 Dec 2027 23:59:59 GMT", None),
    ],
)
def test_retry_after_is_honoured(told: str, seconds: float | None) -> None:
    with server(429, retry_after=told) as (url, _):
        failed = fails(url)
    assert failed.retry_after == pytest.approx(seconds, abs=1)


def test_of_a_long_answer_only_the_beginning_is_read() -> None:
    with server(400, b"x" * 10_000_000) as (url, _):
        failed = fails(url)
    assert isinstance(failed, Refused)
    assert failed.answer == b"x" * MAX_REFUSAL


def test_a_closed_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    failed = fails(f"http://127.0.0.1:{port}/secret-path")
    assert not failed.permanent
    assert str(failed) == "127.0.0.1: cannot be reached"


def test_a_connection_that_breaks() -> None:
    with raw_server(lambda connection, over: None) as url:
        failed = fails(url)
    assert not failed.permanent
    assert "secret" not in str(failed)


def test_no_tls_on_the_other_side() -> None:
    with raw_server(lambda connection, over: connection.sendall(b"no TLS here\r\n")) as url:
        failed = fails(url.replace("http:", "https:"))
    assert (str(failed), failed.permanent) == ("127.0.0.1: TLS failed", False)


@pytest.mark.parametrize(
    ("trusted", "version", "heard"),
    [
        (True, ssl.TLSVersion.TLSv1_3, True),
        (True, ssl.TLSVersion.TLSv1_2, True),
        (True, ssl.TLSVersion.TLSv1_1, False),
        (False, ssl.TLSVersion.TLSv1_3, False),
    ],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_nothing_is_said_to_a_stranger_or_by_an_old_tls(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trusted: bool,
    version: ssl.TLSVersion,
    heard: bool,
) -> None:
    certificate = make_certificate(tmp_path)
    if trusted:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")  # such a server would still speak TLS 1.1
    context.minimum_version = context.maximum_version = version
    context.load_cert_chain(certificate)
    said: list[bytes] = []

    def talk(connection: socket.socket, over: threading.Event) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            heard = b""
            while not heard.endswith(b"{}") and (part := wrapped.recv(4096)):
                heard += part
            said.append(heard)
            wrapped.sendall(b"HTTP/1.1 204 Heard\r\n\r\n")

    with raw_server(talk) as url:
        if heard:
            post(url.replace("http:", "https:"), b"{}", {}, now=NOW, timeout=5.0)
        else:
            assert str(fails(url.replace("http:", "https:"))) == "127.0.0.1: TLS failed"
    assert bool(said) == heard


def says_nothing(connection: socket.socket, over: threading.Event) -> None:
    over.wait(10)


def drips_headers(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while not over.wait(0.05):
        connection.sendall(b"x")


def drips_the_answer(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 500 Oops\r\ncontent-length: 9999\r\n\r\n")
    while not over.wait(0.05):
        connection.sendall(b"x")


@pytest.mark.parametrize("talk", [says_nothing, drips_headers, drips_the_answer])
def test_the_time_is_over_whatever_a_receiver_does(talk: Any) -> None:
    with raw_server(talk) as url:
        began = time.monotonic()
        failed = fails(url, timeout=0.4)
        took = time.monotonic() - began
    assert not failed.permanent
    assert "secret" not in str(failed)
    assert took < 1.5


@pytest.mark.parametrize(
    "url",
    ["nonsense", "http://", "http://[::1", "ftp://x.example/", "http://" + "a" * 70 + ".example"],
)
def test_a_wrong_url_is_permanent(url: str) -> None:
    failed = fails(url)
    assert failed.permanent
    assert "URL" in str(failed)


def test_a_failure_names_the_host_without_its_login() -> None:
    with server(500) as (url, _):
        failed = fails(
            url.replace("http://", "http://somebody:hidden@") + "/hidden?hidden=1#hidden"
        )
    assert "127.0.0.1" in str(failed)
    assert "hidden" not in str(failed) and "somebody" not in str(failed)
