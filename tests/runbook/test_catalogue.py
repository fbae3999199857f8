"""Which rule, which target, which key, how severe; and `explain` says what the engine does."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from responder.domain.alert import Alert, AlertStatus
from responder.domain.decision import Reason
from responder.domain.incident import incident_key
from responder.domain.matcher import Matcher, parse_matcher
from responder.domain.secret import Secret
from responder.domain.settings import Target
from responder.domain.severity import Severity
from responder.pipeline.explain import explain
from responder.runbook import Label, Rule
from responder.runbook.catalogue import Catalogue
from responder.runbook.loader import LoadedRule

NOW = datetime.now(UTC)
STUCK = ['alertname="Stuck"']


def alert(
    labels: Mapping[str, str] | None = None,
    word: str | None = None,
    severity: Severity | None = None,
) -> Alert:
    return Alert(
        source="am",
        fingerprint="f1",
        status=AlertStatus.FIRING,
        name="Stuck",
        title="Stuck",
        service="shop",
        labels={"alertname": "Stuck", **(labels or {})},
        starts_at=NOW,
        severity_word=word,
        severity=severity,
    )


def rule(
    name: str, severity: str = "P2", answers: Sequence[str] = STUCK, **parts: Any
) -> LoadedRule:
    made = type(name, (Rule,), {"answers": answers, "target": "shop", **parts})
    matchers = tuple(sorted(map(parse_matcher, answers)))
    return LoadedRule(
        name, Severity(severity), made(), matchers, {}, name, checksum="0" * 64, module=b"", sql=b""
    )


def targets(**matches: Sequence[str]) -> dict[str, Target]:
    """Targets of kind shop, except for those whose name begins with `mail`."""
    return {
        name: Target(
            name,
            "mail" if name.startswith("mail") else "shop",
            [parse_matcher(text) for text in texts],
            reading=Secret(("env:UNUSED",)),
        )
        for name, texts in matches.items()
    }


EU, US = ['env="production"', 'region="eu"'], ['env="production"', 'region=~"us-.*"']

TARGETS = {
    "none is configured": ({}, None, Reason.NO_TARGET, "no target of kind shop"),
    "only one of another kind": (
        {"mail": []},
        None,
        Reason.NO_TARGET,
        "no target of kind shop",
    ),
    "one matches": ({"shop_eu": EU, "shop_us": US}, "shop_eu", None, ""),
    "one for all": ({"shop": []}, "shop", None, ""),
    "none matches": (
        {"shop_us": US, "staging": ['env="staging"'], "owned": ['owner!=""']},
        None,
        Reason.NO_TARGET,
        "shop_us: region=~\"us-.*\" (it is 'eu'); staging: env=\"staging\" (it is 'production');"
        " owned: owner!=\"\" (it is '')",
    ),
    "two match": (
        {"shop_eu": EU, "shop_all": ['env="production"'], "shop_us": US},
        None,
        Reason.AMBIGUOUS_TARGET,
        "these match: shop_all, shop_eu",
    ),
    "one matches and one is for all": (
        {"shop_eu": EU, "all": []},
        None,
        Reason.AMBIGUOUS_TARGET,
        "these match: all, shop_eu",
    ),
    "another kind would match too": ({"shop_eu": EU, "mail": []}, "shop_eu", None, ""),
}


@pytest.mark.parametrize(
    ("configured", "target", "trouble", "detail"), TARGETS.values(), ids=TARGETS.keys()
)
def test_exactly_one_target_must_match(
    configured: dict[str, Sequence[str]], target: str | None, trouble: Reason | None, detail: str
) -> None:
    catalogue = Catalogue([rule("stuck")], targets(**configured))
    identity = catalogue.identify(alert({"env": "production", "region": "eu"}))
    assert (identity.target, identity.trouble, identity.detail) == (target, trouble, detail)
    assert json.loads(identity.key)[:3] == ["rule", "stuck", target]


def test_a_staging_alert_is_not_about_production() -> None:
    catalogue = Catalogue([rule("stuck")], targets(shop=['env="production"']))
    for labels in ({"env": "staging"}, {"env": ""}, {}, {"env": "production2"}):
        assert catalogue.identify(alert(labels)).target is None


PARAMETERS = {"email": Label("email", "user_email"), "shop": Label("shop")}


@pytest.mark.parametrize(
    ("labels", "known", "detail"),
    [
        ({"email": "a@b", "shop": "7"}, {"email": "a@b", "shop": "7"}, ""),
        ({"user_email": "a@b", "shop": "7"}, {"email": "a@b", "shop": "7"}, ""),
        ({"email": "", "user_email": "c@d", "shop": "7"}, {"email": "c@d", "shop": "7"}, ""),
        ({"email": "a@b", "user_email": "c@d", "shop": "7"}, {"email": "a@b", "shop": "7"}, ""),
        ({"shop": "7"}, {"shop": "7"}, "email: no label email or user_email"),
        ({"email": "a@b", "shop": ""}, {"email": "a@b"}, "shop: no label shop"),
        ({}, {}, "email: no label email or user_email; shop: no label shop"),
    ],
)
def test_parameters_come_from_labels(
    labels: dict[str, str], known: dict[str, str], detail: str
) -> None:
    catalogue = Catalogue([rule("stuck", parameters=PARAMETERS)], targets(shop=[]))
    identity = catalogue.identify(alert(labels))
    assert (identity.parameters, identity.detail) == (known, detail)
    assert identity.trouble == (Reason.PARAMETER_MISSING if detail else None)
    assert identity.target == "shop"


@pytest.mark.parametrize(("labels", "value"), [({}, ""), ({"sku": ""}, ""), ({"sku": "7"}, "7")])
def test_a_parameter_that_an_alert_may_leave_out(labels: dict[str, str], value: str) -> None:
    parameters = {"item": Label("item", "sku", default="")}
    catalogue = Catalogue([rule("stuck", key=("item",), parameters=parameters)], targets(shop=[]))
    identity = catalogue.identify(alert(labels))
    assert (identity.parameters, identity.trouble) == ({"item": value}, None)
    assert identity.key == incident_key("stuck", "shop", {"item": value})


def test_no_target_is_said_before_a_missing_parameter() -> None:
    identity = Catalogue([rule("stuck", parameters=PARAMETERS)], {}).identify(alert())
    assert identity.trouble == Reason.NO_TARGET


def test_no_rule_is_an_incident_all_the_same() -> None:
    catalogue = Catalogue([rule("other", answers=['alertname="Other"'])], targets(shop=[]))
    identity = catalogue.identify(alert())
    assert (identity.rule, identity.target, identity.trouble) == (None, "shop", Reason.NO_RULE)
    two = Catalogue([rule("other", answers=['alertname="Other"'])], targets(shop=[], store=[]))
    assert two.identify(alert()).target is None
    assert json.loads(identity.key) == ["source", "am", "f1"]
    (trial,) = catalogue.trials(alert())
    assert trial.failed == "alertname=\"Other\": it is 'Stuck'"


def test_a_label_that_is_not_there_is_said() -> None:
    (trial,) = Catalogue([rule("stuck", answers=["team=shop"])], {}).trials(alert())
    assert trial.failed == 'team="shop": there is no such label'


P0, P1, P2, P3 = Severity

SEVERITIES = {
    "absent: the rule's own": (None, None, "P3", P3),
    "absent, without a rule": (None, None, None, P2),
    "declared more severe than the rule": ("critical", P0, "P2", P0),
    "the rule more severe than declared": ("info", P3, "P1", P1),
    "the same": ("warning", P2, "P2", P2),
    "declared, without a rule": ("info", P3, None, P3),
    "unreadable is P2 at least": ("quite bad", None, "P3", P2),
    "unreadable with a rule more severe": ("quite bad", None, "P1", P1),
    "unreadable, without a rule": ("quite bad", None, None, P2),
    "an empty word is unreadable": ("", None, "P3", P2),
}


@pytest.mark.parametrize(
    ("word", "declared", "of_rule", "effective"), SEVERITIES.values(), ids=SEVERITIES.keys()
)
def test_the_effective_severity(
    word: str | None, declared: Severity | None, of_rule: str | None, effective: Severity
) -> None:
    rules = [rule("stuck", of_rule)] if of_rule else []
    identity = Catalogue(rules, targets(shop=[])).identify(alert(word=word, severity=declared))
    assert identity.severity == effective


KEYS = {
    "one incident a target": ((), {}, {"region": "eu"}, {}),
    "the key's labels": (("region",), {}, {"region": "eu", "zone": "a"}, {"region": "eu"}),
    "a key that is a parameter": (
        ("email",),
        {"email": Label("email", "user_email")},
        {"user_email": "a@b"},
        {"email": "a@b"},
    ),
    "a key that is missing": (("region",), {}, {}, {"region": ""}),
    "without a key, all that tells faults apart": (
        None,
        {},
        {"region": "eu", "pod": "x-1", "replica": "b", "severity": "critical", "level": "9"},
        {"alertname": "Stuck", "region": "eu"},
    ),
}


@pytest.mark.parametrize(("key", "parameters", "labels", "values"), KEYS.values(), ids=KEYS.keys())
def test_the_key(
    key: tuple[str, ...] | None,
    parameters: dict[str, Label],
    labels: dict[str, str],
    values: dict[str, str],
) -> None:
    catalogue = Catalogue([rule("stuck", key=key, parameters=parameters)], targets(shop=[]))
    assert catalogue.identify(alert(labels)).key == incident_key("stuck", "shop", values)


words = st.sampled_from(["", "eu", "us", "eu-1"])
labels = st.dictionaries(st.sampled_from(["region", "zone", "team"]), words)
severity_labels = st.dictionaries(
    st.sampled_from(["severity", "level", "priority"]), st.sampled_from(["critical", "info", "9"])
)


@given(labels, severity_labels, severity_labels, st.none() | st.just(("region",)) | st.just(()))
def test_severity_labels_do_not_tell_faults_apart(
    common: dict[str, str],
    one: dict[str, str],
    other: dict[str, str],
    key: tuple[str, ...] | None,
) -> None:
    catalogue = Catalogue([rule("stuck", key=key)], targets(shop=[]))
    keys = {catalogue.identify(alert({**common, **severities})).key for severities in (one, other)}
    assert len(keys) == 1


matchers = st.builds(
    Matcher,
    st.sampled_from(["region", "zone", "team"]),
    st.sampled_from(["=", "!=", "=~", "!~"]),
    st.sampled_from(["", "eu", "us", "eu.*", "eu|us", ".+"]),
)
answers = st.lists(matchers.map(str), min_size=1, max_size=3)
drawn_rules = st.dictionaries(
    st.sampled_from("abcdef"), st.tuples(st.sampled_from(["P0", "P1", "P2", "P3"]), answers)
)


def by_the_book(rules: Mapping[str, tuple[str, list[str]]], labels: Mapping[str, str]) -> list[str]:
    """The names of the rules that answer, in the order of DESIGN 5, by Alertmanager's words."""

    def holds(text: str) -> bool:
        name, operator, value = re.fullmatch(r'(\w+)([=!~]+)"(.*)"', text).groups()  # type: ignore[union-attr]
        found = labels.get(name, "")
        equal = found == value if "~" not in operator else re.match(f"^(?:{value})$", found)
        return bool(equal) != ("!" in operator)

    ordered = sorted((severity, name) for name, (severity, _) in rules.items())
    return [name for _, name in ordered if all(map(holds, rules[name][1]))]


@given(drawn_rules, labels, st.lists(st.sampled_from(["shop", "mail"]), unique=True))
def test_the_engine_does_what_explain_says(
    drawn: dict[str, tuple[str, list[str]]], found: dict[str, str], kinds: list[str]
) -> None:
    ordered = sorted(drawn.items(), key=lambda item: (item[1][0], item[0]))  # as `load` does
    loaded = [rule(name, severity, texts) for name, (severity, texts) in ordered]
    catalogue = Catalogue(loaded, targets(**{kind: [] for kind in kinds}))
    notice = alert(found)
    identity, explained = catalogue.identify(notice), explain(catalogue, notice)

    answering = [trial["rule"] for trial in explained["rules"] if trial["failed"] is None]
    assert answering == by_the_book(drawn, notice.labels)
    assert identity.rule == explained["rule"] == (answering[0] if answering else None)
    assert identity.matched == len(answering)
    assert [trial["rule"] for trial in explained["rules"]] == [each.name for each in loaded]
    shared = ("key", "target", "severity", "parameters", "trouble", "detail")
    assert {name: explained[name] for name in shared} == {
        name: getattr(identity, name) for name in shared
    }
    json.dumps(explained)
