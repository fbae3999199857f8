"""A fix that cannot run in a transaction, such as an index: begun here, settled by what is there.

The statement runs in a thread of its own and may take hours; the walk does not wait for its end. A
walk that comes back later settles it: nobody is at work any more when the lock of the key is free,
and then `x_check` says what the target shows. So it matters little who died meanwhile.
"""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import timedelta
from threading import Thread
from typing import Any
from uuid import UUID

from responder.domain.fix import FixStatus
from responder.domain.incident import Incident
from responder.domain.statements import Statement
from responder.log import about
from responder.pipeline.gate import AtTheGate, NotNow, pass_gate, permit_of, said_of
from responder.pipeline.services import Services, record
from responder.pipeline.settle import (
    busy,
    committed,
    decide_again,
    later,
    nobody_knows,
    nothing_left,
    rolled_back,
    tried,
)
from responder.runbook.loader import LoadedRule
from responder.runbook.rule import Option
from responder.store import Refused, StoreAway
from responder.targets import direct
from responder.targets.direct import State
from responder.targets.writing import Busy, Made, NotPermitted, RolledBack

#: For so many seconds the walk waits for the end; most work ends at once or takes long.
AT_ONCE = 2.0
#: What is half done and cannot be cleaned up for so long is told to people.
HALF_DONE_FOR = timedelta(hours=1)


def make_direct(
    incident: Incident,
    services: Services,
    rule: LoadedRule,
    option: Option,
    asked: Mapping[str, Any],
) -> Incident:
    """Check, pass the last gate, begin; a dry run only checks."""
    fix_id, work = asked["id"], work_of(incident, rule, option, asked["parameters"])
    target = services.settings.targets[incident.target or ""]
    try:
        with ExitStack() as stack:
            opened = direct.begin(target, fix_id, permit_of(services), work)
            session = stack.enter_context(opened)
            state = session.state()
            made = Made(None, *session.server, before=json.dumps([{"state": state}]))
            if asked["dry_run"]:
                only = f"dry run, which only checks: it is {state.replace('_', ' ')}"
                return tried(incident, services, fix_id, made, only)
            if state == State.DONE:
                return nothing_left(incident, services, fix_id, "it is done already")
            if state == State.AT_WORK:
                return busy(incident, services, fix_id, "somebody else is at work on it")
            pass_gate(incident, services, fix_id, option, made)
            half_done = state == State.HALF_DONE
            thread = Thread(
                target=_work,
                args=(incident, services, fix_id, session, half_done, stack.pop_all()),
                name="direct",
                daemon=True,  # our end ends it: the server ends a statement whose asker is gone
            )
    except (Refused, AtTheGate, NotPermitted) as refused:
        return decide_again(incident, services, fix_id, said_of(refused))
    except (Busy, NotNow) as other:
        return busy(incident, services, fix_id, str(other))
    except RolledBack as failed:
        return rolled_back(incident, services, fix_id, str(failed))
    thread.start()
    thread.join(AT_ONCE)
    with services.store.transaction() as tx:
        begun = tx.one("fix", id=fix_id)
    return conclude(incident, services, begun)


def _work(
    incident: Incident,
    services: Services,
    fix_id: UUID,
    session: direct.Session,
    half_done: bool,
    stack: ExitStack,
) -> None:
    """The thread: what the server said is noted before the lock is free for who settles it."""
    with stack, about(incident=incident.id):
        words = session.work(half_done)
        try:
            with services.store.transaction() as tx:
                if tx.run("note_fix", id=fix_id, reason=words):
                    record(tx, incident, "noted", fix=str(fix_id), said=words)
        except StoreAway as away:
            services.log.warning("what the target said is lost", said=words, why=str(away))


def is_direct(left: Mapping[str, Any]) -> bool:
    """Whether a fix that is decided runs outside of a transaction."""
    return left["status"] == FixStatus.RECORDED and left["xid"] is None


def conclude(incident: Incident, services: Services, left: Mapping[str, Any]) -> Incident:
    """What became of it, by what the target shows once nobody is at work on it any more."""
    with services.store.transaction() as tx:
        waited = tx.now - left["recorded_at"]
    target = services.settings.targets.get(left["target"])
    if target is None:
        detail = f"the target {left['target']} is no longer configured"
        return nobody_knows(incident, services, left["id"], detail)
    half_done = False
    try:
        with direct.look(target, _begun(left)) as session:
            if session.server != (left["system_identifier"], left["timeline"]):
                detail = "the target is another server or timeline than the one it was begun on"
                return nobody_knows(incident, services, left["id"], detail)
            state = session.state()
            half_done = state == State.HALF_DONE
            if half_done:
                session.clean()
                state = session.state()
    except Busy:
        return later(incident, services, "it is at work on the target", waited)
    except RolledBack as error:
        if half_done and waited > HALF_DONE_FOR:
            return nobody_knows(incident, services, left["id"], str(error))
        return later(incident, services, str(error), waited)
    if state == State.DONE:
        return committed(incident, services, left["id"])
    if state != State.NOT_DONE:
        return later(incident, services, f"the target says {state}", waited)
    reason = left["reason"] or "interrupted"
    return rolled_back(
        incident,
        services,
        left["id"],
        f"{reason}; what it left half done is cleaned up" if half_done else f"{reason}; not done",
    )


def work_of(
    incident: Incident, rule: LoadedRule, option: Option, parameters: Mapping[str, Any]
) -> direct.Work:
    """What an option does outside of a transaction, with all that it binds."""
    apply, check, cleanup = (rule.statements[name] for name in option.statements)
    bound = {**incident.parameters, **parameters}
    return direct.Work(incident.key, apply, check, cleanup, bound)


def _begun(left: Mapping[str, Any]) -> direct.Work:
    """As it was begun, whatever the rule says by now."""
    parts = {
        name: Statement(f"{left['option']}_{name}", sql, "")
        for name, sql in left["statements"].items()
    }
    return direct.Work(key=left["key"], parameters=left["parameters"], **parts)
