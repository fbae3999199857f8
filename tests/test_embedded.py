"""The throw-away server is found, started, killed, recovered and cleaned up, as root or not."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from responder import embedded
from responder.embedded import LocalPostgres, PostgresNotFound, PostgresNotStarted


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose parents any account can reach; pytest's own are closed to the server's."""
    path = Path(tempfile.mkdtemp(prefix="pg-test-"))
    path.chmod(0o755)
    yield path / "server"
    shutil.rmtree(path)


def ask(url: str, statement: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(statement).fetchone()
    return row and row[0]


def test_shared_server_is_closed_to_others_and_listens_nowhere(cluster: LocalPostgres) -> None:
    assert cluster.socket_folder.stat().st_mode & 0o777 == 0o700
    assert ask(cluster.url(), "SHOW listen_addresses") == ""
    assert Path(f"/proc/{cluster.pid}").exists() or sys.platform != "linux"


def test_statistics_are_preloaded_where_they_were_built(cluster: LocalPostgres) -> None:
    known = "SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_stat_statements'"
    expected = "pg_stat_statements" if ask(cluster.url(), known) else ""
    assert ask(cluster.url(), "SHOW shared_preload_libraries") == expected


def test_settings_reach_the_server_and_its_folders_go_when_it_stops() -> None:
    with LocalPostgres(durable=False, settings={"work_mem": "1234kB"}) as server:
        assert ask(server.url(), "SHOW work_mem") == "1234kB"
        assert ask(server.url(), "SHOW fsync") == "off"
        pid = server.pid
    assert not server.socket_folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_tcp_wants_a_password() -> None:
    with LocalPostgres(durable=False, port=0) as server:
        assert ask(server.url(), "SELECT host(inet_server_addr())") == "127.0.0.1"
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(server.url(password="wrong"))
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute("CREATE ROLE visitor LOGIN PASSWORD 'p/@: '")
        assert ask(server.url(user="visitor", password="p/@: "), "SELECT 1") == 1


def test_durable_data_outlive_a_kill_a_stop_and_a_new_object(folder: Path) -> None:
    server = LocalPostgres(folder)
    with server:
        url = server.url()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        # A busy session holds the old server's memory for a while after the postmaster is gone.
        with closing(psycopg.connect(url, autocommit=True)) as connection:
            connection.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 10000000)")
            server.kill()
            server.start()
        assert server.url() == url
        assert ask(url, "SELECT answer FROM kept") == 42
    with LocalPostgres(folder) as again:
        assert ask(again.url(), "SELECT answer FROM kept") == 42


def test_stop_with_keep_is_a_pause() -> None:
    with LocalPostgres(durable=False) as server:
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        server.stop(keep=True)
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(server.url())
        server.start()
        assert ask(server.url(), "SELECT answer FROM kept") == 42


def test_two_servers_never_share_a_folder(folder: Path) -> None:
    with (
        LocalPostgres(folder, durable=False),
        pytest.raises(PostgresNotStarted, match="another process"),
    ):
        LocalPostgres(folder, durable=False).start()


def test_a_folder_with_other_things_is_left_alone(folder: Path) -> None:
    folder.mkdir()
    folder.joinpath("precious").touch()
    owner = folder.stat().st_uid
    server = LocalPostgres(folder, durable=False)
    with pytest.raises(PostgresNotStarted, match="name an empty folder"):
        server.start()
    assert folder.stat().st_uid == owner
    assert not server.socket_folder.exists()


def test_a_wrong_setting_is_told_with_the_end_of_the_log() -> None:
    server = LocalPostgres(durable=False, settings={"work_mem": "a lot"})
    with pytest.raises(PostgresNotStarted, match='invalid value for parameter "work_mem"'):
        server.start()
    assert not server.socket_folder.exists()


ORPHAN = """
import sys, time
from pathlib import Path
from responder.embedded import LocalPostgres
server = LocalPostgres(Path(sys.argv[1]), durable=False)
server.start()
print(server.pid, server.socket_folder, flush=True)
time.sleep(60)
"""


def test_a_killed_parent_leaves_no_server_in_the_way(folder: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", ORPHAN, str(folder)], stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        pid, socket_folder = parent.stdout.readline().split()
        parent.send_signal(signal.SIGKILL)
    try:
        if sys.platform == "linux":
            wait_until_gone(int(pid))
        with LocalPostgres(folder, durable=False) as server:
            assert ask(server.url(), "SELECT 1") == 1
    finally:
        shutil.rmtree(socket_folder)


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
    pytest.fail(f"process {pid} is still there")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server under another account")
def test_programs_out_of_the_accounts_reach_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = embedded._installed().parent
    closed = tmp_path / "closed" / here.parent.name
    shutil.copytree(here, closed / here.name, symlinks=True)
    libraries = here.parent.with_suffix(".libs")
    if libraries.is_dir():
        shutil.copytree(libraries, closed.with_suffix(".libs"))
    closed.parent.chmod(0o700)
    monkeypatch.setattr(embedded, "_places", lambda: iter([closed / here.name / "bin"]))
    with LocalPostgres(durable=False) as server:
        assert ask(server.url(), "SELECT 1") == 1
        assert server.socket_folder.joinpath("programs").exists()


def test_debians_programs_serve_where_the_wheel_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    try:
        embedded._installed()
    except PostgresNotFound:
        pytest.skip("no PostgreSQL is installed here besides the wheel's")
    with LocalPostgres(durable=False) as server:
        assert ask(server.url(), "SELECT 1") == 1


def test_without_any_programs_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(embedded, "_places", lambda: iter([tmp_path]))
    server = LocalPostgres()
    with pytest.raises(PostgresNotFound, match=r"pip install 'responder\[demo\]'"):
        server.start()
    assert not server.socket_folder.exists()
