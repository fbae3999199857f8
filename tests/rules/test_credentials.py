"""Credentials grow old, are rotated, or leak: what is told, proven and offered, never a value."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from responder.domain.alert import AlertStatus
from responder.pipeline.checks import run_checks
from responder.runbook import Alert, Answer, AnswerStatus, Error, ErrorKind, Finding
from responder.runbook.loader import LoadedRule
from responder.settings import read
from tests.house import House, alert

if TYPE_CHECKING:
    from tests.shop import Shop

NOW = datetime.now(UTC)
WELL = Answer(AnswerStatus.OK, asked_at=NOW, rows=[{"status": 200}], row_count=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def due(rules: Mapping[str, LoadedRule]) -> LoadedRule:
    return rules["credential_rotation_due"]


@pytest.fixture
def leak(rules: Mapping[str, LoadedRule]) -> LoadedRule:
    return rules["credential_leak_suspected"]


def rotated(shop: "Shop", name: str, ago: str) -> None:
    shop.run(
        "INSERT INTO system_settings (key, value, updated_at)"
        " VALUES (%(name)s, '\"a-secret-value\"', now() - %(ago)s::interval)"
        " ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value,"
        " updated_at = EXCLUDED.updated_at",
        {"name": name, "ago": ago},
    )


def log(shop: "Shop", message: str, ago: str = "1 minute", level: str = "error") -> None:
    shop.run(
        "INSERT INTO system_logs (level, message, created_at)"
        " VALUES (%(level)s, %(message)s, now() - %(ago)s::interval)",
        {"level": level, "message": message, "ago": ago},
    )


def failed(kind: ErrorKind, code: str = "") -> Answer:
    return Answer(AnswerStatus.FAILED, NOW, error=Error(kind, code, "as it says"))


def conclude(rule: LoadedRule, shop: "Shop", **answers: Answer) -> list[Finding]:
    return list(rule.rule.conclude(shop.case(rule, **{"endpoint": WELL, **answers})))


def names(findings: list[Finding]) -> list[str]:
    return [finding.name for finding in findings]


# What is due


def test_an_ordinary_day_has_no_finding(due: LoadedRule, shop: "Shop") -> None:
    assert conclude(due, shop) == []
    assert shop.ask(due, "login").rows == [{"login": "responder_reading", "database": shop.name}]


@pytest.mark.parametrize(("ago", "is_due"), [("89 days 23 hours", False), ("90 days", True)])
def test_a_credential_is_due_after_ninety_days(
    due: LoadedRule, shop: "Shop", ago: str, is_due: bool
) -> None:
    rotated(shop, "JUSTTCG_API_KEY", ago)
    assert names(conclude(due, shop)) == (["rotation_due"] if is_due else [])


def test_each_is_told_with_its_age_and_how_it_is_rotated(due: LoadedRule, shop: "Shop") -> None:
    rotated(shop, "SHOPIFY_ACCESS_TOKEN", "91 days")
    rotated(shop, "SHOPIFY_SHARED_SECRET", "100 days")
    rotated(shop, "ERP_PASSWORD", "120 days")
    shop.run("DELETE FROM system_settings WHERE key = 'DATABASE_PASSWORD'")
    (finding,) = conclude(due, shop)
    assert finding.summary == (
        "4 credentials are due for rotation: DATABASE_PASSWORD (no date), ERP_PASSWORD (120 days),"
        " SHOPIFY_SHARED_SECRET (100 days), SHOPIFY_ACCESS_TOKEN (91 days)."
    )
    assert finding.offers == (
        *("rotate_database", "rotate_shopify"),
        *("record_rotation", "prove_login"),
    )


def test_a_value_is_never_read(due: LoadedRule, leak: LoadedRule, shop: "Shop") -> None:
    rotated(shop, "JUSTTCG_API_KEY", "100 days")
    for rule in (due, leak):
        told = shop.ask(rule, "credentials").rows
        assert "a-secret-value" not in json.dumps(told)
        assert set(told[0]) == {"name", "kept", "rotated_at", "days", "due", "fresh"}
    settings = {row["name"] for row in shop.ask(due, "credentials").rows}
    assert not settings & {"sync.batch_size", "sync.enabled"}, "these are no credentials"


def test_both_rules_ask_the_same(due: LoadedRule, leak: LoadedRule) -> None:
    assert {name: each.sql for name, each in due.statements.items()} == {
        name: each.sql for name, each in leak.statements.items()
    }


# The proof


@pytest.mark.parametrize(
    "message",
    [
        "Shopify answered 401 Unauthorized",
        "HTTP 403: forbidden",
        "authentication failed for store harbour",
        "Auth error: request a new token",
        "invalid api key",
        "The access token has expired",
        "password authentication failed for user shop",
        "token was revoked",
    ],
)
def test_what_fails_since_a_rotation_is_told(due: LoadedRule, shop: "Shop", message: str) -> None:
    rotated(shop, "SHOPIFY_ACCESS_TOKEN", "10 minutes")
    log(shop, message)
    (finding,) = conclude(due, shop)
    assert (finding.name, finding.offers) == ("refused_since", ("rotate_shopify", "prove_login"))
    assert finding.summary == (
        f"Authentication fails since SHOPIFY_ACCESS_TOKEN changed: {message}."
    )


@pytest.mark.parametrize(
    ("message", "ago", "level"),
    [
        ("the author of card 4017 is unknown", "1 minute", "error"),  # ILIKE '%auth%' finds it
        ("an authority on cards was quoted", "1 minute", "error"),
        ("price 14012 of keyboard", "1 minute", "error"),
        ("401 Unauthorized", "20 minutes", "error"),  # before the rotation: still the old one
        ("401 Unauthorized", "61 minutes", "error"),
        ("401 Unauthorized", "1 minute", "warn"),
    ],
)
def test_what_says_nothing_of_the_new_credential_is_not_told(
    due: LoadedRule, shop: "Shop", message: str, ago: str, level: str
) -> None:
    rotated(shop, "SHOPIFY_ACCESS_TOKEN", "10 minutes")
    log(shop, message, ago, level)
    assert conclude(due, shop) == []


def test_errors_without_a_rotation_are_no_business_of_it(due: LoadedRule, shop: "Shop") -> None:
    log(shop, "401 Unauthorized")
    assert conclude(due, shop) == []
    assert shop.ask(due, "auth_errors").row_count == 1


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (failed(ErrorKind.HTTP, "503"), ["endpoint_down"]),
        (failed(ErrorKind.TIMEOUT), ["endpoint_down"]),
        (failed(ErrorKind.HTTP, "404"), []),
        (failed(ErrorKind.DENIED), []),  # the target lists no such path
    ],
)
def test_functions_that_do_not_answer_since_a_rotation(
    due: LoadedRule, shop: "Shop", answer: Answer, found: list[str]
) -> None:
    assert conclude(due, shop, endpoint=answer) == []
    rotated(shop, "JUSTTCG_API_KEY", "2 hours")
    assert names(conclude(due, shop, endpoint=answer)) == found


def test_our_own_login_that_is_refused(due: LoadedRule, leak: LoadedRule, shop: "Shop") -> None:
    refused = dict.fromkeys(("credentials", "login", "auth_errors"), failed(ErrorKind.LOGIN))
    for rule in (due, leak):
        assert names(conclude(rule, shop, **refused)) == ["login_refused"]
    away = dict.fromkeys(("credentials", "login", "auth_errors"), failed(ErrorKind.UNREACHABLE))
    for rule in (due, leak):
        assert conclude(rule, shop, **away) == []


# The schedule


def next_check(house: House) -> None:
    """The next full hour and seven minutes, with all that comes of it."""
    run_checks(house.services)
    with house.services.store.transaction() as tx:
        now = tx.now
    (due,) = house.sql("SELECT due_at FROM schedule WHERE rule = 'credential_rotation_due'")
    house.later(due["due_at"] - now + timedelta(seconds=1))
    run_checks(house.services)
    house.settle()


def test_it_is_told_by_itself_and_ends_when_the_rotation_is_written_down(
    house: House, due: LoadedRule
) -> None:
    next_check(house)
    assert house.incidents() == [], "nothing is due on an ordinary day"
    rotated(house.shop, "JUSTTCG_API_KEY", "91 days")
    next_check(house)
    incident = house.incident()
    assert (incident.rule, incident.severity, incident.source) == (due.name, "P3", "responder")
    assert house.decision() == ("propose", "not_automatic")
    told = house.document()
    assert told["findings"][0]["rows"][0]["name"] == "JUSTTCG_API_KEY"
    offered = [option["name"] for option in told["options"] if option["offered"]]
    assert offered == ["rotate_api_keys", "record_rotation", "prove_login"]
    assert house.pager.got == [], "nobody is woken for it"
    run_for_real(house, due, "record_rotation")
    next_check(house)
    assert (house.incident().status, house.incident().resolved_by) == ("resolved", "sender")
    checks = house.sql(
        "SELECT after FROM audit_event WHERE what = 'check' AND subject = %s ORDER BY id",
        f"rule {due.name}",
    )
    assert [check["after"] for check in checks] == ["nothing_found", "found", "nothing_found"]
    assert house.gap() == (0, 0)


def test_a_rotation_that_broke_something_is_told_within_the_hour(house: House) -> None:
    rotated(house.shop, "SHOPIFY_ACCESS_TOKEN", "1 minute")
    log(house.shop, "Shopify answered 401 Unauthorized", "10 seconds")
    next_check(house)
    assert [finding["name"] for finding in house.document()["findings"]] == ["refused_since"]


def run_for_real(house: House, rule: LoadedRule, option: str) -> None:
    program, url, flag, statement = shlex.split(rule.options[option].run)
    assert (program, url, flag) == ("psql", "$DATABASE_ADMIN_URL", "--command")
    house.shop.run(statement)


def test_the_commands_do_what_they_say(leak: LoadedRule, shop: "Shop") -> None:
    """A session of the same login is ended, ours is not."""
    for option in ("end_sessions", "record_rotation"):
        *_, statement = shlex.split(leak.options[option].run)
        shop.run(f"BEGIN; {statement}; ROLLBACK")
    assert shlex.split(leak.options["rotate_database"].run)[-1] == "\\password"


# A leak


def suspicion(shop: "Shop", rule: LoadedRule, ago: timedelta = HOUR, **labels: str) -> list[str]:
    case = shop.case(rule, endpoint=WELL)
    told = Alert(
        *("am", "0", AlertStatus.FIRING, "CredentialLeakSuspected", "a leak", "", labels),
        starts_at=NOW - ago,
    )
    return [finding.summary for finding in rule.rule.conclude(replace(case, alert=told))]


def test_whatever_was_not_rotated_since_the_suspicion_is_told(
    leak: LoadedRule, shop: "Shop"
) -> None:
    rotated(shop, "JUSTTCG_API_KEY", "10 minutes")
    (told,) = suspicion(shop, leak)
    assert "SHOPIFY_ACCESS_TOKEN" in told and "DATABASE_PASSWORD" in told
    assert "JUSTTCG_API_KEY" not in told


def test_an_alert_may_name_the_credential(leak: LoadedRule, shop: "Shop") -> None:
    (told,) = suspicion(shop, leak, credential="JUSTTCG_API_KEY")
    assert told.startswith("Not rotated since the suspicion: JUSTTCG_API_KEY. ")
    rotated(shop, "JUSTTCG_API_KEY", "10 minutes")
    (told,) = suspicion(shop, leak, credential="JUSTTCG_API_KEY")
    assert told.startswith("Rotated since the suspicion: JUSTTCG_API_KEY. ")
    log(shop, "401 Unauthorized")
    assert suspicion(shop, leak, credential="JUSTTCG_API_KEY")[1].startswith(
        "1 authentication errors"
    )
    assert len(suspicion(shop, leak, credential="nobody-knows")[0]) > len(told)


def test_a_leak_wakes_people_and_the_security_team(house: House) -> None:
    """The contact is the one of docs/examples/operations.toml."""
    examples = Path(__file__).parents[2] / "docs" / "examples"
    text = "".join((examples / f"{name}.toml").read_text() for name in ("responder", "operations"))
    contact = read(text, "the examples").contacts["security_team"]
    house.with_settings(contacts={contact.name: replace(contact, receivers=("hook",))})
    house.with_settings(routes=house.services.settings.routes[:1])
    house.post(alert("CredentialLeakSuspected", credential="JUSTTCG_API_KEY"))
    house.post(alert("ShopifyQueueStuck"))
    house.settle()
    house.later(timedelta(seconds=2))
    house.settle()
    (leaked,) = [each for each in house.incidents() if each.rule == "credential_leak_suspected"]
    assert leaked.severity == "P1"
    assert {message.document["incident"]["id"] for message in house.hook.got} == {str(leaked.id)}
    assert house.pager.happenings() == ["opened"]
    assert not house.sql("SELECT FROM fix WHERE incident_id = %s", leaked.id)
