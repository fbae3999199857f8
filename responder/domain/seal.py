"""A seal: one signed sentence about some events, and about the seal before it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

#: Digest of the seal before the first one.
NOTHING = bytes(32)


@dataclass(frozen=True)
class Seal:
    """root: of the Merkle tree over `events` leaves; previous: digest of the seal before.

    system_identifier, timeline: of the server that it was made on. kid: the key that signed it.
    """

    number: int
    at: datetime
    events: int
    root: bytes
    previous: bytes
    system_identifier: str
    timeline: int
    kid: str
    signature: bytes = b""

    @property
    def text(self) -> bytes:
        """What is signed."""
        return json.dumps(["responder seal 1", *self._said().values()]).encode()

    @property
    def digest(self) -> bytes:
        """What the next seal and a copy outside hold on to."""
        return hashlib.sha256(self.text + self.signature).digest()

    def to_json(self) -> dict[str, Any]:
        """As a copy outside and a bundle carry it."""
        return {**self._said(), "signature": self.signature.hex()}

    def _said(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "at": self.at.isoformat(),
            "events": self.events,
            "root": self.root.hex(),
            "previous": self.previous.hex(),
            "system_identifier": self.system_identifier,
            "timeline": self.timeline,
            "kid": self.kid,
        }


def seal_from_json(said: Mapping[str, Any]) -> Seal:
    """What `to_json` wrote; ValueError for anything else."""
    try:
        return Seal(
            number=int(said["number"]),
            at=datetime.fromisoformat(said["at"]),
            events=int(said["events"]),
            root=bytes.fromhex(said["root"]),
            previous=bytes.fromhex(said["previous"]),
            system_identifier=str(said["system_identifier"]),
            timeline=int(said["timeline"]),
            kid=str(said["kid"]),
            signature=bytes.fromhex(said["signature"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a seal: {error}") from None
