"""An incident as one file that proves itself on a machine without our database.

Events come with the paths to the roots of their seals, rows with the events that witness them.
What no event witnesses (notices, messages, the file as a whole) is covered by the exporter's
signature over a manifest: the digest of each part by its place, so that an edit has a name.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from responder import __version__
from responder.domain.merkle import path_of, split
from responder.domain.witnessed import jsonb_text, read_exact
from responder.pipeline.audit.keys import SigningKeys
from responder.pipeline.audit.rows import witnessed_rows
from responder.pipeline.audit.sealing import seal_from_row
from responder.store import Transaction

#: What the signature is over, and what says so.
UNSIGNED = ("manifest", "signature")


class NoSuchIncident(Exception):
    """There is no incident of this id."""


def make_bundle(tx: Transaction, keys: SigningKeys, incident_id: UUID) -> dict[str, Any]:
    """The bundle of an incident; tx: a snapshot. NoSuchIncident."""
    found = tx.maybe("bundle_incident", id=incident_id)
    if found is None:
        raise NoSuchIncident
    events, seals = _events(tx, incident_id)
    bundle = {
        "bundle": 1,
        "made_at": tx.now.isoformat(),
        "code_version": __version__,
        "incident": read_exact(found["content"]),
        "deliveries": _contents(tx.all("bundle_deliveries", id=incident_id)),
        "alerts": _contents(tx.all("bundle_alerts", id=incident_id)),
        "rules": [_rule(row) for row in tx.all("bundle_rules", id=incident_id)],
        "rows": [
            {"subject": row["subject"], "content": read_exact(row["content"])}
            for row in witnessed_rows(tx, (incident_id,), whole=True)
            if row["content"] is not None
        ],
        "notifications": _contents(tx.all("bundle_notifications", id=incident_id)),
        "events": events,
        "seals": seals,
        "keys": keys.public().to_json(),
    }
    manifest = dict(manifest_of(bundle))
    signature = keys.sign(manifest_text(manifest)).hex()
    return {**bundle, "manifest": manifest, "signature": {"kid": keys.kid, "signature": signature}}


def bundle_text(bundle: Mapping[str, Any]) -> str:
    """As a file: one line for each part."""
    return "{\n" + ",\n".join(f"{json.dumps(k)}: {_lines(v)}" for k, v in bundle.items()) + "\n}\n"


def manifest_of(bundle: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The digest of each part by its place."""
    for name, part in bundle.items():
        if name in UNSIGNED:
            continue
        if isinstance(part, list):
            yield f"{name}/count", _digest(str(len(part)))
            for place, item in enumerate(part):
                yield f"{name}/{place}", _digest(item)
        else:
            yield name, _digest(part)


def manifest_text(manifest: Mapping[str, str]) -> bytes:
    """What is signed."""
    return b"responder bundle 1\n" + jsonb_text(manifest).encode()


def _digest(part: Any) -> str:
    return hashlib.sha256(jsonb_text(part).encode()).hexdigest()


def _lines(part: Any) -> str:
    if isinstance(part, list) and part:
        return "[\n" + ",\n".join(map(jsonb_text, part)) + "\n]"
    return jsonb_text(part)


def _contents(rows: list[dict[str, Any]]) -> list[Any]:
    return [read_exact(row["content"]) for row in rows]


def _rule(row: Mapping[str, Any]) -> dict[str, str]:
    text = {name: bytes(row[name]).decode(errors="replace") for name in ("module", "sql")}
    return {"checksum": row["checksum"], "rule": row["rule"], **text}


def _events(tx: Transaction, incident_id: UUID) -> tuple[list[Any], list[Any]]:
    """The events, each with its place in a seal once it has one; and these seals."""
    rows = tx.all("bundle_events", id=incident_id)
    seals: dict[int, dict[str, Any]] = {}
    places: dict[UUID, tuple[int, int]] = {}
    for row in rows:
        if row["id"] not in places:
            seal = tx.maybe(
                "seal_of_event", **{name: row[name] for name in ("id", "at", "filed_at")}
            )
            if seal is not None:
                seals[seal["number"]] = seal
                placed = ((each, (seal["number"], at)) for at, each in enumerate(seal["ids"]))
                places.update(placed)
    events = []
    for row in rows:
        event = {name: _plain(value) for name, value in row.items()}
        event["details"] = read_exact(row["details"])
        number, index = places.get(row["id"], (None, 0))
        if number is not None:
            path = path_of(split(bytes(seals[number]["leaves"])), index)
            event["seal"], event["index"] = number, index
            event["path"] = [node.hex() for node in path]
        events.append(event)
    said = [seal_from_row(seals[number]).to_json() for number in sorted(seals)]
    return events, said


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value
