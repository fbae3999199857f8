"""What the doctor sees, on real databases, one fault after the other."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from threading import Thread

import click
import pytest
from click.testing import CliRunner, Result
from werkzeug.serving import make_server

from responder.cli import main
from responder.cli.doctor.ours import way
from responder.cli.doctor.sign import ago, quoted, some
from responder.domain.actor import Actor, ActorKind
from responder.domain.secret import Secret
from responder.domain.settings import Item, SealSettings
from responder.pipeline.audit.copies import copy_seals
from responder.pipeline.audit.sealing import seal_events
from responder.pipeline.maintenance import Window, end_window, open_window
from responder.pipeline.retention import retain
from responder.receivers import Undelivered
from responder.store.slots import READING_SLOTS
from responder.web import create_app
from tests.house import House, alert
from tests.provider import Provider

SETTINGS = """
database = "env:CLI_DATABASE"
token_keys = "file:{folder}/keys.json"
public_url = "{url}"

[vault]
keys = "env:TEST_VAULT"

[sources.prometheus]
type = "alertmanager"
bearer = "env:TEST_TOKEN"

[sources.silent]
type = "alertmanager"
bearer = "env:TEST_TOKEN"

[targets.shop_eu]
kind = "shop"
matches = ['env="production"']
reading = "env:TEST_READING"
writing = "env:TEST_WRITING"

[receivers.pager]
type = "pagerduty"
routing_key = "env:TEST_TOKEN"

[receivers.hook]
type = "webhook"
url = "https://example.com"
secret = "env:TEST_HOOK"
"""
Doctor = Callable[..., Result]
Signs = Callable[[], Mapping[str, tuple[str, str, str]]]


@pytest.fixture
def door(house: House) -> Iterator[str]:
    """The web door on a socket."""
    server = make_server("127.0.0.1", 0, create_app(house.services), threaded=True)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def doctor(house: House, tmp_path: Path, door: str, monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """Runs it with settings for the house's own databases."""
    monkeypatch.setenv("CLI_DATABASE", house.services.store.url)
    monkeypatch.setenv("TEST_HOOK", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    config = tmp_path / "responder.toml"
    config.write_text(SETTINGS.format(folder=tmp_path, url=door))
    monkeypatch.setenv("RESPONDER_CONFIG", str(config))
    made = CliRunner().invoke(main, ["token", "keys", "--out", str(tmp_path / "keys.json")])
    assert made.exit_code == 0, made.output
    return lambda *arguments: CliRunner().invoke(main, ["doctor", *arguments])


@pytest.fixture
def signs(doctor: Doctor) -> Signs:
    """By what was looked at: status, what is said, what to do; the last one where there are two."""

    def seen() -> Mapping[str, tuple[str, str, str]]:
        answer = doctor("--json")
        told = json.loads(answer.stdout)
        statuses = [sign["status"] for sign in told["signs"]]
        assert (told["ok"], answer.exit_code) == ("bad" not in statuses, int("bad" in statuses))
        assert all((sign["status"] == "ok") == (sign["do"] == "") for sign in told["signs"])
        return {sign["what"]: (sign["status"], sign["says"], sign["do"]) for sign in told["signs"]}

    return seen


def worker(house: House) -> None:
    """Signs of life of one `responder work`."""
    for _ in range(2):
        house.sql("INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now()) RETURNING id")


def test_a_house_in_order(house: House, signs: Signs) -> None:
    worker(house)
    house.post(alert("ShopifyQueueStuck", severity="warning"))
    house.settle()
    seen = signs()
    fine = {what for what, (status, _, _) in seen.items() if status == "ok"}
    wrong = {"source silent", "dead man", "seals", "target shop_eu"}
    assert seen.keys() - fine - {"database"} == wrong  # whose answer may be slow here
    assert fine >= {"settings", "secrets", "runbook", "keys", "web", "clock", "server"}
    assert seen["way"][1] == "our database is on this host"
    assert fine >= {"partitions", "ledger", "triage", "workers", "jobs", "pages", "autofix"}
    assert "maintenance" in fine
    assert seen["source silent"][:2] == ("warn", "was never heard of")
    assert seen["dead man"][0] == "warn"
    # Here both are databases of one server; in production that must not be.
    assert "the server of our own database" in seen["target shop_eu"][1]


@pytest.mark.parametrize(("encrypted", "status"), [(None, "ok"), (True, "ok"), (False, "warn")])
def test_who_could_listen_on_the_way(encrypted: bool | None, status: str) -> None:
    assert way(encrypted).status == status


def test_it_reads_like_a_list_without_colours_in_a_file(doctor: Doctor) -> None:
    answer = doctor()
    assert answer.exit_code == 1
    assert "\x1b" not in answer.output
    lines = answer.output.splitlines()
    (workers,) = [line for line in lines if "workers" in line]
    assert workers.startswith("bad   workers")
    assert workers.endswith("  -> start one: responder work")
    assert lines[-1].startswith("2 bad, ")


def test_it_has_colours_on_a_terminal(doctor: Doctor) -> None:
    answer = CliRunner().invoke(main, ["doctor"], color=True)
    assert click.style("bad ", fg="red", bold=True) in answer.output


def test_our_database_is_away(signs: Signs, monkeypatch: pytest.MonkeyPatch, house: House) -> None:
    monkeypatch.setenv("CLI_DATABASE", "postgresql://ann:hunter2@127.0.0.1:1/nowhere")
    seen = signs()
    assert seen["database"] == (
        "bad",
        "cannot be reached: Connection refused; senders get 503",
        "bring it up; what was accepted is in it",
    )
    assert "hunter2" not in str(seen)
    assert seen["keys"][0] == seen["web"][0] == seen["target shop_eu"][0] == "ok"
    assert "workers" not in seen


def test_our_database_was_never_migrated(
    signs: Signs, monkeypatch: pytest.MonkeyPatch, empty_database: str
) -> None:
    monkeypatch.setenv("CLI_DATABASE", empty_database)
    status, says, do = signs()["database"]
    assert (status, do) == ("bad", "run: responder migrate")
    assert "0001_responder" in says


def test_settings_that_cannot_be_used(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "responder.toml").write_text("colour = 1\n[sources.a]\ntype = 'b'\n")
    answer = doctor()
    assert answer.exit_code == 1
    assert answer.output.count("bad   settings") == 2
    (tmp_path / "responder.toml").unlink()
    assert "there is no such file" in doctor().output


def test_secrets_and_keys(signs: Signs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keys.json").chmod(0o644)
    monkeypatch.delenv("TEST_HOOK")
    seen = signs()
    told = "receivers.hook.secret: the environment variable TEST_HOOK is not set"
    assert seen["secrets"][:2] == ("bad", told)
    assert seen["keys"][0] == "ok"  # and, before it, the warning
    (tmp_path / "keys.json").write_text("{}")
    assert seen["keys"][1] == "1 key for tokens"
    assert signs()["keys"][:2][0] == "bad"


def test_keys_that_others_can_read(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "keys.json").chmod(0o640)
    assert f"keys.json can be read by others: 0640  -> chmod 600 {tmp_path}" in doctor().output


def test_nobody_is_at_the_door(signs: Signs, tmp_path: Path, door: str) -> None:
    config = tmp_path / "responder.toml"
    config.write_text(config.read_text().replace(door, "http://127.0.0.1:1"))
    status, says, do = signs()["web"]
    assert (status, says) == ("bad", "http://127.0.0.1:1/readyz cannot be asked: ConnectionError")
    assert "responder serve" in do
    config.write_text(config.read_text().replace("http://127.0.0.1:1", f"{door}/elsewhere"))
    assert signs()["web"][1].endswith(", with 404")


def test_a_reading_login_that_can_write(
    house: House, signs: Signs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_READING", house.shop.url("responder_writing"))
    status, says, do = signs()["target shop_eu"]
    prints = "run what this prints: responder roles --target shop_eu"
    assert (status, do) == ("bad", prints)
    assert says.startswith("its role responder_writing has DELETE on system_logs and ")
    assert says.endswith(" more, which no rule needs")
    monkeypatch.setenv("TEST_READING", house.shop.url("postgres"))
    says = signs()["target shop_eu"][1]
    assert says == "its role postgres has SUPERUSER, which no rule needs"


def test_a_column_that_can_be_written_is_enough(house: House, signs: Signs) -> None:
    house.shop.run('CREATE TABLE "odd\'name" (a int, b int)')
    house.shop.run('GRANT UPDATE (b) ON "odd\'name" TO responder_reading')
    says = signs()["target shop_eu"][1]
    assert 'role responder_reading has UPDATE (b) on "odd\'name", which no rule needs' in says


def test_the_fixing_role_is_looked_at_too(house: House, signs: Signs) -> None:
    assert signs()["fixes on shop_eu"][0] == "ok"
    house.shop.run("REVOKE DELETE ON system_logs FROM responder_writing")
    status, says, _ = signs()["fixes on shop_eu"]
    assert (status, says) == ("bad", "its role responder_writing lacks DELETE on system_logs")


@pytest.mark.parametrize(
    ("url", "said", "do"),
    [
        ("postgresql://127.0.0.1:1/shop", "refused: Connection refused", "look at the target"),
        ("postgresql://ann:hunter2@h:port/shop", "is not one of PostgreSQL", "targets.shop_eu.rea"),
    ],
)
def test_a_target_that_cannot_be_asked(
    signs: Signs, monkeypatch: pytest.MonkeyPatch, url: str, said: str, do: str
) -> None:
    monkeypatch.setenv("TEST_READING", url)
    sign = signs()["target shop_eu"]
    assert sign[0] == "bad"
    assert said in sign[1] and do in sign[2]
    assert "hunter2" not in str(sign)


def test_all_connections_to_a_target_are_in_use(house: House, signs: Signs) -> None:
    with ExitStack() as held:
        for _ in range(READING_SLOTS):
            held.enter_context(house.services.slots.reading("shop_eu", True, 1))
        assert signs()["target shop_eu"][0] == "warn"


def test_what_is_lost_and_what_waits(house: House, signs: Signs) -> None:
    house.post(alert("Something"), alert("Else"))
    house.settle()
    house.sql("DELETE FROM alert WHERE name = 'Else' RETURNING id")
    house.sql("DELETE FROM timer RETURNING what")
    seen = signs()
    told = "1 alerts without exactly one outcome, 2 incidents without a next step"
    assert seen["ledger"][:2] == ("bad", told)

    house.post(alert("ShopifyQueueStuck"))
    house.run_triage()  # its walk is a job
    house.post(alert("Third"))
    house.sql("UPDATE delivery SET received_at = received_at - interval '30 s' RETURNING id")
    house.sql("UPDATE procrastinate_events SET at = at - interval '10 min' RETURNING id")
    seen = signs()
    state, told = seen["triage"][:2]
    assert (state, re.sub(r"3\d s", "30 s", told)) == ("warn", "1 waiting, the oldest for 30 s")
    assert seen["jobs"][:2] == ("bad", "the oldest waits for 10 min")


def test_jobs_that_failed(house: House, signs: Signs) -> None:
    house.post(alert("ShopifyQueueStuck"))
    house.run_triage()
    house.sql("UPDATE procrastinate_jobs SET status = 'doing' RETURNING id")
    house.sql("UPDATE procrastinate_jobs SET status = 'failed' RETURNING id")
    assert signs()["jobs"][:2] == ("warn", "1 failed in the last day")
    house.sql("UPDATE procrastinate_events SET at = at - interval '2 days' RETURNING id")
    assert signs()["jobs"][0] == "ok"


def test_pages_and_receivers(house: House, signs: Signs) -> None:
    house.pager.fails = Undelivered("503\x1b[31m\nof the pager", permanent=False)
    house.post(alert("CheckoutBroken", severity="critical"))
    house.settle()
    house.later(timedelta(seconds=2))
    house.watch()
    page = "UPDATE notification SET created_at = created_at - interval '5 min' WHERE page"
    house.sql(f"{page} RETURNING id")
    seen = signs()
    assert seen["pages"][:2] == ("bad", "1 should have left, the oldest 5 min ago")
    assert seen["receiver pager"][0] == "warn"
    assert seen["receiver pager"][1].endswith("in a row, the last: 503 [31m of the pager")
    house.sql(
        "UPDATE receiver SET failures = 5, open_until = now() + interval '1 min' RETURNING name"
    )
    assert seen.keys() >= {"receiver hook"}
    status, says, do = signs()["receiver pager"]
    assert (status, do) == ("bad", "mend it, then: responder notifications test pager")
    assert says.startswith("left alone after 5 failures in a row")
    house.sql("UPDATE receiver SET failures = 0, open_until = NULL RETURNING name")
    dead = "UPDATE notification SET status = 'dead', receiver = 'gone' WHERE NOT page RETURNING id"
    count = len(house.sql(dead))
    house.sql("UPDATE notification SET status = 'dead', error = 'no' WHERE page RETURNING id")
    seen = signs()
    assert seen["pages"][0] == "ok"
    assert seen["receiver pager"][:2] == ("warn", "1 message given up, the last: no")
    assert seen["receiver gone"][1].startswith(some(count, "message"))


def test_sources_that_are_not_heard_or_not_understood(house: House, signs: Signs) -> None:
    house.post(alert("Something"))
    assert signs()["source prometheus"][0] == "ok"
    house.sql("UPDATE delivery SET outcome = 'quarantined' RETURNING id")
    seen = signs()["source prometheus"]
    assert seen[:2] == ("warn", "could not be read 1 time in the last day")
    house.sql("UPDATE delivery SET received_at = received_at - interval '3 days' RETURNING id")
    assert signs()["source prometheus"][:2] == ("warn", "was last heard of 3 days ago")


def test_autofix_is_off(house: House, signs: Signs) -> None:
    house.sql(
        "UPDATE autofix SET enabled = false, reason = 'a\x1brelease', actor = 'kim',"
        " at = now() - interval '3 hours' RETURNING one"
    )
    seen = signs()["autofix"]
    assert seen[:2] == ("warn", "off for 3 h by kim: a release")
    assert "responder fixes start" in seen[2]


def test_a_maintenance_that_waits_for_people(house: House, signs: Signs) -> None:
    window = Window("a\x1brelease", (), duration=timedelta(hours=1), after=[Item("look")])
    window_id = open_window(house.services, window, Actor(ActorKind.PERSON, "kim"))
    assert signs()["maintenance a release"][:2] == ("ok", "is in force for 60 min more")
    end_window(house.services, window_id, Actor(ActorKind.PERSON, "kim"))
    status, says, do = signs()["maintenance a release"]
    assert (status, says) == ("warn", "is finishing: 1 item of its list afterwards not ticked")
    assert do == f"responder maintenance show {window_id}"
    house.sql("UPDATE maintenance_window SET state = 'in_force', name = 'gone' RETURNING id")
    assert signs()["maintenance gone"][:2] == (
        "warn",
        "is in_force, and the settings do not know it",
    )


def test_what_a_window_kept_back_is_not_taken_up(house: House, signs: Signs) -> None:
    house.sql(
        "INSERT INTO condition (source, fingerprint, last_seen, latest, firing, held_until)"
        " VALUES ('s', 'f', now(), '{}', true, now() - interval '2 min')"
    )
    assert signs()["maintenance"][:2] == (
        "bad",
        "1 condition should have been taken up after its end",
    )


def test_issuers(signs: Signs, tmp_path: Path) -> None:
    config = tmp_path / "responder.toml"
    with Provider() as provider:
        keys = f'type = "oidc"\nissuer = "{provider.url}"\naudience = "x"\nrole_claim = "/groups"'
        login = '[login]\nissuer = "company"\nclient_id = "x"'
        issuer = f'[issuers.company]\n{keys}\nroles = {{admin = ["x"]}}'
        config.write_text(f"{config.read_text()}\n{issuer}\n{login}\n")
        assert signs()["issuer company"][0] == "ok"
        provider.trouble["/jwks"] = (500, {}, b"")
        assert signs()["issuer company"][:2] == ("bad", "127.0.0.1: answered 500")
        provider.trouble.clear()
        config.write_text(config.read_text().replace(provider.url, f"{provider.url}/"))
        status, said, _ = signs()["issuer company"]
        assert (status, "names another issuer" in said) == ("bad", True)


def test_the_dead_man(house: House, signs: Signs, tmp_path: Path) -> None:
    config = tmp_path / "responder.toml"
    config.write_text(config.read_text() + '\n[dead_man]\nurl = "env:TEST_TOKEN"\nevery = "1m"\n')
    assert signs()["dead man"][:2] == ("warn", "was never told that all is well")
    house.sql("UPDATE housekeeping SET pinged_at = now() - interval '90 s' RETURNING one")
    state, told = signs()["dead man"][:2]
    assert (state, re.sub(r"9\d s", "90 s", told)) == ("ok", "was told 90 s ago that all is well")
    house.sql("UPDATE housekeeping SET pinged_at = now() - interval '10 min' RETURNING one")
    assert signs()["dead man"][:2] == ("bad", "was told 10 min ago that all is well")


def test_seals_and_their_copies(house: House, signs: Signs, tmp_path: Path) -> None:
    config, copy = tmp_path / "responder.toml", tmp_path / "away" / "seals.jsonl"
    assert signs()["seals"][1] == "nobody could prove that the audit was not changed"
    seal = SealSettings(Secret((f"file:{tmp_path / 'keys.json'}",)), (str(copy),))
    without = config.read_text()
    config.write_text(f'{without}\n[seal]\nkey = "file:{tmp_path / "keys.json"}"\n')
    assert signs()["seals"] == (
        "warn",
        "no copy outside: nobody would miss the newest of them",
        "configure copy_to in [seal]",
    )
    config.write_text(f'{config.read_text()}copy_to = ["{copy}"]\n')
    house.with_settings(seal=seal)
    house.post(alert("Anything"))
    house.run_triage()
    assert re.fullmatch(r"\d events? without a seal, .* \d+ s", signs()["seals"][1])
    house.sql("UPDATE unsealed SET queued_at = queued_at - interval '20 min'")
    assert signs()["seals"][0] == "bad"
    seal_events(house.services)
    copy_seals(house.services)
    seen = signs()
    assert seen["seals"][:2] == ("ok", "every event is sealed")
    status, said, _ = seen[f"seals at {copy}"]
    assert (status, said) == ("bad", "1 seal behind, 1 failure in a row: No such file or directory")
    copy.parent.mkdir()
    house.later(timedelta(seconds=11))
    copy_seals(house.services)
    assert signs()[f"seals at {copy}"][:2] == ("ok", "up to date")


def test_partitions_run_out(house: House, signs: Signs) -> None:
    tables = house.sql(
        "SELECT relname AS name FROM pg_class WHERE relname ~ '^delivery_\\d{8}$' ORDER BY relname"
    )
    for table in tables[2:]:
        house.sql(f"DROP TABLE responder.{table['name']}")
    status, says, _ = signs()["partitions"]
    assert status == "warn"
    assert says == "ready for 1 days of deliveries and 2 months of the rest"
    house.sql("UPDATE housekeeping SET tidied_at = now() RETURNING one")
    house.later(timedelta(days=5))
    house.post(alert("Something"))
    assert signs()["partitions"][:2] == ("warn", "rows lie in a default partition")


def test_what_should_be_gone_is_still_there(house: House, signs: Signs) -> None:
    said = "deliveries are kept for 30 days, all else for ever"
    assert signs()["retention"][:2] == ("ok", said)
    house.sql("SELECT make_partitions(now() - interval '50 days')")
    status, says, _ = signs()["retention"]
    assert (status, says[:36]) == ("warn", "8 partitions should be gone, the old")
    retain(house.services)
    assert signs()["retention"][:2] == ("ok", said)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (119.4, "119 s"),
        (120, "2 min"),
        (7199, "120 min"),
        (7200, "2 h"),
        (3e5, "3 days"),
    ],
)
def test_durations_as_people_say_them(seconds: float, said: str) -> None:
    assert ago(seconds) == said


def test_what_others_said_obeys_no_terminal() -> None:
    assert quoted("a\x1b]0;title\x07b\u2028\x9b2J\0 c" + "x" * 1000).isprintable()
