"""Loads a runbook: every module of `rules/p0..p3` with its SQL, or every mistake at once.

Code of a rule is run at a place that is told; here its description is read and judged.
The first wall of promise 2 stands here: an automatic option in p0/ or p1/ is refused.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from responder.domain.actor import ROLES
from responder.domain.duration import parse_duration
from responder.domain.incident import SEVERITY_LABELS
from responder.domain.matcher import Matcher, parse_matcher
from responder.domain.severity import Severity
from responder.domain.statements import Statement, parse_statements
from responder.runbook.module import HERE, Description, Place, RuleFailed, Told
from responder.runbook.rule import Case, Diagnostic, Finding, Label, Option, Rule, Sql
from responder.runbook.schedule import next_due, plain_value
from responder.runbook.typed import typed

_INDEX = re.compile(r"[\w.]+ \([\w()]+\)")
_RETURNING = re.compile(r"\breturning\b", re.IGNORECASE)


class RunbookWrong(Exception):
    """The runbook cannot be loaded; the author of the rules must mend every line of `mistakes`."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = list(mistakes)


@dataclass(frozen=True)
class LoadedRule:
    """A rule as the engine uses it; checksum: of its module and its SQL, as they were read."""

    name: str
    severity: Severity
    rule: Rule
    matchers: tuple[Matcher, ...]
    statements: Mapping[str, Statement]
    text: str
    checksum: str
    module: bytes
    sql: bytes

    @property
    def summary(self) -> str:
        """The first line of the docstring: what is wrong."""
        return self.text.partition("\n")[0]

    @property
    def options(self) -> Mapping[str, Option]:
        return {option.name: option for option in self.rule.options}

    @property
    def automatic(self) -> tuple[str, ...]:
        """The options that it may run by itself, once it is promoted."""
        return tuple(option.name for option in self.rule.options if option.automatic)

    @property
    def diagnostics(self) -> Sequence[Diagnostic]:
        return self.rule.diagnostics


def load(root: Path, place: Place = HERE) -> list[LoadedRule]:
    """All rules below `root`/rules, the most severe folder first, then by name.

    place: where their code is run; processes of ours use `responder.runbook.process.load_apart`.
    RunbookWrong carries every mistake of every rule.
    """
    loaded: list[LoadedRule] = []
    mistakes: list[str] = []
    for severity in Severity:
        paths = sorted((root / "rules" / severity.lower()).glob("[!_]*.py"))
        sources = {path.stem: path.read_bytes() for path in paths}
        for name, told in place.describe(sources):
            try:
                rule = _load_one(root, severity, name, sources[name], told, place)
            except RunbookWrong as wrong:
                mistakes += wrong.mistakes
                continue
            mistakes += [f"{severity.lower()}/{name}.py: {text}" for text in _mistakes(rule)]
            loaded.append(rule)
    mistakes += _clashes(loaded)
    mistakes += _strays(root)
    if not loaded and not mistakes:
        mistakes.append(f"no rules found in {root / 'rules'}")
    if mistakes:
        raise RunbookWrong(mistakes)
    return loaded


def _load_one(
    root: Path, severity: Severity, name: str, source: bytes, told: Told, place: Place
) -> LoadedRule:
    sql = _read(root / "sql" / "rules" / f"{name}.sql")
    try:
        if isinstance(told, RuleFailed):
            raise told
        described = typed(Description, told, name)
        matchers = tuple(sorted(parse_matcher(text) for text in described.answers))
        statements = parse_statements(sql.decode(), f"sql/rules/{name}.sql")
    except (RuleFailed, ValueError) as error:
        raise RunbookWrong([f"{severity.lower()}/{name}.py: {error}"]) from error
    return LoadedRule(
        name=name,
        severity=severity,
        rule=_rule(name, source, described, place),
        matchers=matchers,
        statements=statements,
        text=described.text,
        checksum=checksum_of(source, sql),
        module=source,
        sql=sql,
    )


def _read(path: Path) -> bytes:
    """Nothing when there is no such file."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def checksum_of(module: bytes, sql: bytes) -> str:
    """Which version of a rule this code is."""
    return hashlib.sha256(module + b"\0" + sql).hexdigest()


def _rule(name: str, source: bytes, described: Description, place: Place) -> Rule:
    """A rule that says what was described, and concludes at that place."""

    def conclude(_: Rule, case: Case) -> Iterable[Finding]:
        return place.conclude(name, source, case)

    said = {
        "answers": described.answers,
        "target": described.target,
        "key": described.key,
        "parameters": {
            each: Label(*label.names, default=label.default)
            for each, label in described.parameters.items()
        },
        "diagnostics": described.diagnostics,
        "options": described.options,
        "schedule": described.schedule,
        **({"conclude": conclude} if described.concludes else {}),
    }
    rule: Rule = type(name, (Rule,), said)()
    return rule


def _mistakes(rule: LoadedRule) -> Iterator[str]:
    if not rule.summary:
        yield "needs a docstring whose first line says what is wrong"
    if not rule.matchers:
        yield "answers nothing; write for example answers = ['alertname=\"QueueStuck\"']"
    if not rule.rule.target:
        yield 'names no kind of target; write for example target = "shop"'
    if type(rule.rule).conclude is Rule.conclude:
        yield "concludes nothing; write conclude(self, case)"
    for name in rule.rule.key or ():
        label = rule.rule.parameters.get(name)
        if not SEVERITY_LABELS.isdisjoint(label.names if label else (name,)):
            yield f"its key has {name}, a severity; one fault is one incident whatever it is called"
    if rule.rule.schedule:
        yield from _schedule_mistakes(rule)
    yield from _diagnostic_mistakes(rule)
    for option in rule.rule.options:
        yield from _option_mistakes(rule, option)
    names = [part.name for part in (*rule.diagnostics, *rule.rule.options)]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"uses the name {name} twice"


def _schedule_mistakes(rule: LoadedRule) -> Iterator[str]:
    """The alert that we raise is made of `answers`, and must have the key of everybody else's."""
    try:
        next_due(rule.rule.schedule, datetime.now(UTC))
    except ValueError as error:
        yield f"its schedule {error}"
    for matcher in rule.matchers:
        if plain_value(matcher) is None:
            yield f'has a schedule, so it answers plain words such as =~"a|b", not {matcher}'
    if rule.rule.key is None:
        yield "has a schedule, so it needs a key; () is one incident a target"


def _diagnostic_mistakes(rule: LoadedRule) -> Iterator[str]:
    before: set[str] = set()
    for diagnostic in rule.diagnostics:
        if isinstance(diagnostic, Sql):
            if diagnostic.name not in rule.statements:
                yield f"the statement `{diagnostic.name}` is missing in sql/rules/{rule.name}.sql"
            else:
                yield from _unbound(rule, diagnostic.name, set(rule.rule.parameters))
            if diagnostic.index and not _INDEX.fullmatch(diagnostic.index):
                yield f"`{diagnostic.name}`: its index must be written like `orders (created_at)`"
        try:
            parse_duration(diagnostic.timeout)
        except ValueError as error:
            yield f"`{diagnostic.name}`: {error}"
        if diagnostic.after and diagnostic.after not in before:
            yield f"`{diagnostic.name}` comes after `{diagnostic.after}`, which is not before it"
        before.add(diagnostic.name)


def _option_mistakes(rule: LoadedRule, option: Option) -> Iterator[str]:
    if option.automatic and rule.severity.pages:
        yield f"option {option.name} is automatic; nothing at {rule.severity} ever is"
    if option.automatic and (option.dangerous or option.outside or not option.transactional):
        yield f"option {option.name} is automatic, so it must be harmless, inside and transactional"
    if option.automatic and option.run:
        yield f"option {option.name} is automatic, so it needs a statement, not a command to run"
    if option.automatic and option.asks:
        yield f"option {option.name} is automatic, so nobody is there to be asked"
    if option.automatic and option.claims:
        yield f"option {option.name} is automatic, so it must not act in a person's name (claims)"
    if option.automatic and (option.in_window or option.batch):
        yield f"option {option.name} is automatic; what waits for a window or a batch is for people"
    if option.role not in ROLES:
        yield f"option {option.name}: its role must be one of {', '.join(ROLES)}"
    try:
        parse_duration(option.cooldown), option.verify.limit, option.verify.step
    except ValueError as error:
        yield f"option {option.name}: {error}"
    if not option.transactional and (option.run or option.batch or option.claims or option.undo):
        yield f"option {option.name} runs in no transaction: no run, batch, claims or undo with it"
    if option.run:
        return
    bound = set(rule.rule.parameters) | set(option.asks)
    for name in option.statements:
        if name not in rule.statements:
            yield f"option {option.name} needs the statement `{name}` in sql/rules/{rule.name}.sql"
        else:
            yield from _unbound(rule, name, bound, option)
    if f"{option.name}_after" in rule.statements:
        yield from _unbound(rule, f"{option.name}_after", {*bound, "before"}, option)
    if option.transactional and not option.changes:
        yield f"option {option.name} must name the tables that it changes"
    if option.transactional:
        yield from _undo_mistakes(rule, option, {*bound, "before", "after"})


def _undo_mistakes(rule: LoadedRule, option: Option, bound: set[str]) -> Iterator[str]:
    name, place = f"{option.name}_undo", f"sql/rules/{rule.name}.sql"
    if not option.undo:
        if name in rule.statements:
            yield f"`{name}` stands in {place}, so option {option.name} must say undo=True"
        return
    if option.batch or option.outside:
        yield f"option {option.name} cannot be undone: it keeps no rows, or acts outside"
    if name not in rule.statements:
        yield f"option {option.name} has undo=True, so it needs the statement `{name}` in {place}"
        return
    yield from _unbound(rule, name, bound, option)
    if "after" not in rule.statements[name].needs():
        yield f"`{name}` must bind %(after)s, else it could undo what was changed since the fix"
    if not _returns(rule, name):
        yield f"`{name}` must return the rows that it restores, as `{option.name}_before` has them"
    if not _returns(rule, option.name) and f"{option.name}_after" not in rule.statements:
        yield f"`{option.name}` returns no rows, so its undo needs `{option.name}_after` too"


def _returns(rule: LoadedRule, name: str) -> bool:
    """Whether the statement is a change that returns its rows."""
    statement = rule.statements.get(name)
    return statement is not None and bool(_RETURNING.search(statement.sql))


def _unbound(
    rule: LoadedRule, statement: str, bound: set[str], option: Option | None = None
) -> Iterator[str]:
    for missing in sorted(rule.statements[statement].needs() - bound):
        if option is None:
            yield f"`{statement}` needs %({missing})s, which is no parameter of the rule"
        elif not re.fullmatch(r"[a-z_]+", missing):
            yield f"`{statement}` needs %({missing})s, which nothing provides"


def _strays(root: Path) -> Iterator[str]:
    """Files that look like a rule's and belong to none."""
    folders = {severity.lower() for severity in Severity}
    modules = [path for path in (root / "rules").rglob("*.py") if path.name[0] != "_"]
    for path in modules:
        if path.parent.parent != root / "rules" or path.parent.name not in folders:
            yield f"{path.relative_to(root)}: a rule lies in rules/p0, p1, p2 or p3"
    names = {path.stem for path in modules}
    for path in (root / "sql" / "rules").glob("*.sql"):
        if path.stem not in names:
            yield f"{path.relative_to(root)}: there is no rule {path.stem}"


def _clashes(rules: Sequence[LoadedRule]) -> Iterator[str]:
    names: dict[str, LoadedRule] = {}
    answers: dict[tuple[Matcher, ...], LoadedRule] = {}
    for rule in rules:
        if other := names.get(rule.name):
            yield f"two rules are named {rule.name}: {other.severity} and {rule.severity}"
        elif other := answers.get(rule.matchers):
            yield f"{other.name} and {rule.name} answer exactly the same alerts"
        names.setdefault(rule.name, rule)
        answers.setdefault(rule.matchers, rule)
