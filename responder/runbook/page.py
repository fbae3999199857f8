"""The page of a runbook: every element with its home, then what each rule asks and offers."""

from collections.abc import Iterator, Sequence

from responder.runbook.elements import Runbook
from responder.runbook.loader import LoadedRule
from responder.runbook.rule import Option

_HEAD = """# {name}

Owner: {owner} · last review: {last_review} · next review: {next_review}

Made from `runbook.toml` and the rules by `responder rules lint --write`; `responder rules lint`
names each element of the runbook that has lost its rule, statement, setting or test.
"""


def page(runbook: Runbook, rules: Sequence[LoadedRule]) -> str:
    """docs/runbook.md."""
    head = _HEAD.format(**{name: getattr(runbook, name) for name in _NAMES})
    return "\n".join([head, *_sections(runbook), "# The rules\n", *_rules(rules)])


_NAMES = ("name", "owner", "last_review", "next_review")


def _sections(runbook: Runbook) -> Iterator[str]:
    for section in runbook.sections:
        yield f"## {section.title}\n"
        yield "| | the runbook says | home |"
        yield "|---|---|---|"
        for element in section.elements:
            homes = "<br>".join(_home(home) for home in element.homes)
            yield f"| {element.kind} | {_cell(element.text)} | {homes} |"
        yield ""


def _home(home: str) -> str:
    """Where it leads: a rule's part to the rule on this page, a setting or a test by its name."""
    word, _, name = home.partition(" ")
    if word in ("setting", "unset", "test"):
        return f"{word} `{name}`"
    rule, mark, rest = name.partition(" ") if word in ("rule", "text") else name.partition(".")
    link = f"{word} [{rule}](#{rule})"
    if word == "text":
        return f"{link}: {_cell(rest)}"
    return f"{link}{mark}{rest}"


def _rules(rules: Sequence[LoadedRule]) -> Iterator[str]:
    for rule in rules:
        yield f"## {rule.name}\n"
        answers = " or ".join(f"`{matcher}`" for matcher in rule.matchers)
        yield f"**{rule.severity}** · answers {answers}\n"
        yield f"```text\n{rule.text}\n```\n"
        yield "| asks | |"
        yield "|---|---|"
        for diagnostic in rule.diagnostics:
            yield f"| `{diagnostic.name}` | {_cell(diagnostic.question)} |"
        yield ""
        if rule.rule.options:
            yield "| offers | who | |"
            yield "|---|---|---|"
            for option in rule.rule.options:
                told = " ".join(filter(None, (f"{option.title}.", option.caution)))
                yield f"| `{option.name}` | {_who(option)} | {_cell(told)} |"
            yield ""


def _who(option: Option) -> str:
    if option.automatic:
        return "by itself"
    how = "a command" if option.run else "one click"
    return f"{how}, {option.role}"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
