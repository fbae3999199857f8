"""The demo from outside: the commands as people type them; shop and pager are asked directly."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest
import requests

from responder.cli.demo.alerts import Alarm
from tests.site import eventually

COMMAND = [sys.executable, "-m", "responder"]
PAGE_SECONDS = 3.0
FAIL = """
INSERT INTO shopify_sync_queue (inventory_item_id, status, retry_count, last_error, created_at)
SELECT id, 'failed', 3, 'HTTP 503 Service Unavailable', now() - interval '20 minutes'
FROM intake_items LIMIT %s RETURNING id
"""


class World:
    """A demo that stays up, known only by its one line."""

    def __init__(self, process: "subprocess.Popen[str]", line: str) -> None:
        self.process = process
        self.told: dict[str, Any] = json.loads(line)

    def post(self, status: str = "firing", **labels: str) -> str:
        """The id of the incident that an alert of the queue opened or joined."""
        source = self.told["sources"]["alertmanager"]
        told = {"alertname": "ShopifyQueueStuck", "env": "production", **labels}
        alarm = Alarm(told, "The queue is stuck", datetime.now(UTC))
        body = alarm.firing() if status == "firing" else alarm.resolved(datetime.now(UTC))
        answer = requests.post(source["url"], json=body, headers=source["headers"], timeout=10)
        assert answer.status_code == 202, answer.text
        path = f"/v1/deliveries/{answer.json()['delivery']}"
        incident: str = eventually(lambda: self.get(path)["alerts"])[0]["incident_id"]
        return incident

    def get(self, path: str) -> Any:
        headers = {"Authorization": f"Bearer {self.told['tokens']['viewer']}"}
        answer = requests.get(self.told["url"] + path, headers=headers, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def incident_when(self, incident: str, holds: Callable[[Any], Any]) -> Any:
        def look() -> Any:
            document = self.get(f"/v1/incidents/{incident}")
            return document if holds(document) else None

        return eventually(look)

    def trail(self, incident: str) -> list[tuple[str, str | None]]:
        events = self.get(f"/v1/incidents/{incident}/events")["items"]
        return [(event["what"], event["after"]) for event in events]

    def received(self) -> Any:
        return requests.get(f"{self.told['pager']}/received", timeout=10).json()

    def shop(self, statement: str, *parameters: Any, name: str = "shop") -> list[Any]:
        with psycopg.connect(self.told["databases"][name]) as connection:
            return [row[0] for row in connection.execute(statement, parameters or None)]

    def statuses(self, items: list[Any], name: str = "shop") -> set[str]:
        """In which statuses these items of a shop's queue are."""
        statement = "SELECT DISTINCT status FROM shopify_sync_queue WHERE id = ANY(%s)"
        return set(self.shop(statement, items, name=name))


@contextmanager
def running() -> Iterator[World]:
    process = subprocess.Popen([*COMMAND, "demo", "--json"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, "it ended before it was ready; its own words are in the captured stderr"
        yield World(process, line)
        process.terminate()
        assert process.stdout.read() == "", "there is one line and no more"
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with running() as ready:
        yield ready


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
    assert set(told) == {"url", "sources", "tokens", "databases", "pager"}
    for source in told["sources"].values():
        assert set(source) == {"type", "url", "headers", "secret"}
    assert set(told["tokens"]) == {"viewer", "operator", "admin"}
    assert {"responder", "shop"} <= set(told["databases"])
    assert requests.get(told["url"] + "/readyz", timeout=10).status_code == 200
    for url in told["databases"].values():
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT usesuper FROM pg_user WHERE usename = user")


def test_the_diagnosing_role_of_the_shop_is_an_ordinary_one(world: World) -> None:
    roles = world.shop("SELECT rolsuper FROM pg_roles WHERE rolname ~ '^responder_'")
    assert roles == [False, False]


def test_a_fault_is_repaired_at_p2_and_offered_at_p0(world: World) -> None:
    first = world.shop(FAIL, 7)
    incident = world.post(severity="warning")
    document = world.incident_when(
        incident,
        lambda found: (
            found["incident"]["stage"] == "watch"
            and [fix["verification"] for fix in found["fixes"]] == ["held"]
        ),
    )
    assert [finding["name"] for finding in document["findings"]] == ["exhausted"]
    assert document["decision"]["reason"] == "allowed"
    assert {row["id"] for row in document["fixes"][0]["before"]} >= set(map(str, first))
    trail = world.trail(incident)
    steps = [("opened", "open"), ("decision", "fix"), ("fix", "started"), ("fix", "recorded")]
    steps += [("fix", "committed"), ("verification", "held"), ("stage", "watch")]
    assert [step for step in trail if step in steps] == steps
    eventually(lambda: world.statuses(first) == {"completed"})

    second, posted = world.shop(FAIL, 5), datetime.now(UTC)
    assert world.post(severity="critical") == incident
    document = world.incident_when(
        incident, lambda found: found["decision"]["reason"] == "severity"
    )
    assert document["incident"]["severity"] == "P0"
    key = document["incident"]["dedup_key"]
    pages = eventually(
        lambda: [page for page in world.received()["pagerduty"] if page["dedup_key"] == key]
    )
    assert [page["event_action"] for page in pages] == ["trigger"]
    waited = datetime.fromisoformat(pages[0]["at"]) - posted
    assert waited.total_seconds() < PAGE_SECONDS
    assert "5 items failed" in pages[0]["payload"]["summary"]
    (option,) = [each for each in document["options"] if each["name"] == "retry_failed"]
    assert option["offered"] and not option["allowed"] and option["why_not"] == "severity"
    assert len(document["fixes"]) == 1
    assert world.statuses(second) == {"failed"}


def test_a_staging_alert_changes_staging_alone(world: World) -> None:
    production = world.shop(FAIL, 3)
    staged = world.shop(FAIL, 4, name="shop_staging")
    incident = world.post(severity="warning", env="staging")
    document = world.incident_when(incident, lambda found: found["fixes"])
    assert document["incident"]["target"] == "shop_staging"
    eventually(lambda: world.statuses(staged, "shop_staging") == {"completed"})
    assert world.statuses(production) == {"failed"}


def test_the_webhook_is_told_the_document_and_its_end(world: World) -> None:
    labels = {"alertname": "NobodyKnows", "severity": "info"}
    incident = world.post(**labels)
    world.incident_when(incident, lambda found: found["decision"])
    assert world.post("resolved", **labels) == incident

    def told() -> list[Any]:
        heard = [
            event
            for event in world.received()["webhook"]
            if event["data"]["incident"]["id"] == incident
        ]
        return heard if heard and heard[-1]["type"] == "incident.resolved" else []

    heard = eventually(told)
    assert heard[0]["type"] == "incident.opened"
    assert heard[-1]["data"]["decision"]["reason"] == "no_rule"
    assert world.received()["refused"] == []


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
    assert "\x1b" not in told.stdout
    assert max(map(len, told.stdout.splitlines())) <= 92
    assert list(temporary.iterdir()) == [], "all that it made is gone"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["demo", "--once", "--json"], 2, "give one"),
        (["up", "--config", "no-such.toml"], 1, "docs/examples/responder.toml"),
    ],
)
def test_what_cannot_be_done_is_refused(arguments: list[str], status: int, said: str) -> None:
    refused = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60)
    assert refused.returncode == status
    assert said in " ".join(refused.stderr.split())
