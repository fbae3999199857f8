"""Tests that CI leaves to `make torture`, and those that it runs one by one."""

import os

import pytest

only_in_torture = pytest.mark.skipif(
    "TORTURE" not in os.environ, reason="takes minutes and wants the machine alone: make torture"
)
#: Beside other tests a page would be late, or a load too small, by their doing.
alone = pytest.mark.skipif(
    "PYTEST_XDIST_WORKER" in os.environ,
    reason="wants the machine alone: make test ARGS='-n 0 ...', as CI does, or make torture",
)
