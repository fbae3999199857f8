"""The keys of [contacts.<name>], [[levels]], [business_hours] and [ack_for]."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from marshmallow import ValidationError, post_load, validates_schema

from responder.domain.escalation import ON_CALL
from responder.domain.hours import Hours
from responder.domain.settings import AckFor, Contact, Level, Receiver
from responder.domain.severity import Severity
from responder.settings.fields import FILLED, Items, Keys, Value
from responder.settings.values import (
    one_of,
    read_address,
    read_days,
    read_duration,
    read_filled_text,
    read_level,
    read_text,
    read_time_zone,
    read_times,
)

ALWAYS, BUSINESS_HOURS = "24/7", "business hours"
#: Levels from here on are for P0 alone unless they say otherwise.
P0_ALONE = 4


class BusinessHoursKeys(Keys):
    days = Value(read_days)
    hours = Value(read_times)
    time_zone = Value(read_time_zone, attribute="zone")

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> Hours:
        return Hours(**_spread(data))


class ContactKeys(Keys):
    title = Value(read_filled_text)
    receivers = Items(Value(read_text), validate=FILLED)
    email = Value(read_address)
    availability = Value(one_of((ALWAYS, BUSINESS_HOURS)), load_default=ALWAYS)
    days = Value(read_days)
    hours = Value(read_times)
    time_zone = Value(read_time_zone, attribute="zone")
    rules = Items(Value(read_text), validate=FILLED)

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def check(self, data: Any, original: Mapping[str, Any], **kwargs: Any) -> None:
        if "receivers" not in original and "email" not in original:
            raise ValidationError("needs receivers or email: how else are they told?")
        if original.get("availability") != BUSINESS_HOURS:
            useless = [name for name in ("days", "hours", "time_zone") if name in original]
            said = f'is of no use without availability = "{BUSINESS_HOURS}"'
            if useless:
                raise ValidationError({name: [said] for name in useless})

    @post_load
    def gather(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        spread = _spread(data)
        names = ("days", "opens", "closes", "zone")
        own = {name: spread.pop(name) for name in names if name in spread}
        return {**spread, "own_hours": own}


class LevelKeys(Keys):
    level = Value(read_level, required=True)
    receivers = Items(Value(read_text), validate=FILLED)
    contacts = Items(Value(read_text), validate=FILLED)
    severity = Items(Value(one_of(Severity)), validate=FILLED, attribute="severities")

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def check(self, data: Any, original: Mapping[str, Any], **kwargs: Any) -> None:
        if isinstance(original, dict) and not {"receivers", "contacts"} & original.keys():
            raise ValidationError("needs receivers or contacts")

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> Level:
        if data["level"] >= P0_ALONE:
            data.setdefault("severities", (Severity.P0,))
        return Level(**data)


class AckForKeys(Keys):
    P0 = Value(read_duration)
    P1 = Value(read_duration)

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> AckFor:
        return AckFor(**data)


def _spread(data: Mapping[str, Any]) -> dict[str, Any]:
    """`hours` as it is written are two times."""
    kept = {name: value for name, value in data.items() if name != "hours"}
    if "hours" in data:
        kept["opens"], kept["closes"] = data["hours"]
    return kept


@dataclass(frozen=True)
class WrittenContact:
    """A contact as it stands in the file, before it is joined with what else stands there."""

    name: str
    title: str = ""
    receivers: Sequence[str] = ()
    email: str = ""
    availability: str = ALWAYS
    rules: Sequence[str] = ()
    own_hours: Mapping[str, Any] = field(default_factory=dict)


def join(
    written: Iterable[WrittenContact], receivers: Mapping[str, Receiver], hours: Hours
) -> tuple[dict[str, Contact], dict[str, Receiver]]:
    """The contacts, and a receiver for each that is told by mail: the first one's server sends."""
    contacts, made = {}, {}
    server = next((each for each in receivers.values() if each.type == "email"), None)
    for each in written:
        told = list(each.receivers)
        if each.email and server is not None:
            name = f"contacts.{each.name}"
            made[name] = replace(server, name=name, to=(each.email,), escalates=False)
            told.append(name)
        contacts[each.name] = Contact(
            each.name,
            each.title or each.name.replace("_", " "),
            tuple(told),
            replace(hours, **each.own_hours) if each.availability == BUSINESS_HOURS else None,
            each.rules,
        )
    return contacts, made


def mistaken_levels(written: object) -> list[tuple[int, str]]:
    """The place of each level that is out of order, and why."""
    levels = [
        each.get("level") if isinstance(each, dict) else None
        for each in (written if isinstance(written, list) else [])
    ]
    return [
        (place, f"must be {expected}: levels count up from {ON_CALL}, 1 is the responder itself")
        for place, (level, expected) in enumerate(
            zip(levels, range(ON_CALL, ON_CALL + len(levels)), strict=True)
        )
        if type(level) is int and level != expected
    ]
