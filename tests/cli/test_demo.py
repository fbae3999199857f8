"""The demo from outside: the commands as people type them, their one line, their end."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
import requests

from responder.cli.demo.chapters import STORIES
from tests.demo import COMMAND, World, running
from tests.site import eventually

#: What each chapter is told for, in its own words; the four rows of the runbook's table among them.
STORY = (
    *("fix (allowed)", "every failed item is through", "propose (severity)", "Grafana: Shopify"),
    *("hand_over (no_option)", "(stale)", "dry run", "as demo-operator: committed, held"),
    *("wait (look_again)", "supabase functions deploy", "propose (not_automatic)", "index_sku"),
    "built outside of a transaction",
    *("the cause is port_closed", "PagerDuty's incident QSTAGINGDB0001", "by no second page"),
    *("hand_over (no_rule)", "the pager got it with the next attempt", "trigger, resolve: once"),
)


def below(pid: int) -> dict[int, str]:
    """The command lines of all processes that this one has started, and they, by their id."""
    listed = subprocess.run(
        ["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    )
    rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
    found: dict[int, str] = {}
    parents = {pid}
    while parents:
        children = {int(row[0]): row[2] for row in rows if int(row[1]) in parents}
        parents = set(children) - set(found)
        found |= children
    return found


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_line_has_all_that_a_check_needs(world: World) -> None:
    told = world.told
    assert {"url", "sources", "receivers", "tokens", "databases", "health", "pager"} <= set(told)
    assert set(told["sources"]) == {"alertmanager", "grafana", "pagerduty", "monitor"}
    for source in told["sources"].values():
        assert {"type", "url", "headers", "secret", "secrets", "files", "signing"} == set(source)
        assert [Path(file).read_text() for file in source["files"]] == source["secrets"]
    assert {each["type"] for each in told["receivers"].values()} == {
        *("pagerduty", "pagerduty_notes", "slack", "email", "webhook")
    }
    for door in ("received", "ping"):
        assert requests.get(told["stand_in"][door], timeout=10).status_code == 200
    with socket.create_connection(tuple(told["stand_in"]["smtp"].values()), 10) as mail:
        assert mail.recv(3) == b"220"
    assert Path(told["config"]).is_file()
    assert all(is_alive(process) for process in told["processes"].values())
    assert set(told["tokens"]) == {"viewer", "operator", "admin"}
    assert {"responder", "shop"} <= set(told["databases"])
    assert requests.get(told["url"] + "/readyz", timeout=10).status_code == 200
    for url in told["databases"].values():
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT usesuper FROM pg_user WHERE usename = user")


def test_the_roles_in_the_shop_are_ordinary_ones(world: World) -> None:
    roles = world.shop("SELECT rolsuper FROM pg_roles WHERE rolname ~ '^responder_'")
    assert roles == [False, False, False]


def test_a_secret_in_a_file_is_rotated_without_a_restart(world: World) -> None:
    told = world.told["sources"]["grafana"]
    body = {"version": "1", "alerts": []}
    assert world.tell("grafana", body).status_code == 202
    Path(told["files"][0]).write_text("rotated-" + told["secret"])
    assert world.tell("grafana", body).status_code == 401
    assert world.tell("grafana", body, "rotated-" + told["secret"]).status_code == 202
    Path(told["files"][0]).write_text(told["secret"])


def test_a_killed_worker_is_replaced_and_nothing_outlives_the_end() -> None:
    def workers() -> set[int]:
        return {pid for pid, args in below(world.process.pid).items() if "responder work" in args}

    with running() as world:
        (killed,) = workers()
        os.kill(killed, signal.SIGKILL)
        eventually(lambda: workers() - {killed})
        started = below(world.process.pid)
        assert len(started) > 10, "two PostgreSQL servers, gunicorn with its workers, a worker"
    eventually(lambda: not [args for pid, args in started.items() if is_alive(pid)])


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder that the account of an embedded PostgreSQL can reach, unlike pytest's."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


def test_the_story_happens(temporary: Path) -> None:
    """Also where the terminal has neither colours nor arrows."""
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONIOENCODING": "ascii"}
    told = subprocess.run(
        [*COMMAND, "demo", "--once"], capture_output=True, text=True, env=environment, timeout=120
    )
    assert told.returncode == 0, told.stdout[-3000:] + told.stderr[-3000:]
    assert "All of it happened" in told.stdout
    for fact in STORY:
        assert fact in told.stdout, fact
    assert "\x1b" not in told.stdout
    assert max(map(len, told.stdout.splitlines())) <= 92
    assert list(temporary.iterdir()) == [], "all that it made is gone"


@pytest.mark.parametrize("name", STORIES)
def test_each_story_happens_in_a_world_of_its_own(name: str) -> None:
    told = subprocess.run(
        [*COMMAND, "demo", "--once", "--story", name], capture_output=True, text=True, timeout=120
    )
    assert told.returncode == 0, told.stdout[-3000:] + told.stderr[-3000:]
    assert "All of it happened" in told.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["demo", "--once", "--json"], 2, "give one"),
        (["demo", "--story", "slow_queries", "--json"], 2, "give one"),
        (["demo", "--story", "nonesuch"], 2, "'shopify_queue_stuck'"),
        (["up", "--config", "no-such.toml"], 1, "docs/examples/responder.toml"),
    ],
)
def test_what_cannot_be_done_is_refused(arguments: list[str], status: int, said: str) -> None:
    refused = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60)
    assert refused.returncode == status
    assert said in " ".join(refused.stderr.split())
