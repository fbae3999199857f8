"""A streaming replica of a throw-away server, which can be stopped behind and promoted later."""

import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from responder.embedded import LocalPostgres

_PATIENCE = 60.0


class Replica:
    """Streams from its primary from `start` on, until it is stopped where it stands."""

    def __init__(self, primary: LocalPostgres, folder: Path) -> None:
        self._primary = primary
        self._data = folder / "data"
        self._sockets = Path("/tmp") / f"pg-{secrets.token_hex(8)}"
        self._programs, _ = primary._find_programs()
        self._process: subprocess.Popen[bytes] | None = None
        for path in (folder, self._sockets):
            path.mkdir(mode=0o700)
        primary._give(folder, self._sockets)
        copied = primary._run(
            self._programs / "pg_basebackup",
            *("-h", primary.socket_folder, "-U", "postgres", "-D", self._data),
            *("--write-recovery-conf", "--checkpoint=fast"),
        )
        assert copied.returncode == 0, copied.stdout

    def url(self, database: str, user: str = "postgres") -> str:
        return f"postgresql://{user}@/{database}?host={self._sockets}"

    def start(self) -> None:
        settings = {
            **self._primary._settings,
            "listen_addresses": "",
            "unix_socket_directories": str(self._sockets),
        }
        command = self._primary._as_server(
            *(self._programs / "postgres", "-D", self._data),
            *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
        )
        with (self._sockets.parent / f"{self._sockets.name}.log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/")
        self._until("SELECT true")

    def follow(self) -> None:
        """Returns when it has all that its primary has committed so far."""
        with psycopg.connect(self._primary.url()) as primary:
            row = primary.execute("SELECT pg_current_wal_flush_lsn()").fetchone()
        assert row is not None
        self._until("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", row[0])

    def stop(self) -> None:
        """What its primary does from here on, it never gets."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(_PATIENCE)

    def promote(self) -> None:
        """Its primary is gone; it becomes one, on a timeline of its own."""
        self._primary.kill()
        if self._process is None or self._process.poll() is not None:
            self.start()
        self._until("SELECT pg_promote(true, 60)")

    def either(self, database: str, user: str = "postgres") -> str:
        """The URL that leads to whichever of the two writes."""
        hosts = f"{self._primary.socket_folder},{self._sockets}"
        return f"postgresql://{user}@/{database}?host={hosts}&target_session_attrs=read-write"

    def go_deaf(self) -> None:
        """What its primary does from here on, it never gets, while it answers as before."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as asked:
            asked.execute("ALTER SYSTEM SET primary_conninfo = ''")
            asked.execute("SELECT pg_reload_conf()")
        self._until("SELECT NOT EXISTS (SELECT FROM pg_stat_wal_receiver)")

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for path in [*self._sockets.iterdir(), self._sockets.parent / f"{self._sockets.name}.log"]:
            path.unlink()
        self._sockets.rmdir()

    def _until(self, question: Any, *parameters: Any) -> None:
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            with suppress(psycopg.OperationalError), psycopg.connect(self.url("postgres")) as asked:
                row = asked.execute(question, parameters).fetchone()
                if row is not None and row[0]:
                    return
            time.sleep(0.02)
        raise AssertionError(f"never: {question}")


@contextmanager
def replica_of(primary: LocalPostgres, folder: Path) -> Iterator[Replica]:
    """A replica that streams."""
    replica = Replica(primary, folder)
    try:
        replica.start()
        yield replica
    finally:
        replica.close()
