"""What every test has: Hypothesis without a stopwatch, for a busy machine is no defect; and a Ctrl-C that counts."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings

from tests.support.patience import PATIENCE

if TYPE_CHECKING:
    from tests.support.postgres import PostgresServer

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


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server that the tests of one process share; whoever stops it starts it again."""
    # Most processes that run tests never ask for it, and its driver takes a while to load.
    from tests.support.postgres import PostgresServer

    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def new_database(postgres: PostgresServer) -> Iterator[Callable[[], str]]:
    """Makes one in which there is no schema yet, and tells where it is."""
    made: list[str] = []

    def make() -> str:
        made.append(f"empty_{uuid4().hex}")
        return postgres.create_database(made[-1])

    yield make
    for name in made:
        postgres.drop_database(name)


@pytest.fixture
def empty_database(new_database: Callable[[], str]) -> str:
    """Where there is no schema yet."""
    return new_database()
