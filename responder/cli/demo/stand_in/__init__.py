"""A local stand-in for the world outside: PagerDuty, Slack, mail, webhooks, a dead man's switch.

It keeps the limits of the real ones, so that a message of ours which they would refuse is refused
here too, and it fails on demand. One file for each service.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from responder.cli.demo.stand_in.controls import Controls
from responder.cli.demo.stand_in.faults import Faults
from responder.cli.demo.stand_in.http import NOT_FOUND, Handler, Reply, Request, Service
from responder.cli.demo.stand_in.incidents import Incidents
from responder.cli.demo.stand_in.kept import Kept
from responder.cli.demo.stand_in.pagerduty import MAX_CALLS_A_MINUTE, Events
from responder.cli.demo.stand_in.rest import Rest
from responder.cli.demo.stand_in.server import Server
from responder.cli.demo.stand_in.slack import Slack
from responder.cli.demo.stand_in.smtp import Session
from responder.cli.demo.stand_in.webhook import Webhook

__all__ = ["MAX_CALLS_A_MINUTE", "StandIn"]


class StandIn:
    """Listens on free ports of 127.0.0.1 and keeps what it accepted, and what it refused.

    webhook_secrets: any of them may have signed, as `whsec_<base64>`; clock: seconds since 1970;
    rest_token, smtp_login: the only ones that are taken, any when None.
    """

    def __init__(
        self,
        webhook_secrets: Sequence[str],
        clock: Callable[[], float] = time.time,
        *,
        rest_token: str | None = None,
        smtp_login: tuple[str, str] | None = None,
    ) -> None:
        self._kept = Kept(clock)
        self._faults = Faults(self._kept)
        self._incidents = Incidents(self._kept)
        self._controls = Controls(self._kept, self._incidents, self._faults)
        self._services: dict[str, Service] = {
            "v2": Events(self._incidents, self._kept, clock),
            "incidents": Rest(self._incidents, self._kept, clock, rest_token),
            "webhook": Webhook(webhook_secrets, self._kept, clock),
            "services": Slack(self._kept, clock),
            "ping": partial(self._note, "pings"),
            "redirected": partial(self._note, "redirected"),
        }
        self._web = Server(partial(Handler, self._answer, self._faults))
        self._mail = Server(partial(Session, self._kept, self._faults, smtp_login))
        self._stack = ExitStack()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._web.port}"

    @property
    def smtp_port(self) -> int:
        return self._mail.port

    def received(self) -> dict[str, Any]:
        """All that came, in order, each with the time `at` which it came; `open_alerts` too."""
        return self._controls.received()

    @property
    def open_alerts(self) -> dict[str, int]:
        """Dedup keys that are triggered and not resolved, with how often they were triggered."""
        return self._incidents.open_alerts()

    def clear(self) -> None:
        """Forget all that came; what was asked for and told stays."""
        self._controls.clear()

    def add_incident(
        self,
        id: str,
        incident_key: str | None = None,
        alerts: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Let PagerDuty know an incident that did not begin with an event of ours."""
        self._incidents.add(id, incident_key, alerts)

    def fail(self, path_prefix: str, fault: str, times: int = 1) -> None:
        """Let the next `times` requests to a path fail, or letters to `smtp`; ValueError."""
        self._faults.plan(path_prefix, fault, times)

    def heal(self) -> None:
        """Forget the faults that have not happened yet."""
        self._faults.clear()

    def __enter__(self) -> "StandIn":
        self._stack.enter_context(self._web)
        self._stack.enter_context(self._mail)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _answer(self, request: Request) -> Reply:
        service = self._services.get(request.path.split("/")[1] if "/" in request.path else "")
        if service is None:
            return self._controls(request)
        reply = service(request)
        if reply.status >= 400:
            refusal = {"path": request.path, "status": reply.status, "answer": reply.body}
            self._kept.keep("refused", **refusal)
        return reply

    def _note(self, kind: str, request: Request) -> Reply:
        if request.method not in ("GET", "POST"):
            return NOT_FOUND
        self._kept.keep(kind, path=request.path, method=request.method)
        return Reply(200, {})
