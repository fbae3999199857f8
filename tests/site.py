"""The responder as in production: gunicorn, a worker, a shop, a pager, all real, all killable."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
import pytest
import requests
from psycopg.rows import dict_row

from responder.cli.demo.children import Child
from responder.cli.demo.world import World, open_world

T = TypeVar("T")
#: A wait that is longer than anything the responder promises; it ends as soon as the thing happens.
PATIENCE = 40.0


@dataclass
class Site:
    """A world, and what a test does to it."""

    world: World

    @property
    def serve(self) -> Child:
        return self.world.children[0]

    @property
    def work(self) -> Child:
        return self.world.children[1]

    def post(self, *alerts: dict[str, Any]) -> requests.Response:
        """An Alertmanager webhook."""
        body = {"version": "4", "groupKey": "{}", "status": "firing", "alerts": list(alerts)}
        headers = {"Authorization": f"Bearer {self.world.bearer}"}
        return requests.post(self.world.webhook_url, json=body, headers=headers, timeout=30)

    def get(self, path: str) -> Any:
        headers = {"Authorization": f"Bearer {self.world.tokens['viewer']}"}
        return requests.get(self.world.url + path, headers=headers, timeout=30).json()

    def incident(self, key_word: str) -> dict[str, Any] | None:
        """The newest incident of a rule, as the API shows it."""
        items = self.get(f"/v1/incidents?rule={key_word}")["items"]
        return items[0] if items else None

    def pages(self, title: str) -> list[dict[str, Any]]:
        """Triggers that the pager got about something."""
        return [
            event
            for event in self.world.pager.received()["pagerduty"]
            if event["event_action"] == "trigger" and title in event["payload"]["summary"]
        ]

    def sql(
        self, statement: str, *parameters: Any, database: str = "responder"
    ) -> list[dict[str, Any]]:
        """What stands in our database."""
        url = self.world.ours.url(database)
        with psycopg.connect(url, row_factory=dict_row) as connection:
            connection.execute("SET search_path = responder, responder_jobs")
            return connection.execute(statement, parameters or None).fetchall()  # type: ignore[call-overload]

    def gap(self) -> tuple[int, int]:
        """What promise 1 has lost, from the metrics; our database may be on its way back."""
        text = eventually(self._metrics)
        values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
        names = ("responder_ledger_alerts_gap", "responder_ledger_incidents_gap")
        return int(float(values[names[0]])), int(float(values[names[1]]))

    def _metrics(self) -> str:
        """Nothing while our database is away."""
        headers = {"Authorization": f"Bearer {self.world.tokens['viewer']}"}
        text = requests.get(f"{self.world.url}/metrics", headers=headers, timeout=30).text
        return text if "responder_database_up 1.0" in text else ""


def kill(child: Child) -> None:
    """SIGKILL to the process and all that it started."""
    process = child._process
    assert process is not None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def restart(child: Child, ready: Callable[[], bool]) -> None:
    child.start()
    child.wait_until(ready)


def eventually(condition: Callable[[], T]) -> T:
    """What the condition gives as soon as that is something."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        if time.monotonic() > deadline:
            pytest.fail("it never happened")
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """One world for the tests of a module; each leaves it running."""
    with open_world(print) as world:
        yield Site(world)
