"""Options that are only for maintenance windows, and batches: for people who are at work."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from responder.domain.actor import Actor, ActorKind
from responder.domain.incident import Stage
from responder.pipeline.by_hand import Asked, NotBegun, ask
from responder.pipeline.maintenance import NO_WINDOW, Window, end_window, open_window
from tests.house import House, alert
from tests.walks import BAD, SLOWLY, allow_work, fixes, meanwhile, reasons, until

ANN = Actor(ActorKind.PERSON, "ann")
HOUR = timedelta(hours=1)
OURS = ('env="production"',)
OPTION = 'Option("mend", "Mend it", changes=("thing",), max_rows=5, {})'
Start = Callable[..., House]


def proposed(start: Start, of_option: str = "in_window=True", **of_rule: Any) -> House:
    """An incident that waits for a person."""
    house = start(promoted=False, options=OPTION.format(of_option), **of_rule)
    house.post(alert("Thing"))
    house.settle()
    return house


def by_ann(house: House, dry_run: bool = False) -> UUID:
    incident = house.incident()
    asked = Asked(incident.id, "mend", incident.decision_id, dry_run=dry_run)
    fix_id = ask(house.services, asked, ANN, "operator").fix
    assert fix_id is not None
    return fix_id


def why_not(house: House) -> str:
    (option,) = house.document()["options"]
    return str(option["why_not"])


OTHERS = {
    "none": {},
    "a silence": {"page": False, "fix": True},
    "of something else": {"matchers": ('env="staging"',)},
}


@pytest.mark.parametrize("window", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("dry_run", [False, True])
def test_it_is_refused_without_a_window_that_allows_it(
    start: Start, window: dict[str, Any], dry_run: bool
) -> None:
    house = proposed(start)
    if window:
        told = {"matchers": OURS, "duration": HOUR, **window}
        open_window(house.services, Window("a test", **told), ANN)
    assert (house.decision(), why_not(house)) == (("propose", "not_automatic"), NO_WINDOW)
    with pytest.raises(NotBegun, match=NO_WINDOW):
        by_ann(house, dry_run)
    assert (fixes(house), house.shop.rows(BAD)) == ([], [1, 2, 3])


@pytest.mark.parametrize("dry_run", [False, True])
def test_it_runs_while_a_window_allows_it(start: Start, dry_run: bool) -> None:
    house = proposed(start)
    allow_work(house)
    assert why_not(house) == "not_automatic"
    by_ann(house, dry_run)
    house.settle()
    (fix,) = fixes(house)
    assert fix["status"] == ("rolled_back" if dry_run else "committed")
    assert house.shop.rows(BAD) == ([1, 2, 3] if dry_run else [])
    house.later(3 * HOUR)
    assert why_not(house) == NO_WINDOW


def test_a_window_that_ends_meanwhile_takes_it_back(start: Start) -> None:
    """The last gate looks again."""
    house = proposed(start, statements={"mend_before": SLOWLY})
    window_id = allow_work(house)
    by_ann(house)
    with meanwhile(house.run_walks):
        until(lambda: house.shop.rows("SELECT pid FROM pg_locks WHERE locktype = 'advisory'"))
        end_window(house.services, window_id, ANN)
    (fix,) = fixes(house)
    assert (fix["status"], fix["reason"]) == ("refused", NO_WINDOW)
    assert house.shop.rows(BAD) == [1, 2, 3]
    assert ("fix", "refused") in house.trail()
    assert house.incident().stage == Stage.WATCH


def test_a_batch_keeps_no_rows_and_is_followed_by_a_diagnosis(start: Start) -> None:
    """The option takes one row a time; the finding says that there are more."""
    one = "SELECT min(id) FROM thing WHERE state = 'bad'"
    house = proposed(
        start,
        "batch=True",
        statements={
            "mend_before": f"SELECT id FROM thing WHERE id = ({one})",
            "mend": f"UPDATE thing SET state = 'good' WHERE id = ({one}) RETURNING id",
            "mend_verify": "SELECT true AS gone",
        },
    )
    first = house.incident().decision_id
    by_ann(house)
    house.settle()
    assert house.shop.rows(BAD) == [2, 3]
    assert house.incident().decision_id != first, "decided anew"
    by_ann(house, dry_run=True)
    house.settle()
    by_ann(house)
    house.settle()
    by_ann(house)
    house.settle()
    assert house.shop.rows(BAD) == []
    assert [(fix["status"], fix["counts"]) for fix in fixes(house)] == [
        ("committed", {"thing": 1}),
        ("rolled_back", {"thing": 1}),
        ("committed", {"thing": 1}),
        ("committed", {"thing": 1}),
    ]
    assert all(fix["before_rows"] == fix["after_rows"] == [] for fix in fixes(house))
    assert reasons(house) == [*["not_automatic"] * 3, "nothing_found"]
    assert house.gap() == (0, 0)
