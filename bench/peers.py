"""What others take in on the same machine: alerta on PostgreSQL, and Debian's Alertmanager.

alerta gets an environment of its own, made at the first run from requirements/alerta.lock, and a
database on the very server that holds ours. A peer that is not to be had is said to be so.
"""

import json
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench import load
from bench.lines import Chosen, Line
from bench.processes import NotStarted, Roles, numbered, resting, running, tree
from bench.site import open_site
from bench.systems import System, open_floor, ours
from responder.cli.demo.databases import make_database
from responder.cli.demo.world import _free_port
from responder.embedded import LocalPostgres

_ROOT = Path(__file__).parent.parent
_VENV = _ROOT / "build" / "alerta"
_LOCK = _ROOT / "requirements" / "alerta.lock"
_ROUNDS = 3
#: How many times as much as alerta we have to take in, must and want.
_RATIOS = {1: (8.0, 10.0), 20: (30.0, 45.0)}


class NotToBeHad(Exception):
    """A peer is not installed and cannot be; the message says why."""


@contextmanager
def open_alerta(server: LocalPostgres, folder: Path) -> Iterator[System]:
    """gunicorn with two workers of four threads; schema and plugins as they come. NotToBeHad."""
    python = _installed()
    database = make_database(server, "alerta")
    settings = folder / "alerta.conf"
    settings.write_text(f"DATABASE_URL = {database!r}\nSECRET_KEY = 'bench'\n")
    told = {"ALERTA_SVR_CONF_FILE": str(settings), "DATABASE_URL": database}
    # Two processes that make its schema at once would meet.
    made = subprocess.run(
        [python, "-c", "from alerta import create_app; create_app()"],
        env={**told, "PATH": ""},
        capture_output=True,
        text=True,
    )
    if made.returncode:
        raise NotToBeHad(f"alerta cannot make its schema: {_last_line(made.stderr)}")
    bind = f"127.0.0.1:{_free_port()}"
    options = "--worker-class gthread --workers 2 --threads 4 --reuse-port --no-control-socket"
    command = [str(python), "-m", "gunicorn", *options.split(), "--bind", bind]
    command += ["--log-level", "warning", "alerta:create_app()"]
    with running(command, told, folder / "alerta.log", f"http://{bind}/") as pid:

        def roles() -> Roles:
            return {**numbered("web", pid), "PostgreSQL": tree(server.pid)}

        def url(alerts: int) -> str:
            return f"http://{bind}/{'alert' if alerts == 1 else 'webhooks/prometheus'}"

        def body(alerts: int) -> bytes:
            return _alerta_alert() if alerts == 1 else load.alertmanager(alerts)

        yield System("alerta", url, {}, body, roles)


def _alerta_alert() -> bytes:
    """What its own API takes, one in a request."""
    mark = load.MARK.decode()
    return json.dumps(
        {
            "resource": f"host-{mark}:9100",
            "event": "HostIsOutOfMemory",
            "environment": "Production",
            "service": ["node"],
            "severity": "warning",
            "text": f"host-{mark} has 212 MB left, less than it had.",
            "attributes": {"runbook": "https://runbooks.example.com/memory"},
        }
    ).encode()


def _installed() -> Path:
    """The Python of alerta's environment. NotToBeHad."""
    python, ready = _VENV / "bin" / "python", _VENV / "ready"
    if ready.exists() and ready.read_text() == _LOCK.read_text():
        return python
    print("setting up alerta in build/alerta, once", file=sys.stderr, flush=True)
    pip = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-input"]
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(_VENV)],
        [*pip, "--only-binary", ":all:", "--require-hashes", "--no-deps", "-r", str(_LOCK)],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise NotToBeHad(f"alerta cannot be installed: {_last_line(done.stderr)}")
    ready.write_text(_LOCK.read_text())
    return python


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it does not say why"])[-1]


@contextmanager
def open_alertmanager(folder: Path) -> Iterator[System]:
    """Of Debian; it keeps alerts in memory, and sends them nowhere. NotToBeHad."""
    names = ("prometheus-alertmanager", "alertmanager")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        raise NotToBeHad("Alertmanager is not installed: apt-get install prometheus-alertmanager")
    settings = folder / "alertmanager.yml"
    settings.write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
    bind = f"127.0.0.1:{_free_port()}"
    command = [
        program,
        f"--config.file={settings}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address={bind}",
        "--cluster.listen-address=",
        "--log.level=error",
    ]
    ready = f"http://{bind}/-/ready"
    with running(command, {}, folder / "alertmanager.log", ready) as pid:

        def body(alerts: int) -> bytes:
            group = json.loads(load.alertmanager(alerts))["alerts"]
            kept = ("labels", "annotations", "generatorURL")
            return json.dumps([{name: alert[name] for name in kept} for alert in group]).encode()

        url = f"http://{bind}/api/v2/alerts"
        yield System(
            "Alertmanager",
            lambda _: url,
            {},
            body,
            lambda: {"Alertmanager": tree(pid)},
            works_on=True,
        )


def measure(chosen: Chosen) -> Iterator[Line]:
    """Rounds in turn, so that all see the same machine; medians of them."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="responder-peers-")))
        site = stack.enter_context(open_site(workers=0))
        systems = [ours(site), stack.enter_context(open_floor(site.server, folder))]
        peers = {
            "alerta": open_alerta(site.server, folder),
            "Alertmanager": open_alertmanager(folder),
        }
        for name, peer in peers.items():
            try:
                systems.append(stack.enter_context(peer))
            except (NotToBeHad, NotStarted) as why:
                detail = f"not measured: {why}"
                yield Line("alerts accepted", 0.0, "alerts/s", system=name, detail=detail)
        for alerts in _RATIOS:
            yield from _side_by_side(systems, alerts, chosen.seconds)


def _side_by_side(systems: list[System], alerts: int, seconds: float) -> Iterator[Line]:
    """Alerts accepted a second by each, and how many times as many as alerta we take in.

    Who works on what it took stands still while others have their turn.
    """
    seen: dict[str, list[Line]] = defaultdict(list)
    for system in systems:
        system.drive(alerts, 1.0)  # connections, caches and plans are warm then
    for number in range(1, _ROUNDS + 1):
        for system in systems:
            others = [each for each in systems if each.works_on and each is not system]
            with resting(
                {pid for each in others for pids in each.roles().values() for pid in pids}
            ):
                got, used = system.drive(alerts, seconds, number * 1_000_000)
            name = f"alerts accepted, {alerts} in a request"
            detail = f"{got.detail}, {system.memory():.0f} MB"
            rate = got.accepted * alerts
            seen[system.name].append(
                Line(name, rate, "alerts/s", detail=detail, cpu=used, system=system.name)
            )
    for lines in seen.values():
        yield sorted(lines, key=lambda line: line.value)[len(lines) // 2]
    if "alerta" in seen:
        pairs = zip(seen["responder"], seen["alerta"], strict=True)
        must, want = _RATIOS[alerts]
        name = f"responder over alerta, {alerts} in a request"
        yield Line(name, median(a.value / b.value for a, b in pairs), "x", must, want)
