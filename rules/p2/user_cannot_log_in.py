"""A user cannot log in, or sees nothing: the account, its role or its store is missing.

Symptoms:   a user cannot log in; "Invalid authentication token"; somebody who is logged in has no
            access to what they expect.
Prevention: one page that invites a colleague and sets account, role and store at once; a monitor
            that counts accounts without a role.
Parameter:  the address that the alert names.
Mended:     the runbook compares addresses as they were typed; logins do not tell cases apart, so
            these questions do not either, and two accounts of one address are a finding. It never
            looks whether the address was confirmed, although it asks for it. Assigning a store
            twice made two assignments: here the second time there is nothing left to do. And a
            token that is refused is often not about one user: the errors of the last hour tell.
By itself:  nothing: rights are granted by people. grant_admin is for an admin; the others are the
            daily work of whoever is on call, for the one account that the alert names.
Undone:     all three: exactly the row that was inserted is deleted, unless it was changed, or taken
            away and granted again by somebody else. Who was given too much loses it at once; for
            that the fixing role may delete from both tables.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from responder.runbook import Case, Finding, Label, Option, Rule, Sql, Within

Rows = Sequence[Mapping[str, Any]]

#: So many refused tokens in an hour are about more than one user.
_MANY = 20


class UserCannotLogIn(Rule):
    answers = ['alertname=~"UserCannotLogIn|UserLoginFailed|UserHasNoAccess|AuthenticationFailed"']
    target = "shop"
    key = ("email",)
    parameters = {"email": Label("email", "user_email", "login", "username", "user")}
    diagnostics = [
        Sql(
            "account",
            "Does the account exist, and is it confirmed?",
            index="auth.users (lower(email))",
        ),
        Sql("roles", "Which roles has it?", after="account", index="user_roles (user_id)"),
        Sql(
            "assignments",
            "Which stores and locations has it?",
            after="account",
            index="user_shopify_assignments (user_id)",
        ),
        Sql("stores", "Which stores and locations have others?"),
        Sql(
            "refused",
            "Which errors of authentication came in the last hour?",
            index="system_logs (created_at)",
        ),
    ]
    options = [
        Option(
            "grant_staff",
            "Grant the staff role",
            changes=("user_roles",),
            max_rows=1,
            verify=Within("2m"),
            undo=True,
        ),
        Option(
            "grant_admin",
            "Grant the admin role",
            changes=("user_roles",),
            max_rows=1,
            verify=Within("2m"),
            undo=True,
            role="admin",
            caution="Use sparingly: an admin may delete batches and grant roles.",
        ),
        Option(
            "assign_store",
            "Assign a store and a location",
            changes=("user_shopify_assignments",),
            max_rows=1,
            verify=Within("2m"),
            undo=True,
            asks={
                "store_key": "Which store? Its key, as others have it.",
                "location": "Which Shopify location? gid://shopify/Location/... or its number.",
            },
        ),
        Option(
            "confirm_address",
            "Let the user confirm the address",
            run="# Supabase Dashboard → Authentication → Users → the address → Send magic link",
        ),
    ]

    def conclude(self, case: Case) -> Iterable[Finding]:
        if case["account"].error or case["roles"].error or case["assignments"].error:
            return
        accounts, roles = case["account"].rows, case["roles"].rows
        email = case.parameters["email"]
        if len(accounts) == 1:
            yield from _of_account(accounts, roles, case["assignments"].rows, case["stores"].rows)
        elif accounts:
            yield Finding(
                "two_accounts",
                f"{len(accounts)} accounts have the address {email}, written differently.",
                rows=accounts,
            )
        else:
            yield Finding("no_account", f"No account has the address {email}: invite it.")
        yield from _of_tokens(case["refused"].rows)


def _of_account(accounts: Rows, roles: Rows, assignments: Rows, stores: Rows) -> Iterable[Finding]:
    """What the one account lacks, in the order in which it would be missed."""
    if accounts[0]["confirmed_at"] is None:
        yield Finding(
            "unconfirmed",
            "The account exists and its address was never confirmed.",
            offers=("confirm_address",),
            rows=accounts,
        )
    if not roles:
        yield Finding(
            "no_role",
            "The account has no role, so it sees nothing.",
            offers=("grant_staff", "grant_admin"),
            rows=accounts,
        )
    if not assignments and not any(row["role"] == "admin" for row in roles):
        yield Finding(
            "no_assignment",
            "The account is assigned to no store; only admins need none.",
            offers=("assign_store",),
            rows=stores,
        )


def _of_tokens(refused: Rows) -> Iterable[Finding]:
    count = sum(row["count"] for row in refused)
    if count >= _MANY:
        yield Finding(
            "tokens_refused",
            f"{count} errors of authentication in the last hour: it is not about one user. A "
            "secret may have been rotated and not everywhere.",
            rows=refused,
        )
