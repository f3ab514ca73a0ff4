"""A later version shares files with the earlier ones: where those are damaged, it does not count as good either."""

from __future__ import annotations

import pytest

from tests.support.nodes import Bench, bag, eventually, tar_of
from vault.custody import evidence as custody_evidence
from vault.errors import Refused
from vault.model import Condition, CopyState


@pytest.fixture
def bench(tmp_path):
    with Bench(tmp_path) as made:
        yield made


def two_versions(bench):
    first = {"phụ lục/scan 01.tif": b"II*\0" * 5000}
    second = {**first, "ghi chú.txt": b"added later"}
    bench.deposit("hồ sơ", tar_of(bag(first)), bag(first), filename="a.tar")
    bench.deposit("hồ sơ", tar_of(bag(second)), bag(second), filename="b.tar", if_match=1)
    bench.settle()


def flip(path):
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_damage_of_a_shared_file_takes_the_later_version_below_its_policy_too(bench):
    two_versions(bench)
    shared = next((bench.object_path("a", "hồ sơ") / "v1").rglob("scan 01.tif"))
    assert not list((bench.object_path("a", "hồ sơ") / "v2").rglob("scan 01.tif")), "v2 does not store it again"
    bench.path("b").rename(bench.folder / "away")
    bench.wait_for("b", Condition.OFFLINE, Condition.FOREIGN)
    flip(shared)
    bench.verify(volume="a")
    assert bench.copies("hồ sơ", 1)["a", 1].state is CopyState.DAMAGED
    assert sorted(line.split(":")[0] for line in bench.below_policy()) == ["hồ sơ v1", "hồ sơ v2"]
    (bench.folder / "away").rename(bench.path("b"))
    bench.wait_for("b", Condition.ONLINE)
    bench.settle()
    assert not bench.below_policy()
    bench.assert_sound()


def test_evidence_stays_while_nothing_else_may_have_its_bytes(bench):
    two_versions(bench)
    for volume in ("a", "b"):
        flip(next((bench.object_path(volume, "hồ sơ") / "v1").rglob("scan 01.tif")))
    bench.verify(volume="a")
    eventually(lambda: bench.copies("hồ sơ", 1)["a", 1].state is CopyState.DAMAGED, 20)
    bench.verify(volume="b")
    damaged = bench.copies("hồ sơ", 1)
    assert {copy.state for copy in damaged.values()} == {CopyState.DAMAGED}
    path = "evidence/20260101T000000Z-1-test"
    (bench.path("a") / path / "object" / "v1").mkdir(parents=True)
    about = '{"identifier": "hồ sơ", "version": 1, "found": "mismatch"}'
    (bench.path("a") / path / "about.json").write_text(about, encoding="utf-8")
    (bench.path("a") / path / "object" / "v1" / "x").write_bytes(b"x")
    bench.restart()
    kept = eventually(bench.evidence, 20)
    with pytest.raises(Refused) as refused:
        custody_evidence.release_evidence(bench.running.custodian, kept[0].id, "user:test")
    assert refused.value.code == "evidence-needed"
    assert (bench.path("a") / path).exists()
