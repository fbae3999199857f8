"""Who calls, and why somebody was not let in."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from responder.domain.actor import Actor, ActorKind
from responder.domain.denial import Denial
from responder.pipeline.services import Services
from responder.web.problems import Problem


class Denied(Problem):
    """401, or 403 for somebody whom we know; it is audited under `why`. who: if we know."""

    def __init__(self, why: Denial, detail: str, who: str = "") -> None:
        if why.known:
            super().__init__(403, "forbidden", detail)
        else:
            super().__init__(401, "unauthenticated", detail)
        self.why, self.who = why, who


@dataclass(frozen=True)
class Caller:
    """Who calls, with which role, and by which token.

    name: what the audit shows; that of another issuer's people begins with the issuer's name.
    token_id: of a token of ours. scope: the subjects of the API that it opens; None is all.
    """

    name: str
    role: str
    issued_at: datetime
    expires_at: datetime
    token_id: UUID | None = None
    scope: frozenset[str] | None = None

    @property
    def actor(self) -> Actor:
        return Actor(ActorKind.PERSON, self.name)


def admitted(services: Services, caller: Caller) -> Caller:
    """The caller, unless the token was revoked, or all that the person had. Denied.

    Asked at each request, so that a revocation holds from the very next one, on any host.
    """
    with services.store.transaction() as tx:
        row = tx.one(
            "token_used", id=caller.token_id, person=caller.name, issued_at=caller.issued_at
        )
    if row["revoked"]:
        raise Denied(Denial.REVOKED, "the token was revoked", caller.name)
    return caller
