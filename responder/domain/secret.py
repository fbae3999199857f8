"""A secret: where it stands, never what it is, until somebody must use it."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

#: How often a file is looked at before it is called empty, and how many seconds apart: whoever
#: rewrites it may lose the processor in between.
_LOOKS, _BETWEEN_LOOKS = 100, 0.01


class SecretMissing(Exception):
    """A secret's variable or file is not there; the operator must provide it."""


@dataclass(frozen=True)
class Secret:
    """References `env:NAME` or `file:PATH`, newest first; all of them are live at once."""

    references: tuple[str, ...]

    def values(self) -> tuple[str, ...]:
        """All live values; files are read anew each time. SecretMissing names what is not there."""
        return tuple(_read(reference) for reference in self.references)

    def value(self) -> str:
        """The newest value, for what takes only one."""
        return _read(self.references[0])


def _read(reference: str) -> str:
    kind, _, place = reference.partition(":")
    if kind == "env":
        if place not in os.environ:
            raise SecretMissing(f"the environment variable {place} is not set")
        found = os.environ[place]
    else:
        try:
            found = _text(Path(place))
        except OSError as error:
            raise SecretMissing(f"the file {place} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise SecretMissing(f"the file {place} is not UTF-8 text") from None
    if not found:
        raise SecretMissing(f"{reference} is empty")
    return found


def _text(path: Path) -> str:
    """A file that is rewritten in place is empty for a moment, which must refuse nobody."""
    for _ in range(_LOOKS):
        found = path.read_text(encoding="utf-8").rstrip("\r\n")
        if found:
            break
        time.sleep(_BETWEEN_LOOKS)
    return found
