"""Every key of responder.toml; `docs/settings.md` explains them, and a test compares the two.

What is not written keeps the default of the dataclass in `responder.domain.settings`.
"""

from typing import Any

from marshmallow import post_load

from responder.domain.decision import Autonomy
from responder.domain.redaction import Redaction
from responder.domain.review import ReviewSettings
from responder.domain.secret import Secret
from responder.domain.settings import (
    DeadMan,
    Issuer,
    Receiver,
    Retention,
    Route,
    RuleSettings,
    SealSettings,
    Source,
    Target,
    VaultSettings,
)
from responder.domain.severity import Severity
from responder.settings.fields import FILLED, ByType, Items, Keys, Named, Table, Value
from responder.settings.issuers import ISSUERS, LoginKeys
from responder.settings.levels import (
    AckForKeys,
    BusinessHoursKeys,
    ContactKeys,
    LevelKeys,
    WrittenContact,
)
from responder.settings.receivers import RECEIVERS
from responder.settings.sources import SOURCES
from responder.settings.values import (
    one_of,
    read_audit_kept,
    read_base_url,
    read_bytes,
    read_column,
    read_count,
    read_deliveries_kept,
    read_duration,
    read_filled_text,
    read_matcher,
    read_path,
    read_place,
    read_sample,
    read_secret,
    read_secret_pattern,
    read_switch,
    read_text,
)
from responder.settings.windows import WINDOWS


class HttpKeys(Keys):
    base = Value(read_base_url, required=True, attribute="http_base")
    paths = Items(Value(read_path), required=True, validate=FILLED, attribute="http_paths")


class TargetKeys(Keys):
    kind = Value(read_filled_text, required=True)
    matches = Items(
        Value(read_matcher),
        required=True,
        error_messages={"required": "missing; write [] if every alert is about this target"},
    )
    reading = Value(read_secret, required=True)
    writing = Value(read_secret)
    direct_url = Value(read_secret)
    http = Table(HttpKeys)
    claims = Named(Value(read_filled_text), validate=FILLED)
    accepts = Named(Value(read_filled_text), validate=FILLED)

    @post_load
    def lift(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        data.update(data.pop("http", {}))
        return data


class RouteKeys(Keys):
    matches = Items(Value(read_matcher))
    severity = Items(Value(one_of(Severity)), validate=FILLED, attribute="severities")
    receivers = Items(Value(read_text), required=True, validate=FILLED)
    page = Value(read_switch)

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> Route:
        return Route(**data)


class RuleKeys(Keys):
    autonomy = Value(one_of(Autonomy))


class LastResortKeys(Keys):
    receivers = Items(Value(read_text), required=True, validate=FILLED)


class DigestKeys(Keys):
    receivers = Items(Value(read_text), required=True)


class ReviewKeys(Keys):
    sample = Value(read_sample)
    within = Value(read_duration)

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> ReviewSettings:
        return ReviewSettings(**data)


class DeadManKeys(Keys):
    url = Value(read_secret, required=True)
    every = Value(read_duration)

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> DeadMan:
        return DeadMan(**data)


class RetentionKeys(Keys):
    deliveries = Value(read_deliveries_kept)
    audit = Value(read_audit_kept)

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> Retention:
        return Retention(**data)


class VaultKeys(Keys):
    keys = Value(read_secret)
    raw_days = Value(read_count)
    undo_hours = Value(read_count)

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> VaultSettings:
        return VaultSettings(**data)


class RedactKeys(Keys):
    columns = Items(Value(read_column))
    labels = Items(Value(read_filled_text))
    patterns = Named(Value(read_secret_pattern))

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> Redaction:
        return Redaction(**data)


class SealKeys(Keys):
    key = Value(read_secret, required=True)
    copy_to = Items(Value(read_place), validate=FILLED)
    every = Value(read_duration)

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> SealSettings:
        return SealSettings(**data)


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
    proxies = Value(read_count)
    sources = Named(ByType(SOURCES), make=Source)
    targets = Named(Table(TargetKeys), make=Target)
    receivers = Named(ByType(RECEIVERS), make=Receiver)
    routes = Items(Table(RouteKeys))
    contacts = Named(Table(ContactKeys), make=WrittenContact)
    levels = Items(Table(LevelKeys))
    business_hours = Table(BusinessHoursKeys)
    ack_for = Table(AckForKeys)
    windows = WINDOWS
    last_resort = Table(LastResortKeys)
    digest = Table(DigestKeys)
    review = Table(ReviewKeys)
    dead_man = Table(DeadManKeys)
    retention = Table(RetentionKeys)
    vault = Table(VaultKeys)
    redact = Table(RedactKeys)
    issuers = Named(ByType(ISSUERS), make=Issuer)
    login = Table(LoginKeys)
    seal = Table(SealKeys)
    rules = Named(Table(RuleKeys), make=lambda name, **loaded: RuleSettings(**loaded))
