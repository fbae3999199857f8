"""Every key of responder.toml; `docs/settings.md` explains them, and a test compares the two.

What is not written keeps the default of the dataclass in `responder.domain.settings`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from marshmallow import ValidationError, post_load, validates_schema
from marshmallow.validate import Length

from responder.domain.decision import Autonomy
from responder.domain.secret import Secret
from responder.domain.settings import (
    DeadMan,
    Fields,
    Receiver,
    Route,
    RuleSettings,
    Source,
    Target,
)
from responder.domain.severity import Severity
from responder.settings.fields import ByType, Items, Keys, Named, Table, Value
from responder.settings.values import (
    one_of,
    read_address,
    read_base_url,
    read_bytes,
    read_count,
    read_duration,
    read_filled_text,
    read_header,
    read_matcher,
    read_path,
    read_pattern,
    read_pointer,
    read_pointers,
    read_secret,
    read_server,
    read_switch,
    read_text,
    read_url,
    read_waiting,
    read_word,
)

_FILLED = Length(min=1, error="must not be empty")
#: Those of the sender and of the source together fit into an alert.
_NOT_TOO_MANY = Length(max=40, error="must be at most 40")


class BasicKeys(Keys):
    user = Value(read_filled_text, required=True, attribute="basic_user")
    password = Value(read_secret, required=True, attribute="basic_password")


def _no_twins(words: Mapping[str, Severity]) -> None:
    if len({word.strip().lower() for word in words}) < len(words):
        raise ValidationError("has the same word twice; capitals do not matter")


class SourceKeys(Keys):
    """What each source may say, whatever its type."""

    type = Value(read_text)
    severity = Named(Value(one_of(Severity)), attribute="severities", validate=_no_twins)
    labels = Named(Value(read_text), validate=_NOT_TOO_MANY)
    wait = Value(read_waiting)
    per_minute = Value(read_count)

    @post_load
    def lift(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        data.update(data.pop("basic", {}))
        words = data.pop("severities", {})
        return {**data, "severities": {word.strip().lower(): words[word] for word in words}}


def _must_come_with(main: str, others: Iterable[str], written: object) -> None:
    """written: what stands there, which may be no table at all; that is told already."""
    there = written if isinstance(written, dict) else {}
    alone = [key for key in others if key in there and main not in there]
    if alone:
        raise ValidationError({key: [f"is of no use without {main}"] for key in alone})


class CredentialKeys(SourceKeys):
    """Senders that show a credential."""

    bearer = Value(read_secret)
    basic = Table(BasicKeys)
    proofs: ClassVar[Sequence[str]] = ("bearer", "basic")

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def check_credentials(self, data: Any, original: Mapping[str, Any], **kwargs: Any) -> None:
        if not any(proof in original for proof in self.proofs):
            proofs = f"{', '.join(self.proofs[:-1])} or {self.proofs[-1]}"
            raise ValidationError(f"needs {proofs}: without, anybody could send alerts")


class AlertmanagerKeys(CredentialKeys):
    pass


class GrafanaKeys(CredentialKeys):
    secret = Value(read_secret)
    signature_header = Value(read_header, load_default="X-Grafana-Alerting-Signature")
    timestamp_header = Value(read_header)
    proofs = ("bearer", "basic", "secret")

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def check_headers(self, data: Any, original: Mapping[str, Any], **kwargs: Any) -> None:
        _must_come_with("secret", ("signature_header", "timestamp_header"), original)


class PagerdutySourceKeys(SourceKeys):
    secret = Value(read_secret, required=True)
    title_pattern = Value(read_pattern)
    token = Value(read_secret)
    url = Value(read_base_url, load_default="https://api.pagerduty.com")


class FieldsKeys(Keys):
    """JSON pointers into what a generic sender posts."""

    alerts = Value(read_pointer)
    id = Value(read_pointers)
    name = Value(read_pointers)
    title = Value(read_pointers)
    status = Value(read_pointers)
    severity = Value(read_pointers)
    service = Value(read_pointers)
    fingerprint = Value(read_pointers)
    starts_at = Value(read_pointers)
    ends_at = Value(read_pointers)
    link = Value(read_pointers)
    labels = Named(Value(read_pointers), validate=_NOT_TOO_MANY)
    resolved = Items(Value(read_word), validate=_FILLED)
    firing = Items(Value(read_word), validate=_FILLED)
    ignored = Items(Value(read_word), validate=_FILLED)

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def check_words(self, data: Any, original: Mapping[str, Any], **kwargs: Any) -> None:
        lists = ("resolved", "firing", "ignored")
        _must_come_with("status", lists, original)
        counts = Counter(word for name in lists for word in set(data.get(name, ())))
        if twice := [repr(word) for word, count in counts.items() if count > 1]:
            raise ValidationError(f"has {', '.join(twice)} in two lists of words")

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> Fields:
        return Fields(**data)


class GenericKeys(CredentialKeys):
    secret = Value(read_secret)
    fields_ = Table(FieldsKeys, required=True, data_key="fields", attribute="fields")
    proofs = ("bearer", "basic", "secret")

    @validates_schema(skip_on_field_errors=True)
    def check_name(self, data: Any, **kwargs: Any) -> None:
        if not data["fields"].name and not data.get("labels", {}).get("alertname", "").strip():
            raise ValidationError("needs fields.name, or labels.alertname for all of them")


SOURCES = {
    "alertmanager": Table(AlertmanagerKeys),
    "grafana": Table(GrafanaKeys),
    "pagerduty": Table(PagerdutySourceKeys),
    "generic": Table(GenericKeys),
}
SOURCE_TYPES = tuple(SOURCES)


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


class ReceiverKeys(Keys):
    """What each receiver may say, whatever its type."""

    type = Value(read_text)
    per_minute = Value(read_count)


class WakingKeys(ReceiverKeys):
    """Receivers that can wake somebody."""

    fallback = Value(read_text)


class PagerdutyKeys(WakingKeys):
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
    to = Items(Value(read_address), required=True, validate=_FILLED)

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


class LastResortKeys(Keys):
    receivers = Items(Value(read_text), required=True, validate=_FILLED)


class DeadManKeys(Keys):
    url = Value(read_secret, required=True)
    every = Value(read_duration)

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> DeadMan:
        return DeadMan(**data)


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
    sources = Named(ByType(SOURCES), make=Source)
    targets = Named(Table(TargetKeys), make=Target)
    receivers = Named(ByType(RECEIVERS), make=Receiver)
    routes = Items(Table(RouteKeys))
    last_resort = Table(LastResortKeys)
    dead_man = Table(DeadManKeys)
    rules = Named(Table(RuleKeys), make=lambda name, **loaded: RuleSettings(**loaded))
