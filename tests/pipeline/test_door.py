"""What notices lose at the door, and what they must keep to be answered."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from responder.domain.alert import Alert, AlertStatus
from responder.domain.redaction import Redaction
from responder.pipeline.door import identifier, taken_in
from responder.runbook.loader import LoadedRule
from tests.house import House, alert
from tests.shop import Shop

PERSON = "ann.smith@example.com"
PERSONAL = Redaction(columns=("email",), labels=("email", "Customer"))


def noticed(house: House, **changes: object) -> Alert:
    made = Alert("prometheus", "0123", AlertStatus.FIRING, "Odd", "it is odd", "shop", {})
    (told,) = taken_in(house.services, [replace(made, **changes)])  # type: ignore[arg-type]
    assert isinstance(told, Alert)
    return told


@pytest.fixture
def personal(make_house: Callable[..., House], rules: Mapping[str, LoadedRule]) -> House:
    """The shipped rules, where e-mail addresses are personal."""
    made = make_house(redact=PERSONAL)
    targets = made.services.settings.targets
    made.with_settings(targets={n: replace(t, redact=PERSONAL) for n, t in targets.items()})
    for rule in rules.values():
        made.promote(rule)
    return made


def test_a_hidden_label_goes_from_what_repeats_it(personal: House) -> None:
    told = noticed(
        personal,
        labels={"customer": "Ann Smith", "env": "production"},
        title="Ann Smith cannot pay",
        annotations={"summary": "call Ann Smith", "CUSTOMER": "Ann"},
        links={"source": "https://x.example/Ann Smith"},
    )
    shown = "[redacted: customer]"
    assert told.labels == {"customer": shown, "env": "production"}
    assert told.title == f"{shown} cannot pay"
    assert told.annotations == {"summary": f"call {shown}", "CUSTOMER": "[redacted: CUSTOMER]"}
    assert told.links == {"source": f"https://x.example/{shown}"}


def test_what_has_nothing_to_hide_is_as_it_was(house: House) -> None:
    made = noticed(house, labels={"env": "production", "sku": "AB-1"}, annotations={"a": "b"})
    assert noticed(house, **made.__dict__) == made


def test_an_id_with_a_secret_stays_an_id() -> None:
    ids = [identifier(PERSONAL, f"monitor 7 password=geheim{n}") for n in (1, 1, 2)]
    assert ids[0] == ids[1] != ids[2]
    assert not any("geheim" in each for each in ids)
    assert identifier(PERSONAL, "monitor 7") == "monitor 7"


def test_a_rule_looks_with_what_is_personal_and_shows_none_of_its_rows(personal: House) -> None:
    """The account is found by the address that the alert says; the rows do not repeat it."""
    invite = "INSERT INTO auth.users (email, confirmed_at) VALUES (%(email)s, now())"
    personal.shop.run(invite, {"email": PERSON})
    personal.post(alert("UserCannotLogIn", email=PERSON, customer="Ann Smith"))
    personal.settle()
    document = personal.document()
    assert [each["name"] for each in document["findings"]] == ["no_role", "no_assignment"]
    assert personal.incident().parameters["email"] == PERSON
    assert document["alerts"][0]["labels"]["customer"] == "[redacted: customer]"
    rows = [row for each in document["diagnosis"] for row in each["rows"]]
    assert rows and PERSON not in str(rows)


@pytest.mark.parametrize(
    ("label", "incidents"), [("email", 2), ("customer", 1)], ids=["a parameter", "another label"]
)
def test_hidden_labels_tell_incidents_apart_only_where_a_rule_looks_with_them(
    personal: House, label: str, incidents: int
) -> None:
    for name in ("ann", "bob"):
        email = {"email": PERSON} | {label: f"{name}@example.com"}
        personal.post(alert("UserCannotLogIn", **email))
    personal.settle()
    assert len(personal.incidents()) == incidents


def test_a_secret_goes_also_from_what_a_rule_looks_with(personal: House, shop: Shop) -> None:
    personal.post(alert("UserCannotLogIn", email="password=geheim"))
    personal.settle()
    assert personal.incident().parameters["email"] == "password=[redacted: password]"
