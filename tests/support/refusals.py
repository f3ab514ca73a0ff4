"""Deposits that must be refused: with the right words, and with nothing left of them."""

from __future__ import annotations

import io
import uuid

import pytest

from tests.support.nodes import Bench
from vault.errors import Invalid, VaultError
from vault.model import EventType, IngestState, Outcome


def refused(bench: Bench, identifier: str, body: bytes, error: type[VaultError] = Invalid, **request) -> VaultError:
    """Deposit, see it refused, and see that nothing but the account of it remains."""
    ingest_id = str(uuid.uuid4())
    before = bench.last_event()
    held = {key: copy.state for key, copy in bench.copies(identifier).items()}
    objects = [bench.object_path(v.name, identifier).exists() for v in bench.settings.volumes]
    with pytest.raises(error) as caught:
        bench.receive(identifier, io.BytesIO(body), ingest_id=ingest_id, **request)
    ingest = bench.ingest(ingest_id)
    assert ingest.state in (IngestState.REFUSED, IngestState.FAILED)
    assert ingest.problem is not None
    assert ingest.problem["code"] == caught.value.code
    assert ingest.problem["detail"] == caught.value.message
    told = bench.events(EventType.INGESTION, after=before, identifier=identifier)
    assert [(e.outcome, e.detail["code"]) for e in told] == [(Outcome.FAILURE, caught.value.code)]
    bench.assert_nothing_left()
    if not held:
        assert bench.copies(identifier) == {}
        assert [bench.object_path(v.name, identifier).exists() for v in bench.settings.volumes] == objects
    return caught.value


def codes(error: VaultError) -> set[str]:
    assert isinstance(error, Invalid)
    return {fault.code for fault in error.faults}
