"""A load generator that is not the bottleneck: one process, prebuilt requests, kept connections.

    python -m bench.load http://127.0.0.1:8000/v1/webhooks/alertmanager --bearer TOKEN

Closed: each connection asks again as soon as it is answered. With a rate: requests are due at fixed
times, and each is as late as it is answered after its own time, so a server that stands still is
seen to (no coordinated omission). It shares no interpreter with whoever calls `drive`.
"""

import argparse
import dataclasses
import json
import os
import selectors
import socket
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

#: Stands in a request wherever the number of the request shall stand, in as many digits.
MARK = b"#########"
#: Above this share of a core the numbers are those of the generator.
BUSY = 0.85
#: So long the last answers are waited for.
PATIENCE = 30.0


@dataclass(frozen=True)
class Load:
    """seconds, of the whole; cpu: the generator's share of a core; broken: connections that ended
    before an answer; unsent: due in the time, and never sent, for want of a free connection.
    Milliseconds."""

    requests: int
    seconds: float
    rate: float
    p10: float
    p50: float
    p99: float
    longest: float
    statuses: Mapping[str, int]
    broken: int
    unsent: int
    cpu: float

    @property
    def accepted(self) -> float:
        """Requests answered with 2xx in a second."""
        return sum(n for s, n in self.statuses.items() if s[0] == "2") / self.seconds

    @property
    def detail(self) -> str:
        """What was seen, in a line."""
        wrong = {s: n for s, n in self.statuses.items() if s[0] != "2"}
        parts = [f"p50 {self.p50:.1f} ms", f"p99 {self.p99:.1f} ms", f"max {self.longest:.0f} ms"]
        parts += [f"{n} x {s}" for s, n in wrong.items()]
        parts += [f"{self.broken} broken"] if self.broken else []
        parts += [f"{self.unsent} never sent"] if self.unsent else []
        if self.cpu > BUSY:
            parts.append(f"THE GENERATOR WAS BUSY ({self.cpu:.0%} of a core)")
        return ", ".join(parts)


def request(url: str, headers: Mapping[str, str], body: bytes, method: str = "POST") -> bytes:
    """The bytes of a request; MARK may stand in the body."""
    place = urlsplit(url)
    path = place.path + (f"?{place.query}" if place.query else "")
    told = {"Host": place.netloc, "User-Agent": "bench", **headers}
    if body:
        told |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    lines = [f"{method} {path or '/'} HTTP/1.1", *(f"{n}: {v}" for n, v in told.items()), "", ""]
    return "\r\n".join(lines).encode() + body


def alertmanager(
    alerts: int, labels: Mapping[str, str] | None = None, name: str = "HostIsOutOfMemory"
) -> bytes:
    """A group as Alertmanager sends it (version 4); each alert of each request is another one.

    labels: of all alerts, over the defaults; a value may hold MARK.
    """
    mark = MARK.decode()
    common = {"alertname": name, "severity": "warning", "env": "bench", "job": "node"}
    common |= labels or {}
    summary = "Less than 5 percent of its memory is free."
    group = [
        {
            "status": "firing",
            "labels": {"instance": f"host-{mark}-{each:03}:9100", **common},
            "annotations": {
                "summary": summary,
                "description": f"host-{mark}-{each:03} has 212 MB left, less than it had.",
                "runbook_url": "https://runbooks.example.com/memory",
            },
            "startsAt": "2026-01-01T08:00:00.000Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "https://prometheus.example.com/graph?g0.expr=free",
            "fingerprint": f"{mark}{each:07}",
        }
        for each in range(alerts)
    ]
    body = {
        "version": "4",
        "groupKey": f'{{}}:{{alertname="{name}"}}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "responder",
        "groupLabels": {"alertname": name},
        "commonLabels": common,
        "commonAnnotations": {"summary": summary},
        "externalURL": "https://alertmanager.example.com",
        "alerts": group,
    }
    return json.dumps(body).encode()


def drive(
    url: str,
    template: bytes,
    seconds: float,
    connections: int = 16,
    rate: float | None = None,
    first: int = 0,
    count: int | None = None,
) -> Load:
    """The load of a process of its own. template: of `request`; first: the number of its first one.

    rate: requests a second; None: as fast as they are answered. count: no more of them.
    """
    place = urlsplit(url)
    told = {
        "host": place.hostname,
        "port": place.port or 80,
        "template": template.decode("latin-1"),
        "seconds": seconds,
        "connections": connections,
        "rate": rate,
        "first": first,
        "count": count,
    }
    command = [sys.executable, "-m", "bench.load", "--told"]
    done = subprocess.run(
        command,
        input=json.dumps(told).encode(),
        capture_output=True,
        cwd=Path(__file__).parents[1],
        timeout=seconds + PATIENCE + 30,
    )
    if done.returncode:
        raise RuntimeError(f"the load generator failed:\n{done.stderr.decode(errors='replace')}")
    return Load(**json.loads(done.stdout))


def processor_seconds(roots: Mapping[str, int]) -> dict[str, float]:
    """What each of these processes has used so far, with all that it started; of Linux.

    A child that has ended counts once its parent has waited for it.
    """
    tick = os.sysconf("SC_CLK_TCK")
    parents: dict[int, int] = {}
    used: dict[int, float] = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            told = place.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        pid = int(place.parent.name)
        parents[pid], used[pid] = int(told[1]), sum(map(int, told[11:15])) / tick
    return {
        name: sum(used.get(pid, 0.0) for pid in _family(root, parents))
        for name, root in roots.items()
    }


def shares(
    before: Mapping[str, float], after: Mapping[str, float], seconds: float
) -> dict[str, float]:
    """Shares of a core, of two readings of `processor_seconds`."""
    return {name: (after[name] - before[name]) / seconds for name in after if name in before}


def _family(root: int, parents: Mapping[int, int]) -> set[int]:
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


@dataclass
class _Connection:
    """due: when the request that it has in hand should have been sent; None: it has none.

    rest: of it, not sent yet; full: the socket takes no more of it now.
    """

    sock: socket.socket
    due: float | None = None
    rest: bytes = b""
    full: bool = False
    read: bytearray = field(default_factory=bytearray)


class _Generator:
    def __init__(
        self,
        host: str,
        port: int,
        template: bytes,
        seconds: float,
        connections: int,
        rate: float | None,
        first: int,
        count: int | None,
    ) -> None:
        self._place, self._template, self._seconds = (host, port), template, seconds
        self._rate, self._number, self._left = rate, first, count
        self._selector = selectors.DefaultSelector()
        self._idle = deque(self._connected() for _ in range(connections))
        self._taken: list[float] = []
        self._statuses: Counter[str] = Counter()
        self._broken = self._unsent = 0

    def run(self) -> Load:
        used, began = time.process_time(), time.perf_counter()
        ends = began + self._seconds
        for due in self._due(began, ends):
            self._send(self._idle.popleft(), due)
        while self._busy() and time.perf_counter() < ends + PATIENCE:
            self._read(1.0)
        took = (ends if self._left is None else time.perf_counter()) - began
        cpu = (time.process_time() - used) / (time.perf_counter() - began)
        return self._told(took, cpu)

    def _due(self, began: float, ends: float) -> Iterator[float]:
        """When the next request is due, as soon as there is a connection that is free for it."""
        sent = 0
        while (now := time.perf_counter()) < ends and self._left != sent:
            due = now if self._rate is None else began + sent / self._rate
            if due <= now and self._idle:
                yield due
                sent += 1
            else:
                self._read(min(ends, due if due > now else ends) - now)
        if self._rate is not None and self._left is None:
            self._unsent = max(0, int(self._seconds * self._rate) - sent)

    def _send(self, connection: _Connection, due: float) -> None:
        connection.due = due
        connection.rest = self._template.replace(MARK, b"%0*d" % (len(MARK), self._number))
        self._number += 1
        self._write(connection)

    def _write(self, connection: _Connection) -> None:
        try:
            sent = connection.sock.send(connection.rest)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._lost(connection)
            return
        connection.rest = connection.rest[sent:]
        if bool(connection.rest) != connection.full:
            connection.full = bool(connection.rest)
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.full else 0)
            self._selector.modify(connection.sock, events, connection)

    def _read(self, timeout: float) -> None:
        for key, events in self._selector.select(max(0.0, timeout)):
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
        except OSError:
            got = b""
        if not got:
            self._lost(connection)
            return
        connection.read += got
        head = connection.read.find(b"\r\n\r\n")
        if head < 0:
            return
        told = bytes(connection.read[:head]).lower()
        if len(connection.read) < head + 4 + _length(told):
            return
        assert connection.due is not None, "an answer that nobody asked for"
        self._taken.append((time.perf_counter() - connection.due) * 1000)
        self._statuses[told[9:12].decode()] += 1
        connection.due = None
        connection.read.clear()
        if b"\r\nconnection: close" in told:
            self._replace(connection)
        else:
            self._idle.append(connection)

    def _lost(self, connection: _Connection) -> None:
        """A kept connection may be ended by the server between two requests; that breaks none."""
        if connection.due is not None:
            self._broken += 1
        else:
            self._idle.remove(connection)
        self._replace(connection)

    def _replace(self, connection: _Connection) -> None:
        self._selector.unregister(connection.sock)
        connection.sock.close()
        self._idle.append(self._connected())

    def _connected(self) -> _Connection:
        sock = socket.create_connection(self._place, timeout=PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        connection = _Connection(sock)
        self._selector.register(sock, selectors.EVENT_READ, connection)
        return connection

    def _busy(self) -> bool:
        return any(key.data.due is not None for key in self._selector.get_map().values())

    def _told(self, seconds: float, cpu: float) -> Load:
        taken = sorted(self._taken) or [0.0]
        return Load(
            requests=len(self._taken),
            seconds=seconds,
            rate=len(self._taken) / seconds,
            p10=taken[len(taken) // 10],
            p50=taken[len(taken) // 2],
            p99=taken[int(len(taken) * 0.99)],
            longest=taken[-1],
            statuses=dict(self._statuses),
            broken=self._broken,
            unsent=self._unsent,
            cpu=cpu,
        )


def _length(head: bytes) -> int:
    """The length of the body, by its header; the servers that are measured all write it."""
    at = head.find(b"content-length:")
    return int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


def main() -> None:
    """One run by hand; told: what `drive` says on standard input."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", nargs="?")
    parser.add_argument("--told", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--bearer", default="")
    parser.add_argument("--alerts", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--rate", type=float)
    chosen = parser.parse_args()
    if chosen.told:
        told = json.load(sys.stdin)
        told["template"] = told["template"].encode("latin-1")
        json.dump(dataclasses.asdict(_Generator(**told).run()), sys.stdout)
        return
    headers = {"Authorization": f"Bearer {chosen.bearer}"}
    template = request(chosen.url, headers, alertmanager(chosen.alerts))
    load = drive(chosen.url, template, chosen.seconds, chosen.connections, chosen.rate)
    print(f"{load.rate:.0f}/s, {load.detail}, generator {load.cpu:.0%} of a core")


if __name__ == "__main__":
    main()
