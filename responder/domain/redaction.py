"""Takes secrets, and personal data by name, out of what comes from outside: `[redacted: <kind>]`.

Whatever is not wrapped by it at the door is in our database, in messages and in logs for good.
"""

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from responder.domain.secrets import (
    NAMES,
    OPAQUE_NAMES,
    PATTERNS,
    SIGNS_OF_NAMES,
    VALUE,
    Pattern,
    mark,
)

#: Lists and objects lie no deeper in each other; what does is not looked into, nor shown.
_DEEPEST = 100


@dataclass(frozen=True)
class Redaction:
    """Secrets always; columns and labels by name, whatever stands there; patterns by their kind.

    Names match in any case. It holds no state, so that all threads share one.
    """

    columns: Sequence[str] = ()
    labels: Sequence[str] = ()
    patterns: Mapping[str, str] = field(default_factory=dict)

    def text(self, text: str) -> str:
        """A text without them, also where JSON stands in it."""
        return self._text(text, 0)

    def texts(self, texts: Sequence[str]) -> Sequence[str]:
        """The same of many, of which most have nothing to lose."""
        return texts if self.passes(texts) else [self.text(each) for each in texts]

    def value(self, value: Any) -> Any:
        """Rows, or any other JSON, without them, also in texts and in the names of members."""
        return self._value(value, 0)

    def passes(self, texts: Iterable[str]) -> bool:
        """Whether nothing can be found in these, names of members among them: at a quick look.

        False says nothing; then each of them is looked at.
        """
        if not self._all_hinted:
            return False
        together = "\n".join(("", *texts)).lower()
        return not any(sign in together for sign in self._signs)

    def hides_label(self, name: str) -> bool:
        """Whether a label's value is personal by its name."""
        return name.lower() in self._labels

    def _value(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self._text(value, depth)
        if not isinstance(value, Mapping | list | tuple):
            return value
        if depth > _DEEPEST:
            return mark("nested too deeply")
        if not isinstance(value, Mapping):
            return [self._value(each, depth + 1) for each in value]
        told: dict[str, Any] = {}
        for name, each in value.items():
            shown = self._text(str(name), depth)
            while shown in told:
                shown += "'"
            told[shown] = self._member(str(name), each, depth + 1)
        return told

    def _member(self, name: str, value: Any, depth: int) -> Any:
        kind = self._kind_of(name.lower(), value)
        if not kind or value is None or value == "" or isinstance(value, bool) or _marked(value):
            return self._value(value, depth)
        return mark(kind)

    def _kind_of(self, name: str, value: Any) -> str:
        """Which secret or personal datum a member of this name is; "" for none."""
        if name in self._columns:
            return name
        if found := NAMES.search(name):
            return found[1].strip("_-").replace("_", " ")
        if OPAQUE_NAMES.search(name) and isinstance(value, str) and len(value) >= 20:
            return "key"
        return ""

    def _text(self, text: str, depth: int) -> str:
        if text[:1] in _JSON and depth <= _DEEPEST:
            text = self._json(text, depth)
        lower = text.lower()
        if self._all_hinted and not any(sign in lower for sign in self._signs_of_patterns):
            return text
        hinted = {hint for hint in self._hints if hint in lower}
        for pattern in self._patterns:
            if not (pattern.hints and hinted.isdisjoint(pattern.hints)):
                text = pattern.redact(text)
        return text

    def _json(self, text: str, depth: int) -> str:
        """A text that is JSON; what is none, or is cut off, the patterns look at."""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return text
        told = self._value(value, depth + 1)
        return text if told == value else json.dumps(told, ensure_ascii=False)

    @cached_property
    def _labels(self) -> frozenset[str]:
        return frozenset(name.lower() for name in self.labels)

    @cached_property
    def _columns(self) -> frozenset[str]:
        return frozenset(name.lower() for name in self.columns)

    @cached_property
    def _hints(self) -> Sequence[str]:
        return tuple({hint for pattern in self._patterns for hint in pattern.hints})

    @cached_property
    def _signs(self) -> Sequence[str]:
        """One of these stands in whatever `text` and `value` change, or look into."""
        first = {f"\n{each}" for each in _JSON}
        return _shortest({*self._hints, *SIGNS_OF_NAMES, *self._columns, *first})

    @cached_property
    def _signs_of_patterns(self) -> Sequence[str]:
        return _shortest(self._hints)

    @cached_property
    def _all_hinted(self) -> bool:
        return all(pattern.hints for pattern in self._patterns)

    @cached_property
    def _patterns(self) -> Sequence[Pattern]:
        named = [_named(name) for name in sorted(self._columns | self._labels)]
        own = [Pattern(kind, (), re.compile(text)) for kind, text in self.patterns.items()]
        return (*PATTERNS, *named, *own)


#: Secrets alone, where no settings are at hand.
SECRETS = Redaction()

_JSON = frozenset('{["')


def _shortest(signs: Collection[str]) -> Sequence[str]:
    """Those that no other one stands in: where none of them is, none is."""
    return tuple(
        sign for sign in signs if not any(other in sign for other in signs if other != sign)
    )


def _marked(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("[redacted: ") and value.endswith("]")


def _named(name: str) -> Pattern:
    """`name=value` and `"name": "value"` in a text, also in JSON that is cut off or in quotes."""
    assigned = rf"(?<![\w-]){re.escape(name)}(?:\\*[\"']\s{{0,4}}:|\s{{0,4}}=)\s{{0,4}}"
    return Pattern(name, (name,), re.compile(rf"(?i)(?P<keep>{assigned}){VALUE}"))
