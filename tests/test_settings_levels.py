"""The escalation path in responder.toml: what it comes to, and each mistake with its key."""

import re
from datetime import time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from responder import settings
from responder.domain.hours import Hours
from responder.domain.settings import AckFor, Contact, Level, Settings
from responder.domain.severity import Severity
from tests.settings_files import MAIL, NOTES, PAGER

PAGE = (Path(__file__).parent.parent / "docs" / "escalation.md").read_text(encoding="utf-8")
BERLIN = ZoneInfo("Europe/Berlin")
USELESS = 'is of no use without availability = "business hours"'


def read(text: str) -> Settings:
    return settings.read(text, "responder.toml")


def contact(more: str) -> str:
    return MAIL.format("m") + f'[contacts.c]\nemail = "c@d.example"\n{more}'


def level(more: str, number: str = "2") -> str:
    return PAGER.format("r") + f"[[levels]]\nlevel = {number}\n{more}"


def test_the_example_of_the_page_is_the_runbooks_table() -> None:
    (example,) = re.findall(r"```toml\n(.+?)```", PAGE, re.DOTALL)
    found = read(example)
    people = {
        (each.title, *found.receivers[each.receivers[0]].to, each.hours is None)
        for each in found.contacts.values()
    }
    assert people == {
        ("Database Admin", "admin@example.com", True),
        ("DevOps Lead", "devops@example.com", False),
        ("Security Team", "security@example.com", True),
    }
    everybody = tuple(Severity)
    assert [(each.level, each.severities) for each in found.levels] == [
        *((2, everybody), (3, everybody)),
        (4, (Severity.P0,)),
    ]
    told = re.findall(r"^\| ([\w ]+) \| (\w+@example\.com) \| (.+?) \|$", PAGE, re.MULTILINE)
    assert {(title, mail, when == "24/7") for title, mail, when in told} == people


def test_what_a_contact_does_not_say_is_that_of_the_business() -> None:
    found = read(
        '[business_hours]\ndays = ["Sun", "mon", "sun"]\nhours = "08:00-24:00"\n'
        'time_zone = "Europe/Berlin"\n'
        + contact('availability = "business hours"\nhours = "22:00-06:00"')
    )
    assert found.business_hours == Hours((0, 6), time(8), time(0), BERLIN)
    assert found.contacts["c"] == Contact(
        "c", "c", ("contacts.c",), Hours((0, 6), time(22), time(6), BERLIN), ()
    )


def test_an_address_is_told_by_the_first_mail_server() -> None:
    text = MAIL.format("m") + MAIL.format("n").replace("587", "25")
    found = read(text + '[contacts.the_dba]\nemail = "c@d.example"\nreceivers = ["n"]')
    made = found.receivers["contacts.the_dba"]
    assert (made.type, made.url, made.to) == ("email", "smtp.example:587", ("c@d.example",))
    assert found.contacts["the_dba"].receivers == ("n", "contacts.the_dba")
    assert found.contacts["the_dba"].title == "the dba"
    assert [route.receivers for route in found.routes] == [("m", "n")], "it follows nothing else"


def test_its_password_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_THERE", raising=False)
    login = 'user = "u"\npassword = "env:NOT_THERE"\n'
    found = read(MAIL.format("m") + login + '[contacts.c]\nemail = "c@d.example"')
    keys = [line.partition(":")[0] for line in settings.unreadable_secrets(found)]
    assert [key for key in keys if key.endswith("password")] == ["receivers.m.password"]


def test_level_4_is_for_p0_unless_it_says_otherwise() -> None:
    text = PAGER.format("r")
    for number in (2, 3, 4, 5):
        text += f'[[levels]]\nlevel = {number}\nreceivers = ["r"]\n'
    found = read(text + 'severity = ["P0", "P1"]')
    assert [len(each.severities) for each in found.levels] == [4, 4, 1, 2]
    assert found.levels[0] == Level(2, ("r",))


def test_how_long_an_acknowledgement_holds() -> None:
    assert read("").ack_for == AckFor(timedelta(minutes=30), timedelta(hours=2))
    assert read('[ack_for]\nP0 = "5m"').ack_for == AckFor(P0=timedelta(minutes=5))
    assert AckFor().of(Severity.P2) is None


def test_pagerduty_escalates_by_itself_unless_it_says_otherwise() -> None:
    found = read(PAGER.format("a") + PAGER.format("b") + "escalates = false\n" + MAIL.format("c"))
    assert [found.receivers[name].escalates for name in "abc"] == [True, False, False]


MISTAKES = [
    (
        contact("availability = 1"),
        'contacts.c.availability: must be one of "24/7", "business hours"',
    ),
    (contact('days = ["mon"]'), f"contacts.c.days: {USELESS}"),
    (contact('availability = "24/7"\ntime_zone = "UTC"'), f"contacts.c.time_zone: {USELESS}"),
    (
        contact('availability = "business hours"\ntime_zone = "Mars/Base"'),
        "contacts.c.time_zone: 'Mars/Base' is no time zone known here; "
        "write one such as Europe/Berlin",
    ),
    (
        contact('availability = "business hours"\ntime_zone = "../../etc/passwd"'),
        "contacts.c.time_zone: '../../etc/passwd' is no time zone known here; "
        "write one such as Europe/Berlin",
    ),
    (
        contact('availability = "business hours"\nhours = "9-17"'),
        'contacts.c.hours: must be like "09:00-17:00"',
    ),
    (
        contact('availability = "business hours"\ndays = ["mon", "funday"]'),
        "contacts.c.days: 'funday' is no day; write mon, tue, wed, thu, fri, sat, sun",
    ),
    (
        contact('availability = "business hours"\ndays = []'),
        'contacts.c.days: must be a list of days such as ["mon", "tue"], not empty',
    ),
    (
        contact('receivers = ["x"]'),
        "contacts.c.receivers[0]: there is no receiver 'x'; known are m",
    ),
    (contact("email = 1").replace('email = "c@d.example"\n', ""), "contacts.c.email: must be an"),
    (
        "[contacts.c]\nrules = ['x']",
        "contacts.c: needs receivers or email: how else are they told?",
    ),
    (
        '[contacts.c]\nemail = "c@d.example"',
        "contacts.c.email: needs a receiver of type email, whose server sends to this address",
    ),
    (
        NOTES.format("n") + '[contacts.c]\nreceivers = ["n"]',
        "contacts.c.receivers[0]: 'n' wakes nobody: it writes notes for those who are awake",
    ),
    (level(""), "levels[0]: needs receivers or contacts"),
    (level('contacts = ["x"]'), "levels[0].contacts[0]: there is no contact 'x'; known are none"),
    (
        level('receivers = ["r", "x"]'),
        "levels[0].receivers[1]: there is no receiver 'x'; known are r",
    ),
    (
        level('receivers = ["r"]', "1"),
        "levels[0].level: must be 2: levels count up from 2, 1 is the responder itself",
    ),
    (
        level('receivers = ["r"]\n[[levels]]\nlevel = 4\nreceivers = ["r"]'),
        "levels[1].level: must be 3: levels count up from 2, 1 is the responder itself",
    ),
    (level('receivers = ["r"]', "true"), "levels[0].level: must be a whole number, without quotes"),
    ('[ack_for]\nP2 = "1h"', "ack_for.P2: unknown key; known are P0, P1"),
    ('[business_hours]\nhours = "25:00-26:00"', 'business_hours.hours: must be like "09:00-17:00"'),
]


@pytest.mark.parametrize(("text", "mistake"), MISTAKES, ids=[mistake for _, mistake in MISTAKES])
def test_a_mistake_is_told_with_its_key(text: str, mistake: str) -> None:
    with pytest.raises(settings.SettingsWrong) as wrong:
        read(text)
    (told,) = wrong.value.mistakes
    assert told.startswith(mistake)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(settings.SettingsWrong) as wrong:
        read(
            PAGER.format("r")
            + '[contacts.c]\nreceivers = ["x"]\ndays = ["mon"]\n'
            + '[[levels]]\nlevel = 3\ncontacts = ["y"]\n[business_hours]\ntime_zone = ""'
        )
    assert [mistake.partition(":")[0] for mistake in wrong.value.mistakes] == [
        *("contacts.c.days", "business_hours.time_zone"),
        *("contacts.c.receivers[0]", "levels[0].contacts[0]", "levels[0].level"),
    ]
