"""A maintenance window's states, and which of them it is in at a time."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any


class WindowState(StrEnum):
    """`waiting`: its time has come, its list before is not complete, so it is not in force.

    `finishing`: its time is over and all is on again, its list afterwards is not complete.
    `missed`: its time is over, and it never was in force. `cancelled`: by a person before it began;
    `withdrawn`: the settings do not know it any more.
    """

    ANNOUNCED = "announced"
    WAITING = "waiting"
    IN_FORCE = "in_force"
    FINISHING = "finishing"
    WATCHING = "watching"
    FINISHED = "finished"
    MISSED = "missed"
    CANCELLED = "cancelled"
    WITHDRAWN = "withdrawn"


class Phase(StrEnum):
    """Which list an item stands in: the one before the work, or the one after it."""

    BEFORE = "before"
    AFTER = "after"


#: Nothing changes them any more.
OVER = frozenset(
    {WindowState.FINISHED, WindowState.MISSED, WindowState.CANCELLED, WindowState.WITHDRAWN}
)


def state_at(window: Mapping[str, Any], now: datetime) -> WindowState:
    """The state of a window's row at this time: its interval and its two lists decide."""
    state = WindowState(window["state"])
    if state in OVER:
        return state
    if window["ends_at"] <= window["starts_at"]:
        return WindowState.CANCELLED
    if now < window["starts_at"]:
        return WindowState.ANNOUNCED
    if now < window["ends_at"]:
        return WindowState.IN_FORCE if window["ready_at"] else WindowState.WAITING
    if window["ready_at"] is None:
        return WindowState.MISSED
    if window["done_at"] is None:
        return WindowState.FINISHING
    watched = now < window["ends_at"] + window["watch"]
    return WindowState.WATCHING if watched else WindowState.FINISHED


def changes_at(window: Mapping[str, Any], state: WindowState) -> datetime | None:
    """When time alone changes this state; None: only people do, or nothing."""
    known: Mapping[WindowState, datetime] = {
        WindowState.ANNOUNCED: window["starts_at"],
        WindowState.WAITING: window["ends_at"],
        WindowState.IN_FORCE: window["ends_at"],
        WindowState.WATCHING: window["ends_at"] + window["watch"],
    }
    return known.get(state)
