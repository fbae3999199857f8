"""[issuers.<name>] and [login]: what is read, and every mistake in them."""

import pytest

from responder import settings
from responder.domain.secret import Secret
from responder.domain.settings import Issuer, Login

ROLES = 'roles = {viewer = ["staff"]}\n'
OIDC = (
    '[issuers.company]\ntype = "oidc"\nissuer = "https://login.example/"\naudience = "responder"\n'
    f'role_claim = "/groups"\n{ROLES}'
)
SHOP = f'[issuers.shop]\ntype = "supabase"\nproject = "https://abc.supabase.co"\n{ROLES}'


def test_an_issuer_is_written_as_it_writes_itself() -> None:
    found = settings.read(OIDC + SHOP, "the test")
    roles = {"viewer": ("staff",)}
    shop = "https://abc.supabase.co/auth/v1"
    assert found.issuers == {
        "company": Issuer(
            *("company", "oidc", "https://login.example/", "responder", "/groups", roles, "/sub")
        ),
        "shop": Issuer(
            *("shop", "supabase", shop, "authenticated", "/app_metadata/role", roles, "/email"),
            jwks_url=f"{shop}/.well-known/jwks.json",
        ),
    }
    assert found.login == Login()


def test_a_login() -> None:
    login = '[login]\nissuer = "company"\nclient_id = "x"\nclient_secret = "env:A"\nidle = "5m"'
    found = settings.read(OIDC + login, "the test").login
    assert (found.issuer, found.client_id) == ("company", "x")
    assert found.client_secret == Secret(("env:A",))
    assert (found.idle.seconds, found.longest.seconds) == (300, 43200)


def test_its_secret_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ABSENT", raising=False)
    login = '[login]\nissuer = "company"\nclient_id = "x"\nclient_secret = "env:ABSENT"'
    lines = settings.unreadable_secrets(settings.read(OIDC + login, "the test"))
    assert "login.client_secret: the environment variable ABSENT is not set" in lines


SAFE = "must begin with https://, unless it is on this machine"


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        (OIDC.replace("oidc", "saml"), 'issuers.company.type: must be one of "oidc", "supabase"'),
        (OIDC.replace("https:", "http:"), f"issuers.company.issuer: {SAFE}"),
        (OIDC.replace("https://login.example/", "http://127.0.0.1.evil/"), SAFE),
        (OIDC.replace("example/", "example/?a=b"), "with nothing behind the path"),
        (OIDC.replace("login.", "me:hunter2@login."), "without user and password"),
        (OIDC.replace("/groups", "groups"), "issuers.company.role_claim: must be a JSON pointer"),
        (OIDC.replace('viewer = ["staff"]', ""), "issuers.company.roles: needs viewer, operator"),
        (OIDC.replace("viewer", "root"), "issuers.company.roles.root: unknown key"),
        (OIDC.replace('["staff"]', '"staff"'), "issuers.company.roles.viewer: must be a list"),
        (OIDC.replace('["staff"]', "[]"), "issuers.company.roles.viewer: must not be empty"),
        (OIDC.replace('audience = "responder"\n', ""), "issuers.company.audience: missing"),
        (SHOP + 'role_claim = "/user_metadata/role"', "issuers.shop.role_claim: users write"),
        (SHOP + 'name_claim = "/user_metadata/name"', "issuers.shop.name_claim: users write"),
        (
            OIDC + OIDC.replace(".company", ".twin").replace("example/", "example"),
            "issuers.twin.issuer: is that of 'company', too",
        ),
        ('[login]\nissuer = "x"\nclient_id = "y"', "there is no issuer 'x'; known are none"),
        (SHOP + '[login]\nissuer = "shop"\nclient_id = "y"', "'shop' is not of type oidc"),
        (OIDC + '[login]\nissuer = "company"', "login: needs both issuer and client_id"),
        (OIDC + '[login]\nclient_id = "x"', "login: needs both issuer and client_id"),
        ('[login]\nclient_secret = "env:A"', "login.client_secret: is of no use without issuer"),
        ('[login]\nidle = "0s"', "login.idle: must be longer than 0"),
        ("login = 7", "login: must be a table"),
        ("proxies = 0", "proxies: must be a whole number above 0"),
    ],
)
def test_each_mistake_is_told_with_its_key(text: str, mistake: str) -> None:
    with pytest.raises(settings.SettingsWrong) as wrong:
        settings.read(text, "the test")
    assert any(mistake in line for line in wrong.value.mistakes), wrong.value.mistakes
    assert "hunter2" not in str(wrong.value)


def test_a_provider_on_this_machine_may_speak_plainly() -> None:
    for host in ("127.0.0.1:8080", "localhost", "[::1]:80"):
        settings.read(OIDC.replace("https://login.example", f"http://{host}"), "the test")
