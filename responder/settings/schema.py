"""Every key of responder.toml; `docs/settings.md` explains them, and a test compares the two.

What is not written keeps the default of the dataclass in `responder.domain.settings`.
"""

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, post_load, validates_schema
from marshmallow.validate import Length

from responder.domain.decision import Autonomy
from responder.domain.secret import Secret
from responder.domain.settings import Receiver, Route, RuleSettings, Source, Target
from responder.domain.severity import Severity
from responder.settings.fields import ByType, Items, Keys, Named, Table, Value
from responder.settings.values import (
    one_of,
    read_base_url,
    read_bytes,
    read_duration,
    read_filled_text,
    read_matcher,
    read_path,
    read_secret,
    read_switch,
    read_text,
    read_url,
)

SOURCE_TYPES = ("alertmanager",)

_FILLED = Length(min=1, error="must not be empty")


class BasicKeys(Keys):
    user = Value(read_filled_text, required=True, attribute="basic_user")
    password = Value(read_secret, required=True, attribute="basic_password")


def _no_twins(words: Mapping[str, Severity]) -> None:
    if len({word.strip().lower() for word in words}) < len(words):
        raise ValidationError("has the same word twice; capitals do not matter")


class SourceKeys(Keys):
    type = Value(one_of(SOURCE_TYPES), required=True)
    bearer = Value(read_secret)
    basic = Table(BasicKeys)
    severity = Named(Value(one_of(Severity)), attribute="severities", validate=_no_twins)
    labels = Named(Value(read_text))

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def check_credentials(self, data: Any, original: Mapping[str, Any], **kwargs: Any) -> None:
        if "bearer" not in original and "basic" not in original:
            raise ValidationError("needs bearer or basic: without, anybody could send alerts")

    @post_load
    def lift(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        data.update(data.pop("basic", {}))
        words = data.pop("severities", {})
        return {**data, "severities": {word.strip().lower(): words[word] for word in words}}


class HttpKeys(Keys):
    base = Value(read_base_url, required=True, attribute="http_base")
    paths = Items(Value(read_path), required=True, validate=_FILLED, attribute="http_paths")


class TargetKeys(Keys):
    kind = Value(read_filled_text, required=True)
    matches = Items(
        Value(read_matcher),
        required=True,
        error_messages={"required": "missing; write [] if every alert is about this target"},
    )
    reading = Value(read_secret, required=True)
    writing = Value(read_secret)
    http = Table(HttpKeys)

    @post_load
    def lift(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        data.update(data.pop("http", {}))
        return data


class PagerdutyKeys(Keys):
    type = Value(read_text)
    routing_key = Value(read_secret, required=True, attribute="secret")
    url = Value(read_base_url, load_default="https://events.pagerduty.com")


class WebhookKeys(Keys):
    type = Value(read_text)
    url = Value(read_url, required=True)
    secret = Value(read_secret, required=True)


RECEIVERS = {"pagerduty": Table(PagerdutyKeys), "webhook": Table(WebhookKeys)}
RECEIVER_TYPES = tuple(RECEIVERS)


class RouteKeys(Keys):
    matches = Items(Value(read_matcher))
    severity = Items(Value(one_of(Severity)), validate=_FILLED, attribute="severities")
    receivers = Items(Value(read_text), required=True, validate=_FILLED)
    page = Value(read_switch)

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> Route:
        return Route(**data)


class RuleKeys(Keys):
    autonomy = Value(one_of(Autonomy))


class FileKeys(Keys):
    database = Value(read_secret, load_default=Secret(("env:DATABASE_URL",)))
    token_keys = Value(read_secret, load_default=Secret(("file:responder-keys.json",)))
    runbook = Value(read_text)
    public_url = Value(read_base_url)
    autonomy = Value(one_of(Autonomy))
    flap_window = Value(read_duration)
    reopen_after = Value(read_duration)
    resolve_after_quiet = Value(read_duration)
    max_body = Value(read_bytes)
    sources = Named(Table(SourceKeys), make=Source)
    targets = Named(Table(TargetKeys), make=Target)
    receivers = Named(ByType(RECEIVERS), make=Receiver)
    routes = Items(Table(RouteKeys))
    rules = Named(Table(RuleKeys), make=lambda name, **loaded: RuleSettings(**loaded))
