"""The keys of [sources.<name>], by type."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from marshmallow import ValidationError, post_load, validates_schema
from marshmallow.validate import Length

from responder.domain.settings import Fields
from responder.domain.severity import Severity
from responder.settings.fields import FILLED, Items, Keys, Named, Table, Value
from responder.settings.values import (
    one_of,
    read_base_url,
    read_count,
    read_filled_text,
    read_header,
    read_pattern,
    read_pointer,
    read_pointers,
    read_secret,
    read_text,
    read_waiting,
    read_word,
)

#: Labels of the sender's own and of the source together fit into an alert.
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
    resolved = Items(Value(read_word), validate=FILLED)
    firing = Items(Value(read_word), validate=FILLED)
    ignored = Items(Value(read_word), validate=FILLED)

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
