"""Where the first wrong byte stands."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from tests.support.faults import rewrite
from tests.support.nodes import Bench
from vault.custody.differing import first_difference
from vault.model import EventType, Outcome


def pieces(data, cuts):
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return (memoryview(data[a:b]) for a, b in itertools.pairwise(places) if a != b)


@given(st.binary(max_size=60), st.binary(max_size=60), st.lists(st.integers(0, 99)), st.lists(st.integers(0, 99)))
def test_it_is_found_however_the_streams_come(one, other, cuts, others):
    by_hand = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    expected = None if one == other else by_hand
    assert first_difference(pieces(one, cuts), pieces(other, others), lambda: False) == expected


def test_a_mismatch_says_where_it_begins_when_another_copy_is_at_hand(tmp_path):
    with Bench(tmp_path) as bench:
        body = bytes(range(256)) * 20_000
        bench.deposit("hồ sơ", body, filename="x")
        bench.settle()
        wrong = bytearray(body)
        wrong[3_000_007] ^= 1
        rewrite(bench.object_path("a", "hồ sơ") / "v1/content/x", bytes(wrong))
        bench.verify(volume="a")
        (told,) = bench.events(EventType.FIXITY_CHECK, volume="a", outcome=Outcome.FAILURE)
        (finding,) = told.detail["findings"]
        assert (finding["kind"], finding["offset"], finding["beside"]) == ("mismatch", 3_000_007, "b")
        bench.settle()
        # Cut short in both: there is nobody to ask.
        for volume in "ab":
            rewrite(bench.object_path(volume, "hồ sơ") / "v1/content/x", body[:-1])
        seq = bench.last_event()
        bench.verify(volume="a")
        bench.verify(volume="b")
        last = bench.events(EventType.FIXITY_CHECK, volume="b", outcome=Outcome.FAILURE, after=seq)[0]
        assert "offset" not in last.detail["findings"][0]
