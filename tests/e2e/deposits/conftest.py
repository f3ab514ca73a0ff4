"""The nodes that deposits are tried on."""

import pytest

from tests.support.nodes import Bench


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """A node of the module's, with limits small enough to be met."""
    with Bench(
        tmp_path_factory.mktemp("node"),
        extra='[intake]\nmax_members = 2000\nmax_inflated_bytes = "64 MB"\nmax_package_bytes = "64 MB"\nmax_ratio = 50',
    ) as made:
        yield made


@pytest.fixture
def own(tmp_path):
    """A node of the test's own, for what others should not see."""
    with Bench(tmp_path) as made:
        yield made
