"""The process that rules run in, from inside: a fork of its own for each run of a module.

It starts without environment and credentials and runs no code of a rule itself, so that each fork
begins clean, whatever other rules do. The fork gives up what a rule may not have, runs the module,
answers and ends. What it is asked and what it answers are JSON, over a socket for that run alone.
"""

import gc
import hashlib
import importlib
import json
import os
import pkgutil
import resource
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from functools import cache, lru_cache
from itertools import islice
from pathlib import Path
from types import CodeType
from typing import Any, NoReturn

from responder.domain.alert import alert_from_json
from responder.domain.answer import answer_from_json
from responder.runbook.module import RuleFailed, compiled, described, executed
from responder.runbook.rule import Case, Finding

#: What one run of a module may have.
MEMORY_MB = 256
FINDINGS = 100
#: So many modules are kept compiled, those that were run last.
KEPT = 500
#: What comes before a module's source: the seconds that its run may take, and the length.
HEAD = struct.Struct("!BI")
#: Modules that rules are likely to import, and what others import late, when no file can be opened.
_AHEAD = (
    *("_strptime", "calendar", "collections.abc", "dataclasses", "decimal", "enum", "fractions"),
    *("functools", "hashlib", "heapq", "ipaddress", "itertools", "linecache", "math", "operator"),
    *("random", "re", "statistics", "string", "textwrap", "traceback", "typing", "unicodedata"),
    *("urllib.parse", "uuid", "encodings.ascii", "encodings.idna", "encodings.latin_1"),
)
#: Never there: memory read and written past Python, and a browser that opens when it is imported.
_NEVER = frozenset({"ctypes", "_ctypes", "antigravity"})
_STANDARD = sys.stdlib_module_names - _NEVER
#: What Python tells of and a rule may do; all else that Python tells of is refused.
_ALLOWED = frozenset(
    {
        *("array.__new__", "builtins.id", "compile", "cpython._PySys_ClearAuditHooks"),
        *("cpython.PyInterpreterState_Clear", "exec", "object.__getattr__", "sys._getframe"),
        *("sys.excepthook", "sys.unraisablehook", "time.sleep"),
    }
)
_WORDS = {
    "open": "open a file",
    "socket": "use the network",
    "subprocess": "start a process",
    "_thread": "start a thread",
    "ctypes": "use memory past Python",
}
_IDS = {
    **dict.fromkeys(("os.fork", "os.forkpty", "os.exec", "os.posix_spawn"), "start a process"),
    **dict.fromkeys(("os.system", "os.spawn", "os.startfile", "pty.spawn"), "start a process"),
    **dict.fromkeys(("os.kill", "os.killpg", "signal.pthread_kill"), "end a process"),
}
Code = CodeType | Exception
_NOBODY = 65534
_TOO_LARGE = f'{{"failed": "used more than {MEMORY_MB} MB"}}'.encode()
_LEFT = b'{"failed": "left the process"}'


class Refused(Exception):
    """A rule is plain data in and plain data out."""


def serve() -> None:
    """Fork for each run that is asked for over standard input, until that ends; then end them all.

    One run is a socket, and with it the seconds that it may take (1 byte), the length of the
    module's source (4 bytes) and the source. What it concludes from comes over its own socket.
    """
    with suppress(OSError):  # when memory is short, a rule goes before the worker
        Path("/proc/self/oom_score_adj").write_text("1000")
    sys.addaudithook(_never)
    for name in _AHEAD:
        importlib.import_module(name)
    _limit(resource.RLIMIT_AS, MEMORY_MB << 20)
    os.environ.clear()  # Python itself may have set its locale
    control = socket.socket(fileno=os.dup(0))
    os.dup2(1, 0)  # nothing can be read from what a rule takes for standard input
    control.sendall(b" ")  # ready: the time that this took is no rule's
    running: dict[int, float] = {}
    while (asked := _next(control, running)) is not None:
        connection, seconds, source = asked
        code = _kept(source)
        pid = os.fork()
        if pid == 0:
            control.close()
            _run(connection, seconds, code)
        connection.close()
        running[pid] = time.monotonic() + seconds
    for pid in running:
        os.kill(pid, signal.SIGKILL)


def _next(
    control: socket.socket, running: dict[int, float]
) -> tuple[socket.socket, int, bytes] | None:
    """What is asked for next, None at the end; meanwhile runs that take too long are ended."""
    while True:
        first = min(running.values(), default=time.monotonic() + 60)
        ready = select.select([control], [], [], max(0.01, first - time.monotonic()))[0]
        _end_overdue(running)
        if ready:
            head, received, _, _ = socket.recv_fds(control, HEAD.size, 1)
            if len(head) < HEAD.size:
                return None
            seconds, length = HEAD.unpack(head)
            source = control.recv(length, socket.MSG_WAITALL)
            return socket.socket(fileno=received[0]), seconds, source


@lru_cache(KEPT)
def _kept(source: bytes) -> Code:
    """The code of a module, compiled once."""
    try:
        return _compiled(source)
    finally:
        gc.collect()
        gc.freeze()  # what forks share, they need not copy


def _compiled(source: bytes) -> Code:
    """The code, not yet run, when all that it may import is there; or why there is none."""
    try:
        code = compiled("rule", source)
        _import_ahead(set(_names(code)))
        return code
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return error


def _never(event: str, about: tuple[Any, ...]) -> None:
    if event == "import" and about[0] in _NEVER:
        raise ModuleNotFoundError(f"{about[0]} is not for rules")


def _end_overdue(running: dict[int, float]) -> None:
    """Forget who has ended; nobody else waits for them, so no stranger has the id of the others."""
    for pid, until in list(running.items()):
        if os.waitpid(pid, os.WNOHANG)[0]:
            del running[pid]
        elif time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)


def _run(connection: socket.socket, seconds: int, code: Code) -> NoReturn:
    """Never returns: what a rule leaves behind, such as `atexit`, ends here too."""
    try:
        connection.sendall(b" ")  # it has begun: from now on the time is the rule's
        asked = json.loads(b"".join(iter(lambda: connection.recv(1 << 20), b"")))
        gc.disable()  # it ends soon
        codes = {
            name: _compiled(text.encode("latin-1"))
            for name, text in asked.get("sources", {}).items()
        }
        _give_up(seconds)
        connection.sendall(_reply(asked, codes or code, _seal()))
        connection.close()  # who waits for the end of it need not wait for ours
    finally:
        os._exit(0)


def _names(code: CodeType) -> Iterator[str]:
    """All that the code calls by name, among it what it imports; no parser tells as quickly."""
    yield from code.co_names
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from _names(part)


def _import_ahead(names: set[str]) -> None:
    """Modules of the standard library that have one of these names, and modules within them."""
    found = [name for name in names if name.partition(".")[0] in _STANDARD]
    for name in found:
        with suppress(ImportError):
            importlib.import_module(name)
    for name in found:
        for part in _parts(name) & names:
            with suppress(ImportError):
                importlib.import_module(f"{name}.{part}")


@cache
def _parts(name: str) -> frozenset[str]:
    """The modules within a package that is imported."""
    within = getattr(sys.modules.get(name), "__path__", ())
    return frozenset(each.name for each in pkgutil.iter_modules(within))


def _limit(what: int, most: int) -> None:
    with suppress(ValueError):  # some systems lack one, and a lower one stays
        resource.setrlimit(what, (most, most))


def _give_up(seconds: int) -> None:
    """What the system itself keeps from a rule: no file, socket or process can be made."""
    signal.alarm(seconds + 1)  # both this and the next are for a run whose child was killed
    _limit(resource.RLIMIT_CPU, seconds + 1)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, 0)
    _limit(resource.RLIMIT_NPROC, 0)
    if os.geteuid() == 0:
        with suppress(PermissionError):  # a root that may become nobody else
            os.setgroups([])
            os.setgid(_NOBODY)
            os.setuid(_NOBODY)


def _seal() -> list[str]:
    """From now on Python refuses what a rule may not do; returns what was refused, as it grows."""
    refused: list[str] = []
    allowed, words, ids = _ALLOWED, _WORDS, _IDS

    def hook(event: str, about: tuple[Any, ...]) -> None:
        if event in allowed:
            return
        if event == "import":
            raise ModuleNotFoundError(
                f"no {about[0]}: a rule imports responder.runbook and the standard library, by name"
            )
        wish = ids.get(event) or words.get(event.partition(".")[0]) or f"use {event}"
        refused.append(wish)
        raise Refused(f"a rule may not {wish}")

    sys.addaudithook(hook)
    return refused


def _reply(asked: Mapping[str, Any], code: Code | Mapping[str, Code], refused: list[str]) -> bytes:
    try:
        done = _done(asked, code) if not isinstance(code, Mapping) else _descriptions(code)
        reply = json.dumps(done, allow_nan=False).encode()
    except MemoryError:
        return _TOO_LARGE
    except (SystemExit, KeyboardInterrupt):
        reply = _LEFT
    except BaseException as error:  # a rule is somebody's code: whatever it raises is its mistake
        text = str(error) if isinstance(error, RuleFailed) else f"{type(error).__name__}: {error}"
        reply = json.dumps({"failed": text[:300]}).encode()
    if refused:  # whatever it made of that
        return json.dumps({"failed": f"wanted to {refused[0]}"}).encode()
    return reply


def _descriptions(codes: Mapping[str, Code]) -> dict[str, Any]:
    return {"descriptions": {name: _description(name, code) for name, code in codes.items()}}


def _done(asked: Mapping[str, Any], code: Code) -> dict[str, Any]:
    if isinstance(code, Exception):
        raise code
    rule, case = executed(asked["name"], code), asked["case"]
    if case is None:
        return {"description": described(rule)}
    if asked["digest"] not in (None, digest_of(described(rule))):
        raise RuleFailed("says other things of itself than when it was loaded")
    told = Case(
        alert=alert_from_json(case["alert"]),
        parameters=case["parameters"],
        at=datetime.fromisoformat(case["at"]),
        answers={each: answer_from_json(answer) for each, answer in case["answers"].items()},
    )
    findings = list(islice(rule.conclude(told), FINDINGS + 1))
    if len(findings) > FINDINGS:
        raise RuleFailed(f"concluded more than {FINDINGS} findings")
    return {"findings": [_plain(each) for each in findings]}


def _description(name: str, code: Code) -> dict[str, Any] | None:
    """What a module says of itself; None when it must be asked alone, to be told what is wrong."""
    try:
        if isinstance(code, Exception):
            return None
        return described(executed(name, code))
    except Exception:  # a rule is somebody's code
        return None


def digest_of(description: Mapping[str, Any]) -> str:
    """Of all that a rule says of itself; the order of what stands in a list may come by chance."""
    return hashlib.sha256(json.dumps(_ordered(description), sort_keys=True).encode()).hexdigest()


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _ordered(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return sorted((_ordered(each) for each in value), key=str)
    return value


def _plain(finding: object) -> dict[str, Any]:
    if not isinstance(finding, Finding):
        raise TypeError(f"conclude() yielded {type(finding).__name__}, not a Finding")
    return asdict(finding)
