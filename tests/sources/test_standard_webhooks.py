"""Standard Webhooks v1 on the way in: the published vector opens, and nothing near it does."""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from responder.domain.secret import Secret, SecretMissing
from responder.domain.settings import Fields, Source
from responder.domain.signing import sign
from responder.sources import ADAPTERS, Request, Unauthenticated

GENERIC = ADAPTERS["generic"]

#: standard-webhooks libraries/python/tests/test_webhooks.py.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
STAMP = "1614265330"
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
WRONG = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OA="
SENT = datetime.fromtimestamp(int(STAMP), UTC)
OTHER_SECRET = "whsec_" + base64.b64encode(b"another secret of 32 bytes, here").decode()


@pytest.fixture(scope="module", autouse=True)
def secrets() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOOK_SECRET", SECRET)
        patch.setenv("HOOK_OTHER", OTHER_SECRET)
        patch.setenv("HOOK_TOKEN", "a-token")
        patch.setenv("HOOK_PASSWORD", "a-password")
        yield


SOURCE = Source("hook", "generic", secret=Secret(("env:HOOK_SECRET",)))
NAMES = {"id": ID, "timestamp": STAMP, "signature": SIGNATURE}


def request(
    body: bytes = BODY, at: datetime = SENT, family: str = "webhook", **told: str
) -> Request:
    headers = {f"{family}-{name}": value for name, value in {**NAMES, **told}.items()}
    return Request(headers, body, at)


def opens(request: Request, source: Source = SOURCE) -> bool:
    try:
        GENERIC.authenticate(request, source)
    except Unauthenticated as refused:
        assert SECRET[6:] not in str(refused) and SIGNATURE[3:] not in str(refused)
        return False
    return True


def flips(told: str) -> Iterator[str]:
    """Each text that differs in one bit, as a server hands a header over."""
    for place in range(len(told)):
        for bit in range(8):
            changed = chr(ord(told[place]) ^ 1 << bit)
            yield told[:place] + changed + told[place + 1 :]


def test_the_published_vector_opens_and_its_wrong_one_does_not() -> None:
    assert opens(request())
    assert not opens(request(signature=WRONG))


def test_svix_sends_the_same_under_its_own_names() -> None:
    assert opens(request(family="svix"))
    mixed = {**request(family="svix").headers, "webhook-id": ID}
    assert not opens(Request(mixed, BODY, SENT))


@pytest.mark.parametrize("name", NAMES)
def test_one_bit_of_a_header(name: str) -> None:
    assert not any(opens(request(**{name: told})) for told in flips(NAMES[name]))


def test_one_bit_of_the_body() -> None:
    bodies = [told.encode("latin-1") for told in flips(BODY.decode("latin-1"))]
    assert not any(opens(request(body)) for body in [*bodies, b"", BODY + b" ", BODY[:-1]])


def test_one_bit_of_the_secret(tmp_path: Path) -> None:
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    for place in range(len(key) * 8):
        changed = bytearray(key)
        changed[place // 8] ^= 1 << place % 8
        file = tmp_path / str(place)
        file.write_text("whsec_" + base64.b64encode(changed).decode())
        assert not opens(request(), replace(SOURCE, secret=Secret((f"file:{file}",))))


@pytest.mark.parametrize("name", NAMES)
def test_each_header_is_a_must(name: str) -> None:
    headers = dict(request().headers)
    del headers[f"webhook-{name}"]
    assert not opens(Request(headers, BODY, SENT))
    assert not opens(request(**{name: ""}))


@pytest.mark.parametrize(
    ("seconds", "inside"),
    [(0, True), (300, True), (-300, True), (301, False), (-301, False), (10**8, False)],
)
def test_it_is_good_for_five_minutes_either_way(seconds: int, inside: bool) -> None:
    assert opens(request(at=SENT + timedelta(seconds=seconds))) is inside


@pytest.mark.parametrize(
    "signatures",
    [
        f"{WRONG} {SIGNATURE}",
        f"v1a,{SIGNATURE[3:]} {SIGNATURE}",
        f"v2,{SIGNATURE[3:]} v1, no-comma {SIGNATURE}",
        f"  {SIGNATURE}  ",
        SIGNATURE.rstrip("="),
        f"{SIGNATURE.rstrip('=')} {WRONG}",
    ],
)
def test_one_right_signature_is_enough(signatures: str) -> None:
    assert opens(request(signature=signatures))


@pytest.mark.parametrize(
    "signatures",
    [
        "v1,",
        ",",
        "v1",
        " ",
        SIGNATURE[3:],
        SIGNATURE.replace("v1", "v1a"),
        SIGNATURE.replace("v1", "V1"),
        SIGNATURE.replace(",", "="),
        SIGNATURE.replace("v1,", "v1,,"),
        SIGNATURE.replace("+", "-").replace("/", "_"),
        f"{WRONG},{SIGNATURE}",
        "v1," + "A" * 100_000,
        "v1,\u2603",
        "v1,\ud800",
        "v1,\x00",
    ],
)
def test_anything_else_is_no_signature(signatures: str) -> None:
    assert not opens(request(signature=signatures))


def signed(told: str, stamp: str = STAMP, body: bytes = BODY, secret: str = SECRET) -> Request:
    return request(body, id=told, timestamp=stamp, signature=sign(secret, told, stamp, body))


@pytest.mark.parametrize("told", ["m" * 200, "a", "msg_1-2:3/~!"])
def test_an_id_as_senders_have_it(told: str) -> None:
    assert opens(signed(told))


@pytest.mark.parametrize("told", ["m" * 201, "a.b", ".", "a b", " a", "a\t", "\x7f", "é", "☃"])
def test_an_id_that_is_none_though_it_is_signed(told: str) -> None:
    assert not opens(signed(told))


@pytest.mark.parametrize(
    "stamp",
    [
        f"{STAMP}.0",
        f"-{STAMP}",
        f" {STAMP}",
        f"{STAMP}\n",
        "\u0660" * 10,
        STAMP + "0" * 5_000,
        "1e9",
        "now",
        "2021-02-25T15:02:10Z",
    ],
)
def test_a_timestamp_that_is_none_though_it_is_signed(stamp: str) -> None:
    assert not opens(signed(ID, stamp))


def test_the_timestamp_is_signed_as_it_was_sent() -> None:
    padded = "00" + STAMP
    assert opens(signed(ID, padded))
    assert not opens(request(timestamp=padded))


def test_each_live_secret_opens() -> None:
    both = replace(SOURCE, secret=Secret(("env:HOOK_OTHER", "env:HOOK_SECRET")))
    assert opens(request(), both)
    assert opens(signed(ID, secret=OTHER_SECRET), both)
    assert not opens(signed(ID, secret=OTHER_SECRET), SOURCE)


@pytest.mark.parametrize("wrong", ["whsec_not base64", "whsec_", "c2hvcnQ=", "whsec_ö"])
def test_a_secret_that_nobody_can_sign_with_is_ours_to_mend(tmp_path: Path, wrong: str) -> None:
    file = tmp_path / "secret"
    file.write_text(wrong, encoding="utf-8")
    with pytest.raises(SecretMissing) as missing:
        GENERIC.authenticate(request(), replace(SOURCE, secret=Secret((f"file:{file}",))))
    assert str(file) in str(missing.value) and wrong not in str(missing.value)


def with_credential(given: str, **told: str) -> Request:
    return Request({**request(**told).headers, "authorization": given}, BODY, SENT)


BEARER = {"bearer": Secret(("env:HOOK_TOKEN",))}
BASIC = {"basic_user": "me", "basic_password": Secret(("env:HOOK_PASSWORD",))}
RIGHT_BASIC = "Basic " + base64.b64encode(b"me:a-password").decode()


@pytest.mark.parametrize(
    ("configured", "given"),
    [
        (BEARER, "Bearer a-token"),
        (BASIC, RIGHT_BASIC),
        ({**BEARER, **BASIC}, RIGHT_BASIC),
        ({**BEARER, **BASIC}, "Bearer a-token"),
    ],
)
def test_what_is_configured_of_both_must_be_right(
    configured: Mapping[str, Secret | str], given: str
) -> None:
    both = Source("hook", "generic", secret=SOURCE.secret, **configured)  # type: ignore[arg-type]
    only = Source("hook", "generic", **configured)  # type: ignore[arg-type]
    assert opens(with_credential(given), both)
    assert not opens(request(), both)
    assert not opens(with_credential("Bearer wrong"), both)
    assert not opens(with_credential(given, signature=WRONG), both)
    assert opens(with_credential(given, signature=WRONG), only)
    assert not opens(request(), only)


def test_a_source_without_any_proof_refuses_everything() -> None:
    assert not opens(with_credential(""), Source("hook", "generic"))


def test_the_signed_id_is_the_delivery_key() -> None:
    mapped = replace(SOURCE, fields=Fields(id=("/test",)))
    assert GENERIC.delivery_key(request(), {"test": 1}, mapped) == ID
    assert GENERIC.delivery_key(request(family="svix"), {"test": 1}, mapped) == ID
    unsigned = replace(mapped, secret=None)
    assert GENERIC.delivery_key(request(), {"test": 1}, unsigned) == "1"


ODD = st.text(max_size=60) | st.lists(
    st.sampled_from(["v1", "v1a", ",", " ", ".", "=", SIGNATURE, WRONG, STAMP, ID, "\x00", "é"]),
    max_size=8,
).map("".join)


HEADERS = st.sampled_from([*request().headers, *request(family="svix").headers, "authorization"])


@given(st.dictionaries(HEADERS, ODD), st.sets(HEADERS, max_size=2))
def test_odd_headers_are_refused_and_nothing_else(told: dict[str, str], left: set[str]) -> None:
    headers = {**request().headers, **told}
    headers = {name: headers[name] for name in headers if name not in left}
    if opens(Request(headers, BODY, SENT)):
        family = "webhook" if "webhook-id" in headers else "svix"
        assert (headers[f"{family}-id"], headers[f"{family}-timestamp"]) == (ID, STAMP)
        assert SIGNATURE.rstrip("=") in headers[f"{family}-signature"]
