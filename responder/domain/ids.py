"""Ids: UUIDv7 (RFC 9562), so that rows of one time lie together and in the order they were made."""

import secrets
import time
from uuid import UUID


def uuid7(nanoseconds: int, random: int) -> UUID:
    """A UUIDv7 from Unix nanoseconds and 62 random bits.

    The 12 bits behind the millisecond are its fraction (RFC 9562, 6.2, method 3).
    """
    milliseconds, rest = divmod(nanoseconds, 1_000_000)
    value = (milliseconds & (1 << 48) - 1) << 80
    value |= 7 << 76 | (rest * 4096 // 1_000_000) << 64 | 2 << 62 | random & (1 << 62) - 1
    return UUID(int=value)


def new_id() -> UUID:
    """A fresh id; hand in another function where a test must know its ids."""
    return uuid7(time.time_ns(), secrets.randbits(62))
