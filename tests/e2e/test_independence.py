"""Two volumes on one device are one: the second is not used, and says why."""

from __future__ import annotations

import dataclasses
import subprocess

import pytest

from tests.support.nodes import Bench, eventually, mount_tmpfs
from vault.catalog import volumes as catalog_volumes
from vault.model import Condition, IngestState


def strict(bench):
    node = bench.settings.node.model_copy(update={"accept_shared_devices": False})
    return dataclasses.replace(bench.settings, node=node)


def reason(bench, name):
    with bench.running.catalogue.read() as tx:
        row = catalog_volumes.get(tx, name)
    return "" if row is None else row.condition_reason


def test_the_second_volume_on_a_device_is_not_used(tmp_path):
    bench = Bench(tmp_path)
    with bench:
        bench.restart(strict(bench))
        bench.wait_for("a", Condition.ONLINE)
        bench.wait_for("b", Condition.FOREIGN)
        assert "same device as the volume 'a'" in reason(bench, "b")
        accepted = bench.deposit("hồ sơ", b"one", filename="x")
        eventually(bench.below_policy, 10)
        assert bench.ingest(accepted.ingest_id).state is IngestState.STORED, "no receipt for two copies on one device"
        assert not list((bench.path("b") / "ocfl").rglob("v1"))


@pytest.mark.root
def test_volumes_on_devices_of_their_own_are_used(tmp_path):
    bench = Bench(tmp_path)
    mounted = []
    try:
        for name in ("a", "b"):
            bench.path(name).mkdir()
            if not mount_tmpfs(bench.path(name)):
                pytest.skip("only root may mount a tmpfs")
            mounted.append(bench.path(name))
        bench.start(strict(bench))
        bench.wait_for("b", Condition.ONLINE)
        bench.deposit("hồ sơ", b"one", filename="x")
        bench.settle()
        assert not bench.below_policy()
    finally:
        bench.stop()
        for path in mounted:
            subprocess.run(["umount", "-l", path], check=True)


def test_another_nodes_volume_is_not_taken(tmp_path):
    """Two nodes on one volume would clear each other's staging: the second one leaves it alone."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with Bench(tmp_path / "one") as bench:
        staged = bench.path("a") / "staging" / "of-the-first-node"
        staged.mkdir()
        other = Bench(tmp_path / "two")
        node = other.settings.node.model_copy(update={"name": "khac"})
        volumes = tuple(
            theirs.model_copy(update={"path": ours.path})
            for theirs, ours in zip(other.settings.volumes, bench.settings.volumes, strict=True)
        )
        other.start(dataclasses.replace(other.settings, node=node, volumes=volumes))
        try:
            with other.running.catalogue.read() as tx:
                assert catalog_volumes.all(tx) == []
            assert staged.exists()
        finally:
            other.stop()
