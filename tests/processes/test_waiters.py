"""Twenty senders that wait for an answer which does not come do not slow the others."""

import threading
import time
from collections import Counter
from statistics import median

import requests

from tests.house import alert
from tests.site import Site, eventually, restart

WAITERS = 20
ACKNOWLEDGEMENTS = 60
#: In one run, on one machine; what would be wrong is a hundred times slower.
AT_MOST = 3.0


def acknowledged(site: Site, name: str) -> float:
    """The median time of an acknowledgement, each over a connection of its own."""
    took = []
    for number in range(ACKNOWLEDGEMENTS):
        began = time.perf_counter()
        answer = site.post(alert(name, severity="info", number=str(number)))
        took.append(time.perf_counter() - began)
        assert answer.status_code == 202
    return median(took)


def test_waiters_do_not_slow_acknowledgements(site: Site) -> None:
    site.work.stop()
    acknowledged(site, "Warm")
    without = acknowledged(site, "Without")
    answers: Counter[int] = Counter()
    over = threading.Event()

    def wait(number: int) -> None:
        body = {"version": "4", "status": "firing", "alerts": [alert(f"Waits{number}")]}
        headers = {"Authorization": f"Bearer {site.world.bearer}", "Prefer": "wait=30"}
        while not over.is_set():  # who was sent away at once asks again
            answer = requests.post(site.world.webhook_url, json=body, headers=headers, timeout=60)
            assert "Preference-Applied" not in answer.headers
            answers[answer.status_code] += 1
            over.wait(0.5)

    waiters = [threading.Thread(target=wait, args=(number,)) for number in range(WAITERS)]
    for each in waiters:
        each.start()
    try:
        eventually(lambda: answers[202] >= WAITERS - 4)
        with_waiters = acknowledged(site, "With")
        assert any(each.is_alive() for each in waiters)
    finally:
        over.set()
        for each in waiters:
            each.join()
    assert set(answers) == {202}
    assert with_waiters / without < AT_MOST, (with_waiters, without)

    starts = site.work.log.read_text().count("worker is ready")
    restart(site.work, lambda: site.work.log.read_text().count("worker is ready") > starts)
    eventually(lambda: not site.sql("SELECT FROM delivery WHERE triaged_at IS NULL"))
    eventually(lambda: site.gap() == (0, 0))


def test_who_waits_is_answered_by_the_worker(site: Site) -> None:
    headers = {"Authorization": f"Bearer {site.world.bearer}", "Prefer": "wait=30"}
    body = {"version": "4", "status": "firing", "alerts": [alert("Answered", severity="info")]}
    answer = requests.post(site.world.webhook_url, json=body, headers=headers, timeout=60)
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (200, "wait=30")
    (document,) = answer.json()["incidents"]
    assert document["decision"]["reason"] == "no_rule"
