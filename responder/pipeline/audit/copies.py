"""Copies of the seals outside of our database: who truncates its end cannot truncate theirs.

A file gets one line of JSON a seal, a URL the same by POST. What cannot be written is tried again
a moment later and holds nobody up. Written twice is as good as once.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from responder.domain.seal import Seal, seal_from_json
from responder.outbound import Undelivered, post
from responder.pipeline.audit.sealing import seal_from_row
from responder.pipeline.services import Services

#: Seals of one turn, how long a URL may take for each, and for how long nobody else writes.
PORTION = 100
_TIMEOUT = 2.0
_LEASE = timedelta(seconds=10)


def copy_seals(services: Services) -> None:
    """Bring each copy up to date."""
    settings = services.settings.seal
    for place in settings.copy_to if settings else ():
        while _copy(services, place) == PORTION:
            pass


def name_of(place: str) -> str:
    """What a copy is called where people read; the path of a URL may be a secret."""
    if not is_url(place):
        return place
    parts = urlsplit(place)
    return f"{parts.scheme}://{parts.netloc}/#{hashlib.sha256(place.encode()).hexdigest()[:8]}"


def is_url(place: str) -> bool:
    return "://" in place


def read_copy(path: Path) -> Iterator[Seal | str]:
    """The seals of a file; the text of a line that is none. OSError."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in filter(str.strip, lines):
            try:
                yield seal_from_json(json.loads(line))
            except (ValueError, RecursionError):
                yield line.strip()[:100]


def _copy(services: Services, place: str) -> int:
    """How many seals were written."""
    name = name_of(place)
    with services.store.transaction() as tx:
        claimed = tx.maybe("claim_copy", place=name, lease=_LEASE)
        if claimed is None:
            return 0
        rows = tx.all("seals_to_copy", number=claimed["number"], limit=PORTION)
        now = tx.now
    seals = [seal_from_row(row) for row in rows]
    try:
        if seals:
            _write(place, seals, now)
    except (OSError, Undelivered) as error:
        why = str(error.strerror) if isinstance(error, OSError) else str(error)
        services.log.warning("seals were not copied", place=name, why=why)
        with services.store.transaction() as tx:
            tx.run("not_copied", place=name, error=why)
        return 0
    with services.store.transaction() as tx:
        number = seals[-1].number if seals else claimed["number"]
        tx.run("copied", place=name, number=number)
    return len(seals)


def _write(place: str, seals: Sequence[Seal], now: datetime) -> None:
    lines = [json.dumps(seal.to_json()) for seal in seals]
    if is_url(place):
        for line in lines:
            post(place, line.encode(), {}, now=now, timeout=_TIMEOUT)
        return
    with Path(place).open("a+b") as file:
        if file.tell() and _last_byte(file.fileno(), file.tell()) != b"\n":
            file.write(b"\n")  # a line that was broken off stays what it is
        file.write("".join(f"{line}\n" for line in lines).encode())
        file.flush()
        os.fsync(file.fileno())


def _last_byte(descriptor: int, size: int) -> bytes:
    return os.pread(descriptor, 1, size - 1)
