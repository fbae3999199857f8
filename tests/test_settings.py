"""responder.toml: what it says, every mistake in it, and that docs/settings.md tells the truth."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from marshmallow import Schema

from responder import settings
from responder.domain.decision import Autonomy
from responder.domain.matcher import Matcher
from responder.domain.secret import Secret
from responder.domain.settings import Receiver, Route, RuleSettings, Settings, Source, Target
from responder.domain.severity import Severity
from responder.settings.fields import ByType, Items, Table
from responder.settings.schema import FileKeys

PAGE = (Path(__file__).parent.parent / "docs" / "settings.md").read_text(encoding="utf-8")

TOP = "The top of the file"


def keys_of(schema: Schema, above: str = "") -> Iterator[str]:
    for name, field in schema.fields.items():
        yield f"{above}{name}"
        if isinstance(field, Table):
            yield from keys_of(field.schema, f"{above}{name}.")


def sections() -> dict[str, list[str]]:
    """Each heading that the page must have -> the keys that must stand under it."""
    found: dict[str, list[str]] = {TOP: []}
    for name, field in FileKeys().fields.items():
        inner = getattr(field, "inner", None)
        if isinstance(inner, ByType):
            for kind, table in inner.tables.items():
                found[f"`[{name}.<name>]`, type `{kind}`"] = list(keys_of(table.schema))
        elif isinstance(inner, Table):
            heading = f"`[[{name}]]`" if isinstance(field, Items) else f"`[{name}.<name>]`"
            found[heading] = list(keys_of(inner.schema))
        else:
            found[TOP].append(name)
    return found


SECTIONS = sections()

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

[sources.prod]
type = "alertmanager"
bearer = ["env:TOKEN_NEW", "env:TOKEN_OLD"]
basic = {user = "alerts", password = "env:PASSWORD"}
severity = {Disaster = "P0", " meh " = "P3"}
labels = {env = "production"}

[targets.shop_eu]
kind = "shop"
matches = ['env="production"', 'region=~"eu-.+"']
reading = "env:SHOP_READING_URL"
writing = "env:SHOP_WRITING_URL"
http = {base = "https://shop.example.com:8443/", paths = ["/health", "/ready"]}

[targets.everything]
kind = "shop"
matches = []
reading = "env:SHOP_READING_URL"

[receivers.on_call]
type = "pagerduty"
routing_key = "env:ROUTING_KEY"
url = "https://events.eu.pagerduty.com"

[receivers.tickets]
type = "webhook"
url = "http://127.0.0.1:9000/hook/?team=1"
secret = ["env:HOOK_NEW", "env:HOOK_OLD"]

[[routes]]
matches = ['team="shop"']
severity = ["P0", "P1"]
receivers = ["on_call", "tickets"]
page = true

[[routes]]
receivers = ["tickets"]

[rules.shopify_queue_stuck]
autonomy = "observe"
"""


def test_a_file_with_every_key_becomes_settings() -> None:
    assert settings.read(MAXIMAL, "responder.toml") == Settings(
        database=Secret(("file:/run/secrets/database",)),
        token_keys=Secret(("file:new.json", "file:old.json")),
        runbook="/etc/responder/runbook",
        public_url="https://responder.example.com",
        autonomy=Autonomy.ACT,
        flap_window=timedelta(minutes=15),
        reopen_after=timedelta(minutes=90),
        resolve_after_quiet=timedelta(hours=6),
        max_body=5_000_000,
        sources={
            "prod": Source(
                name="prod",
                type="alertmanager",
                bearer=Secret(("env:TOKEN_NEW", "env:TOKEN_OLD")),
                basic_user="alerts",
                basic_password=Secret(("env:PASSWORD",)),
                severities={"disaster": Severity.P0, "meh": Severity.P3},
                labels={"env": "production"},
            )
        },
        targets={
            "shop_eu": Target(
                name="shop_eu",
                kind="shop",
                matches=(Matcher("env", "=", "production"), Matcher("region", "=~", "eu-.+")),
                reading=Secret(("env:SHOP_READING_URL",)),
                writing=Secret(("env:SHOP_WRITING_URL",)),
                http_base="https://shop.example.com:8443",
                http_paths=("/health", "/ready"),
            ),
            "everything": Target("everything", "shop", (), Secret(("env:SHOP_READING_URL",))),
        },
        receivers={
            "on_call": Receiver(
                "on_call",
                "pagerduty",
                "https://events.eu.pagerduty.com",
                Secret(("env:ROUTING_KEY",)),
            ),
            "tickets": Receiver(
                "tickets",
                "webhook",
                "http://127.0.0.1:9000/hook/?team=1",
                Secret(("env:HOOK_NEW", "env:HOOK_OLD")),
            ),
        },
        routes=(
            Route(
                receivers=("on_call", "tickets"),
                matches=(Matcher("team", "=", "shop"),),
                severities=(Severity.P0, Severity.P1),
                page=True,
            ),
            Route(receivers=("tickets",)),
        ),
        rules={"shopify_queue_stuck": RuleSettings(Autonomy.OBSERVE)},
    )


def test_the_address_of_pagerduty_need_not_be_written() -> None:
    found = settings.read(PAGER.format("a"), "responder.toml")
    assert found.receivers["a"].url == "https://events.pagerduty.com"


def test_an_empty_file_is_all_defaults() -> None:
    assert settings.read("", "responder.toml") == Settings(
        database=Secret(("env:DATABASE_URL",)), token_keys=Secret(("file:responder-keys.json",))
    )


PAGER = '[receivers.{}]\ntype = "pagerduty"\nrouting_key = "env:A"\n'
HOOK = '[receivers.{}]\ntype = "webhook"\nurl = "http://h/"\nsecret = "env:B"\n'


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
            PAGER.format("a") + HOOK.format("b") + '[[routes]]\nreceivers = ["b"]',
            (Route(("b",)),),
        ),
    ],
    ids=["no receiver", "a pager", "a webhook", "both", "written ones replace the default"],
)
def test_routes_that_are_not_written(text: str, routes: tuple[Route, ...]) -> None:
    assert settings.read(text, "responder.toml").routes == routes


SECRET = 'a secret is written "env:NAME" or "file:PATH", never the value itself'
TEXT = 'must be text in quotes, "..."'
LIST = "must be a list, [...]"
TABLE = "must be a table, a [heading] with its keys below"
MISSING = "missing; this key must be written"
DURATION = 'must be a duration in quotes, for example "30s", "10m" or "2h"'
BYTES = "must be a number of bytes above 0, without quotes"
NAME = "not a name; write a-z, 0-9, _ and -, with a letter or digit first"
URL = 'must be like "https://host/path", without user and password'
BASE = 'must be like "https://host/path", with nothing behind the path'
AUTONOMY = 'must be one of "observe", "propose", "act"'
SEVERITIES = 'must be one of "P0", "P1", "P2", "P3"'
RECEIVER_TYPE = 'must be one of "pagerduty", "webhook"'


def source(more: str) -> str:
    return f'[sources.s]\ntype = "alertmanager"\nbearer = "env:A"\n{more}'


def target(more: str) -> str:
    return f'[targets.t]\nkind = "shop"\nreading = "env:A"\n{more}'


def matching(more: str) -> str:
    return target(f"matches = []\n{more}")


MISTAKES = [
    # The top of the file.
    ('databse = "env:A"', "databse: unknown key; did you mean database?"),
    ('"a.b" = 1', f'"a.b": unknown key; known are {", ".join(FileKeys().fields)}'),
    ("contacts = {}", f"contacts: unknown key; known are {', '.join(FileKeys().fields)}"),
    ("_schema = 1", "_schema: unknown key"),
    ('database = "postgresql://me:hunter2@db/x"', f"database: {SECRET}"),
    ("database = 5", f"database: {SECRET}"),
    ('database = "env:"', f"database: {SECRET}"),
    ('database = "file:"', f"database: {SECRET}"),
    ('database = "file:a\\u0000b"', f"database: {SECRET}"),
    ('database = "vault:a"', f"database: {SECRET}"),
    (
        "token_keys = []",
        "token_keys: must not be empty; write one secret or several, the newest first",
    ),
    ('token_keys = ["file:a", "hunter2"]', f"token_keys: {SECRET}"),
    ('token_keys = [["env:A"]]', f"token_keys: {SECRET}"),
    ("runbook = 1", f"runbook: {TEXT}"),
    ('public_url = "responder.example.com"', f"public_url: {URL}"),
    ('public_url = "http://h/?a=1"', f"public_url: {BASE}"),
    ('public_url = "http://h/#a"', f"public_url: {BASE}"),
    ('autonomy = "full"', f"autonomy: {AUTONOMY}"),
    ("autonomy = ['act']", f"autonomy: {AUTONOMY}"),
    ("flap_window = 10", f"flap_window: {DURATION}"),
    (
        'flap_window = "ten minutes"',
        'flap_window: not a duration: \'ten minutes\'; write for example "30s", "10m" or "2h"',
    ),
    ('reopen_after = "0s"', "reopen_after: must be longer than 0"),
    ('resolve_after_quiet = "99999999999999d"', "resolve_after_quiet: is too long a duration"),
    ('max_body = "1MB"', f"max_body: {BYTES}"),
    ("max_body = 0", f"max_body: {BYTES}"),
    ("max_body = true", f"max_body: {BYTES}"),
    ("max_body = 1e6", f"max_body: {BYTES}"),
    # Sources.
    ("sources = 1", f"sources: {TABLE}"),
    ("sources = []", f"sources: {TABLE}"),
    ("sources.prod = 1", f"sources.prod: {TABLE}"),
    ('[sources.s]\nbearer = "env:A"', f"sources.s.type: {MISSING}"),
    (
        '[sources.s]\ntype = "nagios"\nbearer = "env:A"',
        'sources.s.type: must be one of "alertmanager"',
    ),
    (
        '[sources.s]\ntype = "alertmanager"',
        "sources.s: needs bearer or basic: without, anybody could send alerts",
    ),
    ('[sources.s]\ntype = "alertmanager"\nbearer = "hunter2"', f"sources.s.bearer: {SECRET}"),
    ('[sources.Prod]\ntype = "alertmanager"\nbearer = "env:A"', f"sources.Prod: {NAME}"),
    (
        source('[sources."a.b c"]\ntype = "alertmanager"\nbearer = "env:A"'),
        f'sources."a.b c": {NAME}',
    ),
    (source('[sources._a]\ntype = "alertmanager"\nbearer = "env:A"'), f"sources._a: {NAME}"),
    (
        source('colour = "red"'),
        "sources.s.colour: unknown key; known are type, bearer, basic, severity, labels",
    ),
    (
        source('severities = {a = "P1"}'),
        "sources.s.severities: unknown key; did you mean severity?",
    ),
    (source("basic = true"), f"sources.s.basic: {TABLE}"),
    (source('basic = {user = "u"}'), f"sources.s.basic.password: {MISSING}"),
    (source('basic = {password = "env:A"}'), f"sources.s.basic.user: {MISSING}"),
    (source('basic = {user = " ", password = "env:A"}'), "sources.s.basic.user: must not be empty"),
    (source('basic = {user = "u", password = "hunter2"}'), f"sources.s.basic.password: {SECRET}"),
    (
        source('basic = {user = "u", pasword = "hunter2", password = "env:A"}'),
        "sources.s.basic.pasword: unknown key; did you mean password?",
    ),
    (source('severity = {worse = "P4"}'), f"sources.s.severity.worse: {SEVERITIES}"),
    (source('severity = {"very bad" = 1}'), f'sources.s.severity."very bad": {SEVERITIES}'),
    (source('severity = "P1"'), f"sources.s.severity: {TABLE}"),
    (
        source('severity = {BAD = "P0", bad = "P3"}'),
        "sources.s.severity: has the same word twice; capitals do not matter",
    ),
    (source("labels = {env = 1}"), f"sources.s.labels.env: {TEXT}"),
    (source("labels = ['env']"), f"sources.s.labels: {TABLE}"),
    # Targets.
    (target(""), "targets.t.matches: missing; write [] if every alert is about this target"),
    (target("matches = 'a=\"b\"'"), f"targets.t.matches: {LIST}"),
    (target("matches = ['a=\"b\"', 1]"), f"targets.t.matches[1]: {TEXT}"),
    (
        target("matches = ['env is production']"),
        "targets.t.matches[0]: not a matcher: 'env is production'; "
        'write name="value", !=, =~ or !~',
    ),
    (
        target("matches = ['a=~\"(\"']"),
        "targets.t.matches[0]: not a regular expression: '(': "
        "missing ), unterminated subpattern at position 0",
    ),
    (
        target("matches = ['a=~\"b{99999999999999999999}\"']"),
        "targets.t.matches[0]: its regular expression is too large",
    ),
    (
        target("matches = ['a=~\"" + "(" * 5000 + ")" * 5000 + "\"']"),
        "targets.t.matches[0]: its regular expression is too large",
    ),
    ('[targets.t]\nmatches = []\nreading = "env:A"', f"targets.t.kind: {MISSING}"),
    ('[targets.t]\nmatches = []\nkind = "shop"', f"targets.t.reading: {MISSING}"),
    (
        '[targets.t]\nmatches = []\nkind = ""\nreading = "env:A"',
        "targets.t.kind: must not be empty",
    ),
    (matching('writing = "postgresql://me:hunter2@h/x"'), f"targets.t.writing: {SECRET}"),
    (matching('http = {base = "http://h"}'), f"targets.t.http.paths: {MISSING}"),
    (
        matching('http = {base = "http://h", paths = []}'),
        "targets.t.http.paths: must not be empty",
    ),
    (
        matching('http = {base = "http://h", paths = ["health"]}'),
        'targets.t.http.paths[0]: must be a path such as "/health"',
    ),
    (matching('http = {base = "ftp://h", paths = ["/"]}'), f"targets.t.http.base: {URL}"),
    (
        matching('http = {base = "http://me:hunter2@h", paths = ["/"]}'),
        f"targets.t.http.base: {URL}",
    ),
    # Receivers.
    ('[receivers.r]\nurl = "http://h"', f"receivers.r.type: {RECEIVER_TYPE}"),
    ('[receivers.r]\ntype = "slack"', f"receivers.r.type: {RECEIVER_TYPE}"),
    ("[receivers.r]\ntype = []", f"receivers.r.type: {RECEIVER_TYPE}"),
    ("receivers = {r = 1}", f"receivers.r: {TABLE}"),
    ('[receivers.r]\ntype = "pagerduty"', f"receivers.r.routing_key: {MISSING}"),
    (PAGER.format("R"), f"receivers.R: {NAME}"),
    (
        '[receivers.r]\ntype = "pagerduty"\nrouting_key = "hunter2"',
        f"receivers.r.routing_key: {SECRET}",
    ),
    (
        PAGER.format("r") + 'secret = "env:A"',
        "receivers.r.secret: unknown key; known are type, routing_key, url",
    ),
    (PAGER.format("r") + 'url = "http://h/?a"', f"receivers.r.url: {BASE}"),
    ('[receivers.r]\ntype = "webhook"\nsecret = "env:A"', f"receivers.r.url: {MISSING}"),
    ('[receivers.r]\ntype = "webhook"\nurl = "http://h"', f"receivers.r.secret: {MISSING}"),
    (
        '[receivers.r]\ntype = "webhook"\nsecret = "env:A"\nurl = "http://me:hunter2@h/"',
        f"receivers.r.url: {URL}",
    ),
    (
        HOOK.format("r") + 'routing_key = "env:A"',
        "receivers.r.routing_key: unknown key; known are type, url, secret",
    ),
    # Routes and rules.
    ("[routes]", f"routes: {LIST}"),
    ("routes = [1]", f"routes[0]: {TABLE}"),
    ("[[routes]]", f"routes[0].receivers: {MISSING}"),
    ("[[routes]]\nreceivers = []", "routes[0].receivers: must not be empty"),
    (
        '[[routes]]\nreceivers = ["r"]',
        "routes[0].receivers[0]: there is no receiver 'r'; known are none",
    ),
    (
        PAGER.format("a") + HOOK.format("b") + '[[routes]]\nreceivers = ["a", "c"]',
        "routes[0].receivers[1]: there is no receiver 'c'; known are a, b",
    ),
    (PAGER.format("a") + "[[routes]]\nreceivers = [1]", f"routes[0].receivers[0]: {TEXT}"),
    (
        PAGER.format("a") + '[[routes]]\nreceivers = ["a"]\n[[routes]]\nreceivers = "a"',
        f"routes[1].receivers: {LIST}",
    ),
    (
        PAGER.format("a") + '[[routes]]\nreceivers = ["a"]\nseverity = ["P1", "p2"]',
        f"routes[0].severity[1]: {SEVERITIES}",
    ),
    (
        PAGER.format("a") + '[[routes]]\nreceivers = ["a"]\nseverity = []',
        "routes[0].severity: must not be empty",
    ),
    (
        PAGER.format("a") + '[[routes]]\nreceivers = ["a"]\npage = "yes"',
        "routes[0].page: must be true or false, without quotes",
    ),
    ('[rules.r]\nautonomy = "P1"', f"rules.r.autonomy: {AUTONOMY}"),
    ('[rules.r]\nautonmy = "act"', "rules.r.autonmy: unknown key; did you mean autonomy?"),
    # Not TOML at all.
    ("\nmax_body = ", "responder.toml: not TOML: Invalid value (at end of document)"),
    (
        "a = 1\nb : 2",
        "responder.toml: not TOML: "
        "Expected '=' after a key in a key/value pair (at line 2, column 3)",
    ),
    ("a = " + "[" * 100_000, "responder.toml: brackets in brackets, too deep"),
]


def mistakes_in(text: str) -> list[str]:
    with pytest.raises(settings.SettingsWrong) as wrong:
        settings.read(text, "responder.toml")
    assert "hunter2" not in str(wrong.value)
    return wrong.value.mistakes


@pytest.mark.parametrize(("text", "mistake"), MISTAKES, ids=[mistake for _, mistake in MISTAKES])
def test_a_mistake_is_told_with_its_key_and_without_the_secret(text: str, mistake: str) -> None:
    assert mistakes_in(text) == [mistake]


def test_ten_mistakes_are_told_at_once() -> None:
    text = """
    autonomy = "full"
    max_bodies = 1
    [sources.Prod]
    type = "nagios"
    basic = {user = "", password = "hunter2"}
    [targets.shop]
    kind = "shop"
    [receivers.pager]
    type = "pagerduty"
    [[routes]]
    receivers = ["pager", "nobody"]
    page = 1
    """
    assert sorted(mistakes_in(text)) == [
        f"autonomy: {AUTONOMY}",
        "max_bodies: unknown key; did you mean max_body?",
        f"receivers.pager.routing_key: {MISSING}",
        "routes[0].page: must be true or false, without quotes",
        "routes[0].receivers[1]: there is no receiver 'nobody'; known are pager",
        f"sources.Prod.basic.password: {SECRET}",
        "sources.Prod.basic.user: must not be empty",
        'sources.Prod.type: must be one of "alertmanager"',
        f"sources.Prod: {NAME}",
        "targets.shop.matches: missing; write [] if every alert is about this target",
        f"targets.shop.reading: {MISSING}",
    ]


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
    [receivers.p]
    type = "pagerduty"
    routing_key = "env:ABSENT"
    [receivers.w]
    type = "webhook"
    url = "http://h"
    secret = "env:ABSENT"
    """
    absent = "the environment variable ABSENT is not set"
    assert settings.unreadable_secrets(settings.read(text, "responder.toml")) == [
        f"token_keys: the file {tmp_path}/absent cannot be read: No such file or directory",
        f"sources.s.bearer: {absent}",
        "sources.s.bearer: env:EMPTY is empty",
        f"sources.s.basic.password: {absent}",
        f"targets.t.reading: the file {tmp_path}/latin is not UTF-8 text",
        f"targets.t.writing: {absent}",
        f"receivers.p.routing_key: {absent}",
        f"receivers.w.secret: {absent}",
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
    "http://h",
    "/health",
    "act",
    "r",
]
KNOWN_KEYS = sorted({key.split(".")[-1] for keys in SECTIONS.values() for key in keys} | {"r"})
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


# docs/settings.md


def rows_under(heading: str) -> list[tuple[str, str, str]]:
    """(key, default, example) of each row of the page's table under this heading."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `(.+?)` \| (.+?) \| `(.+?)` \| ", section, re.MULTILINE)


def test_the_page_has_a_heading_for_each_table() -> None:
    assert re.findall(r"^## (.+)$", PAGE, re.MULTILINE) == list(SECTIONS)


@pytest.mark.parametrize("heading", SECTIONS)
def test_the_page_has_every_key_and_no_other(heading: str) -> None:
    assert [key for key, _, _ in rows_under(heading)] == SECTIONS[heading]


@pytest.mark.parametrize(
    ("key", "default"),
    [
        (key, literal[1])
        for key, default, _ in rows_under(TOP)
        if (literal := re.match("`(.+?)`", default))
    ],
)
def test_the_page_has_the_right_defaults(key: str, default: str) -> None:
    assert settings.read(f"{key} = {default}", "the page") == settings.read("", "the page")


@pytest.mark.parametrize("dotted", [False, True], ids=["inline tables", "dotted keys"])
def test_the_examples_of_the_page_are_valid(dotted: bool) -> None:
    names = {"pagerduty": "on_call", "webhook": "tickets"}
    lines = []
    for heading, keys in SECTIONS.items():
        kind = heading.partition("type `")[2].rstrip("`")
        if heading != TOP:
            lines.append(heading.split("`")[1].replace("<name>", names.get(kind, "some")))
        parents = {key.partition(".")[0] for key in keys if "." in key}
        for key, _, written in rows_under(heading):
            if key not in parents if dotted else "." not in key:
                lines.append(written)
    settings.read("\n".join(lines), "the examples")


def test_the_smallest_file_of_the_page_is_valid() -> None:
    (block,) = re.findall(r"```toml\n(.+?)```", PAGE, re.DOTALL)
    found = settings.read(block, "the page")
    assert (len(found.sources), len(found.targets), len(found.routes)) == (1, 1, 1)


def test_the_mistakes_that_the_page_shows_are_ours() -> None:
    (block,) = re.findall(r"```\n(responder.toml cannot .+?)\n```", PAGE, re.DOTALL)
    with pytest.raises(settings.SettingsWrong) as wrong:
        settings.read(
            """
            [sources.prod]
            type = "alertmanager"
            bearer = "hunter2"
            colour = "red"
            [targets.shop_eu]
            kind = "shop"
            matches = ["env is production"]
            reading = "env:A"
            """,
            "responder.toml",
        )
    assert str(wrong.value) == block
