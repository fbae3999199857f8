"""The monitors of Debian, started from the very files of docs/examples/monitoring.

Only addresses, secrets and durations are other ones: a test does not wait for minutes.
"""

import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from tests.site import eventually

EXAMPLES = Path(__file__).parents[2] / "docs/examples/monitoring"
SOON = "250ms"


def program(name: str) -> str:
    """Where a package of Debian put it; the test is skipped without."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"there is no {name}; on Debian: apt-get install {name}")
    return found


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@contextmanager
def running(command: Sequence[str], ready: str, log: Path) -> Iterator[None]:
    """The program, from the moment that it answers at `ready`; it ends with the block."""
    with log.open("wb") as told:
        process = subprocess.Popen(command, stdout=told, stderr=told, cwd=log.parent)
    try:
        eventually(lambda: process.poll() is not None or answers(ready))
        assert process.poll() is None, log.read_text()
        yield
    finally:
        process.terminate()
        process.wait(timeout=10)


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False


@contextmanager
def alertmanager(folder: Path, webhook: str, token: str) -> Iterator[str]:
    """Its address; its only receiver is our webhook."""
    address, config = free_address(), example("alertmanager.yml")
    (folder / "token").write_text(token)
    config["route"] |= {"group_wait": "0s", "group_interval": "1s"}
    (hook,) = config["receivers"][0]["webhook_configs"]
    hook["url"] = webhook
    hook["http_config"]["authorization"]["credentials_file"] = str(folder / "token")
    command = [
        program("prometheus-alertmanager"),
        f"--config.file={written(folder / 'alertmanager.yml', config)}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    ]
    with running(command, f"http://{address}/-/ready", folder / "alertmanager.log"):
        yield address


@contextmanager
def exporter(folder: Path, database: str) -> Iterator[str]:
    """Its address; it asks the database at this URL, as a driver writes it that wants TLS."""
    address, config = free_address(), example("sql_exporter.yml")
    (job,) = config["jobs"]
    asked = database.replace("postgresql://", "postgres://") + "?sslmode=disable"
    job |= {"interval": SOON, "connections": [asked]}
    command = [
        program("prometheus-sql-exporter"),
        f"-config.file={written(folder / 'sql_exporter.yml', config)}",
        f"-web.listen-address={address}",
    ]
    with running(command, f"http://{address}/metrics", folder / "exporter.log"):
        yield address


@contextmanager
def prometheus(folder: Path, exported: str, alerted: str) -> Iterator[str]:
    """Its address; it watches the exporter and tells the Alertmanager."""
    address, config = free_address(), example("prometheus.yml")
    config["global"] = {
        "scrape_interval": SOON,
        "evaluation_interval": SOON,
        "scrape_timeout": SOON,
    }
    config["scrape_configs"][0]["static_configs"] = [{"targets": [exported]}]
    config["alerting"]["alertmanagers"][0]["static_configs"] = [{"targets": [alerted]}]
    rules = example("shop.rules.yml")
    for group in rules["groups"]:
        group["interval"] = SOON
        for rule in group["rules"]:
            rule["for"] = "1s"
    written(folder / "shop.rules.yml", rules)
    command = [
        program("prometheus"),
        f"--config.file={written(folder / 'prometheus.yml', config)}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address={address}",
        "--rules.alert.resend-delay=1s",
    ]
    with running(command, f"http://{address}/-/ready", folder / "prometheus.log"):
        yield address


def example(name: str) -> dict[str, Any]:
    """What a user copies from the documentation."""
    read: dict[str, Any] = yaml.safe_load((EXAMPLES / name).read_text())
    return read


def written(path: Path, config: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(config))
    return path
