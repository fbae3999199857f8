"""Events are found by person, incident, rule, target, kind and time, page by page."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask.testing import FlaskClient

from responder.domain.ids import new_id
from responder.domain.secret import Secret
from responder.store.queries import QUERIES
from responder.web import create_app
from responder.web.tokens import TokenKeys, new_keys
from tests.audit.conftest import fixed_and_noted, scene_of, seal_now
from tests.house import House

Ask = Callable[..., Any]


@pytest.fixture
def ask(sealed: House, tmp_path: Path) -> Ask:
    """A GET of a viewer; the house has an incident that was fixed and noted."""
    fixed_and_noted(sealed)
    (tmp_path / "keys.json").write_text(new_keys(new_id()), encoding="utf-8")
    keys = Secret((f"file:{tmp_path / 'keys.json'}",))
    sealed.with_settings(token_keys=keys)
    now = datetime.now(UTC)
    token = TokenKeys(keys).issue("vic", "viewer", now, timedelta(hours=1), new_id())
    client: FlaskClient = create_app(sealed.services).test_client()

    def get(path: str, status: int = 200, **query: Any) -> Any:
        answer = client.get(
            f"/v1/{path}", query_string=query, headers={"authorization": f"Bearer {token}"}
        )
        assert answer.status_code == status, answer.get_json()
        return answer.get_json()

    return get


def test_the_audit_is_searched(ask: Ask, sealed: House) -> None:
    everything = ask("audit", limit=200)["items"]
    assert [event["at"] for event in everything] == sorted(
        (event["at"] for event in everything), reverse=True
    )
    assert {event["what"] for event in everything} >= {"opened", "decision", "fix", "note"}
    assert "row" not in {event["what"] for event in everything}
    incident = str(sealed.incident().id)

    def found(**query: Any) -> list[dict[str, Any]]:
        return list(ask("audit", limit=200, **query)["items"])

    assert {event["what"] for event in found(actor="ann")} == {"note"}
    assert len(found(what="fix")) == 3
    assert found(what="fix", actor="ann") == []
    ours = [event["id"] for event in everything if event["incident_id"] == incident]
    assert [event["id"] for event in found(incident=incident)] == ours
    assert {event["id"] for event in found(rule="thing")} == set(ours)
    assert {event["id"] for event in found(target="shop_eu", what="fix")} == {
        event["id"] for event in found(what="fix")
    }
    assert found(rule="other") == found(target="shop_us") == found(subject="autofix") == []
    middle = everything[len(everything) // 2]["at"]
    assert len(found(since=middle)) + len(found(until=middle)) == len(everything)
    assert len(found(since=middle, rule="thing")) + len(found(until=middle, rule="thing")) == len(
        ours
    )
    proofs = found(what="row", incident=incident)
    assert {event["subject"].split()[0] for event in proofs} == {
        "answer",
        "decision",
        "fix",
        "note",
    }


def test_pages_go_on_where_the_last_one_ended(ask: Ask) -> None:
    for query in ({}, {"rule": "thing"}, {"actor": "responder"}):
        whole = [event["id"] for event in ask("audit", limit=200, **query)["items"]]
        pages: list[str] = []
        cursor: dict[str, str] | None = {}
        while cursor is not None:
            page = ask("audit", limit=3, **query, **cursor)
            pages += [event["id"] for event in page["items"]]
            cursor = {"cursor": page["next"]} if page["next"] else None
        assert pages == whole and len(whole) > 6, query
    for wrong in ({"since": "yesterday"}, {"incident": "x"}, {"limit": 201}, {"actor": "a\0"}):
        assert ask("audit", 400, **wrong)["type"] == "urn:responder:wrong_parameters"


def test_it_is_verified_in_place(ask: Ask, sealed: House) -> None:
    incident = str(sealed.incident().id)
    whole, one = ask("audit/verify"), ask("audit/verify", incident=incident)
    assert whole["ok"] and one["ok"]
    assert (whole["seals"], whole["unsealed"]["events"], whole["last_seal"]) == (4, 0, 4)
    assert one["rows"] == 5 and one["events"] > 10 and incident in one["looked_at"]
    scene_of(sealed).superuser(
        "UPDATE audit_event SET actor = 'bob' WHERE actor = 'ann'", "DELETE FROM answer"
    )
    whole, one = ask("audit/verify"), ask("audit/verify", incident=incident)
    assert not whole["ok"] and not one["ok"]
    assert {trouble["kind"] for trouble in one["troubles"]} == {"altered", "missing"}
    assert any(trouble["subject"].startswith("answer ") for trouble in one["troubles"])
    assert ask("audit/verify", incident=str(new_id()))["events"] == 0


def test_an_event_of_an_incident_that_is_in_no_seal(ask: Ask, sealed: House) -> None:
    """What is recorded this moment waits; what a superuser adds waits for nothing."""
    incident = sealed.incident()
    scene_of(sealed).superuser(
        "INSERT INTO audit_event (filed_at, id, at, actor_kind, actor, what, incident_id, subject,"
        f" details, code_version) SELECT opened_at, '{new_id()}', now(), 'person', 'ann', 'status',"
        " id, 'incident ' || id, '{}', '' FROM incident"
    )
    answer = ask("audit/verify", incident=str(incident.id))
    assert [trouble["kind"] for trouble in answer["troubles"]] == ["added"]
    seal_now(sealed)
    assert not ask("audit/verify", incident=str(incident.id))["ok"]


#: What is asked for -> an index that must serve it, whatever the partition is called.
PLANS: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "_at"),
    "a person": ({"actor": "nobody"}, "_actor"),
    "a kind": ({"what": "login"}, "_what"),
    "a subject": ({"subject": "autofix"}, "_subject"),
    "an incident": ({"incident": "00000000-0000-7000-8000-000000000001"}, "_incident_id"),
    "a rule": ({"rule": "one"}, "incident_rule"),
    "a target": ({"target": "one"}, "incident_target"),
}
FILTERS = ("actor", "what", "subject", "incident", "since", "until", "before", "before_id")


def test_a_search_needs_no_whole_table(house: House) -> None:
    with psycopg.connect(house.services.store.url) as connection:
        connection.execute("SET search_path = responder")
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            """INSERT INTO incident (id, key, title, source, rule, target, parameters, labels,
                   status, stage, severity, severity_unreadable, opened_at, seen_at)
               SELECT gen_random_uuid(), n::text, 't', 's', name, name, '{}', '{}', 'open', 'done',
                   'P2', false, now() - n * interval '1 min', now()
               FROM generate_series(1, 4000) n,
                   LATERAL (SELECT CASE WHEN n % 400 = 0 THEN 'one' ELSE 'other' END AS name) c"""
        )
        connection.execute(
            """INSERT INTO audit_event (filed_at, id, at, actor_kind, actor, what, incident_id,
                   subject, details, code_version)
               SELECT opened_at, gen_random_uuid(), opened_at + n * interval '1 s', 'person',
                   'p' || n, 'w' || n, id, 's' || n, '{}', ''
               FROM incident, generate_series(1, 10) n"""
        )
        connection.execute("ANALYZE incident, audit_event")
        for name, (asked, index) in PLANS.items():
            by_incident = asked.keys() & {"rule", "target"}
            query = "audit_events_of_incidents" if by_incident else "audit_events"
            filters = dict.fromkeys((*FILTERS, "rule", "target")) | asked | {"limit": 51}
            for cursor in ({}, {"before": datetime.now(UTC), "before_id": new_id()}):
                rows = connection.execute(
                    f"EXPLAIN {QUERIES[query].sql}".encode(), filters | cursor
                ).fetchall()
                plan = "\n".join(row[0] for row in rows)
                assert index in plan, f"{name}: {plan}"
                costs = re.findall(r"Seq Scan.*cost=\d+\.\d+\.\.(\d+)", plan)
                assert all(int(cost) < 10 for cost in costs), f"{name}: {plan}"
