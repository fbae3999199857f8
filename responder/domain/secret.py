"""A secret: where it stands, never what it is, until somebody must use it."""

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import scrypt
from pathlib import Path

#: Seconds in which a file that is being rewritten is looked at again, and how many apart: whoever
#: rewrites it may lose the processor in between. An attempt to page must have time left after it.
PATIENCE, _BETWEEN_LOOKS = 0.5, 0.01
#: Texts of several lines that are one secret: PEM, and JSON that is no set of keys.
_WHOLE = ("-----BEGIN", "{")


#: What stands in files, with what tells that they were not written since, and the age in
#: nanoseconds from which that is told for sure.
_known: dict[str, tuple[tuple[int, ...], str]] = {}
_SETTLED = 2_000_000_000


class SecretMissing(Exception):
    """A secret's variable or file is not there; the operator must provide it."""


@dataclass(frozen=True)
class Secret:
    """References `env:NAME` or `file:PATH`, newest first; all versions there are live at once.

    A file may hold several versions, newest first: one a line, or as the keys of a JWK set.
    It remembers which versions were used until `forget`.
    """

    references: tuple[str, ...]
    _used: set[str] = field(default_factory=set, init=False, compare=False, repr=False)

    def versions(self) -> tuple[tuple[str, str], ...]:
        """All live values with the reference to each; files are looked at anew each time.

        SecretMissing names what is not there.
        """
        until = time.monotonic() + PATIENCE
        return tuple(
            (reference, value) for reference in self.references for value in _read(reference, until)
        )

    def values(self) -> tuple[str, ...]:
        """All live values. SecretMissing."""
        return tuple(value for _, value in self.versions())

    def value(self) -> str:
        """The newest value, for what takes only one, which counts as used. SecretMissing."""
        newest, *_ = _read(self.references[0], time.monotonic() + PATIENCE)
        self.use(newest)
        return newest

    def fits(self, test: Callable[[str], bool]) -> bool:
        """Whether a live version passes; all are tried, so that time does not tell which did."""
        fitting = [value for value in self.values() if test(value)]
        for value in fitting:
            self.use(value)
        return bool(fitting)

    def use(self, value: str) -> None:
        """This version was used just now."""
        self._used.add(value)

    def used(self) -> frozenset[str]:
        """The versions that were used and not forgotten."""
        return frozenset(self._used)

    def forget(self, values: frozenset[str]) -> None:
        self._used.difference_update(values)


@lru_cache(maxsize=1000)
def version_of(key: str, value: str) -> str:
    """The name of a version of the secret under this key: tells versions apart, not the secret.

    Slow on purpose (scrypt, some 20 ms), and short: whoever reads our database has to pay it for
    each guess of a password that a person thought up. The key is the salt.
    """
    salt = f"responder:{key}".encode()
    return scrypt(value.encode(), salt=salt, n=2**13, r=8, p=1, dklen=4).hex()


def with_version(text: str, new: str) -> str:
    """The text of a secret's file with a newer version before the others.

    ValueError: a file of this kind holds one version only.
    """
    keys, newer = _keys(text), _keys(new)
    if keys is not None and newer is not None:
        return _key_set([*newer, *keys])
    if any(each.lstrip().startswith(_WHOLE) for each in (text, new)):
        raise ValueError("it holds one text of several lines")
    return f"{new}\n{text}"


def without_version(text: str, old: str) -> str:
    """The text of a secret's file of several versions without this one."""
    keys, older = _keys(text), _keys(old)
    if keys is not None and older is not None:
        return _key_set([key for key in keys if key not in older])
    return "".join(f"{line}\n" for line in _lines(text) if line != old)


def _read(reference: str, until: float) -> list[str]:
    kind, _, place = reference.partition(":")
    if kind == "env":
        if place not in os.environ:
            raise SecretMissing(f"the environment variable {place} is not set")
        found = [os.environ[place]] if os.environ[place] else []
    else:
        try:
            found = versions_in(_text(place, until))
        except OSError as error:
            raise SecretMissing(f"the file {place} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise SecretMissing(f"the file {place} is not UTF-8 text") from None
    if not found:
        raise SecretMissing(f"{reference} is empty")
    return found


def versions_in(text: str) -> list[str]:
    """The versions in the text of a secret's file, the newest first."""
    keys = _keys(text)
    if keys is not None:
        return [_key_set([key]) for key in keys]
    return [text] if text.lstrip().startswith(_WHOLE) else _lines(text)


def _lines(text: str) -> list[str]:
    lines = [line.rstrip("\r") for line in text.split("\n")]
    return [line for line in lines if line.strip()]


def _keys(text: str) -> list[object] | None:
    """The keys of a JWK set; None: it is none, or it is half written."""
    if not text.lstrip().startswith("{"):
        return None
    with suppress(ValueError, KeyError, TypeError):
        keys = json.loads(text)["keys"]
        return keys if isinstance(keys, list) and keys else None
    return None


def _key_set(keys: list[object]) -> str:
    return json.dumps({"keys": keys}, indent=2, sort_keys=True) + "\n"


def _text(place: str, until: float) -> str:
    """A file that is rewritten in place is empty for a moment, and one that an editor replaces is
    not there for a moment; neither must refuse anybody.
    """
    while time.monotonic() < until:
        with suppress(FileNotFoundError):
            if found := _whole(place):
                return found
        time.sleep(_BETWEEN_LOOKS)
    return _whole(place)


def _whole(place: str) -> str:
    """Read again when it is another file, or was written since: each request asks for a secret."""
    told = os.stat(place)
    mark = told.st_dev, told.st_ino, told.st_size, told.st_ctime_ns
    known, text = _known.get(place, (None, ""))
    if known != mark:
        text = Path(place).read_text(encoding="utf-8").rstrip("\r\n")
        # a clock that ticks slowly does not tell two writes of one moment apart
        if time.time_ns() - told.st_ctime_ns > _SETTLED:
            _known[place] = mark, text
    return text
