"""Alertmanager's matcher syntax: `name="value"`, `!=`, `=~` and `!~`; a missing label is empty."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_SYNTAX = re.compile(
    r"""\s*(?P<name>[a-zA-Z_][a-zA-Z0-9_:.]*)\s*(?P<operator>=~|!~|!=|=)\s*"""
    r"""(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^\s"{},]+))\s*"""
)
_ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}


@dataclass(frozen=True, order=True)
class Matcher:
    """One condition on one label; regular expressions are anchored at both ends."""

    name: str
    operator: str
    value: str

    def holds(self, labels: Mapping[str, str]) -> bool:
        found = labels.get(self.name, "")
        if self.operator in ("=", "!="):
            return (found == self.value) == (self.operator == "=")
        return bool(re.fullmatch(self.value, found)) == (self.operator == "=~")

    def __str__(self) -> str:
        escaped = self.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'{self.name}{self.operator}"{escaped}"'


def parse_matcher(text: str) -> Matcher:
    """One matcher from its text; ValueError says what is wrong with it."""
    found = _SYNTAX.fullmatch(text)
    if not found:
        raise ValueError(f'not a matcher: {text!r}; write name="value", !=, =~ or !~')
    value = found["bare"]
    if value is None:
        value = re.sub(
            r"\\(.)", lambda pair: _ESCAPES.get(pair[1], "\\" + pair[1]), found["quoted"]
        )
    matcher = Matcher(found["name"], found["operator"], value)
    if matcher.operator in ("=~", "!~"):
        try:
            re.compile(value)
        except (OverflowError, RecursionError):  # of "a{99999999999}" and of "((((..."
            raise ValueError("its regular expression is too large") from None
        except re.error as error:
            raise ValueError(f"not a regular expression: {value!r}: {error}") from None
    return matcher


def first_failed(matchers: Iterable[Matcher], labels: Mapping[str, str]) -> Matcher | None:
    """The first matcher that does not hold, None when all do."""
    return next((matcher for matcher in matchers if not matcher.holds(labels)), None)
