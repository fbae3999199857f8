"""Any live value opens, everything else is Unauthenticated, and nothing tells what was tried."""

import base64
import hashlib
import hmac
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from responder.domain.secret import Secret, SecretMissing
from responder.domain.settings import Source
from responder.sources import Request, Unauthenticated
from responder.sources.credentials import check, check_signature, is_configured


def secret(folder: Path, *values: str) -> Secret:
    references = []
    for number, value in enumerate(values):
        place = folder / f"{len(list(folder.iterdir()))}-{number}"
        place.write_text(value + "\n", encoding="utf-8")
        references.append(f"file:{place}")
    return Secret(tuple(references))


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(
        name="am",
        type="alertmanager",
        bearer=secret(tmp_path, "token-new", "token-old", "tökên"),
        basic_user="prometheus",
        basic_password=secret(tmp_path, "päss:word-new", "password-old"),
    )


def basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode()).decode()


def request(authorization: str | None) -> Request:
    headers = {} if authorization is None else {"authorization": authorization}
    return Request(headers, b"{}", datetime.now(UTC))


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer token-new",
        "Bearer token-old",
        "bEARER   token-new ",
        # servers hand the UTF-8 bytes of a header over as Latin-1
        "Bearer " + "tökên".encode().decode("latin-1"),
        basic("prometheus:päss:word-new"),
        basic("prometheus:password-old"),
        basic("prometheus:password-old").replace("Basic", "basic"),
    ],
)
def test_any_live_credential_opens(source: Source, authorization: str) -> None:
    check(request(authorization), source)


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer token-ne",
        "Bearer token-new token-old",
        "Bearer töken",
        "Bearer \u2603",
        "Bearer \ud800",
        "token-new",
        "Digest token-new",
        "Basic",
        "Basic !!!!",
        "Basic cHJvb",
        basic("prometheus:password-old").replace("c ", "c !"),
        "Basic \u2603",
        "Basic " + base64.b64encode(b"\xff\xfe").decode(),
        basic("no colon"),
        basic("prometheus:"),
        basic(":password-old"),
        basic("somebody:password-old"),
        basic("prometheus:token-new"),
        "Bearer päss:word-new",
    ],
)
def test_anything_else_is_refused_in_silence(source: Source, authorization: str | None) -> None:
    with pytest.raises(Unauthenticated) as refused:
        check(request(authorization), source)
    given = (authorization or "").split()[1:]
    assert all(word not in str(refused.value) for word in given)
    assert "token-new" not in str(refused.value)


def test_a_source_without_a_credential_refuses_everything() -> None:
    with pytest.raises(Unauthenticated, match="no credential is configured"):
        check(request("Bearer "), Source("am", "alertmanager"))


def test_a_scheme_that_is_not_configured_opens_nothing(source: Source) -> None:
    only_basic = Source("am", "alertmanager", basic_user="u", basic_password=source.basic_password)
    with pytest.raises(Unauthenticated):
        check(request("Bearer token-new"), only_basic)


def test_a_missing_secret_is_ours_to_mend(source: Source, tmp_path: Path) -> None:
    broken = Source("am", "alertmanager", bearer=Secret((f"file:{tmp_path}/gone",)))
    with pytest.raises(SecretMissing):
        check(request("Bearer token-new"), broken)


def test_a_rotated_file_counts_at_once(source: Source, tmp_path: Path) -> None:
    assert source.bearer is not None
    Path(source.bearer.references[0].removeprefix("file:")).write_text("token-next")
    check(request("Bearer token-next"), source)
    with pytest.raises(Unauthenticated):
        check(request("Bearer token-new"), source)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [({}, True), ({"bearer": None}, True), ({"bearer": None, "basic_password": None}, False)],
)
def test_whether_there_is_a_credential_to_compare_with(
    source: Source, changed: dict[str, None], expected: bool
) -> None:
    assert is_configured(replace(source, **changed)) is expected


def signature(key: str, message: bytes) -> str:
    return hmac.new(key.encode(), message, hashlib.sha256).hexdigest()


def test_any_signature_with_any_live_secret_opens(tmp_path: Path) -> None:
    live = secret(tmp_path, "new", "öld")
    check_signature([signature("new", b"x")], b"x", live)
    check_signature(["", "nonsense", signature("öld", b"x")], b"x", live)
    check_signature([signature("new", b"")], b"", live)


@pytest.mark.parametrize(
    "given",
    [
        [],
        [""],
        [signature("older", b"x")],
        [signature("new", b"y")],
        [signature("new", b"x").upper()],
        [signature("new", b"x")[:-1]],
        [signature("new", b"x") + "0"],
        [signature("new", b"x") + "\n"],
        [" " + signature("new", b"x")],
        ["sha256=" + signature("new", b"x")],
        ["\N{ARABIC-INDIC DIGIT ZERO}" * 64],
        ["\ud800" * 64],
        ["0" * 1_000_000],
    ],
)
def test_no_other_signature_does(tmp_path: Path, given: list[str]) -> None:
    with pytest.raises(Unauthenticated, match="signature") as refused:
        check_signature(given, b"x", secret(tmp_path, "new", "old"))
    assert "new" not in str(refused.value)


def test_the_version_that_opened_was_used_and_no_other(source: Source) -> None:
    assert source.bearer is not None and source.basic_password is not None
    check(request("Bearer token-old"), source)
    check(request(basic("prometheus:password-old")), source)
    for wrong in (basic("somebody:päss:word-new"), "Bearer token"):
        with pytest.raises(Unauthenticated):
            check(request(wrong), source)
    assert source.bearer.used() == {"token-old"}
    assert source.basic_password.used() == {"password-old"}
