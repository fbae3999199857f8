"""A secret: where it stands, never what it is, until somebody must use it."""

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

#: Seconds in which a file that is being rewritten is looked at again, and how many apart: whoever
#: rewrites it may lose the processor in between. An attempt to page must have time left after it.
PATIENCE, _BETWEEN_LOOKS = 0.5, 0.01


class SecretMissing(Exception):
    """A secret's variable or file is not there; the operator must provide it."""


@dataclass(frozen=True)
class Secret:
    """References `env:NAME` or `file:PATH`, newest first; all of them are live at once."""

    references: tuple[str, ...]

    def values(self) -> tuple[str, ...]:
        """All live values; files are read anew each time. SecretMissing names what is not there."""
        until = time.monotonic() + PATIENCE
        return tuple(_read(reference, until) for reference in self.references)

    def value(self) -> str:
        """The newest value, for what takes only one."""
        return _read(self.references[0], time.monotonic() + PATIENCE)


def _read(reference: str, until: float) -> str:
    kind, _, place = reference.partition(":")
    if kind == "env":
        if place not in os.environ:
            raise SecretMissing(f"the environment variable {place} is not set")
        found = os.environ[place]
    else:
        try:
            found = _text(Path(place), until)
        except OSError as error:
            raise SecretMissing(f"the file {place} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise SecretMissing(f"the file {place} is not UTF-8 text") from None
    if not found:
        raise SecretMissing(f"{reference} is empty")
    return found


def _text(path: Path, until: float) -> str:
    """A file that is rewritten in place is empty for a moment, and one that an editor replaces is
    not there for a moment; neither must refuse anybody.
    """
    while time.monotonic() < until:
        with suppress(FileNotFoundError):
            if found := _line(path):
                return found
        time.sleep(_BETWEEN_LOOKS)
    return _line(path)


def _line(path: Path) -> str:
    return path.read_text(encoding="utf-8").rstrip("\r\n")
