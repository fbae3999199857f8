"""What a runbook says to people, element by element, and where each has its home in the product.

`runbook.toml` lists them; whatever loses its home is named, so that text and code cannot part.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from responder.runbook.loader import LoadedRule, RunbookWrong

#: What a home may be, and how it is written after its word.
HOMES = {
    "rule": "the rule that answers it: `rule database_down`, or `rule database_down P0`",
    "question": "a question of a rule: `question database_down.port`",
    "statement": "a statement of a rule's SQL: `statement slow_queries.sizes`",
    "option": "an option of a rule: `option slow_queries.vacuum_tables`",
    "text": "words of a rule's text: `text slow_queries pages load slowly`",
    "setting": "a key or a value of responder.toml: `setting levels.4.severity.P0`",
    "unset": "what must not stand in responder.toml: `unset levels.4.severity.P1`",
    "test": "a file with tests: `test rules/test_slow_queries.py`, or one: `...::test_name`",
}
KINDS = (
    *("operation", "symptom", "question", "option", "verification", "prevention"),
    *("severity", "contact", "level", "window", "before", "after"),
)


@dataclass(frozen=True)
class Element:
    """One thing that the runbook says, in its own words; homes: a word of HOMES and a name each."""

    kind: str
    text: str
    homes: Sequence[str]


@dataclass(frozen=True)
class Section:
    title: str
    elements: Sequence[Element]


@dataclass(frozen=True)
class Runbook:
    """The whole of runbook.toml."""

    name: str
    owner: str
    last_review: str
    next_review: str
    sections: Sequence[Section]


def read_runbook(root: Path) -> Runbook | None:
    """What the runbook in this folder says of itself; None when it has no runbook.toml.

    RunbookWrong carries every mistake.
    """
    path = root / "runbook.toml"
    if not path.exists():
        return None
    try:
        plain = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RunbookWrong([f"runbook.toml: {error}"]) from None
    mistakes = list(_mistakes(plain))
    if mistakes:
        raise RunbookWrong([f"runbook.toml: {mistake}" for mistake in mistakes])
    sections = [
        Section(each["title"], [Element(**element) for element in each["elements"]])
        for each in plain["section"]
    ]
    told = {name: str(plain[name]) for name in ("name", "owner", "last_review", "next_review")}
    return Runbook(**told, sections=sections)


def _mistakes(plain: Mapping[str, Any]) -> Iterator[str]:
    known = {"name", "owner", "last_review", "next_review", "section"}
    yield from (f"{name} is missing" for name in sorted(known - plain.keys()))
    yield from (f"{name} is unknown" for name in sorted(plain.keys() - known))
    for section in plain.get("section", ()):
        title = section.get("title", "a section without a title")
        for element in section.get("elements", ()):
            if element.keys() != {"kind", "text", "homes"}:
                yield f"{title}: an element has a kind, a text and homes: {element}"
                continue
            place = f"{title}: {element['text']!r}"
            if element["kind"] not in KINDS:
                yield f"{place}: its kind must be one of {', '.join(KINDS)}"
            if not element["homes"]:
                yield f"{place} has no home"
            for home in element["homes"]:
                if home.partition(" ")[0] not in HOMES:
                    yield f"{place}: a home begins with one of {', '.join(HOMES)}; not {home!r}"


@dataclass(frozen=True)
class Homes:
    """Where elements may live. settings: the tables of responder.toml; tests: their folder.

    None: they do not travel with the package, cannot be looked at, and are taken to be right.
    """

    rules: Mapping[str, LoadedRule]
    settings: Mapping[str, Any] | None
    tests: Path | None

    def lacks(self, home: str) -> bool:
        """Whether there is nothing of this name, or something that must not be there."""
        word, _, name = home.partition(" ")
        if word in ("setting", "unset"):
            wanted = word == "setting"
            return self.settings is not None and _setting(self.settings, name) != wanted
        if word == "test":
            return self.tests is not None and not _test(self.tests, name)
        known, *rest = re.split(r"[. ]", name, maxsplit=1)
        rule = self.rules.get(known)
        return rule is None or not _in_rule(rule, word, rest)


def homeless(runbook: Runbook, homes: Homes) -> Iterator[str]:
    """Each home that is not there, with the element that has lost it."""
    for section in runbook.sections:
        for element in section.elements:
            for home in element.homes:
                if homes.lacks(home):
                    lost = f"lost its {home}"
                    if home.startswith("unset "):
                        lost = f"a setting that it must not have: {home.removeprefix('unset ')}"
                    yield f"{section.title}: {element.text!r} has {lost}"


def _in_rule(rule: LoadedRule, word: str, rest: Sequence[str]) -> bool:
    if not rest:
        return word == "rule"
    (name,) = rest
    known: Mapping[str, Any] = {
        "rule": (rule.severity,),
        "question": [each.name for each in rule.diagnostics],
        "statement": rule.statements,
        "option": rule.options,
        "text": " ".join(rule.text.split()),
    }
    return name in known[word]


def _setting(settings: Any, path: str) -> bool:
    """A key of a table, an element of a list by its name, or a value."""
    if not isinstance(settings, Mapping | list):
        return str(settings) == path
    name, _, rest = path.partition(".")
    if isinstance(settings, Mapping):
        found = [settings[name]] if name in settings else []
    else:
        found = [each for each in settings if _named(each) == name]
    return bool(found) and (not rest or any(_setting(each, rest) for each in found))


def _named(each: Any) -> str:
    if isinstance(each, Mapping):
        each = next((each[name] for name in ("name", "item", "level") if name in each), "")
    return str(each)


def _test(folder: Path, name: str) -> bool:
    path, _, function = name.partition("::")
    file = folder / path
    if not file.is_file():
        return False
    wanted = re.escape(function) or r"test_\w+"
    return bool(re.search(rf"^def {wanted}\(", file.read_text(), re.M))
