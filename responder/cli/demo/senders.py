"""How each sender of the demo proves that it is the sender, as its own documentation has it."""

import hashlib
import hmac
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from responder.cli.demo.settings import SecretFiles
from responder.domain.signing import sign


@dataclass(frozen=True)
class Sender:
    """One source: where it posts, and the names of the files with its secrets, newest first."""

    type: str
    url: str
    kept: SecretFiles
    files: Sequence[str]

    @property
    def secrets(self) -> list[str]:
        """Read again each time, as the responder does."""
        return [self.kept.read(name) for name in self.files]

    def headers(self, body: bytes) -> dict[str, str]:
        """What goes with this body now."""
        return {"Content-Type": "application/json", **_PROOFS[self.type](self.secrets, body)}

    def described(self) -> dict[str, Any]:
        """For `--json`; `headers` are those that are the same for every body."""
        secrets = self.secrets
        bearer = self.type == "alertmanager"
        return {
            "type": self.type,
            "url": self.url,
            "headers": {"Authorization": f"Bearer {secrets[0]}"} if bearer else {},
            "secret": secrets[0],
            "secrets": secrets,
            "files": [str(self.kept.path(name)) for name in self.files],
            "signing": _SIGNING.get(self.type),
        }


def make_senders(url: str, kept: SecretFiles) -> dict[str, Sender]:
    """By the name of the source; url: the responder's."""
    files = {
        "alertmanager": ("alertmanager", ["bearer"]),
        "grafana": ("grafana", ["grafana_secret"]),
        "pagerduty": ("pagerduty", ["pagerduty_new", "pagerduty_old"]),
        "monitor": ("generic", ["monitor_secret"]),
    }
    return {
        name: Sender(kind, f"{url}/v1/webhooks/{name}", kept, names)
        for name, (kind, names) in files.items()
    }


def _bearer(secrets: Sequence[str], body: bytes) -> dict[str, str]:
    return {"Authorization": f"Bearer {secrets[0]}"}


def _grafana(secrets: Sequence[str], body: bytes) -> dict[str, str]:
    timestamp = str(int(time.time()))
    signature = _hex(secrets[0], f"{timestamp}:".encode() + body)
    return {
        "X-Grafana-Alerting-Timestamp": timestamp,
        "X-Grafana-Alerting-Signature": signature,
    }


def _pagerduty(secrets: Sequence[str], body: bytes) -> dict[str, str]:
    """A signature by each secret, as in the middle of a rotation."""
    signatures = [f"v1={_hex(secret, body)}" for secret in secrets]
    return {"X-PagerDuty-Signature": ",".join(signatures), "X-Webhook-Id": str(uuid4())}


def _standard(secrets: Sequence[str], body: bytes) -> dict[str, str]:
    identifier, timestamp = f"msg_{uuid4().hex}", str(int(time.time()))
    return {
        "webhook-id": identifier,
        "webhook-timestamp": timestamp,
        "webhook-signature": sign(secrets[0], identifier, timestamp, body),
    }


def _hex(secret: str, signed: bytes) -> str:
    return hmac.digest(secret.encode(), signed, hashlib.sha256).hex()


_PROOFS = {
    "alertmanager": _bearer,
    "grafana": _grafana,
    "pagerduty": _pagerduty,
    "generic": _standard,
}
#: How to make the signature oneself: HMAC-SHA256 of `signed`, then the headers.
_SIGNING: Mapping[str, Mapping[str, Any]] = {
    "grafana": {
        "signature": "hex HMAC-SHA256 with the secret as text",
        "signed": "{timestamp}:{body}",
        "headers": {
            "X-Grafana-Alerting-Timestamp": "{timestamp}",
            "X-Grafana-Alerting-Signature": "{signature}",
        },
    },
    "pagerduty": {
        "signature": "hex HMAC-SHA256 with the secret as text",
        "signed": "{body}",
        "headers": {"X-PagerDuty-Signature": "v1={signature}"},
    },
    "generic": {
        "signature": "base64 HMAC-SHA256 with the bytes whose base64 stands behind whsec_",
        "signed": "{id}.{timestamp}.{body}",
        "headers": {
            "webhook-id": "{id}",
            "webhook-timestamp": "{timestamp}",
            "webhook-signature": "v1,{signature}",
        },
    },
}
