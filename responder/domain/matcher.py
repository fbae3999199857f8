"""Alertmanager's matcher syntax: `name="value"`, `!=`, `=~` and `!~`; a missing label is empty."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

_SYNTAX = re.compile(
    r"""\s*(?P<name>[a-zA-Z_][a-zA-Z0-9_:.]*)\s*(?P<operator>=~|!~|!=|=)\s*"""
    r"""(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^\s"{},]+))\s*"""
)
#: A regular expression that is nothing but words: `stuck|failed`.
_WORDS = re.compile(r"[\w -]+(\|[\w -]+)*")
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
        return bool(_compiled(self.value).fullmatch(found)) == (self.operator == "=~")

    @property
    def words(self) -> tuple[str, ...]:
        """The values that it wants, one of them; none: they cannot be listed."""
        if self.operator == "=" and self.value:
            return (self.value,)
        if self.operator == "=~" and _WORDS.fullmatch(self.value):
            return tuple(self.value.split("|"))
        return ()

    def __str__(self) -> str:
        escaped = self.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'{self.name}{self.operator}"{escaped}"'


#: As many as a large runbook has; what `re` itself keeps is 512 of them.
_compiled = lru_cache(20_000)(re.compile)


class Index:
    """Finds among many lists of matchers the few that may hold, by the label that says most."""

    def __init__(self, wanted: Sequence[Sequence[Matcher]]) -> None:
        self._by_word: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        self._others: list[int] = []
        listed = [[each for each in matchers if each.words] for matchers in wanted]
        spread: dict[str, set[str]] = defaultdict(set)
        for matcher in (each for matchers in listed for each in matchers):
            spread[matcher.name].update(matcher.words)
        for place, matchers in enumerate(listed):
            if not matchers:
                self._others.append(place)
                continue
            best = max(matchers, key=lambda each: (len(spread[each.name]), each.name))
            for word in dict.fromkeys(best.words):
                self._by_word[best.name][word].append(place)

    def likely(self, labels: Mapping[str, str]) -> list[int]:
        """Places of the lists that may hold, in order; no other one does."""
        found = [
            place
            for name, by_word in self._by_word.items()
            for place in by_word.get(labels.get(name, ""), ())
        ]
        return sorted([*found, *self._others])


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
