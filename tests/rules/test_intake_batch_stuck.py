"""Batches are left active in each way that the rule knows; only people end or delete them."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from responder.domain.actor import Actor, ActorKind
from responder.pipeline.by_hand import Asked, NotBegun, Objection, ask
from responder.pipeline.checks import run_checks
from responder.runbook.loader import LoadedRule
from tests.house import House, alert
from tests.senders import ALERTMANAGER, GRAFANA, PAGERDUTY, Sender
from tests.walks import fixes

if TYPE_CHECKING:
    from tests.shop import Shop

NAME = "IntakeBatchStuck"
ANN = Actor(ActorKind.PERSON, "ann")
LOT = "LOT-000060"
each_sender = pytest.mark.parametrize(
    "sender", [ALERTMANAGER, GRAFANA, PAGERDUTY], ids=lambda sender: sender.name
)


def touch(shop: "Shop", hours: float, lot: str = LOT) -> None:
    """The last item of the batch came so many hours ago."""
    shop.run(
        "UPDATE intake_items SET created_at = now() - %(hours)s * interval '1 hour'"
        " WHERE lot_id = (SELECT id FROM intake_lots WHERE lot_number = %(lot)s)",
        {"hours": hours, "lot": lot},
    )


def lot(shop: "Shop", number: str = LOT) -> Mapping[str, Any]:
    [row] = shop.rows(f"SELECT to_jsonb(l) FROM intake_lots l WHERE lot_number = '{number}'")
    return dict(row)


def others(shop: "Shop") -> list[Any]:
    """All that a fix of the batch must leave as it is."""
    return shop.rows(
        f"SELECT to_jsonb(l) FROM intake_lots l WHERE lot_number <> '{LOT}'"
        " UNION ALL SELECT to_jsonb(i) FROM intake_items i JOIN intake_lots l ON l.id = i.lot_id"
        f" WHERE lot_number <> '{LOT}' ORDER BY 1"
    )


def finding(house: House) -> dict[str, Any]:
    (only,) = house.document()["findings"]
    return dict(only)


def asked(house: House, option: str, **more: Any) -> Asked:
    return replace(Asked(house.incident().id, option, house.incident().decision_id), **more)


def with_claims(house: House) -> str:
    """The responder is an admin of the shop; returns that account's id."""
    [admin] = house.shop.rows("SELECT id::text FROM auth.users WHERE email LIKE 'admin-01@%'")
    targets = house.services.settings.targets
    house.with_settings(targets={"shop_eu": replace(targets["shop_eu"], claims={"sub": admin})})
    return str(admin)


@each_sender
def test_a_forgotten_batch_is_offered_to_a_person(
    house: House, tmp_path: Path, sender: Sender
) -> None:
    touch(house.shop, hours=30)
    house.tell(sender, tmp_path, NAME, lot_number=LOT)
    house.settle()
    assert house.decision() == ("propose", "not_automatic")
    assert finding(house)["name"] == "idle"
    assert "nobody has touched it for 30 hours" in finding(house)["summary"]
    assert finding(house)["offers"] == ["complete_batch", "delete_batch"]
    assert ("decision", "propose") in house.trail()
    assert (lot(house.shop)["status"], fixes(house)) == ("active", [])


@each_sender
def test_a_batch_that_is_worked_on_is_left_alone(
    house: House, tmp_path: Path, sender: Sender
) -> None:
    touch(house.shop, hours=3)
    house.tell(sender, tmp_path, NAME, lot_id=str(lot(house.shop)["id"]))
    house.settle()
    assert house.decision() == ("hand_over", "no_option")
    assert finding(house)["name"] == "being_worked_on"
    assert "its last item came 180 minutes ago" in finding(house)["summary"]
    assert lot(house.shop)["status"] == "active"


def test_what_the_log_says_of_it_is_told(house: House) -> None:
    touch(house.shop, hours=1)
    house.shop.run(
        "INSERT INTO system_logs (level, message, context) VALUES ('error', 'totals differ',"
        " jsonb_build_object('lot_id', %(lot)s::text))",
        {"lot": lot(house.shop)["id"]},
    )
    house.post(alert(NAME, batch_id=str(lot(house.shop)["id"])))
    house.settle()
    assert finding(house)["name"] == "failed"
    assert finding(house)["summary"].endswith("and the log says: totals differ")


def test_an_empty_batch_can_only_be_deleted(house: House) -> None:
    house.shop.run(
        "INSERT INTO intake_lots (lot_number, created_at)"
        " VALUES ('LOT-EMPTY', now() - interval '9 hours')"
    )
    house.post(alert(NAME, lot="LOT-EMPTY"))
    house.settle()
    assert (finding(house)["name"], finding(house)["offers"]) == ("empty", ["delete_batch"])


@pytest.mark.parametrize(
    ("named", "name"), [("LOT-000050", "not_active"), ("LOT-X", "no_batch"), ("%'; --", "no_batch")]
)
def test_batches_that_are_not_stuck(house: House, named: str, name: str) -> None:
    house.post(alert(NAME, lot_number=named))
    house.settle()
    assert (finding(house)["name"], finding(house)["offers"]) == (name, [])


def test_an_alert_that_names_none_is_about_the_forgotten_ones(house: House) -> None:
    for number in ("LOT-000058", "LOT-000059"):
        touch(house.shop, hours=30, lot=number)
    house.post(alert(NAME))
    house.settle()
    assert finding(house)["name"] == "forgotten"
    assert [row["lot_number"] for row in finding(house)["rows"]] == ["LOT-000058", "LOT-000059"]
    assert finding(house)["offers"] == []


@pytest.mark.parametrize(
    ("batches", "said"),
    [
        (1, "1 batch is active and nobody has touched it for four hours: F-1. Each"),
        (9, "9 batches are active and nobody has touched them for four hours: F-1, "),
        (40, "19 or more batches are active"),  # one older is being worked on
    ],
)
def test_how_many_are_forgotten_is_said_as_far_as_it_is_known(
    house: House, batches: int, said: str
) -> None:
    house.shop.run(
        "INSERT INTO intake_lots (lot_number, created_at)"
        " SELECT 'F-' || n, now() - interval '9 days' + n * interval '1 minute'"
        " FROM generate_series(1, %(batches)s) n",
        {"batches": batches},
    )
    house.post(alert(NAME))
    house.settle()
    assert finding(house)["summary"].startswith(said)


def next_check(house: House) -> None:
    """The next time of the rule's schedule, with all that comes of it."""
    run_checks(house.services)
    with house.services.store.transaction() as tx:
        now = tx.now
    (due,) = house.sql("SELECT due_at FROM schedule WHERE rule = 'intake_batch_stuck'")
    house.later(due["due_at"] - now + timedelta(seconds=1))
    run_checks(house.services)
    house.settle()


def test_without_a_monitor_it_is_found_by_day(house: House) -> None:
    next_check(house)
    assert house.incidents() == [], "on an ordinary day every batch is worked on"
    touch(house.shop, hours=30)
    next_check(house)
    incident = house.incident()
    assert (incident.rule, incident.source) == ("intake_batch_stuck", "responder")
    assert [row["lot_number"] for row in finding(house)["rows"]] == [LOT]
    assert house.pager.got == [], "nobody is woken for it"
    touch(house.shop, hours=1)
    next_check(house)
    assert (house.incident().status, house.incident().resolved_by) == ("resolved", "sender")
    found = [after for what, after in house.trail() if what == "check"]
    assert found.count("found") == 1


def test_a_person_completes_it(house: House) -> None:
    touch(house.shop, hours=30)
    before = others(house.shop)
    house.post(alert(NAME, lot_number=LOT))
    house.settle()
    ask(house.services, asked(house, "complete_batch"), ANN, "operator")
    house.settle()
    (fix,) = fixes(house)
    assert (fix["status"], fix["verification"], fix["counts"]) == (
        "committed",
        "held",
        {"intake_lots": 1},
    )
    assert lot(house.shop)["status"] == "completed"
    assert lot(house.shop)["completed_at"] is not None
    assert others(house.shop) == before
    assert [step for step in house.trail() if step[0] in ("fix", "verification")] == [
        ("fix", "started"),
        ("fix", "recorded"),
        ("fix", "committed"),
        ("verification", "held"),
    ]


def test_what_was_deleted_meanwhile_is_not_brought_back(house: House) -> None:
    touch(house.shop, hours=30)
    house.post(alert(NAME, lot_number=LOT))
    house.settle()
    house.shop.run("UPDATE intake_lots SET status = 'deleted' WHERE lot_number = 'LOT-000060'")
    ask(house.services, asked(house, "complete_batch"), ANN, "operator")
    house.settle()
    assert [fix["status"] for fix in fixes(house)] == ["refused"]
    assert lot(house.shop)["status"] == "deleted"


def test_an_admin_deletes_it_under_the_claims_of_the_target(house: House) -> None:
    admin = with_claims(house)
    touch(house.shop, hours=30)
    before = others(house.shop)
    house.post(alert(NAME, lot_number=LOT))
    house.settle()
    why = {"why": "taken in twice; LOT-000059 has the cards"}
    ask(house.services, asked(house, "delete_batch", parameters=why), ANN, "admin")
    house.settle()
    (fix,) = fixes(house)
    assert (fix["status"], fix["verification"], fix["actor"]) == ("committed", "held", "ann")
    assert fix["counts"] == {"intake_lots": 1, "intake_items": 25, "system_logs": 1}
    assert len(fix["before_rows"][0]["items"]) == 25
    assert lot(house.shop)["status"] == "deleted"
    assert others(house.shop) == before
    [logged] = house.shop.rows("SELECT context FROM system_logs WHERE message = 'batch deleted'")
    assert logged == {"lot_id": lot(house.shop)["id"], "reason": why["why"]}
    (begun,) = house.sql("SELECT details FROM audit_event WHERE what = 'fix' AND after = 'started'")
    assert begun["details"]["acts_as"] == admin


@pytest.mark.parametrize(
    ("role", "claims", "parameters", "objection"),
    [
        ("operator", True, {"why": "wrong"}, Objection.FORBIDDEN),
        ("admin", False, {"why": "wrong"}, Objection.NOT_POSSIBLE),
        ("admin", True, {}, Objection.WRONG_PARAMETERS),
    ],
)
def test_deleting_is_refused(
    house: House,
    role: str,
    claims: bool,
    parameters: Mapping[str, str],
    objection: Objection,
) -> None:
    if claims:
        with_claims(house)
    touch(house.shop, hours=30)
    house.post(alert(NAME, lot_number=LOT))
    house.settle()
    offered = {each["name"]: each for each in house.document()["options"]}["delete_batch"]
    assert offered["role"] == "admin"
    assert ("do not say as whom" in offered["why_not"]) == (not claims)
    with pytest.raises(NotBegun) as caught:
        ask(house.services, asked(house, "delete_batch", parameters=parameters), ANN, role)
    assert caught.value.objection == objection
    assert (lot(house.shop)["status"], fixes(house)) == ("active", [])


def test_claims_of_somebody_who_is_no_admin(house: House) -> None:
    """The shop's own function has the last word."""
    targets = house.services.settings.targets
    nobody = {"sub": "00000000-0000-0000-0000-000000000000"}
    house.with_settings(targets={"shop_eu": replace(targets["shop_eu"], claims=nobody)})
    touch(house.shop, hours=30)
    house.post(alert(NAME, lot_number=LOT))
    house.settle()
    ask(house.services, asked(house, "delete_batch", parameters={"why": "so"}), ANN, "admin")
    house.settle()
    (fix,) = fixes(house)
    assert (fix["status"], fix["reason"]) == ("rolled_back", "admin role required")
    assert lot(house.shop)["status"] == "active"


@each_sender
def test_more_items_than_the_limit_are_rolled_back(
    house: House, tmp_path: Path, sender: Sender, rules: Mapping[str, LoadedRule]
) -> None:
    with_claims(house)
    most = rules["intake_batch_stuck"].options["delete_batch"].max_rows
    house.shop.run(
        "INSERT INTO intake_items (lot_id, sku, brand_title, subject, price)"
        " SELECT %(lot)s, 'many-' || n, 'b', 's', 1 FROM generate_series(1, %(most)s) n",
        {"lot": lot(house.shop)["id"], "most": most},
    )
    touch(house.shop, hours=30)
    house.tell(sender, tmp_path, NAME, lot_number=LOT)
    house.settle()
    ask(house.services, asked(house, "delete_batch", parameters={"why": "so"}), ANN, "admin")
    house.settle()
    (fix,) = fixes(house)
    assert (fix["status"], fix["reason"]) == (
        "rolled_back",
        f"it changed {most + 27} rows, more than {most}",
    )
    assert lot(house.shop)["status"] == "active"
    left = "SELECT count(*) FROM intake_items WHERE deleted_at IS NOT NULL"
    assert house.shop.rows(left) == [0]
