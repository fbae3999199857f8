"""The keys of [receivers.<name>], by type."""

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, validates_schema

from responder.settings.fields import FILLED, Items, Keys, Table, Value
from responder.settings.values import (
    one_of,
    read_address,
    read_base_url,
    read_count,
    read_filled_text,
    read_secret,
    read_server,
    read_switch,
    read_text,
    read_url,
)


class ReceiverKeys(Keys):
    """What each receiver may say, whatever its type."""

    type = Value(read_text)
    per_minute = Value(read_count)


class WakingKeys(ReceiverKeys):
    """Receivers that can wake somebody."""

    fallback = Value(read_text)
    escalates = Value(read_switch)


class PagerdutyKeys(WakingKeys):
    escalates = Value(read_switch, load_default=True)
    routing_key = Value(read_secret, required=True, attribute="secret")
    url = Value(read_base_url, load_default="https://events.pagerduty.com")
    per_minute = Value(read_count, load_default=100)


class PagerdutyNotesKeys(ReceiverKeys):
    token = Value(read_secret, required=True, attribute="secret")
    sender = Value(read_address, required=True, data_key="from")
    url = Value(read_base_url, load_default="https://api.pagerduty.com")


class SlackKeys(WakingKeys):
    webhook_url = Value(read_secret, required=True, attribute="secret")


class EmailKeys(WakingKeys):
    server = Value(read_server, required=True, attribute="url")
    security = Value(one_of(("starttls", "tls", "none")), load_default="starttls")
    user = Value(read_filled_text)
    password = Value(read_secret, attribute="secret")
    sender = Value(read_address, required=True, data_key="from")
    to = Items(Value(read_address), required=True, validate=FILLED)

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def check_login(self, data: Any, original: Mapping[str, Any], **kwargs: Any) -> None:
        if ("user" in original) != ("password" in original):
            raise ValidationError("needs both user and password, or neither")


class WebhookKeys(WakingKeys):
    url = Value(read_url, required=True)
    secret = Value(read_secret, required=True)


RECEIVERS = {
    "pagerduty": Table(PagerdutyKeys),
    "pagerduty_notes": Table(PagerdutyNotesKeys),
    "slack": Table(SlackKeys),
    "email": Table(EmailKeys),
    "webhook": Table(WebhookKeys),
}
RECEIVER_TYPES = tuple(RECEIVERS)
