"""A version of a rule is let act by a person who saw what it would have done before."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from responder.domain.actor import Actor, ActorKind
from responder.domain.decision import Autonomy
from responder.domain.incident import ResolvedBy
from responder.domain.settings import RuleSettings
from responder.pipeline.by_hand import Asked, ask
from responder.pipeline.promotion import SPAN, Did, NotPromoted, agreement, promote
from responder.pipeline.walking import resolve
from responder.runbook.catalogue import Catalogue
from responder.runbook.loader import LoadedRule
from responder.store.incidents import lock_incident
from tests.house import House, alert
from tests.small_rules import small_rule
from tests.walks import fixes, reasons

ANN = Actor(ActorKind.PERSON, "ann")
Start = Callable[..., House]
TWO = (
    'Option("mend", "Mend it", automatic=True, changes=("thing",), max_rows=5,'
    ' verify=Within("2m")), Option("other", "Do otherwise", changes=("thing",), max_rows=5)'
)
OTHERWISE = {
    "other_before": "SELECT id FROM thing WHERE state = 'bad' FOR UPDATE",
    "other": "UPDATE thing SET state = 'good' WHERE state = 'bad' RETURNING *",
    "other_verify": "SELECT true AS gone",
}


def the_rule(house: House) -> LoadedRule:
    return house.services.catalogue.rules["thing"]


def report(house: House) -> dict[str, Any]:
    with house.services.store.transaction() as tx:
        return agreement(tx, the_rule(house))


def broken(house: House) -> None:
    """It breaks once more, and the rule may only propose."""
    house.shop.run("UPDATE thing SET state = 'bad' WHERE id = 1")
    house.post(alert("Thing"))
    house.settle()


def over(house: House) -> None:
    house.post(alert("Thing", "resolved"))
    house.settle()
    house.later(timedelta(hours=1))


def newest(house: House) -> Any:
    return house.incidents()[-1]


def by_ann(house: House, option: str) -> None:
    incident = newest(house)
    ask(house.services, Asked(incident.id, option, incident.decision_id), ANN, "operator")
    house.settle()


def test_it_acts_from_the_promotion_on(start: Start) -> None:
    house = start(promoted=False)
    broken(house)
    assert house.decision() == ("propose", "autonomy")
    done = promote(house.services, the_rule(house), Autonomy.ACT, ANN)
    assert (done.before, done.after, done.ceiling) == ("propose", "act", "act")
    over(house)
    broken(house)
    assert reasons(house) == ["autonomy", "allowed"]
    assert [fix["status"] for fix in fixes(house)] == ["committed"]
    (event,) = house.sql("SELECT * FROM audit_event WHERE what = 'promotion'")
    assert (event["actor"], event["before"], event["after"]) == ("ann", "propose", "act")
    assert event["details"]["checksum"] == the_rule(house).checksum
    assert event["details"]["agreement"]["would_have_acted"] == 1


def test_it_can_be_taken_back(start: Start) -> None:
    house = start()
    promote(house.services, the_rule(house), Autonomy.OBSERVE, ANN)
    broken(house)
    assert house.decision() == ("propose", "autonomy")


def test_edited_code_is_another_version(start: Start, tmp_path: Path) -> None:
    house = start(promoted=False)
    broken(house)
    promote(house.services, the_rule(house), Autonomy.ACT, ANN)
    over(house)
    edited = small_rule(tmp_path / "edited", max_rows=4)
    house.services = replace(
        house.services, catalogue=Catalogue((edited,), house.services.settings.targets)
    )
    broken(house)
    assert reasons(house) == ["autonomy", "autonomy"]
    told = report(house)
    assert told["this_version"]["would_have_acted"] == 1
    assert told["other_versions"]["would_have_acted"] == 1


def test_an_incident_tells_of_each_version_that_decided_about_it(
    start: Start, tmp_path: Path
) -> None:
    house = start(promoted=False)
    broken(house)
    first = the_rule(house).checksum
    edited = small_rule(tmp_path / "edited", max_rows=4)
    house.services = replace(
        house.services, catalogue=Catalogue((edited,), house.services.settings.targets)
    )
    assert report(house)["this_version"]["would_have_acted"] == 0
    house.sql("UPDATE incident SET severity = 'P3'")
    house.post(alert("Thing", severity="warning", instance="b"))  # graver, so it looks anew
    house.settle()
    checksums = house.sql("SELECT rule_checksum FROM decision ORDER BY at, id")
    assert [row["rule_checksum"] for row in checksums] == [first, edited.checksum]
    told = report(house)
    assert told["this_version"]["would_have_acted"] == 1
    assert told["other_versions"]["would_have_acted"] == 1


@pytest.mark.parametrize(
    "against",
    [
        "UPDATE autofix SET enabled = false",
        "INSERT INTO maintenance_window VALUES (gen_random_uuid(), now(), now() + interval '1 day',"
        " '[]', true, true, false, 'bea', 'a test')",
    ],
)
def test_where_something_else_held_it_back_it_would_not_have_acted(
    start: Start, against: str
) -> None:
    house = start(promoted=False)
    house.sql(against)
    broken(house)
    assert house.decision() in (("propose", "stopped"), ("propose", "window"))
    assert report(house)["this_version"]["would_have_acted"] == 0


def test_the_report_says_what_people_did(start: Start) -> None:
    house = start(promoted=False, options=TWO, statements=OTHERWISE)
    for option in ("mend", "mend", "other"):
        broken(house)
        by_ann(house, option)
        over(house)
    broken(house)
    over(house)
    broken(house)
    with house.services.store.transaction() as tx:
        resolve(house.services, tx, lock_incident(tx, newest(house).id), ResolvedBy.PERSON, ANN)
    house.settle()
    house.later(timedelta(hours=1))
    broken(house)
    told = report(house)
    counts = told["this_version"]
    assert {each: counts[each] for each in Did} == {
        "same": 2,
        "other": 1,
        "by_hand": 1,
        "went_away": 1,
        "open": 1,
    }
    assert (counts["would_have_acted"], counts["same_held"], counts["acted"]) == (6, 2, 0)
    assert [(each["what"], each["did"]) for each in told["differently"]] == [
        ("by_hand", None),
        ("other", "other"),
    ]
    house.later(SPAN)
    assert report(house)["this_version"]["would_have_acted"] == 0, "that was long ago"


def test_what_it_did_by_itself_is_counted(start: Start) -> None:
    house = start()
    broken(house)
    house.later(timedelta(minutes=1))
    house.settle()
    counts = report(house)["this_version"]
    assert (counts["acted"], counts["acted_held"], counts["acted_failed"]) == (1, 1, 0)


def test_the_ceiling_of_the_settings_is_told(start: Start) -> None:
    house = start(promoted=False)
    house.with_settings(rules={"thing": RuleSettings(Autonomy.PROPOSE)})
    done = promote(house.services, the_rule(house), Autonomy.ACT, ANN)
    assert (done.after, done.ceiling) == ("act", "propose")
    broken(house)
    assert house.decision() == ("propose", "autonomy")


def test_a_rule_that_has_nothing_to_do_by_itself(house: House) -> None:
    rule = house.services.catalogue.rules["database_down"]
    before = house.sql("SELECT * FROM promotion ORDER BY rule")
    with pytest.raises(NotPromoted, match="database_down has no option"):
        promote(house.services, rule, Autonomy.ACT, ANN)
    assert house.sql("SELECT * FROM promotion ORDER BY rule") == before
