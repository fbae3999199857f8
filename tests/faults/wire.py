"""The wire between a worker and a server: it knows at which moment of a fix it is, and stops there.

A moment is a request of the worker that is about to reach the server, or the server's answer that
is about to reach the worker. Nothing in the product knows of it.
"""

import asyncio
import re
import struct
import threading
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from responder.store.queries import QUERIES
from responder.targets.writing import _SQL

#: Transactions of ours that belong to the walk of a fix; what the watches ask is not counted.
OF_A_FIX = frozenset(
    {
        *("unsettled_fix", "decision", "advance", "lock_rule", "fixes_this_hour", "insert_fix"),
        *("permit", "lock_target", "switch_off_after_failover", "gate", "record_fix", "settle_fix"),
        *("forget_answers", "verifying_fix", "verify_fix", "try_slot", "free_slot", "set_timer"),
        *("insert_audit_events", "lock_incident", "rest", "facts", "refusals"),
        *("insert_decisions", "set_decision"),
    }
)
#: What a transaction of ours is called after.
_STEPS = frozenset(["insert_fix", "record_fix", "settle_fix", "verify_fix", "insert_decisions"])
_CANCEL = 80877102


class Moment(NamedTuple):
    """side: ours or target; way: `>` to the server, `<` its answer; nth: of its kind in a fix."""

    side: str
    what: str
    way: str
    nth: int

    def __str__(self) -> str:
        return f"{self.side} {self.way} {self.what} #{self.nth}"


def _plain(sql: str) -> str:
    """A statement as both psycopg and our files write it."""
    return re.sub(r"%\(\w+\)s|\$\d+", "$", sql).replace("%%", "%").strip()


_OURS = {_plain(statement.sql): name for name, statement in QUERIES.items()}
_TARGET = {_plain(statement.sql): name for name, statement in _SQL.items()}


@dataclass
class Story:
    """What happened on both wires of one worker since its fix began, and where to stop.

    after: the request goes out first, so that its server may or may not have done it; life: which
    worker the wires serve; what one before it had not sent is never sent, however late it is read.
    """

    stop_at: Moment | None = None
    after: bool = False
    moments: list[Moment] = field(default_factory=list)
    reached: threading.Event = field(default_factory=threading.Event)
    armed: bool = False
    life: int = 0
    _counted: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    _go: asyncio.Event = field(default_factory=asyncio.Event)

    async def passes(self, side: str, what: str, way: str, life: int) -> bool:
        """Whether the message goes on, once whatever happens at this moment has happened."""
        if not self.armed:
            return life == self.life
        self._counted[side, what, way] += 1
        moment = Moment(side, what, way, self._counted[side, what, way])
        self.moments.append(moment)
        if moment == self.stop_at and not self.reached.is_set():
            self.reached.set()
            await self._go.wait()
        return life == self.life

    def go_on(self) -> None:
        """In the loop: what is held goes on, or is lost when the worker is dead by now."""
        self._go.set()


@dataclass
class _Line:
    """One connection: what its statements are called, and what is waiting for an answer."""

    life: int
    user: str = ""
    prepared: dict[str, str] = field(default_factory=dict)
    within: str | None = None
    waiting: deque[str | None] = field(default_factory=deque)


class Wire:
    """Listens on a port of its own and hands on to the socket of a server."""

    def __init__(self, side: str, socket: Path, story: Story) -> None:
        self.side, self.story = side, story
        self._socket = socket
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> int:
        """The port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()

    def cut(self) -> None:
        """Every connection ends at once, in both directions."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, writers = _Line(self.story.life), {writer}
        self._writers.add(writer)
        with suppress(OSError, asyncio.IncompleteReadError):
            up_reader, up_writer = await asyncio.open_unix_connection(str(self._socket))
            writers.add(up_writer)
            self._writers.add(up_writer)
            pumps = [
                asyncio.create_task(self._ask(line, reader, up_writer)),
                asyncio.create_task(self._answer(line, up_reader, writer)),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        for each in writers:
            self._writers.discard(each)
            each.close()

    async def _ask(
        self, line: _Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        first = await reader.readexactly(8)
        length, code = struct.unpack("!ii", first)
        rest = await reader.readexactly(length - 8)
        if code == _CANCEL:
            writer.write(first + rest)
            await writer.drain()
            return
        words = rest.split(b"\0")
        line.user = words[words.index(b"user") + 1].decode()
        if not await self._request(line, first + rest, self._counts(line, "connect"), writer):
            return
        while True:
            unit, what = await self._unit(line, reader)
            if not await self._request(line, unit, what, writer):
                return

    async def _request(
        self, line: _Line, unit: bytes, what: str | None, writer: asyncio.StreamWriter
    ) -> bool:
        if unit[:1] != b"X":
            line.waiting.append(what)
        if what is not None and not await self.story.passes(self.side, what, ">", line.life):
            return False
        writer.write(unit)
        await writer.drain()
        return True

    async def _unit(self, line: _Line, reader: asyncio.StreamReader) -> tuple[bytes, str | None]:
        """All up to the point where the server must answer, and what it is about."""
        unit, said = b"", None
        while True:
            kind, length = struct.unpack("!ci", await reader.readexactly(5))
            body = await reader.readexactly(length - 4)
            unit += kind + struct.pack("!i", length) + body
            if kind == b"P":
                name, sql, _ = body.split(b"\0", 2)
                line.prepared[name.decode()] = sql.decode()
            elif kind == b"B" and said is None:
                said = line.prepared.get(body.split(b"\0", 2)[1].decode())
            elif kind == b"Q":
                said = body.rstrip(b"\0").decode()
            if kind in b"QSXp":
                return unit, self._named(line, "bye" if kind == b"X" else said)

    def _named(self, line: _Line, said: str | None) -> str | None:
        """What a request is called, None when it belongs to no fix."""
        if said is None:
            return None
        if self.side == "target":
            return self._counts(line, _TARGET.get(_plain(said)) or " ".join(said.split())[:60])
        name = _OURS.get(_plain(said))
        if name == "unsettled_fix":
            self.story.armed = True
        if name in OF_A_FIX:
            line.within = name if name in _STEPS else line.within or name
            return name
        if said in ("COMMIT", "ROLLBACK") and line.within is not None:
            ended, line.within = line.within, None
            return f"{said} {ended}"
        return None

    def _counts(self, line: _Line, what: str) -> str | None:
        if self.side == "target":
            return f"{line.user.removeprefix('responder_')} {what}"
        return None

    async def _answer(
        self, line: _Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        held = b""
        while True:
            header = await reader.read(5)
            if len(header) < 5:
                header += await reader.read(5 - len(header)) if header else b""
            if not header:
                writer.write(held)
                await writer.drain()
                return
            (length,) = struct.unpack("!i", header[1:])
            held += header + await reader.readexactly(length - 4)
            if header[:1] == b"Z":
                what = line.waiting.popleft() if line.waiting else None
                if what is not None and not await self.story.passes(
                    self.side, what, "<", line.life
                ):
                    return
            elif line.waiting and line.waiting[0] is not None:
                continue  # an answer is one moment, whole
            writer.write(held)
            await writer.drain()
            held = b""


class Loop:
    """The thread in which all wires live."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="wires", daemon=True)
        self._thread.start()

    def run(self, coroutine):  # type: ignore[no-untyped-def]
        """Its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
