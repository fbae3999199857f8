"""Promise 9: what was put in wherever data can enter is found nowhere afterwards, but encrypted.

Every text of every sender's payload, rows and words of a target, a web endpoint's answer, the rows
of a fix, a receiver's refusal and a person's note each carry a secret and a personal datum.
"""

import copy
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from psycopg import sql

from responder.cli import main
from responder.domain.actor import Actor, ActorKind
from responder.domain.redaction import Redaction
from responder.domain.secret import Secret
from responder.outbound import Undelivered
from responder.pipeline.accept import accept
from responder.pipeline.images import read_image
from responder.pipeline.people import note
from responder.runbook.loader import load
from responder.sources import Request, Unreadable
from responder.web import create_app
from tests.house import House, alert
from tests.senders import SENDERS, sources, told
from tests.small_rules import TABLE
from tests.walks import fixes
from tests.web.conftest import Tokens

ANN = Actor(ActorKind.PERSON, "ann")
#: What no text may have in it afterwards. Put together, so that no scanner takes it for a leak.
SECRET, PERSON = "sk_live_" + "CANARY0000", "canary-person"
POISON = f"{SECRET}{{n}} {PERSON}-{{n}}@example.com"
MODULE = '''"""Thing is wrong.

Symptoms: a test.
Prevention: none.
"""

from responder.runbook import Finding, Http, Label, Option, Rule, Sql, Within


class Canary(Rule):
    answers = ['alertname="Thing"']
    target = "shop"
    key = ()
    diagnostics = [
        Sql("wrong", "What is wrong?"),
        Sql("fails", "What does it say?"),
        Http("web", "Does it answer?", "/health", method="GET"),
    ]
    options = [
        Option(
            "mend", "Mend it", automatic=True, changes=("thing",), max_rows=5,
            verify=Within("2m", every="30s"), undo=True,
        )
    ]

    def conclude(self, case):
        rows = case["wrong"].rows
        if rows:
            said = f"{rows[0]['note']} {case['fails'].error.message} {case.alert.title}"
            yield Finding("wrong", said, rows=rows, offers=("mend",))
'''
STATEMENTS = {
    "wrong": "SELECT * FROM thing WHERE state = 'bad'",
    "fails": "SELECT note::int FROM thing WHERE state = 'bad'",
    "mend_before": "SELECT * FROM thing WHERE state = 'bad' FOR UPDATE",
    "mend": "UPDATE thing SET state = 'good' WHERE state = 'bad' RETURNING *",
    "mend_verify": "SELECT NOT EXISTS (SELECT FROM thing WHERE state = 'bad') AS gone",
    "mend_undo": """UPDATE thing t SET state = b.state
        FROM jsonb_populate_recordset(NULL::thing, %(before)s) b
        WHERE t.id = b.id
          AND to_jsonb(t)::text IN (SELECT value::text FROM jsonb_array_elements(%(after)s))
        RETURNING t.*""",
}
COLUMNS = f"""
ALTER TABLE thing ADD note text DEFAULT '{POISON.format(n=1)}',
    ADD "Email" text DEFAULT '{PERSON}-2@example.com',
    ADD doc jsonb DEFAULT '{{"a": [{{"email": "{PERSON}-3"}}], "{SECRET}3": "x",
        "said": "{{\\"EMAIL\\": \\"{PERSON}-4\\"}}", "password": "{PERSON}-5"}}'
"""
COMPLAINT = """
CREATE FUNCTION complain() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'it is not so: %', NEW.note; END $$;
CREATE TRIGGER complain BEFORE UPDATE ON thing FOR EACH ROW EXECUTE FUNCTION complain();
"""
REDACT = Redaction(
    columns=("email",),
    labels=("customer",),
    patterns={"person": rf"{PERSON}-[0-9]{{1,9}}(?:@example\.com)?"},
)
TABLES = """
SELECT n.nspname AS schema, c.relname AS name
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname IN ('responder', 'responder_jobs') AND c.relkind = 'r'
"""


class _Web(BaseHTTPRequestHandler):
    """The shop's health, with what should not be in it."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"said": POISON.format(n=6), "email": f"{PERSON}-7"}).encode())

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def web() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Web)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def house(make_house: Callable[..., House], key_file: Path, web: str, tmp_path: Path) -> House:
    """A rule that repeats whatever it sees, over a shop full of canaries."""
    root = tmp_path / "runbook"
    statements = [f"-- name: {name}\n-- A test.\n{text};" for name, text in STATEMENTS.items()]
    for place, text in {
        "rules/p2/canary.py": MODULE,
        "sql/rules/canary.sql": "\n\n".join(statements),
    }.items():
        (root / place).parent.mkdir(parents=True)
        (root / place).write_text(text)
    (rule,) = load(root)
    made = make_house([rule], token_keys=Secret((f"file:{key_file}",)), redact=REDACT)
    target = made.services.settings.targets["shop_eu"]
    more = {"http_base": web, "http_paths": ("/health",), "redact": REDACT}
    made.with_settings(
        targets={"shop_eu": replace(target, **more)},
        sources={**made.services.settings.sources, **sources(tmp_path)},
    )
    made.shop.run(TABLE)
    made.shop.run(COLUMNS)
    made.promote(rule)
    return made


def leaves(payload: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each text of a payload."""
    if isinstance(payload, dict | list):
        pairs = payload.items() if isinstance(payload, dict) else enumerate(payload)
        for key, value in pairs:
            yield from leaves(value, (*way, key))
    elif isinstance(payload, str):
        yield way


def poisoned(payload: Any) -> Iterator[Any]:
    """The payload once for each of its texts, with a canary in that; each is another delivery."""
    for way, n in zip(leaves(payload), count(100)):
        changed = copy.deepcopy(payload)
        inner = changed
        for key in way[:-1]:
            inner = inner[key]
        inner[way[-1]] += " " + POISON.format(n=n)
        if "event" in changed:
            changed["event"]["id"] += f"{n}-{SECRET}10"
        yield changed


def post_everything(house: House) -> set[str]:
    """Each sender's alert, with a canary in each text in turn; returns whose were taken."""
    taken: Counter[str] = Counter()
    for sender in SENDERS:
        more = {"customer": f"{PERSON}-8", "plan": POISON.format(n=9)}
        payload = sender.alerts("Thing", severity="critical", **more)
        for each in payload.get("alerts", []):
            each |= {"generatorURL": f"https://graph.example/{SECRET}19", "valueString": "x"}
            each["annotations"] |= {
                "description": "x",
                "runbook_url": f"https://wiki.example/{SECRET}20",
            }
        for n, body in enumerate(map(told, poisoned(payload))):
            signed = sender.headers(body, f"m{n}-{SECRET}10") | {"user-agent": POISON.format(n=11)}
            headers = {name.lower(): value for name, value in signed.items()}
            with suppress(Unreadable):
                request = Request(headers, body, datetime.now(UTC))
                accepted = accept(house.services, sender.name, request)
                taken[f"{sender.name} {accepted.outcome}"] += 1
    return {name for name, times in taken.items() if times >= 5}


def kept(house: House) -> bytes:
    """Every row of every table of ours as text, and the bytes in it as they are."""
    found = ""
    with house.services.store.transaction() as tx:
        for table in tx.connection.execute(TABLES).fetchall():
            name = sql.Identifier(table["schema"], table["name"])
            rows = tx.connection.execute(sql.SQL("SELECT t::text AS row FROM {} t").format(name))
            found += "".join(row["row"] for row in rows)
    binary = [bytes.fromhex(digits) for digits in re.findall(r"\\x((?:[0-9a-f]{2})+)", found)]
    return b"".join([found.encode(), *binary])


def answered(house: House, client: FlaskClient, tokens: Tokens) -> bytes:
    """All that a viewer can read."""
    ids = {
        "incidents": house.sql("SELECT id FROM incident"),
        "deliveries": house.sql("SELECT id FROM delivery"),
        "fixes": house.sql("SELECT id FROM fix"),
    }
    paths = [
        "/metrics",
        "/v1/rules",
        "/v1/autofix",
        "/v1/incidents?limit=200",
        "/v1/deliveries?limit=200",
    ]
    paths += [f"/v1/{kind}/{row['id']}" for kind, rows in ids.items() for row in rows]
    paths += [f"/v1/incidents/{row['id']}/events" for row in ids["incidents"]]
    answers = [client.get(path, headers=tokens["viewer"]) for path in paths]
    assert {answer.status_code for answer in answers} == {200}
    return b"".join(answer.data for answer in answers)


def printed(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """What the commands print that read."""
    config = tmp_path / "responder.toml"
    monkeypatch.setenv("CLI_DATABASE", house.services.store.url)
    config.write_text('database = "env:CLI_DATABASE"\n[vault]\nkeys = "env:TEST_VAULT"\n')
    (first,) = house.sql("SELECT id FROM incident ORDER BY id LIMIT 1")
    lists = ("incidents", "deliveries", "fixes", "notifications")
    commands = [[each, "list", "--json"] for each in lists]
    commands.append(["incidents", "show", str(first["id"])])
    results = [CliRunner().invoke(main, [*each, "--config", str(config)]) for each in commands]
    assert [each.exit_code for each in results] == [0] * len(commands), results
    return "".join(each.output for each in results).encode()


def test_canaries_are_found_nowhere(
    house: House,
    tokens: Tokens,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    client = create_app(house.services).test_client()
    house.hook.fails = Undelivered(f"answered 500: {POISON.format(n=12)}", permanent=False)
    house.pager.fails = Undelivered(f"answered 400: {POISON.format(n=13)}", permanent=True)
    first = house.post(alert("Thing", customer=f"{PERSON}-14", why=POISON.format(n=15)))
    house.settle()
    incident = house.incident()
    (fix,) = fixes(house)
    assert (fix["status"], fix["verification"]) == ("committed", "held"), fix["reason"]
    assert note(house.services, incident.id, ANN, POISON.format(n=16))
    house.shop.run("UPDATE thing SET state = 'bad' WHERE id = 2")
    house.shop.run(COMPLAINT)
    asked = {"option": "mend", "seen": str(incident.decision_id)}
    place = f"/v1/incidents/{incident.id}/fixes"
    assert client.post(place, json=asked, headers=tokens["operator"]).status_code == 202
    house.settle()
    failed = fixes(house)[-1]
    assert failed["status"] == "rolled_back" and "[redacted: person]" in failed["reason"]
    assert post_everything(house) == {f"{sender.name} accepted" for sender in SENDERS}
    client.post(f"/v1/webhooks/{SECRET}17", json=[POISON.format(n=18)])
    house.settle()
    house.hook.fails = house.pager.fails = None
    house.later(timedelta(minutes=5))
    house.send()
    found = {
        "our database": kept(house),
        "messages": json.dumps([m.document for m in (*house.pager.got, *house.hook.got)]).encode(),
        "the API": answered(house, client, tokens),
        "the commands": printed(house, tmp_path, monkeypatch),
        "the log": "".join(capfd.readouterr()).encode(),
    }
    for place, told_there in found.items():
        for canary in (SECRET, PERSON):
            at = told_there.find(canary.encode())
            assert at < 0, f"{place}: ...{told_there[max(0, at - 200) : at + 80]!r}"
    assert b"[redacted: Stripe key]" in found["our database"]
    for place in ("messages", "the API", "the commands"):
        assert b"[redacted: person]" in found[place], f"nothing was looked for in {place}"
    assert SECRET.encode() in (house.body(first.delivery) or b""), "encrypted, and whole"
    image = read_image(house.services, fix["id"], ANN)
    assert image is not None and SECRET in image.before and PERSON in image.after
