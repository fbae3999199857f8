"""One seal every so often over the events that wait for it, by one process at a time.

An event is put into the queue `unsealed` by the transaction that records it, so the seal after its
commit has it, however late that comes, and whatever a failover or a restore makes of the numbers
of transactions. Nobody waits for a seal, and a seal waits for nobody.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from responder.domain.merkle import SIZE, root_of
from responder.domain.seal import NOTHING, Seal
from responder.domain.secret import SecretMissing
from responder.domain.settings import SealSettings
from responder.pipeline.audit.keys import SigningKeys
from responder.pipeline.services import Services
from responder.store import Transaction

#: Events of one seal, which is one transaction of less than a second.
PORTION = 5_000
#: Seals of one turn; what is left then waits for the next.
TURN = 20
#: The leaf of an event that was deleted before it was sealed.
GONE = bytes(SIZE)
#: Of a row of `seal`, what is signed and the signature.
SAID = [column.name for column in fields(Seal)]


def seal_events(services: Services) -> None:
    """Seal what has waited since the last seal, when that is `every` ago."""
    settings = services.settings.seal
    if settings is None:
        return
    try:
        keys = SigningKeys(settings.key)
    except SecretMissing as missing:
        services.log.error("nothing is sealed", why=str(missing))
        return
    full = False
    for _ in range(TURN):
        with services.store.transaction() as tx:
            full = _seal(tx, settings, keys, full)
        if not full:
            return


def _seal(tx: Transaction, settings: SealSettings, keys: SigningKeys, goes_on: bool) -> bool:
    """One seal; whether there is more to do."""
    if not tx.one("try_sealing")["got"]:
        return False
    last = tx.maybe("last_seal")
    if last is not None and not goes_on and tx.now - last["at"] < settings.every:
        return False
    tx.run("queue_backlog", limit=PORTION)
    taken = sorted(tx.all("take_unsealed", limit=PORTION), key=lambda row: row["id"].int)
    if not taken:
        return False
    filed, ids = tuple(row["filed_at"] for row in taken), tuple(row["id"] for row in taken)
    bounds = {"filed_from": min(filed), "filed_to": max(filed)}
    rows = tx.all("leaves", filed=filed, ids=ids, **bounds)
    leaves = [bytes(row["leaf"]) if row["there"] else GONE for row in rows]
    seal = _signed(tx, keys, last, leaves)
    said = {name: getattr(seal, name) for name in SAID}
    tx.run("insert_seal", **said, **bounds, filed=filed, ids=ids, leaves=b"".join(leaves))
    return len(taken) == PORTION


def _signed(
    tx: Transaction, keys: SigningKeys, last: Mapping[str, Any] | None, leaves: list[bytes]
) -> Seal:
    server = tx.one("this_server")
    seal = Seal(
        number=last["number"] + 1 if last else 1,
        at=tx.now,
        events=len(leaves),
        root=root_of(leaves),
        previous=seal_from_row(last).digest if last else NOTHING,
        system_identifier=server["system_identifier"],
        timeline=server["timeline"],
        kid=keys.kid,
    )
    return replace(seal, signature=keys.sign(seal.text))


def seal_from_row(row: Mapping[str, Any]) -> Seal:
    """The seal that a row holds."""
    raw = {name: bytes(row[name]) for name in ("root", "previous", "signature")}
    said: dict[str, Any] = {name: row[name] for name in SAID}
    return Seal(**{**said, **raw})
