"""A demo that stays up, known only by the one line that it prints."""

import base64
import hmac
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import psycopg
import requests

from responder.cli.demo.alerts import Alarm
from tests.site import eventually

COMMAND = [sys.executable, "-m", "responder"]


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
        return self.incident_of(answer)

    def tell(self, source: str, body: Any, secret: str = "") -> requests.Response:
        """A webhook, signed by hand as the line says how."""
        told, raw = self.told["sources"][source], json.dumps(body).encode()
        headers = dict(told["headers"])
        if told["signing"]:
            headers |= signed(told["signing"], secret or told["secret"], raw)
        return requests.post(told["url"], data=raw, headers=headers, timeout=10)

    def incident_of(self, answer: requests.Response) -> str:
        """The incident that the only alert of an accepted webhook opened or joined."""
        assert answer.status_code == 202, answer.text
        path = f"/v1/deliveries/{answer.json()['delivery']}"
        (alert,) = eventually(lambda: self.get(path)["alerts"])
        incident: str = alert["incident_id"]
        return incident

    def ask_for_fix(self, incident: str, **asked: Any) -> requests.Response:
        """A person asks; again while the incident is in hand for something else."""
        url = f"{self.told['url']}/v1/incidents/{incident}/fixes"
        headers = {"Authorization": f"Bearer {self.told['tokens']['operator']}"}

        def ask() -> Any:
            answer = requests.post(url, json=asked, headers=headers, timeout=10)
            busy = answer.status_code == 409 and answer.json()["type"] == "urn:responder:conflict"
            return None if busy else (answer,)

        found: requests.Response = eventually(ask)[0]
        return found

    def fix_when(self, fix: str, holds: Callable[[Any], Any]) -> Any:
        def look() -> Any:
            found = self.get(f"/v1/fixes/{fix}")
            return found if holds(found) else None

        return eventually(look)

    def pages(self, incident: str) -> list[Any]:
        """The triggers that the pager got for an incident."""
        key = self.get(f"/v1/incidents/{incident}")["incident"]["dedup_key"]
        return [
            event
            for event in self.received()["pagerduty"]
            if event["dedup_key"] == key and event["event_action"] == "trigger"
        ]

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


def signed(signing: Any, secret: str, body: bytes) -> dict[str, str]:
    """The headers, made of nothing but what the line says about them."""
    known = {"id": uuid4().hex, "timestamp": str(int(time.time())), "body": body.decode()}
    text, key = signing["signed"].format(**known).encode(), secret.encode()
    if secret.startswith("whsec_"):
        digest = hmac.digest(base64.b64decode(secret.removeprefix("whsec_")), text, "sha256")
        known["signature"] = base64.b64encode(digest).decode()
    else:
        known["signature"] = hmac.digest(key, text, "sha256").hex()
    return {name: each.format(**known) for name, each in signing["headers"].items()}


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
