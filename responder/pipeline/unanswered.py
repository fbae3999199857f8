"""Alerts that no rule answers: nothing is asked and nothing is fixed, so people have them at once.

Their incidents begin where a walk would have left them, with its decision: in the transaction that
opens them, many together, since they come by the thousand. P0 and P1 are walked all the same.
"""

from collections.abc import Sequence

from responder.domain.alert import Alert
from responder.domain.decision import Facts, Reason
from responder.domain.incident import Incident
from responder.pipeline import climbing
from responder.pipeline.decide import decision_row, record_decision
from responder.pipeline.plan import plan
from responder.pipeline.services import Services
from responder.pipeline.watch import quiet_due
from responder.runbook.catalogue import Identity
from responder.store import Transaction


def is_unanswered(alert: Alert, identity: Identity) -> bool:
    """Whether a walk would end where it begins."""
    return identity.rule is None and not (identity.severity.pages or alert.severity_unreadable)


def hand_over(services: Services, tx: Transaction, incidents: Sequence[Incident]) -> None:
    """The decision of each, which its row names already, and the timers that it waits for."""
    decisions, timers = [], []
    for incident in incidents:
        facts = Facts(at=tx.now, severity=incident.severity, trouble=Reason.NO_RULE)
        decision = plan({}, [], facts)
        decisions.append(decision_row(incident, decision, facts, []))
        record_decision(tx, incident, decision)
        timers.append((incident.id, "quiet", quiet_due(services, tx, incident)))
        attention = climbing.attention_due(services, tx, incident)
        if attention is not None:
            timers.append((incident.id, "escalate", attention))
    tx.together("insert_decisions", decisions)
    names = ("id", "what", "due_at")
    tx.together("set_timers", [dict(zip(names, each, strict=True)) for each in timers])
