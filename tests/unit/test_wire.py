"""The JSON shapes that programs rely on."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import ValidationError

from vault import wire
from vault.clock import from_text
from vault.model import CopyState, Descriptive


def test_times_are_utc_with_microseconds_and_come_back() -> None:
    hanoi = datetime(2026, 11, 22, 17, 40, 42, tzinfo=timezone(timedelta(hours=7)))
    copy = wire.Copy(volume="nas-a", state=CopyState.GOOD, proved_at=hanoi, changed_at=hanoi)
    document = json.loads(copy.model_dump_json())
    assert document["proved_at"] == "2026-11-22T10:40:42.000000Z"
    assert from_text(document["proved_at"]) == hanoi
    assert wire.Copy.model_validate_json(copy.model_dump_json()).proved_at == hanoi.astimezone(UTC)


def test_the_class_of_a_package_is_called_class() -> None:
    described = wire.Descriptive.model_validate(Descriptive(fonds="UBND", priority_class="vinh-vien"))
    assert json.loads(described.model_dump_json())["class"] == "vinh-vien"
    assert wire.Descriptive.model_validate_json(described.model_dump_json()) == described


def test_a_reader_ignores_what_it_does_not_know_and_an_order_does_not() -> None:
    assert wire.Health.model_validate({"status": "ok", "new": 1}).status == "ok"
    with pytest.raises(ValidationError):
        wire.RepairOrder.model_validate({"identifier": "x", "volume": "y"})


@pytest.mark.parametrize("name", ["", " x", "a b", "-x", "x-", "x" * 65, "đ", "a/b"])
def test_names_that_no_token_may_have(name: str) -> None:
    with pytest.raises(ValidationError):
        wire.TokenOrder.model_validate({"name": name, "scopes": ["read"]})
