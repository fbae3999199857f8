"""`responder fixes undo`, with a worker that is there and with none."""

import json
import re
import sys
from threading import Event, Thread
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.house import House, alert
from tests.walks import fixes
from tests.web.test_by_people import EXHAUSTED, STUCK


@pytest.fixture
def retried(house: House) -> House:
    house.shop.run(EXHAUSTED)
    house.post(alert(STUCK))
    house.settle()
    return house


def undone(run: Run, house: House, *options: str) -> Any:
    """The command, while a worker is there."""
    over = Event()

    def work() -> None:
        while not over.wait(0.05):
            house.run_walks()

    worker = Thread(target=work)
    worker.start()
    try:
        return run("fixes", "undo", str(fixes(house)[0]["id"]), *options)
    finally:
        over.set()
        worker.join()


def test_it_says_what_was_taken_back(run: Run, retried: House) -> None:
    house = retried
    house.shop.run(
        "UPDATE shopify_sync_queue SET status = 'completed'"
        " WHERE id = (SELECT id FROM shopify_sync_queue WHERE status = 'queued'"
        " AND inventory_item_id NOT IN (SELECT id FROM intake_items) LIMIT 1)"
    )
    tried = undone(run, house, "--dry-run")
    assert tried.exit_code == 0, tried.output
    assert "\nrolled_back: 2 rows would be as they were before the fix" in tried.output
    done = undone(run, house, "--as", "ann")
    assert done.exit_code == 0, done.output
    assert "\ncommitted: 2 rows as they were before the fix" in done.output
    assert re.search(r"status +queued +failed", done.output)
    (left,) = fixes(house)[2]["left_rows"]
    assert f"left, changed since the fix or gone: {left}" in done.output
    again = undone(run, house)
    assert (again.exit_code, "it was undone by ann" in again.output) == (1, True)
    shown = run("incidents", "show", str(house.incident().id)).output
    assert "undo of retry_failed: committed 2 rows of shopify_sync_queue" in shown
    assert f"left, changed since or gone: {left}" in shown
    assert re.search(r"status +failed +queued", shown)
    assert re.search(r"Z?  undo +started by ann", shown)
    assert re.search(r"undo of retry_failed +ann +committed", run("fixes", "list").output)


def test_without_a_worker_it_says_so(
    run: Run, retried: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules["responder.cli.fixes"]  # its name in the package is the group's
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    answer = run("fixes", "undo", str(fixes(retried)[0]["id"]), "--json")
    assert answer.exit_code == 1
    told = json.loads(answer.stdout)
    assert (told["status"], told["undoes"]) == ("started", str(fixes(retried)[0]["id"]))
    assert "no worker has done it yet" in answer.stderr
