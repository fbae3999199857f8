"""Who speaks, listens or leaves slowly, before anybody knows who it is, stops nobody else."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
import requests

from tests.house import alert
from tests.site import Site

#: Three times the threads of the two web processes.
CALLERS = 48
HEADERS = b"POST /v1/webhooks/prometheus HTTP/1.1\r\nHost: here"
BODY = HEADERS + b"\r\nContent-Length: 9999\r\n\r\n{"
CHUNKS = HEADERS + b"\r\nTransfer-Encoding: chunked\r\n\r\n1"
#: More than fits into the buffers of a connection.
LONG = b"GET /static/vendor/swagger-ui/swagger-ui-bundle.js HTTP/1.1\r\nHost: here\r\n\r\n" * 6
LAST = b"GET /healthz HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"


@contextmanager
def connected(site: Site, count: int, first: bytes) -> Iterator[list[socket.socket]]:
    """Many connections on which this is sent, and nothing is read."""
    address = urlsplit(site.world.webhook_url)
    assert address.hostname and address.port
    here = (address.hostname, address.port)
    open_ones = [socket.create_connection(here, timeout=30) for _ in range(count)]
    try:
        for each in open_ones:
            each.sendall(first)
        yield open_ones
    finally:
        for each in open_ones:
            each.close()


@contextmanager
def callers(site: Site, first: bytes) -> Iterator[list[socket.socket]]:
    """Many connections on which little comes, one byte every now and then."""
    over = threading.Event()

    def drip() -> None:
        while not over.wait(0.2):
            for each in open_ones:
                try:
                    each.sendall(b"x")
                except OSError:
                    continue  # it was cut off

    with connected(site, CALLERS, first) as open_ones:
        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            yield open_ones
        finally:
            over.set()
            dripping.join()


@pytest.mark.parametrize("first", [BODY, CHUNKS, HEADERS, b""], ids=["body", "chunks", "head", ""])
def test_slow_callers_stop_nobody_else(site: Site, first: bytes) -> None:
    with callers(site, first):
        for number in range(3):
            answer = site.post(alert(f"Comes{number}"))
            assert answer.status_code == 202
        health = requests.get(site.world.url + "/healthz", timeout=30)
        assert health.status_code == 200


@pytest.mark.parametrize(
    ("count", "first"),
    [(CALLERS, LONG), (CALLERS, LAST), (10 * CALLERS, b"")],
    ids=["listens not", "leaves not", "says nothing"],
)
def test_who_only_stays_stops_nobody_else(site: Site, count: int, first: bytes) -> None:
    with connected(site, count, first):
        for number in range(3):
            assert site.post(alert(f"Stays{number}")).status_code == 202


def test_who_was_cut_off_is_asked_to_come_again(site: Site) -> None:
    """A slow sender is answered as in an overload: it sends again and nothing is lost."""
    with callers(site, BODY) as slow:
        told = [each.recv(500) for each in slow[:4]]
    for answer in told:
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: 1" in answer
