"""What senders and targets say in extremes is kept, shown, and hurts nobody."""

import json
import random
import string
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from responder.domain.answer import Answer, AnswerStatus, Error, ErrorKind
from responder.pipeline.diagnose import shared
from responder.runbook.loader import LoadedRule, load
from tests.house import House, alert
from tests.small_rules import TABLE, small_rule
from tests.walks import fixes

LETTERS = string.ascii_letters + string.digits


def crowded(name: str, last: str = "") -> dict[str, Any]:
    """A P0 with as many and as long labels as an alert may have; `last` is the last one's value."""
    dice = random.Random(1)
    told = alert(name, severity="critical")
    long = {f"label_{n}": "".join(dice.choices(LETTERS, k=1900)) for n in range(97)}
    told["labels"] |= long | ({"label_96": last} if last else {})
    return told


def keyless(root: Path) -> list[LoadedRule]:
    """A rule whose key is all labels."""
    small_rule(root)
    module = root / "rules/p2/thing.py"
    module.write_text(module.read_text().replace("    key = ()\n", ""))
    return list(load(root))


@pytest.mark.parametrize("name", ["Thing", "Unknown"])
def test_an_alert_with_very_many_labels_is_answered_like_any_other(
    make_house: Callable[..., House], tmp_path: Path, name: str
) -> None:
    house = make_house(keyless(tmp_path))
    house.shop.run(TABLE)
    big = crowded(name)
    house.post(big, alert("Neighbour", severity="critical"))
    house.settle()
    assert house.outcomes() == ["opened", "opened"]
    assert house.gap() == (0, 0)
    assert sorted(message.document["incident"]["title"] for message in house.pager.got) == sorted(
        [f"{name} in the shop", "Neighbour in the shop"]
    )
    house.post(big)
    house.post(crowded(name, last="another"))
    house.settle()
    assert sorted(house.outcomes()) == ["joined", "opened", "opened", "opened"]
    assert max(len(incident.key.encode()) for incident in house.incidents()) <= 1000
    assert len(house.pager.got) == 3


def test_a_bare_page_has_a_bounded_key_too(
    make_house: Callable[..., House], tmp_path: Path
) -> None:
    house = make_house(keyless(tmp_path))
    house.shop.run(TABLE)
    house.sql("ALTER TABLE incident ADD CONSTRAINT broken CHECK (false) NOT VALID")
    house.post(crowded("Thing"))
    house.later(timedelta(seconds=3))
    house.watch()
    house.watch()
    assert house.pager.happenings() == ["opened"]


NUMBERS = """
SELECT id, 1e400::numeric + 0.5 AS beyond, -1e400::numeric - 0.5 AS below,
       10::numeric ^ 5000 AS endless, 0.1::float8 AS ordinary, 'NaN'::numeric AS none
FROM thing WHERE state = 'bad'
"""


def shows_numbers(row: dict[str, Any]) -> None:
    assert (row["ordinary"], row["none"]) == (0.1, "NaN")
    assert row["beyond"].startswith("1000") and row["beyond"].endswith(".5")
    assert row["below"].startswith("-1000") and row["below"].endswith(".5")
    assert str(row["endless"]).startswith("1000")


def test_numbers_that_no_float_holds_are_stored_and_shown(
    make_house: Callable[..., House], tmp_path: Path
) -> None:
    rule = small_rule(
        tmp_path,
        statements={"wrong": NUMBERS, "mend_before": f"{NUMBERS.rstrip()} FOR UPDATE"},
    )
    house = make_house([rule])
    house.shop.run(TABLE)
    house.promote(rule)
    house.post(alert("Thing"))
    house.settle()
    (answer,) = house.document()["diagnosis"]
    assert answer["status"] == "ok"
    shows_numbers(answer["rows"][0])
    (fix,) = fixes(house)
    assert fix["status"] == "committed", fix["reason"]
    shows_numbers(fix["before_rows"][0])
    json.dumps(house.document(), allow_nan=False)


class _Nul(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"all\0 is \xff well"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Nul) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_body_with_nul_is_stored_and_shown(
    make_house: Callable[..., House], tmp_path: Path, endpoint: str
) -> None:
    small_rule(tmp_path)
    module = tmp_path / "rules/p2/thing.py"
    text = module.read_text().replace("Sql,", "Http, Sql,")
    asked = 'diagnostics = [Http("web", "Is it well?", "/health", method="GET"), '
    module.write_text(text.replace("diagnostics = [", asked))
    house = make_house(list(load(tmp_path)))
    house.shop.run(TABLE)
    (target,) = house.services.settings.targets.values()
    asked_at = replace(target, http_base=endpoint, http_paths=("/health",))
    house.with_settings(targets={target.name: asked_at})
    house.post(alert("Thing"))
    house.settle()
    web = next(each for each in house.document()["diagnosis"] if each["name"] == "web")
    assert web["status"] == "ok"
    assert (
        web["rows"][0]["body"] == "all\N{REPLACEMENT CHARACTER} is \N{REPLACEMENT CHARACTER} well"
    )
    assert house.decision() == ("propose", "autonomy")


def test_busy_is_nobodys_answer_but_ones_own(house: House) -> None:
    """It says that we had no slot, nothing of the target."""

    def answered(status: AnswerStatus, error: Error | None = None) -> Answer:
        def asking(now: datetime) -> Answer:
            return Answer(status, asked_at=now, error=error)

        return shared(house.services, "shop_eu", b"x", time.monotonic() + 5, False, asking)

    busy = Error(ErrorKind.BUSY, "", "no diagnosing connection became free in time")
    assert answered(AnswerStatus.SKIPPED, busy).status == "skipped"
    after = answered(AnswerStatus.OK)
    assert (after.status, after.shared) == ("ok", False)
    assert answered(AnswerStatus.SKIPPED, busy).shared, "this one was an answer of the target"
