"""A real PostgreSQL: one server per test process, one database per test."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from responder.domain.shipped import shipped
from responder.embedded import LocalPostgres
from responder.store.migrations import migrate
from tests.sessions import ADMINISTRATORS, administer

pytest_plugins = [
    "tests.shop",
    "tests.house",
    "tests.site",
    "tests.stand_in",
    "tests.outside",
    "tests.ladder",
]

_numbers = count(1)


@pytest.fixture
def told(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Lines that stand in the summary of the run, whether the test passed or not."""
    lines = request.node.user_properties
    return lambda line: lines.append(("told", line))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What was measured: it says how long things took, and no test hangs on it."""
    for reports in terminalreporter.stats.values():
        for report in (each for each in reports if getattr(each, "when", "") == "call"):
            lines = [line for name, line in report.user_properties if name == "told"]
            if lines:
                terminalreporter.section(report.nodeid, sep="-")
                for line in lines:
                    terminalreporter.line(line)


@pytest.fixture(scope="session")
def cluster() -> Iterator[LocalPostgres]:
    """A server that many tests share, so none may stop it."""
    with TemporaryDirectory(prefix="responder-", dir=_memory()) as folder:
        Path(folder).chmod(0o755)  # root's server has an account of its own
        home = Path(folder) / "server"
        settings = {"max_connections": "200"}
        with (
            LocalPostgres(home, settings=settings, durable=False) as server,
            closing(ADMINISTRATORS),
        ):
            yield server


def _memory() -> str | None:
    """Where files are memory, if there is room: a database is cloned ten times faster there."""
    memory = "/dev/shm"
    roomy = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2_000_000_000
    return memory if roomy else None


@pytest.fixture(scope="session")
def template(cluster: LocalPostgres) -> str:
    """The name of a database with our migrated schema and no sessions, to be cloned."""
    administer(cluster, "CREATE DATABASE {}", "template_responder")
    migrate(cluster.url("template_responder"), shipped("sql") / "migrations")
    return "template_responder"


@pytest.fixture
def database(cluster: LocalPostgres, template: str) -> Iterator[str]:
    """The URL of a fresh database with our schema."""
    with fresh_database(cluster, template) as url:
        yield url


@pytest.fixture
def empty_database(cluster: LocalPostgres) -> Iterator[str]:
    """The URL of a fresh database with nothing in it."""
    with fresh_database(cluster, "template1") as url:
        yield url


@contextmanager
def fresh_database(cluster: LocalPostgres, template: str) -> Iterator[str]:
    """The URL of a clone, however long it is to stand."""
    name = f"test_{next(_numbers)}"
    administer(cluster, "CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy", name, template)
    yield cluster.url(name)
    administer(cluster, "DROP DATABASE {} WITH (FORCE)", name)
