"""Who takes in alerts, side by side on one machine and one server: ours, and the floor."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import load
from bench.processes import Roles, cores, memory, numbered, running, tree
from bench.site import Site
from responder.cli.demo.databases import make_database
from responder.cli.demo.world import _free_port
from responder.embedded import LocalPostgres

#: Enough to keep every thread of two web workers busy.
CONNECTIONS = 16


@dataclass(frozen=True)
class System:
    """url, body: by the number of alerts in a request; roles: its processes and the database's.

    works_on: it goes on with what it took after it has answered, beside whoever comes next.
    """

    name: str
    url: Callable[[int], str]
    headers: Mapping[str, str]
    body: Callable[[int], bytes]
    roles: Callable[[], Roles]
    works_on: bool = False

    def drive(
        self,
        alerts: int,
        seconds: float,
        first: int = 0,
        rate: float | None = None,
        connections: int = CONNECTIONS,
    ) -> tuple[load.Load, dict[str, float]]:
        """One round of load, and the cores that each process used."""
        url = self.url(alerts)
        template = load.request(url, self.headers, self.body(alerts))
        with cores(self.roles) as used:
            got = load.drive(url, template, seconds, connections, rate, first)
        return got, {**used, "generator": got.cpu}

    def memory(self) -> float:
        """Resident megabytes of all but the database."""
        own = {name: pids for name, pids in self.roles().items() if name != "PostgreSQL"}
        return sum(map(memory, own.values()))


def ours(site: Site) -> System:
    """The web workers of a site; whether anybody works on what they take in is up to it."""

    def roles() -> Roles:
        own = ("web", "PostgreSQL")
        return {name: pids for name, pids in site.roles().items() if name.startswith(own)}

    headers = {"Authorization": site.headers["Authorization"]}
    return System("responder", lambda _: site.webhook(), headers, load.alertmanager, roles)


@contextmanager
def open_floor(server: LocalPostgres, folder: Path, bound: bool = False) -> Iterator[System]:
    """bench/floor.py with a database on this server; logs go to the folder.

    bound: each of its processes to one core, as ours are.
    """
    name = "floor, bound to cores" if bound else "floor"
    bind = f"127.0.0.1:{_free_port()}"
    url = f"http://{bind}/"
    command = [sys.executable, "-m", "gunicorn", "-c", "python:bench.floor", "--bind", bind]
    told = {"BENCH_FLOOR": make_database(server, "bound_floor" if bound else "floor")}
    told |= {"BENCH_FLOOR_BOUND": "1"} if bound else {}
    with running(command, told, folder / f"{name}.log", url) as pid:

        def roles() -> Roles:
            return {**numbered("web", pid), "PostgreSQL": tree(server.pid)}

        yield System(name, lambda _: url, {}, load.alertmanager, roles)
