"""A real Alertmanager delivers firing and resolved, and our restart in between loses neither."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests

from tests.site import Site, eventually, restart

PROGRAM = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
CONFIG = """
route:
  receiver: responder
  group_by: [alertname]
  group_wait: 0s
  group_interval: 1s
  repeat_interval: 1h
receivers:
  - name: responder
    webhook_configs:
      - url: {url}
        send_resolved: true
        http_config: {{ authorization: {{ credentials: {token} }} }}
"""


@pytest.fixture
def alertmanager(site: Site, tmp_path: Path) -> Iterator[str]:
    """The URL of an Alertmanager whose only receiver is our webhook."""
    if PROGRAM is None:
        pytest.skip("there is no Alertmanager; on Debian: apt-get install prometheus-alertmanager")
    config = tmp_path / "alertmanager.yml"
    config.write_text(CONFIG.format(url=site.world.webhook_url, token=site.world.bearer))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                PROGRAM,
                f"--config.file={config}",
                f"--storage.path={tmp_path / 'data'}",
                f"--web.listen-address={address}",
                "--cluster.listen-address=",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        eventually(lambda: _ready(f"http://{address}/-/ready"))
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(timeout=10)


def _ready(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False


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
    restart(site.serve, lambda: _ready(f"{site.world.url}/readyz"))

    eventually(lambda: status(site, "BeforeRestart") == ("resolved", "sender"))
    eventually(lambda: status(site, "DuringRestart") == ("open", None))
    tell(alertmanager, "DuringRestart", ended=True)
    eventually(lambda: status(site, "DuringRestart") == ("resolved", "sender"))
    assert site.gap() == (0, 0)
