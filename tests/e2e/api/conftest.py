"""A node that serves, once for each module of tests."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.support.serving import Running, served


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with served(tmp_path_factory.mktemp("node")) as found:
        yield found


@pytest.fixture
def depositor(running: Running) -> Iterator[httpx.Client]:
    with running.client("deposit", "read") as client:
        yield client


@pytest.fixture
def everyone(running: Running) -> Iterator[httpx.Client]:
    with running.client("deposit", "read", "operate", "approve", "audit") as client:
        yield client
