"""Which export a volume is mounted from: a move, or the wrong one."""

import dataclasses
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from hardware.mounts import Mount
from hardware.shares import Share, ShareState
from vault.health.sources import Move, Sources, source_of
from vault.model import Condition, MediumClass, Volume, VolumeMode

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
FACTS = {
    "id": 1, "uuid": UUID(int=1), "name": "a", "kind": "directory", "medium": MediumClass.DISK, "domain": "a",
    "site": "s", "mode": VolumeMode.ACTIVE, "condition": Condition.ONLINE, "condition_reason": "", "size_bytes": 1,
    "free_bytes": 1, "probed_at": LATER, "added_at": NOW,
}  # fmt: skip


def row(condition=Condition.ONLINE, probed_at=LATER):
    required = {field.name for field in dataclasses.fields(Volume)}
    facts = FACTS | {"condition": condition, "probed_at": probed_at}
    return Volume(**{name: value for name, value in facts.items() if name in required})


def share(source, kind="nfs4"):
    return Share("/srv/a", Mount("/srv/a", kind, source), ShareState.WELL, 1, 1)


def compared(known, source, volume, kind="nfs4"):
    return Sources().compare(known, {"a": share(source, kind)}, {"a": volume}, NOW)


def test_where_a_volume_was_itself_is_remembered():
    seen, kept, moves = compared({}, "nas:/vol1", row())
    assert (seen["a"].state, kept, moves) == (ShareState.WELL, {"a": "nas:/vol1"}, [])


def test_another_export_without_the_volume_is_the_wrong_one_and_both_are_named():
    seen, kept, moves = compared({"a": "nas:/vol1"}, "nas:/vol2", row(Condition.FOREIGN))
    assert (seen["a"].state, seen["a"].expected) == (ShareState.WRONG_EXPORT, "nas:/vol1")
    assert seen["a"].mount.source == "nas:/vol2"
    assert (kept, moves) == ({"a": "nas:/vol1"}, [])


def test_another_export_with_the_volume_is_a_move():
    seen, kept, moves = compared({"a": "nas:/vol1"}, "new:/vol1", row())
    assert seen["a"].state is ShareState.WELL
    assert (kept, moves) == ({"a": "new:/vol1"}, [Move("a", "nas:/vol1", "new:/vol1")])


@pytest.mark.parametrize("condition", [Condition.ONLINE, Condition.FOREIGN])
def test_a_probe_from_before_it_was_mounted_says_nothing(condition):
    seen, kept, moves = compared({"a": "nas:/vol1"}, "nas:/vol2", row(condition, NOW - timedelta(seconds=1)))
    assert (seen["a"].state, kept, moves) == (ShareState.WELL, {"a": "nas:/vol1"}, [])


def test_an_outage_of_the_right_export_is_only_that():
    seen, kept, moves = compared({"a": "nas:/vol1"}, "nas:/vol1", row(Condition.OFFLINE))
    assert (seen["a"].state, kept, moves) == (ShareState.WELL, {"a": "nas:/vol1"}, [])


def test_a_disk_of_this_machine_is_told_by_its_identity_alone():
    seen, kept, _ = compared({}, "/dev/sdb1", row(Condition.FOREIGN), "xfs")
    assert (seen["a"].state, kept) == (ShareState.WELL, {})


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [("nfs4", "nas:/vol1", "nas:/vol1/"), ("cifs", "//NAS/Kho", "//nas/kho"), ("cifs", "//nas/kho", "\\\\nas\\kho")],
)
def test_one_export_has_one_spelling(kind, one, other):
    assert source_of(Mount("/srv/a", kind, one)) == source_of(Mount("/srv/a", kind, other))
