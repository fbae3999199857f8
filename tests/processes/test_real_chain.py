"""From the fault to its end with nobody simulated: the shop's database, the exporter, Prometheus,
Alertmanager, the responder, and the same way back."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from responder.cli.demo.world import World
from tests.processes.monitoring import alertmanager, example, exporter, prometheus
from tests.site import Site, eventually

EXHAUSTED = 12
Told = Callable[[str], None]


class Watch:
    """What Prometheus sees."""

    def __init__(self, address: str) -> None:
        self._api = f"http://{address}/api/v1"

    def value(self, query: str) -> float | None:
        (found,) = self._get("query", query=query)["result"] or [None]
        return found and float(found["value"][1])

    def firing(self, name: str) -> bool:
        alerts = self._get("alerts")["alerts"]
        return any(
            alert["labels"]["alertname"] == name and alert["state"] == "firing" for alert in alerts
        )

    def _get(self, path: str, **query: str) -> Any:
        answer = requests.get(f"{self._api}/{path}", params=query, timeout=10)
        answer.raise_for_status()
        return answer.json()["data"]


@pytest.fixture(scope="module")
def watch(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    """Prometheus over the shop, with the rules and routes of the documentation."""
    folder: Path = tmp_path_factory.mktemp("monitoring")
    reading = site.world.settings.targets["shop_eu"].reading.value()
    with ExitStack() as stack:
        asked = stack.enter_context(exporter(folder, reading))
        told = stack.enter_context(alertmanager(folder, site.world.webhook_url, site.world.bearer))
        found = Watch(stack.enter_context(prometheus(folder, asked, told)))
        eventually(lambda: found.value('sql_shop_queue{col="failed"}') == 0)
        yield found


class Clock:
    """Says when each thing happened, counted from the fault."""

    def __init__(self, told: Told) -> None:
        self._began, self._told = time.monotonic(), told

    def when(self, what: str, condition: Callable[[], object]) -> None:
        eventually(condition)
        self._told(f"{time.monotonic() - self._began:6.1f} s  {what}")


def incident(site: Site, rule: str) -> dict[str, Any]:
    """Its document, empty before there is one."""
    found = site.incident(rule)
    return site.get(f"/v1/incidents/{found['id']}") if found else {}


def test_a_fault_is_seen_repaired_and_seen_to_be_repaired(
    site: Site, watch: Watch, told: Told
) -> None:
    rule, clock = "shopify_queue_stuck", Clock(told)
    site.world.shops["shop"].play("fail_items", items=EXHAUSTED)

    def fixed() -> bool:
        (fix,) = incident(site, rule).get("fixes") or [{"status": None}]
        return bool(fix["status"] == "committed" and fix["verification"] == "held")

    def status() -> str:
        return str(incident(site, rule)["incident"]["status"])

    clock.when("Prometheus sees the failed items", lambda: watch.value("sum(sql_shop_queue)"))
    clock.when("Prometheus fires", lambda: watch.firing("ShopifyQueueStuck"))
    clock.when("Alertmanager has posted, the incident is open", lambda: incident(site, rule))
    clock.when("the responder has repaired and verified it", fixed)
    clock.when("Prometheus sees it repaired", lambda: watch.value("sum(sql_shop_queue)") == 0)
    clock.when("Prometheus ends the alert", lambda: not watch.firing("ShopifyQueueStuck"))
    clock.when("Alertmanager has posted, the incident is closed", lambda: status() == "resolved")

    document = incident(site, rule)
    assert document["incident"]["resolved_by"] == "sender"
    assert len(document["fixes"][0]["before"]) == EXHAUSTED
    trail = [
        event["what"]
        for event in site.get(f"/v1/incidents/{document['incident']['id']}/events")["items"]
    ]
    assert {"opened", "decision", "fix", "verification"} <= set(trail)
    assert site.gap() == (0, 0)


@contextmanager
def database_down(world: World) -> Iterator[None]:
    world.shop_server.stop(keep=True)
    try:
        yield
    finally:
        world.shop_server.start()


@contextmanager
def breaker_open(world: World) -> Iterator[None]:
    world.shops["shop"].play("open_breaker")
    yield


@contextmanager
def slow_page(world: World) -> Iterator[None]:
    world.shops["shop"].open_slow_page()
    yield


@contextmanager
def batch_forgotten(world: World) -> Iterator[None]:
    world.shops["shop"].play("forget_lot", lot="LOT-000060")
    yield


FAULTS = {
    "IntakeBatchStuck": (batch_forgotten, "intake_batch_stuck", "P2"),
    "SlowQueries": (slow_page, "slow_queries", "P3"),
    "CircuitBreakerOpen": (breaker_open, "circuit_breaker_open", "P1"),
    "DatabaseDown": (database_down, "database_down", "P0"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_every_alert_of_the_documentation_fires(
    site: Site, watch: Watch, told: Told, name: str
) -> None:
    fault, rule, severity = FAULTS[name]
    clock = Clock(told)
    with fault(site.world):
        clock.when("Prometheus fires", lambda: watch.firing(name))
        clock.when("the incident is open", lambda: incident(site, rule))
        if severity in ("P0", "P1"):
            clock.when("people are woken", lambda: site.pages(f"[{severity}]"))
    assert incident(site, rule)["incident"]["severity"] == severity
    assert site.gap() == (0, 0)


def test_every_alert_of_the_documentation_is_tried() -> None:
    groups = example("shop.rules.yml")["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"]}
    assert alerts == {*FAULTS, "ShopifyQueueStuck"}
