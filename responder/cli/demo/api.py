"""What the story needs of the API: post an alert, see what became of it, wait until it is so."""

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

    def post(self, body: Mapping[str, Any]) -> Posted:
        """A webhook of Alertmanager. DidNotHappen unless it is acknowledged."""
        headers = {"Authorization": f"Bearer {self._world.bearer}"}
        at, began = datetime.now(UTC), time.perf_counter()
        response = self._call("POST", self._world.webhook_url, json=body, headers=headers)
        ms = (time.perf_counter() - began) * 1000
        if response.status_code != 202:
            raise DidNotHappen(f"a webhook was answered with {response.status_code}, not 202")
        return Posted(at, ms, response.json()["delivery"])

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
        headers = {"Authorization": f"Bearer {self._world.tokens['operator']}"}
        path = f"/v1/incidents/{incident_id}/acknowledge"
        response = self._call("POST", self._world.url + path, headers=headers)
        if response.status_code != 200:
            raise DidNotHappen(f"POST {path} was answered with {response.status_code}")

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
