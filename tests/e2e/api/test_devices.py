"""Disks and what volumes stand on, over HTTP."""

from __future__ import annotations

from datetime import timedelta

import httpx

from hardware.blocks import Block
from hardware.mounts import Mount
from hardware.smart import report
from hardware.smart.facts import Reading
from hardware.smart.parse import identity
from hardware.smart.second import Second
from hardware.stack import Kind, Layer, Stack
from tests.support.drives import ata, attribute
from tests.support.serving import Running
from vault.cli.commands.disks import _find as found_disk
from vault.client import Client, Endpoint
from vault.clock import utcnow


def stand_on_a_failing_disk(running: Running, tmp_path) -> None:
    document = attribute(5, value=5, worst=5, when_failed="now", raw=2000) | {"serial_number": "S1", "wwn": {}}
    entry = report.Entry("/dev/sda", "sat", identity("S1", "", ""), Reading.READ, document, Second())
    path = report.write(tmp_path, [entry], utcnow())
    disk = Block("sda", "S1", "", "ST16000", None, rotational=True)
    layers = Layer(Kind.FILE_SYSTEM, "/srv/a", "xfs", 0), Layer(Kind.DISK, "sda", "ST16000 S1", 1)
    health = running.node.health
    health._settings = health._settings.model_copy(update={"report": path, "stale_after": timedelta(days=1)})
    health._stack = lambda path: Stack(path, Mount("/srv/a", "xfs", "/dev/sda"), layers, (disk,))
    health.look()


def test_a_failing_disk_is_seen_from_every_side(running: Running, everyone: httpx.Client, tmp_path) -> None:
    stand_on_a_failing_disk(running, tmp_path)
    (disk,) = everyone.get("/v1/disks").json()["items"]
    assert (disk["key"], disk["health"], disk["present"]) == ("S1", "failing", True)
    assert disk["reasons"][0]["code"] == "counter-high" or disk["reasons"][0]["code"] == "attribute-below-threshold"
    assert "nas-a" in disk["volumes"]
    volume = everyone.get("/v1/volumes/nas-a").json()
    assert (volume["health"], volume["disks"]) == ("failing", ["S1"])
    assert [layer["kind"] for layer in volume["stack"]] == ["filesystem", "disk"]
    alerts = {alert["code"]: alert for alert in everyone.get("/v1/status").json()["alerts"]}
    assert alerts["disk-failing"]["severity"] == "critical"
    assert "vaultctl volumes evacuate nas-a" in alerts["disk-failing"]["remedy"]


def test_a_disk_that_is_gone_is_told_until_it_is_forgotten(running: Running, everyone: httpx.Client, tmp_path) -> None:
    stand_on_a_failing_disk(running, tmp_path)

    def codes() -> set[str]:
        return {alert["code"] for alert in everyone.get("/v1/status").json()["alerts"]}

    refused = everyone.delete("/v1/disks/S1")
    assert (refused.status_code, refused.json()["code"]) == (409, "disk-present")
    report.write(tmp_path, [], utcnow() + timedelta(seconds=1))
    running.node.health.look()
    assert "disk-gone" in codes()
    assert "disk-failing" not in codes(), "it is no longer here to alarm anybody"
    assert everyone.delete("/v1/disks/S1").json()["key"] == "S1"
    assert "disk-gone" not in codes()
    assert everyone.get("/v1/disks").json()["items"] == []
    assert everyone.delete("/v1/disks/S1").json()["code"] == "no-such-disk"
    (event,) = [
        event
        for event in everyone.get("/v1/events?type=device-changed&limit=1000").json()["items"]
        if event["detail"].get("change") == "forgotten"
    ]
    assert event["detail"]["key"] == "S1"


def test_of_namesakes_the_one_that_is_meant_is_forgotten(running: Running, everyone: httpx.Client, tmp_path) -> None:
    stand_on_a_failing_disk(running, tmp_path)
    first = ata(serial_number="S1", wwn={})
    other = attribute(5, first, value=5, worst=5, when_failed="now") | {"model_name": "MZILT7T6HALA/007"}
    entries = [
        report.Entry(f"/dev/sd{n}", "sat", identity("S1", "", ""), Reading.READ, document, Second())
        for n, document in enumerate((first, other))
    ]
    report.write(tmp_path, entries, utcnow() + timedelta(seconds=1))
    running.node.health.look()
    report.write(tmp_path, [], utcnow() + timedelta(seconds=2))
    running.node.health.look()
    assert [(disk["key"], disk["present"]) for disk in everyone.get("/v1/disks").json()["items"]] == [
        ("S1 MZILT7T6HALA/007", False), ("S1", False),
    ]  # fmt: skip
    with Client(Endpoint(socket=running.socket)) as client:
        assert client.forget_disk(found_disk(client, "S1").key).key == "S1"
        assert client.forget_disk(found_disk(client, "S1 MZILT7T6HALA/007").key).key == "S1 MZILT7T6HALA/007"
    assert everyone.get("/v1/disks").json()["items"] == []
    assert everyone.delete("/v1/disks/%FF").json()["code"] == "no-such-disk"


def test_there_is_no_such_volume(everyone: httpx.Client) -> None:
    answer = everyone.get("/v1/volumes/nowhere")
    assert (answer.status_code, answer.json()["code"]) == (404, "no-such-volume")


def test_a_depositor_sees_no_disks(running: Running) -> None:
    with running.client("deposit") as client:
        assert client.get("/v1/disks").status_code == 403
