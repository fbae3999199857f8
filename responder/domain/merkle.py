"""Merkle trees as RFC 6962 builds them: one root stands for many events, a short path for one."""

import hashlib
from collections.abc import Sequence

#: SHA-256's length; leaves lie behind each other in one value.
SIZE = 32


def leaf_of(text: str) -> bytes:
    """The leaf of an event's canonical text; sql/queries/audit.sql (`leaves`) says the same."""
    return hashlib.sha256(b"\0" + text.encode()).digest()


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The root over at least one leaf."""
    level = list(leaves)
    while len(level) > 1:
        level = [
            _node(*level[at : at + 2]) if at + 1 < len(level) else level[at]
            for at in range(0, len(level), 2)
        ]
    return level[0]


def path_of(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """What else is needed to come from one leaf to the root, from the bottom up."""
    level, path = list(leaves), []
    while len(level) > 1:
        if index ^ 1 < len(level):
            path.append(level[index ^ 1])
        pairs = range(0, len(level), 2)
        level = [_node(*level[at : at + 2]) if at + 1 < len(level) else level[at] for at in pairs]
        index //= 2
    return path


def climb(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """The root that this leaf has at this place among `size`; None: the path is no such path."""
    left = list(path)
    while size > 1:
        if index ^ 1 < size:
            if not left:
                return None
            other = left.pop(0)
            leaf = _node(other, leaf) if index & 1 else _node(leaf, other)
        index, size = index // 2, (size + 1) // 2
    return None if left or index else leaf


def split(leaves: bytes) -> list[bytes]:
    """Leaves that lie behind each other."""
    return [leaves[at : at + SIZE] for at in range(0, len(leaves), SIZE)]


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()
