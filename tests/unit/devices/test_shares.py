"""File systems asked from a child that may hang."""

import os
import sys
import time

import pytest

from hardware.shares import Prober, ShareState, _share

SLEEPS = (sys.executable, "-c", "import time; time.sleep(600)")


def test_a_file_system_tells_how_it_is(tmp_path):
    share = Prober().probe(str(tmp_path))
    facts = os.statvfs(tmp_path)
    assert share.state in (ShareState.WELL, ShareState.SLOW)
    assert share.size == facts.f_blocks * facts.f_frsize
    assert share.mount is not None
    assert share.took is not None


def test_what_is_not_there_is_unreachable_and_nothing_else(tmp_path):
    share = Prober().probe(str(tmp_path / "gone"))
    assert (share.state, share.size, share.free_files) == (ShareState.UNREACHABLE, None, None)


def test_a_child_that_hangs_is_given_up_in_time(tmp_path):
    began = time.monotonic()
    assert Prober(0.5, SLEEPS).probe(str(tmp_path)).state is ShareState.HUNG
    assert time.monotonic() - began < 10


def test_where_one_hangs_no_other_is_sent(tmp_path):
    class Hanging:
        def __init__(self):
            self.over = False

        def poll(self):
            return 0 if self.over else None

    prober, child = Prober(), Hanging()
    prober._hanging[str(tmp_path)] = child
    assert prober.probe(str(tmp_path)).state is ShareState.HUNG
    child.over = True
    assert prober.probe(str(tmp_path)).state is not ShareState.HUNG
    assert prober._hanging == {}


@pytest.mark.parametrize(
    ("output", "state"),
    [
        (b'{"errno": 116}', "stale"),
        (b'{"errno": 5}', "unreachable"),
        (b'{"size": 10, "free": 5, "files": 0, "free_files": 0, "read_only": 1, "took_us": 3}', "read-only"),
        (b'{"size": 10, "free": 5, "files": 0, "free_files": 0, "read_only": 0, "took_us": 9000000}', "slow"),
        (b"", "unknown"),
        (b"[]", "unknown"),
        (b'{"size": -1}', "unknown"),
        (b'{"size": "10"}', "unknown"),
    ],
)
def test_what_a_child_says_is_looked_at(output, state):
    assert _share("/srv/a", None, output).state == state


def test_a_file_system_that_makes_files_as_it_needs_them_has_no_number_of_them():
    share = _share("/srv/a", None, b'{"size": 10, "free": 5, "files": 0, "free_files": 0, "took_us": 3}')
    assert (share.files, share.free_files) == (None, None)
