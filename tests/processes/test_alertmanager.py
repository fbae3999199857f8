"""A real Alertmanager delivers firing and resolved, and our restart in between loses neither."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests

from tests.processes import monitoring
from tests.site import Site, eventually, restart


@pytest.fixture
def alertmanager(site: Site, tmp_path: Path) -> Iterator[str]:
    """The URL of an Alertmanager whose only receiver is our webhook."""
    with monitoring.alertmanager(tmp_path, site.world.webhook_url, site.world.bearer) as address:
        yield f"http://{address}"


def tell(alertmanager: str, name: str, ended: bool) -> None:
    """What Prometheus would tell Alertmanager."""
    now = datetime.now(UTC)
    alert = {
        "labels": {"alertname": name, "severity": "warning", "env": "production"},
        "annotations": {"summary": f"{name} was told by a real Alertmanager"},
        "startsAt": (now - timedelta(minutes=2)).isoformat(),
        "endsAt": (now if ended else now + timedelta(hours=1)).isoformat(),
    }
    requests.post(f"{alertmanager}/api/v2/alerts", json=[alert], timeout=10).raise_for_status()


def status(site: Site, name: str) -> tuple[str, str | None] | None:
    rows = site.sql(
        "SELECT status, resolved_by FROM incident WHERE labels ->> 'alertname' = %s", name
    )
    return (rows[0]["status"], rows[0]["resolved_by"]) if rows else None


def test_firing_and_resolved_survive_our_restart(site: Site, alertmanager: str) -> None:
    tell(alertmanager, "BeforeRestart", ended=False)
    eventually(lambda: status(site, "BeforeRestart") == ("open", None))

    site.serve.stop()
    tell(alertmanager, "BeforeRestart", ended=True)
    tell(alertmanager, "DuringRestart", ended=False)
    assert status(site, "DuringRestart") is None
    restart(site.serve, lambda: monitoring.answers(f"{site.world.url}/readyz"))

    eventually(lambda: status(site, "BeforeRestart") == ("resolved", "sender"))
    eventually(lambda: status(site, "DuringRestart") == ("open", None))
    tell(alertmanager, "DuringRestart", ended=True)
    eventually(lambda: status(site, "DuringRestart") == ("resolved", "sender"))
    assert site.gap() == (0, 0)
