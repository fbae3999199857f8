"""`roles`: the SQL for a target's two roles; and what its roles can do beyond their needs."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from responder.app import load_catalogue
from responder.cli.common import (
    Refusal,
    config_option,
    json_option,
    print_json,
    read_settings,
    seen,
)
from responder.domain.answer import Error, ErrorKind
from responder.domain.secret import Secret, SecretMissing
from responder.domain.settings import Settings, Target
from responder.runbook.catalogue import Catalogue
from responder.runbook.grants import Grant
from responder.runbook.loader import RunbookWrong
from responder.runbook.needs import Needs, Role, needs_of
from responder.store import StoreAway
from responder.store.slots import Slots
from responder.targets.logins import login_name
from responder.targets.rights import Rights, ask_rights
from responder.targets.script import script

#: For a place among the connections to a target, and for all targets together: a target that is
#: down must not hold anybody up.
_SLOT_SECONDS = 1.0
_PATIENCE = 8.0
#: So many rules are read first, when it is asked whether a role has too much.
_PORTIONS = (100, 1000)


@click.command()
@config_option
@click.option("--target", "name", required=True, help="The configured target.")
@click.option("--reading-role", help="Its name.  [default: who logs in by the URL `reading`]")
@click.option("--fixing-role", help="Its name.  [default: who logs in by the URL `writing`]")
@click.option(
    "--schema",
    "schemas",
    multiple=True,
    default=["public"],
    show_default=True,
    help="Where the tables lie that statements name without a schema; may be given again.",
)
@json_option
def roles(
    config: Path,
    name: str,
    reading_role: str | None,
    fixing_role: str | None,
    schemas: Sequence[str],
    as_json: bool,
) -> None:
    """Print the SQL for the roles of a target, as the loaded rules need them; asks no target."""
    settings = read_settings(config)
    target = settings.targets.get(name)
    if target is None:
        raise Refusal(f"there is no target {name}; there are {', '.join(settings.targets)}")
    try:
        catalogue = load_catalogue(settings)
    except RunbookWrong as wrong:
        raise Refusal("the runbook cannot be loaded:\n  " + "\n  ".join(wrong.mistakes)) from None
    wanted = [(_named(target, "reading", reading_role), needs_for(target, Role.READING, catalogue))]
    if fixing_role or target.writing is not None:
        fixing = needs_for(target, Role.FIXING, catalogue)
        wanted.append((_named(target, "writing", fixing_role), fixing))
    if len({role for role, _ in wanted}) < len(wanted):
        raise Refusal(f"{name}: reading and fixing must be two roles: --fixing-role NAME")
    if as_json:
        print_json({"target": name, "roles": [_described(*each) for each in wanted]})
    else:
        click.echo(script(name, wanted, schemas), nl=False)


def needs_for(
    target: Target, role: Role, catalogue: Catalogue, at_most: int | None = None
) -> Needs:
    """What the rules of this kind of target need, or the first ones of them."""
    rules = [each for each in catalogue.rules.values() if each.rule.target == target.kind]
    return needs_of(role, rules[:at_most])


def rights_of(
    settings: Settings, catalogue: Catalogue, database: str | None = None
) -> Iterator[Rights]:
    """What each role of each target can do, all asked at once; who is late did not answer.

    database: ours, where a connection takes its place among the others.
    """
    needs = [(target, needs_for(target, role, catalogue)) for target, role in _logins(settings)]
    yield from _asked(needs, database)


def too_much(settings: Settings, catalogue: Catalogue, database: str) -> Iterator[str]:
    """What roles can do that nothing needs. Which grants statements need is slow to find out, so
    ever more of a large runbook is read only while a role still seems to have too much.
    """
    suspects = list(_logins(settings))
    for at_most in (0, *_PORTIONS, None):
        needs = [(each, needs_for(each, role, catalogue, at_most)) for each, role in suspects]
        rights = [each for each in _asked(needs, database) if each.excess]
        suspects = [(settings.targets[each.target], each.kind) for each in rights]
    for each in rights:
        yield from excesses(each)


def _logins(settings: Settings) -> Iterator[tuple[Target, Role]]:
    for target in settings.targets.values():
        for role in Role:
            if role == Role.READING or target.writing is not None:
                yield target, role


def _asked(wanted: Sequence[tuple[Target, Needs]], database: str | None) -> Iterator[Rights]:
    slots = Slots(database) if database else None
    pool = ThreadPoolExecutor(max(1, len(wanted)))
    asked = {
        pool.submit(_ask, target, needs, slots): (target, needs.role) for target, needs in wanted
    }
    done, _ = wait(asked, _PATIENCE)
    for future, (target, role) in asked.items():
        late = Rights(target.name, role, error=Error(ErrorKind.TIMEOUT, "", "no answer in time"))
        yield future.result() if future in done else late
    pool.shutdown(wait=False, cancel_futures=True)
    if slots is not None:
        slots.close()


def excesses(rights: Rights) -> Iterator[str]:
    """What the role can do and nothing needs, each with what to do about it."""
    key = "reading" if rights.kind == Role.READING else "writing"
    for excess in rights.excess:
        yield seen(
            f"targets.{rights.target}.{key}: role {rights.role} has {excess.what}, which no rule"
            f" needs: {excess.cure}; see responder roles --target {rights.target}, or accept it in"
            f" targets.{rights.target}.accepts"
        )


def lacks(rights: Rights) -> Iterator[str]:
    """What the role needs and has not."""
    key = "reading" if rights.kind == Role.READING else "writing"
    for what in rights.missing:
        yield seen(
            f"targets.{rights.target}.{key}: role {rights.role} lacks {what}; run what responder"
            f" roles --target {rights.target} prints"
        )


def _ask(target: Target, needs: Needs, slots: Slots | None) -> Rights:
    try:
        slot: AbstractContextManager[bool] = nullcontext(True)
        if slots is not None and needs.role == Role.READING:
            slot = slots.reading(target.name, False, _SLOT_SECONDS)
        elif slots is not None:
            slot = slots.writing(target.name, _SLOT_SECONDS)
        with slot as got:
            if not got:
                busy = "all the connections that it grants us are in use"
                return Rights(target.name, needs.role, not_asked=busy)
            return ask_rights(target, needs, datetime.now(UTC))
    except StoreAway:
        return Rights(target.name, needs.role, not_asked="our database went away")


def _named(target: Target, key: str, given: str | None) -> str:
    """The role's name: as it was given, else from the URL."""
    login: Secret | None = getattr(target, key)
    option = "--reading-role" if key == "reading" else "--fixing-role"
    try:
        name = given or (login_name(login.value()) if login else "")
    except SecretMissing as missing:
        raise Refusal(f"targets.{target.name}.{key}: {missing}; or say {option} NAME") from None
    if not name or "\0" in name:
        raise Refusal(f"targets.{target.name}.{key} names no role: say {option} NAME")
    return name


def _described(name: str, needs: Needs) -> dict[str, object]:
    def plain(grants: Sequence[Grant]) -> list[dict[str, object]]:
        return [{**asdict(grant), "on": str(grant.on)} for grant in grants]

    return {
        "kind": needs.role,
        "name": name,
        "tables": plain(needs.tables),
        "functions": plain(needs.functions),
        "views": plain(needs.views),
        "unread": needs.unread,
    }
