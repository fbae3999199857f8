"""The fix protocol (DESIGN 7): intent, change, last gate, commit, record. At most once.

Between any two steps everything may be killed; `recover` says what a row left behind means.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from responder.domain.actor import RESPONDER, Actor, ActorKind
from responder.domain.decision import SENTENCES, Reason
from responder.domain.fix import FixStatus
from responder.domain.incident import Incident, Stage
from responder.pipeline.decide import HOURLY_LIMIT, notice_failover
from responder.pipeline.direct import make_direct
from responder.pipeline.gate import AtTheGate, NotNow, pass_gate, permit_of, said_of
from responder.pipeline.recover import recover
from responder.pipeline.services import Services, record
from responder.pipeline.settle import (
    busy,
    committed,
    decide_again,
    later,
    nothing_left,
    once_more,
    rolled_back,
    tried,
)
from responder.pipeline.undoing import kept_for_undo, undo_of
from responder.runbook.loader import LoadedRule
from responder.runbook.rule import Option
from responder.store import Refused, Transaction
from responder.store.incidents import step
from responder.store.vault import Locked
from responder.targets import writing
from responder.targets.direct import Work

#: What a person asked for is theirs to ask for again when no worker took it in this time.
PATIENCE = timedelta(minutes=5)


def fix(incident: Incident, services: Services) -> Incident:
    """Stage: carry out what was decided or asked for, or settle what an earlier walk left."""
    with services.store.transaction() as tx:
        notice_failover(services, tx)
        left = tx.maybe("unsettled_fix", incident_id=incident.id)
        now = tx.now
    if left is None:
        return _decided(incident, services)
    if _is_for_this_walk(left, incident):
        return _asked_for(incident, services, left, now - left["started_at"])
    return recover(incident, services, left)


def _is_for_this_walk(left: Mapping[str, Any], incident: Incident) -> bool:
    """A person's row names the one walk that may carry it out; any other finds it interrupted."""
    return bool(
        left["actor_kind"] == ActorKind.PERSON
        and left["status"] == FixStatus.STARTED
        and left["attempt"] == incident.attempt
        and not left["failed_over"]
    )


def _asked_for(
    incident: Incident, services: Services, asked: Mapping[str, Any], waited: timedelta
) -> Incident:
    rule = services.rule_of(incident)
    if waited > PATIENCE:
        return decide_again(incident, services, asked["id"], "no worker took it in time")
    if asked["undoes"] is not None:
        try:
            undo = undo_of(services, asked)
        except Locked as locked:
            return decide_again(incident, services, asked["id"], str(locked))
        return _with_slot(incident, services, asked, undo, None)
    if rule is None or rule.checksum != asked["rule_checksum"]:
        return decide_again(incident, services, asked["id"], "the rule was edited meanwhile")
    option = rule.options[asked["option"]]
    if not option.transactional:
        return make_direct(incident, services, rule, option, asked)
    change = change_of(incident, services, rule, option, asked["parameters"])
    return _with_slot(incident, services, asked, change, option)


def _with_slot(
    incident: Incident,
    services: Services,
    asked: Mapping[str, Any],
    work: writing.Work,
    option: Option | None,
) -> Incident:
    with services.slots.writing(asked["target"], 5.0) as got:
        if not got:
            return busy(incident, services, asked["id"], "no fixing connection became free")
        return _make(incident, services, asked["id"], option, work, asked["dry_run"])


def _decided(incident: Incident, services: Services) -> Incident:
    rule = services.rule_of(incident)
    with services.store.transaction() as tx:
        decision = tx.one("decision", id=incident.decision_id)
    if rule is None or rule.checksum != incident.rule_checksum:
        return decide_again(incident, services, None, "the rule was edited since the decision")
    option = rule.options[decision["option"]]
    with services.slots.writing(incident.target or "", 5.0) as got:
        if not got:
            return busy(incident, services, None, "no fixing connection became free")
        return _carry_out(incident, services, rule, option, decision["parameters"])


def _carry_out(
    incident: Incident,
    services: Services,
    rule: LoadedRule,
    option: Option,
    parameters: Mapping[str, Any],
) -> Incident:
    change = change_of(incident, services, rule, option, parameters)
    try:
        fix_id = _start(incident, services, rule, option, change)
    except (Refused, AtTheGate) as refused:
        return decide_again(incident, services, None, said_of(refused))
    return _make(incident, services, fix_id, option, change, dry_run=False)


def _make(
    incident: Incident,
    services: Services,
    fix_id: UUID,
    option: Option | None,
    work: writing.Work,
    dry_run: bool,
) -> Incident:
    """Steps 2 to 5; a dry run is rolled back where the last gate would be. An undo: no option."""
    target = services.settings.targets[incident.target or ""]
    try:
        with writing.make(target, fix_id, permit_of(services), work) as opened:
            made = opened.made
            if option is not None and option.batch:
                made = replace(made, before="[]", after="[]")
            if not dry_run:
                pass_gate(incident, services, fix_id, option, made)
                opened.commit()
    except (Refused, AtTheGate, writing.NotPermitted) as refused:
        return decide_again(incident, services, fix_id, said_of(refused))
    except writing.CommitLost:
        return later(incident, services, "the target did not answer the commit")
    except writing.AlreadyGone as gone:
        return nothing_left(incident, services, fix_id, str(gone), gone.left)
    except (writing.Busy, NotNow) as other:
        return busy(incident, services, fix_id, str(other))
    except writing.Outrun as outrun:
        return once_more(incident, services, fix_id, f"outrun: {outrun}")
    except writing.RolledBack as failed:
        return rolled_back(incident, services, fix_id, str(failed))
    if dry_run:
        return tried(incident, services, fix_id, made)
    return committed(incident, services, fix_id)


def change_of(
    incident: Incident,
    services: Services,
    rule: LoadedRule,
    option: Option,
    parameters: Mapping[str, Any],
) -> writing.Change:
    """What an option does to the target, with all that it binds."""
    return writing.Change(
        key=incident.key,
        apply=rule.statements[option.name],
        before=rule.statements[f"{option.name}_before"],
        verify=rule.statements[f"{option.name}_verify"],
        parameters={**incident.parameters, **parameters},
        tables=tuple(option.changes),
        max_rows=option.max_rows,
        claims=services.settings.targets[incident.target or ""].claims if option.claims else {},
        look_after=rule.statements.get(f"{option.name}_after"),
    )


def _start(
    incident: Incident,
    services: Services,
    rule: LoadedRule,
    option: Option,
    change: writing.Change,
) -> UUID:
    """Step 1. Refused: the CHECK or the one-per-key index; AtTheGate: the hourly limit."""
    fix_id = services.new_id()
    with services.store.transaction() as tx:
        step(tx, "advance", incident, next=Stage.FIX)
        tx.run("lock_rule", rule=rule.name)
        if tx.one("fixes_this_hour", rule=rule.name)["fixes"] >= HOURLY_LIMIT:
            raise AtTheGate(SENTENCES[Reason.LIMIT])
        intend(tx, incident, fix_id, rule, option, change, incident.attempt)
    return fix_id


def intend(
    tx: Transaction,
    incident: Incident,
    fix_id: UUID,
    rule: LoadedRule,
    option: Option,
    change: writing.Change | Work,
    attempt: int,
    actor: Actor = RESPONDER,
    dry_run: bool = False,
) -> None:
    """The row that says what is about to be done, and its audit event.

    attempt: of the walk that may do it.
    """
    tx.run(
        "insert_fix",
        id=fix_id,
        incident_id=incident.id,
        rule_checksum=rule.checksum,
        option=option.name,
        parameters=dict(change.parameters),
        actor_kind=actor.kind,
        actor=actor.name,
        attempt=attempt,
        dry_run=dry_run,
        undoes=None,
        statements={**change.texts, **kept_for_undo(rule, option)},
    )
    claims = change.claims if isinstance(change, writing.Change) else {}
    record(
        tx,
        incident,
        "fix",
        actor,
        after=FixStatus.STARTED,
        fix=str(fix_id),
        option=option.name,
        dry_run=dry_run,
        **({"acts_as": claims.get("sub", "")} if claims else {}),
    )
