"""What is redacted, what must pass untouched, and that no nesting, case or length helps."""

import json
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from responder.domain.redaction import SECRETS, Redaction

PERSONAL = Redaction(
    columns=("Email", "shipping_address"),
    labels=("customer",),
    patterns={"iban": r"\b[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}\b"},
)
JWT = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAKCAQ\n-----END RSA PRIVATE KEY-----"
#: Each is put together here, so that no scanner of secrets takes this file for a leak.
TOKENS = {
    "AWS key": "AKIA" + "IOSFODNN7EXAMPLE",
    "Slack token": "xoxb-" + "1234567890-abcdefGHIJ",
    "GitHub token": "ghp_" + "0123456789abcdefABCDEF0123456789abcd",
    "GitLab token": "glpat-" + "0123456789_abcdefABCD",
    "npm token": "npm_" + "0123456789abcdefABCDEF0123456789abcd",
    "Stripe key": "sk_live_" + "0123456789abcdefABCDEF",
    "Supabase key": "sb_secret_" + "0123456789_abcdefABCDEF",
    "Shopify token": "shpat_" + "0123456789abcdef0123456789abcdef",
    "SendGrid key": "SG."
    + "0123456789abcdefABCDEF"
    + "."
    + "0123456789abcdefABCDEF0123456789abcdefABCDE",
    "Google key": "AIza" + "0123456789abcdefABCDEF0123456789abc",
    "API key": "sk-ant-" + "0123456789abcdefABCDEF",
    "signing secret": "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "token": JWT,
    "private key": PEM,
}
BEHIND_A_NAME = {
    "postgresql://ann:p@ss/w:rd@db.example/x": "p@ss/w:rd",
    "https://ann:geheim@shop.example/x": "geheim",
    "Authorization: Bearer abcdefghijklmnop1234": "abcdefghijklmnop1234",
    "authorization=Basic YW5uOmdlaGVpbQ==": "YW5uOmdlaGVpbQ==",
    "curl -H 'Authorization: Token token=y_NbAkKc66ryYTWUXYEu'": "y_NbAkKc66ryYTWUXYEu",
    "the header was bearer abcdefghijklmnop1234": "abcdefghijklmnop1234",
    "host=db password=geheim user=ann": "geheim",
    "PASSWORD = 'ge he im'": "ge he im",
    "ALTER ROLE ann PASSWORD 'geheim'": "geheim",
    '{"user": "ann", "password": "ge\\"heim"': 'ge\\"heim',
    '"{\\"api_key\\": \\"geheim\\"}" and more': "geheim",
    "db_password: geheim42": "geheim42",
    "client_secret=geheim&grant=x": "geheim",
    "aws_secret_access_key=wJalrXUtnFEMI/K7MDENG": "wJalrXUtnFEMI/K7MDENG",
    "routing_key=R0123456789012345678901234567890": "R0123456789012345678901234567890",
    "https://api.example/x?token=0123456789abcdef0123": "0123456789abcdef0123",
    "https://hooks.slack.com/services/T000/B000/XXXXXXXX": "T000/B000/XXXXXXXX",
}
UNTOUCHED = [
    "550e8400-e29b-41d4-a716-446655440000",
    "d41d8cd98f00b204e9800998ecf8427e",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "SKU-4711-XL-BLUE",
    "sk-4711-blue-hoodie-organic-cotton",
    "risk-assessment-of-all-the-things",
    "gid://shopify/InventoryItem/1234567890",
    "https://grafana.example:3000/d/x?user=a@example.com",
    "see https://example.com/@me and 10.0.0.1:5432",
    "password authentication failed for user ann",
    "the password: it must be changed",
    "basic misunderstandings and Bearer of news",
    "key=queue.orders routing_key=orders.created token=next",
    "password=true password_changed_at=2026-01-01",
    "HTTP 401 Unauthorized: Invalid API key or access token (unrecognized login)",
    "eyJ is how they begin, AKIA too, and xoxb-",
    'Key (id)=(17) already exists; "status": "failed"',
]


@pytest.mark.parametrize("kind", TOKENS)
def test_a_token_is_known_by_its_looks_wherever_it_stands(kind: str) -> None:
    token = TOKENS[kind]
    shown = f"[redacted: {kind}]"
    assert SECRETS.text(token) == shown
    assert SECRETS.text(f"it said {token}, twice: {token}") == f"it said {shown}, twice: {shown}"
    assert token not in json.dumps(SECRETS.value({f"a {token}": [{"b": (token,)}]}))


@pytest.mark.parametrize("text", BEHIND_A_NAME)
def test_a_secret_is_known_by_what_stands_before_it(text: str) -> None:
    told = SECRETS.text(text)
    assert BEHIND_A_NAME[text] not in told and "[redacted: " in told
    assert SECRETS.text(told) == told, "once more changes nothing"


@pytest.mark.parametrize(
    "texts",
    [
        *([text] for text in (*TOKENS.values(), *BEHIND_A_NAME)),
        *([name, "x" * 20] for name in ("API-Key", "apikey", "Cookie", "x-authorization")),
        *([name, "x" * 20] for name in ("routingkey", "sessiontoken", "signingSecret")),
        ["note", '{"p\\u0061ssword": "geheim"}'],
    ],
    ids=str,
)
def test_a_quick_look_lets_nothing_pass(texts: list[str]) -> None:
    assert SECRETS.passes(["alertname", "Disk is full"])
    assert not SECRETS.passes(["alertname", *texts])


def test_a_quick_look_knows_the_names_of_what_is_personal() -> None:
    named = Redaction(columns=("Email",), labels=("customer",))
    assert named.passes(["alertname", "Disk is full"])
    assert not named.passes(["EMAIL", "ann"])
    assert not named.passes(["Customer", "ann"])
    assert not PERSONAL.passes(["alertname"]), "a pattern of one's own may fit anything"


@pytest.mark.parametrize("text", UNTOUCHED)
def test_what_is_no_secret_passes_untouched(text: str) -> None:
    assert SECRETS.text(text) == text
    assert SECRETS.value({text: [text]}) == {text: [text]}


SKUS = st.from_regex(r"[A-Z]{2,4}-[0-9]{2,6}(-[A-Z]{1,3})?", fullmatch=True)
HEX = st.binary(min_size=8, max_size=64).map(bytes.hex)
SAFE = st.one_of(
    st.uuids().map(str),
    HEX,
    SKUS,
    st.integers().map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(str),
    st.datetimes().map(str),
    st.ip_addresses().map(str),
    st.from_regex(r"[a-z]{1,10}( [a-z]{1,10}){0,8}\.?", fullmatch=True),
)


@given(st.lists(SAFE, max_size=8), st.sampled_from([" ", ", ", ": ", "=", "/", "-"]))
def test_ids_digests_numbers_and_words_are_no_secrets(parts: list[str], between: str) -> None:
    assert SECRETS.text(between.join(parts)) == between.join(parts)
    assert SECRETS.value({"id": parts, "fingerprint": between.join(parts)}) == {
        "id": parts,
        "fingerprint": between.join(parts),
    }


CANARY = "ca-na-ry"
DEEP: dict[str, Callable[[Any], Any]] = {
    "a list": lambda value: [[1, [value]]],
    "a member": lambda value: {"a": {"b": value}},
    "JSON in a text": lambda value: json.dumps(value),
    "JSON in JSON in a text": lambda value: json.dumps({"x": json.dumps([value])}),
    "a text in a text": lambda value: json.dumps(json.dumps(json.dumps(value))),
    "a name": lambda value: {json.dumps(value): 1},
    "JSON with words before it": lambda value: "failed: " + json.dumps(value),
    "JSON that is cut off": lambda value: "[" + json.dumps(value)[:-2],
    "JSON in JSON, cut off": lambda value: json.dumps({"x": json.dumps(value)})[:-5],
    "very deep": lambda value: json.loads("[" * 300 + json.dumps(value) + "]" * 300),
    "a long text": lambda value: "x" * 300_000 + " " + json.dumps(value),
}


@pytest.mark.parametrize("name", ["email", "EMAIL", "Shipping_Address"])
@pytest.mark.parametrize("nested", DEEP.values(), ids=DEEP)
def test_no_nesting_hides_what_is_personal_by_name(nested: Callable[[Any], Any], name: str) -> None:
    told = PERSONAL.value([nested({name: CANARY})])
    assert CANARY not in json.dumps(told)


@pytest.mark.parametrize("value", [CANARY, 4711, [CANARY], {"x": CANARY}])
def test_whatever_stands_in_a_column_goes(value: Any) -> None:
    assert PERSONAL.value({"eMail": value}) == {"eMail": "[redacted: email]"}
    assert PERSONAL.value({"email": None, "mail": 1}) == {"email": None, "mail": 1}


def test_patterns_go_by_their_kind() -> None:
    assert PERSONAL.text("pay to DE02120300000000202051 now") == "pay to [redacted: iban] now"
    assert PERSONAL.text("email=ann@example.com, id=7") == "email=[redacted: email], id=7"


def test_two_names_that_look_alike_afterwards_stay_two() -> None:
    names = ["DE02120300000000202051", "DE02500105170137075030"]
    told = PERSONAL.value(dict.fromkeys(names, 1))
    assert list(told) == ["[redacted: iban]", "[redacted: iban]'"]


EVIL = [
    "://a:", "://a:b", "postgres://a:", "password=", "'password':", 'password=\\"', "gh", "SG.a",
    "authorization: ", "-----BEGIN PRIVATE KEY-----", "eyJ", "eyJaaaaaaaa.", "bearer ", "token=",
    "xoxb-", "sk-ant-", "{", "[", '{"a":', '"', '\\"', "email=", '"email":', 'email=\\"',
]  # fmt: skip


def test_no_text_makes_it_slow() -> None:
    """None takes a hundred times as much as words of the same length; the worst takes about ten."""
    ordinary = sum(_seconds("word " * 20_000) for _ in range(20)) / 20
    for piece in EVIL:
        assert _seconds((piece * 100_000)[:100_000]) < 100 * ordinary, piece
        assert _seconds(piece + "a" * 100_000) < 100 * ordinary, piece


def _seconds(text: str) -> float:
    """Of the processor."""
    began = time.process_time()
    PERSONAL.text(text)
    return time.process_time() - began


def test_a_megabyte_that_begins_like_a_token_again_and_again() -> None:
    took = []
    for piece in ("word ", "eyJa-"):
        text = piece * 200_000 + ".eyJ"
        began = time.process_time()
        assert SECRETS.text(text) == text
        took.append(time.process_time() - began)
    assert took[1] < 10 * took[0], "as much as words that begin no token"
    assert SECRETS.text(f"id-{UUID(int=7)}-{JWT}") == f"id-{UUID(int=7)}-[redacted: token]"


def test_what_it_costs(told: Callable[[str], None]) -> None:
    row = {
        "id": 1,
        "sku": "AB-12",
        "error": "HTTP 503: Service Unavailable",
        "at": str(UUID(int=7)),
    }
    rows = [row | {"id": number} for number in range(100)]
    began = time.process_time()
    for _ in range(10):
        PERSONAL.value(rows)
    spent = (time.process_time() - began) / 10
    told(f"100 rows, {len(json.dumps(rows)) // 1000} kB, are redacted in {spent * 1000:.1f} ms")
