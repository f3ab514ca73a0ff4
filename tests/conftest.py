"""What every test has: Hypothesis without a stopwatch, for a busy machine is no defect; and a Ctrl-C that counts."""

from __future__ import annotations

import signal

import pytest
from hypothesis import HealthCheck, settings

from tests.support.patience import PATIENCE

settings.register_profile("khoso", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("khoso")

# A shell starts what it puts into the background with Ctrl-C ignored, and every program of a test would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test has as much more time as its waits have."""
    usual = float(config.getini("timeout"))
    for item in items:
        marker = item.get_closest_marker("timeout")
        seconds = float(marker.args[0]) if marker else usual
        item.add_marker(pytest.mark.timeout(seconds * PATIENCE), append=False)
