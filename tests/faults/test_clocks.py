"""The clock of a host is an hour ahead, then an hour behind, while alerts come in.

What is due, late or over is told by our database's clock alone.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.load import under_load
from tests.faults.long import alone
from tests.faults.network import Ground, Host

pytestmark = alone

SEED = int(os.environ.get("TORTURE_SEED", "7"))
RULES = 14
#: How long each lasts.
LASTS = 60.0 if "TORTURE" in os.environ else 8.0
SOURCE = Path(__file__).with_name("stepped_clock.c")


def odd_host(folder: Path) -> tuple[Host, Path]:
    """A host whose processes' time of day is off by the seconds that stand in the file."""
    compiler = shutil.which("cc") or shutil.which("tcc")
    if compiler is None:
        pytest.skip("it needs a C compiler (Debian: tcc)")
    library, clock = folder / "stepped_clock.so", folder / "seconds"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, SOURCE], check=True)
    clock.write_text("0")
    return Host("odd", environment={"LD_PRELOAD": str(library), "STEPPED_CLOCK": str(clock)}), clock


def test_a_clock_steps_by_an_hour(tmp_path: Path, told: Callable[[str], None]) -> None:
    (odd, clock), here = odd_host(tmp_path), Host("here")
    with under_load(SEED, RULES, ground=Ground([odd, here, odd, here, here])) as load:
        for step in (3600, -3600, 0):
            clock.write_text(str(step))
            load.senders.also(load.traffic.fault())
            time.sleep(LASTS)
            log = load.site.workers[0].log.read_text().splitlines()
            told(f"{step:+} s: the worker there wrote {json.loads(log[-1])['timestamp']}")
        load.settle(told)
        (row,) = load.site.sql("SELECT count(*) AS n FROM fix WHERE status = 'committed'")
        assert row["n"], "nothing was fixed, so nothing is proven"
