"""The module of a rule, run: the one place where code of a rule is executed.

The child process runs it for us (`responder.runbook.process`); tests of rules run it themselves.
"""

import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import CodeType, ModuleType
from typing import Any, Protocol

from responder.runbook.rule import Case, Diagnostic, Finding, Option, Rule


class RuleFailed(Exception):
    """A rule raised, did what no rule may, or concluded no findings; its author must mend it."""

    def __init__(self, said: str) -> None:
        """said: in words of the rule's own, so that our database may not be able to keep it."""
        super().__init__(said[:300].replace("\0", "").encode(errors="replace").decode())


@dataclass(frozen=True)
class Parameter:
    """What a `Label` says."""

    names: Sequence[str]
    default: str | None


@dataclass(frozen=True)
class Description:
    """All that a rule's module says, but what it concludes."""

    text: str
    answers: Sequence[str]
    target: str
    key: Sequence[str] | None
    parameters: Mapping[str, Parameter]
    diagnostics: Sequence[Diagnostic]
    options: Sequence[Option]
    schedule: str
    concludes: bool


#: A `Description` as plain data, whose types nobody has looked at.
Told = Mapping[str, Any] | RuleFailed


class Place(Protocol):
    """Where modules of rules are run, from their source."""

    def describe(self, sources: Mapping[str, bytes]) -> Iterator[tuple[str, Told]]:
        """Modules of one folder, by name and in order: what each says of itself, or why nothing."""

    def conclude(self, name: str, source: bytes, case: Case) -> Iterable[Finding]:
        """What the rule concludes. RuleFailed."""


class Here:
    """This very process. Not for one that holds credentials."""

    def describe(self, sources: Mapping[str, bytes]) -> Iterator[tuple[str, Told]]:
        return ((name, _told(name, source)) for name, source in sources.items())

    def conclude(self, name: str, source: bytes, case: Case) -> Iterable[Finding]:
        """It may raise anything at all, also while its findings are taken."""
        return executed(name, compiled(name, source)).conclude(case)


HERE = Here()


def _told(name: str, source: bytes) -> Told:
    """Whatever it raises: a rule is somebody's code."""
    try:
        return described(executed(name, compiled(name, source)))
    except RuleFailed as failed:
        return failed
    except Exception as error:
        return RuleFailed(f"{type(error).__name__}: {error}")


def compiled(name: str, source: bytes) -> CodeType:
    """Not imported: a cached .pyc may be other code than the bytes that the checksum is of."""
    return compile(source, f"{name}.py", "exec")


def executed(name: str, code: CodeType) -> Rule:
    """The one rule of a module."""
    module = ModuleType(f"responder_rule_{name}")
    sys.modules[module.__name__] = module  # where dataclasses look for their module
    exec(code, module.__dict__)
    classes = [
        found
        for _, found in inspect.getmembers(module, inspect.isclass)
        if issubclass(found, Rule) and found is not Rule and found.__module__ == module.__name__
    ]
    if len(classes) != 1:
        raise RuleFailed(f"must define exactly one Rule, found {len(classes)}")
    return classes[0]()


def described(rule: Rule) -> dict[str, Any]:
    """A `Description` as plain data, if the rule is as it should be."""
    kind = type(rule)
    parameters = {
        name: {"names": list(label.names), "default": label.default}
        for name, label in rule.parameters.items()
    }
    return {
        "text": inspect.cleandoc(sys.modules[kind.__module__].__doc__ or ""),
        "answers": rule.answers,
        "target": rule.target,
        "key": rule.key,
        "parameters": parameters,
        "diagnostics": [{"kind": type(each).__name__, **vars(each)} for each in rule.diagnostics],
        "options": [{**vars(each), "verify": vars(each.verify)} for each in rule.options],
        "schedule": rule.schedule,
        "concludes": kind.conclude is not Rule.conclude,
    }
