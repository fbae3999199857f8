"""Pieces of responder.toml for the tests of the settings: the smallest of each type."""

BEARER = 'bearer = "env:A"\n'
PAGER = '[receivers.{}]\ntype = "pagerduty"\nrouting_key = "env:A"\n'
NOTES = '[receivers.{}]\ntype = "pagerduty_notes"\ntoken = "env:A"\nfrom = "a@b.example"\n'
SLACK = '[receivers.{}]\ntype = "slack"\nwebhook_url = "env:A"\n'
MAIL = (
    '[receivers.{}]\ntype = "email"\nserver = "smtp.example:587"\n'
    'from = "a@b.example"\nto = ["c@d.example"]\n'
)
HOOK = '[receivers.{}]\ntype = "webhook"\nurl = "http://h/"\nsecret = "env:B"\n'


def source(more: str) -> str:
    return f'[sources.s]\ntype = "alertmanager"\n{BEARER}{more}'


def grafana(more: str) -> str:
    return f'[sources.g]\ntype = "grafana"\n{more}'


def pagerduty(more: str) -> str:
    return f'[sources.p]\ntype = "pagerduty"\nsecret = "env:A"\n{more}'


def generic(more: str, fields: str = 'name = "/name"') -> str:
    return f'[sources.j]\ntype = "generic"\n{BEARER}{more}\n[sources.j.fields]\n{fields}'


def target(more: str) -> str:
    return f'[targets.t]\nkind = "shop"\nreading = "env:A"\n{more}'


def matching(more: str) -> str:
    return target(f"matches = []\n{more}")
