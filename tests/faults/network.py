"""Hosts that are network namespaces on one bridge, whose packets can be lost in silence.

The bridge stands in a namespace of its own, which the calling thread enters: what it starts from
then on lives there, and the machine's own network is never touched. All of it ends with us.
"""

import ctypes
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from responder.embedded import LocalPostgres, tied

_NETWORK = "10.213.0"
_CLONE_NEWNET = 0x40000000
#: Addresses of the hub: whoever asks and looks, and what the hosts talk to.
SENDERS, OURS, TARGET, RECEIVER = (f"{_NETWORK}.{number}" for number in (1, 10, 20, 30))
_CUTS = """
table inet cuts {
    set gone { type ipv4_addr; }
    chain leaving { type filter hook output priority 0; ip daddr @gone drop; }
    chain coming { type filter hook input priority 0; ip saddr @gone drop; }
}
"""
_PROGRAMS = ("ip", "nft", "unshare", "nsenter")


class NotPermitted(Exception):
    """This machine gives us no namespaces; the message says what they need."""


@dataclass
class Host:
    """Where processes of ours run; the machine itself, if nothing else is said."""

    name: str
    address: str = "127.0.0.1"
    environment: Mapping[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()

    @property
    def is_here(self) -> bool:
        return not (self.prefix or self.environment)

    def cut(self, *addresses: str) -> None:
        """No packet comes or goes any more, and nobody is told so."""
        told = ", ".join(addresses)
        _run(*self.prefix, "nft", "add", "element", "inet", "cuts", "gone", "{", told, "}")

    def heal(self) -> None:
        _run(*self.prefix, "nft", "flush", "set", "inet", "cuts", "gone")

    def unplug(self) -> None:
        """The cable is out: the host itself sees that."""
        _run(*self.prefix, "ip", "link", "set", "eth0", "down")

    def plug(self) -> None:
        _run(*self.prefix, "ip", "link", "set", "eth0", "up")


@dataclass(frozen=True)
class Ground:
    """Hosts for web processes, then for workers, and where what they talk to listens.

    target: empty for the target's own socket, which every host of this machine reaches.
    """

    hosts: Sequence[Host]
    target: str = ""
    pager: str = "127.0.0.1"


def let_in(server: LocalPostgres, address: str, database: str, role: str = "postgres") -> str:
    """The URL by which hosts reach a database of a server that listens on this address."""
    with psycopg.connect(server.url(), autocommit=True) as connection:
        (path,) = connection.execute("SHOW hba_file").fetchone() or ("",)
        rule = "host all all samenet trust\n"
        if rule not in (written := Path(path).read_text()):
            Path(path).write_text(rule + written)
            connection.execute("SELECT pg_reload_conf()")
        (port,) = connection.execute("SHOW port").fetchone() or (0,)
    return f"postgresql://{role}@{address}:{port}/{database}?sslmode=disable&gssencmode=disable"


@contextmanager
def network(*names: str) -> Iterator[dict[str, Host]]:
    """A host for each name; we ourselves are in the hub. NotPermitted."""
    missing = [each for each in _PROGRAMS if shutil.which(each) is None]
    if missing:
        raise NotPermitted(f"it needs {', '.join(missing)} (Debian: iproute2, nftables)")
    with ExitStack() as stack:
        try:
            hub = _namespace(stack)
            stack.enter_context(_inside(hub))
            _run("ip", "link", "set", "lo", "up")
            _run("ip", "link", "add", "hub", "type", "bridge")
            for address in (SENDERS, OURS, TARGET, RECEIVER):
                _run("ip", "address", "add", f"{address}/24", "dev", "hub")
            _run("ip", "link", "set", "hub", "up")
            hosts = {
                name: _host(stack, name, f"{_NETWORK}.{101 + number}")
                for number, name in enumerate(names)
            }
        except subprocess.CalledProcessError as error:
            said = (error.stderr or "").strip().splitlines()[-1:]
            needs = "it needs network namespaces (root, CAP_SYS_ADMIN and CAP_NET_ADMIN)"
            raise NotPermitted(f"{needs}: {error.cmd[0]}: {' '.join(said)}") from None
        yield hosts


def _host(stack: ExitStack, name: str, address: str) -> Host:
    process = _namespace(stack)
    host = Host(name, address, prefix=("nsenter", f"--net=/proc/{process}/ns/net"))
    wire = f"to-{address.rpartition('.')[2]}"
    _run(
        *("ip", "link", "add", wire, "type", "veth", "peer", "name", "eth0", "netns"), f"{process}"
    )
    _run("ip", "link", "set", wire, "master", "hub", "up")
    _run(*host.prefix, "ip", "link", "set", "lo", "up")
    _run(*host.prefix, "ip", "address", "add", f"{address}/24", "dev", "eth0")
    host.plug()
    _run(*host.prefix, "nft", "-f", "-", told=_CUTS)
    return host


def _namespace(stack: ExitStack) -> int:
    """A process in a new one, which lasts as long as that."""
    unshare, sleep = shutil.which("unshare"), shutil.which("sleep")
    assert unshare and sleep
    ours = os.readlink("/proc/thread-self/ns/net")
    process = subprocess.Popen(tied(unshare, "--net", sleep, "infinity"), stderr=subprocess.PIPE)
    assert process.stderr is not None
    stack.callback(process.stderr.close)
    stack.callback(process.wait)
    stack.callback(process.kill)
    deadline = time.monotonic() + 10
    while _link(process.pid) in (ours, ""):
        if process.poll() is not None or time.monotonic() > deadline:
            said = process.stderr.read().decode() if process.poll() is not None else "no answer"
            raise subprocess.CalledProcessError(1, ["unshare"], stderr=said)
        time.sleep(0.01)
    return process.pid


def _link(process: int) -> str:
    try:
        return os.readlink(f"/proc/{process}/ns/net")
    except OSError:
        return ""


@contextmanager
def _inside(process: int) -> Iterator[None]:
    """This thread, and what it starts, in the namespace of a process."""
    ours = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    theirs = os.open(f"/proc/{process}/ns/net", os.O_RDONLY)
    try:
        _enter(theirs)
        yield
    finally:
        _enter(ours)
        os.close(ours)
        os.close(theirs)


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _CLONE_NEWNET) != 0:
        why = os.strerror(ctypes.get_errno())
        raise subprocess.CalledProcessError(1, ["setns"], stderr=why)


def _run(*command: str, told: str = "") -> None:
    subprocess.run(command, input=told, text=True, capture_output=True, check=True)
