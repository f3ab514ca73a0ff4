"""Receipts: given when enough copies are good, in as many failure domains, and not before."""

import io

import pytest

from tests.support.nodes import (
    VIETNAMESE,
    Bench,
    assert_receipt,
    bag,
    eventually,
    tar_of,
    zip_of,
)
from vault.model import Condition, CopyState, EventType, IngestState

BAG = bag(VIETNAMESE)


# --- receipts


def test_a_receipt_waits_for_good_copies_in_distinct_domains(own):
    own.path("b").rename(own.folder / "away")
    own.wait_for("b", Condition.OFFLINE)
    accepted = own.deposit("receipt/1", tar_of(BAG), BAG)
    eventually(lambda: {c.state for c in own.copies("receipt/1").values()} == {CopyState.GOOD})
    own.running.receipts.issue_all()
    assert own.ingest(accepted.ingest_id).receipt is None
    assert own.ingest(accepted.ingest_id).state is IngestState.STORED
    (own.folder / "away").rename(own.path("b"))
    receipt = own.receipt(accepted.ingest_id)
    assert_receipt(own, receipt)
    assert {c["volume"] for c in receipt["copies"]} == {"a", "b"}
    issued = own.events(EventType.RECEIPT, identifier="receipt/1")
    assert len(issued) == 1
    forged = receipt | {"files": receipt["files"] + 1}
    with pytest.raises(AssertionError):
        assert_receipt(own, forged)
    # Asked for again, after a restart too, it is the same one.
    own.settle()
    own.restart()
    assert own.receive("receipt/1", io.BytesIO(zip_of(BAG))).receipt == receipt
    assert len(own.events(EventType.RECEIPT, identifier="receipt/1")) == 1


def test_a_receipt_that_a_kill_prevented_is_issued_by_the_next_start(own, monkeypatch):
    monkeypatch.setattr(own.running.receipts, "issue_ready", lambda _version: None)
    accepted = own.deposit("receipt/2", b"x", filename="x")
    eventually(lambda: [c.state for c in own.copies("receipt/2").values()] == [CopyState.GOOD] * 2)
    assert own.ingest(accepted.ingest_id).receipt is None
    monkeypatch.undo()
    own.restart()
    assert_receipt(own, own.receipt(accepted.ingest_id))


def test_one_copy_can_be_enough_for_a_receipt(tmp_path):
    with Bench(tmp_path, policies='[[policy]]\nname = "p"\ndisk = 2\nreceipt_after = 1') as bench:
        bench.path("b").rename(tmp_path / "away")
        bench.wait_for("b", Condition.OFFLINE)
        accepted = bench.deposit("receipt/3", b"x", filename="x")
        receipt = bench.receipt(accepted.ingest_id)
        assert_receipt(bench, receipt, least=1)
        (tmp_path / "away").rename(bench.path("b"))
        bench.settle()
