"""A decision: what the responder does with an incident, with the one reason why."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from responder.domain.severity import Severity


class Action(StrEnum):
    FIX = "fix"
    PROPOSE = "propose"
    HAND_OVER = "hand_over"
    WAIT = "wait"


class Reason(StrEnum):
    """Why; the sentences that people read stand in `SENTENCES`."""

    ALLOWED = "allowed"
    SEVERITY = "severity"
    SEVERITY_UNREADABLE = "severity_unreadable"
    AUTONOMY = "autonomy"
    NOT_AUTOMATIC = "not_automatic"
    TARGET_ON_FIRE = "target_on_fire"
    COOLDOWN = "cooldown"
    BREAKER = "breaker"
    LIMIT = "limit"
    WINDOW = "window"
    STOPPED = "stopped"
    NO_RULE = "no_rule"
    NO_TARGET = "no_target"
    AMBIGUOUS_TARGET = "ambiguous_target"
    PARAMETER_MISSING = "parameter_missing"
    NOTHING_FOUND = "nothing_found"
    NO_OPTION = "no_option"
    DIAGNOSIS_FAILED = "diagnosis_failed"
    RULE_FAILED = "rule_failed"
    FIX_FAILED = "fix_failed"
    NOT_VERIFIED = "not_verified"
    UNKNOWN = "unknown"
    OUR_FAILOVER = "our_failover"
    GAVE_UP = "gave_up"
    LOOK_AGAIN = "look_again"
    FIX_RUNNING = "fix_running"
    VERIFYING = "verifying"


#: Which reasons an action may have; the closed lists of DESIGN 3.
REASONS: Mapping[Action, frozenset[Reason]] = {
    Action.FIX: frozenset({Reason.ALLOWED}),
    Action.PROPOSE: frozenset(
        {
            Reason.SEVERITY,
            Reason.SEVERITY_UNREADABLE,
            Reason.AUTONOMY,
            Reason.NOT_AUTOMATIC,
            Reason.TARGET_ON_FIRE,
            Reason.COOLDOWN,
            Reason.BREAKER,
            Reason.LIMIT,
            Reason.WINDOW,
            Reason.STOPPED,
        }
    ),
    Action.HAND_OVER: frozenset(
        {
            Reason.NO_RULE,
            Reason.NO_TARGET,
            Reason.AMBIGUOUS_TARGET,
            Reason.PARAMETER_MISSING,
            Reason.NOTHING_FOUND,
            Reason.NO_OPTION,
            Reason.DIAGNOSIS_FAILED,
            Reason.RULE_FAILED,
            Reason.FIX_FAILED,
            Reason.NOT_VERIFIED,
            Reason.UNKNOWN,
            Reason.OUR_FAILOVER,
            Reason.GAVE_UP,
        }
    ),
    Action.WAIT: frozenset({Reason.LOOK_AGAIN, Reason.FIX_RUNNING, Reason.VERIFYING}),
}

#: What a person on call reads; one sentence a reason.
SENTENCES: Mapping[Reason, str] = {
    Reason.ALLOWED: "The runbook's option is automatic and nothing speaks against it.",
    Reason.SEVERITY: "P0 and P1 are never fixed automatically; a person decides.",
    Reason.SEVERITY_UNREADABLE: "The declared severity is in no map; a person decides.",
    Reason.AUTONOMY: "This version of the rule is not promoted to act; a person decides.",
    Reason.NOT_AUTOMATIC: "The runbook leaves these options to a person.",
    Reason.TARGET_ON_FIRE: "A P0 or P1 is open on the same target; nothing is changed meanwhile.",
    Reason.COOLDOWN: "The same option ran here a short while ago, or one in its tables was undone.",
    Reason.BREAKER: "Earlier fixes did not hold, were undone or are unknown; a person must look.",
    Reason.LIMIT: "This rule has reached its limit of fixes in an hour.",
    Reason.WINDOW: "A maintenance window keeps fixes off.",
    Reason.STOPPED: "Automatic fixes are switched off.",
    Reason.NO_RULE: "No rule answers this alert.",
    Reason.NO_TARGET: "The alert's labels match no configured target, so nothing was asked.",
    Reason.AMBIGUOUS_TARGET: "The alert's labels match more than one target, so nothing was asked.",
    Reason.PARAMETER_MISSING: "The alert lacks a label that the rule needs.",
    Reason.NOTHING_FOUND: "All questions were answered and none of the known causes was found.",
    Reason.NO_OPTION: "The cause was found; the runbook has no option that helps.",
    Reason.DIAGNOSIS_FAILED: "Questions stayed without an answer, so no cause could be named.",
    Reason.RULE_FAILED: "The rule itself failed on these answers.",
    Reason.FIX_FAILED: "The fix was rolled back.",
    Reason.NOT_VERIFIED: "The fix was made; the cause is still there or could not be asked for.",
    Reason.UNKNOWN: "Whether the fix was made is unknown; it is not tried again.",
    Reason.OUR_FAILOVER: "Our own database is not the one that decided; nothing is tried again.",
    Reason.GAVE_UP: "Handling this incident failed three times.",
    Reason.LOOK_AGAIN: "The cause may go away by itself; it is looked at again shortly.",
    Reason.FIX_RUNNING: "A fix of this incident is under way.",
    Reason.VERIFYING: "A fix was made; whether the cause is gone is being verified.",
}


class Autonomy(StrEnum):
    """How far a rule may go by itself; later is further."""

    OBSERVE = "observe"
    PROPOSE = "propose"
    ACT = "act"

    def capped(self, ceiling: "Autonomy") -> "Autonomy":
        order = list(Autonomy)
        return min(self, ceiling, key=order.index)


@dataclass(frozen=True)
class Facts:
    """All that `plan` may know beside the findings; recorded with the decision, for replays.

    trouble: why the incident must be handed over whatever the findings say, if so.
    cooldowns: option -> the time its cool-down ends. unasked_until: the end of the maintenance
    window that keeps questions off.
    """

    at: datetime
    severity: Severity
    severity_unreadable: bool = False
    autonomy: Autonomy = Autonomy.PROPOSE
    trouble: Reason | None = None
    detail: str = ""
    all_answered: bool = True
    looked_again: int = 0
    fix_running: bool = False
    verifying: bool = False
    target_on_fire: bool = False
    stopped: bool = False
    window: bool = False
    unasked_until: datetime | None = None
    breaker: bool = False
    limit_reached: bool = False
    cooldowns: Mapping[str, datetime] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        plain = asdict(self)
        plain["at"] = self.at.isoformat()
        plain["unasked_until"] = self.unasked_until and self.unasked_until.isoformat()
        plain["cooldowns"] = {name: end.isoformat() for name, end in self.cooldowns.items()}
        return plain


@dataclass(frozen=True)
class Decision:
    """option and finding are set for fix and propose.

    look_again_in: for wait, and for what a maintenance window kept from being asked.
    """

    action: Action
    reason: Reason
    sentence: str
    finding: str | None = None
    option: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    look_again_in: timedelta | None = None
