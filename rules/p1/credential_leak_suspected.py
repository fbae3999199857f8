"""A credential may be known to strangers.

Symptoms:   a scanner finds one in a repository or a log; somebody who knew them has left; requests
            or logins come from where nobody works.
Prevention: credentials in a secret store alone; few who can read them; rotation every 90 days and
            when somebody leaves; a scanner in front of each repository.
Needs:      a row of system_settings for each credential, whose updated_at is when it was rotated.
            Its value is never read. A label `credential` with the name of one picks that one. The
            Security Team hears of it as a contact of the settings (docs/escalation.md has it).
Mended:     the runbook has the steps of a rotation and none for a leak: the steps are the same, at
            once, and end with the sessions that the old password opened. Its ILIKE '%auth%' takes
            an author for a login; here whole words, and those for a refused key, are looked for.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from responder.runbook import Case, ErrorKind, Finding, Http, Option, Rule, Sql

Rows = Sequence[Mapping[str, Any]]

_ROTATE = {
    "shopify": "rotate_shopify",
    "functions": "rotate_api_keys",
    "database": "rotate_database",
}


class CredentialLeakSuspected(Rule):
    answers = ['alertname=~"CredentialLeakSuspected|CredentialLeaked|SecretLeaked"']
    target = "shop"
    key = ()
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
            caution="The file holds SHOPIFY_STORE_KEY, SHOPIFY_ACCESS_TOKEN and "
            "SHOPIFY_SHARED_SECRET, is readable by you alone and deleted afterwards; on the "
            "dashboard it is Project Settings > Secrets. If strangers use the old ones, revoke "
            "them first, and let the shop fail until the new ones are in place.",
            role="admin",
        ),
        Option(
            "rotate_api_keys",
            "Rotate the API keys of the functions",
            run="supabase secrets set --env-file api-keys.env",
            caution="The file holds JUSTTCG_API_KEY and PSA_PUBLIC_API_TOKEN, is readable by you "
            "alone and deleted afterwards; on the dashboard it is Edge Functions > Secrets. "
            "Revoke the old ones.",
            role="admin",
        ),
        Option(
            "rotate_database",
            "Rotate the password of the database",
            run="psql \"$DATABASE_ADMIN_URL\" --command '\\password'",
            caution="On Supabase reset it on the dashboard, Project Settings > Database. Whatever "
            "connects anew needs the new one; sessions of the old one stay open: end them.",
            role="admin",
        ),
        Option(
            "end_sessions",
            "End the sessions that the old password opened",
            run='psql "$DATABASE_ADMIN_URL" --command "SELECT pg_terminate_backend(pid)'
            " FROM pg_stat_activity WHERE backend_type = 'client backend'"
            ' AND usename = current_user AND pid <> pg_backend_pid()"',
            caution="After the password was changed, else they come back. Everything that works "
            "with this login is cut off and connects anew.",
            role="admin",
        ),
        Option(
            "record_rotation",
            "Write down that a credential was rotated",
            run='psql "$DATABASE_ADMIN_URL" --command "INSERT INTO system_settings (key, value)'
            " VALUES ('JUSTTCG_API_KEY', '{}')"
            ' ON CONFLICT (key) DO UPDATE SET updated_at = now()"',
            caution="For another one write its name. Never the credential itself.",
        ),
        Option(
            "prove_login",
            "Log in with the new password",
            run="psql \"$DATABASE_URL\" --command 'SELECT current_user, current_database()'",
        ),
    ]

    def conclude(self, case: Case) -> Iterable[Finding]:
        login = case["login"].error
        if login and login.kind is ErrorKind.LOGIN:
            yield Finding(
                "login_refused",
                "Our own login is refused: its password was changed, by you or by a stranger.",
                offers=("rotate_database", "end_sessions", "prove_login"),
            )
        if case["credentials"].error:
            return
        since = case.alert.starts_at or case.at
        suspected = _about(case.alert.labels.get("credential"), case["credentials"].rows)
        old = [row for row in suspected if not _is_newer(row, since)]
        if old:
            yield Finding(
                "not_rotated",
                f"Not rotated since the suspicion: {_names(old)}. Rotate first, look for what was "
                "done with them then.",
                offers=(*_rotations(old), "end_sessions", "record_rotation", "prove_login"),
                rows=old,
            )
        else:
            yield Finding(
                "rotated",
                f"Rotated since the suspicion: {_names(suspected)}. Revoke the old ones, end the "
                "sessions that they opened, and look for what was done with them.",
                offers=("end_sessions", "prove_login"),
                rows=suspected,
            )
        if errors := case["auth_errors"].rows:
            yield Finding(
                "auth_errors",
                f"{errors[0]['in_all']} authentication errors in the last hour, the newest: "
                f"{errors[0]['message']}.",
                rows=errors,
            )


def _about(name: str | None, credentials: Rows) -> Rows:
    """The one that the alert names; all of them when it names none, or one that nobody knows."""
    return [row for row in credentials if row["name"] == name] or credentials


def _is_newer(credential: Mapping[str, Any], since: datetime) -> bool:
    rotated_at = credential["rotated_at"]
    return rotated_at is not None and datetime.fromisoformat(rotated_at) > since


def _rotations(credentials: Rows) -> tuple[str, ...]:
    found = (_ROTATE[row["kept"]] for row in credentials if row["kept"] in _ROTATE)
    return tuple(dict.fromkeys(found))


def _names(credentials: Rows) -> str:
    return ", ".join(row["name"] for row in credentials)
