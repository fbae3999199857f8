"""Where history forks: our database failed over without its newest seals, and the copies have them.

An admin states it, with the key that signs seals, so that nobody can who merely owns our database.
Each lost seal is named by its digest; whatever else a copy has and we have not stays an alarm.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from responder.domain.actor import Actor
from responder.domain.seal import Seal
from responder.pipeline.audit.keys import PublicKeys, SigningKeys
from responder.pipeline.audit.proving import compared
from responder.store import Transaction


class NoFork(Exception):
    """There is nothing to state; the message says why."""


def state_fork(
    tx: Transaction, keys: SigningKeys, copies: Sequence[Path], actor: Actor, reason: str
) -> list[Seal]:
    """Record that a failover lost these seals. NoFork, OSError."""
    public = keys.public()
    known = read_forks(tx, public)
    found = {
        seal.digest: seal
        for path in copies
        for seal, ours in compared(tx, path)
        if isinstance(seal, Seal) and (ours is None or ours.digest != seal.digest)
        if seal.digest not in known and public.verifies(seal.kid, seal.signature, seal.text)
    }
    lost = sorted(found.values(), key=lambda seal: seal.number)
    if not lost:
        raise NoFork("the copies have no seal that our database lacks")
    here = tx.one("this_server")
    for seal in lost:
        if (seal.system_identifier, seal.timeline) == (here["system_identifier"], here["timeline"]):
            made = f"seal {seal.number} was made on the very server that our database is on now"
            raise NoFork(f"{made}: no failover has lost it")
    digests = [seal.digest.hex() for seal in lost]
    tx.record(
        "fork",
        actor,
        f"seals {lost[0].number} to {lost[-1].number}",
        reason=reason,
        digests=digests,
        kid=keys.kid,
        signature=keys.sign(_text(actor.name, reason, digests)).hex(),
    )
    return lost


def read_forks(tx: Transaction, keys: PublicKeys) -> Mapping[bytes, str]:
    """What was stated of seals, by their digest; a statement that is not signed by us is none."""
    stated: dict[bytes, str] = {}
    for row in tx.all("forks"):
        told = row["details"]
        try:
            digests, reason = list(map(bytes.fromhex, told["digests"])), told["reason"]
            signature = bytes.fromhex(told["signature"])
            text = _text(row["actor"], reason, told["digests"])
            signed = keys.verifies(told["kid"], signature, text)
        except (KeyError, TypeError, ValueError):
            continue
        if signed:
            said = f"were lost in a failover, said {row['actor']} on {row['at']:%Y-%m-%d}: {reason}"
            stated |= dict.fromkeys(digests, said)
    return stated


def _text(actor: str, reason: str, digests: Sequence[str]) -> bytes:
    """What is signed."""
    return json.dumps(["responder fork 1", actor, reason, *digests]).encode()
