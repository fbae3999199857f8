"""Hostile and clumsy rules: each is contained, told in a sentence, and hurts no other rule."""

import base64
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from responder.domain.alert import Alert, AlertStatus
from responder.domain.answer import Answer, AnswerStatus
from responder.runbook.module import RuleFailed
from responder.runbook.process import TOGETHER, RuleProcess
from responder.runbook.rule import Case, Finding

NOW = datetime(2026, 7, 9, tzinfo=UTC)
ALERT = Alert("monitor", "f", AlertStatus.FIRING, "Odd", "Odd", "", {"alertname": "Odd"}, NOW)
CASE = Case(ALERT, {}, NOW, {"rows": Answer(AnswerStatus.OK, NOW, rows=[{"n": 7}], row_count=1)})
MODULE = '''"""Odd."""

from responder.runbook import Finding, Rule, Sql
{top}

class Odd(Rule):
    answers = ['alertname="Odd"']
    target = "shop"
    diagnostics = [Sql("rows", "Which?")]

    def conclude(self, case):
        {body}
'''
WELL = "yield Finding('well', str(case['rows'].rows[0]['n']))"
DEEP = "rows: list = []\n        for _ in range({}): rows = [rows]\n        "

#: What a rule does, and what people are told of it.
ATTACKS = {
    "an endless loop": ("while True: pass", "did not end within 2 s"),
    "an endless sleep": ("import time; time.sleep(1e6)", "did not end within 2 s"),
    "endless findings": (
        "while True: yield Finding('a', 'A.')",
        "concluded more than 100 findings",
    ),
    "a million findings": (
        "return [Finding('a', 'A.')] * 1_000_000",
        "concluded more than 100 findings",
    ),
    "a loop that catches all": (
        "import signal\n"
        "        for each in (signal.SIGTERM, signal.SIGALRM, signal.SIGXCPU):\n"
        "            signal.signal(each, signal.SIG_IGN)\n"
        "        while True:\n"
        "            try:\n                while True: pass\n"
        "            except BaseException: pass",
        "did not end within 2 s",
    ),
    "10 GB": ("return 'a' * 10**10", "used more than 256 MB"),
    "10 GB bit by bit": (
        "all = []\n        while True: all.append(bytes(10**7))",
        "used more than 256 MB",
    ),
    "a giant text": ("yield Finding('a', 'A' * 30_000_000)", "said more than 1 MB"),
    "sys.exit": ("import sys; sys.exit(0)", "left the process"),
    "os._exit": ("import os; os._exit(0)", "left the process"),
    "os.abort": ("import os; os.abort()", "left the process"),
    "a signal to itself": ("import signal; signal.raise_signal(9)", "left the process"),
    "deep recursion": ("return [*self.conclude(case)]", "RecursionError"),
    "another type": ("return ['full']", "TypeError: conclude() yielded str, not a Finding"),
    "no findings at all": ("return None", "TypeError"),
    "a name that is no text": ("yield Finding(5, 'A.')", "findings[0].name must be a text, not 5"),
    "offers that are a text": (
        "yield Finding('a', 'A.', offers='restart')",
        "findings[0].offers must be a list, not 'restart'",
    ),
    "rows that are no rows": ("yield Finding('a', 'A.', rows=[5])", "findings[0].rows[0] must"),
    "what is no JSON": ("yield Finding('a', 'A.', rows=[{'a': object()}])", "TypeError"),
    "no number": ("yield Finding('a', 'A.', rows=[{'a': float('nan')}])", "ValueError"),
    "too deep": (
        DEEP.format(50_000) + "yield Finding('a', 'A.', rows=[{'a': rows}])",
        "RecursionError",
    ),
    "an error that cannot be said": (
        "class Mute(Exception):\n"
        "            def __str__(self): raise SystemExit\n"
        "        raise Mute",
        "left the process",
    ),
    "a file": ("open('/etc/passwd').read()", "wanted to open a file"),
    "a file, and no word of it": (
        "try: open('/etc/passwd')\n        except BaseException: pass\n        " + WELL,
        "wanted to open a file",
    ),
    "a file to write": ("import pathlib; pathlib.Path('/tmp/x').write_text('')", "open a file"),
    "a folder": ("import os; os.listdir('/proc')", "wanted to use os.listdir"),
    "/proc": ("open(f'/proc/{__import__(\"os\").getppid()}/environ')", "wanted to open a file"),
    "a socket": ("import socket; socket.socket()", "wanted to use the network"),
    "a name to resolve": (
        "import socket; socket.getaddrinfo('example.org', 80)",
        "wanted to use the network",
    ),
    "a URL": (
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1:1')",
        "wanted to",
    ),
    "a command": ("import subprocess; subprocess.run(['true'])", "wanted to start a process"),
    "a shell": ("import os; os.system('true')", "wanted to start a process"),
    "a fork": ("import os; os.fork()", "wanted to start a process"),
    "another program": ("import os; os.execv('/bin/true', ['true'])", "wanted to start a process"),
    "its parent": ("import os; os.kill(os.getppid(), 9)", "wanted to end a process"),
    "its group": ("import os; os.killpg(0, 9)", "wanted to end a process"),
    "a thread": ("import _thread; _thread.start_new_thread(print, ())", "thread"),
    "its own limits": (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (9, 9))",
        "wanted to use resource.setrlimit",
    ),
    "memory past Python": ("import ctypes; ctypes.string_at(0)", "ModuleNotFoundError"),
    "bytecode of its own": (
        "code = (lambda: 0).__code__; code.replace(co_code=bytes(64))",
        "wanted to use code.__new__",
    ),
    "what keeps it": ("import gc; gc.get_objects()", "wanted to use gc.get_objects"),
    "another interpreter": (
        "import _xxsubinterpreters; _xxsubinterpreters.create()",
        "ModuleNotFoundError",
    ),
    "a refusal that is wiped away": (
        "import sys\n"
        "        import responder.runbook.child as child\n"
        "        child.Refused = child._ALLOWED = child._IDS = child._WORDS = None\n"
        "        open('/etc/passwd')",
        "",
    ),
    "a tracer": ("import sys; sys.settrace(print)", "wanted to use sys.settrace"),
    "what is not there": (
        "import flask",
        "no flask: a rule imports responder.runbook and the standard library",
    ),
    "garbage to its socket": (
        "import os\n"
        "        for n in range(3, 20):\n"
        "            try: os.write(n, b'garbage')\n"
        "            except OSError: pass",
        "said what is no JSON",
    ),
    "another reply": (
        "import os\n"
        "        for n in range(3, 20):\n"
        '            try: os.write(n, b\'{"findings": [{"name": "a"}]}\'); os._exit(0)\n'
        "            except OSError: pass",
        "findings[0] is no Finding: look_again, offers, parameters, rows, summary",
    ),
    "a reply of brackets": (
        "import os\n"
        "        for n in range(3, 20):\n"
        "            try: os.write(n, b'[' * 100_000); os._exit(0)\n"
        "            except OSError: pass",
        "said what is no JSON",
    ),
    "its socket closed": ("import os; os.closerange(0, 99)", "left the process"),
}

Write = Callable[..., Path]


@pytest.fixture
def process() -> Iterator[RuleProcess]:
    with closing(RuleProcess()) as process:
        yield process


@pytest.fixture(scope="module")
def shared() -> Iterator[RuleProcess]:
    """One child for all that must not hurt it."""
    with closing(RuleProcess()) as process:
        yield process


def source(body: str = WELL, top: str = "") -> bytes:
    return MODULE.format(body=body, top=top).encode()


def conclude(process: RuleProcess, body: str = WELL, top: str = "") -> list[Finding]:
    return list(process.conclude("odd", source(body, top), CASE))


def is_well(process: RuleProcess) -> bool:
    return [each.summary for each in conclude(process)] == ["7"]


@pytest.mark.parametrize(("body", "told"), ATTACKS.values(), ids=ATTACKS)
def test_a_rule_that_does_what_no_rule_may(shared: RuleProcess, body: str, told: str) -> None:
    began = time.monotonic()
    with pytest.raises(RuleFailed) as failed:
        conclude(shared, body)
    assert told in str(failed.value)
    assert time.monotonic() - began < 5
    assert is_well(shared)


WHEN_LOADED = (
    *("10 GB", "sys.exit", "os._exit", "os.abort", "a file", "a socket", "a command", "a fork"),
    *("its parent", "a thread", "memory past Python", "what is not there", "its socket closed"),
)


@pytest.mark.parametrize("attack", WHEN_LOADED)
def test_the_same_when_it_is_loaded(shared: RuleProcess, attack: str) -> None:
    body, told = ATTACKS[attack]
    bad = source(top=f"def _bad():\n        {body}\n\n_bad()")
    said = dict(shared.describe({"odd": bad, "well": source()}))
    assert isinstance(said["odd"], RuleFailed)
    assert told in str(said["odd"])
    assert isinstance(said["well"], Mapping)
    assert said["well"]["answers"] == ['alertname="Odd"']
    assert is_well(shared)


def test_a_module_that_does_not_end(shared: RuleProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("responder.runbook.process._TO_DESCRIBE", 1)
    said = dict(shared.describe({"odd": source(top="while True: pass"), "well": source()}))
    assert str(said["odd"]) == "did not end within 1 s"
    assert isinstance(said["well"], Mapping)


def test_a_module_that_changes_what_others_say_of_themselves(process: RuleProcess) -> None:
    """They are described together; what is concluded stands on what each says alone."""
    patch = (
        "import responder.runbook.child as c\n"
        "told = c.described\n"
        "c.described = lambda rule: {**told(rule), 'options': []} | {'key': ['stolen']}"
    )
    said = dict(process.describe({"bad": source(top=patch), "odd": source()}))
    assert isinstance(said["odd"], Mapping)
    assert said["odd"]["key"] == ["stolen"]
    with pytest.raises(RuleFailed, match="says other things of itself than when it was loaded"):
        conclude(process)
    assert [*process.describe({"odd": source()})]
    assert is_well(process)


def test_more_modules_than_one_run_takes(process: RuleProcess) -> None:
    sources = {f"odd_{n}": source(top=f"NUMBER = {n}") for n in range(TOGETHER + 1)}
    said = dict(process.describe({**sources, "bad": b"def"}))
    assert [*said] == [*sources, "bad"]
    assert all(isinstance(said[name], Mapping) for name in sources)
    assert "SyntaxError" in str(said["bad"])


PATCHES = {
    "json": "import json; json.dumps = json.loads = None",
    "builtins": "import builtins; builtins.len = builtins.list = builtins.isinstance = None",
    "our classes": "import responder.runbook as r; r.Finding.__init__ = r.Case.__getitem__ = None",
    "the child": "import responder.runbook.child as c; c._run = c._reply = c._seal = None",
    "what others import": "import sys; sys.modules.clear()",
    "what comes at the end": "import atexit; atexit.register(lambda: open('/tmp/x', 'w'))",
    "the collector": "import gc; gc.callbacks.append(lambda *_: 1 / 0); gc.collect()",
}


@pytest.mark.parametrize("patch", PATCHES.values(), ids=PATCHES)
def test_what_a_rule_changes_is_changed_for_nobody_else(shared: RuleProcess, patch: str) -> None:
    for body, top in ((f"{patch}\n        {WELL}", ""), (WELL, patch)):
        with suppress(RuleFailed):  # it may well have hurt itself
            conclude(shared, body, top)
        assert is_well(shared)


def test_it_has_no_environment_and_no_secret_of_ours(
    shared: RuleProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://secret")
    (finding,) = conclude(
        shared,
        "import os, sys\n"
        "        told = [dict(os.environ), sys.argv, os.getcwd(), sys.path]\n"
        "        yield Finding('a', repr(told))",
    )
    assert "secret" not in finding.summary
    assert finding.summary.startswith("[{}, ")
    assert Path(f"/proc/{shared.pid}/environ").read_bytes() == b""


def test_it_has_its_one_socket_and_no_other_descriptor(shared: RuleProcess) -> None:
    body = (
        "import os\n"
        "        for n in range(1024):\n"
        "            try:\n"
        "                os.fstat(n)\n"
        "            except OSError: continue\n"
        "            yield Finding(str(n), str(os.fstat(n).st_rdev))"
    )
    with socket.create_server(("127.0.0.1", 0)) as ours:
        os.set_inheritable(ours.fileno(), True)
        found = conclude(shared, body)
    null = str(os.stat("/dev/null").st_rdev)
    assert [each.summary for each in found] == [null, null, null, "0"]


def test_the_system_itself_keeps_these_from_it(shared: RuleProcess) -> None:
    """Where Python says nothing: the limits are the kernel's, and root is somebody else."""
    body = (
        "import os, resource as r\n"
        "        limits = [r.getrlimit(each) for each in (r.RLIMIT_AS, r.RLIMIT_NOFILE,"
        " r.RLIMIT_FSIZE, r.RLIMIT_NPROC, r.RLIMIT_CORE, r.RLIMIT_CPU)]\n"
        "        yield Finding('a', '', rows=[{'limits': limits, 'root': os.geteuid() == 0}])"
    )
    (finding,) = conclude(shared, body)
    assert finding.rows == (
        {"limits": [[1 << 28] * 2, [0, 0], [0, 0], [0, 0], [0, 0], [3, 3]], "root": False},
    )


def test_what_a_rule_prints_or_reads_is_nowhere(shared: RuleProcess) -> None:
    body = f"import sys; print('x' * 10**6); assert sys.stdin.read() == ''\n        {WELL}"
    assert [each.name for each in conclude(shared, body)] == ["well"]


def test_the_standard_library_is_there(shared: RuleProcess) -> None:
    body = (
        "import csv, io, zlib\n"
        "        from xml.dom import minidom\n"
        "        from datetime import datetime\n"
        "        day = datetime.strptime('9 July 2026', '%d %B %Y').isoformat()\n"
        "        yield Finding('a', day + next(csv.reader(io.StringIO('x')))[0])"
    )
    assert [each.summary for each in conclude(shared, body)] == ["2026-07-09T00:00:00x"]


def test_values_arrive_as_they_are(shared: RuleProcess) -> None:
    odd = {"text": "a\ud800\0\u2028", "number": 10**400, "small": 1e-300, "deep": [[{"a": None}]]}
    answer = replace(CASE.answers["rows"], rows=[odd])
    case = replace(CASE, answers={"rows": answer})
    body = "yield Finding('a', repr(case), rows=case['rows'].rows)"
    (finding,) = shared.conclude("odd", source(body), case)
    assert finding.rows == (odd,)
    assert finding.summary == repr(case)


def test_a_large_request_is_taken_whole(shared: RuleProcess) -> None:
    rows = [{"text": "x" * 60_000} for _ in range(100)]
    case = replace(CASE, answers={"rows": replace(CASE.answers["rows"], rows=rows)})
    body = "yield Finding('a', str(sum(len(row['text']) for row in case['rows'].rows)))"
    (finding,) = shared.conclude("odd", source(body), case)
    assert finding.summary == "6000000"


# The process itself


def test_one_bad_rule_does_not_hold_up_the_others(process: RuleProcess) -> None:
    """Neither while it runs, nor in a storm: it is not asked again for a while."""

    def loop(_: int) -> str:
        with pytest.raises(RuleFailed) as failed:
            conclude(process, "while True: pass")
        return str(failed.value)

    assert is_well(process)
    with ThreadPoolExecutor(8) as slots:
        storm = [slots.submit(loop, number) for number in range(50)]
        assert is_well(process)
        assert not any(each.done() for each in storm)
        told = Counter(each.result() for each in storm)
    resting = told.pop("did not end within 2 s a moment ago")
    assert told == {"did not end within 2 s": 50 - resting}
    assert resting >= 42, "no slot has waited twice"
    assert is_well(process)


def test_a_child_that_was_killed_is_started_again(process: RuleProcess) -> None:
    assert is_well(process)
    first = process.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    assert is_well(process)
    assert process.pid != first


def test_a_child_that_is_killed_in_the_middle(process: RuleProcess) -> None:
    """What ran is run once more, or goes on without it; nothing is lost."""
    assert is_well(process)
    assert process.pid is not None
    with ThreadPoolExecutor(4) as slots:
        body = f"import time; time.sleep(0.5)\n        {WELL}"
        running = [slots.submit(conclude, process, body) for _ in range(4)]
        os.kill(process.pid, signal.SIGKILL)
        assert is_well(process)
        assert [len(each.result()) for each in running] == [1, 1, 1, 1]


def test_a_child_that_is_stopped_does_not_stop_us(process: RuleProcess) -> None:
    assert is_well(process)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)
    first = process.pid
    with pytest.raises(RuleFailed, match="has no process to run in"):
        conclude(process)
    assert is_well(process)
    assert process.pid != first


def test_nothing_is_left_when_we_are_killed(tmp_path: Path) -> None:
    """Not even a run that ignores all signals that it can ignore."""
    body = (
        "import signal, time\n"
        "        for each in {*signal.Signals} - {signal.SIGKILL, signal.SIGSTOP}:\n"
        "            signal.signal(each, signal.SIG_IGN)\n"
        "        while True: time.sleep(1)"
    )
    script = tmp_path / "worker.py"
    script.write_text(
        "import sys, threading, pickle, base64\n"
        "from responder.runbook.process import RuleProcess, _plain\n"
        "source, case = pickle.loads(base64.b64decode(sys.argv[1]))\n"
        "process = RuleProcess()\n"
        "list(process.describe({'odd': source}))\n"
        # so long that nothing but our end ends it
        "told = {'name': 'odd', 'case': _plain(case), 'digest': None}\n"
        "ask = (told, source, 60)\n"
        "threading.Thread(target=process._ask, args=ask).start()\n"
        "print(process.pid, flush=True)\n"
    )
    told = base64.b64encode(pickle.dumps((source(body), CASE))).decode()
    with subprocess.Popen(
        [sys.executable, str(script), told], stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout is not None
        child = int(worker.stdout.readline())
        assert wait_for(lambda: len(in_session(child)) == 2)
        worker.kill()
    assert wait_for(lambda: not in_session(child))


def wait_for(holds: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)
    return holds()


def in_session(pid: int) -> list[int]:
    """Processes of the session that this one leads, itself too."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == pid and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found
