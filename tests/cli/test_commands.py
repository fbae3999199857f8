"""The commands, on a real database: what they say, and with which exit status."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import Result

from responder.domain.actor import Actor, ActorKind
from responder.domain.settings import Item
from responder.domain.shipped import shipped
from responder.pipeline.maintenance import Window, open_window
from responder.pipeline.people import note
from responder.store.migrations import read_migrations
from tests.house import House, alert

Run = Callable[..., Result]


def change(tmp_path: Path, old: str, new: str) -> None:
    config = tmp_path / "responder.toml"
    config.write_text(config.read_text().replace(old, new))


def test_check_names_every_mistake_at_once(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEST_TOKEN")
    change(tmp_path, "[sources", '[rules.nobody]\nautonomy = "act"\n\n[sources')
    change(tmp_path, 'kind = "shop"', 'kind = "market"')
    checked = run("check", "--json")
    assert checked.exit_code == 1
    mistakes = json.loads(checked.stdout)["mistakes"]
    assert mistakes[0] == (
        "sources.prometheus.bearer: the environment variable TEST_TOKEN is not set"
    )
    assert mistakes[1].startswith("rules.nobody: there is no such rule; there are circuit_breaker")
    assert "targets: rule database_down needs a target of kind shop" in mistakes
    assert any("it is the server of our own database" in mistake for mistake in mistakes)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["check", "--config", "/nowhere.toml"], 1, "there is no such file"),
        (["migrate"], 0, "the schema is up to date"),
        (["migrate", "--check"], 0, "the schema is up to date"),
        (["rules", "list"], 0, "circuit_breaker_open "),
        (["rules", "show", "database_down"], 0, "Symptoms:"),
        (["rules", "show", "nobody"], 1, "there are database_down, circuit_breaker_open"),
        (["incidents", "list"], 0, "there are no incidents"),
        (["incidents", "show", "01a20ad2-bca4-7fa8-ba05-03c8dec0e51e"], 1, "no such incident"),
        (["incidents", "ack", "01a20ad2-bca4-7fa8-ba05-03c8dec0e51e"], 1, "no such incident"),
        (["incidents", "show", "seven"], 2, "not a valid UUID"),
        (["token", "issue", "--name", "kim", "--role", "boss"], 2, "'boss' is not one of"),
        (["token", "issue", "--name", "kim", "--role", "viewer", "--for", "0s"], 2, "longer"),
        (["work", "--slots", "0"], 2, "0 is not in the range"),
        (["maintenance", "list"], 0, "there are no windows"),
        (["maintenance", "show", "01a20ad2-bca4-7fa8-ba05-03c8dec0e51e"], 1, "no such window"),
        (["maintenance", "end", "01a20ad2-bca4-7fa8-ba05-03c8dec0e51e"], 1, "no such window"),
        (["maintenance", "tick", "01a20ad2-bca4-7fa8-ba05-03c8dec0e51e", "1"], 1, "no such item"),
        (["maintenance", "tick", "01a20ad2-bca4-7fa8-ba05-03c8dec0e51e", "0"], 2, "not in the"),
        (["nonsense"], 2, "No such command"),
    ],
)
def test_what_a_command_says_and_its_exit_status(
    run: Run, arguments: list[str], status: int, said: str
) -> None:
    result = run(*arguments)
    assert (result.exit_code, said in result.output) == (status, True), result.output


def test_serve_and_work_refuse_a_database_without_our_schema(
    run: Run, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLI_DATABASE", empty_database)
    names = [each.name for each in read_migrations(shipped("sql") / "migrations")]
    for command in ("serve", "work"):
        refused = run(command)
        assert refused.exit_code == 1
        assert f"lacks {', '.join(names)};" in refused.output
        assert "run: responder migrate" in refused.output
    assert run("migrate", "--check").exit_code == 1
    applied = [word for name in names for word in ("applied", name)]
    assert run("migrate").output.split() == applied


def test_explain_says_why_and_touches_nothing(run: Run, house: House, tmp_path: Path) -> None:
    payload = tmp_path / "alert.json"
    payload.write_text(json.dumps({"alerts": [alert("ShopifyQueueStuck", env="staging")]}))
    told = run("explain", str(payload), "--source", "prometheus", "--json")
    (explained,) = json.loads(told.output)["alerts"]
    assert (explained["rule"], explained["trouble"]) == ("shopify_queue_stuck", "no_target")
    assert explained["rules"][0]["failed"].endswith("it is 'ShopifyQueueStuck'")
    assert house.sql("SELECT FROM delivery") == []
    unknown = run("explain", str(payload), "--source", "nobody")
    assert (unknown.exit_code, "there are prometheus" in unknown.output) == (1, True)


def test_an_incident_is_listed_shown_and_acknowledged(run: Run, house: House) -> None:
    house.post(alert("ShopifyQueueStuck", severity="warning"))
    house.settle()
    incident = str(house.incident().id)
    (listed,) = json.loads(run("incidents", "list", "--json").output)["items"]
    assert listed["id"] == incident
    shown = run("incidents", "show", incident).output
    assert shown.startswith("[P2] ShopifyQueueStuck in the shop")
    assert "hand_over (nothing_found)" in shown
    assert "Escalation" not in shown
    assert "diagnose -> plan" in shown
    assert run("incidents", "ack", incident, "--as", "kim").output == "acknowledged by kim\n"
    assert house.incident().acknowledged_by == "kim"
    assert ("status", "acknowledged") in house.trail()


def test_what_a_sender_says_obeys_no_terminal(run: Run, house: House, tmp_path: Path) -> None:
    evil = "Odd\x1b]0;title\x07 \x9b2J\u202e"
    fired = alert(evil, instance=evil, severity="warning")
    fired["annotations"] = {"summary": evil}
    house.post(fired, {"labels": {evil: []}})
    house.settle()
    note(house.services, house.incident().id, Actor(ActorKind.PERSON, "kim"), f"two\nlines{evil}")
    payload = tmp_path / "payload.json"
    payload.write_text(json.dumps({"alerts": [fired]}))
    told = [
        run("incidents", "list"),
        run("incidents", "show", str(house.incident().id)),
        run("incidents", "list", "--json"),
        run("deliveries", "list"),
        run("explain", str(payload), "--source", "prometheus"),
    ]
    for each in told:
        assert each.exit_code == 0, each.output
        assert all(character.isprintable() or character == "\n" for character in each.output)
        assert "Odd" in each.output or "delivery" in each.output or "prometheus" in each.output
    assert json.loads(told[2].output)["items"][0]["title"] == evil
    assert "  kim: two\n  lines" in told[1].output


def test_an_incident_shows_who_was_told_and_who_is_next(run: Run, house: House) -> None:
    house.post(alert("Odd", severity="critical"))
    house.settle()
    shown = run("incidents", "show", str(house.incident().id)).output
    assert "Escalation\n  Level 2: pager. If nobody acknowledges, it goes on at " in shown


def test_a_key_is_never_overwritten(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    before = path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    again = run("token", "keys", "--out", str(path))
    assert (again.exit_code, path.read_text()) == (1, before)
    assert run("token", "issue", "--name", "kim", "--role", "admin").output.count(".") == 2


SILENCE = ("maintenance", "open", "--for", "2h", "--matches", 'env="production"')


def test_a_window_is_opened_at_the_command_line(run: Run, house: House) -> None:
    """At three in the morning; it is what the API would have opened."""
    opened = run(*SILENCE, "--reason", "a release", "--no-page", "--no-diagnose", "--as", "kim")
    assert opened.exit_code == 0, opened.output
    (row,) = house.sql("SELECT * FROM maintenance_window")
    assert opened.output == (
        f"in force until {row['ends_at']}; sooner: responder maintenance end {row['id']}\n"
    )
    assert row["ends_at"] - row["starts_at"] == timedelta(hours=2)
    assert (row["state"], row["matchers"], row["reason"], row["actor"]) == (
        *("in_force", ['env="production"'], "a release", "kim"),
    )
    assert (row["page"], row["diagnose"], row["fix"]) == (False, False, False)
    house.post(alert("Nobody", severity="critical"))
    house.settle()
    assert (house.incidents(), house.pager.got) == ([], [])
    (event,) = house.sql("SELECT * FROM audit_event WHERE what = 'maintenance' ORDER BY id LIMIT 1")
    assert (event["actor_kind"], event["actor"], event["after"]) == ("person", "kim", "announced")


def test_a_window_keeps_off_automatic_fixes_alone_unless_more_is_said(
    run: Run, house: House
) -> None:
    assert run(*SILENCE, "--reason", "a release").exit_code == 0
    (row,) = house.sql("SELECT page, diagnose, fix FROM maintenance_window")
    assert row == {"page": True, "diagnose": True, "fix": False}


@pytest.mark.parametrize(
    ("more", "status", "told"),
    [
        ((), 2, "--reason"),
        (("--reason", " "), 2, "say something"),
        (("--reason", "x", "--matches", "env"), 2, "not a matcher: 'env'"),
        (("--reason", "x", "--for", "soon"), 2, "not a duration"),
        (("--reason", "x", "--for", "31d"), 1, "longer than 30 days"),
        (("--reason", "x", "--for", "0s"), 1, "must be after"),
        (("--reason", "x", "--fix"), 1, "leaves everything on"),
    ],
)
def test_what_is_no_window_is_refused(
    run: Run, house: House, more: tuple[str, ...], status: int, told: str
) -> None:
    refused = run(*SILENCE, *more)
    assert (refused.exit_code, told in refused.output) == (status, True), refused.output
    assert house.sql("SELECT FROM maintenance_window") == []


def test_a_checklist_at_the_command_line(run: Run, tmp_path: Path, house: House) -> None:
    weekly = """
[[windows]]
name = "weekly"
reason = "Database maintenance"
starts = 2026-01-04T02:00:00
rrule = "FREQ=WEEKLY;BYDAY=SU"
duration = "2h"
matches = []
before = ["Take a snapshot", {item = "Look", check = "nobody.knows"}]

[sources"""
    change(tmp_path, "[sources", weekly)
    mistakes = json.loads(run("check", "--json").stdout)["mistakes"]
    assert any(
        each.startswith("windows[0].before[1]: 'nobody.knows': there is no rule")
        for each in mistakes
    )
    items = json.loads(run("maintenance", "list", "--json").stdout)["items"]
    assert {(each["name"], each["state"], each["id"]) for each in items} == {
        ("weekly", "coming", None)
    }
    window = Window("a release", (), duration=timedelta(hours=1), before=[Item("Take a snapshot")])
    window_id = str(open_window(house.services, window, Actor(ActorKind.PERSON, "kim")))
    assert "[ ]  1 before Take a snapshot" in run("maintenance", "show", window_id).output
    assert run("maintenance", "tick", window_id, "1", "--as", "kim").output == "ticked\n"
    assert "[x]  1 before Take a snapshot  (kim, " in run("maintenance", "show", window_id).output
    undone = run("maintenance", "tick", window_id, "1", "--undo")
    assert (undone.exit_code, "was in force" in undone.output) == (1, True)
    assert run("maintenance", "end", window_id, "--as", "kim").exit_code == 0
    shown = json.loads(run("maintenance", "show", window_id, "--json").stdout)
    assert (shown["state"], shown["checklist"][0]["ticked_by"]) == ("watching", "kim")


def test_what_is_kept_is_shown_and_a_hold_is_set_and_released(run: Run, house: House) -> None:
    house.post(alert("Nobody"))
    house.settle()
    incident = str(house.incident().id)
    shown = run("retention")
    assert shown.exit_code == 0
    assert "never: [retention] audit is not set" in shown.output
    rows = json.loads(run("retention", "--json").stdout)["items"]
    assert {row["parent"] for row in rows} == {"delivery", "alert", "audit_event"}
    assert run("hold", "list").output == "nothing is held\n"
    told = ["--as", "ann", "--reason", "the case of 14 March"]
    assert run("hold", "set", incident, *told).output == "held by ann\n"
    (held,) = json.loads(run("hold", "list", "--json").stdout)["items"]
    assert (held["incident_id"], held["actor"], held["reason"]) == (incident, "ann", told[3])
    assert run("hold", "release", incident, *told).output == "released by ann\n"
    assert run("hold", "list").output == "nothing is held\n"
    nobody = run("hold", "set", "01a20ad2-bca4-7fa8-ba05-03c8dec0e51e", *told)
    assert (nobody.exit_code, "no such incident" in nobody.output) == (1, True)
