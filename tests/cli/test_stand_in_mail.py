"""The mail server of the stand-in, by the standard library's client and by hand."""

import smtplib
import socket
from collections.abc import Iterator
from email.message import EmailMessage

import pytest

from responder.cli.demo.stand_in import StandIn
from tests.stand_in import SECRET

HEAD = (
    b"From: Responder <responder@shop.example>\r\n"
    b"Date: Mon, 23 Nov 2026 03:00:00 +0000\r\n"
    b"Message-ID: <1.opened@responder.shop.example>\r\n"
)
LETTER = HEAD + b"Subject: down\r\n\r\nThe queue is stuck.\r\n"


@pytest.fixture
def client(stand_in: StandIn) -> Iterator[smtplib.SMTP]:
    with smtplib.SMTP("127.0.0.1", stand_in.smtp_port, "here", timeout=5) as connected:
        yield connected


def send(client: smtplib.SMTP, raw: bytes) -> tuple[int, str]:
    """As it is: smtplib would mend the ends of lines."""
    client.ehlo_or_helo_if_needed()
    assert client.mail("responder@shop.example")[0] == 250
    assert client.rcpt("on-call@shop.example")[0] == 250
    assert client.docmd("DATA")[0] == 354
    client.send(raw + b".\r\n")
    code, told = client.getreply()
    return code, told.decode()


def test_a_letter_is_kept_raw(stand_in: StandIn, client: smtplib.SMTP) -> None:
    letter = EmailMessage()
    letter["From"] = "Responder <responder@shop.example>"
    letter["To"] = "on-call@shop.example, lead@shop.example"
    letter["Date"] = "Mon, 23 Nov 2026 03:00:00 +0000"
    letter["Message-ID"] = "<1.opened@responder.shop.example>"
    letter["Subject"] = "Die Schlange hängt"
    letter.set_content("Grüße\n.\n..two dots\n", cte="quoted-printable")
    assert client.send_message(letter) == {}
    assert client.send_message(letter) == {}  # another one on the same connection
    first, second = stand_in.received()["mail"]
    assert first["from"] == "responder@shop.example"
    assert first["to"] == ["on-call@shop.example", "lead@shop.example"]
    assert first["raw"].endswith("\r\n\r\nGr=C3=BC=C3=9Fe\r\n.\r\n..two dots\r\n")
    assert "\r\nSubject: Die Schlange =?utf-8?" in first["raw"]
    assert second["raw"] == first["raw"]


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (LETTER, 250),
        (HEAD + b"\r\n" + b"x" * 998 + b"\r\n", 250),
        (HEAD + b"\r\n" + b"x" * 999 + b"\r\n", 500),
        (HEAD + b"Subject: " + b"x" * 990 + b"\r\n\r\n", 500),
        (LETTER + b"a\nb\r\n", 550),
        (LETTER + b"a\rb\r\n", 550),
        (LETTER + b"a\n.\r\nb\r\n", 550),  # a letter smuggled in, were a bare LF an end of line
        (LETTER.replace(b"stuck", "hängt".encode()), 554),
        (LETTER + b"\0\r\n", 554),
        (LETTER.replace(b"From:", b"X-From:"), 550),
        (LETTER.replace(b"Date:", b"X-Date:"), 550),
        (LETTER.replace(b"Message-ID:", b"X-ID:"), 550),
        (LETTER.replace(b"responder@shop.example>\r\nDate", b"nobody>\r\nDate"), 550),
        (LETTER.replace(b"Mon, 23 Nov 2026 03:00:00 +0000", b"yesterday"), 550),
        (LETTER.replace(b"<1.opened@responder.shop.example>", b"1.opened"), 550),
        (b"From: somebody@else.example\r\n" + LETTER, 550),
        (b"Subject: again\r\n" + LETTER, 550),
        (b"subject\r\n" + LETTER, 550),
        (b"\r\n" + LETTER, 550),
        (LETTER.replace(b"Subject: down", b"Subject: down\r\n and folded"), 250),
        (HEAD + b"\r\n" + b"x" * 78 * 140_000 + b"\r\n", 552),
    ],
)
def test_a_strict_server_reads_the_letter(
    stand_in: StandIn, client: smtplib.SMTP, raw: bytes, code: int
) -> None:
    assert send(client, raw)[0] == code
    received = stand_in.received()
    assert [each["raw"].encode() for each in received["mail"]] == ([raw] if code == 250 else [])
    assert [each["status"] for each in received["refused"]] == ([] if code == 250 else [code])
    assert send(client, LETTER)[0] == 250


def test_dots_are_stuffed(stand_in: StandIn, client: smtplib.SMTP) -> None:
    assert send(client, LETTER + b"..\r\n..x\r\n")[0] == 250
    (kept,) = stand_in.received()["mail"]
    assert kept["raw"].encode() == LETTER + b".\r\n.x\r\n"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (["MAIL FROM:<a@b.example>"], 503),
        (["EHLO"], 501),
        (["HELO here"], 250),
        (["EHLO here", "RCPT TO:<a@b.example>"], 503),
        (["EHLO here", "MAIL FROM:<a@b.example>", "DATA"], 503),
        (["EHLO here", "MAIL FROM:<a@b.example>", "MAIL FROM:<a@b.example>"], 503),
        (["EHLO here", "MAIL FROM:<a@b.example>", "RSET", "RCPT TO:<a@b.example>"], 503),
        (["EHLO here", "MAIL FROM:<>"], 250),
        (["EHLO here", "MAIL FROM: a@b.example"], 501),
        (["EHLO here", "MAIL FROM:<a>"], 501),
        (["EHLO here", "MAIL FROM:<a@b.example> BODY=8BITMIME"], 501),
        (["EHLO here", "MAIL FROM:<a@b.example> SIZE=10485760"], 250),
        (["EHLO here", "MAIL FROM:<a@b.example> SIZE=10485761"], 552),
        (["EHLO here", "MAIL FROM:<a@b.example>", "RCPT TO:<>"], 501),
        (["EHLO here", "MAIL FROM:<a@b.example>", "RCPT TO:<a b@c.example>"], 501),
        (["EHLO here", "mail from:<a@b.example>", *["rcpt to:<c@d.example>"] * 100], 250),
        (["EHLO here", "MAIL FROM:<a@b.example>", *["RCPT TO:<c@d.example>"] * 101], 452),
        (["NOOP"], 250),
        (["QUIT"], 221),
        (["STARTTLS"], 500),
        (["x" * 511], 500),
        (["EHLO here", "AUTH GSSAPI"], 504),
        (["AUTH PLAIN AHUAcA=="], 503),
        (["EHLO here", "AUTH PLAIN AHUAcA=="], 235),
        (["EHLO here", "AUTH PLAIN no base64"], 501),
        (["EHLO here", "AUTH PLAIN dXA="], 501),
        (["EHLO here", "AUTH PLAIN AHUAcA==", "AUTH PLAIN AHUAcA=="], 503),
    ],
)
def test_commands_have_an_order_and_a_form(
    client: smtplib.SMTP, said: list[str], code: int
) -> None:
    codes = [client.docmd(line)[0] for line in said]
    assert codes[-1] == code


def test_a_line_ends_with_cr_and_lf(stand_in: StandIn) -> None:
    with socket.create_connection(("127.0.0.1", stand_in.smtp_port), timeout=5) as connection:
        lines = connection.makefile("rb")
        assert lines.readline().startswith(b"220")
        connection.sendall(b"NOOP\n")
        assert lines.readline().startswith(b"500")
        assert lines.readline() == b""


@pytest.mark.parametrize("kind", ["PLAIN", "LOGIN"])
def test_a_login_is_needed_when_there_is_one(kind: str) -> None:
    with StandIn([SECRET], smtp_login=("responder", "right")) as stand_in:
        for password in ("wrong", "right"):
            with smtplib.SMTP("127.0.0.1", stand_in.smtp_port, "here", timeout=5) as client:
                client.ehlo()
                assert client.mail("a@b.example")[0] == 530
                client.user, client.password = "responder", password
                if password == "wrong":
                    with pytest.raises(smtplib.SMTPAuthenticationError):
                        client.auth(kind, getattr(client, f"auth_{kind.lower()}"))
                else:
                    client.auth(kind, getattr(client, f"auth_{kind.lower()}"))
                    assert send(client, LETTER)[0] == 250
