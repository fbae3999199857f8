"""responder.toml: what it says."""

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from responder import settings
from responder.domain.decision import Autonomy
from responder.domain.matcher import Matcher
from responder.domain.secret import Secret
from responder.domain.settings import (
    DeadMan,
    Fields,
    Receiver,
    Retention,
    Route,
    RuleSettings,
    Settings,
    Source,
    Target,
)
from responder.domain.severity import Severity
from responder.settings.receivers import RECEIVERS
from responder.settings.schema import FileKeys
from responder.settings.sources import SOURCES
from tests.settings_files import HOOK, MAIL, NOTES, PAGER, SLACK, generic, grafana, source

SECRET = 'a secret is written "env:NAME" or "file:PATH", never the value itself'

MAXIMAL = """
database = "file:/run/secrets/database"
token_keys = ["file:new.json", "file:old.json"]
runbook = "/etc/responder/runbook"
public_url = "https://responder.example.com/"
autonomy = "act"
flap_window = "15m"
reopen_after = "1h30m"
resolve_after_quiet = "6h"
max_body = 5_000_000
proxies = 1

[sources.prod]
type = "alertmanager"
bearer = ["env:TOKEN_NEW", "env:TOKEN_OLD"]
basic = {user = "alerts", password = "env:PASSWORD"}
severity = {Disaster = "P0", " meh " = "P3"}
labels = {env = "production"}
wait = "30s"
per_minute = 600

[sources.graphs]
type = "grafana"
bearer = "env:TOKEN"
basic = {user = "alerts", password = "env:PASSWORD"}
secret = ["env:HMAC_NEW", "env:HMAC_OLD"]
signature_header = "X-Signature"
timestamp_header = "X-Signed-At"

[sources.pager]
type = "pagerduty"
secret = "env:PAGERDUTY_SECRET"
title_pattern = '(?P<alertname>.+) on (?P<instance>.+)'
token = "env:PAGERDUTY_TOKEN"
url = "https://api.eu.pagerduty.com/"

[sources.any]
type = "generic"
bearer = "env:TOKEN"
basic = {user = "alerts", password = "env:PASSWORD"}
secret = "env:WHSEC"

[sources.any.fields]
alerts = "/data/alerts"
id = "/id"
name = ["/monitor/name", "/a~1b/~0/0"]
title = "/title"
status = "/state"
severity = ["/priority", "/level"]
service = "/service"
fingerprint = ["/monitor/id", "/region"]
starts_at = "/start"
ends_at = "/end"
link = "/url"
labels = {host = "/host", env = ["/env", ""]}
resolved = [" Up ", "OK"]
firing = ["Down", "No Data"]
ignored = ["Paused"]

[targets.shop_eu]
kind = "shop"
matches = ['env="production"', 'region=~"eu-.+"']
reading = "env:SHOP_READING_URL"
writing = "env:SHOP_WRITING_URL"
direct_url = "env:SHOP_DIRECT_URL"
claims = {sub = "8f14e45f-ceea-467f-a9d1-2c1b4a3e5d60", role = "authenticated"}
http = {base = "https://shop.example.com:8443/", paths = ["/health", "/ready"]}

[targets.everything]
kind = "shop"
matches = []
reading = "env:SHOP_READING_URL"

[receivers.on_call]
type = "pagerduty"
routing_key = "env:ROUTING_KEY"
url = "https://events.eu.pagerduty.com"
per_minute = 60
fallback = "chat"

[receivers.notes]
type = "pagerduty_notes"
token = "env:PAGERDUTY_TOKEN"
from = "on-call@example.com"
url = "https://api.eu.pagerduty.com"
per_minute = 30

[receivers.chat]
type = "slack"
webhook_url = "env:SLACK_URL"
per_minute = 10
fallback = "mail"

[receivers.mail]
type = "email"
server = "[2001:db8::25]:465"
security = "tls"
user = "responder"
password = "env:SMTP_PASSWORD"
from = "responder@example.com"
to = ["on-call@example.com", "lead+pages@example.com"]
per_minute = 5
fallback = "tickets"

[receivers.tickets]
type = "webhook"
url = "http://127.0.0.1:9000/hook/?team=1"
secret = ["env:HOOK_NEW", "env:HOOK_OLD"]
per_minute = 1

[[routes]]
matches = ['team="shop"']
severity = ["P0", "P1"]
receivers = ["on_call", "tickets"]
page = true

[[routes]]
receivers = ["tickets", "notes"]

[last_resort]
receivers = ["mail", "on_call"]

[digest]
receivers = ["mail"]

[dead_man]
url = "env:DEAD_MAN_URL"
every = "30s"

[retention]
deliveries = "14d"
audit = "400d"

[rules.shopify_queue_stuck]
autonomy = "observe"
"""

BEARER = Secret(("env:TOKEN",))
BASIC_PASSWORD = Secret(("env:PASSWORD",))

#: What MAXIMAL says, table by table.
EXPECTED_SOURCES = {
    "prod": Source(
        name="prod",
        type="alertmanager",
        bearer=Secret(("env:TOKEN_NEW", "env:TOKEN_OLD")),
        basic_user="alerts",
        basic_password=BASIC_PASSWORD,
        severities={"disaster": Severity.P0, "meh": Severity.P3},
        labels={"env": "production"},
        wait=timedelta(seconds=30),
        per_minute=600,
    ),
    "graphs": Source(
        name="graphs",
        type="grafana",
        bearer=BEARER,
        basic_user="alerts",
        basic_password=BASIC_PASSWORD,
        secret=Secret(("env:HMAC_NEW", "env:HMAC_OLD")),
        signature_header="X-Signature",
        timestamp_header="X-Signed-At",
    ),
    "pager": Source(
        name="pager",
        type="pagerduty",
        secret=Secret(("env:PAGERDUTY_SECRET",)),
        title_pattern=re.compile("(?P<alertname>.+) on (?P<instance>.+)"),
        token=Secret(("env:PAGERDUTY_TOKEN",)),
        url="https://api.eu.pagerduty.com",
    ),
    "any": Source(
        name="any",
        type="generic",
        bearer=BEARER,
        basic_user="alerts",
        basic_password=BASIC_PASSWORD,
        secret=Secret(("env:WHSEC",)),
        fields=Fields(
            alerts="/data/alerts",
            id=("/id",),
            name=("/monitor/name", "/a~1b/~0/0"),
            title=("/title",),
            status=("/state",),
            severity=("/priority", "/level"),
            service=("/service",),
            fingerprint=("/monitor/id", "/region"),
            starts_at=("/start",),
            ends_at=("/end",),
            link=("/url",),
            labels={"host": ("/host",), "env": ("/env", "")},
            resolved=("up", "ok"),
            firing=("down", "no data"),
            ignored=("paused",),
        ),
    ),
}
EXPECTED_RECEIVERS = {
    "on_call": Receiver(
        name="on_call",
        type="pagerduty",
        url="https://events.eu.pagerduty.com",
        secret=Secret(("env:ROUTING_KEY",)),
        per_minute=60,
        fallback="chat",
        escalates=True,
    ),
    "notes": Receiver(
        name="notes",
        type="pagerduty_notes",
        url="https://api.eu.pagerduty.com",
        secret=Secret(("env:PAGERDUTY_TOKEN",)),
        sender="on-call@example.com",
        per_minute=30,
    ),
    "chat": Receiver(
        name="chat",
        type="slack",
        secret=Secret(("env:SLACK_URL",)),
        per_minute=10,
        fallback="mail",
    ),
    "mail": Receiver(
        name="mail",
        type="email",
        url="[2001:db8::25]:465",
        security="tls",
        user="responder",
        secret=Secret(("env:SMTP_PASSWORD",)),
        sender="responder@example.com",
        to=("on-call@example.com", "lead+pages@example.com"),
        per_minute=5,
        fallback="tickets",
    ),
    "tickets": Receiver(
        name="tickets",
        type="webhook",
        url="http://127.0.0.1:9000/hook/?team=1",
        secret=Secret(("env:HOOK_NEW", "env:HOOK_OLD")),
        per_minute=1,
    ),
}


def test_a_file_with_every_key_becomes_settings() -> None:
    found = settings.read(MAXIMAL, "responder.toml")
    assert found.sources == EXPECTED_SOURCES
    assert found.receivers == EXPECTED_RECEIVERS
    assert found == Settings(
        database=Secret(("file:/run/secrets/database",)),
        token_keys=Secret(("file:new.json", "file:old.json")),
        runbook="/etc/responder/runbook",
        public_url="https://responder.example.com",
        autonomy=Autonomy.ACT,
        flap_window=timedelta(minutes=15),
        reopen_after=timedelta(minutes=90),
        resolve_after_quiet=timedelta(hours=6),
        max_body=5_000_000,
        proxies=1,
        sources=EXPECTED_SOURCES,
        targets={
            "shop_eu": Target(
                name="shop_eu",
                kind="shop",
                matches=(Matcher("env", "=", "production"), Matcher("region", "=~", "eu-.+")),
                reading=Secret(("env:SHOP_READING_URL",)),
                writing=Secret(("env:SHOP_WRITING_URL",)),
                direct_url=Secret(("env:SHOP_DIRECT_URL",)),
                http_base="https://shop.example.com:8443",
                http_paths=("/health", "/ready"),
                claims={
                    "sub": "8f14e45f-ceea-467f-a9d1-2c1b4a3e5d60",
                    "role": "authenticated",
                },
            ),
            "everything": Target("everything", "shop", (), Secret(("env:SHOP_READING_URL",))),
        },
        receivers=EXPECTED_RECEIVERS,
        routes=(
            Route(
                receivers=("on_call", "tickets"),
                matches=(Matcher("team", "=", "shop"),),
                severities=(Severity.P0, Severity.P1),
                page=True,
            ),
            Route(receivers=("tickets", "notes")),
        ),
        rules={"shopify_queue_stuck": RuleSettings(Autonomy.OBSERVE)},
        last_resort=("mail", "on_call"),
        digest=("mail",),
        dead_man=DeadMan(Secret(("env:DEAD_MAN_URL",)), timedelta(seconds=30)),
        retention=Retention(timedelta(days=14), timedelta(days=400)),
    )


def test_it_has_every_type() -> None:
    assert [source.type for source in EXPECTED_SOURCES.values()] == list(SOURCES)
    assert [receiver.type for receiver in EXPECTED_RECEIVERS.values()] == list(RECEIVERS)


def test_an_empty_file_is_all_defaults() -> None:
    assert settings.read("", "responder.toml") == Settings(
        database=Secret(("env:DATABASE_URL",)), token_keys=Secret(("file:responder-keys.json",))
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            PAGER,
            Receiver(
                "r",
                "pagerduty",
                url="https://events.pagerduty.com",
                secret=Secret(("env:A",)),
                per_minute=100,
                escalates=True,
            ),
        ),
        (
            NOTES,
            Receiver(
                "r",
                "pagerduty_notes",
                url="https://api.pagerduty.com",
                secret=Secret(("env:A",)),
                sender="a@b.example",
            ),
        ),
        (SLACK, Receiver("r", "slack", secret=Secret(("env:A",)))),
        (
            MAIL,
            Receiver(
                "r",
                "email",
                url="smtp.example:587",
                security="starttls",
                sender="a@b.example",
                to=("c@d.example",),
            ),
        ),
        (HOOK, Receiver("r", "webhook", url="http://h/", secret=Secret(("env:B",)))),
    ],
    ids=["pagerduty", "pagerduty_notes", "slack", "email", "webhook"],
)
def test_the_smallest_receiver_of_each_type(text: str, expected: Receiver) -> None:
    found = settings.read(text.format("r"), "responder.toml").receivers["r"]
    assert found == expected
    assert found.per_minute == (100 if found.type == "pagerduty" else 20)


A = Secret(("env:A",))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (source(""), Source("s", "alertmanager", bearer=A)),
        (
            grafana('secret = "env:A"'),
            Source("g", "grafana", secret=A, signature_header="X-Grafana-Alerting-Signature"),
        ),
        (
            '[sources.p]\ntype = "pagerduty"\nsecret = "env:A"',
            Source("p", "pagerduty", secret=A, url="https://api.pagerduty.com"),
        ),
        (generic(""), Source("j", "generic", bearer=A, fields=Fields(name=("/name",)))),
        (
            generic('labels = {alertname = "x"}', ""),
            Source("j", "generic", bearer=A, labels={"alertname": "x"}),
        ),
        (
            '[sources.j]\ntype = "generic"\nsecret = "env:A"\nfields = {name = "/name"}',
            Source("j", "generic", secret=A, fields=Fields(name=("/name",))),
        ),
    ],
    ids=["alertmanager", "grafana", "pagerduty", "generic", "generic, one name", "generic, signed"],
)
def test_the_smallest_source_of_each_type(text: str, expected: Source) -> None:
    assert settings.read(text, "responder.toml").sources == {expected.name: expected}


def test_fallbacks_may_have_fallbacks_and_meet() -> None:
    text = (
        PAGER.format("a")
        + 'fallback = "c"\n'
        + SLACK.format("b")
        + 'fallback = "c"\n'
        + MAIL.format("c")
        + 'fallback = "d"\n'
        + HOOK.format("d")
    )
    found = settings.read(text, "responder.toml").receivers
    assert [found[name].fallback for name in "abcd"] == ["c", "c", "d", ""]


@pytest.mark.parametrize(
    ("text", "routes"),
    [
        ("", ()),
        (PAGER.format("a"), (Route(("a",), page=True),)),
        (HOOK.format("b"), (Route(("b",)),)),
        (
            PAGER.format("a") + HOOK.format("b") + PAGER.format("c"),
            (Route(("a", "c"), page=True), Route(("b",))),
        ),
        (
            "".join(
                each.format(name)
                for each, name in zip((SLACK, MAIL, NOTES, PAGER, HOOK), "smnph", strict=True)
            ),
            (Route(("p",), page=True), Route(("s", "m", "n", "h"))),
        ),
        (
            PAGER.format("a") + HOOK.format("b") + '[[routes]]\nreceivers = ["b"]',
            (Route(("b",)),),
        ),
    ],
    ids=[
        "no receiver",
        "a pager",
        "a webhook",
        "both",
        "one of each type",
        "written ones replace the default",
    ],
)
def test_routes_that_are_not_written(text: str, routes: tuple[Route, ...]) -> None:
    assert settings.read(text, "responder.toml").routes == routes


def test_nothing_of_the_file_hangs_on_the_error() -> None:
    with pytest.raises(settings.SettingsWrong) as wrong:
        settings.read('database = "hunter2"', "responder.toml")
    assert wrong.value.__cause__ is None
    assert wrong.value.__context__ is None
    assert str(wrong.value) == f"responder.toml cannot be used:\n  database: {SECRET}"


def test_load_reads_a_file(tmp_path: Path) -> None:
    path = tmp_path / "responder.toml"
    path.write_text(MAXIMAL, encoding="utf-8")
    assert settings.load(path) == settings.read(MAXIMAL, "responder.toml")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'runbook = "caf\xe9"')
    expected = {
        tmp_path / "no.toml": "there is no such file; "
        "give another one with --config or RESPONDER_CONFIG",
        latin: "is not UTF-8 text",
        tmp_path: "cannot be read: Is a directory",
    }
    for path, reason in expected.items():
        with pytest.raises(settings.SettingsWrong) as wrong:
            settings.load(path)
        assert wrong.value.mistakes == [f"{path}: {reason}"]


def test_unreadable_secrets_have_their_key_and_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOD", "hunter2")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("ABSENT", raising=False)
    (tmp_path / "good").write_text("hunter2\n", encoding="utf-8")
    (tmp_path / "latin").write_bytes(b"hunter2\xe9")
    text = f"""
    database = "env:GOOD"
    token_keys = ["file:{tmp_path}/good", "file:{tmp_path}/absent"]
    [sources.s]
    type = "alertmanager"
    bearer = ["env:ABSENT", "env:GOOD", "env:EMPTY"]
    basic = {{user = "u", password = "env:ABSENT"}}
    [targets.t]
    kind = "shop"
    matches = []
    reading = "file:{tmp_path}/latin"
    writing = "env:ABSENT"
    direct_url = "env:ABSENT"
    [receivers.p]
    type = "pagerduty"
    routing_key = "env:ABSENT"
    [receivers.w]
    type = "webhook"
    url = "http://h"
    secret = "env:ABSENT"
    [receivers.notes]
    type = "pagerduty_notes"
    from = "a@b.example"
    token = "env:ABSENT"
    [receivers.slack]
    type = "slack"
    webhook_url = "env:ABSENT"
    [receivers.mail]
    type = "email"
    server = "h:25"
    from = "a@b.example"
    to = ["a@b.example"]
    user = "u"
    password = "env:ABSENT"
    [sources.g]
    type = "grafana"
    secret = "env:ABSENT"
    [sources.p]
    type = "pagerduty"
    secret = "env:GOOD"
    token = "env:ABSENT"
    [dead_man]
    url = "env:ABSENT"
    [vault]
    keys = ["env:GOOD", "env:ABSENT"]
    """
    absent = "the environment variable ABSENT is not set"
    assert settings.unreadable_secrets(settings.read(text, "responder.toml")) == [
        f"token_keys: the file {tmp_path}/absent cannot be read: No such file or directory",
        "vault.keys: env:GOOD: not a key of 32 bytes in base64; make one with: responder vault key",
        f"vault.keys: {absent}",
        f"sources.s.bearer: {absent}",
        "sources.s.bearer: env:EMPTY is empty",
        f"sources.s.basic.password: {absent}",
        f"sources.g.secret: {absent}",
        f"sources.p.token: {absent}",
        f"targets.t.reading: the file {tmp_path}/latin is not UTF-8 text",
        f"targets.t.writing: {absent}",
        f"targets.t.direct_url: {absent}",
        f"receivers.p.routing_key: {absent}",
        f"receivers.w.secret: {absent}",
        f"receivers.notes.token: {absent}",
        f"receivers.slack.webhook_url: {absent}",
        f"receivers.mail.password: {absent}",
        f"dead_man.url: {absent}",
    ]


def test_a_secret_that_signs_must_be_able_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHORT", "whsec_c2hvcnQ=")
    monkeypatch.setenv("TEXT", "hunter2 hunter2 hunter2")
    monkeypatch.setenv("GOOD", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    text = """
    [sources.j]
    type = "generic"
    secret = ["env:TEXT", "env:GOOD", "env:SHORT"]
    fields = {name = "/name"}
    [sources.g]
    type = "grafana"
    secret = "env:TEXT"
    [receivers.w]
    type = "webhook"
    url = "http://h"
    secret = "env:SHORT"
    """
    lines = settings.unreadable_secrets(settings.read(text, "responder.toml"))
    short = "env:SHORT: the signing secret is shorter than 16 bytes"
    assert [line for line in lines if line.startswith(("sources", "receivers"))] == [
        "sources.j.secret: env:TEXT: the signing secret is not base64; write whsec_<base64>",
        f"sources.j.secret: {short}",
        f"receivers.w.secret: {short}",
    ]


def inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {inline(value[key])}" for key in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value).lower()


GOOD_WORDS = [
    "env:A",
    "10m",
    "0s",
    "P1",
    'a="b"',
    'a=~"("',
    "pagerduty",
    "webhook",
    "alertmanager",
    "grafana",
    "generic",
    "pagerduty_notes",
    "email",
    "(?P<a>b)",
    "a@b.example",
    "h:25",
    "http://h",
    "/health",
    "act",
    "r",
]
KEYS = [*SOURCES.values(), *RECEIVERS.values(), SOURCES["generic"].schema.fields["fields_"]]
KNOWN_KEYS = sorted({name for table in KEYS for name in table.schema.names} | {"r", "receivers"})
VALUES = st.recursive(
    st.sampled_from(GOOD_WORDS) | st.text() | st.booleans() | st.integers() | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KNOWN_KEYS), inner),
)


@given(st.text())
@example("a = " + "9" * 5000)
@example("a = 2023-02-30")
@example("\ufeff")
def test_any_text_is_settings_or_mistakes(text: str) -> None:
    settings_or_mistakes(text)


@given(st.dictionaries(st.sampled_from(list(FileKeys().fields)), VALUES))
def test_any_values_are_settings_or_mistakes(values: dict[str, Any]) -> None:
    settings_or_mistakes("\n".join(f"{key} = {inline(values[key])}" for key in values))


def settings_or_mistakes(text: str) -> None:
    try:
        settings.read(text, "responder.toml")
    except settings.SettingsWrong as wrong:
        assert wrong.mistakes
        assert all(re.match(r"[^:]+: .", mistake) for mistake in wrong.mistakes), wrong.mistakes
