"""Where it was measured, and with which versions; nothing that names the machine or its owner."""

import os
import platform
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from statistics import median

from responder.embedded import _installed

_PACKAGES = ("flask", "werkzeug", "gunicorn", "psycopg", "procrastinate")
_ALERTA = Path(__file__).parent.parent / "requirements" / "alerta.lock"


def machine() -> dict[str, str]:
    """What decides the numbers: processor, memory, disk, kernel."""
    slow, usual = _flushed()
    return {
        "processor": f"{os.cpu_count()} cores of {_processor()}",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GB",
        "kernel": f"{platform.system()} {platform.release().partition('-')[0]}",
        "disk": f"fdatasync of 8 kB: {usual:.0f} us, p99 {slow:.0f} us",
    }


def versions() -> dict[str, str]:
    """Of all that takes part."""
    postgres = _said(str(_installed() / "postgres"))
    manager = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    alerta = re.search(r"^alerta-server==(\S+)", _ALERTA.read_text(), re.M)
    return {
        "Python": platform.python_version(),
        "PostgreSQL": postgres,
        **{name: version(name) for name in _PACKAGES},
        "alerta": alerta[1] if alerta else "not to be had",
        "Alertmanager": _said(manager) if manager else "not to be had",
    }


def _said(program: str) -> str:
    """The number in what it says of its version."""
    done = subprocess.run([program, "--version"], capture_output=True, text=True)
    found = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
    return found[0] if found else "unknown"


def _processor() -> str:
    names: Mapping[str, str] = dict(
        (part.strip() for part in line.split(":", 1))  # type: ignore[misc]
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if ":" in line
    )
    return names.get("model name", platform.machine())


def _flushed() -> tuple[float, float]:
    """Microseconds until 8 kB are on the disk on which the servers keep their data: p99 and p50."""
    taken = []
    with tempfile.NamedTemporaryFile() as file:
        for _ in range(300):
            file.write(b"x" * 8192)
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append((time.perf_counter() - began) * 1e6)
    return sorted(taken)[int(len(taken) * 0.99)], median(taken)
