"""The exact rows before and after a fix: encrypted, for `undo_hours`, for its undo and for admins.

The fix itself carries them redacted, as documents and messages show them, and their SHA-256.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from responder.domain.actor import Actor, ActorKind
from responder.domain.numbers import exact
from responder.domain.redaction import Redaction
from responder.pipeline.services import Services, iso, record
from responder.store import Transaction
from responder.store.incidents import incident_from_row
from responder.store.vault import Locked
from responder.targets.writing import Made

#: An undo that is asked for in the last minute finds its rows.
_GRACE = timedelta(minutes=15)
_VAULT = Actor(ActorKind.SYSTEM, "vault")


@dataclass(frozen=True)
class Image:
    """before, after: JSON arrays as the target wrote them; expires_at: None of an older release."""

    before: str
    after: str
    expires_at: datetime | None = None

    @property
    def plain(self) -> bytes:
        return json.dumps([self.before, self.after]).encode()

    @property
    def digest(self) -> bytes:
        """What the fix keeps of it for good."""
        return hashlib.sha256(self.plain).digest()


def shown(services: Services, made: Made) -> dict[str, Any]:
    """What a fix row says of the rows: redacted, with the digest of the exact ones."""
    redact = services.settings.redact
    return {
        "before_rows": _redacted(redact, made.before),
        "after_rows": _redacted(redact, made.after),
        "left_rows": [redact.text(each) for each in made.left],
        "image_sha256": Image(made.before, made.after).digest,
    }


def _redacted(redact: Redaction, rows: str) -> str:
    """Untouched where there is nothing to redact, so that no digit is lost."""
    value = exact(rows)
    told = redact.value(value)
    return rows if told == value else json.dumps(told)


def keep_image(
    services: Services, tx: Transaction, fix: UUID, image: Image, made: datetime
) -> None:
    """Keep the exact rows until nobody may undo the fix any more. Locked."""
    expires_at = made + services.settings.vault.undo_for + _GRACE
    if expires_at > tx.now:
        encrypted = services.vault.encrypt(image.plain, _place(fix))
        tx.run("insert_image", fix_id=fix, encrypted=encrypted, expires_at=expires_at)


def image_of(services: Services, tx: Transaction, fix: UUID) -> Image | None:
    """The exact rows of a fix; None when they are deleted. Locked."""
    row = tx.one("image", id=fix)
    if row["image_sha256"] is None:  # made by an earlier release
        return Image(row["before"], row["after"])
    if row["encrypted"] is None:
        return None
    plain = services.vault.decrypt(bytes(row["encrypted"]), _place(fix))
    before, after = json.loads(plain)
    image = Image(before, after, row["expires_at"])
    if image.digest != bytes(row["image_sha256"]):
        raise Locked("these are not the rows that the fix recorded")
    return image


def read_image(services: Services, fix: UUID, actor: Actor) -> Image | None:
    """The same for a person who looks at it, which is an audit event. Locked."""
    with services.store.transaction() as tx:
        row = tx.maybe("fix", id=fix)
        image = image_of(services, tx, fix) if row is not None else None
        if row is not None and image is not None:
            incident = incident_from_row(tx.one("incident", id=row["incident_id"]))
            record(tx, incident, "fix", actor, after="read", fix=str(fix))
    return image


def encrypt_images(services: Services) -> None:
    """Some fixes whose exact rows an earlier release kept in the open: one small step."""
    with services.store.transaction() as tx:
        for row in tx.all("fixes_in_the_open"):
            try:
                _encrypt(services, tx, row)
            except Locked as locked:
                services.log.error("rows of fixes stay in the open", why=str(locked))
                return


def _encrypt(services: Services, tx: Transaction, row: Mapping[str, Any]) -> None:
    image = Image(row["before"], row["after"])
    if not row["dry_run"]:
        keep_image(services, tx, row["id"], image, row["ended_at"])
    made = Made(None, "", 0, before=image.before, after=image.after, left=row["left_rows"])
    tx.run("hide_rows", id=row["id"], **shown(services, made))
    incident = incident_from_row(tx.one("incident", id=row["incident_id"]))
    told = {"fix": str(row["id"]), "image_sha256": image.digest.hex()}
    record(tx, incident, "fix", _VAULT, after="encrypted", **told)


def told_image(image: Image) -> dict[str, Any]:
    """As the API answers it."""
    told = {"before": exact(image.before), "after": exact(image.after)}
    return {**told, "expires_at": iso(image.expires_at)}


def _place(fix: UUID) -> str:
    """Where an image stands; it opens nowhere else."""
    return f"fix_image {fix}"
