"""Keys: one fault is one incident, whoever tells it and however severe they call it."""

import hashlib
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from responder.domain.incident import (
    KEYLESS_LABELS,
    dedup_key,
    incident_key,
    incident_key_without_rule,
)

words = st.text(max_size=6)
values = st.dictionaries(words, words, max_size=4)


@pytest.mark.parametrize("label", ["severity", "level", "priority", "replica", "prometheus", "pod"])
def test_labels_that_never_tell_faults_apart(label: str) -> None:
    assert label in KEYLESS_LABELS


@given(words, st.none() | words, values)
def test_the_order_of_labels_does_not_matter(
    rule: str, target: str | None, values: dict[str, str]
) -> None:
    backwards = dict(reversed(values.items()))
    assert incident_key(rule, target, values) == incident_key(rule, target, backwards)


keys = st.builds(incident_key, words, st.none() | words, values) | st.builds(
    incident_key_without_rule, words, words
)


@given(words, st.none() | words, values, words, words)
def test_a_key_says_all_that_it_is_made_of(
    rule: str, target: str | None, values: dict[str, str], source: str, fingerprint: str
) -> None:
    """So that two keys are equal only when all of their parts are."""
    assert json.loads(incident_key(rule, target, values)) == ["rule", rule, target, values]
    without = incident_key_without_rule(source, fingerprint)
    assert json.loads(without) == ["source", source, fingerprint]


@given(keys)
def test_the_pagers_key_is_fixed_for_ever(key: str) -> None:
    expected = hashlib.sha256(key.encode()).hexdigest()[:32]
    assert dedup_key(key) == f"responder-{expected}"
    assert re.fullmatch(r"responder-[0-9a-f]{32}", dedup_key(key))
    assert dedup_key(key, 2) == f"responder-{expected}-r2"
