"""Whatever is logged while a request is answered names the incident or delivery of its path."""

from flask import Flask, g, request

from responder.log import about


def name_subjects(app: Flask) -> None:
    """Bind the ids before the view runs, and let go of them after its mistakes were logged."""

    @app.before_request
    def begin() -> None:
        path = request.view_args or {}
        subject = about(incident=path.get("incident_id"), delivery=path.get("delivery_id"))
        subject.__enter__()
        g.subject = subject

    @app.teardown_request
    def end(_: BaseException | None) -> None:
        if "subject" in g:
            g.pop("subject").__exit__(None, None, None)
