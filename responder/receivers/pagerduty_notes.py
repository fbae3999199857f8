"""Notes on PagerDuty incidents: what is known later, where people already look."""

import json
import re
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from responder.domain import settings
from responder.domain.notification import Happening, Message
from responder.domain.secret import SecretMissing
from responder.outbound import Refused, Undelivered, get, post
from responder.receivers.brief import brief
from responder.receivers.brief.plain import plain
from responder.receivers.brief.text import as_json, line, mapping, moment, records
from responder.receivers.pagerduty import says_no

#: PagerDuty does not say how long a note may be; this much is read.
MAX_NOTE = 2_000
MAX_INCIDENTS = 10
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
#: PagerDuty's clock may be so far behind ours.
_SKEW = timedelta(minutes=5)
_OPEN = ("triggered", "acknowledged")
_TOLD = (Happening.UPDATED, Happening.RESOLVED)


class PagerDutyNotes:
    """One account's REST API; the receiver's secret is a token, `sender` is who writes."""

    def __init__(self, receiver: settings.Receiver) -> None:
        self._receiver = receiver

    def deliver(self, message: Message, now: datetime, timeout: float) -> None:
        """A note on each incident that ours came from, else on the one that we raised, if any."""
        if message.happening not in _TOLD:
            return
        deadline = time.monotonic() + timeout
        api = _Api(self._receiver, now, deadline)
        ids = _came_from(message.document) or api.raised(message)
        content = plain(brief(message), message.repeated, MAX_NOTE)
        failures = []
        for incident in ids:
            try:
                api.note(incident, content)
            except Undelivered as undelivered:
                failures.append(undelivered)
        if failures:
            raise _joined(failures, arrived=len(ids) - len(failures))


class _Api:
    """What we say to PagerDuty's REST API for one message; all of it before the deadline."""

    def __init__(self, receiver: settings.Receiver, now: datetime, deadline: float) -> None:
        assert receiver.secret is not None
        try:
            self._token = receiver.secret.value()
        except SecretMissing as missing:
            raise Undelivered(str(missing), permanent=False) from None
        self._url, self._now, self._deadline = receiver.url, now, deadline
        self._headers = {
            "authorization": f"Token token={self._token}",
            "accept": "application/vnd.pagerduty+json;version=2",
            "from": receiver.sender,
        }

    def note(self, incident: str, content: str) -> None:
        url = f"{self._url}/incidents/{incident}/notes"
        body = as_json({"note": {"content": content}})
        try:
            answer = post(url, body, self._headers, now=self._now, timeout=self._left())
        except Refused as refused:
            raise self._explained(refused, incident) from None
        if refusal := says_no(answer):
            told = f"PagerDuty did not write a note on {incident}: {refusal}"
            raise Undelivered(told, permanent=False, maybe=True)

    def raised(self, message: Message) -> list[str]:
        """The incident with our key: an open one, else one that was not over before ours began."""
        query = urlencode({"incident_key": message.dedup_key, "sort_by": "created_at:desc"})
        url = f"{self._url}/incidents?{query}"
        try:
            answer = get(url, self._headers, now=self._now, timeout=self._left())
        except Undelivered as failed:  # whatever became of a question, nothing was written
            raise Undelivered(
                str(failed), permanent=failed.permanent, retry_after=failed.retry_after
            ) from None
        listed = _read(answer).get("incidents")
        if not isinstance(listed, list):
            raise Undelivered("PagerDuty: its list of incidents is none", permanent=False)
        known = [each for each in records(listed) if _is_id(each.get("id"))]
        opened = moment(mapping(message.document.get("incident")).get("opened_at"))
        for found in known:
            if found.get("status") in _OPEN:
                return [found["id"]]
        for found in known:
            created = moment(found.get("created_at"))
            if opened is None or created is None or created >= opened - _SKEW:
                return [found["id"]]
        return []

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise Undelivered("PagerDuty: no time was left", permanent=False)
        return left

    def _explained(self, refused: Refused, incident: str) -> Undelivered:
        error = mapping(_read(refused.answer).get("error"))
        errors = error.get("errors")
        told = [error.get("message"), *(errors[:5] if isinstance(errors, list) else [])]
        why = "; ".join(filter(None, (line(each, 200) for each in told)))
        said = (why or "it does not say why").replace(self._token, "[token]")
        return Undelivered(
            f"PagerDuty refuses the note on {incident}: {said} ({refused.status})",
            permanent=refused.permanent,
            retry_after=refused.retry_after,
            maybe=refused.maybe,
        )


def _came_from(document: Mapping[str, Any]) -> list[str]:
    """The PagerDuty incidents whose webhooks are alerts of ours, the newest first."""
    theirs = (each for each in records(document.get("alerts")) if each.get("type") == "pagerduty")
    ids = [each["fingerprint"] for each in theirs if _is_id(each.get("fingerprint"))]
    return list(dict.fromkeys(ids))[:MAX_INCIDENTS]


def _is_id(value: object) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _joined(failures: list[Undelivered], arrived: int) -> Undelivered:
    """One failure for all: tried again when it helps any, marked when it doubles any."""
    later = [each for each in failures if not each.permanent]
    waits = [each.retry_after for each in later if each.retry_after is not None]
    return Undelivered(
        str((later or failures)[0]),
        permanent=not later,
        retry_after=max(waits, default=None),
        maybe=arrived > 0 or any(each.maybe for each in failures),
    )


def _read(answer: bytes) -> Mapping[str, Any]:
    try:
        return mapping(json.loads(answer))
    except (ValueError, RecursionError):
        return {}
