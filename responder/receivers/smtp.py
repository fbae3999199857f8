"""One mail by SMTP: no retries of its own, and over when the time is over, as `outbound` is."""

import re
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from responder.outbound import Undelivered

_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,250}[A-Za-z0-9])?")
_UNSEEN = re.compile(r"[^ -~]+")


@dataclass(frozen=True)
class Server:
    """security: `starttls`, `tls` or `none`; without a user nobody logs in."""

    host: str
    port: int
    security: str
    user: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True)
class Refusal:
    """A recipient whom the server does not take."""

    address: str
    code: int
    text: str

    def __str__(self) -> str:
        return f"{self.address} ({self.code} {self.text})".replace(" )", ")")


def send(
    server: Server,
    sender: str,
    recipients: Sequence[str],
    write: Callable[[Sequence[Refusal]], bytes],
    timeout: float,
) -> None:
    """Undelivered unless the server took the mail for at least one recipient in time.

    write: makes the mail when it is known who will not get it, so that the others can read so.
    """
    attempt = _Attempt(server, timeout)
    outcome: SimpleQueue[Undelivered | None] = SimpleQueue()

    def run() -> None:
        outcome.put(attempt.undelivered(sender, recipients, write))
        attempt.leave()

    # A look-up of a name and a server that drips are out of any socket timeout's reach.
    threading.Thread(target=run, name="mail", daemon=True).start()
    try:
        undelivered = outcome.get(timeout=timeout)
    except Empty:
        undelivered = attempt.give_up()
    if undelivered is not None:
        raise undelivered


class _Attempt:
    """One connection. Whether it may have delivered is known at any moment, also when it hangs."""

    def __init__(self, server: Server, timeout: float) -> None:
        self._server = server
        self._timeout = timeout
        self._client: smtplib.SMTP | None = None
        self._connected = False
        self._given_up = False
        self._handing_over = False

    def undelivered(
        self,
        sender: str,
        recipients: Sequence[str],
        write: Callable[[Sequence[Refusal]], bytes],
    ) -> Undelivered | None:
        """Deliver; None when the server took it."""
        try:
            client = self._connect()
            self._log_in(client)
            _must("the sender", client.mail(sender))
            refusals = _offer(client, recipients)
            if len(refusals) == len(recipients):
                return self._refused(refusals)
            letter = write(refusals)
            self._handing_over = True  # before it looks: `give_up` does both in the other order
            if self._given_up:
                return self._silent()
            _must("the mail", client.data(letter))
            return None
        except Undelivered as undelivered:
            return undelivered
        except (OSError, ValueError, OverflowError) as error:  # smtplib's own are OSErrors
            return self._failed(error)

    def give_up(self) -> Undelivered:
        """From now on nothing is handed over that was not before."""
        self._given_up = True
        silent = self._silent()
        open_socket = self._client.sock if self._client is not None else None
        if open_socket is not None:
            with suppress(OSError):  # wakes the thread that waits for an answer
                socket.socket.shutdown(open_socket, socket.SHUT_RDWR)
        return silent

    def leave(self) -> None:
        """Say good-bye without waiting for the answer."""
        if self._client is not None:
            with suppress(OSError):
                self._client.putcmd("quit")
            self._client.close()

    def _connect(self) -> smtplib.SMTP:
        """A connection that is encrypted, unless the operator wrote that it need not be."""
        server = self._server
        name = socket.gethostname()
        name = name if _HOST_NAME.fullmatch(name) else "[127.0.0.1]"
        context = None if server.security == "none" else ssl.create_default_context()
        if server.security == "tls":
            client: smtplib.SMTP = smtplib.SMTP_SSL(
                local_hostname=name, timeout=self._timeout, context=context
            )
        else:
            client = smtplib.SMTP(local_hostname=name, timeout=self._timeout)
        self._client = client
        client._host = server.host  # type: ignore[attr-defined]  # whose certificate it must show
        _must("the connection", client.connect(server.host, server.port))
        self._connected = True
        client.ehlo_or_helo_if_needed()
        if server.security not in ("none", "tls"):
            _must("STARTTLS", client.starttls(context=context))
            client.ehlo_or_helo_if_needed()
        return client

    def _log_in(self, client: smtplib.SMTP) -> None:
        """The server's own words stay out: they could repeat what was sent."""
        if not self._server.user:
            return
        try:
            client.login(self._server.user, self._server.password)
        except smtplib.SMTPAuthenticationError as error:
            code = error.smtp_code
            raise Undelivered(
                f"{self._server.host}: the login is refused ({code})", permanent=_is_final(code)
            ) from None
        except UnicodeError:
            raise Undelivered(
                f"{self._server.host}: user and password must be ASCII", permanent=True
            ) from None

    def _refused(self, refusals: Sequence[Refusal]) -> Undelivered:
        """One who may be taken later is reason enough to try again: greylisting says so."""
        told = "; ".join(map(str, refusals[:5]))
        permanent = all(_is_final(refusal.code) for refusal in refusals)
        return Undelivered(f"{self._server.host}: refuses {told}", permanent=permanent)

    def _silent(self) -> Undelivered:
        said = f"{self._server.host}: no answer within {self._timeout:g} s"
        return Undelivered(said, permanent=False, maybe=self._handing_over)

    def _failed(self, error: Exception) -> Undelivered:
        host = self._server.host
        if isinstance(error, smtplib.SMTPResponseException):  # a plain no, whenever it comes
            said = f"{_clean(error.smtp_error)} ({error.smtp_code})"
            return Undelivered(f"{host}: {said}", permanent=_is_final(error.smtp_code))
        if isinstance(error, TimeoutError):
            return self._silent()
        if isinstance(error, ssl.SSLError):
            what = "TLS failed"
        elif isinstance(error, smtplib.SMTPServerDisconnected) or not isinstance(
            error, smtplib.SMTPException
        ):
            what = "the connection broke" if self._connected else "cannot be reached"
        else:  # it does not offer STARTTLS, or no login that we know
            what = _clean(str(error))
        return Undelivered(f"{host}: {what}", permanent=False, maybe=self._handing_over)


def _offer(client: smtplib.SMTP, recipients: Sequence[str]) -> list[Refusal]:
    """Name each recipient; who is not taken, and why."""
    refusals = []
    for address in recipients:
        code, text = client.rcpt(address)
        if code not in (250, 251):
            refusals.append(Refusal(address, code, _clean(text)))
    return refusals


def _must(what: str, answer: tuple[int, bytes]) -> None:
    code, text = answer
    if not 200 <= code < 300:
        raise smtplib.SMTPResponseException(code, f"{what} is refused: {_clean(text)}")


def _is_final(code: int) -> bool:
    """5yz: never; 4yz and what is no answer at all: later."""
    return 500 <= code < 600


def _clean(text: bytes | str) -> str:
    told = text.decode("ascii", "replace") if isinstance(text, bytes) else text
    return _UNSEEN.sub(" ", told)[:200].strip()
