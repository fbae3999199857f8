"""Whoever changes what was done is found out, superusers too, and what was changed is named."""

from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import dict_row

from responder import __version__
from responder.domain.ids import new_id
from responder.domain.seal import NOTHING
from responder.domain.secret import Secret
from responder.pipeline.audit.keys import SigningKeys
from responder.pipeline.audit.report import Kind
from responder.pipeline.audit.sealing import seal_from_row
from responder.pipeline.audit.verify import verify_incident
from responder.store import Store
from responder.web.tokens import new_keys
from tests.audit.conftest import Scene

#: Events that a test may change: sealed, and not the digest of a row.
PLAIN = "SELECT id FROM audit_event WHERE what = 'stage' ORDER BY id LIMIT 1"
LAST = "(SELECT max(number) FROM seal)"


@dataclass(frozen=True)
class Crime:
    """What somebody does, and what is said: the kind, and a query or a text for the subject.

    triggers: done in the open, by an ordinary statement of a superuser.
    """

    name: str
    statements: tuple[str, ...]
    kind: Kind
    subject: str
    says: str = ""
    triggers: bool = False


def event(name: str, change: str, says: str = "") -> Crime:
    statement = f"UPDATE audit_event SET {change} WHERE id = ({PLAIN})"
    subject = f"SELECT 'event ' || id FROM ({PLAIN}) e"
    return Crime(name, (statement,), Kind.ALTERED, subject, says or "not what was sealed")


def dropped(details: str) -> str:
    """Retention says so, in an event that nobody of ours has written."""
    return (
        "INSERT INTO audit_event (filed_at, id, at, actor_kind, actor, what, subject, details,"
        " code_version)"
        " VALUES (now(), '00000000-0000-7000-8000-000000000003', now(), 'responder', 'responder',"
        f" 'retention', 'audit_event_1', jsonb_build_object({details}), '')"
    )


NEW_FIX = """INSERT INTO fix (id, incident_id, key, rule, rule_checksum, option, target, parameters,
    actor_kind, actor, severity, status, attempt, started_at)
SELECT '00000000-0000-7000-8000-000000000001', incident_id, key, rule, rule_checksum, option,
    target, parameters, 'person', 'nobody', severity, 'refused', 1, started_at FROM fix"""
NEW_EVENT = """INSERT INTO audit_event (filed_at, id, at, actor_kind, actor, what, subject, details,
    code_version)
VALUES (now(), '00000000-0000-7000-8000-000000000002', now(), 'person', 'nobody', 'autofix',
    'autofix', '{}', '')"""
SWAP_PLACES = """UPDATE seal SET ids = ids[2:2] || ids[1:1] || ids[3:],
    filed = filed[2:2] || filed[1:1] || filed[3:]
WHERE number = 1"""
SWAP_EVENTS = """UPDATE audit_event e
SET at = o.at, actor_kind = o.actor_kind, actor = o.actor, what = o.what,
    subject = o.subject, before = o.before, after = o.after, details = o.details, xid = o.xid
FROM (SELECT a.filed_at, a.id, b.id AS other FROM
        (SELECT filed_at, id FROM audit_event ORDER BY id LIMIT 1) a,
        (SELECT id FROM audit_event ORDER BY id OFFSET 1 LIMIT 1) b) p
JOIN audit_event o ON o.id = p.other
WHERE e.id = p.id"""
ANSWER = "SELECT 'answer ' || incident_id || '/' || attempt || '/' || position FROM answer LIMIT 1"

CRIMES = [
    event("the details of an event", """details = details || '{"why": "nothing"}'"""),
    event("who did it", "actor = 'bob'"),
    event("when it was", "at = at - interval '1 second'"),
    event("what it was", "what = 'note'"),
    event("what became of it", "after = 'done'"),
    event("which code did it", "code_version = '0.0.1'"),
    event("its transaction", "xid = '7'"),
    event("when it was, to a time that is none", "at = 'infinity'"),
    event("when it was, to a year that no calendar of ours has", "at = '20000-01-01Z'"),
    Crime(
        "what an event says of the columns of a row",
        ("""UPDATE audit_event SET details = '{"columns": "all"}' WHERE what = 'row'""",),
        Kind.ALTERED,
        ANSWER,
    ),
    Crime(
        "one event is deleted",
        (f"DELETE FROM audit_event WHERE id = ({PLAIN})",),
        Kind.MISSING,
        "event ",
        "is gone",
    ),
    Crime(
        "the tail of the events is deleted",
        ("DELETE FROM audit_event WHERE id IN (SELECT unnest(ids) FROM seal WHERE number > 2)",),
        Kind.MISSING,
        "event ",
        "is gone",
    ),
    Crime(
        "the last seal and its events are deleted",
        (
            "DELETE FROM audit_event"
            f" WHERE id IN (SELECT unnest(ids) FROM seal WHERE number = {LAST})",
            "DELETE FROM note WHERE body LIKE 'Not the cache%'",
            f"DELETE FROM seal WHERE number = {LAST}",
            "UPDATE seal_copy SET number = number - 1",
        ),
        Kind.MISSING,
        "seal 4",
        "outside.jsonl has it",
    ),
    Crime(
        "an older copy of the whole database is restored",
        (
            "DELETE FROM audit_event WHERE id IN (SELECT unnest(ids) FROM seal WHERE number > 1)",
            "DELETE FROM note",
            "DELETE FROM fix; DELETE FROM seal WHERE number > 1",
            "UPDATE seal_copy SET number = 1",
        ),
        Kind.MISSING,
        "seal 2",
        "outside.jsonl has it",
    ),
    Crime(
        "an event is added", (NEW_EVENT,), Kind.ADDED, "event 00000000-0000-7000-8000-000000000002"
    ),
    Crime(
        "an event is added, and another one counts twice",
        (
            "INSERT INTO unsealed (id, filed_at)"
            " SELECT id, filed_at FROM audit_event ORDER BY id LIMIT 1",
            NEW_EVENT,
        ),
        Kind.ADDED,
        "event 00000000-0000-7000-8000-000000000002",
    ),
    Crime("two events change places", (SWAP_EVENTS,), Kind.ALTERED, "event "),
    Crime("two places of a seal are swapped", (SWAP_PLACES,), Kind.REORDERED, "event "),
    Crime(
        "all events are truncated",
        ("TRUNCATE audit_event",),
        Kind.MISSING,
        "SELECT 'event ' || ids[1] FROM seal WHERE number = 1",
        "is gone",
    ),
    Crime(
        "a month is swapped for an edited one",
        (
            "CREATE TABLE other AS SELECT * FROM audit_event",
            "UPDATE other SET actor = 'bob' WHERE actor = 'ann'",
            "TRUNCATE audit_event",
            "INSERT INTO audit_event SELECT * FROM other; DROP TABLE other",
        ),
        Kind.ALTERED,
        "event ",
    ),
    Crime(
        "an event that waited for its seal is deleted",
        (
            NEW_EVENT,
            "INSERT INTO unsealed (id, filed_at) SELECT id, now() - interval '1 day'"
            " FROM audit_event WHERE actor = 'nobody'",
        ),
        Kind.MISSING,
        "event 00000000-0000-7000-8000-000000000002",
        "before it was sealed",
    ),
    Crime(
        "an answer is edited",
        ("UPDATE answer SET answer = jsonb_set(answer, '{rows}', '[]')",),
        Kind.ALTERED,
        ANSWER,
        "not what was recorded",
    ),
    Crime(
        "an answer is edited in the open",
        ("UPDATE answer SET answer = jsonb_set(answer, '{rows}', '[]')",),
        Kind.ALTERED,
        ANSWER,
        "changed at",
        triggers=True,
    ),
    Crime("an answer is deleted", ("DELETE FROM answer",), Kind.MISSING, "answer ", "is gone"),
    Crime(
        "a decision is edited",
        ("UPDATE decision SET sentence = 'Ann said so.'",),
        Kind.ALTERED,
        "SELECT 'decision ' || id FROM decision",
    ),
    Crime(
        "a decision is edited in the open",
        ("UPDATE decision SET sentence = 'Ann said so.'",),
        Kind.ALTERED,
        "SELECT 'decision ' || id FROM decision",
        triggers=True,
    ),
    Crime(
        "a fix is edited",
        ("""UPDATE fix SET counts = '{"thing": 1}'""",),
        Kind.ALTERED,
        "SELECT 'fix ' || id FROM fix",
    ),
    Crime(
        "a fix is edited in the open",
        ("UPDATE fix SET actor = 'ann', actor_kind = 'person'",),
        Kind.ALTERED,
        "SELECT 'fix ' || id FROM fix",
        "not by the responder",
        triggers=True,
    ),
    Crime("a fix is deleted", ("DELETE FROM fix",), Kind.MISSING, "fix ", "is gone"),
    Crime("a fix is added", (NEW_FIX,), Kind.ADDED, "fix 00000000-0000-7000-8000-000000000001"),
    Crime(
        "a fix is added in the open",
        (NEW_FIX,),
        Kind.ADDED,
        "fix 00000000-0000-7000-8000-000000000001",
        "not by the responder",
        triggers=True,
    ),
    Crime(
        "a fix is added to an incident that is made to look older than the seals",
        ("UPDATE incident SET opened_at = '2020-01-01Z'", NEW_FIX),
        Kind.ADDED,
        "fix 00000000-0000-7000-8000-000000000001",
    ),
    Crime(
        "the code of a rule is edited",
        ("UPDATE rule_source SET sql = 'SELECT 2'",),
        Kind.ALTERED,
        "rule thing",
        "checksum",
    ),
    Crime(
        "the memory of what is older than the seals is deleted, and an event added as old",
        (
            "DELETE FROM seal_backlog",
            NEW_EVENT,
            "UPDATE audit_event SET queued = false WHERE actor = 'nobody'",
        ),
        Kind.ADDED,
        "event 00000000-0000-7000-8000-000000000002",
    ),
    Crime(
        "a note is edited",
        ("UPDATE note SET body = 'It was Bob.' WHERE body LIKE 'It was%'",),
        Kind.ALTERED,
        "SELECT 'note ' || id FROM note WHERE body LIKE 'It was%'",
    ),
    Crime(
        "an incident is deleted with all that is about it",
        (
            "DELETE FROM answer; DELETE FROM fix; DELETE FROM decision; DELETE FROM note;"
            " DELETE FROM incident",
        ),
        Kind.MISSING,
        "answer ",
        "with its incident",
    ),
    Crime(
        "a seal is from a time that is none",
        ("UPDATE seal SET at = 'infinity' WHERE number = 2",),
        Kind.ALTERED,
        "seal 2",
    ),
    Crime(
        "a seal names an event of a time that is none",
        ("UPDATE seal SET filed[1] = '-infinity' WHERE number = 2",),
        Kind.MISSING,
        "event ",
    ),
    Crime(
        "a seal is edited",
        ("UPDATE seal SET at = at - interval '1 hour' WHERE number = 2",),
        Kind.ALTERED,
        "seal 2",
        "signature",
    ),
    Crime(
        "a seal and all its leaves are made to fit an edited event",
        (
            f"UPDATE audit_event SET actor = 'bob' WHERE id = ({PLAIN})",
            "UPDATE seal SET leaves = '\\x00' || substring(leaves FROM 2) WHERE number = 1",
        ),
        Kind.ALTERED,
        "seal 1",
        "leaves",
    ),
    Crime(
        "the last event of a seal is deleted, and its list cut off",
        (
            "DELETE FROM audit_event WHERE id = (SELECT ids[events] FROM seal WHERE number = 1)",
            "UPDATE seal SET ids = ids[:events - 1], filed = filed[:events - 1] WHERE number = 1",
        ),
        Kind.ALTERED,
        "seal 1",
        "events, not its",
    ),
    Crime(
        "an event is added, and listed behind the last one of a seal",
        (
            NEW_EVENT,
            "UPDATE seal s SET ids = ids || e.id, filed = filed || e.filed_at"
            " FROM audit_event e WHERE e.actor = 'nobody' AND s.number = 4",
        ),
        Kind.ALTERED,
        "seal 4",
        "events, not its",
    ),
    Crime(
        "the list of a seal has a hole",
        ("UPDATE seal SET filed[1] = NULL WHERE number = 1",),
        Kind.ALTERED,
        "seal 1",
        "events, not its",
    ),
    Crime(
        "a seal in the middle is deleted",
        ("DELETE FROM seal WHERE number = 2",),
        Kind.MISSING,
        "seal 2",
        "behind a gap",
    ),
    Crime(
        "the first seal is deleted",
        ("DELETE FROM seal WHERE number = 1",),
        Kind.MISSING,
        "seal 1",
        "behind a gap",
    ),
    Crime(
        "two seals change places",
        (
            "UPDATE seal SET number = number + 100 WHERE number IN (2, 3)",
            "UPDATE seal SET number = 105 - number WHERE number > 100",
        ),
        Kind.ALTERED,
        "seal 2",
        "does not follow",
    ),
    Crime(
        "a seal says that another key signed it",
        ("UPDATE seal SET kid = 'mine' WHERE number = 3",),
        Kind.ALTERED,
        "seal 3",
        "no key of ours",
    ),
    Crime(
        "a month is dropped and said to be dropped by retention, with too few events",
        (
            "UPDATE seal SET filed ="
            " ARRAY(SELECT each - interval '60 days' FROM unnest(filed) each)",
            dropped(
                "'events', 1, 'begins', now() - interval '61 d', 'ends', now() - interval '59 d'"
            ),
            "DELETE FROM audit_event WHERE what <> 'retention'",
        ),
        Kind.MISSING,
        "audit_event_",
        "retention dropped 1",
    ),
    Crime(
        "events are deleted and said to be dropped by retention, though they are young",
        (
            dropped(
                "'events', 99, 'begins', now() - interval '1 d', 'ends', now() + interval '1 d'"
            ),
            "DELETE FROM audit_event WHERE what <> 'retention'",
        ),
        Kind.MISSING,
        "SELECT 'event ' || ids[1] FROM seal WHERE number = 1",
        "is gone",
    ),
    Crime(
        "an incident is deleted and said to be deleted by retention, though it is young",
        (
            dropped("'incidents', 1, 'month', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM')"),
            "DELETE FROM answer; DELETE FROM fix; DELETE FROM decision; DELETE FROM note;"
            " DELETE FROM incident",
        ),
        Kind.MISSING,
        "answer ",
        "with its incident",
    ),
]


def test_nothing_was_changed(scene: Scene) -> None:
    report = scene.verify()
    assert report.ok, [trouble.sentence for trouble in report.troubles]
    assert (report.seals, report.unsealed, report.backlog, report.unproven_rows) == (4, 0, 0, 0)
    assert report.copies == {str(scene.copy): 4}
    (events,) = scene.superuser("SELECT count(*) FROM audit_event")
    assert report.events == events[0]
    (rows,) = scene.superuser(
        "SELECT (SELECT count(*) FROM answer) + (SELECT count(*) FROM decision)"
        " + (SELECT count(*) FROM fix) + (SELECT count(*) FROM note)"
    )
    assert report.rows == rows[0] >= 5


def test_what_was_sealed_late_is_found_in_its_seal(scene: Scene) -> None:
    """After an upgrade the events of years wait, and thousands of seals come before its own."""
    scene.superuser(
        "INSERT INTO seal SELECT (jsonb_populate_record(s, jsonb_build_object('number', 100 + n,"
        " 'at', s.at - interval '2 s', 'filed_from', '2020-01-01Z', 'filed_to', '2020-02-01Z',"
        " 'ids', '{}', 'filed', '{}'))).*"
        " FROM seal s, generate_series(1, 1001) n WHERE s.number = 1"
    )
    ((incident,),) = scene.superuser("SELECT id FROM incident")
    with closing(Store(scene.url, 1, __version__)) as store, store.snapshot() as tx:
        report = verify_incident(tx, scene.settings, incident)
    assert report.ok and report.seals == 4, [each.sentence for each in report.troubles]


@pytest.mark.parametrize("crime", CRIMES, ids=lambda crime: crime.name)
def test_a_crime_is_found_out(scene: Scene, crime: Crime) -> None:
    subject = crime.subject
    if subject.startswith("SELECT"):
        subject = scene.superuser(subject)[0][0]
    scene.superuser(*crime.statements, triggers=crime.triggers)
    report = scene.verify()
    assert any(
        trouble.kind == crime.kind
        and trouble.subject.startswith(subject)
        and crime.says in trouble.says
        for trouble in report.troubles
    ), [trouble.sentence for trouble in report.troubles]
    assert not report.ok


@pytest.mark.parametrize("ours", [True, False], ids=["under our key's name", "under its own"])
def test_seals_that_are_signed_anew_with_another_key(
    scene: Scene, tmp_path: Path, ours: bool
) -> None:
    """All of them, over edited events and rightly chained: only the key is not ours."""
    (tmp_path / "other.json").write_text(new_keys(new_id()), encoding="utf-8")
    other = SigningKeys(Secret((f"file:{tmp_path / 'other.json'}",)))
    kid = SigningKeys(scene.settings.key).kid if ours else other.kid
    previous = NOTHING
    with psycopg.connect(scene.url, row_factory=dict_row) as connection:
        connection.execute("SET session_replication_role = replica")
        for row in connection.execute("SELECT * FROM responder.seal ORDER BY number").fetchall():
            seal = replace(seal_from_row(row), previous=previous, kid=kid)
            seal = replace(seal, signature=other.sign(seal.text))
            previous = seal.digest
            connection.execute(
                "UPDATE responder.seal SET previous = %s, kid = %s, signature = %s"
                " WHERE number = %s",
                (seal.previous, seal.kid, seal.signature, seal.number),
            )
    said = [trouble.sentence for trouble in scene.verify().troubles]
    assert said[0].startswith("altered: seal 1: ")
    assert sum("signature" in each or "no key of ours" in each for each in said) == 4
    assert sum("has another one" in each for each in said) == 4, "and so says the copy outside"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_event SET actor = 'bob'",
        "DELETE FROM seal",
        "TRUNCATE audit_event",
        "TRUNCATE seal CASCADE",
        "UPDATE seal SET events = 1",
    ],
)
def test_by_accident_nobody_changes_it(scene: Scene, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        scene.superuser(statement, triggers=True)
