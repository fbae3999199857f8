"""The process that rules run in, from outside: it gets plain data and gives plain data.

No process of ours that holds credentials runs code of a rule, not even to load it.
"""

import gc
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

from responder.one_core import on_any_core
from responder.runbook.child import FINDINGS, HEAD, digest_of
from responder.runbook.loader import LoadedRule, load
from responder.runbook.module import RuleFailed, Told
from responder.runbook.rule import Case, Finding
from responder.runbook.typed import typed

#: Seconds that the child may take to start, and a module to describe itself and to conclude.
_TO_START, _TO_DESCRIBE, TO_CONCLUDE = 10, 10, 2
#: Seconds in which a child that was killed has ended.
_TO_END = 0.2
#: A rule that did not end in time is not asked again so soon: a storm would wait for each of them.
_REST = 10.0
#: Modules that are described in one run, and how many such runs there are at once.
TOGETHER, _RUNS = 100, 2
_MOST_BYTES = 1 << 20
_NOWHERE = "has no process to run in"
#: The file stands in <root>/responder/runbook.
_ROOT = str(Path(__file__).resolve().parent.parent.parent)
_START = """
import sys
sys.path.append(sys.argv[1])
from responder.runbook.child import serve
sys.path.pop()
serve()
"""


def load_apart(root: Path) -> list[LoadedRule]:
    """All rules of a runbook; they conclude in a process of their own. RunbookWrong."""
    process = RuleProcess()
    gc.disable()  # what is loaded stays: no garbage need be looked for among it, now or later
    try:
        return load(root, process)
    finally:
        gc.freeze()
        gc.enable()
        process.close()  # it is started again when a rule has something to conclude


class _TooLate(RuleFailed):
    """It did not end."""


class RuleProcess:
    """One child at most: started when it is needed, and again when it has died."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._resting: dict[bytes, float] = {}
        self._digests: dict[bytes, str] = {}  # of what rules said of themselves, by their source

    @property
    def pid(self) -> int | None:
        """The child's id; None when there is none."""
        return self._process.pid if self._process else None

    def describe(self, sources: Mapping[str, bytes]) -> Iterator[tuple[str, Told]]:
        """Many modules in one run; who fails there is run alone, to be told what is wrong.

        A module could change what the others of its run say of themselves: each must say the same
        again when it concludes, in a run of its own.
        """
        names = list(sources)
        portions = [names[first : first + TOGETHER] for first in range(0, len(names), TOGETHER)]
        with ThreadPoolExecutor(_RUNS, thread_name_prefix="describe") as pool:
            for told in pool.map(
                lambda portion: self._describe({name: sources[name] for name in portion}), portions
            ):
                yield from told.items()

    def _describe(self, sources: Mapping[str, bytes]) -> dict[str, Told]:
        asked = {name: source.decode("latin-1") for name, source in sources.items()}
        try:
            reply = self._ask({"sources": asked}, b"", _TO_DESCRIBE).get("descriptions")
        except RuleFailed:
            reply = None
        told: dict[str, Told] = {}
        for name, source in sources.items():
            described = reply.get(name) if isinstance(reply, Mapping) else None
            if isinstance(described, Mapping):
                self._digests[source] = digest_of(described)
                told[name] = described
            else:
                told[name] = self._describe_alone(name, source)
        return told

    def _describe_alone(self, name: str, source: bytes) -> Told:
        try:
            reply = self._ask({"name": name, "case": None}, source, _TO_DESCRIBE)
        except RuleFailed as failed:
            return failed
        described = reply.get("description")
        return (
            described if isinstance(described, Mapping) else RuleFailed("did not describe itself")
        )

    def conclude(self, name: str, source: bytes, case: Case) -> Iterable[Finding]:
        """RuleFailed; also for a while after it did not end in time."""
        if time.monotonic() < self._resting.get(source, 0):
            raise RuleFailed(f"did not end within {TO_CONCLUDE} s a moment ago")
        try:
            digest = self._digests.get(source)
            asked = {"name": name, "case": _plain(case), "digest": digest}
            reply = self._ask(asked, source, TO_CONCLUDE)
        except _TooLate:
            self._resting[source] = time.monotonic() + _REST
            raise
        findings = reply.get("findings")
        if not isinstance(findings, list) or len(findings) > FINDINGS:
            raise RuleFailed("concluded no list of findings")
        try:
            return [typed(Finding, each, f"findings[{n}]") for n, each in enumerate(findings)]
        except ValueError as error:
            raise RuleFailed(str(error)) from None

    def close(self) -> None:
        """End the child and all that runs in it; asked again, there is another one."""
        with self._lock:
            self._stop()

    def __del__(self) -> None:
        """Rules that nobody knows any more leave no process behind."""
        self.close()

    def _ask(self, asked: Mapping[str, Any], source: bytes, seconds: int) -> dict[str, Any]:
        request = json.dumps(asked).encode()
        # What ended without a word may have ended with the child: a rule is pure, so once more.
        for _ in range(2):
            child, said = self._run(source, request, seconds)
            if said.strip():
                break
            self._replace_if_ended(child)
        if not said.strip():
            raise RuleFailed("left the process")
        reply = _read(said)
        if "failed" in reply:
            raise RuleFailed(str(reply["failed"]))
        return reply

    def _replace_if_ended(self, child: subprocess.Popen[bytes]) -> None:
        """One that is being killed takes what it is handed, and nobody ever looks at it."""
        until = time.monotonic() + _TO_END
        while not (ended := _has_ended(child.pid)) and time.monotonic() < until:
            time.sleep(_TO_END / 20)
        with self._lock:
            if ended and self._process is child:
                self._stop()

    def _run(
        self, source: bytes, request: bytes, seconds: int
    ) -> tuple[subprocess.Popen[bytes], bytes]:
        """Who ran it, and what that said; nothing, or a blank, when it ended before. RuleFailed."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                child = self._hand_over(theirs, seconds, source)
            said = bytearray()
            deadline = time.monotonic() + seconds
            try:
                ours.settimeout(seconds)
                ours.sendall(request)
                ours.shutdown(socket.SHUT_WR)
                while part := _receive(ours, deadline):
                    said += part
                    if len(said) > _MOST_BYTES:
                        raise RuleFailed(f"said more than {_MOST_BYTES >> 20} MB")
            except (BrokenPipeError, ConnectionResetError):
                pass
            except TimeoutError:
                if said:
                    raise _TooLate(f"did not end within {seconds} s") from None
                child.kill()  # it did not even begin, so no rule is to blame; the next is another
                raise RuleFailed(_NOWHERE) from None
            return child, bytes(said)

    def _hand_over(
        self, theirs: socket.socket, seconds: int, source: bytes
    ) -> subprocess.Popen[bytes]:
        """The child that has it."""
        with self._lock:
            for _ in range(2):
                try:
                    if self._control is None:
                        self._start()
                    assert self._control is not None and self._process is not None
                    head = HEAD.pack(seconds, len(source))
                    socket.send_fds(self._control, [head], [theirs.fileno()])
                    self._control.sendall(source)
                    return self._process
                except (BrokenPipeError, ConnectionResetError, TimeoutError):
                    self._stop()
        raise RuleFailed(_NOWHERE)

    def _start(self) -> None:
        self._control, theirs = socket.socketpair()
        with theirs, on_any_core():
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-X", "utf8", "-c", _START, _ROOT],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=dict[str, str](),
                start_new_session=True,
            )
        self._control.settimeout(_TO_START)
        self._control.recv(1)
        self._control.settimeout(TO_CONCLUDE)

    def _stop(self) -> None:
        """Its forks are of its group; what they were asked is asked once more."""
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            if self._process.returncode is None:  # nobody has waited for it: the id is its own
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._control = self._process = None


def _has_ended(pid: int) -> bool:
    """Without waiting for it: its id stays its own."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _receive(ours: socket.socket, deadline: float) -> bytes:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    ours.settimeout(left)
    return ours.recv(1 << 16)


def _read(said: bytes) -> dict[str, Any]:
    """A JSON object: whatever else it says is not from us."""
    try:
        reply = json.loads(said)
    except (ValueError, RecursionError):
        reply = None
    if not isinstance(reply, dict):
        raise RuleFailed("said what is no JSON")
    return reply


def _plain(case: Case) -> dict[str, Any]:
    return {
        "alert": case.alert.to_json(),
        "parameters": dict(case.parameters),
        "at": case.at.isoformat(),
        "answers": {name: answer.to_json() for name, answer in case.answers.items()},
    }
