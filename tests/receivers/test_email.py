"""E-mail: to the right people, encrypted, once, in one thread, and nothing of it is a header."""

import base64
import email.policy
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from responder.domain import settings
from responder.domain.notification import Happening, Message
from responder.domain.secret import Secret
from responder.receivers import RECEIVERS, Undelivered
from responder.receivers.email import encode
from tests.receivers.documents import (
    FIXED,
    HOSTILE,
    KEY,
    MESSAGE,
    P0,
    RESOLVED,
    SUMMARY,
    changed,
    documents,
    happenings,
    message,
    patient,
)
from tests.receivers.mailbox import DRIP, HANG_UP, Mailbox, make_certificate

NOW = datetime.now(UTC).replace(microsecond=0)
PASSWORD = "correct-horse-battery"
LOGIN = base64.b64encode(f"\0alerts\0{PASSWORD}".encode()).decode()
ALICE, BOB = "alice@example.com", "bob@example.com"
TO = (ALICE, BOB)
HEADERS = {
    *("From", "To", "Subject", "Date", "Message-ID", "In-Reply-To", "References"),
    *("Auto-Submitted", "Importance", "MIME-Version", "Content-Type"),
}


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This machine trusts the mailbox's certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    return certificate


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    """What was given up has really ended."""
    yield
    for thread in threading.enumerate():
        if thread.name == "mail":
            thread.join(timeout=10)
            assert not thread.is_alive()


def receiver(port: int = 25, security: str = "none", **changes: Any) -> settings.Receiver:
    plain: dict[str, Any] = {
        "name": "team",
        "type": "email",
        "url": f"127.0.0.1:{port}",
        "sender": "responder@mail.example.com",
        "to": TO,
        "security": security,
    }
    return settings.Receiver(**{**plain, **changes})


def with_login(folder: Path) -> dict[str, Any]:
    (folder / "password").write_text(PASSWORD + "\n")
    return {"user": "alerts", "secret": Secret((f"file:{folder}/password",))}


def deliver(
    mailbox: Mailbox, told: Message | None = None, timeout: float = 10, **more: Any
) -> None:
    security = more.pop("security", mailbox.security)
    to = receiver(mailbox.port, security, **more)
    RECEIVERS["email"](to).deliver(told or message(P0), NOW, timeout)


def failure(mailbox: Mailbox, **more: Any) -> Undelivered:
    with pytest.raises(Undelivered) as failed:
        deliver(mailbox, **more)
    assert PASSWORD not in str(failed.value)
    assert LOGIN not in str(failed.value)
    return failed.value


def read(letter: bytes) -> EmailMessage:
    read = BytesParser(policy=email.policy.default).parsebytes(letter)
    assert isinstance(read, EmailMessage)
    return read


def text_of(letter: EmailMessage, subtype: str = "plain") -> str:
    body = letter.get_body((subtype,))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


def written(told: Message) -> EmailMessage:
    return read(encode(told, receiver(), NOW))


def test_a_letter_arrives_at_everybody() -> None:
    with Mailbox().open() as mailbox:
        deliver(mailbox)
    ((sender, recipients, letter),) = mailbox.letters
    assert (sender, recipients) == ("responder@mail.example.com", [ALICE, BOB])
    seen = read(letter)
    assert dict(seen.items()) == {
        "From": "responder <responder@mail.example.com>",
        "To": f"{ALICE}, {BOB}",
        "Subject": "[P0] The shop's database does not answer",
        "Date": seen["Date"],
        "Message-ID": f"<{MESSAGE}@mail.example.com>",
        "In-Reply-To": f"<{KEY}@mail.example.com>",
        "References": f"<{KEY}@mail.example.com>",
        "Auto-Submitted": "auto-generated",
        "Importance": "high",
        "MIME-Version": "1.0",
        "Content-Type": seen["Content-Type"],
    }
    assert seen["Date"].datetime == NOW
    lines = text_of(seen).splitlines()
    assert lines[0] == "[P0] The shop's database does not answer"
    assert lines[3:5] == ["CAUSE", P0["findings"][0]["summary"]]


def test_all_letters_of_an_incident_are_one_thread() -> None:
    first = written(message(FIXED))
    later = written(Message("another", Happening.RESOLVED, KEY, RESOLVED))
    other = written(Message("third", Happening.OPENED, "responder-other", FIXED))
    assert first["References"] == later["References"] != other["References"]
    assert first["Subject"] == later["Subject"]
    assert len({letter["Message-ID"] for letter in (first, later, other)}) == 3


def test_another_attempt_is_the_same_letter_and_says_so() -> None:
    first, again = written(message(P0)), written(message(P0, repeated=True))
    assert first["Message-ID"] == again["Message-ID"]
    for subtype in ("plain", "html"):
        assert "Sent again" not in text_of(first, subtype)
        assert "Sent again: the first attempt may have arrived." in text_of(again, subtype)


@pytest.mark.parametrize(("severity", "importance"), [("P0", "high"), ("P3", "low"), ("P2", None)])
def test_the_gravest_are_marked(severity: str, importance: str | None) -> None:
    letter = written(message(changed(P0, incident={"severity": severity})))
    assert letter["Importance"] == importance
    assert letter["Subject"].startswith(f"[{severity}]")


def test_tables_are_readable_in_html_too() -> None:
    html = text_of(written(message(FIXED, Happening.UPDATED)), "html")
    assert "<pre>id         created_at           last_error\n" in html
    assert "<h3>Fix</h3>" in html
    assert '<a href="https://wiki.example.com/runbooks/shop">runbook (wiki.example.com)</a>' in html


def test_a_summary_is_a_letter_of_its_own() -> None:
    letter = written(message(SUMMARY, Happening.SUMMARY))
    assert letter["Subject"] == "[P0] 2,913 more incidents"
    assert "12 P0, 40 P1, 2,861 P2" in text_of(letter)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_nothing_from_outside_is_a_header_or_markup(hostile: str) -> None:
    document = changed(P0, incident={"title": hostile, "target": hostile, "rule": hostile})
    document["findings"][0]["summary"] = hostile
    document["alerts"][0]["labels"] = {hostile: hostile}
    document["links"] = {hostile: "https://example.com/", "runbook": "javascript:alert(1)"}
    raw = encode(message(document), receiver(), NOW)
    letter = read(raw)
    assert set(letter.keys()) == HEADERS
    assert b"\nBcc" not in raw.partition(b"\r\n\r\n")[0]
    html = text_of(letter, "html")
    assert "<script" not in html
    assert "<img" not in html
    assert "javascript" not in html


@patient
@given(documents(), happenings)
def test_any_document_is_a_letter(document: dict[str, Any], happening: Happening) -> None:
    raw = encode(message(document, happening, repeated=True), receiver(), NOW)
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    letter = read(raw)
    assert set(letter.keys()) - {"Importance"} == HEADERS - {"Importance"}
    assert not [part for part in letter.walk() if part.defects]
    assert letter["Subject"].startswith("[P")
    assert not set(letter["Subject"]) & set("\r\n\0")
    assert text_of(letter).startswith("[P")


def test_short_lines_are_seven_bits_too() -> None:
    raw = encode(message({"incident": {"title": "Größe"}}), receiver(), NOW)
    assert raw.isascii()
    assert read(raw)["Subject"] == "[P?] Größe"
    assert text_of(read(raw)).startswith("[P?] Größe\n")


@pytest.mark.parametrize("sender", ["a..b@x", "a@-", "a@.", "a@x..y", ".@example.com"])
def test_an_odd_address_is_a_header_still(sender: str) -> None:
    raw = encode(message(P0), receiver(sender=sender, to=(sender,)), NOW)
    assert b"\r\nSubject: [P0]" in raw


def test_the_login_waits_for_starttls(trusted: Path, tmp_path: Path) -> None:
    with Mailbox("starttls", LOGIN, trusted).open() as mailbox:
        deliver(mailbox, **with_login(tmp_path))
    assert len(mailbox.letters) == 1
    assert mailbox.commands[:4] == ["EHLO", "STARTTLS", "EHLO", "AUTH"]
    assert all(encrypted for _, encrypted in mailbox.said[2:])


def test_tls_from_the_first_byte(trusted: Path, tmp_path: Path) -> None:
    with Mailbox("tls", LOGIN, trusted).open() as mailbox:
        deliver(mailbox, **with_login(tmp_path))
    assert len(mailbox.letters) == 1
    assert all(encrypted for _, encrypted in mailbox.said)


def test_without_encryption_only_where_it_is_written(tmp_path: Path) -> None:
    with Mailbox("none", LOGIN).open() as mailbox:
        failed = failure(mailbox, security="starttls", **with_login(tmp_path))
        assert "STARTTLS" in str(failed)
        assert not failed.permanent
        assert not {"AUTH", "MAIL"} & set(mailbox.commands)
        deliver(mailbox, security="none", **with_login(tmp_path))
    assert len(mailbox.letters) == 1


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_stranger_gets_nothing(security: str, certificate: Path, tmp_path: Path) -> None:
    with Mailbox(security, LOGIN, certificate).open() as mailbox:
        failed = failure(mailbox, **with_login(tmp_path))
    assert (str(failed), failed.permanent) == ("127.0.0.1: TLS failed", False)
    assert not {"AUTH", "MAIL"} & set(mailbox.commands)


@pytest.mark.parametrize(("code", "permanent"), [(535, True), (454, False)])
def test_a_refused_login(tmp_path: Path, code: int, permanent: bool) -> None:
    replies = {"AUTH": f"{code} you said {LOGIN}"}
    with Mailbox("none", LOGIN, replies=replies).open() as mailbox:
        failed = failure(mailbox, **with_login(tmp_path))
    assert str(failed) == f"127.0.0.1: the login is refused ({code})"
    assert (failed.permanent, failed.maybe) == (permanent, False)
    assert "MAIL" not in mailbox.commands


def test_a_server_without_logins(tmp_path: Path) -> None:
    with Mailbox().open() as mailbox:
        failed = failure(mailbox, **with_login(tmp_path))
    assert "AUTH" in str(failed)
    assert "MAIL" not in mailbox.commands


def test_a_password_that_smtp_cannot_say(tmp_path: Path) -> None:
    login = with_login(tmp_path)
    (tmp_path / "password").write_text("schlüssel")
    with Mailbox("none", LOGIN).open() as mailbox:
        failed = failure(mailbox, **login)
    assert str(failed) == "127.0.0.1: user and password must be ASCII"
    assert failed.permanent


def test_a_missing_password_may_come_back(tmp_path: Path) -> None:
    login = with_login(tmp_path)
    (tmp_path / "password").unlink()
    with Mailbox().open() as mailbox:
        failed = failure(mailbox, **login)
    assert "cannot be read" in str(failed)
    assert not failed.permanent
    assert mailbox.said == []


@pytest.mark.parametrize("place", ["GREETING", "MAIL", "RCPT", "DATA", "CONTENT"])
@pytest.mark.parametrize(("code", "permanent"), [(421, False), (451, False), (554, True)])
def test_a_no_is_a_no_for_now_or_for_ever(place: str, code: int, permanent: bool) -> None:
    with Mailbox(replies={place: f"{code} because"}).open() as mailbox:
        failed = failure(mailbox)
    assert (failed.permanent, failed.maybe) == (permanent, False)
    assert "because" in str(failed)
    assert str(code) in str(failed)
    assert mailbox.letters == []


@pytest.mark.parametrize(
    ("alice", "bob", "permanent"), [(550, 550, True), (450, 550, False), (550, 450, False)]
)
def test_who_may_be_taken_later_is_tried_again(alice: int, bob: int, permanent: bool) -> None:
    replies = {f"RCPT {ALICE}": f"{alice} no", f"RCPT {BOB}": f"{bob} no"}
    with Mailbox(replies=replies).open() as mailbox:
        failed = failure(mailbox)
    assert failed.permanent == permanent
    assert str(failed) == f"127.0.0.1: refuses {ALICE} ({alice} no); {BOB} ({bob} no)"
    assert "DATA" not in mailbox.commands


def test_who_gets_it_reads_who_does_not() -> None:
    replies = {f"RCPT {BOB}": "550 5.1.1 <b>no such user</b>"}
    with Mailbox(replies=replies).open() as mailbox:
        deliver(mailbox)
    ((_, recipients, letter),) = mailbox.letters
    assert recipients == [ALICE]
    told = f"The mail server refused this mail for {BOB} (550 5.1.1 <b>no such user</b>)."
    assert told in text_of(read(letter))
    assert "<b>" not in text_of(read(letter), "html")


@pytest.mark.parametrize(
    ("place", "maybe"),
    [("GREETING", False), ("EHLO", False), ("MAIL", False), ("RCPT", False), ("CONTENT", True)],
)
@pytest.mark.parametrize("how", [HANG_UP, DRIP])
def test_a_broken_connection_may_have_delivered(place: str, maybe: bool, how: str) -> None:
    timeout = 10.0 if how == HANG_UP else 2.0 if maybe else 0.3
    with Mailbox(replies={place: how}).open() as mailbox:
        failed = failure(mailbox, timeout=timeout)
        assert mailbox.ended.wait(10)
    assert (failed.permanent, failed.maybe) == (False, maybe)
    broke = "cannot be reached" if place == "GREETING" else "the connection broke"
    assert (broke if how == HANG_UP else f"no answer within {timeout:g} s") in str(failed)
    assert mailbox.letters == []


def test_a_farewell_that_nobody_answers_changes_nothing() -> None:
    with Mailbox(replies={"QUIT": DRIP}).open() as mailbox:
        deliver(mailbox, timeout=5)
    assert len(mailbox.letters) == 1


def test_what_was_given_up_is_not_sent_later() -> None:
    """Else the next attempt, which says nothing of a first one, would double it."""
    given_up = threading.Event()
    waits = {"RCPT": lambda: given_up.wait(10)}
    with Mailbox(before=waits).open() as mailbox:
        failed = failure(mailbox, timeout=0.3)
        given_up.set()
        assert mailbox.ended.wait(10)
    assert not failed.maybe
    assert "DATA" not in mailbox.commands
    assert mailbox.letters == []


@pytest.mark.parametrize("url", ["127.0.0.1:1", "127.0.0.1:99999", "a..b:25", "[::1]:1"])
def test_nobody_there(url: str) -> None:
    with pytest.raises(Undelivered, match="cannot be reached") as failed:
        RECEIVERS["email"](receiver(url=url)).deliver(message(P0), NOW, timeout=5)
    assert (failed.value.permanent, failed.value.maybe) == (False, False)


def test_a_line_that_is_a_dot_ends_nothing() -> None:
    with Mailbox().open() as mailbox:
        deliver(mailbox, message(changed(P0, findings=[{"summary": "."}])))
    ((_, _, letter),) = mailbox.letters
    assert "CAUSE\n.\n\nDECISION" in text_of(read(letter))
