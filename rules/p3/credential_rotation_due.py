"""A credential is 90 days old and due for rotation, or a new one does not work.

Symptoms:   a credential was last rotated 90 days ago, or nobody knows when; an audit asks for it;
            after a rotation requests fail with authentication errors.
Prevention: a date for each rotation; two live versions wherever a system takes two, so that
            nothing stops while they change; write each rotation down.
Needs:      a row of system_settings for each credential, whose updated_at is when it was rotated.
            Its value is never read: names and times are enough.
Mended:     the runbook looks for errors with ILIKE '%auth%', which takes an author for a login;
            here whole words, and the words for a refused key, are looked for. It says "verify in
            system_settings" and not how: here the age of each credential is asked there, and one
            that the runbook names and nobody has written down counts as due. Its proof, a login
            and the log, is asked each hour, so that a rotation that broke something is told
            within the hour, and one that did not ends the incident.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from responder.runbook import Answer, Case, ErrorKind, Finding, Http, Option, Rule, Sql

Rows = Sequence[Mapping[str, Any]]

_ROTATE = {
    "shopify": "rotate_shopify",
    "functions": "rotate_api_keys",
    "database": "rotate_database",
}
_SILENT = frozenset({ErrorKind.UNREACHABLE, ErrorKind.REFUSED, ErrorKind.TIMEOUT, ErrorKind.LOST})


class CredentialRotationDue(Rule):
    answers = ['alertname="CredentialRotationDue"']
    target = "shop"
    key = ()
    schedule = "7 * * * *"
    diagnostics = [
        Sql("credentials", "How old is each credential?"),
        Sql("login", "Does our own login work, over a new connection?"),
        Sql("auth_errors", "Which authentication errors came in the last hour?"),
        Http("endpoint", "Does the endpoint of the functions answer?", "/health"),
    ]
    options = [
        Option(
            "rotate_shopify",
            "Rotate the credentials of Shopify",
            run="supabase secrets set --env-file shopify.env",
            caution="Make new ones at Shopify first. The file holds SHOPIFY_STORE_KEY, "
            "SHOPIFY_ACCESS_TOKEN and SHOPIFY_SHARED_SECRET, is readable by you alone and deleted "
            "afterwards; on the dashboard it is Project Settings > Secrets. Revoke the old ones "
            "when the new ones are proven.",
            role="admin",
        ),
        Option(
            "rotate_api_keys",
            "Rotate the API keys of the functions",
            run="supabase secrets set --env-file api-keys.env",
            caution="The file holds JUSTTCG_API_KEY and PSA_PUBLIC_API_TOKEN, is readable by you "
            "alone and deleted afterwards; on the dashboard it is Edge Functions > Secrets. "
            "Revoke the old ones when the new ones are proven.",
            role="admin",
        ),
        Option(
            "rotate_database",
            "Rotate the password of the database",
            run="psql \"$DATABASE_ADMIN_URL\" --command '\\password'",
            caution="On Supabase reset it on the dashboard, Project Settings > Database, so that "
            "the pooler knows it too. Sessions stay open; whatever connects anew needs the new "
            "one: functions, applications, CI.",
            role="admin",
        ),
        Option(
            "record_rotation",
            "Write down that a credential was rotated",
            run='psql "$DATABASE_ADMIN_URL" --command "INSERT INTO system_settings (key, value)'
            " VALUES ('JUSTTCG_API_KEY', '{}')"
            ' ON CONFLICT (key) DO UPDATE SET updated_at = now()"',
            caution="For another one write its name. Never the credential itself. Within the hour "
            "it is proven, and the incident ends.",
        ),
        Option(
            "prove_login",
            "Log in with the new password",
            run="psql \"$DATABASE_URL\" --command 'SELECT current_user, current_database()'",
        ),
    ]

    def conclude(self, case: Case) -> Iterable[Finding]:
        if _is_refused(case["login"]):
            yield Finding(
                "login_refused",
                "Our own login is refused: its password was changed, and not in the settings of "
                "the responder.",
                offers=("prove_login",),
            )
        credentials = case["credentials"].rows
        if fresh := [row for row in credentials if row["fresh"]]:
            yield from _unproven(fresh, case["auth_errors"].rows, case["endpoint"])
        if due := [row for row in credentials if row["due"]]:
            yield Finding(
                "rotation_due",
                f"{_number(due)} due for rotation: {_ages(due)}.",
                offers=(*_rotations(due), "record_rotation", "prove_login"),
                rows=due,
            )


def _is_refused(login: Answer) -> bool:
    return login.error is not None and login.error.kind is ErrorKind.LOGIN


def _unproven(fresh: Rows, errors: Rows, endpoint: Answer) -> Iterable[Finding]:
    """What fails since credentials were rotated within the last day."""
    since = min(datetime.fromisoformat(row["rotated_at"]) for row in fresh)
    after = [row for row in errors if datetime.fromisoformat(row["created_at"]) > since]
    names = ", ".join(row["name"] for row in fresh)
    if after:
        yield Finding(
            "refused_since",
            f"Authentication fails since {names} changed: {after[0]['message']}.",
            offers=(*_rotations(fresh), "prove_login"),
            rows=after,
        )
    error = endpoint.error
    if error and (error.kind in _SILENT or error.code.startswith("5")):
        yield Finding(
            "endpoint_down",
            f"The functions do not answer since {names} changed: {error.message}.",
            offers=_rotations(fresh),
            rows=endpoint.rows,
        )


def _rotations(credentials: Rows) -> tuple[str, ...]:
    """How each of them is rotated; what is kept elsewhere is nobody's option."""
    found = (_ROTATE[row["kept"]] for row in credentials if row["kept"] in _ROTATE)
    return tuple(dict.fromkeys(found))


def _number(credentials: Rows) -> str:
    return "1 credential is" if len(credentials) == 1 else f"{len(credentials)} credentials are"


def _ages(credentials: Rows) -> str:
    return ", ".join(
        f"{row['name']} ({'no date' if row['days'] is None else str(row['days']) + ' days'})"
        for row in credentials
    )
