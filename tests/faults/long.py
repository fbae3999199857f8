"""What takes minutes, so that CI leaves it to `make torture`."""

import os

import pytest

only_in_torture = pytest.mark.skipif(
    "TORTURE" not in os.environ, reason="takes minutes and wants the machine alone: make torture"
)
