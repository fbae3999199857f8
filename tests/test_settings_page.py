"""docs/settings.md tells the truth: each key of each table, its default, examples that hold."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from marshmallow import Schema

from responder import settings
from responder.domain.severity import SEVERITY_WORDS
from responder.settings.fields import ByType, Items, Keys, Named, Table
from responder.settings.schema import FileKeys

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "settings.md").read_text(encoding="utf-8")

TOP = "The top of the file"


def keys_of(schema: Schema, above: str = "") -> Iterator[str]:
    assert isinstance(schema, Keys)
    for name, field in zip(schema.names, schema.fields.values(), strict=True):
        yield f"{above}{name}"
        if isinstance(field, Table):
            yield from keys_of(field.schema, f"{above}{name}.")


def sections() -> dict[str, list[str]]:
    """Each heading that the page must have -> the keys that must stand under it."""
    found: dict[str, list[str]] = {TOP: []}
    for name, field in FileKeys().fields.items():
        inner = field.inner if isinstance(field, Items | Named) else None
        if isinstance(inner, ByType):
            for kind, table in inner.tables.items():
                found[f"`[{name}.<name>]`, type `{kind}`"] = list(keys_of(table.schema))
        elif isinstance(inner, Table):
            heading = f"`[[{name}]]`" if isinstance(field, Items) else f"`[{name}.<name>]`"
            found[heading] = list(keys_of(inner.schema))
        elif isinstance(field, Table):
            found[f"`[{name}]`"] = list(keys_of(field.schema))
        else:
            found[TOP].append(name)
    return found


SECTIONS = sections()


def rows_under(heading: str) -> list[tuple[str, str, str]]:
    """(key, default, example) of each row of the page's table under this heading."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `(.+?)` \| (.+?) \| `(.+?)` \| ", section, re.MULTILINE)


def test_the_page_has_a_heading_for_each_table() -> None:
    assert re.findall(r"^## (.+)$", PAGE, re.MULTILINE) == list(SECTIONS)


@pytest.mark.parametrize("heading", SECTIONS)
def test_the_page_has_every_key_and_no_other(heading: str) -> None:
    assert sorted(key for key, _, _ in rows_under(heading)) == sorted(SECTIONS[heading])


def example(dotted: bool, without: str = "", instead: str = "") -> str:
    """A file of all examples of the page; of `heading key` another line, or none, stands there."""
    names = {"pagerduty": "on_call"}
    lines = []
    for heading, keys in SECTIONS.items():
        kind = heading.partition("type `")[2].rstrip("`")
        if heading != TOP:
            lines.append(heading.split("`")[1].replace("<name>", names.get(kind, kind or "some")))
        parents = {key.partition(".")[0] for key in keys if "." in key}
        for key, _, written in rows_under(heading):
            if without == f"{heading} {key}":
                lines.append(instead)
            elif key not in parents if dotted else "." not in key:
                lines.append(written)
    backup = '[receivers.backup]\ntype = "slack"\nwebhook_url = "env:BACKUP"'
    return "\n".join([*lines, backup])


@pytest.mark.parametrize("dotted", [False, True], ids=["inline tables", "dotted keys"])
def test_the_examples_of_the_page_are_valid(dotted: bool) -> None:
    settings.read(example(dotted), "the examples")


DEFAULTS = [
    (heading, key, literal[1])
    for heading in SECTIONS
    for key, default, _ in rows_under(heading)
    if "." not in key and (literal := re.match("`([^`]+)`", default))
]


@pytest.mark.parametrize(("heading", "key", "default"), DEFAULTS)
def test_the_page_has_the_right_defaults(heading: str, key: str, default: str) -> None:
    place = f"{heading} {key}"
    unwritten = settings.read(example(False, place), "the page")
    assert settings.read(example(False, place, f"{key} = {default}"), "the page") == unwritten
    assert settings.read(example(False), "the page") != unwritten


def test_defaults_are_compared_in_every_kind_of_table() -> None:
    assert {heading.split(".")[0].strip("`[]") for heading, _, _ in DEFAULTS} == {
        *(TOP, "sources", "receivers", "routes", "business_hours", "ack_for"),
        *("windows", "review", "dead_man", "retention", "vault", "issuers", "login", "seal"),
    }


def test_the_page_has_the_usual_words_for_each_severity() -> None:
    told = PAGE.split("these are the usual ones: ")[1].split(". A word")[0]
    words = {part.split(" is ")[0]: part.split(" is ")[1] for part in told.split("; ")}
    assert {word: name for name in words for word in re.split(r",\s+", words[name])} == {
        word: severity.value for word, severity in SEVERITY_WORDS.items()
    }


def test_the_smallest_file_of_the_page_is_valid() -> None:
    (block,) = re.findall(r"```toml\n(.+?)```", PAGE, re.DOTALL)
    found = settings.read(block, "the page")
    assert (len(found.sources), len(found.targets), len(found.routes)) == (1, 1, 1)


def test_the_mistakes_that_the_page_shows_are_ours() -> None:
    (block,) = re.findall(r"```\n(responder.toml cannot .+?)\n```", PAGE, re.DOTALL)
    with pytest.raises(settings.SettingsWrong) as wrong:
        settings.read(
            """
            [sources.prod]
            type = "alertmanager"
            bearer = "hunter2"
            colour = "red"
            [targets.shop_eu]
            kind = "shop"
            matches = ["env is production"]
            reading = "env:A"
            """,
            "responder.toml",
        )
    assert str(wrong.value) == block


def test_the_example_file_is_valid_also_with_what_it_leaves_out() -> None:
    text = (DOCS / "examples" / "responder.toml").read_text(encoding="utf-8")
    whole = settings.read(re.sub(r"^# (?=\[|\w+ = )", "", text, flags=re.MULTILINE), "the example")
    assert "slack" in whole.receivers and whole.dead_man is not None
    short = settings.read(text, "the example")
    assert "slack" not in short.receivers and short.dead_man is None
    written = [line for line in text.splitlines() if not line.startswith(("page", "receivers ="))]
    default = settings.read("\n".join(written).replace("[[routes]]", ""), "the example")
    assert default.routes == short.routes
