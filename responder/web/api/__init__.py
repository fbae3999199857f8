"""The API for people and programs; a file a subject.

To add an endpoint, write its view in the file of its subject under `@endpoints.get(...)` (`post`,
`put`, `delete`), saying its role, what it reads and answers, and the problems that it may raise.
New answers are described by schemas; a new file is named in SUBJECTS, a new call in docs/api.md.
"""

from collections.abc import Sequence

from responder.web.api import (
    audit,
    autofix,
    deliveries,
    explain,
    fixes,
    holds,
    incidents,
    maintenance,
    rules,
)
from responder.web.api.endpoints import Endpoints
from responder.web.health import METRICS

#: In the order of the documentation.
SUBJECTS: Sequence[Endpoints] = (
    deliveries.endpoints,
    incidents.endpoints,
    holds.endpoints,
    fixes.endpoints,
    maintenance.endpoints,
    autofix.endpoints,
    rules.endpoints,
    explain.endpoints,
    audit.endpoints,
)

#: What the scope of a token may name.
SCOPES = (*(endpoints.name for endpoints in SUBJECTS), METRICS)
