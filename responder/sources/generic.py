"""Any JSON: `fields` of responder.toml says what stands where, so that nobody writes Python.

docs/sources.md has such a mapping for each of the usual monitors.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from responder.domain.alert import Alert, AlertStatus, Malformed, Notice, fingerprint
from responder.domain.incident import SEVERITY_LABELS
from responder.domain.settings import Fields, Source
from responder.domain.severity import read_severity
from responder.sources import credentials, standard_webhooks
from responder.sources.adapter import NotUnderstood, Request
from responder.sources.payload import (
    MAX_FINGERPRINT,
    MAX_LABEL_VALUE,
    MAX_LABELS,
    cut,
    link,
    moment,
    one_line,
    text,
)
from responder.sources.pointers import find, first_said, said

_WORDS = "resolved ok closed close recovered recovery up success deactivated normal inactive"
#: Words of `status` for the end, where the source has no list of its own.
RESOLVED_WORDS = frozenset(_WORDS.split())
#: A sender's clock may be so far ahead of ours.
_SKEW = timedelta(minutes=1)
#: Seconds since 1970 and then milli-, micro- or nanoseconds; or seconds with a fraction.
_SINCE_1970 = re.compile(r"([1-9][0-9]{9})(?:([0-9]{3}|[0-9]{6}|[0-9]{9})(?:\.0)?|\.([0-9]+))?")
#: The first second of ten digits, 2001; what is earlier is somebody's way to say "never".
_EARLIEST = datetime.fromtimestamp(1_000_000_000, UTC)


class _Broken(Exception):
    """One element is no alert; its neighbours are not hurt by it."""


class Generic:
    """Sends whatever its fields say: one alert or many, signed or with a credential."""

    def authenticate(self, request: Request, source: Source) -> None:
        if source.secret is not None:
            standard_webhooks.check(request, source.secret)
        if source.secret is None or credentials.is_configured(source):
            credentials.check(request, source)

    def delivery_key(self, request: Request, payload: Any, source: Source) -> str | None:
        """A signed id before one of the body; half an id is none, or two deliveries were one."""
        if source.secret is not None:
            return standard_webhooks.identifier(request) or None
        told = [said(payload, pointer) for pointer in source.fields.id]
        return _joined(told) if told and all(told) else None

    def parse(self, payload: Any, source: Source, at: datetime) -> list[Notice]:
        found = find(payload, source.fields.alerts)
        if not isinstance(found, dict | list):
            where = _places([source.fields.alerts])
            raise NotUnderstood(f"there is neither an alert nor a list of alerts at {where}")
        elements = found if isinstance(found, list) else [found]
        notices = (_notice(element, source, at) for element in elements)
        return [notice for notice in notices if notice is not None]


def _notice(element: Any, source: Source, at: datetime) -> Notice | None:
    try:
        return _alert(element, source, at)
    except _Broken as broken:
        return Malformed(str(broken))


def _alert(element: Any, source: Source, at: datetime) -> Alert | None:
    """None when its status is one of those that are ignored."""
    if not isinstance(element, dict):
        raise _Broken("the alert is not an object")
    fields = source.fields
    ends_at = _instant(element, fields.ends_at)
    status = _status(element, fields, ends_at, at)
    if status is None:
        return None
    name = _name(element, source)
    own = _own_labels(element, fields)
    labels = _labels(source, own, name)
    resolved = status == AlertStatus.RESOLVED
    starts_at = _instant(element, fields.starts_at)
    word = cut(first_said(element, fields.severity), MAX_LABEL_VALUE) or (
        labels.get("severity", "").strip()
    )
    severity = read_severity(word, source.severities)
    if resolved and severity is None:
        word = ""  # `success` and its like say that it is over, not how bad it was
    return Alert(
        source=source.name,
        fingerprint=_fingerprint(element, fields, own, name),
        status=status,
        name=name,
        title=one_line(first_said(element, fields.title) or name),
        service=cut(first_said(element, fields.service), MAX_LABEL_VALUE)
        or labels.get("service", ""),
        labels=labels,
        # one pointer for both is the time of the change, whatever changed
        starts_at=None if resolved and starts_at == ends_at else starts_at,
        ends_at=ends_at if resolved else None,
        severity_word=word or None,
        severity=severity,
        links=_links(element, fields),
    )


def _status(
    element: Any, fields: Fields, ends_at: datetime | None, at: datetime
) -> AlertStatus | None:
    """Told in a word; without one an end that is there and not to come says it."""
    told = first_said(element, fields.status)
    word = told.lower()
    if word in fields.ignored:
        return None
    if word in fields.firing:
        return AlertStatus.FIRING
    if word in (fields.resolved or RESOLVED_WORDS):
        return AlertStatus.RESOLVED
    if fields.firing:
        said_there = f"{cut(told, 50)!r}" if told else "nothing"
        raise _Broken(f"the status at {_places(fields.status)} is {said_there}: no known word")
    ended = not word and ends_at is not None and ends_at <= at + _SKEW
    return AlertStatus.RESOLVED if ended else AlertStatus.FIRING


def _name(element: Any, source: Source) -> str:
    told = first_said(element, source.fields.name) or source.labels.get("alertname", "").strip()
    if not told:
        raise _Broken(f"there is no name at {_places(source.fields.name)}")
    return cut(told, MAX_LABEL_VALUE)


def _own_labels(element: Any, fields: Fields) -> dict[str, str]:
    """The sender's own; what the source is configured to add is not among them."""
    told = {name: first_said(element, pointers) for name, pointers in fields.labels.items()}
    return {name: value for name, value in told.items() if value}


def _labels(source: Source, own: Mapping[str, str], name: str) -> dict[str, str]:
    labels = {**source.labels, **own, "alertname": name}
    if len(labels) > MAX_LABELS:
        raise _Broken(f"there are {len(labels)} labels; at most {MAX_LABELS} are taken")
    return {label: cut(value, MAX_LABEL_VALUE) for label, value in labels.items()}


def _fingerprint(element: Any, fields: Fields, own: Mapping[str, str], name: str) -> str:
    """What the pointers say, else a hash of what the alert and its end have in common."""
    told = [said(element, pointer) for pointer in fields.fingerprint]
    if any(told):
        return _joined(told)
    moving = {*fields.status, *fields.severity, *fields.starts_at, *fields.ends_at}
    if not fields.alerts:  # else `id` begins at another place than the labels
        moving |= set(fields.id)
    steady = {
        label: value
        for label, value in own.items()
        if label not in SEVERITY_LABELS and moving.isdisjoint(fields.labels[label])
    }
    return fingerprint({**steady, "alertname": name})


def _joined(told: Sequence[str]) -> str:
    """One text for these, another one for any others; hashed when it is long."""
    joined = told[0] if len(told) == 1 else json.dumps(told, ensure_ascii=False)
    if len(joined) <= MAX_FINGERPRINT:
        return joined
    return "sha256:" + hashlib.sha256(joined.encode()).hexdigest()


def _instant(element: Any, pointers: Sequence[str]) -> datetime | None:
    """The first time that these pointers lead to, in UTC."""
    told = (_time(find(element, pointer)) for pointer in pointers)
    return next((found for found in told if found and found >= _EARLIEST), None)


def _time(value: Any) -> datetime | None:
    """ISO 8601, or a number (as a text too) since 1970, whose size tells its unit."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    number = _SINCE_1970.fullmatch((text(value) or "").strip())
    if number is None:
        return moment(value)
    fraction = f"{number[2] or number[3] or ''}000000"[:6]
    return datetime.fromtimestamp(int(number[1]), UTC).replace(microsecond=int(fraction))


def _links(element: Any, fields: Fields) -> dict[str, str]:
    told = (find(element, pointer) for pointer in fields.link)
    address = next(filter(link, told), None)
    return {"source": address} if address else {}


def _places(pointers: Sequence[str]) -> str:
    """For people: where something was looked for."""
    return cut(" or ".join(pointer or "the top" for pointer in pointers), 100) or "no place"
