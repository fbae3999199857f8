"""Ids: UUIDv7 (RFC 9562), so that rows of one time lie together."""

import secrets
import time
from uuid import UUID


def uuid7(milliseconds: int, random: int) -> UUID:
    """A UUIDv7 from Unix milliseconds and 74 random bits."""
    value = (milliseconds & (1 << 48) - 1) << 80
    value |= 7 << 76 | (random >> 62 & 0xFFF) << 64 | 2 << 62 | random & (1 << 62) - 1
    return UUID(int=value)


def new_id() -> UUID:
    """A fresh id; hand in another function where a test must know its ids."""
    return uuid7(time.time_ns() // 1_000_000, secrets.randbits(74))
