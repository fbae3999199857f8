"""Senders that do not slow down: a fixed rate of attempts, each delivery until it is in.

A process of its own (`flood`), so that it is not the bottleneck. It sends what is due over as many
connections as it is given, whether or not earlier attempts were answered; what is answered 503, or
not at all, is tried again: when the answer says, else after half a second, then ever later. When
the time is over nothing new is sent, and what is left is tried until it is in.
"""

import heapq
import json
import random
import selectors
import socket
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from responder.embedded import tied

#: Stand in a delivery where its number and its name shall stand.
NUMBER, NAME = b"#########", b"$NAME"
#: The patience with one attempt, and pauses as Alertmanager makes them.
TIMEOUT, PAUSE, LONGER, LONGEST = 10.0, 0.5, 1.5, 60.0
#: Seconds for which a connection is kept that is not used: less than the responder keeps it.
KEPT = 4.0


@dataclass(frozen=True)
class Plan:
    """What is to be sent. rate: attempts a second; None: one as soon as there is a connection free.

    requests: the bytes of a delivery, ordinary and grave; grave_every: seconds between two of the
    latter; hands: deliveries that are tried at a time; afterwards: seconds for what is left.
    """

    host: str
    port: int
    ordinary: str
    grave: str
    seconds: float
    connections: int
    rate: float | None = None
    grave_every: float | None = None
    hands: int = 1000
    afterwards: float = 60.0


@dataclass
class Delivery:
    """One that is tried until it is in; times are those of the clock on the wall."""

    number: int
    grave: bool
    first: float
    attempts: int = 0
    accepted: float | None = None
    id: str = ""


@dataclass(frozen=True)
class Flooded:
    """What came of it. statuses, broken: of attempts; bare: answers 503 without Retry-After;
    waits: seconds until an answer, p50 and p99 and the longest, by status; left: never taken."""

    seconds: float
    attempts: int
    statuses: Mapping[str, int]
    broken: Mapping[str, int]
    bare: int
    waits: Mapping[str, Sequence[float]]
    late: float
    left: int
    drained: float
    deliveries: Sequence[Mapping[str, Any]]

    @property
    def accepted(self) -> list[str]:
        """The ids of all deliveries that were promised."""
        return [each["id"] for each in self.deliveries if each["accepted"]]

    def refused(self, *, grave: bool) -> float:
        """Attempts that were not taken, as a share of all of them."""
        some = [each for each in self.deliveries if each["grave"] == grave]
        tried = sum(each["attempts"] for each in some)
        return 1 - sum(bool(each["accepted"]) for each in some) / max(1, tried)


@contextmanager
def flood(plan: Plan) -> Iterator["Flood"]:
    """Begins now; it ends with the block at the latest."""
    command = tied(sys.executable, "-m", "tests.faults.flood")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdin is not None
            process.stdin.write(json.dumps(asdict(plan)).encode())
            process.stdin.close()
            yield Flood(process)
        finally:
            process.kill()


class Flood:
    """One that is under way."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def ended(self) -> Flooded:
        """What came of it, as soon as it is over."""
        assert self._process.stdout is not None
        return Flooded(**json.load(self._process.stdout))


@dataclass
class _Connection:
    sock: socket.socket
    ready: bool = False
    since: float = 0.0
    delivery: Delivery | None = None
    rest: bytes = b""
    read: bytearray = field(default_factory=bytearray)


class _Senders:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._chance = random.Random(7)
        self._selector = selectors.DefaultSelector()
        self._idle: deque[_Connection] = deque()
        self._open = 0
        self._waiting: list[tuple[float, int, Delivery]] = []
        self._all: list[Delivery] = []
        self._in_hand = 0
        self._graves = 0
        self._statuses: Counter[str] = Counter()
        self._broken: Counter[str] = Counter()
        self._waits: dict[str, list[float]] = {}
        self._attempts = self._bare = 0
        self._late = 0.0

    def run(self) -> Flooded:
        plan = self._plan
        began = time.monotonic()
        ends, sent, checked = began + plan.seconds, 0, began
        while (now := time.monotonic()) < ends:
            due = now if plan.rate is None else began + sent / plan.rate
            grave = self._grave_due(now - began)
            if (grave or due <= now) and self._free():
                self._send(self._new(grave=True) if grave else self._next(now), now)
                if not grave:
                    self._late = max(self._late, now - due)
                    sent += 1
                self._look(0.0)
            else:
                self._look(min(0.05, max(0.0, due - now)) if self._free() else 0.05)
            if now - checked > 0.5:
                checked = now
                self._give_up(now)
        attempts = self._attempts
        while self._in_hand and time.monotonic() < ends + plan.afterwards:
            now = time.monotonic()
            while self._waiting and self._waiting[0][0] <= now and self._free():
                self._send(heapq.heappop(self._waiting)[2], now)
            self._look(0.02)
            self._give_up(now)
        return Flooded(
            seconds=plan.seconds,
            attempts=attempts,
            statuses=dict(self._statuses),
            broken=dict(self._broken),
            bare=self._bare,
            waits={name: _points(some) for name, some in self._waits.items()},
            late=self._late,
            left=self._in_hand,
            drained=time.monotonic() - ends,
            deliveries=[asdict(each) for each in self._all],
        )

    def _grave_due(self, after: float) -> bool:
        every = self._plan.grave_every
        return every is not None and after >= self._graves * every

    def _new(self, *, grave: bool) -> Delivery:
        self._graves += grave
        delivery = Delivery(len(self._all), grave, time.time())
        self._all.append(delivery)
        self._in_hand += 1
        return delivery

    def _next(self, now: float) -> Delivery:
        """What is due again, else a new one; with all hands full whatever is due soonest."""
        due = bool(self._waiting) and self._waiting[0][0] <= now
        if due or (self._in_hand >= self._plan.hands and self._waiting):
            return heapq.heappop(self._waiting)[2]
        return self._new(grave=False)

    def _free(self) -> bool:
        if not self._idle and self._open < self._plan.connections:
            self._connect()
        return bool(self._idle)

    def _connect(self) -> None:
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect_ex((self._plan.host, self._plan.port))
        self._open += 1
        connection = _Connection(sock, since=time.monotonic())
        self._selector.register(sock, selectors.EVENT_READ, connection)
        self._idle.append(connection)

    def _send(self, delivery: Delivery, now: float) -> None:
        connection = self._idle.pop()
        delivery.attempts += 1
        self._attempts += 1
        template = self._plan.grave if delivery.grave else self._plan.ordinary
        connection.delivery, connection.since = delivery, now
        connection.rest = template.encode().replace(NUMBER, b"%09d" % delivery.number)
        self._write(connection)

    def _write(self, connection: _Connection) -> None:
        try:
            sent = connection.sock.send(connection.rest)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._lost(connection, type(error).__name__)
            return
        connection.rest = connection.rest[sent:]
        more = selectors.EVENT_WRITE if connection.rest else 0
        if more or not connection.ready:
            self._selector.modify(connection.sock, selectors.EVENT_READ | more, connection)
        connection.ready = not more

    def _look(self, timeout: float) -> None:
        for key, events in self._selector.select(timeout):
            connection: _Connection = key.data
            if events & selectors.EVENT_WRITE:
                self._write(connection)
            elif events & selectors.EVENT_READ:
                self._receive(connection)

    def _receive(self, connection: _Connection) -> None:
        try:
            got = connection.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(connection, type(error).__name__)
            return
        if not got:
            self._lost(connection, "closed")
            return
        connection.read += got
        head, there, body = bytes(connection.read).partition(b"\r\n\r\n")
        told = head.lower()
        if not there or len(body) < int(_header(told, b"content-length") or 0):
            return
        self._answered(connection, told, body)

    def _answered(self, connection: _Connection, head: bytes, body: bytes) -> None:
        delivery, connection.delivery = connection.delivery, None
        assert delivery is not None, "an answer that nobody asked for"
        status = head[9:12].decode()
        self._statuses[status] += 1
        kind = status + (" grave" if delivery.grave else "")
        self._waits.setdefault(kind, []).append(time.monotonic() - connection.since)
        connection.read.clear()
        connection.since = time.monotonic()
        if b"\r\nconnection: close" in head:
            self._drop(connection)
        else:
            self._idle.append(connection)
        if status == "202":
            delivery.accepted, delivery.id = time.time(), json.loads(body)["delivery"]
            self._in_hand -= 1
            return
        after = _header(head, b"retry-after")
        if status == "503" and after is None:
            self._bare += 1
        self._again(delivery, float(after or 0))

    def _again(self, delivery: Delivery, after: float = 0.0) -> None:
        pause = min(LONGEST, PAUSE * LONGER ** (delivery.attempts - 1))
        due = time.monotonic() + (after or pause * self._chance.uniform(0.5, 1.5))
        heapq.heappush(self._waiting, (due, delivery.number, delivery))

    def _lost(self, connection: _Connection, why: str) -> None:
        """One that was idle may be ended by the server at any time."""
        if connection.delivery is None:
            with suppress(ValueError):
                self._idle.remove(connection)
        else:
            self._broken[why] += 1
            self._again(connection.delivery)
        self._drop(connection)

    def _drop(self, connection: _Connection) -> None:
        self._selector.unregister(connection.sock)
        connection.sock.close()
        self._open -= 1

    def _give_up(self, now: float) -> None:
        while self._idle and now - self._idle[0].since > KEPT:
            self._drop(self._idle.popleft())
        for key in list(self._selector.get_map().values()):
            connection: _Connection = key.data
            if connection.delivery is not None and now - connection.since > TIMEOUT:
                self._lost(connection, "no answer")


def _header(head: bytes, name: bytes) -> bytes | None:
    at = head.find(b"\r\n" + name + b":")
    return head[at + len(name) + 3 :].split(b"\r\n", 1)[0].strip() if at >= 0 else None


def _points(some: list[float]) -> list[float]:
    some.sort()
    return [some[len(some) // 2], some[int(len(some) * 0.99)], some[-1]]


if __name__ == "__main__":
    json.dump(asdict(_Senders(Plan(**json.load(sys.stdin))).run()), sys.stdout)
