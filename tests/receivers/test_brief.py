"""The brief: what a person woken at night reads, in which order, from whatever document."""

import json
import math
import time
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from responder.domain.notification import Happening
from responder.receivers.brief import brief
from responder.receivers.brief.plain import plain
from responder.receivers.brief.table import WIDTH, table
from responder.receivers.brief.text import as_json, is_link, lasted, line, when
from tests.receivers.documents import (
    ACKNOWLEDGED,
    AT,
    BARE,
    DIGEST,
    FIXED,
    HOSTILE,
    MAINTENANCE,
    ODD,
    P0,
    RESOLVED,
    SUMMARY,
    after,
    changed,
    documents,
    happenings,
    message,
    patient,
)


def shown(document: dict[str, Any], happening: Happening = Happening.UPDATED) -> str:
    return plain(brief(message(document, happening)), False, 20_000)


def titles(document: dict[str, Any], happening: Happening = Happening.UPDATED) -> list[str]:
    return [part.title for part in brief(message(document, happening)).parts]


def part(document: dict[str, Any], title: str) -> str:
    """What stands under a title, without its indentation."""
    (found,) = [
        each for each in brief(message(document, Happening.UPDATED)).parts if each.title == title
    ]
    pieces = [text for each in found.pieces for text in (each.text, each.rows, each.command)]
    return "\n".join(filter(None, pieces))


@pytest.mark.parametrize(
    ("document", "happening", "order"),
    [
        (P0, Happening.OPENED, ["Cause", "Decision", "You can", "Evidence", "Alert"]),
        (FIXED, Happening.UPDATED, ["Cause", "Decision", "Evidence", "Fix", "Alert"]),
        (BARE, Happening.OPENED, ["Cause", "Alert"]),
        (ACKNOWLEDGED, Happening.ACKNOWLEDGED, ["Cause"]),
        (RESOLVED, Happening.RESOLVED, ["Cause", "Fix", "Alert"]),
        (RESOLVED, Happening.OPENED, ["Cause", "Fix", "Alert"]),
        (SUMMARY, Happening.SUMMARY, ["How many", "The gravest"]),
        ({}, Happening.OPENED, ["Cause"]),
    ],
)
def test_the_cause_comes_first(
    document: dict[str, Any], happening: Happening, order: list[str]
) -> None:
    assert titles(document, happening) == order


@pytest.mark.parametrize(
    ("happening", "incident", "state"),
    [
        (Happening.OPENED, {}, "Opened 2026-03-14 03:12 UTC"),
        (Happening.UPDATED, {}, "Update; open since 2026-03-14 03:12 UTC"),
        (
            Happening.UPDATED,
            {"status": "acknowledged", "acknowledged_by": "alice"},
            "Update; open since 2026-03-14 03:12 UTC; alice has it",
        ),
        (
            Happening.ACKNOWLEDGED,
            {"acknowledged_by": "alice", "acknowledged_at": after(minutes=3, seconds=5)},
            "Acknowledged by alice after 3 min 5 s",
        ),
        (Happening.ACKNOWLEDGED, {}, "Acknowledged by a person"),
        (
            Happening.RESOLVED,
            {"status": "resolved", "resolved_by": "person", "resolved_at": after(hours=26)},
            "Resolved by a person after 1 d 2 h",
        ),
        (
            Happening.RESOLVED,
            {"status": "resolved", "resolved_by": "quiet", "resolved_at": after()},
            "Resolved by quiet: nothing more was heard of it after less than 1 s",
        ),
        (Happening.RESOLVED, {"status": "open"}, "Was resolved, and is open again"),
        (
            Happening.OPENED,
            {"status": "resolved", "resolved_by": "sender", "resolved_at": after(minutes=1)},
            "Resolved by its sender after 1 min",
        ),
        (Happening.OPENED, {"opened_at": None}, "Opened"),
        (Happening.RESOLVED, {"status": None, "opened_at": "soon"}, "Resolved"),
    ],
)
def test_what_happened(happening: Happening, incident: dict[str, Any], state: str) -> None:
    told = brief(message(changed(P0, incident=incident), happening))
    assert told.state == f"{state}. shop_eu, rule database_down"


def test_no_rule_and_no_target() -> None:
    told = brief(message(changed(P0, incident={"rule": None, "target": None})))
    assert told.state.endswith(". no target, no rule")


@pytest.mark.parametrize(
    ("document", "cause"),
    [
        (BARE, "Not known yet: still looking for the cause."),
        (
            changed(BARE, decision={"sentence": "No rule answers this alert."}),
            "Not known. No rule answers this alert.",
        ),
        (
            changed(P0, findings=[{"summary": str(number)} for number in range(5)]),
            "0\n1\n2\n... 2 more causes",
        ),
        (changed(P0, findings=[{"summary": "two\nlines "}]), "two lines"),
        (
            changed(BARE, incident={"status": "resolved"}),
            "It was over before a cause was found.",
        ),
    ],
)
def test_the_cause_or_why_it_is_not_known(document: dict[str, Any], cause: str) -> None:
    assert part(document, "Cause") == cause


def fix(**changes: Any) -> dict[str, Any]:
    return changed(FIXED, fixes=[{**FIXED["fixes"][0], **changes}])


@pytest.mark.parametrize(
    ("changes", "decision", "fixed"),
    [
        ({}, "Nothing is left to do.", "Made and verified: the cause is gone, after 31 s."),
        ({"verified_at": None}, "Nothing is left", "Made and verified: the cause is gone.\n"),
        ({"verification": "waiting"}, "is being verified.", "Made; whether"),
        ({"verification": "failed"}, "still there.", "Made; the cause is still there."),
        ({"verification": "not_asked"}, "could not be asked.", "could not be asked."),
        ({"status": "recorded"}, "The responder is fixing it now: Queue", "Under way."),
        (
            {"status": "rolled_back", "reason": "too many rows"},
            "Rolled back; nothing was changed. too many rows",
            "Rolled back; nothing was changed. too many rows",
        ),
        ({"status": "refused", "reason": "busy"}, "Not made. busy", "Not made. busy"),
        ({"status": "unknown"}, "look before you repeat it.", "Nobody can say whether"),
        ({"status": "undone"}, "Made, and undone.", "Made, and undone."),
    ],
)
def test_how_far_a_fix_is(changes: dict[str, Any], decision: str, fixed: str) -> None:
    assert decision in part(fix(**changes), "Decision")
    assert fixed in part(fix(**changes), "Fix")


@pytest.mark.parametrize(("verification", "offered"), [("held", False), ("failed", True)])
def test_what_is_mended_needs_no_offer(verification: str, offered: bool) -> None:
    assert ("You can" in titles(fix(verification=verification))) == offered


def test_a_fix_shows_what_changed_before_and_after() -> None:
    assert part(FIXED, "Fix") == (
        "Queue the failed items again whose error may pass, by the responder, "
        "2026-03-14 03:12 UTC\n"
        "Made and verified: the cause is gone, after 31 s.\n"
        "Changed: 12 rows of shopify_sync_queue.\n"
        "row        column       before               after\n"
        "all 12     retry_count  3                    0\n"
        "all 12     status       failed               queued\n"
        "7abad000…  last_error   no answer from Sho…  empty\n"
        "7abad001…  last_error   HTTP 502 Bad Gatew…  empty\n"
        "7abad002…  last_error   HTTP 503 Service U…  empty\n"
        "7abad003…  last_error   no answer from Sho…  empty\n"
        "7abad004…  last_error   HTTP 502 Bad Gatew…  empty\n"
        "... 7 more rows"
    )


def test_what_was_rolled_back_shows_no_change() -> None:
    told = part(fix(status="rolled_back"), "Fix")
    assert "before" not in told
    assert "Changed" not in told


def test_a_fix_by_a_person_names_the_person() -> None:
    assert ", by alice, " in part(fix(actor={"kind": "person", "name": "alice"}), "Fix")


def test_a_fix_from_before_the_decision_is_not_taken_for_its_answer() -> None:
    decision = {**P0["decision"], "at": after(minutes=9)}
    document = changed(FIXED, decision=decision)
    assert part(document, "Decision") == decision["sentence"]
    assert "Made and verified" in part(document, "Earlier fix")
    assert "You can" in titles(document)
    running = changed(FIXED, decision={**FIXED["decision"], "at": after(minutes=9)})
    assert part(running, "Decision").startswith("The responder is fixing it now")
    failed = {**decision, "action": "hand_over", "reason": "not_verified"}
    assert "Fix" in titles(changed(FIXED, decision=failed))


def test_the_newest_of_many_fixes_comes_first() -> None:
    fixes = [{**FIXED["fixes"][0], "option": f"option_{number}"} for number in range(4)]
    lines = part(changed(FIXED, fixes=fixes), "Fix").splitlines()
    assert [each[:8] for each in lines if each.startswith("option_")] == ["option_3", "option_2"]
    assert lines[-1] == "... 2 earlier"


def test_an_offer_has_its_caution_what_it_asks_and_how_to_do_it() -> None:
    option = {
        "name": "assign_store",
        "title": "Assign a store",
        "offered": True,
        "asks": {"store": "Which store?", "location": "Which location?"},
        "caution": "Look twice.",
        "run": "",
    }
    others = [{**option, "title": str(number)} for number in range(9)]
    document = changed(P0, options=[option, {**option, "offered": False}, *others])
    told = part(document, "You can")
    assert told.startswith(
        "1. Assign a store\n"
        "The responder can run it for you: option assign_store.\n"
        "It asks: Which store?; Which location?\n"
        "Caution: Look twice.\n"
        "2. 0\n"
    )
    assert told.endswith("... 6 more")


@pytest.mark.parametrize(
    ("status", "next_at", "told"),
    [
        ("open", None, "Level 3: DevOps Lead."),
        (
            "open",
            "2026-03-14T03:17:00+00:00",
            "Level 3: DevOps Lead. If nobody acknowledges, it goes on at 2026-03-14 03:17 UTC.",
        ),
        (
            "acknowledged",
            "2026-03-14T03:42:00+00:00",
            "Level 3: DevOps Lead."
            " The acknowledgement holds until 2026-03-14 03:42 UTC; a note or a fix renews it.",
        ),
    ],
)
def test_who_was_told_and_when_the_next_ones_are(
    status: str, next_at: str | None, told: str
) -> None:
    document = changed(P0, incident={**P0["incident"], "status": status})
    assert "Escalation" not in titles(document), "nobody beyond the responder yet"
    document["escalation"] = {"level": 3, "next_at": next_at, "sentence": "Level 3: DevOps Lead."}
    assert part(document, "Escalation") == told
    assert "Escalation" not in titles(document, Happening.RESOLVED)


@pytest.mark.parametrize(
    ("role", "said"),
    [
        ("admin", "The responder can run it for you if you have the role admin: option drop."),
        ("operator", "The responder can run it for you: option drop."),
    ],
)
def test_an_offer_says_whose_role_it_needs(role: str, said: str) -> None:
    option = {"name": "drop", "title": "Drop it", "offered": True, "role": role}
    assert part(changed(P0, options=[option]), "You can") == f"1. Drop it\n{said}"


def test_what_waits_for_a_second_person_is_told_with_its_time() -> None:
    waits = {"option": "drop", "actor": "ann", "expires_at": after(minutes=30)}
    answered = {**waits, "parameters": {"lot": "7\n*x*", "why": "old"}}
    told = changed(P0, approvals=[{**waits, "parameters": {}}, answered])
    until = f"Another person must approve the very same until {when(after(minutes=30))}."
    assert part(told, "Waits for a second person").splitlines() == [
        f"ann approved drop. {until}",
        f"ann approved drop with lot = 7 *x*, why = old. {until}",
    ]
    assert "Waits for a second person" not in titles(changed(P0, approvals=[]))
    assert "Waits for a second person" not in titles(told, Happening.RESOLVED)


def test_an_offer_for_two_people_says_so() -> None:
    option = {"name": "drop", "title": "Drop it", "offered": True, "dangerous": True}
    assert "\nTwo people must approve it." in part(changed(P0, options=[option]), "You can")


def test_a_failed_question_is_evidence_and_one_behind_it_is_not() -> None:
    assert part(P0, "Evidence") == (
        "Does the port answer? Failed: nothing listens on port 5432 of db.shop.example.com"
    )


def test_without_a_cause_all_answers_are_evidence() -> None:
    assert part(changed(FIXED, findings=[]), "Evidence") == (
        "How many items are in which status?\n"
        "count  status\n"
        "  801  completed\n"
        "   12  failed\n"
        "Which items have waited for more than ten minutes? No rows."
    )


def test_the_alert_says_what_its_title_does_not() -> None:
    alert = {
        **P0["alerts"][0],
        "annotations": {"summary": P0["incident"]["title"], "description": "Since\nfive minutes."},
    }
    assert part(changed(P0, alerts=[alert, alert]), "Alert") == (
        "DatabaseDown firing, told by alertmanager; the newest of 2 notices\n"
        "Since five minutes.\n"
        "alertname=DatabaseDown env=production job=shop severity=critical"
    )


def test_links_are_for_browsers_and_ours_cannot_be_imitated() -> None:
    found = {
        "source": "http://prometheus.example.com/?a=b&c",
        "self": "https://responder.example.com/v1/incidents/1",
        "console": "https://responder.example.com/console/1",
        "incident": "https://evil.example.com/",
        "runbook": "javascript:alert(1)",
        "panel": 'https://x/"onclick',
        "dashboard": "https://[half",
        "silence": "https://" + "x" * 2_000,
    }
    told = brief(message({**P0, "links": found}))
    assert list(told.links.items()) == [
        ("incident", "https://responder.example.com/console/1"),
        ("source", "http://prometheus.example.com/?a=b&c"),
        ("API", "https://responder.example.com/v1/incidents/1"),
    ]


def test_a_summary_counts_and_names_the_gravest() -> None:
    told = brief(message(SUMMARY, Happening.SUMMARY))
    assert told.headline == "[P0] 2,913 more incidents"
    assert told.state == ("Instead of 3,104 messages, 2026-03-14 03:12 UTC to 2026-03-14 03:14 UTC")
    lines = shown(SUMMARY, Happening.SUMMARY).splitlines()
    assert "12 P0, 40 P1, 2,861 P2" in lines
    assert "2,913 opened, 191 resolved" in lines
    assert sum("is stuck" in each for each in lines) == 20


@patient
@given(documents(), happenings)
def test_any_document_is_told(document: dict[str, Any], happening: Happening) -> None:
    told = brief(message(document, happening))
    assert told.severity in ("P0", "P1", "P2", "P3", "P?")
    assert told.title
    assert told.parts
    for text in (told.headline, told.state, told.in_short):
        assert text.strip()
        assert len(text.splitlines()) == 1
    assert all(is_link(href) for href in told.links.values())
    shown = plain(told, False, 20_000)
    shown.encode()
    assert not set(shown) & set("\x00\x1b\u202e\r")


@patient
@given(st.dictionaries(st.text(max_size=9), ODD), happenings)
def test_anything_is_a_document(document: dict[str, Any], happening: Happening) -> None:
    assert plain(brief(message(document, happening)), False, 2_000).startswith("[P")


@patient
@given(st.lists(st.dictionaries(st.text(max_size=9), ODD, max_size=6), max_size=9))
def test_any_rows_are_a_table(rows: list[dict[str, Any]]) -> None:
    lines = table(rows, 99).splitlines()
    assert len(lines) <= 10
    assert all(len(each) <= 2 * WIDTH for each in lines)


@pytest.mark.parametrize(
    ("rows", "lines"),
    [
        ([], []),
        ([{}], []),
        ([{"a": None}], []),
        ([{"state": "down", "used": 97}], ["state  down", "used   97"]),
        (
            [{"id": 1, "b": True}, {"id": 20, "b": None}],
            ["id  b", " 1  true", "20"],
        ),
        ([{"id": 1}] * 3, ["all 3: id 1"]),
        (
            [{"id": number} for number in range(9)],
            ["id", " 0", " 1", " 2", " 3", " 4", "... 4 more"],
        ),
        (
            [{"at": AT.isoformat()}, {"at": "2026-03-14 03:12:09.5Z"}, {"at": "x"}],
            ["at", "2026-03-14 03:12:09", "2026-03-14 03:12:09", "x"],
        ),
        (
            [{"wide": "w" * 90, "id": 1}, {"wide": "v" * 90, "id": 2, "other": "o" * 40}],
            ["wide" + " " * 42 + "id", "w" * 43 + "…   1", "v" * 43 + "…   2"],
        ),
        (
            [{"id": "7abad408-8513-4cc7-b40b-223744b61f9a", "n": {"a": [1]}}, {"id": 1}],
            ["id         n", '7abad408…  {"a": [1]}', "1"],
        ),
        ([{"a\nb": "c\td", "x": 1}, {"x": 2}], ["a b  x", "c d  1", "     2"]),
    ],
)
def test_tables(rows: list[dict[str, Any]], lines: list[str]) -> None:
    assert table(rows).splitlines() == lines


@pytest.mark.parametrize("hostile", HOSTILE)
def test_one_line_is_one_line(hostile: str) -> None:
    told = line(hostile, 60)
    assert len(told.splitlines()) == 1
    assert len(told) <= 60
    told.encode()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (0, "0"),
        (1.5, "1.5"),
        (math.nan, "nan"),
        ({"a": [None]}, '{"a": [null]}'),
        ("x" * 9, "xxxx…"),
    ],
)
def test_values_as_text(value: object, text: str) -> None:
    assert line(value, 5 if value == "x" * 9 else 50) == text


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (AT.isoformat(), "2026-03-14 03:12 UTC"),
        ("2026-03-14T05:12:09+02:00", "2026-03-14 03:12 UTC"),
        ("2026-03-14T03:12:09", "2026-03-14 03:12 UTC"),
        ("0001-01-01T00:00:00+14:00", ""),
        ("9999-12-31T23:59:59-14:00", ""),
        ("soon", ""),
        (7, ""),
        (None, ""),
    ],
)
def test_times(value: object, said: str) -> None:
    assert when(value) == said


def test_a_time_without_a_zone_is_utc_wherever_we_are(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        assert when("2026-03-14T03:12:09") == "2026-03-14 03:12 UTC"
    time.tzset()


@pytest.mark.parametrize(
    ("span", "said"),
    [
        (timedelta(), "less than 1 s"),
        (timedelta(seconds=59.9), "59 s"),
        (timedelta(minutes=4), "4 min"),
        (timedelta(hours=2, minutes=5, seconds=9), "2 h 5 min"),
        (timedelta(days=3), "3 d"),
        (timedelta(seconds=-1), ""),
    ],
)
def test_spans(span: timedelta, said: str) -> None:
    assert lasted(AT.isoformat(), (AT + span).isoformat()) == said


def _deep(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, {1: {(2, 3): "x"}}, "\ud800", b"x", _deep(5_000), {"a": {1, 2}}],
)
def test_anything_is_json(value: object) -> None:
    json.loads(as_json({"it": value, "kept": 7}), parse_constant=pytest.fail)


def test_what_is_json_stays_as_it_is() -> None:
    assert as_json({"a": [1, 2.5, None, True, "ü"]}) == '{"a": [1, 2.5, null, true, "ü"]}'.encode()


def test_a_number_that_python_does_not_write() -> None:
    large = 10**5000
    assert line(large, 50) == "a very large number"
    assert json.loads(as_json({"it": large})) == {"it": "a very large number"}


# The morning digest


def test_a_morning_is_told_part_by_part_with_true_counts() -> None:
    told = brief(message(DIGEST, Happening.DIGEST))
    assert told.headline == "[P3] Morning digest"
    assert "12 waiting for a person" in told.state and "2 not understood" in told.state
    assert "3 begun and ended at P3" in told.state
    texts = {each.title: each.pieces[0].text for each in told.parts}
    assert texts["Waiting for a person"].splitlines() == [
        "new: [P2] Batch LOT-000060 is stuck (shop_eu, 2026-03-14 03:12 UTC):"
        " complete_batch is proposed",
        "... 11 more",
    ]
    assert texts["Taken more than a day ago"].endswith(": ann has it since 2026-03-12 01:22 UTC")
    assert "12 rows of shopify_sync_queue; verification held" in texts["Fixed by the responder"]
    assert texts["Maintenance"].endswith("; 5 items of its list are open")
    assert texts["P3 that began and ended"].startswith("3; see: responder incidents list ")
    assert "responder deliveries list" in texts["Webhooks that were not understood"]


# Maintenance


def test_a_maintenance_says_what_is_open() -> None:
    told = brief(message(MAINTENANCE, Happening.MAINTENANCE))
    assert told.headline == "[P3] Maintenance weekly (Database maintenance)"
    assert told.state.startswith("Finishing; 2026-03-14 ")
    assert [each.title for each in told.parts] == ["Maintenance", "Still open"]
    assert told.parts[1].pieces[0].text == "[ ] Run smoke tests\n[ ] Update status page"


def test_of_a_long_list_the_first_are_told() -> None:
    many = [f"item {n}" for n in range(30)]
    long = changed(MAINTENANCE, maintenance={**MAINTENANCE["maintenance"], "open": many})
    lines = brief(message(long, Happening.MAINTENANCE)).parts[1].pieces[0].text.splitlines()
    assert (len(lines), lines[-1]) == (21, "... 10 more")


@pytest.mark.parametrize(
    ("during", "sentence"),
    [
        (True, "It began during maintenance weekly (Database maintenance)."),
        (
            False,
            "It began shortly after maintenance weekly (Database maintenance), which ended"
            " 2026-03-14 05:12 UTC.",
        ),
    ],
)
def test_an_incident_says_that_maintenance_was_here(during: bool, sentence: str) -> None:
    document = changed(P0, maintenance={**MAINTENANCE["maintenance"], "during": during})
    assert part(document, "Cause").splitlines()[-1] == sentence
    assert sentence not in part(changed(P0, maintenance=None), "Cause")
