"""A small mail server (RFC 5321): strict, without TLS, and everything stays here."""

import base64
import re
from socketserver import StreamRequestHandler
from typing import Any

from responder.cli.demo.stand_in.faults import SMTP, Drip, Faults, hang, reset
from responder.cli.demo.stand_in.kept import Kept
from responder.cli.demo.stand_in.mail import mistake

MAX_COMMAND = 512
MAX_LETTER = 10 * 1024 * 1024
MAX_RECIPIENTS = 100
_ADDRESS = r"[!-;=?A-~]+@[!-;=?A-~]+"
_FROM = re.compile(rf"FROM:<((?:{_ADDRESS})?)>(?: SIZE=(\d{{1,18}}))?", re.IGNORECASE)
_TO = re.compile(rf"TO:<({_ADDRESS})>", re.IGNORECASE)
#: What a fault says to every recipient of the letter that it befalls.
_SAYS = {"450": "450 4.2.1 Try again later", "550": "550 5.1.1 No such user"}


class Session(StreamRequestHandler):
    """One connection; login: the only user and password, None takes any and needs none."""

    disable_nagle_algorithm = True

    def __init__(
        self, kept: Kept, faults: Faults, login: tuple[str, str] | None, *connection: Any
    ) -> None:
        self._kept, self._faults, self._login = kept, faults, login
        self._greeted = self._over = False
        self._user: str | None = None
        self._forget()
        super().__init__(*connection)  # which is the whole conversation

    def _forget(self) -> None:
        self._sender: str | None = None
        self._recipients: list[str] = []
        self._fault: str | None = None

    def handle(self) -> None:
        self._say("220 stand-in ESMTP ready")
        while not self._over:
            line = self.rfile.readline(MAX_COMMAND + 1)
            if not line:
                return
            if not line.endswith(b"\r\n") or len(line) > MAX_COMMAND:
                self._say("500 5.5.2 Line too long, or not ended by CRLF")
                return
            verb, _, rest = line.decode("ascii", "replace").strip().partition(" ")
            self._obey(verb.upper(), rest.strip())

    def _obey(self, verb: str, rest: str) -> None:
        match verb:
            case "EHLO" | "HELO":
                self._greet(verb, rest)
            case "AUTH":
                self._authenticate(rest)
            case "MAIL":
                self._mail(rest)
            case "RCPT":
                self._recipient(rest)
            case "DATA":
                self._data()
            case "RSET":
                self._forget()
                self._say("250 2.0.0 Forgotten")
            case "NOOP":
                self._say("250 2.0.0 Here")
            case "QUIT":
                self._say("221 2.0.0 Bye")
                self._over = True
            case _:
                self._say("500 5.5.1 No such command")

    def _greet(self, verb: str, name: str) -> None:
        if not name:
            return self._say("501 5.5.4 Who are you?")
        self._forget()
        self._greeted = True
        if verb == "HELO":
            return self._say("250 stand-in")
        self._say("250-stand-in", f"250-SIZE {MAX_LETTER}", "250 AUTH PLAIN LOGIN")

    def _authenticate(self, rest: str) -> None:
        kind, _, first = rest.partition(" ")
        if not self._greeted or self._user is not None or self._sender is not None:
            return self._say("503 5.5.1 Not now")
        try:
            if kind.upper() == "PLAIN":
                _, user, password = self._ask("", first).split("\0")
            elif kind.upper() == "LOGIN":
                user = self._ask("Username:", first)
                password = self._ask("Password:", "")
            else:
                return self._say("504 5.5.4 PLAIN or LOGIN")
        except ValueError:
            return self._say("501 5.5.2 Not understood")
        if self._login not in (None, (user, password)):
            return self._say("535 5.7.8 Wrong user or password")
        self._user = user
        self._say("235 2.7.0 Welcome")

    def _ask(self, prompt: str, given: str) -> str:
        """What the client answers, or has given already; ValueError when it is no base64."""
        if not given:
            self._say("334 " + base64.b64encode(prompt.encode()).decode())
            given = self.rfile.readline(MAX_COMMAND + 1).decode("ascii").strip()
        return base64.b64decode(given, validate=True).decode()

    def _mail(self, rest: str) -> None:
        if not self._greeted or self._sender is not None:
            return self._say("503 5.5.1 Not now")
        if self._login and self._user is None:
            return self._say("530 5.7.0 Authenticate first")
        found = _FROM.fullmatch(rest)
        if not found:
            return self._say("501 5.5.4 MAIL FROM:<address> [SIZE=n]")
        if int(found[2] or 0) > MAX_LETTER:
            return self._say("552 5.3.4 Too large")
        fault = self._faults.take(SMTP)
        if fault in ("hang", "reset"):
            self._over = True
            return (hang if fault == "hang" else reset)(self.connection)
        self._sender, self._fault = found[1], fault
        self._say("250 2.1.0 Sender taken")

    def _recipient(self, rest: str) -> None:
        if self._sender is None:
            return self._say("503 5.5.1 MAIL first")
        found = _TO.fullmatch(rest)
        if not found:
            return self._say("501 5.5.4 RCPT TO:<address>")
        if self._fault in _SAYS:
            return self._say(_SAYS[self._fault])
        if len(self._recipients) == MAX_RECIPIENTS:
            return self._say("452 4.5.3 Too many recipients")
        self._recipients.append(found[1])
        self._say("250 2.1.5 Recipient taken")

    def _data(self) -> None:
        if not self._recipients:
            return self._say("503 5.5.1 RCPT first")
        self._say("354 End with a dot on a line of its own")
        raw = self._read_letter()
        if raw is None:
            self._over = True
            return
        refusal = "552 5.3.4 Too large" if len(raw) > MAX_LETTER else mistake(raw)
        if refusal:
            self._kept.keep("refused", path=SMTP, status=int(refusal[:3]), answer=refusal)
        else:
            self._keep(raw)
        if self._fault == "lost":
            self._over = True
            return
        self._say(refusal or "250 2.0.0 Kept")
        self._forget()

    def _keep(self, raw: bytes) -> None:
        letter = {"from": self._sender, "to": self._recipients, "raw": raw.decode("ascii")}
        self._kept.keep("mail", **letter)

    def _read_letter(self) -> bytes | None:
        """All up to the dot, without the dots that were stuffed in; None when the sender left.

        Only CRLF ends a line: a dot after a bare LF is text, else letters could be smuggled in.
        """
        raw, ended = bytearray(), True
        while line := self.rfile.readline(MAX_LETTER):
            if ended and line == b".\r\n":
                return bytes(raw)
            if len(raw) <= MAX_LETTER:
                raw += line[1:] if ended and line.startswith(b".") else line
            ended = line.endswith(b"\r\n")
        return None

    def _say(self, *lines: str) -> None:
        told = "".join(f"{line}\r\n" for line in lines).encode("ascii")
        (Drip(self.connection) if self._fault == "drip" else self.wfile).write(told)
