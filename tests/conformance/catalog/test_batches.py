"""Batches: the list, what came, and what follows from both."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.holdings import add_version, tell
from vault.catalog import Catalogue, batches, ingests, packages
from vault.catalog.batches import Batch, Counts, ItemState, ListedPackage, Show
from vault.errors import Conflict, NotFound
from vault.model import EventType

NAMES = ("Đ-1", "a", "b", "c")
LISTED = [ListedPackage(name, {"sha256": "0" * 64}, 2, 100 + n) for n, name in enumerate(NAMES)]


def opened(catalogue: Catalogue, batch_id: str = "b1", **facts) -> Batch:
    with catalogue.write() as tx:
        batch = Batch(
            id=batch_id, agent="token:t", registration_code=batch_id, delivery_number="1", agency="H49",
            agency_name="Sở", list_digest="f" * 64, listed=len(LISTED), listed_files=8, listed_bytes=406,
            opened_at=tx.now, closed_at=None, receipt=None,
        )  # fmt: skip
        batch = replace(batch, **facts)
        batches.create(tx, batch, LISTED)
        tell(tx, EventType.BATCH_OPENED)
    return batch


def bring(catalogue: Catalogue, name: str, *differences: str, receipt: bool = False, enter: bool = True) -> None:
    """Take a package of batch b1 through the steps of a deposit."""
    with catalogue.write() as tx:
        ingests.begin(tx, f"i-{name}", name, "token:t")
        batches.place(tx, "b1", name, ingest_id=f"i-{name}", files=3, bytes=7, differences=differences)
        ingests.prepare(tx, f"i-{name}", volume="a", version=1, prepared={})
    if not enter:
        return
    with catalogue.write() as tx:
        version = add_version(tx, name, ingest_id=f"i-{name}")
        batches.entered(tx, "b1", name, f"i-{name}", 1)
        ingests.store(tx, f"i-{name}")
        tell(tx)
        if receipt:
            packages.set_receipt(tx, version.id, {"x": 1})
            tell(tx, EventType.RECEIPT)


def named(catalogue: Catalogue, show: Show) -> list[str]:
    with catalogue.read() as tx:
        return [item.identifier for item in batches.all_items(tx, "b1", show)]


def test_a_batch_comes_back_as_it_was_opened(catalogue, clock):
    made = opened(catalogue)
    with catalogue.read() as tx:
        assert batches.get(tx, "b1") == batches.need(tx, "b1") == made
        assert batches.find(tx, "token:t", "b1", "1") == made
        assert batches.find(tx, "token:t", "b1", "2") is None
        assert batches.get(tx, "b2") is None
        assert batches.listed(tx, "b1", "Đ-1") == LISTED[0]
        assert batches.listed(tx, "b1", "other") is None
        assert batches.counts(tx, "b1") == Counts(missing=4)
        with pytest.raises(NotFound) as missing:
            batches.need(tx, "b2")
    assert missing.value.code == "no-such-batch"


def test_a_batch_is_opened_once(catalogue):
    opened(catalogue)
    with pytest.raises(Conflict) as refused:
        opened(catalogue, "b2", registration_code="b1")
    assert refused.value.code == "batch-exists"
    opened(catalogue, "b3", registration_code="b1", delivery_number="2")
    opened(catalogue, "b4", registration_code="b1", agent="token:other")


def test_what_came_is_compared_with_the_list(catalogue):
    opened(catalogue)
    bring(catalogue, "a", receipt=True)
    bring(catalogue, "b", "digest", "bytes", receipt=True)
    bring(catalogue, "c", enter=False)
    bring(catalogue, "beside")
    bring(catalogue, "beside, on its way", enter=False)
    with catalogue.read() as tx:
        assert batches.counts(tx, "b1") == Counts(
            missing=1, entering=2, stored=1, receipted=2, extra=2, different=1, approved=1, approved_files=2,
            approved_bytes=101, entered_files=9, entered_bytes=21,
        )  # fmt: skip
        found = {item.identifier: item for item in batches.items(tx, "b1", limit=10)}
    assert found["a"].state is ItemState.RECEIPTED
    assert found["a"].content_digest == "sha512:" + "c" * 128
    assert (found["b"].differences, found["b"].came_files) == (("digest", "bytes"), 3)
    assert (found["c"].state, found["c"].version) == (ItemState.ENTERING, None)
    assert not found["beside"].listed
    assert named(catalogue, Show.ALL) == ["a", "b", "beside", "beside, on its way", "c", "Đ-1"]
    assert named(catalogue, Show.MISSING) == ["Đ-1"]
    assert named(catalogue, Show.EXTRA) == ["beside", "beside, on its way"]
    assert named(catalogue, Show.DIFFERENT) == ["b"]
    assert named(catalogue, Show.NOT_READY) == ["beside", "beside, on its way", "c"]
    assert named(catalogue, Show.ENTERED) == ["a", "b", "beside"]


def test_a_deposit_that_comes_to_nothing_leaves_the_batch_as_it_was(catalogue):
    opened(catalogue)
    for name in ("a", "beside"):
        bring(catalogue, name, enter=False)
        with catalogue.write() as tx:
            ingests.fail(tx, f"i-{name}", {"code": "interrupted"})
    with catalogue.read() as tx:
        assert batches.counts(tx, "b1") == Counts(missing=4)
    assert named(catalogue, Show.ALL) == ["a", "b", "c", "Đ-1"]
    with catalogue.write() as tx:
        assert batches.place(tx, "b1", "a", ingest_id="again", files=1, bytes=1, differences=(), version=1)
        assert not batches.place(tx, "b1", "a", ingest_id="again", files=1, bytes=1, differences=(), version=1)


def test_what_another_deposit_brought_is_not_taken_for_this_one(catalogue):
    opened(catalogue)
    bring(catalogue, "a", enter=False)
    with catalogue.write() as tx:
        batches.entered(tx, "b1", "a", "another", 7)
        assert batches.items(tx, "b1", limit=1)[0].version is None


def test_pages_of_packages_follow_one_another(catalogue):
    opened(catalogue)
    with catalogue.read() as tx:
        first = batches.items(tx, "b1", limit=3)
        rest = batches.items(tx, "b1", after=first[-1].identifier, limit=3)
    assert [item.identifier for item in [*first, *rest]] == ["a", "b", "c", "Đ-1"]


def test_batches_come_the_newest_first(catalogue, clock):
    for n in range(5):
        opened(catalogue, f"b{n}", agency=f"H{n % 2}", agent=f"token:{n % 2}")
        clock.move(seconds=n % 2)
    with catalogue.write() as tx:
        batches.close(tx, "b1", {"x": 1})
        tell(tx, EventType.BATCH_CLOSED)

    def found(**conditions) -> list[str]:
        with catalogue.read() as tx:
            seen: list[Batch] = []
            while page := batches.listing(
                tx, limit=2, before=(seen[-1].opened_at, seen[-1].id) if seen else None, **conditions
            ):
                seen += page
            return [batch.id for batch in seen]

    assert found() == ["b4", "b3", "b2", "b1", "b0"]
    assert found(agency="H1") == ["b3", "b1"]
    assert found(agent="token:0") == ["b4", "b2", "b0"]
    assert found(is_open=False) == ["b1"]
    assert found(is_open=True, agency="H1") == ["b3"]


def test_a_batch_is_closed_once_with_its_receipt(catalogue, clock):
    opened(catalogue)
    with catalogue.write() as tx:
        batches.close(tx, "b1", {"signature": "Đ"})
        tell(tx, EventType.BATCH_CLOSED)
    with catalogue.read() as tx:
        closed = batches.need(tx, "b1")
    assert (closed.receipt, closed.closed_at) == ({"signature": "Đ"}, clock.time)
    with catalogue.write() as tx, pytest.raises(Conflict) as refused:
        batches.close(tx, "b1", {})
    assert refused.value.code == "batch-closed"
