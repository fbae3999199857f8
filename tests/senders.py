"""Senders as they are configured and as they sign: what a test needs to speak as one of them."""

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from responder.domain.secret import Secret
from responder.domain.settings import Fields, Source

PAYLOADS = Path(__file__).parent / "payloads"
#: The generic sender's secret has to be base64.
WHSEC = "whsec_" + base64.b64encode(b"a secret of the generic sender").decode()
TIMESTAMP_HEADER = "X-Grafana-Timestamp"

Headers = dict[str, str]


def hmac_hex(secret: str, message: bytes) -> str:
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def standard_webhook(secret: str, identifier: str, stamp: str, body: bytes) -> str:
    """What Standard Webhooks puts into `webhook-signature`."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{identifier}.{stamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


@dataclass(frozen=True, eq=False)
class Sender:
    """One kind of sender.

    name: of its source, too; prove: headers of a request from secret, body, delivery id and time;
    bodies: each makes a payload from an alert's name, and what is told of it.
    """

    name: str
    type: str
    secret: str
    prove: Callable[[str, bytes, str, int], Headers]
    alerts: Callable[..., Any]
    keys: Mapping[str, Any] = field(default_factory=dict)
    has_ids: bool = False
    batches: bool = True

    def source(self, secret: Secret, **more: Any) -> Source:
        """As configured; `secret` says where it stands."""
        signs = "bearer" if self.name in ("alertmanager", "grafana") else "secret"
        return Source(self.name, self.type, **{signs: secret, **self.keys, **more})

    def headers(
        self, body: bytes, identifier: str = "msg_1", at: float | None = None, secret: str = ""
    ) -> Headers:
        """Of one attempt: signed now unless `at` says when, with the sender's own secret."""
        stamp = int(time.time() if at is None else at)
        proof = self.prove(secret or self.secret, body, identifier, stamp)
        return {"Content-Type": "application/json", **proof}


def _bearer(secret: str, body: bytes, identifier: str, stamp: int) -> Headers:
    return {"Authorization": f"Bearer {secret}"}


def _grafana(secret: str, body: bytes, identifier: str, stamp: int) -> Headers:
    signature = hmac_hex(secret, f"{stamp}:".encode() + body)
    return {"X-Grafana-Alerting-Signature": signature, TIMESTAMP_HEADER: str(stamp)}


def _pagerduty(secret: str, body: bytes, identifier: str, stamp: int) -> Headers:
    return {
        "X-PagerDuty-Signature": f"v1={hmac_hex(secret, body)}",
        "X-Webhook-Id": identifier,
    }


def _standard(secret: str, body: bytes, identifier: str, stamp: int) -> Headers:
    return {
        "webhook-id": identifier,
        "webhook-timestamp": str(stamp),
        "webhook-signature": standard_webhook(secret, identifier, str(stamp), body),
    }


def _group(*names: str, status: str = "firing", severity: str = "warning", **labels: str) -> Any:
    alerts = [
        {
            "status": status,
            "labels": {
                "alertname": name,
                "env": "production",
                **({"severity": severity} if severity else {}),
                **labels,
            },
            "annotations": {"summary": f"{name} in the shop"},
            "startsAt": "2026-03-14T09:26:50.123456789Z",
            "endsAt": "2026-03-14T09:36:50Z" if status == "resolved" else "0001-01-01T00:00:00Z",
        }
        for name in names
    ]
    return {"version": "4", "groupKey": "{}:{}", "status": status, "alerts": alerts}


def _grafana_group(*names: str, **told: Any) -> Any:
    return {**_group(*names, **told), "version": "1", "orgId": 1, "state": "alerting", "title": "t"}


_EVENTS = {"firing": "incident.triggered", "resolved": "incident.resolved"}
_URGENCY = {"critical": "P1", "error": "P2", "warning": "P3", "info": "P4", "": ""}


def _event(
    *names: str, status: str = "firing", severity: str = "warning", identifier: str = "", **_: str
) -> Any:
    (title,) = names
    name = re.sub(r"\W", "", title)  # an id of theirs has no spaces
    priority = {"summary": _URGENCY[severity]} if severity else None
    return {
        "event": {
            "id": identifier or f"01{name}{status}",
            "event_type": _EVENTS.get(status, status),
            "resource_type": "incident",
            "occurred_at": "2026-03-14T09:36:50.301Z",
            "agent": {"summary": "Somebody", "type": "user_reference"},
            "client": None,
            "data": {
                "id": f"Q{name}",
                "type": "incident",
                "status": "resolved" if status == "resolved" else "triggered",
                "incident_key": f"theirs-{name}",
                "created_at": "2026-03-14T09:26:53Z",
                "title": title,
                "service": {"summary": "Shop", "type": "service_reference"},
                "priority": priority,
                "urgency": "low",
                "html_url": f"https://shop.pagerduty.example/incidents/Q{name}",
            },
        }
    }


def _generic(*names: str, status: str = "firing", severity: str = "warning", **_: str) -> Any:
    return {
        "items": [
            {
                "what": name,
                "state": status,
                "how_bad": severity,
                "said": f"{name} in the shop",
                "since": "2026-03-14T09:26:50Z",
                "until": "2026-03-14T09:36:50Z" if status == "resolved" else None,
                "where": {"env": "production"},
                "see": "https://monitor.example/1",
            }
            for name in names
        ]
    }


GENERIC_FIELDS = Fields(
    alerts="/items",
    name=("/what",),
    title=("/said",),
    status=("/state",),
    severity=("/how_bad",),
    starts_at=("/since",),
    ends_at=("/until",),
    link=("/see",),
    labels={"env": ("/where/env",)},
    firing=("firing",),
    resolved=("resolved",),
    ignored=("test",),
)
SIGNED = {"signature_header": "X-Grafana-Alerting-Signature", "timestamp_header": TIMESTAMP_HEADER}

ALERTMANAGER = Sender("alertmanager", "alertmanager", "am-secret", _bearer, _group)
GRAFANA = Sender("grafana", "grafana", "grafana-secret", _bearer, _grafana_group)
GRAFANA_SIGNED = Sender(
    "grafana_signed", "grafana", "grafana-key", _grafana, _grafana_group, SIGNED
)
PAGERDUTY = Sender(
    "pagerduty", "pagerduty", "pd-secret", _pagerduty, _event, has_ids=True, batches=False
)
GENERIC = Sender(
    "generic", "generic", WHSEC, _standard, _generic, {"fields": GENERIC_FIELDS}, has_ids=True
)
SENDERS = (ALERTMANAGER, GRAFANA, GRAFANA_SIGNED, PAGERDUTY, GENERIC)


def sources(folder: Path, **more: Any) -> dict[str, Source]:
    """All of them, each with its secret in a file of this folder that has its name."""
    made = {}
    for sender in SENDERS:
        file = folder / f"{sender.name}.secret"
        file.write_text(sender.secret)
        made[sender.name] = sender.source(Secret((f"file:{file}",)), **more)
    return made


def told(payload: Any) -> bytes:
    return json.dumps(payload).encode()


def trial_message(sender: Sender) -> bytes:
    """What the sender's button for a test sends; Alertmanager has none, an empty group is near."""
    if sender.type == "alertmanager":
        return told({"version": "4", "status": "firing", "alerts": []})
    if sender.type == "generic":
        return told(sender.alerts("Test", status="test"))
    name = {"grafana": "test.json", "pagerduty": "ping.json"}[sender.type]
    return (PAYLOADS / sender.type / name).read_bytes()
