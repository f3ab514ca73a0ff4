"""A volume that is silent is off-line; one that waits for our own catalogue is not."""

import threading
import time
from datetime import timedelta

from tests.support.nodes import Bench, eventually
from vault.catalog import volumes as catalog_volumes
from vault.clock import utcnow
from vault.custody import watch
from vault.model import Condition, EventType


def conditions(bench):
    with bench.running.catalogue.read() as tx:
        return {volume.name: volume.condition for volume in catalog_volumes.all(tx)}


def probed_since(bench, moment):
    with bench.running.catalogue.read() as tx:
        return all(volume.probed_at > moment for volume in catalog_volumes.all(tx))


def test_a_catalogue_that_is_busy_for_long_puts_no_volume_off_line(tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "SILENCE_SECONDS", 0.2)
    with Bench(tmp_path) as bench:
        with bench.running.catalogue.write():
            # Longer than the guard's patience (two intervals and the silence): every probe of this time waits here.
            began = time.monotonic()
            eventually(lambda: time.monotonic() - began > 2.5)
            held_until = utcnow()
        eventually(lambda: probed_since(bench, held_until + timedelta(seconds=1)))
        said = [e.detail for e in bench.events() if e.type == EventType.VOLUME_CHANGED]
    assert not [detail for detail in said if detail["is"] == Condition.OFFLINE], said


def test_a_probe_that_hangs_puts_its_volume_off_line_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "SILENCE_SECONDS", 0.2)
    let_go = threading.Event()
    with Bench(tmp_path) as bench:
        volume = bench.running.volumes["a"]
        probe = volume.probe
        monkeypatch.setattr(volume, "probe", lambda: (let_go.wait(), probe())[1])
        eventually(lambda: conditions(bench)["a"] is Condition.OFFLINE)
        assert conditions(bench)["b"] is Condition.ONLINE
        let_go.set()
        eventually(lambda: conditions(bench)["a"] is Condition.ONLINE)
