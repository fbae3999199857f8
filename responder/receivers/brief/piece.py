"""What a brief is made of."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Piece:
    """text: sentences, one a line; then rows in columns, or a command that is never cut."""

    text: str = ""
    rows: str = ""
    command: str = ""


@dataclass(frozen=True)
class Part:
    """title: one of our own words, never from outside."""

    title: str
    pieces: tuple[Piece, ...]
