"""What a flood sends to a site, and how late it was woken by it."""

import json
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from tests.faults.flood import NUMBER, Flooded, Plan
from tests.site import Site, eventually


def request(site: Site, name: str, severity: str) -> str:
    """A delivery of one alert; each grave one is another fault."""
    place = urlsplit(site.world.webhook_url)
    number = NUMBER.decode()
    told = {
        "status": "firing",
        "labels": {"alertname": name, "severity": severity, "instance": f"host-{number}"},
        "startsAt": "2026-03-14T09:26:50Z",
        "fingerprint": number if severity == "critical" else "0",
    }
    body = json.dumps({"version": "4", "groupKey": "{}", "status": "firing", "alerts": [told]})
    return (
        f"POST {place.path} HTTP/1.1\r\nHost: {place.netloc}\r\n"
        f"Authorization: Bearer {site.world.bearer}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    )


def plan(site: Site, seconds: float, connections: int, grave: str = "Grave", **more: Any) -> Plan:
    """grave: the alert that wakes people, another one for each flood of a site."""
    place = urlsplit(site.world.url)
    assert place.hostname and place.port
    ordinary, urgent = request(site, "Flood", "info"), request(site, grave, "critical")
    return Plan(place.hostname, place.port, ordinary, urgent, seconds, connections, **more)


def lateness(site: Site, came: Flooded, name: str = "Grave") -> list[float]:
    """Seconds from the 202 of each grave delivery to its page; it waits for all of them."""
    grave = [each for each in came.deliveries if each["grave"]]
    eventually(lambda: len(_pages(site, name)) >= len(grave))
    arrived = _pages(site, name)
    return [arrived[each["number"]] - each["accepted"] for each in grave]


def _pages(site: Site, name: str) -> dict[int, float]:
    """When the page about each grave delivery came, by its number."""
    came: dict[int, float] = {}
    for page in site.pages(name):
        number = str(page["payload"]).partition("host-")[2][: len(NUMBER)]
        came.setdefault(int(number), datetime.fromisoformat(page["at"]).timestamp())
    return came
