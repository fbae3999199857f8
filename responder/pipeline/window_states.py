"""How a maintenance window moves from state to state, each step audited, and who is told.

What is kept back hangs on the row's times and lists alone, never on a step made here: paging comes
back on time also when no process of ours lives at that moment.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from responder.domain.actor import Actor, ActorKind
from responder.domain.maintenance import Phase, WindowState, changes_at, state_at
from responder.domain.notification import Happening
from responder.pipeline.messages import write_message
from responder.pipeline.services import Services, iso
from responder.pipeline.whom import listeners
from responder.store import Transaction

CLOCK = Actor(ActorKind.SYSTEM, "clock")
#: So long before the start the list before begins to answer itself.
ASK_BEFORE = timedelta(minutes=15)
_SENTENCES: Mapping[WindowState, str] = {
    WindowState.WAITING: "Its time has come, and it is not in force: its list before is not"
    " complete. Nothing is kept back until it is.",
    WindowState.IN_FORCE: "Its list before is complete; it is in force now.",
    WindowState.MISSED: "Its time is over, and it never was in force: its list before was not"
    " completed. Nothing was kept back.",
    WindowState.FINISHING: "Its time is over, and pages, questions and fixes are on again. It is"
    " not finished: its list afterwards is not complete.",
}


def move_windows(services: Services) -> None:
    """Each window whose time has come goes on to its next state."""
    while _move_next(services):
        pass


def _move_next(services: Services) -> bool:
    with services.store.transaction() as tx:
        window = tx.maybe("lock_due_window")
        if window is not None:
            settle_window(services, tx, window)
        return window is not None


def settle_window(
    services: Services, tx: Transaction, window: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The window, which this transaction has locked, in the state that it is in now."""
    before, state = WindowState(window["state"]), state_at(window, tx.now)
    moved = tx.one("set_window_state", id=window["id"], state=state, at=changes_at(window, state))
    if state == before:
        return moved
    subject = f"maintenance {window['id']}"
    tx.record("maintenance", CLOCK, subject, before=before, after=state, name=window["name"])
    if state == WindowState.FINISHING:
        tx.run("ask_items", window_id=window["id"], phase=Phase.AFTER, at=tx.now)
    late = before == WindowState.WAITING
    if state in _SENTENCES and (state != WindowState.IN_FORCE or late):
        _tell(services, tx, moved)
    return moved


def _tell(services: Services, tx: Transaction, window: Mapping[str, Any]) -> None:
    """Whoever hears of incidents without being woken; nobody is woken for a checklist."""
    state = WindowState(window["state"])
    phase = Phase.AFTER if state == WindowState.FINISHING else Phase.BEFORE
    document = {
        "version": 1,
        "maintenance": {
            "id": str(window["id"]),
            "name": window["name"],
            "reason": window["reason"],
            "state": state,
            "sentence": _SENTENCES[state],
            "starts_at": iso(window["starts_at"]),
            "ends_at": iso(window["ends_at"]),
            "open": [
                item["item"]
                for item in tx.all("window_items", window_id=window["id"])
                if item["phase"] == phase and item["ticked_at"] is None
            ],
        },
        "links": {"self": f"{services.settings.public_url}/v1/maintenance/{window['id']}"},
    }
    for receiver in listeners(services):
        write_message(
            tx,
            services.new_id(),
            f"maintenance:{window['id']}",
            receiver,
            Happening.MAINTENANCE,
            tx.now,
            document=document,
        )
