"""Breakers open in the shop's log: the rule waits, hands over, or offers a redeploy."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from responder.domain.matcher import first_failed
from responder.domain.shipped import shipped
from responder.domain.statements import parse_statements
from responder.runbook import Answer, AnswerStatus, Error, ErrorKind, Finding
from responder.runbook.loader import LoadedRule
from tests.house import House, alert

if TYPE_CHECKING:
    from tests.shop import Shop

NOW = datetime.now(UTC)
WELL = Answer(AnswerStatus.OK, asked_at=NOW, rows=[{"status": 200}], row_count=1)
SYNC = "catalog-sync-justtcg"
SCENES = parse_statements((shipped("sql") / "demo" / "scenes.sql").read_text(), "scenes.sql")


@pytest.fixture
def rule(rules: Mapping[str, LoadedRule]) -> LoadedRule:
    return rules["circuit_breaker_open"]


def play(shop: "Shop", scene: str) -> None:
    shop.run(SCENES[scene].sql)


def log(
    shop: "Shop", message: str, ago: float = 0, level: str = "error", function: str | None = SYNC
) -> None:
    """A line that a function wrote `ago` seconds ago."""
    shop.run(
        "INSERT INTO system_logs (level, message, context, created_at)"
        " VALUES (%(level)s, %(message)s, %(context)s, now() - %(ago)s * interval '1 second')",
        {
            "level": level,
            "message": message,
            "context": json.dumps({"function": function} if function else {}),
            "ago": ago,
        },
    )


def pass_time(shop: "Shop", seconds: float) -> None:
    """So many seconds pass for what stands in the log of the last hour."""
    shop.run(
        f"UPDATE system_logs SET created_at = created_at - {seconds} * interval '1 second'"
        " WHERE created_at > now() - interval '1 hour'"
    )


def failed(kind: ErrorKind, code: str = "") -> Answer:
    return Answer(AnswerStatus.FAILED, asked_at=NOW, error=Error(kind, code, "as it says"))


def conclude(
    rule: LoadedRule, shop: "Shop", function: str = "", **answers: Answer
) -> list[Finding]:
    case = shop.case(rule, **{"endpoint": WELL, **answers})
    labels = {"function": function} if function else {}
    return list(rule.rule.conclude(replace(case, alert=replace(case.alert, labels=labels))))


def names(findings: list[Finding]) -> list[str]:
    return [finding.name for finding in findings]


def test_ordinary_day_shows_no_open_breaker(rule: LoadedRule, shop: "Shop") -> None:
    [finding] = conclude(rule, shop)
    assert (finding.name, finding.offers, finding.look_again) == ("no_trace", (), "")


def test_new_one_is_waited_for_and_a_redeploy_is_offered(rule: LoadedRule, shop: "Shop") -> None:
    play(shop, "open_breaker")
    [finding] = conclude(rule, shop)
    assert (finding.name, finding.offers) == ("opened", ("redeploy",))
    assert finding.look_again == "60s"
    assert SYNC in finding.summary
    assert [row["function"] for row in finding.rows] == [SYNC]


def test_one_that_closed_needs_nobody(rule: LoadedRule, shop: "Shop") -> None:
    play(shop, "open_breaker")
    play(shop, "close_breaker")
    [finding] = conclude(rule, shop)
    assert (finding.name, finding.offers, finding.look_again) == ("closed_again", (), "")
    assert f"{SYNC} closed again" in finding.summary


def test_success_of_the_function_says_as_much(rule: LoadedRule, shop: "Shop") -> None:
    log(shop, "Circuit breaker is open", ago=40)
    log(shop, "catalog sync finished", ago=5, level="info")
    assert names(conclude(rule, shop)) == ["closed_again"]


@pytest.mark.parametrize(
    ("message", "level", "function"),
    [
        ("catalog sync started", "info", SYNC),
        ("catalog sync finished", "info", "another-function"),
        ("lot completed", "info", None),
        ("1 of 50 items finished", "error", SYNC),
    ],
)
def test_other_lines_are_no_success(
    rule: LoadedRule, shop: "Shop", message: str, level: str, function: str | None
) -> None:
    log(shop, "Circuit breaker is open", ago=40)
    log(shop, "Circuit breaker is open", ago=40, function=None)
    log(shop, message, ago=5, level=level, function=function)
    [finding] = conclude(rule, shop)
    assert (finding.name, len(finding.rows)) == ("opened", 2)


def test_silence_after_it_opened_is_told_as_what_it_is(rule: LoadedRule, shop: "Shop") -> None:
    play(shop, "open_breaker")
    pass_time(shop, 600)
    [finding] = conclude(rule, shop)
    assert (finding.name, finding.offers, finding.look_again) == ("closed_again", (), "")
    assert "has closed without a word, or nobody calls the function" in finding.summary


def test_one_that_stays_open_without_a_failing_api(rule: LoadedRule, shop: "Shop") -> None:
    play(shop, "open_breaker")
    pass_time(shop, 600)
    play(shop, "refuse_call")
    [finding] = conclude(rule, shop)
    assert (finding.name, finding.offers, finding.look_again) == ("stuck_open", ("redeploy",), "")
    assert "for 10 minutes" in finding.summary


@pytest.mark.parametrize(
    ("message", "level"),
    [
        ("justtcg did not answer within 10 s", "error"),
        ("HTTP 503 from api", "error"),
        ("fetch failed: ECONNRESET", "warn"),
        ("Circuit breaker OPEN -> HALF_OPEN", "info"),  # it tried, and is open again
    ],
)
def test_one_that_stays_open_because_the_api_fails(
    rule: LoadedRule, shop: "Shop", message: str, level: str
) -> None:
    play(shop, "open_breaker")
    pass_time(shop, 600)
    log(shop, message, ago=30, level=level)
    play(shop, "refuse_call")
    [finding] = conclude(rule, shop)
    assert (finding.name, finding.offers, finding.look_again) == ("api_down", ("redeploy",), "")
    assert "does not mend the API" in finding.summary


def test_failures_of_another_function_say_nothing_about_this_one(
    rule: LoadedRule, shop: "Shop"
) -> None:
    for function in (SYNC, "psa-grades"):
        log(shop, "Circuit breaker is open", ago=900, function=function)
        log(shop, "Circuit breaker is open", ago=5, function=function)
    log(shop, "psa did not answer within 10 s", ago=9, function="psa-grades")
    log(shop, "Shopify asked us to slow down: 429", ago=9, function=None)
    down, stuck = conclude(rule, shop)
    assert (down.name, [row["function"] for row in down.rows]) == ("api_down", ["psa-grades"])
    assert "(psa did not answer within # s)" in down.summary
    assert (stuck.name, [row["function"] for row in stuck.rows]) == ("stuck_open", [SYNC])
    assert names(conclude(rule, shop, function=SYNC)) == ["stuck_open"]


def test_function_of_the_alert_is_the_one_that_counts(rule: LoadedRule, shop: "Shop") -> None:
    log(shop, "Circuit breaker is open", ago=5, function="psa-grades")
    log(shop, "Circuit breaker is open", ago=20)
    log(shop, "Circuit breaker closed", ago=10, level="info")
    assert names(conclude(rule, shop, function=SYNC)) == ["closed_again"]
    assert names(conclude(rule, shop, function="psa-grades")) == ["opened"]
    assert names(conclude(rule, shop, function="unheard-of")) == ["no_trace"]
    [finding] = conclude(rule, shop)
    assert [row["function"] for row in finding.rows] == ["psa-grades"]


def test_long_open_breaker_is_not_waited_for_because_of_a_new_one(
    rule: LoadedRule, shop: "Shop"
) -> None:
    log(shop, "Circuit breaker is open", ago=900)
    log(shop, "Circuit breaker is open", ago=5)
    log(shop, "Circuit breaker is open", ago=5, function="psa-grades")
    findings = conclude(rule, shop)
    assert names(findings) == ["stuck_open", "opened"]
    assert [finding.look_again for finding in findings] == ["", ""]


@pytest.mark.parametrize(
    ("endpoint", "found"),
    [
        (failed(ErrorKind.UNREACHABLE), ["endpoint_down", "opened"]),
        (failed(ErrorKind.REFUSED), ["endpoint_down", "opened"]),
        (failed(ErrorKind.TIMEOUT), ["endpoint_down", "opened"]),
        (failed(ErrorKind.LOST), ["endpoint_down", "opened"]),
        (failed(ErrorKind.HTTP, "503"), ["endpoint_down", "opened"]),
        (failed(ErrorKind.HTTP, "401"), ["opened"]),  # it answers
        (failed(ErrorKind.HTTP, "405"), ["opened"]),
        (failed(ErrorKind.DENIED), ["opened"]),  # no http in the settings: nothing is known
        (failed(ErrorKind.BUSY), ["opened"]),
    ],
)
def test_endpoint_that_is_silent_comes_first(
    rule: LoadedRule, shop: "Shop", endpoint: Answer, found: list[str]
) -> None:
    play(shop, "open_breaker")
    findings = conclude(rule, shop, endpoint=endpoint)
    assert names(findings) == found
    assert findings[-1].look_again == ("" if len(found) == 2 else "60s")
    assert findings[0].offers[0] == ("look_at_provider" if len(found) == 2 else "redeploy")


def test_unanswered_log_leaves_the_endpoint_alone(rule: LoadedRule, shop: "Shop") -> None:
    play(shop, "open_breaker")
    silent = failed(ErrorKind.TIMEOUT)
    assert conclude(rule, shop, breakers=silent) == []
    assert names(conclude(rule, shop, breakers=silent, endpoint=silent)) == ["endpoint_down"]
    assert names(conclude(rule, shop, errors=silent, lines=silent)) == ["opened"]


@pytest.mark.parametrize(
    ("message", "state"),
    [
        ("Circuit breaker is open", "open"),
        ("Circuit breaker is open: connection closed by peer", "open"),
        ("Circuit breaker is OPEN, will close in 30 s", "open"),
        ("circuit breaker is open to protect the API", "open"),
        ("CircuitBreakerOpenError: justtcg", "open"),
        ("CircuitBreaker 'justtcg' is OPEN and does not permit further calls", "open"),
        ("Breaker is open", "open"),
        ("circuit-breaker tripped", "open"),
        ("circuit breaker for openai re-opened", "open"),
        ("circuit breaker changed state from CLOSED to OPEN", "open"),
        ("circuit breaker: HALF_OPEN -> OPEN", "open"),
        ("Opening the circuit breaker: 5 failures", "open"),
        ("circuit breaker half-open, trying one call", "open"),
        ("circuit breaker OPEN → HALF_OPEN", "open"),
        ("Circuit breaker closed", "closed"),
        ("circuit breaker for openai closed", "closed"),
        ("circuit breaker changed state from HALF_OPEN to CLOSED", "closed"),
        ("circuit breaker state: half_open => closed", "closed"),
        ("circuit breaker is no longer open", "closed"),
        ("circuit breaker recovered", "closed"),
        ("Closing circuit breaker, justtcg answers", "closed"),
        ("circuit breaker: failure 3 of 5", "unknown"),
        ("circuit breaker: connection closed by peer, failure 3 of 5", "unknown"),
        ("circuit breaker reset timeout is 30 s", "unknown"),
        ("circuit breaker for openai: failure 1 of 5", "unknown"),
    ],
)
def test_free_text_is_read(rule: LoadedRule, shared_shop: "Shop", message: str, state: str) -> None:
    shared_shop.run("DELETE FROM system_logs WHERE created_at > now() - interval '1 hour'")
    log(shared_shop, message, ago=3)
    [row] = shared_shop.ask(rule, "breakers").rows
    assert (row["state"], row["last_message"]) == (state, message)
    assert [line["message"] for line in shared_shop.ask(rule, "lines").rows] == [message]


def test_errors_that_differ_by_their_numbers_are_one_row(rule: LoadedRule, shop: "Shop") -> None:
    for number in range(4):
        log(shop, f"item {number} of lot 8c0e42b1-0000-4000-8000-00000000000{number} is wrong")
    log(shop, "Shopify asked us to slow down: 429", level="warn", function=None)
    log(shop, "all is well", level="info")
    log(shop, "long ago", ago=3700)
    rows = shop.ask(rule, "errors").rows
    assert [(row["message"], row["count"], row["outside"]) for row in rows] == [
        ("Shopify asked us to slow down: #", 1, True),
        ("item # of lot # is wrong", 4, False),
    ]


@pytest.mark.parametrize("spread", ["100 days", "50 minutes"])
def test_long_log_is_never_read_as_a_whole(rule: LoadedRule, shop: "Shop", spread: str) -> None:
    """200,000 lines, over many days and in one bad hour; the latter costs 50,000 at most."""
    shop.run(
        "INSERT INTO system_logs (level, message, context, created_at) SELECT 'error',"
        f" 'Circuit breaker is open: call ' || n, '{{\"function\": \"{SYNC}\"}}',"
        f" now() - interval '{spread}' * (200000 - n) / 200000 FROM generate_series(1, 200000) n"
    )
    shop.run("ANALYZE system_logs")
    for name in ("breakers", "lines", "errors"):
        [plan] = plan_of(shop, rule.statements[name].sql)
        scans = [node for node in nodes(plan["Plan"]) if node.get("Relation Name") == "system_logs"]
        assert [node["Node Type"] for node in scans] == ["Index Scan"], name
        assert [node["Index Name"] for node in scans] == ["system_logs_created_at"], name
        assert scans[0]["Actual Rows"] <= 50_000, name
    assert names(conclude(rule, shop)) == ["stuck_open"]


def plan_of(shop: "Shop", statement: str) -> Any:
    with psycopg.connect(shop.url("responder_reading")) as connection:
        wrapped = f"SELECT to_jsonb(q) FROM ({statement}) q LIMIT %(row_cap)s"
        row = connection.execute(
            "EXPLAIN (ANALYZE, FORMAT JSON) " + wrapped,
            {"row_cap": 100},
        ).fetchone()
        assert row is not None
        return row[0]


def nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


class _Shop(BaseHTTPRequestHandler):
    """Well at /health; every request is kept."""

    def do_HEAD(self) -> None:
        self.server.asked.append((self.command, self.path))  # type: ignore[attr-defined]
        self.send_response(200 if self.path == "/health" else 500)
        self.end_headers()

    do_GET = do_HEAD

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""


@pytest.fixture
def endpoint() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Shop) as server:
        server.asked = []  # type: ignore[attr-defined]
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def listen(house: House, port: int, path: str = "/health") -> None:
    """The target's functions are there, and this path is harmless."""
    [target] = house.services.settings.targets.values()
    http = replace(target, http_base=f"http://127.0.0.1:{port}", http_paths=(path,))
    house.with_settings(targets={target.name: http})


def fire(house: House, **labels: str) -> None:
    house.post(alert("CircuitBreakerOpen", severity="error", **labels))
    house.settle()


def look_again(house: House) -> None:
    house.later(timedelta(seconds=61))
    house.settle()


def found(house: House) -> list[str]:
    return [finding["name"] for finding in house.document()["findings"]]


def test_it_pages_waits_and_sees_it_close_by_itself(
    house: House, endpoint: ThreadingHTTPServer
) -> None:
    listen(house, endpoint.server_port)
    play(house.shop, "open_breaker")
    fire(house, function=SYNC)
    assert house.decision() == ("wait", "look_again")
    assert found(house) == ["opened"]
    assert house.pager.happenings() == ["opened"], "P1 pages at once, whatever closes by itself"

    pass_time(house.shop, 61)
    play(house.shop, "close_breaker")
    look_again(house)

    document = house.document()
    assert found(house) == ["closed_again"]
    assert house.decision() == ("hand_over", "no_option")
    assert (document["incident"]["severity"], document["fixes"]) == ("P1", [])
    assert [what for what in house.trail() if what[0] not in ("notification", "stage")] == [
        ("opened", "open"),
        ("page", "due"),
        ("decision", "wait"),
        ("decision", "hand_over"),
    ]
    assert {tuple(asked) for asked in endpoint.asked} == {("HEAD", "/health")}  # type: ignore[attr-defined]
    assert house.gap() == (0, 0)

    house.post(alert("CircuitBreakerOpen", "resolved", severity="error", function=SYNC))
    house.settle()
    assert house.incident().status == "resolved"


def test_one_that_does_not_close_is_offered_after_three_looks_and_never_fixed(
    house: House, endpoint: ThreadingHTTPServer
) -> None:
    listen(house, endpoint.server_port)
    play(house.shop, "open_breaker")
    fire(house)
    for _ in range(3):
        assert house.decision() == ("wait", "look_again")
        pass_time(house.shop, 61)
        play(house.shop, "refuse_call")
        look_again(house)

    document = house.document()
    assert house.decision() == ("propose", "severity")
    assert found(house) == ["opened"]
    [offered] = [option for option in document["options"] if option["offered"]]
    assert offered["run"] == "supabase functions deploy catalog-sync-justtcg"
    assert (offered["automatic"], offered["allowed"]) == (False, False)
    assert document["fixes"] == []
    decisions = [after for what, after in house.trail() if what == "decision"]
    assert decisions == ["wait", "wait", "wait", "propose"]


def test_target_without_http_is_concluded_about_all_the_same(house: House) -> None:
    play(house.shop, "open_breaker")
    pass_time(house.shop, 600)
    play(house.shop, "refuse_call")
    fire(house, function=SYNC)
    document = house.document()
    [asked] = [each for each in document["diagnosis"] if each["name"] == "endpoint"]
    assert (asked["status"], asked["error"]["kind"]) == ("failed", "denied")
    assert found(house) == ["stuck_open"]
    assert house.decision() == ("propose", "severity")
    assert document["fixes"] == []


def test_functions_have_incidents_of_their_own(house: House) -> None:
    play(house.shop, "open_breaker")
    fire(house, function=SYNC)
    fire(house, function=SYNC, instance="another")
    fire(house, function="psa-grades")
    fire(house)
    keys = [incident.key for incident in house.incidents()]
    assert len(keys) == len(set(keys)) == 3


@pytest.mark.parametrize(
    ("name", "answered"),
    [
        ("CircuitBreakerOpen", True),
        ("CircuitBreakerIsOpen", True),
        ("CircuitBreakerOpened", True),
        ("CircuitBreakerClosed", False),
        ("CircuitBreakerOpenStaging", False),
    ],
)
def test_it_answers_these_alerts_alone(rule: LoadedRule, name: str, answered: bool) -> None:
    assert (first_failed(rule.matchers, {"alertname": name}) is None) == answered
