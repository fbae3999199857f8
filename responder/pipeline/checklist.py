"""The two lists of a maintenance: people tick them, and what a diagnostic can answer ticks itself.

A list that is complete lets the window come into force, or be finished; both at that moment.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from responder.domain.actor import Actor, ActorKind
from responder.domain.answer import Answer, AnswerStatus
from responder.domain.maintenance import OVER, Phase, WindowState
from responder.domain.settings import Expect, Item, Settings, Target
from responder.pipeline.diagnose import ask_in_slot, question_of
from responder.pipeline.maintenance import asking_resumes
from responder.pipeline.services import Services
from responder.pipeline.window_states import settle_window
from responder.runbook.catalogue import Catalogue
from responder.runbook.loader import LoadedRule
from responder.runbook.rule import Diagnostic
from responder.store import Transaction
from responder.targets.reading import Question

#: An item that answers itself is asked again so often until it is ticked, and no longer than this.
AGAIN = timedelta(minutes=1)
GIVE_UP = timedelta(days=1)
_BUDGET = 10.0
#: When the items of a list may be changed.
OPEN_IN: Mapping[Phase, frozenset[WindowState]] = {
    Phase.BEFORE: frozenset({WindowState.ANNOUNCED, WindowState.WAITING}),
    Phase.AFTER: frozenset({WindowState.IN_FORCE, WindowState.FINISHING}),
}


class TickRefused(Exception):
    """The item cannot be ticked now, or not any more; the text says why."""


class CheckWrong(ValueError):
    """The question of an item cannot be asked; the text says why."""


def tick(services: Services, window_id: UUID, position: int, actor: Actor, done: bool) -> bool:
    """Tick an item, or take the tick back; False when there is no such item. Twice is no mistake.

    TickRefused.
    """
    with services.store.transaction() as tx:
        window = tx.maybe("lock_window", id=window_id)
        item = tx.maybe("lock_item", window_id=window_id, position=position)
        if window is None or item is None:
            return False
        settled = settle_window(services, tx, window)
        if (item["ticked_at"] is not None) == done:
            return True
        _refuse(Phase(item["phase"]), WindowState(settled["state"]))
        _set_tick(services, tx, settled, item, actor, done)
    return True


def _refuse(phase: Phase, state: WindowState) -> None:
    if state in OPEN_IN[phase]:
        return
    if state in OVER:
        raise TickRefused(f"the maintenance is {state}")
    if phase == Phase.BEFORE:
        raise TickRefused("the list before is complete, and the window was in force with it")
    if state == WindowState.WATCHING:
        raise TickRefused("the list afterwards is complete")
    raise TickRefused("the list afterwards can be ticked once the window is in force")


def _set_tick(
    services: Services,
    tx: Transaction,
    window: Mapping[str, Any],
    item: Mapping[str, Any],
    actor: Actor,
    done: bool,
) -> None:
    tx.run(
        "tick_item",
        window_id=item["window_id"],
        position=item["position"],
        ticked_at=tx.now if done else None,
        kind=actor.kind if done else None,
        by=actor.name if done else None,
    )
    tx.record(
        "maintenance",
        actor,
        f"maintenance {window['id']}",
        after="ticked" if done else "unticked",
        item=item["item"],
        position=item["position"],
        phase=item["phase"],
    )
    settle_window(services, tx, tx.one("look_at_lists", id=window["id"]))


def answer_items(services: Services) -> None:
    """Ask what is due; a good answer ticks its item, any other one is shown and asked for again."""
    while (item := _lease(services)) is not None:
        if not item["pointless"]:
            _answer(services, item)


def _lease(services: Services) -> Mapping[str, Any] | None:
    with services.store.transaction() as tx:
        return tx.maybe("lease_item", again=AGAIN, give_up=GIVE_UP)


def _answer(services: Services, item: Mapping[str, Any]) -> None:
    asked = Item(item["item"], item["diagnostic"], item["target"], Expect(item["expect"]))
    try:
        target, question = question_for(services.catalogue, services.settings, asked)
    except CheckWrong as wrong:
        with services.store.transaction() as tx:
            tx.run("answer_item", **_key(item), answer={"wrong": str(wrong)})
        return
    with services.store.transaction() as tx:
        if asking_resumes(tx, _labels(target)) is not None:
            return  # asked again in a minute
        began = tx.now
    deadline = time.monotonic() + _BUDGET
    answer = ask_in_slot(services, target, question, False, deadline, began)
    with services.store.transaction() as tx:
        window = tx.one("lock_window", id=item["window_id"])
        now = tx.one("lock_item", **_key(item))
        tx.run("answer_item", **_key(item), answer=_told(answer, asked))
        settled = settle_window(services, tx, window)
        wanted = WindowState(settled["state"]) in OPEN_IN[Phase(item["phase"])]
        if wanted and now["ticked_at"] is None and passes(asked.expect, answer):
            system = Actor(ActorKind.SYSTEM, asked.check)
            _set_tick(services, tx, settled, now, system, True)


def passes(expect: Expect, answer: Answer) -> bool:
    """Whether this answer ticks an item."""
    if answer.status != AnswerStatus.OK:
        return False
    return expect == Expect.ANSWER or (expect == Expect.ROWS) == bool(answer.rows)


def _told(answer: Answer, item: Item) -> dict[str, Any]:
    """What people see of it: how it went, not the rows themselves."""
    return {
        "status": answer.status,
        "at": answer.asked_at and answer.asked_at.isoformat(),
        "rows": answer.row_count,
        "good": passes(item.expect, answer),
        "error": answer.error and f"{answer.error.kind}: {answer.error.message}",
    }


def _key(item: Mapping[str, Any]) -> dict[str, Any]:
    return {"window_id": item["window_id"], "position": item["position"]}


def _labels(target: Target) -> dict[str, str]:
    """The labels that every alert about this target carries."""
    return {each.name: each.value for each in target.matches if each.operator == "="}


def question_for(catalogue: Catalogue, settings: Settings, item: Item) -> tuple[Target, Question]:
    """What ticks an item: whom it asks, and what. CheckWrong."""
    rule, diagnostic = _diagnostic(catalogue, item.check)
    question = replace(question_of(rule, diagnostic, {}), text=item.item)
    if question.parameters:
        needed = ", ".join(question.parameters)
        raise CheckWrong(f"{item.check} needs {needed}, which only an alert says")
    kin = {name: each for name, each in settings.targets.items() if each.kind == rule.rule.target}
    if item.target and item.target not in kin:
        raise CheckWrong(f"there is no target {item.target} of kind {rule.rule.target}")
    if not item.target and len(kin) != 1:
        known = ", ".join(sorted(kin)) or "none"
        raise CheckWrong(
            f"say which target is asked; of kind {rule.rule.target} there are: {known}"
        )
    return kin[item.target or next(iter(kin))], question


def _diagnostic(catalogue: Catalogue, check: str) -> tuple[LoadedRule, Diagnostic]:
    name, _, asked = check.partition(".")
    rule = catalogue.rules.get(name)
    if rule is None:
        raise CheckWrong(f"{check!r}: there is no rule {name!r}; write <rule>.<diagnostic>")
    for diagnostic in rule.diagnostics:
        if diagnostic.name == asked:
            return rule, diagnostic
    known = ", ".join(diagnostic.name for diagnostic in rule.diagnostics)
    raise CheckWrong(f"{check!r}: the rule {name} has no diagnostic {asked!r}; it has {known}")
