"""Fixes that can be undone, and people who undo them."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from responder.domain.actor import Actor, ActorKind
from responder.pipeline.by_hand import NotBegun
from responder.pipeline.undo import AskedUndo, ask_undo
from tests.house import House, alert
from tests.walks import fixes

ANN = Actor(ActorKind.PERSON, "ann")
OPTION = (
    'Option("mend", "Mend it", automatic=True, changes=("thing",), max_rows=5, cooldown="30m",'
    ' verify=Within("2m", every="30s"), undo=True{more})'
)
WHOLE = "SELECT * FROM thing WHERE state = 'bad' ORDER BY id FOR UPDATE"
UNDO = """
UPDATE thing t SET state = b.state, made_at = b.made_at
FROM jsonb_populate_recordset(NULL::thing, %(before)s) b
WHERE t.id = b.id AND to_jsonb(t)::text IN (SELECT value::text FROM jsonb_array_elements(%(after)s))
RETURNING t.*
"""


def undoable(more: str = "", **statements: str) -> dict[str, Any]:
    """A small rule whose option can be undone; more: of the option; statements: other ones."""
    return {
        "options": OPTION.format(more=more),
        "statements": {"mend_before": WHOLE, "mend_undo": UNDO, **statements},
    }


def made(start: Callable[..., House], **of_rule: Any) -> House:
    """A house whose only fix is made and held."""
    house = start(**(of_rule or undoable()))
    house.post(alert("Thing"))
    house.settle()
    (fix,) = fixes(house)
    assert (fix["status"], fix["verification"]) == ("committed", "held"), fix["reason"]
    return house


def undo_of(house: House, role: str = "operator", **changes: Any) -> UUID:
    """Ann asks for the undo of the first fix."""
    asked = AskedUndo(changes.pop("fix", fixes(house)[0]["id"]), **changes)
    begun = ask_undo(house.services, asked, ANN, role)
    assert begun.fix is not None
    return begun.fix


def refused(house: House, role: str = "operator", **changes: Any) -> NotBegun:
    """Why it is not begun; then there is no trace of it."""
    before = house.trail(), fixes(house), house.incidents()
    with pytest.raises(NotBegun) as caught:
        undo_of(house, role, **changes)
    assert (house.trail(), fixes(house), house.incidents()) == before
    return caught.value


def things(house: House) -> list[str]:
    """Every thing of the shop, byte for byte."""
    return house.shop.rows("SELECT to_jsonb(t)::text FROM thing t ORDER BY id")
