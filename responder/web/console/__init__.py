"""The console: what people see and do in a browser; the same functions as the API's behind it.

To add a page, write its view in the file of its subject under `@pages.read(...)` (or `change`, for
a form), saying its role, and its template; a new file is named in SUBJECTS.
"""

from collections.abc import Sequence
from types import ModuleType

from responder.web.console import (
    audit,
    failures,
    incident,
    login,
    logins,
    maintenance,
    now,
    numbers,
    receivers,
    rules,
    senders,
)
from responder.web.console.pages import Pages

#: Each registers its pages.
SUBJECTS: Sequence[ModuleType] = (
    login,
    logins,
    now,
    incident,
    audit,
    rules,
    senders,
    receivers,
    maintenance,
    numbers,
)


def console() -> Pages:
    """The blueprint with all its pages."""
    pages = Pages()
    failures.install(pages)
    for subject in SUBJECTS:
        subject.register(pages)
    return pages
