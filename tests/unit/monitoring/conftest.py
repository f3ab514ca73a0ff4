"""A real catalogue, with a clock that stands still."""

import pytest

from tests.support.holdings import Hands
from vault.catalog import Catalogue


@pytest.fixture
def hands():
    return Hands()


@pytest.fixture
def catalogue(tmp_path, hands):
    found = Catalogue.open(f"sqlite:///{tmp_path}/catalog.db", hands)
    found.migrate()
    yield found
    found.close()
