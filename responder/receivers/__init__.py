"""Receivers: one file each, from the incident document to what a pager understands."""

from collections.abc import Callable, Mapping

from responder.domain import settings
from responder.outbound import Undelivered
from responder.receivers.email import Email
from responder.receivers.pagerduty import PagerDuty
from responder.receivers.pagerduty_notes import PagerDutyNotes
from responder.receivers.receiver import Receiver
from responder.receivers.slack import Slack
from responder.receivers.webhook import Webhook

__all__ = ["RECEIVERS", "Receiver", "Undelivered"]

#: By the `type` of a receiver in responder.toml.
RECEIVERS: Mapping[str, Callable[[settings.Receiver], Receiver]] = {
    "pagerduty": PagerDuty,
    "pagerduty_notes": PagerDutyNotes,
    "slack": Slack,
    "email": Email,
    "webhook": Webhook,
}
