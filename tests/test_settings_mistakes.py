"""Every mistake in responder.toml is told, at once, with its key, and without a secret."""

import pytest

from responder import settings
from responder.settings.schema import FileKeys
from tests.settings_files import (
    HOOK,
    MAIL,
    NOTES,
    PAGER,
    SLACK,
    generic,
    grafana,
    matching,
    pagerduty,
    source,
    target,
)

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
SOURCE_TYPE = 'must be one of "alertmanager", "grafana", "pagerduty", "generic"'
RECEIVER_TYPE = 'must be one of "pagerduty", "pagerduty_notes", "slack", "email", "webhook"'
COUNT = "must be a whole number above 0, without quotes"
HEADER = 'must be the name of a header, such as "X-Signature"'
POINTER = 'must be a JSON pointer, such as "/monitor/name" or "" for the whole'
ADDRESS = 'must be an address such as "on-call@example.com"'
SERVER = 'must be like "smtp.example.com:587"'
EMPTY = "must not be empty"
ANYBODY = "without, anybody could send alerts"
NOBODY = "wakes nobody: it writes notes for those who are awake"
COUNTS = ("0", "-1", "1.5", "true", '"20"')
MANY = "{" + ", ".join(f'l{number} = "/a"' for number in range(41)) + "}"


def mail_with(key: str, value: str) -> str:
    """The smallest mail receiver with one more or other value."""
    lines = [line for line in MAIL.format("r").splitlines() if not line.startswith(f"{key} =")]
    password = ['password = "env:A"'] if key == "user" else []
    return "\n".join([*lines, f"{key} = {value}", *password])


MISTAKES = [
    # The top of the file.
    ('databse = "env:A"', "databse: unknown key; did you mean database?"),
    ('"a.b" = 1', f'"a.b": unknown key; known are {", ".join(FileKeys().fields)}'),
    ("people = {}", f"people: unknown key; known are {', '.join(FileKeys().fields)}"),
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
    ("[vault]\nkeys = 'hunter2'", f"vault.keys: {SECRET}"),
    ("[vault]\nraw_days = 0", "vault.raw_days: must be a whole number above 0, without quotes"),
    (
        "[redact]\ncolumns = ['ID']",
        "redact.columns[0]: must not be id, by which rows are told apart",
    ),
    ("[redact]\nlabels = ['']", "redact.labels[0]: must not be empty"),
    (
        "[redact]\npatterns = {x = '('}",
        "redact.patterns.x: not a regular expression: '(': missing ), unterminated subpattern at"
        " position 0",
    ),
    (
        "[redact]\npatterns = {x = 'a*'}",
        "redact.patterns.x: matches the empty text, so it would be found everywhere",
    ),
    (
        "[redact]\npatterns = {x = 'a{99999999999}'}",
        "redact.patterns.x: is too large a regular expression",
    ),
    (
        f"[redact]\npatterns = {{x = '{'a' * 501}'}}",
        "redact.patterns.x: must be at most 500 characters",
    ),
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
    ('[sources.s]\nbearer = "env:A"', f"sources.s.type: {SOURCE_TYPE}"),
    (
        '[sources.s]\ntype = "nagios"\nbearer = "env:A"',
        f"sources.s.type: {SOURCE_TYPE}",
    ),
    (
        '[sources.s]\ntype = "alertmanager"',
        f"sources.s: needs bearer or basic: {ANYBODY}",
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
        "sources.s.colour: unknown key; "
        "known are type, severity, labels, wait, per_minute, bearer, basic",
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
    (source(f"labels = {MANY}"), "sources.s.labels: must be at most 40"),
    (source("wait = 10"), f"sources.s.wait: {DURATION}"),
    (source('wait = "31s"'), "sources.s.wait: must be at most 30s"),
    (source('wait = "0s"'), "sources.s.wait: must be longer than 0"),
    *[(source(f"per_minute = {number}"), f"sources.s.per_minute: {COUNT}") for number in COUNTS],
    (
        source('secret = "env:A"'),
        "sources.s.secret: unknown key; "
        "known are type, severity, labels, wait, per_minute, bearer, basic",
    ),
    # Grafana.
    (grafana(""), f"sources.g: needs bearer, basic or secret: {ANYBODY}"),
    (grafana('secret = "hunter2"'), f"sources.g.secret: {SECRET}"),
    (
        grafana('secret = "env:A"\nsignature_header = "X Y"'),
        f"sources.g.signature_header: {HEADER}",
    ),
    (grafana('secret = "env:A"\nsignature_header = 1'), f"sources.g.signature_header: {HEADER}"),
    (grafana('secret = "env:A"\ntimestamp_header = ""'), f"sources.g.timestamp_header: {HEADER}"),
    *[
        (
            grafana(f'bearer = "env:A"\n{key} = "X-Y"'),
            f"sources.g.{key}: is of no use without secret",
        )
        for key in ("signature_header", "timestamp_header")
    ],
    (
        grafana('secret = "env:A"\ntitle_pattern = "a"'),
        "sources.g.title_pattern: unknown key; known are type, severity, labels, wait, "
        "per_minute, bearer, basic, secret, signature_header, timestamp_header",
    ),
    # PagerDuty.
    ('[sources.p]\ntype = "pagerduty"', f"sources.p.secret: {MISSING}"),
    (pagerduty('token = "hunter2"'), f"sources.p.token: {SECRET}"),
    (pagerduty('url = "https://me:hunter2@h"'), f"sources.p.url: {URL}"),
    (pagerduty("title_pattern = 1"), f"sources.p.title_pattern: {TEXT}"),
    (pagerduty('title_pattern = ""'), f"sources.p.title_pattern: {EMPTY}"),
    (
        pagerduty("title_pattern = '(?P<a>'"),
        "sources.p.title_pattern: not a regular expression: '(?P<a>': "
        "missing ), unterminated subpattern at position 0",
    ),
    (
        pagerduty("title_pattern = '(?P<a>b{99999999999999999999})'"),
        "sources.p.title_pattern: is too large a regular expression",
    ),
    (
        pagerduty("title_pattern = '" + "(" * 5000 + ")" * 5000 + "'"),
        "sources.p.title_pattern: is too large a regular expression",
    ),
    (
        pagerduty("title_pattern = '(.+) on .+'"),
        "sources.p.title_pattern: has no named group, such as (?P<alertname>.+)",
    ),
    (
        pagerduty('bearer = "env:A"'),
        "sources.p.bearer: unknown key; known are type, severity, labels, wait, per_minute, "
        "secret, title_pattern, token, url",
    ),
    # Any JSON.
    (
        '[sources.j]\ntype = "generic"\nfields = {name = "/a"}',
        f"sources.j: needs bearer, basic or secret: {ANYBODY}",
    ),
    ('[sources.j]\ntype = "generic"\nbearer = "env:A"', f"sources.j.fields: {MISSING}"),
    ('[sources.j]\ntype = "generic"\nbearer = "env:A"\nfields = 1', f"sources.j.fields: {TABLE}"),
    (
        generic("", 'title = "/a"'),
        "sources.j: needs fields.name, or labels.alertname for all of them",
    ),
    (
        generic('labels = {alertname = " "}', ""),
        "sources.j: needs fields.name, or labels.alertname for all of them",
    ),
    (
        generic("", 'nmae = "/a"\nname = "/a"'),
        "sources.j.fields.nmae: unknown key; did you mean name?",
    ),
    (
        generic("feelds = {}"),
        "sources.j.feelds: unknown key; did you mean fields?",
    ),
    (generic("fields_ = {}"), "sources.j.fields_: unknown key; did you mean fields?"),
    (
        generic("colour = 1"),
        "sources.j.colour: unknown key; known are type, severity, labels, wait, per_minute, "
        "bearer, basic, secret, fields",
    ),
    *[
        (generic("", f'name = "/a"\n{key} = {written}'), f"sources.j.fields.{key}: {POINTER}")
        for key, written in [
            ("alerts", '"data/alerts"'),
            ("alerts", '["/data", "/alerts"]'),
            ("title", '"#/title"'),
            ("title", '"/a~2b"'),
            ("title", '"/a~"'),
            ("status", '["/status", 1]'),
            ("status", "{}"),
            ("link", "true"),
            ("labels.host", '"host"'),
        ]
    ],
    (
        generic("", "name = []"),
        "sources.j.fields.name: must not be empty; write one JSON pointer or several",
    ),
    (generic("", 'name = "/a"\nlabels = "/labels"'), f"sources.j.fields.labels: {TABLE}"),
    (
        generic("", f'name = "/a"\nlabels = {MANY}'),
        "sources.j.fields.labels: must be at most 40",
    ),
    *[
        (
            generic("", f'name = "/a"\nstatus = "/s"\n{key} = {written}'),
            f"sources.j.fields.{key}{wrong}",
        )
        for key in ("resolved", "firing", "ignored")
        for written, wrong in [
            ('"up"', f": {LIST}"),
            ("[]", f": {EMPTY}"),
            ('["up", " "]', f"[1]: {EMPTY}"),
            ("[1]", f"[0]: {TEXT}"),
        ]
    ],
    *[
        (
            generic("", f'name = "/a"\n{key} = ["up"]'),
            f"sources.j.fields.{key}: is of no use without status",
        )
        for key in ("resolved", "firing", "ignored")
    ],
    (
        generic("", 'name = "/a"\nstatus = "/s"\nfiring = ["up", "UP"]\nignored = [" Up "]'),
        "sources.j.fields: has 'up' in two lists of words",
    ),
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
    (matching("claims = {}"), "targets.t.claims: must not be empty"),
    (matching("claims = {sub = 7}"), f"targets.t.claims.sub: {TEXT}"),
    (matching('writing = "postgresql://me:hunter2@h/x"'), f"targets.t.writing: {SECRET}"),
    (matching('direct_url = "postgresql://me:hunter2@h/x"'), f"targets.t.direct_url: {SECRET}"),
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
    ('[receivers.r]\ntype = "teams"', f"receivers.r.type: {RECEIVER_TYPE}"),
    ("[receivers.r]\ntype = []", f"receivers.r.type: {RECEIVER_TYPE}"),
    ("receivers = {r = 1}", f"receivers.r: {TABLE}"),
    (PAGER.format("R"), f"receivers.R: {NAME}"),
    *[
        (f'[receivers.r]\ntype = "{kind}"\n{others}', f"receivers.r.{key}: {MISSING}")
        for kind, key, others in [
            ("pagerduty", "routing_key", ""),
            ("pagerduty_notes", "token", 'from = "a@b.example"'),
            ("pagerduty_notes", "from", 'token = "env:A"'),
            ("slack", "webhook_url", ""),
            ("email", "server", 'from = "a@b.example"\nto = ["a@b.example"]'),
            ("email", "from", 'server = "h:25"\nto = ["a@b.example"]'),
            ("email", "to", 'server = "h:25"\nfrom = "a@b.example"'),
            ("webhook", "url", 'secret = "env:A"'),
            ("webhook", "secret", 'url = "http://h"'),
        ]
    ],
    *[
        (
            f'[receivers.r]\ntype = "{kind}"\n{others}\n{key} = "hunter2"',
            f"receivers.r.{key}: {SECRET}",
        )
        for kind, key, others in [
            ("pagerduty", "routing_key", ""),
            ("pagerduty_notes", "token", 'from = "a@b.example"'),
            ("slack", "webhook_url", ""),
            ("webhook", "secret", 'url = "http://h"'),
        ]
    ],
    (
        '[receivers.r]\ntype = "slack"\nwebhook_url = "https://hooks.slack.example/T/B/hunter2"',
        f"receivers.r.webhook_url: {SECRET}",
    ),
    *[
        (smallest.format("r") + f"per_minute = {number}", f"receivers.r.per_minute: {COUNT}")
        for smallest in (PAGER, NOTES, SLACK, MAIL, HOOK)
        for number in COUNTS
    ],
    (
        PAGER.format("r") + 'secret = "env:A"',
        "receivers.r.secret: unknown key; known are type, "
        "per_minute, fallback, escalates, routing_key, url",
    ),
    (PAGER.format("r") + 'url = "http://h/?a"', f"receivers.r.url: {BASE}"),
    (
        NOTES.format("r") + 'sender = "a@b.example"',
        "receivers.r.sender: unknown key; known are type, per_minute, token, from, url",
    ),
    (
        NOTES.format("r") + 'fallback = "p"\n' + PAGER.format("p"),
        "receivers.r.fallback: unknown key; known are type, per_minute, token, from, url",
    ),
    (NOTES.format("r") + 'url = "http://h/?a"', f"receivers.r.url: {BASE}"),
    *[
        (text, f"receivers.r.{key}: {wrong}")
        for key, wrong, values in [
            (
                "from",
                ADDRESS,
                ["1", '"on-call"', '"a@b@c"', '"A <a@b.example>"', '"a@b\\r\\nTo: c@d"'],
            ),
            ("to[0]", ADDRESS, ["[1]", '["on-call"]', '["a@b, c@d"]']),
            ("to", LIST, ['"a@b.example"']),
            ("to", EMPTY, ["[]"]),
            (
                "server",
                SERVER,
                ["587", '"smtp.example"', '"smtp.example:0"', '"h:65536"', '"u@h:25"'],
            ),
            ("security", 'must be one of "starttls", "tls", "none"', ['"ssl"', "false", "[]"]),
            ("user", EMPTY, ['" "']),
        ]
        for value in values
        for text in [mail_with(key.partition("[")[0], value)]
    ],
    (MAIL.format("r") + 'user = "me"\npassword = "hunter2"', f"receivers.r.password: {SECRET}"),
    *[
        (MAIL.format("r") + alone, "receivers.r: needs both user and password, or neither")
        for alone in ('user = "me"', 'password = "env:A"')
    ],
    (
        MAIL.format("r") + 'form = "a@b.example"',
        "receivers.r.form: unknown key; did you mean from?",
    ),
    (
        '[receivers.r]\ntype = "webhook"\nsecret = "env:A"\nurl = "http://me:hunter2@h/"',
        f"receivers.r.url: {URL}",
    ),
    (
        HOOK.format("r") + 'routing_key = "env:A"',
        "receivers.r.routing_key: unknown key; known are type, "
        "per_minute, fallback, escalates, url, secret",
    ),
    (
        '[sources.responder]\ntype = "alertmanager"\nbearer = "env:A"',
        "sources.responder: is what our own alerts come from; choose another name",
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
    (
        PAGER.format("a") + NOTES.format("n") + '[[routes]]\nreceivers = ["a", "n"]\npage = true',
        f"routes[0].receivers[1]: 'n' {NOBODY}",
    ),
    # Fallbacks, last resort and dead man.
    (PAGER.format("a") + "fallback = 1", f"receivers.a.fallback: {TEXT}"),
    (
        PAGER.format("a") + 'fallback = "b"',
        "receivers.a.fallback: there is no receiver 'b'; known are a",
    ),
    (
        PAGER.format("a") + 'fallback = "n"\n' + NOTES.format("n"),
        f"receivers.a.fallback: 'n' {NOBODY}",
    ),
    (
        PAGER.format("a") + 'fallback = "a"',
        "receivers.a.fallback: goes in a circle: a -> a",
    ),
    (
        PAGER.format("a") + 'fallback = "b"\n' + SLACK.format("b") + 'fallback = "a"',
        "receivers.a.fallback: goes in a circle: a -> b -> a",
    ),
    (
        HOOK.format("x")
        + 'fallback = "a"\n'
        + PAGER.format("a")
        + 'fallback = "b"\n'
        + SLACK.format("b")
        + 'fallback = "c"\n'
        + MAIL.format("c")
        + 'fallback = "a"',
        "receivers.a.fallback: goes in a circle: a -> b -> c -> a",
    ),
    ("last_resort = []", f"last_resort: {TABLE}"),
    ("[last_resort]", f"last_resort.receivers: {MISSING}"),
    ("[last_resort]\nreceivers = []", f"last_resort.receivers: {EMPTY}"),
    ('[last_resort]\nreceivers = "a"', f"last_resort.receivers: {LIST}"),
    ("[last_resort]\nreceivers = [1]", f"last_resort.receivers[0]: {TEXT}"),
    (
        PAGER.format("a") + '[last_resort]\nreceivers = ["a", "b"]',
        "last_resort.receivers[1]: there is no receiver 'b'; known are a",
    ),
    (
        NOTES.format("n") + '[last_resort]\nreceivers = ["n"]',
        f"last_resort.receivers[0]: 'n' {NOBODY}",
    ),
    ("digest = []", f"digest: {TABLE}"),
    ("[digest]", f"digest.receivers: {MISSING}"),
    (
        '[digest]\nreceivers = ["b"]',
        "digest.receivers[0]: there is no receiver 'b'; known are none",
    ),
    (
        PAGER.format("a") + '[digest]\nreceivers = ["a"]',
        "digest.receivers[0]: 'a' tells of incidents alone; take a slack, an email or a webhook",
    ),
    ("[dead_man]", f"dead_man.url: {MISSING}"),
    ('[dead_man]\nurl = "https://ping.example/hunter2"', f"dead_man.url: {SECRET}"),
    ('[dead_man]\nurl = "env:A"\nevery = 60', f"dead_man.every: {DURATION}"),
    ('[dead_man]\nurl = "env:A"\nevery = "0s"', "dead_man.every: must be longer than 0"),
    (
        '[dead_man]\nurl = "env:A"\nevry = "1m"',
        "dead_man.evry: unknown key; did you mean every?",
    ),
    ('[retention]\ndeliveries = "6d"', "retention.deliveries: must be 7d or longer"),
    ('[retention]\naudit = "4w"', "retention.audit: must be 30d or longer"),
    ("[retention]\naudit = 400", f"retention.audit: {DURATION}"),
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
    type = "alertmanager"
    basic = {user = "", password = "hunter2"}
    wait = "1m"
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
        "sources.Prod.wait: must be at most 30s",
        f"sources.Prod: {NAME}",
        "targets.shop.matches: missing; write [] if every alert is about this target",
        f"targets.shop.reading: {MISSING}",
    ]
