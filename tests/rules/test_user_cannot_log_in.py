"""Accounts lack something in each way that the rule knows; people grant it, nobody else."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from responder.domain.actor import Actor, ActorKind
from responder.pipeline.by_hand import Asked, NotBegun, Objection, ask
from tests.house import House, alert
from tests.senders import ALERTMANAGER, GRAFANA, PAGERDUTY, Sender
from tests.walks import fixes

if TYPE_CHECKING:
    from tests.shop import Shop

NAME = "UserCannotLogIn"
NEW = "new.colleague@example.com"
ANN = Actor(ActorKind.PERSON, "ann")
STORE = {"store_key": "harbour", "location": "gid://shopify/Location/80140000"}
each_sender = pytest.mark.parametrize(
    "sender", [ALERTMANAGER, GRAFANA, PAGERDUTY], ids=lambda sender: sender.name
)


def invite(shop: "Shop", email: str = NEW, confirmed: bool = True, role: str = "") -> None:
    shop.run(
        "INSERT INTO auth.users (email, confirmed_at)"
        " VALUES (%(email)s, CASE WHEN %(confirmed)s THEN now() END)",
        {"email": email, "confirmed": confirmed},
    )
    if role:
        shop.run(
            "INSERT INTO user_roles (user_id, role)"
            " SELECT id, %(role)s::app_role FROM auth.users WHERE email = %(email)s",
            {"email": email, "role": role},
        )


def rights(shop: "Shop", email: str = NEW) -> list[Any]:
    """The account's roles, then its stores."""
    return shop.rows(
        "SELECT role::text FROM user_roles r JOIN auth.users u ON u.id = r.user_id"
        f" WHERE email = '{email}'"
        " UNION ALL SELECT store_key || ' ' || shopify_location_gid"
        " FROM user_shopify_assignments a JOIN auth.users u ON u.id = a.user_id"
        f" WHERE email = '{email}'"
    )


def everything(shop: "Shop") -> tuple[list[Any], ...]:
    return (
        shop.rows("SELECT to_jsonb(t) FROM user_roles t ORDER BY id"),
        shop.rows("SELECT to_jsonb(t) FROM user_shopify_assignments t ORDER BY id"),
    )


def findings(house: House) -> dict[str, list[str]]:
    return {each["name"]: each["offers"] for each in house.document()["findings"]}


def run(house: House, option: str, role: str = "operator", **parameters: str) -> dict[str, Any]:
    """A person asks for it; the fix that comes of it."""
    incident = house.incident()
    asked = Asked(incident.id, option, incident.decision_id, parameters)
    ask(house.services, asked, ANN, role)
    house.settle()
    return fixes(house)[-1]


@each_sender
def test_a_colleague_without_rights_is_left_to_a_person(
    house: House, tmp_path: Path, sender: Sender
) -> None:
    invite(house.shop)
    before = everything(house.shop)
    house.tell(sender, tmp_path, NAME, email=NEW)
    house.settle()
    assert house.decision() == ("propose", "not_automatic")
    assert findings(house) == {
        "no_role": ["grant_staff", "grant_admin"],
        "no_assignment": ["assign_store"],
    }
    assert house.incident().parameters == {"email": NEW}
    assert ("decision", "propose") in house.trail()
    assert (fixes(house), everything(house.shop)) == ([], before)


@pytest.mark.parametrize(
    ("account", "found"),
    [
        ({"email": "else@example.com"}, {"no_account": []}),
        (
            {"confirmed": False, "role": "admin"},
            {"unconfirmed": ["confirm_address"]},
        ),
        ({"role": "staff"}, {"no_assignment": ["assign_store"]}),
        ({"role": "admin"}, {}),
    ],
)
def test_what_an_account_lacks(
    house: House, account: Mapping[str, Any], found: Mapping[str, Any]
) -> None:
    invite(house.shop, **account)
    house.post(alert(NAME, user_email=NEW))
    house.settle()
    assert findings(house) == found
    expected = ("hand_over", "nothing_found" if not found else "no_option")
    assert house.decision() == (("propose", "not_automatic") if any(found.values()) else expected)


def test_cases_of_letters_do_not_matter(house: House) -> None:
    invite(house.shop, "New.Colleague@Example.com", role="admin")
    house.post(alert(NAME, email=" NEW.colleague@example.COM "))
    house.settle()
    assert house.decision() == ("hand_over", "nothing_found")
    invite(house.shop, NEW)
    house.later(house.services.settings.reopen_after)
    house.post(alert(NAME, login=NEW))
    house.settle()
    newest = house.incidents()[-1]
    with house.services.store.transaction() as tx:
        told = tx.one("incident", id=newest.id)["findings"]
    assert [each["name"] for each in told] == ["two_accounts"]


def test_tokens_that_are_refused_to_many_are_no_users_fault(house: House) -> None:
    invite(house.shop, role="admin")
    house.shop.run(
        "INSERT INTO system_logs (level, message)"
        " SELECT 'error', 'Invalid authentication token: request ' || n"
        " FROM generate_series(1, 30) n"
    )
    house.post(alert(NAME, email=NEW))
    house.settle()
    assert findings(house) == {"tokens_refused": []}
    summary = house.document()["findings"][0]["summary"]
    assert summary.startswith("30 errors of authentication")


def test_without_an_address_nothing_is_concluded(house: House) -> None:
    house.post(alert(NAME))
    house.settle()
    assert house.decision() == ("hand_over", "parameter_missing")
    assert "email or user_email" in house.document()["decision"]["sentence"]


@pytest.mark.parametrize(
    ("option", "role", "parameters", "table", "right"),
    [
        ("grant_staff", "operator", {}, "user_roles", "staff"),
        ("grant_admin", "admin", {}, "user_roles", "admin"),
        (
            "assign_store",
            "operator",
            STORE,
            "user_shopify_assignments",
            "harbour gid://shopify/Location/80140000",
        ),
        (
            "assign_store",
            "operator",
            {"store_key": " harbour ", "location": "80140000"},
            "user_shopify_assignments",
            "harbour gid://shopify/Location/80140000",
        ),
    ],
)
def test_a_person_grants_what_is_missing(
    house: House, option: str, role: str, parameters: dict[str, str], table: str, right: str
) -> None:
    invite(house.shop)
    before = everything(house.shop)
    house.post(alert(NAME, email=NEW.upper()))
    house.settle()
    fix = run(house, option, role, **parameters)
    assert (fix["status"], fix["verification"], fix["counts"]) == ("committed", "held", {table: 1})
    assert (fix["actor"], rights(house.shop)) == ("ann", [right])
    assert all(
        row in new for old, new in zip(before, everything(house.shop), strict=True) for row in old
    )
    assert [step for step in house.trail() if step[0] in ("fix", "verification")] == [
        ("fix", "started"),
        ("fix", "recorded"),
        ("fix", "committed"),
        ("verification", "held"),
    ]
    again = run(house, option, role, **parameters)
    assert (again["status"], rights(house.shop)) == ("refused", [right])


def test_only_an_admin_makes_admins(house: House) -> None:
    invite(house.shop)
    house.post(alert(NAME, email=NEW))
    house.settle()
    with pytest.raises(NotBegun) as caught:
        run(house, "grant_admin", "operator")
    assert caught.value.objection == Objection.FORBIDDEN
    assert rights(house.shop) == []


@pytest.mark.parametrize("parameters", [{}, {"store_key": "harbour"}, {**STORE, "region": "north"}])
def test_a_store_has_to_be_said(house: House, parameters: dict[str, str]) -> None:
    invite(house.shop, role="staff")
    house.post(alert(NAME, email=NEW))
    house.settle()
    with pytest.raises(NotBegun) as caught:
        run(house, "assign_store", **parameters)
    assert caught.value.objection == Objection.WRONG_PARAMETERS
    assert rights(house.shop) == ["staff"]


def test_a_location_that_is_none_is_rolled_back(house: House) -> None:
    invite(house.shop, role="staff")
    house.post(alert(NAME, email=NEW))
    house.settle()
    fix = run(house, "assign_store", **{**STORE, "location": "the one by the harbour"})
    assert (fix["status"], fix["reason"]) == (
        "rolled_back",
        "the cause would still be there after the change",
    )
    assert rights(house.shop) == ["staff"]


@pytest.mark.parametrize("option", ["grant_staff", "grant_admin", "assign_store"])
def test_two_accounts_of_one_address_are_over_the_limit(house: House, option: str) -> None:
    invite(house.shop)
    house.post(alert(NAME, email=NEW))
    house.settle()
    invite(house.shop, NEW.upper())
    fix = run(house, option, "admin", **(STORE if option == "assign_store" else {}))
    assert (fix["status"], fix["reason"]) == ("rolled_back", "more than 1 rows would be changed")
    assert rights(house.shop) + rights(house.shop, NEW.upper()) == []
