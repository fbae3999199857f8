"""What the story needs of the API: post an alert, see what became of it, wait until it is so."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import requests

from responder.cli.demo.world import World

T = TypeVar("T")
Document = Mapping[str, Any]

_LOOK_EVERY = 0.05


class DidNotHappen(Exception):
    """Something of the story did not happen in its time; the message says what."""


@dataclass(frozen=True)
class Posted:
    """One webhook: when it left us, how long its acknowledgement took, the delivery's id."""

    at: datetime
    ms: float
    delivery: str


class Api:
    """A sender and a viewer of one responder, over kept-alive connections."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._session = requests.Session()

    def close(self) -> None:
        self._session.close()

    def post(self, body: Mapping[str, Any], source: str = "alertmanager") -> Posted:
        """A webhook of this source. DidNotHappen unless it is acknowledged."""
        at, began = datetime.now(UTC), time.perf_counter()
        response = self.try_post(body, source)
        ms = (time.perf_counter() - began) * 1000
        if response.status_code != 202:
            raise DidNotHappen(f"a webhook was answered with {response.status_code}, not 202")
        return Posted(at, ms, response.json()["delivery"])

    def try_post(self, body: Mapping[str, Any], source: str) -> requests.Response:
        """The answer to a webhook, whatever it is."""
        sender, raw = self._world.senders[source], json.dumps(body).encode()
        return self._call("POST", sender.url, data=raw, headers=sender.headers(raw))

    def get(self, path: str) -> Any:
        headers = {"Authorization": f"Bearer {self._world.tokens['viewer']}"}
        response = self._call("GET", self._world.url + path, headers=headers)
        if response.status_code != 200:
            raise DidNotHappen(f"GET {path} was answered with {response.status_code}")
        return response.json()

    def outcome(self, posted: Posted) -> Document:
        """What became of the first alert of a delivery, when it is triaged."""

        def look() -> Document | None:
            alerts = self.get(f"/v1/deliveries/{posted.delivery}")["alerts"]
            return alerts[0] if alerts else None

        return until("the alert gets its outcome", look)

    def incident(self, incident_id: str) -> Document:
        found: Document = self.get(f"/v1/incidents/{incident_id}")
        return found

    def incident_when(
        self, incident_id: str, what: str, holds: Callable[[Document], Any], seconds: float = 15.0
    ) -> Document:
        """The document as soon as something holds of it. DidNotHappen(what)."""

        def look() -> Document | None:
            document = self.incident(incident_id)
            return document if holds(document) else None

        return until(what, look, seconds)

    def events(self, incident_id: str) -> list[Document]:
        items: list[Document] = self.get(f"/v1/incidents/{incident_id}/events")["items"]
        return items

    def acknowledge(self, incident_id: str) -> None:
        response = self._operate(f"/v1/incidents/{incident_id}/acknowledge")
        if response.status_code != 200:
            raise DidNotHappen(f"an acknowledgement was answered with {response.status_code}")

    def ask_for_fix(
        self,
        incident_id: str,
        option: str,
        seen: str,
        dry_run: bool = False,
        parameters: Mapping[str, str] | None = None,
        role: str = "operator",
    ) -> requests.Response:
        """A person asks for an option, again while the incident is in hand for something else."""
        asked = {"option": option, "seen": seen, "dry_run": dry_run, "parameters": parameters or {}}

        def ask() -> requests.Response | None:
            response = self._operate(f"/v1/incidents/{incident_id}/fixes", asked, role)
            busy = response.status_code == 409 and response.json()["type"].endswith(":conflict")
            return None if busy else response

        return until("a person may ask for a fix", ask)

    def fix_when(self, fix_id: str, what: str, holds: Callable[[Document], Any]) -> Document:
        """A fix as soon as something holds of it. DidNotHappen(what)."""

        def look() -> Document | None:
            fix: Document = self.get(f"/v1/fixes/{fix_id}")
            return fix if holds(fix) else None

        return until(what, look)

    def is_ready(self) -> bool:
        """Whether the responder can keep a delivery."""
        return self._call("GET", f"{self._world.url}/readyz").status_code == 200

    def _operate(
        self, path: str, body: Mapping[str, Any] | None = None, role: str = "operator"
    ) -> requests.Response:
        headers = {"Authorization": f"Bearer {self._world.tokens[role]}"}
        return self._call("POST", self._world.url + path, json=body, headers=headers)

    def _call(self, method: str, url: str, **options: Any) -> requests.Response:
        try:
            return self._session.request(method, url, timeout=10, **options)
        except requests.RequestException as error:
            raise DidNotHappen(f"{method} {url}: {type(error).__name__}") from None


def until(what: str, look: Callable[[], T | None], seconds: float = 15.0) -> T:
    """The first thing that `look` finds. DidNotHappen(what) when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found is not None:
            return found
        if time.monotonic() > deadline:
            raise DidNotHappen(f"within {seconds:g} s: {what}")
        time.sleep(_LOOK_EVERY)
