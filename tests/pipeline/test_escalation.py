"""Who is told when nobody takes an incident: each severity, on a clock that is driven."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from responder.domain.settings import Contact, Level, Route
from responder.pipeline.people import acknowledge, close
from responder.receivers import Undelivered
from tests.house import alert
from tests.ladder import (
    ANN,
    HOUR,
    MINUTE,
    NIGHT,
    OFFICE,
    PAGER,
    RECEIVERS,
    WORDS,
    Climbing,
    fires,
    heard,
    passes,
    stands,
    steps,
)
from tests.small_rules import small_rule
from tests.walks import timers

FIVE = 5 * MINUTE
BY_HAND = 'Option("mend", "Mend it", run="echo mend")'


def test_a_p0_climbs_to_level_4_and_begins_again(climbing: Climbing) -> None:
    house = climbing()
    fires(house, "P0")
    assert (heard(house, "pager"), stands(house)["level"]) == (["opened"], 2)
    for level in (3, 4, 2, 3, 4, 2):
        passes(house, FIVE)
        assert stands(house)["level"] == level
    assert heard(house, "pager") == ["opened", "opened-r1", "opened-r2"]
    assert (heard(house, "lead"), heard(house, "admin")) == (["opened"] * 2, ["opened"] * 2)
    assert steps(house) == [
        *(("climbed", 3), ("climbed", 4), ("repeated", 2)),
        *(("climbed", 3), ("climbed", 4), ("repeated", 2)),
    ]


def test_a_step_does_not_come_early(climbing: Climbing) -> None:
    house = climbing()
    fires(house, "P0")
    passes(house, FIVE - timedelta(seconds=10))
    assert (steps(house), heard(house, "lead")) == ([], [])


def test_each_step_says_who_why_and_what_is_next(climbing: Climbing) -> None:
    house = climbing()
    fires(house, "P0")
    passes(house, FIVE)
    (event,) = house.sql("SELECT * FROM audit_event WHERE what = 'escalation'")
    told, now = event["details"], event["at"]
    assert (event["actor_kind"], event["actor"]) == ("system", "timer")
    assert (event["before"], event["after"], told["level"]) == ("level 2", "climbed", 3)
    assert (told["told"], told["receivers"]) == (["DevOps Lead"], ["lead"])
    assert told["why"] == "nobody took it in time"
    assert told["next_at"] == (now + FIVE).isoformat()
    assert stands(house) == {
        "level": 3,
        "next_at": (now + FIVE).isoformat(),
        "contacts": ["DevOps Lead"],
        "sentence": "Level 3: DevOps Lead.",
    }


def test_a_p1_climbs_to_level_3_alone(climbing: Climbing) -> None:
    house = climbing()
    fires(house, "P1")
    for _ in range(5):
        passes(house, FIVE)
    assert steps(house) == [("climbed", 3)]
    assert (heard(house, "lead"), heard(house, "admin")) == (["opened"], [])
    assert (stands(house)["level"], stands(house)["next_at"]) == (3, None)
    assert "escalate" not in timers(house)


def test_a_p2_wakes_on_call_after_an_hour_and_the_lead_after_two(climbing: Climbing) -> None:
    house = climbing()
    fires(house, "P2")
    assert (stands(house)["level"], heard(house, "pager")) == (1, [])
    passes(house, 59 * MINUTE)
    assert heard(house, "pager") == []
    passes(house, MINUTE)
    assert (stands(house)["level"], heard(house, "pager")) == (2, ["opened"])
    passes(house, HOUR)
    assert heard(house, "lead") == ["opened"]
    for _ in range(3):
        passes(house, HOUR)
    assert steps(house) == [("climbed", 2), ("climbed", 3)]


@pytest.mark.parametrize(
    ("at", "told_at"),
    [
        ("2027-03-10 09:00", "2027-03-11 08:00"),
        ("2027-03-12 20:00", "2027-03-15 08:00"),
        # The clock goes forward on Sunday, 2027-03-28, and back on 2027-10-31.
        ("2027-03-26 12:00", "2027-03-29 07:00"),
        ("2027-10-29 12:00", "2027-11-01 08:00"),
    ],
)
def test_a_p3_wakes_nobody_and_tells_the_lead_on_the_next_business_day(
    climbing: Climbing, at: str, told_at: str
) -> None:
    """PagerDuty can only wake, so at P3 it is passed over."""
    house = climbing(at)
    fires(house, "P3")
    due_at = stands(house)["next_at"]
    assert due_at[:16] == told_at.replace(" ", "T")
    while steps(house) == []:
        passes(house, 6 * HOUR)
    assert (heard(house, "pager"), heard(house, "lead")) == ([], ["updated"])
    assert house.incident().paged_at is None
    passes(house, 96 * HOUR)
    assert (steps(house), heard(house, "lead")) == ([("climbed", 3)], ["updated"])


@pytest.mark.parametrize("severity", WORDS)
def test_whoever_takes_it_lets_the_others_sleep(climbing: Climbing, severity: str) -> None:
    house = climbing()
    fires(house, severity)
    assert acknowledge(house.services, house.incident().id, ANN)
    assert "escalate" not in timers(house)
    passes(house, 29 * MINUTE)
    assert (steps(house), heard(house, "lead"), heard(house, "admin")) == ([], [], [])


@pytest.mark.parametrize("severity", WORDS)
def test_nobody_is_told_after_the_end(climbing: Climbing, severity: str) -> None:
    house = climbing()
    fires(house, severity)
    assert close(house.services, house.incident().id, ANN)
    assert (timers(house), stands(house)["next_at"]) == ([], None)
    passes(house, 72 * HOUR)
    assert (steps(house), heard(house, "lead")) == ([], [])


def test_the_end_closes_every_key_that_was_opened(climbing: Climbing) -> None:
    house = climbing()
    fires(house, "P0")
    for _ in range(6):
        passes(house, FIVE)
    assert close(house.services, house.incident().id, ANN)
    house.settle()
    assert heard(house, "pager") == [
        *("opened", "opened-r1", "opened-r2"),
        *("resolved", "resolved-r1", "resolved-r2"),
    ]
    assert heard(house, "admin") == ["opened", "opened", "resolved"], "a mail has no key to close"


def test_an_acknowledgement_is_told_to_every_key(climbing: Climbing) -> None:
    house = climbing()
    fires(house, "P0")
    for _ in range(3):
        passes(house, FIVE)
    acknowledge(house.services, house.incident().id, ANN)
    house.settle()
    assert heard(house, "pager")[2:] == ["acknowledged", "acknowledged-r1"]


def test_what_fires_again_begins_at_the_first_level_under_the_first_key(climbing: Climbing) -> None:
    house = climbing()
    fires(house, "P0")
    for _ in range(3):
        passes(house, FIVE)
    house.post(alert("Odd", status="resolved", severity="critical"))
    house.settle()
    passes(house, 6 * MINUTE)
    fires(house, "P0")
    assert stands(house)["level"] == 2
    passes(house, FIVE)
    assert heard(house, "pager") == [
        *("opened", "opened-r1", "resolved", "resolved-r1"),
        "opened",
    ]
    passes(house, FIVE)
    assert (steps(house)[-1], stands(house)["level"]) == (("climbed", 3), 3)


# Receivers with a policy of their own


def test_a_pager_that_escalates_by_itself_is_told_once(climbing: Climbing) -> None:
    """The others are not behind it, so they are climbed to, again and again."""
    house = climbing(pager=replace(PAGER, escalates=True))
    fires(house, "P0")
    for _ in range(5):
        passes(house, FIVE)
    assert heard(house, "pager") == ["opened"]
    assert steps(house) == [
        *(("climbed", 3), ("climbed", 4)),
        *(("repeated", 3), ("climbed", 4), ("repeated", 3)),
    ]


@pytest.mark.parametrize("severity", ["P0", "P1", "P2"])
def test_a_user_of_one_pagerduty_service_is_woken_once(climbing: Climbing, severity: str) -> None:
    """No levels, no contacts, the default routes."""
    pager = replace(PAGER, escalates=True)
    house = climbing(pager=pager, levels=(), contacts={})
    fires(house, severity)
    passes(house, HOUR)
    assert (heard(house, "pager"), stands(house)["level"]) == (["opened"], 2)
    assert (stands(house)["next_at"], "escalate" in timers(house)) == (None, False)
    passes(house, 5 * HOUR)
    assert heard(house, "pager") == ["opened"]


def test_without_levels_whoever_is_paged_for_a_p0_is_paged_again(climbing: Climbing) -> None:
    house = climbing(levels=(), contacts={})
    fires(house, "P0")
    passes(house, FIVE)
    passes(house, FIVE)
    assert heard(house, "pager") == ["opened", "opened-r1", "opened-r2"]
    assert steps(house) == [("repeated", 2), ("repeated", 2)]


def test_who_hears_of_it_by_two_levels_gets_a_key_that_wakes(climbing: Climbing) -> None:
    """The same service stands behind the lead: with the first key nobody would be woken."""
    lead = Contact("devops_lead", "DevOps Lead", ("pager",))
    admin = Contact("database_admin", "Database Admin", ("admin",))
    house = climbing(contacts={"devops_lead": lead, "database_admin": admin})
    fires(house, "P1")
    passes(house, FIVE)
    assert heard(house, "pager") == ["opened", "opened-r1"]


def test_what_came_from_pagerduty_is_climbed_beside_it(climbing: Climbing) -> None:
    """PagerDuty has woken people already, and hears nothing of it from us."""
    house = climbing()
    settings = house.services.settings
    source = replace(settings.sources["prometheus"], type="pagerduty")
    fires(house, "P0")
    assert heard(house, "pager") == ["opened"]
    house.with_settings(sources={"prometheus": source})
    for _ in range(4):
        passes(house, FIVE)
    assert heard(house, "pager") == ["opened"]
    assert steps(house) == [("climbed", 3), ("climbed", 4), ("repeated", 3), ("climbed", 4)]


# Nobody available


def test_at_night_a_p0_passes_the_lead_over_and_says_so(climbing: Climbing) -> None:
    house = climbing(NIGHT)
    fires(house, "P0")
    passes(house, FIVE)
    assert (steps(house), heard(house, "lead")) == ([("climbed", 4)], [])
    (event,) = house.sql("SELECT details FROM audit_event WHERE what = 'escalation'")
    assert event["details"]["passed_over"] == {"DevOps Lead": "2027-03-10T08:00:00+00:00"}
    (message,) = house.services.receivers["admin"].got  # type: ignore[attr-defined]
    assert message.document["escalation"]["sentence"] == (
        "Level 4: Database Admin. DevOps Lead is not available before 2027-03-10 08:00 UTC."
    )


def test_at_night_a_p1_waits_for_the_lead_and_says_so(climbing: Climbing) -> None:
    house = climbing(NIGHT)
    fires(house, "P1")
    before = heard(house, "hook")
    passes(house, FIVE)
    assert steps(house) == [("nobody_available", 2)]
    assert stands(house)["sentence"] == (
        "Nobody is available at the next level."
        " DevOps Lead is not available before 2027-03-10 08:00 UTC."
    )
    assert stands(house)["next_at"] == "2027-03-10T08:00:00+00:00"
    assert heard(house, "hook") == [*before, "updated"], "who follows it hears of that"
    passes(house, 5 * HOUR)
    assert heard(house, "lead") == []
    passes(house, HOUR)
    assert (steps(house)[1:], heard(house, "lead")) == ([("climbed", 3)], ["opened"])


@pytest.mark.parametrize(
    ("at", "opens"),
    [
        # 9 in Berlin on the Monday after the clock went forward, and after it went back.
        ("2027-03-27 23:30", "2027-03-29T07:00:00+00:00"),
        ("2027-03-28 00:58", "2027-03-29T07:00:00+00:00"),
        ("2027-10-30 23:30", "2027-11-01T08:00:00+00:00"),
        ("2027-10-31 00:58", "2027-11-01T08:00:00+00:00"),
    ],
)
def test_in_the_nights_of_a_clock_change_steps_keep_their_time(
    climbing: Climbing, at: str, opens: str
) -> None:
    """Five minutes are five minutes, and the lead comes at 9 by the new clock."""
    house = climbing(at)
    fires(house, "P1")
    due_at = stands(house)["next_at"]
    passes(house, FIVE)
    assert (steps(house), stands(house)["next_at"]) == ([("nobody_available", 2)], opens)
    assert due_at < opens


def test_nobody_on_call_makes_the_next_level_first(climbing: Climbing) -> None:
    lead = Contact("devops_lead", "DevOps Lead", ("lead",), OFFICE)
    admin = Contact("database_admin", "Database Admin", ("admin",))
    house = climbing(
        NIGHT,
        contacts={"devops_lead": lead, "database_admin": admin},
        levels=(Level(2, contacts=("devops_lead",)), Level(3, contacts=("database_admin",))),
        routes=(Route(("hook",)),),
    )
    fires(house, "P0")
    assert (heard(house, "admin"), heard(house, "lead")) == (["opened"], [])
    assert steps(house) == [("climbed", 3)]


# Beside the levels


@pytest.mark.parametrize(("rule", "told"), [("leak", ["opened"]), ("other", [])])
def test_the_contact_of_a_rule_hears_of_it_with_on_call(
    climbing: Climbing, tmp_path: Path, rule: str, told: list[str]
) -> None:
    security = Contact("security", "Security Team", ("security",), rules=(rule,))
    leak = small_rule(tmp_path, "Leak", "p1", options=BY_HAND)
    house = climbing(contacts={"security": security}, levels=(), rules=[leak])
    fires(house, "P2", "Leak")
    assert (house.incident().rule, house.incident().severity) == ("leak", "P1")
    assert (heard(house, "pager"), heard(house, "security")) == (["opened"], told)


def test_level_2_is_woken_also_where_no_route_pages(climbing: Climbing) -> None:
    house = climbing(routes=(Route(("hook",)),))
    fires(house, "P1")
    assert heard(house, "pager") == ["opened"]


def test_a_severity_that_rises_climbs_at_its_new_pace(climbing: Climbing) -> None:
    """Also where the path of the milder severity had come to its end."""
    house = climbing()
    one = {"fingerprint": "f00d"}
    house.post(alert("Odd", severity="error") | one)
    house.settle()
    passes(house, FIVE)
    passes(house, FIVE)
    assert (steps(house), stands(house)["next_at"]) == ([("climbed", 3)], None)
    house.post(alert("Odd", severity="critical") | one)
    house.settle()
    assert (house.incident().severity, stands(house)["level"]) == ("P0", 3)
    passes(house, FIVE + timedelta(seconds=2))
    assert (steps(house)[1:], heard(house, "admin")) == ([("climbed", 4)], ["opened"])


def test_a_rising_severity_of_what_somebody_has_gives_them_less_time(climbing: Climbing) -> None:
    house = climbing()
    one = {"fingerprint": "f00d"}
    house.post(alert("Odd", severity="warning") | one)
    house.settle()
    acknowledge(house.services, house.incident().id, ANN)
    assert timers(house) == ["quiet"]
    house.post(alert("Odd", severity="critical") | one)
    house.settle()
    assert (house.incident().severity, house.incident().status) == ("P0", "acknowledged")
    assert timers(house) == ["acknowledged", "quiet"]
    passes(house, 31 * MINUTE)
    assert (house.incident().status, steps(house)) == ("open", [("climbed", 3)])


def test_a_storm_of_steps_is_told_in_a_summary(climbing: Climbing) -> None:
    """The receiver's rate holds, also for people who are climbed to."""
    lead = replace(RECEIVERS["lead"], per_minute=4)
    house = climbing(receivers={**RECEIVERS, "lead": lead})
    house.post(*(alert("Odd", severity="critical", instance=str(number)) for number in range(12)))
    house.settle()
    house.later(timedelta(seconds=2))
    house.settle()
    passes(house, FIVE)
    told = [each.partition("-")[0] for each in heard(house, "lead")]
    assert len(told) <= 4 and "summary" in told
    assert len(steps(house)) == 12


def test_a_page_that_its_receiver_does_not_take_holds_up_no_step(climbing: Climbing) -> None:
    house = climbing()
    house.pager.fails = Undelivered("PagerDuty is away", permanent=False)
    fires(house, "P0")
    passes(house, FIVE)
    assert heard(house, "lead") == ["opened"]


def test_an_escalation_hides_no_incident_that_is_lost(climbing: Climbing) -> None:
    """The ledger counts what has a next step of the engine; that people are told is none."""
    house = climbing()
    fires(house, "P0")
    assert (timers(house), house.gap()) == (["escalate", "quiet"], (0, 0))
    house.sql("DELETE FROM timer WHERE what = 'quiet'")
    assert house.gap() == (0, 1)


def test_a_timer_of_the_release_before_is_a_step(climbing: Climbing) -> None:
    house = climbing()
    fires(house, "P2")
    house.sql("UPDATE timer SET what = 'unattended' WHERE what = 'escalate'")
    passes(house, HOUR)
    assert (steps(house), heard(house, "pager")) == ([("climbed", 2)], ["opened"])
