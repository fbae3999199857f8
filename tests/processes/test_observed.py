"""What the processes say and count while they work; no secret is in any of it."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import requests
from click.testing import CliRunner, Result

from responder.cli import main
from responder.cli.demo.children import Child
from tests.house import alert
from tests.processes.test_without_our_database import stopped
from tests.site import Site, eventually, restart
from tests.test_log import HOSTILE, parsed

#: Files of the world's folder that are no secrets.
OPEN = ("responder.toml", ".log")


def lines(site: Site) -> list[dict[str, Any]]:
    """Of both logs; a line that is no JSON is a mistake."""
    return [line for child in (site.serve, site.work) for line in parsed(child.log.read_text())]


def secrets(site: Site) -> Iterator[str]:
    """Every secret of the world, by itself and as the password of a URL."""
    for path in site.world.folder.iterdir():
        if path.name.endswith(OPEN):
            continue
        text = path.read_text().strip()
        if path.name == "token_keys":
            yield from (key["d"] for key in json.loads(text)["keys"])
        elif "://" in text and (password := urlsplit(text).password):
            yield password
        elif "://" not in text:
            yield text


def post(site: Site, path: str, body: bytes, **headers: str) -> requests.Response:
    return requests.post(f"{site.world.url}{path}", data=body, headers=headers, timeout=30)


def torment(site: Site) -> None:
    """What may make somebody repeat a secret, or break a line."""
    right = {"Authorization": f"Bearer {site.world.bearer}"}
    for text in HOSTILE.values():
        told = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
        path = f"/v1/webhooks/{quote(told, safe='')}"
        assert post(site, path, b"{}", **right).status_code in (400, 404)
        answer = site.post(alert("Hostile", service=told, severity=told, team=told))
        assert answer.status_code in (202, 400)
    wrong = {"Authorization": f"Bearer {site.world.tokens['admin']}"}
    door = "/v1/webhooks/alertmanager"
    assert post(site, door, b"{}", **wrong).status_code == 401
    assert post(site, door, b"\x1b[31m{", **right).status_code == 400
    assert post(site, door, b'{"version": "4\\n\\u2028"}', **right).status_code == 202
    nowhere = site.world.tokens["viewer"]
    asked = requests.get(f"{site.world.url}/v1/incidents", params={"q": nowhere}, timeout=30)
    assert asked.status_code == 401
    host, _, port = site.world.url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port))) as wire:
        wire.sendall(f"GET /\x1b[31m\r {site.world.bearer} HTTP/9\r\n\r\n".encode())
        wire.recv(1000)


def gunicorn_workers(site: Site) -> set[int]:
    booted = "Booting worker with pid: "
    said = [line["event"] for line in lines(site) if line["event"].startswith(booted)]
    return {int(event.removeprefix(booted)) for event in said}


def test_both_logs_are_lines_that_name_what_they_are_about_and_no_secret(site: Site) -> None:
    accepted = site.post(alert("ShopifyQueueStuck", severity="warning")).json()["delivery"]
    eventually(lambda: (site.incident("shopify_queue_stuck") or {}).get("stage") == "watch")
    torment(site)
    before = gunicorn_workers(site)
    os.kill(max(before), signal.SIGKILL)
    eventually(lambda: gunicorn_workers(site) - before)
    site.world.ours.stop(keep=True)
    eventually(lambda: requests.get(f"{site.world.url}/readyz", timeout=30).status_code == 503)
    site.world.ours.start()
    eventually(lambda: requests.get(f"{site.world.url}/readyz", timeout=30).status_code == 200)
    eventually(lambda: site.gap() == (0, 0))

    said = lines(site)
    incident = site.incident("shopify_queue_stuck")
    assert incident is not None
    for line in said:
        assert list(line)[:3] == ["timestamp", "level", "event"]
        if line["event"] in ("delivery", "triaged", "incident opened"):
            assert line["delivery"]
        if line["event"] in ("walked", "incident opened", "a timer is due"):
            assert line["incident"]
        for subject in (accepted, incident["id"]):
            if subject in json.dumps(line):
                assert subject in (line.get("delivery"), line.get("incident"))
    of_it = {line["event"] for line in said if line.get("delivery") == accepted}
    assert of_it >= {"delivery", "triaged", "incident opened"}
    assert "walked" in {line["event"] for line in said if line.get("incident") == incident["id"]}
    assert {"gunicorn.error"} <= {line.get("logger") for line in said}

    metrics = scrape(site, site.world.url)
    audit = json.dumps(site.sql("SELECT to_jsonb(e) AS event FROM audit_event e"))
    found = [secret for secret in secrets(site) if secret in json.dumps(said) + metrics + audit]
    assert len(list(secrets(site))) >= 10
    assert found == []


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one core here, so no choice")
def test_each_process_stays_on_one_core_and_the_rules_on_none(site: Site) -> None:
    webs = children(site.serve.pid)
    assert len(webs) > 1
    for pid in (*webs, site.work.pid):  # the second web process may still be starting
        eventually(lambda pid=pid: [len(each) for each in cores_of(pid)] == [1])
    for pid in children(site.work.pid):
        assert os.sched_getaffinity(pid) == os.sched_getaffinity(0)


def cores_of(pid: int) -> set[frozenset[int]]:
    return {frozenset(os.sched_getaffinity(thread)) for thread in threads(pid)}


def children(pid: int) -> list[int]:
    found = (Path(f"/proc/{pid}/task/{thread}/children").read_text() for thread in threads(pid))
    return [int(each) for text in found for each in text.split()]


def threads(pid: int) -> list[int]:
    return [int(each.name) for each in Path(f"/proc/{pid}/task").iterdir()]


def test_the_doctor_finds_nothing_wrong(site: Site) -> None:
    config = ["--config", str(site.world.folder / "responder.toml")]

    def doctor() -> Result | None:
        answer = CliRunner().invoke(main, ["doctor", "--json", *config])
        if answer.exit_code:
            print([sign for sign in json.loads(answer.stdout)["signs"] if sign["status"] == "bad"])
        return answer if answer.exit_code == 0 else None

    answer = eventually(doctor)  # the sweep of the outage before may be under way
    assert answer is not None
    signs = json.loads(answer.stdout)["signs"]
    assert [sign for sign in signs if sign["status"] == "bad"] == []
    told = {sign["what"]: sign["says"] for sign in signs}
    assert told["workers"] == "1 alive"
    assert told["target shop_eu"].startswith("responder_reading reads in ")


def said(site: Site, event: str) -> int:
    """How often the worker said so."""
    return sum(line["event"] == event for line in parsed(site.work.log.read_text()))


def test_a_worker_outlives_our_database_and_ends_when_it_is_told_to(site: Site) -> None:
    again, ready = "the job engine has ended and begins again", "worker is ready"
    before = said(site, again), said(site, ready)
    with stopped(site.world):
        eventually(lambda: said(site, again) > before[0])
    eventually(lambda: said(site, ready) > before[1])
    eventually(lambda: site.post(alert("Afterwards", severity="warning")).status_code == 202)
    done = "SELECT FROM incident WHERE title LIKE 'Afterwards%%' AND stage = 'watch'"
    eventually(lambda: site.sql(done))
    assert site.work.running
    process = site.work._process
    assert process is not None
    site.work.stop()
    assert process.returncode == 0
    assert said(site, "worker has stopped") == 1
    restart(site.work, lambda: said(site, ready) > before[1] + 1)


def scrape(site: Site, url: str) -> str:
    headers = {"Authorization": f"Bearer {site.world.tokens['viewer']}"}
    answer = requests.get(f"{url}/metrics", headers=headers, timeout=30)
    assert answer.status_code == 200
    return answer.text


def value(text: str, sample: str) -> float:
    found = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(sample)]
    return float(found[0]) if found else 0.0


@pytest.fixture
def listening(site: Site) -> Iterator[tuple[str, str, Child]]:
    """Another `serve` of the same world, with a listener of its own for the metrics."""
    ports = [free_port(), free_port()]
    bind, metrics = (f"127.0.0.1:{port}" for port in ports)
    told = {"RESPONDER_CONFIG": str(site.world.folder / "responder.toml")}
    log = site.world.folder / f"metrics{ports[0]}.log"
    child = Child(["serve", "--bind", bind, "--metrics", metrics], told, log)
    with ExitStack() as stack:
        stack.callback(child.stop)
        child.start()
        child.wait_until(lambda: answers(f"http://{metrics}/metrics"))
        yield f"http://{bind}", f"http://{metrics}", child


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).status_code == 200
    except requests.RequestException:
        return False


def test_the_listener_of_the_metrics_gives_them_to_everybody_and_nothing_else(
    site: Site, listening: tuple[str, str, Child]
) -> None:
    door, metrics, _ = listening
    assert "responder_ledger_alerts_gap 0.0" in requests.get(f"{metrics}/metrics", timeout=30).text
    for path in ("/", "/healthz", "/v1/incidents", "/v1/webhooks/alertmanager", "/metrics/"):
        headers = {"Authorization": f"Bearer {site.world.tokens['admin']}"}
        assert requests.get(metrics + path, headers=headers, timeout=30).status_code == 404
    assert requests.post(f"{metrics}/metrics", timeout=30).status_code == 405
    port = metrics.rpartition(":")[2]
    for forged in ({"Host": f"127.0.0.1:{port}"}, {"X-Forwarded-Port": port}):
        assert requests.get(f"{door}/metrics", headers=forged, timeout=30).status_code == 401


def test_one_scrape_shows_the_sum_of_all_web_processes_also_of_dead_ones(
    site: Site, listening: tuple[str, str, Child]
) -> None:
    door, metrics, child = listening
    sample = 'responder_deliveries_total{outcome="accepted",source="alertmanager"}'
    refused = 'responder_refused_total{reason="'

    def of(name: str) -> float:
        return value(requests.get(f"{metrics}/metrics", timeout=30).text, name)

    def several(count: int) -> None:
        for _ in range(count):  # a connection each, so that both processes get some
            body = json.dumps({"version": "4", "status": "firing", "alerts": [alert("Counted")]})
            headers = {"Authorization": f"Bearer {site.world.bearer}"}
            url = f"{door}/v1/webhooks/alertmanager"
            assert requests.post(url, body, headers=headers, timeout=30).status_code == 202

    eventually(lambda: child.log.read_text().count("web process is ready") == 2)
    several(20)
    assert of(sample) == 20
    booted = "Booting worker with pid: "
    events = [line["event"] for line in parsed(child.log.read_text())]
    pids = [int(each.removeprefix(booted)) for each in events if each.startswith(booted)]
    os.kill(pids[0], signal.SIGKILL)
    eventually(lambda: child.log.read_text().count(booted) == 3)
    several(5)
    assert of(sample) == 25
    assert of('responder_ack_seconds_count{source="alertmanager"}') == 25
    assert of('responder_alerts_accepted_total{source="alertmanager"}') == 25
    requests.post(f"{door}/v1/webhooks/nobody-\x1b", timeout=30)
    assert of(refused) == 1
    folder = metrics_folder(pids[1])
    assert folder.exists()
    child.stop()
    assert not folder.exists()


def metrics_folder(pid: int) -> Path:
    variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    name = b"PROMETHEUS_MULTIPROC_DIR="
    (found,) = [each.removeprefix(name) for each in variables if each.startswith(name)]
    return Path(os.fsdecode(found))
