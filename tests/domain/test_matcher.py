"""Matchers read, hold and are written as Alertmanager's are; bad ones say what is wrong."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from responder.domain.matcher import Matcher, first_failed, parse_matcher

LABELS = {"env": "production", "team": "shop", "empty": ""}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ('env="production"', True),
        ("env=production", True),
        ('  env  =  "production"  ', True),
        ('env="prod"', False),
        ('env!="staging"', True),
        ('env!="production"', False),
        ('env=~"prod.*"', True),
        ('env=~"prod"', False),  # anchored at both ends
        ('env=~"roduction"', False),
        ('env=~"production|staging"', True),
        ('env!~"stag.*"', True),
        ('env!~"prod.*"', False),
        ('env!~"prod"', True),
        ('env="Production"', False),
        # A label that is missing is empty.
        ('missing=""', True),
        ('missing!=""', False),
        ('missing=~".*"', True),
        ('missing=~".+"', False),
        ('missing!="x"', True),
        ('empty=""', True),
    ],
)
def test_it_holds(text: str, holds: bool) -> None:
    assert parse_matcher(text).holds(LABELS) is holds


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'a="say \"hi\""', 'say "hi"'),
        (r'a="back\\slash"', "back\\slash"),
        (r'a="two\nlines"', "two\nlines"),
        (r'a="\\n"', "\\n"),
        (r'a=~"\d+\.\d+"', r"\d+\.\d+"),  # an unknown escape stays as it is
        ('a=""', ""),
        ('a="{x,y}"', "{x,y}"),
        ('a="="', "="),
        ("a=shop-eu", "shop-eu"),
    ],
)
def test_the_value_between_quotes(text: str, value: str) -> None:
    assert parse_matcher(text).value == value


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not a matcher"),
        ("env", "not a matcher"),
        ("env=", "not a matcher"),
        ('="production"', "not a matcher"),
        ('env=="production"', "not a matcher"),
        ('env>"production"', "not a matcher"),
        ('env="production', "not a matcher"),
        ('env="a" team="b"', "not a matcher"),
        ('{env="a"}', "not a matcher"),
        ('env="a",team="b"', "not a matcher"),
        ('9env="a"', "not a matcher"),
        ('en v="a"', "not a matcher"),
        ('env="a\\"', "not a matcher"),
        ('env=~"("', "not a regular expression"),
        ('env!~"*"', "not a regular expression"),
        ('env=~"a{99999999999}"', "regular expression is too large"),
    ],
)
def test_a_bad_one_says_what_is_wrong(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_matcher(text)


names = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_:.]*", fullmatch=True)
plain = st.builds(Matcher, names, st.sampled_from(["=", "!="]), st.text())
patterns = st.builds(Matcher, names, st.sampled_from(["=~", "!~"]), st.text().map(re.escape))


@given(plain | patterns)
def test_what_is_written_is_read_back(matcher: Matcher) -> None:
    assert parse_matcher(str(matcher)) == matcher


@given(plain | patterns, st.text())
def test_the_negation_is_the_opposite(matcher: Matcher, found: str) -> None:
    opposite = {"=": "!=", "!=": "=", "=~": "!~", "!~": "=~"}[matcher.operator]
    labels = {matcher.name: found}
    assert matcher.holds(labels) is not Matcher(matcher.name, opposite, matcher.value).holds(labels)


def test_the_first_that_fails_is_named() -> None:
    held, failed, later = (parse_matcher(text) for text in ("env=production", "team=b", "env=x"))
    assert first_failed([held, failed, later], LABELS) == failed
    assert first_failed([held], LABELS) is None
    assert first_failed([], LABELS) is None
