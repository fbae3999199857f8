"""What is asked of a target, how often, and what happens when a rule or a question misbehaves."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from responder.domain.matcher import parse_matcher
from responder.pipeline import walk
from responder.pipeline.accept import Accepted
from responder.pipeline.triage import triage
from responder.runbook.loader import LoadedRule, load
from tests.house import House, alert
from tests.shop import Shop

HEAD = '''"""Something is wrong.

Symptoms: a test.
Prevention: none.
"""

from datetime import datetime

from responder.runbook import Finding, Http, Label, Option, Rule, Sql, Tcp


class Written(Rule):
    answers = ['alertname="{name}"']
    target = "shop"
    key = ("shard",)
    options = [Option("restart", "Restart it", run="restart")]
'''
ONE = "    diagnostics = [Sql('first', 'What is it?')]\n"
NOTHING = "    def conclude(self, case):\n        return ()\n"


@pytest.fixture
def open_house(make_house: Callable[..., House], tmp_path: Path) -> Callable[..., House]:
    """A house whose only rule, for the alert `Asked`, has this body and these statements."""

    def opened(body: str = ONE + NOTHING, **statements: str) -> House:
        return make_house([written(tmp_path, "Asked", body, **statements)])

    return opened


def written(root: Path, name: str, body: str, **statements: str) -> LoadedRule:
    files = {
        root / "rules" / "p2" / f"{name.lower()}.py": HEAD.replace("{name}", name) + body,
        root / "sql" / "rules" / f"{name.lower()}.sql": "\n\n".join(
            f"-- name: {each}\n-- For a test.\n{sql};"
            for each, sql in (statements or {"first": "SELECT 1 AS one"}).items()
        ),
    }
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return next(rule for rule in load(root) if rule.name == name.lower())


def asked(house: House, name: str = "Asked", **labels: str) -> list[dict[str, Any]]:
    """The answers for one alert, which opens an incident of its own for each `shard`."""
    delivery = house.post(alert(name, **labels)).delivery
    house.run_jobs()
    (row,) = house.sql("SELECT incident_id FROM alert WHERE delivery_id = %s", delivery)
    return answers(house, row["incident_id"])


def answers(house: House, incident: UUID) -> list[dict[str, Any]]:
    rows = house.sql(
        "SELECT name, answer FROM answer WHERE incident_id = %s ORDER BY attempt DESC, position",
        incident,
    )
    return [{"name": row["name"], **row["answer"]} for row in rows]


def statuses(told: list[dict[str, Any]]) -> dict[str, str]:
    """name -> the kind of the error, or the status."""
    return {each["name"]: (each["error"] or {}).get("kind", each["status"]) for each in told}


def diagnosed(house: House) -> dict[str, Any]:
    """The audit event of the last diagnosis."""
    row = house.sql(
        "SELECT details FROM audit_event WHERE what = 'stage' AND after = 'plan' ORDER BY id"
    )[-1]
    details: dict[str, Any] = row["details"]
    return details


# Asking once


def test_one_asking_serves_all_incidents_of_a_target(open_house: Callable[..., House]) -> None:
    house = open_house(first="SELECT gen_random_uuid() AS number")
    (first,) = asked(house, shard="1")
    (second,) = asked(house, shard="2")
    house.later(timedelta(seconds=28))
    (third,) = asked(house, shard="3")
    house.later(timedelta(seconds=3))
    (fourth,) = asked(house, shard="4")

    assert not first["shared"]
    assert second["shared"] and third["shared"]
    assert first["rows"] == second["rows"] == third["rows"]
    assert first["asked_at"] == second["asked_at"] == third["asked_at"]
    assert not fourth["shared"]
    assert fourth["rows"] != first["rows"]
    assert diagnosed(house) == {"answers": {"first": "ok"}, "findings": [], "trouble": ""}


def test_it_is_asked_once_for_all_who_ask_at_the_same_moment(
    open_house: Callable[..., House],
) -> None:
    house = open_house(first="SELECT gen_random_uuid() AS number, pg_sleep(0.2) IS NULL AS slow")
    walk_all(house, house.post(*(alert("Asked", shard=str(number)) for number in range(6))))
    told = [answers(house, incident.id)[0] for incident in house.incidents()]
    assert len({each["rows"][0]["number"] for each in told}) == 1
    assert sorted(each["shared"] for each in told) == [False, True, True, True, True, True]


@pytest.mark.parametrize(("severity", "shared"), [("critical", False), ("warning", True)])
def test_a_p0_does_not_wait_for_a_p2_that_is_stuck_in_asking(
    open_house: Callable[..., House], severity: str, shared: bool
) -> None:
    """Somebody claimed the question and waits for a slot; his answer comes after a while."""
    house = open_house()
    asked(house, shard="a")
    house.sql("UPDATE question SET asked_at = NULL, asker = gen_random_uuid()")
    house.sql("UPDATE question SET asking_until = now() + interval '30 s'")

    def answer_late() -> None:
        house.sql("SELECT pg_sleep(1.5)")
        house.sql("UPDATE question SET asked_at = now(), asker = NULL, asking_until = NULL")

    late = threading.Thread(target=answer_late)
    late.start()
    (answer,) = asked(house, shard="b", severity=severity)
    late.join()
    assert answer["status"] == "ok"
    assert answer["shared"] is shared


def test_other_parameters_are_another_question(open_house: Callable[..., House]) -> None:
    parameter = "    parameters = {'shard': Label('shard')}\n"
    house = open_house(parameter + ONE + NOTHING, first="SELECT %(shard)s::text AS shard")
    told = [asked(house, shard=shard)[0] for shard in "12"]
    assert [each["rows"] for each in told] == [[{"shard": "1"}], [{"shard": "2"}]]
    assert not any(each["shared"] for each in told)


def test_a_failure_is_shared_for_five_seconds_only(open_house: Callable[..., House]) -> None:
    house = open_house(first="SELECT * FROM comes_later")
    (first,) = asked(house, shard="1")
    house.later(timedelta(seconds=3))
    (second,) = asked(house, shard="2")
    house.shop.run("CREATE TABLE comes_later (); GRANT SELECT ON comes_later TO responder_reading")
    house.later(timedelta(seconds=3))
    (third,) = asked(house, shard="3")

    assert (first["status"], first["shared"]) == ("failed", False)
    assert (second["status"], second["shared"]) == ("failed", True)
    assert (third["status"], third["shared"]) == ("ok", False)


def test_a_fix_makes_older_answers_unusable(house: House) -> None:
    house.shop.run(
        "INSERT INTO shopify_sync_queue"
        " (inventory_item_id, action, status, retry_count, max_retries, last_error, created_at)"
        " SELECT gen_random_uuid(), 'update', 'failed', 3, 3, 'HTTP 503', now() - interval '20 min'"
        " FROM generate_series(1, 3)"
    )
    before = asked(house, "ShopifyQueueStuck", severity="warning")
    assert house.document()["fixes"][0]["status"] == "committed"
    after = asked(house, "ShopifyQueueStuck", severity="critical")
    assert len(after) == 2 * len(before)
    assert not any(each["shared"] for each in after)
    failed = [each["row_count"] for each in after if each["name"] == "failed"]
    assert failed == [0, 3]


# What is not asked


def test_a_missing_parameter_is_said(open_house: Callable[..., House]) -> None:
    house = open_house(
        """
    parameters = {"email": Label("email", "user_email")}
    diagnostics = [Sql("first", "Who?"), Sql("other", "What else?")]

    def conclude(self, case):
        yield Finding("gone", "There is no " + case.parameters["email"])
""",
        first="SELECT %(email)s::text AS email",
        other="SELECT 1 AS one",
    )
    told = asked(house)
    assert statuses(told) == {"first": "parameter", "other": "ok"}
    assert told[0]["error"]["message"] == "the alert does not say: email"
    assert house.decision() == ("hand_over", "parameter_missing")
    assert "no label email or user_email" in house.document()["decision"]["sentence"]

    assert asked(house, user_email="a@shop", shard="2")[0]["rows"] == [{"email": "a@shop"}]


def test_what_stands_behind_a_failed_question_is_skipped(open_house: Callable[..., House]) -> None:
    house = open_house(
        """
    diagnostics = [
        Tcp("port", "Does it answer?"),
        Sql("broken", "Is it there?", after="port"),
        Sql("behind", "And then?", after="broken"),
        Sql("far", "And then?", after="behind"),
        Sql("beside", "What else?", after="port"),
    ]
"""
        + NOTHING,
        broken="SELECT * FROM nowhere",
        behind="SELECT 1 AS one",
        far="SELECT 2 AS two",
        beside="SELECT 3 AS three",
    )
    told = asked(house)
    assert statuses(told) == {
        "port": "ok",
        "broken": "statement",
        "behind": "behind",
        "far": "behind",
        "beside": "ok",
    }
    assert [each["status"] for each in told[2:4]] == ["skipped", "skipped"]
    assert house.decision() == ("hand_over", "diagnosis_failed")


def test_all_answered_and_nothing_found_is_handed_over_with_the_rows(
    open_house: Callable[..., House],
) -> None:
    house = open_house()
    asked(house)
    assert house.decision() == ("hand_over", "nothing_found")
    (answer,) = house.document()["diagnosis"]
    assert answer["rows"] == [{"one": 1}]
    assert (answer["sql"], answer["target"], answer["parameters"]) == (
        "SELECT 1 AS one",
        "shop_eu",
        {},
    )


@pytest.mark.parametrize(
    "name, env, targets, reason",
    [
        ("NobodyAnswersThis", "production", {}, "no_rule"),
        ("Asked", "staging", {}, "no_target"),
        ("Asked", "production", {"shop_us": 'env=~"prod.*"'}, "ambiguous_target"),
    ],
)
def test_nothing_is_asked_when_it_is_not_known_whom(
    open_house: Callable[..., House], name: str, env: str, targets: dict[str, str], reason: str
) -> None:
    house = open_house()
    known = house.services.settings.targets
    (shop_eu,) = known.values()
    more = {each: _like(shop_eu, each, matcher) for each, matcher in targets.items()}
    house.with_settings(targets={**known, **more})

    assert asked(house, name, env=env) == []
    assert house.sql("SELECT * FROM question") == []
    assert house.decision() == ("hand_over", reason)
    # what an alert without a rule is about is known from its labels all the same
    assert house.incident().target == ("shop_eu" if reason == "no_rule" else None)


def _like(target: Any, name: str, matcher: str) -> Any:
    return type(target)(name, target.kind, [parse_matcher(matcher)], target.reading)


# Rules that misbehave


@pytest.mark.parametrize(
    "conclusion, detail",
    [
        ("raise KeyError('roles')", "KeyError: 'roles'"),
        ("return case['nowhere'].rows", "KeyError: 'nowhere'"),
        ("return None", "TypeError"),
        ("return ['full']", "yielded str, not a Finding"),
        ("return [Finding('a', 'A.', offers=('reboot',))]", "a offers reboot: no such option"),
        ("return [Finding('a', 'A.', offers=5)]", "TypeError"),
        ("return [Finding('a', 'A.', look_again='soon')]", "not a duration: 'soon'"),
        ("return [Finding('a', 'A.', rows=[{'at': datetime.now()}])]", "TypeError"),
        ("return [Finding('a', 'A.', rows=[{'n': float('nan')}])]", "ValueError"),
        ("return [Finding('a', 'A' + chr(0))]", "holds a NUL character"),
        ("return [Finding('a', 'A' + chr(0xD800))]", "UnicodeEncodeError"),
        ("raise ValueError(chr(0))", "ValueError:"),
        ("raise ValueError(chr(0xD800))", "ValueError: ?"),
        ("return conclude(self, case)", "NameError"),
    ],
)
def test_a_rule_that_fails_hands_the_incident_over_with_the_answers(
    open_house: Callable[..., House], conclusion: str, detail: str
) -> None:
    house = open_house(f"{ONE}    def conclude(self, case):\n        {conclusion}\n")
    told = asked(house)
    assert statuses(told) == {"first": "ok"}
    assert house.decision() == ("hand_over", "rule_failed")
    assert detail in house.document()["decision"]["sentence"]
    assert diagnosed(house)["trouble"] == "rule_failed"
    house.settle()
    assert house.hook.happenings() == ["opened", "updated"]
    assert house.gap() == (0, 0)


def test_a_rule_that_fails_once_is_not_held_against_it(open_house: Callable[..., House]) -> None:
    house = open_house(
        ONE + "    def conclude(self, case):\n"
        "        assert case['first'].rows\n"
        "        yield Finding('found', 'It is found.', offers=('restart',))\n",
        first="SELECT 1 AS one FROM shopify_sync_queue WHERE status = 'odd'",
    )
    asked(house, severity="warning")
    assert house.decision() == ("hand_over", "rule_failed")
    house.shop.run(
        "ALTER TABLE shopify_sync_queue DROP CONSTRAINT IF EXISTS"
        " shopify_sync_queue_status_check; UPDATE shopify_sync_queue SET status = 'odd'"
    )
    house.later(timedelta(minutes=1))
    asked(house, severity="critical")
    assert house.decision() == ("propose", "severity")


# Diagnostics that misbehave


HOSTILE = {
    "before": "SELECT count(*) AS items FROM shopify_sync_queue",
    "updates": "UPDATE shopify_sync_queue SET status = 'completed' RETURNING id",
    "deletes": "WITH gone AS (DELETE FROM shopify_sync_queue RETURNING id) SELECT * FROM gone",
    "commits": "SELECT 1; COMMIT; DELETE FROM shopify_sync_queue",
    "escapes": "SELECT 1) q LIMIT 1; COMMIT; DELETE FROM shopify_sync_queue; SELECT (1",
    "calls": "SELECT empty_the_queue()",
    "filtered": "SELECT * FROM filtered",
    "sleeps": "SELECT pg_sleep(60)",
    "floods": "SELECT n, repeat('x', 100) AS x FROM generate_series(1, 10000000) n",
    "after": "SELECT count(*) AS items FROM shopify_sync_queue WHERE id IS NOT NULL",
}
GRASPING = """
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'grasping_reader') THEN
        CREATE ROLE grasping_reader LOGIN;
    END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO grasping_reader', current_database());
END $$;
GRANT SELECT, UPDATE, DELETE ON shopify_sync_queue TO grasping_reader;
ALTER TABLE shopify_sync_queue DISABLE ROW LEVEL SECURITY;
CREATE FUNCTION empty_the_queue() RETURNS int LANGUAGE sql SECURITY DEFINER AS
    'DELETE FROM public.shopify_sync_queue; SELECT 1';
CREATE TABLE filtered (n int);
INSERT INTO filtered VALUES (1);
ALTER TABLE filtered ENABLE ROW LEVEL SECURITY;
CREATE POLICY nothing ON filtered USING (false);
GRANT SELECT ON filtered TO grasping_reader;
"""


def test_hostile_questions_do_no_harm_and_do_not_hurt_their_neighbours(
    open_house: Callable[..., House], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where somebody gave the diagnosing role too much."""
    timeouts = {"sleeps": "300ms"}
    listed = ", ".join(
        f"Sql({name!r}, 'Really?', timeout={timeouts.get(name, '5s')!r})" for name in HOSTILE
    )
    house = open_house(f"    diagnostics = [{listed}]\n{NOTHING}", **HOSTILE)
    house.shop.run(GRASPING)
    monkeypatch.setenv("TEST_READING", house.shop.url("grasping_reader"))
    rows = house.shop.rows("SELECT count(*) FROM shopify_sync_queue WHERE status = 'completed'")

    told = {each["name"]: each for each in asked(house)}
    assert statuses(list(told.values())) == {
        "before": "ok",
        "updates": "statement",
        "deletes": "statement",
        "commits": "statement",
        "escapes": "statement",
        "calls": "read_only",
        "filtered": "denied",
        "sleeps": "timeout",
        "floods": "ok",
        "after": "ok",
    }
    assert told["sleeps"]["status"] == "timed_out"
    assert (told["floods"]["row_count"], told["floods"]["truncated"]) == (100, True)
    assert told["before"]["rows"] == told["after"]["rows"]
    assert told["filtered"]["rows"] == []
    assert house.decision() == ("hand_over", "diagnosis_failed")
    assert rows == house.shop.rows(
        "SELECT count(*) FROM shopify_sync_queue WHERE status = 'completed'"
    )


# The patient comes first


@pytest.mark.parametrize("severity, most", [("critical", 4), ("warning", 3)])
def test_ten_incidents_at_once_use_at_most_four_connections(
    open_house: Callable[..., House], severity: str, most: int
) -> None:
    house = open_house(
        "    parameters = {'shard': Label('shard')}\n"
        "    diagnostics = [Sql('first', 'One?'), Sql('second', 'Two?')]\n" + NOTHING,
        first="SELECT %(shard)s::text AS shard, pg_sleep(0.1) IS NULL AS slow",
        second="SELECT %(shard)s::text AS shard, pg_sleep(0.1) IS NULL AS slow, 2 AS two",
    )
    storm = [alert("Asked", severity=severity, shard=str(number)) for number in range(10)]
    with Observer(house.shop) as observer:
        walk_all(house, house.post(*storm))
    told = [each for incident in house.incidents() for each in answers(house, incident.id)]
    assert [each["status"] for each in told] == ["ok"] * 20
    assert observer.most == most


class Observer:
    """Counts the diagnosing sessions on a shop all the time."""

    def __init__(self, shop: Shop) -> None:
        self.most = 0
        self._shop = shop
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Observer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        # A session that has said goodbye is idle until its process is gone.
        count = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = %s AND usename = %s AND state IS DISTINCT FROM 'idle'"
        )
        with psycopg.connect(self._shop.url("postgres"), autocommit=True) as connection:
            while not self._over.wait(0.005):
                row = connection.execute(count, [self._shop.name, "responder_reading"]).fetchone()
                assert row is not None
                self.most = max(self.most, row[0])


def walk_all(house: House, accepted: Accepted) -> None:
    """Triage, then all walks at the same time."""
    triage(house.services, accepted.delivery)
    ids = [UUID(each["args"]["incident"]) for each in house.jobs()]
    house.sql("DELETE FROM procrastinate_jobs")
    with ThreadPoolExecutor(len(ids)) as pool:
        list(pool.map(lambda each: walk(house.services, each, 0), ids))
