"""Disks, as vaultctl shows them."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from rich.console import Console

from hardware.smart.reasons import COUNTERS, TEXTS
from vault import wire
from vault.cli.render import devices, reasons
from vault.cli.text import Speech
from vault.i18n import speaking

SAY = Speech(ZoneInfo("Asia/Ho_Chi_Minh"))
NOW = datetime(2026, 11, 22, 10, 40, tzinfo=UTC)


def text_of(renderable):
    console = Console(width=220, no_color=True)
    with console.capture() as shown:
        console.print(renderable)
    return shown.get()


def disk(**changes):
    found = {
        "key": "ZL20ABCD", "serial": "ZL20ABCD", "wwn": "5000c500deadbeef", "model": "ST16000NM001G",
        "device": "/dev/sda", "protocol": "ata", "health": "failing",
        "reasons": [
            {"code": "counter-grew", "verdict": "failing", "text": "English.",
             "values": {"counter": "pending_sectors", "growth": 3, "days": 4, "value": 7}},
            {"code": "link-errors-some", "verdict": "healthy", "text": "A remark.", "values": {}},
        ],
        "readings": {"temperature_celsius": 31}, "present": True, "read_at": NOW, "seen_at": NOW, "first_seen_at": NOW,
        "volumes": ["nas-a"],
    }  # fmt: skip
    return wire.Disk.model_validate(found | changes)


def listing(*found, problem=""):
    return wire.DiskList(items=list(found), heard_at=NOW, problem=problem, remedy="")


def test_what_is_said_here_is_what_the_hardware_says():
    assert {str(code): text for code, text in TEXTS.items()} == dict(reasons.REASONS)
    assert dict(COUNTERS) == dict(reasons.COUNTERS)


def test_a_disk_is_shown_with_why_and_what_stands_on_it():
    text = text_of(devices.disks(listing(disk()), SAY))
    assert "ZL20ABCD" in text
    assert "nas-a" in text
    grew = "The number of sectors that could not be read and wait for a write grew by 3 in 4 days, to 7."
    assert grew in text_of(devices.disk(disk(), SAY))
    assert "A remark" not in devices.why(disk())


def test_reasons_are_said_in_vietnamese():
    with speaking("vi"):
        assert devices.why(disk()) == "Số cung không đọc được đang chờ ghi lại tăng 3 trong 4 ngày, lên 7."


@pytest.mark.parametrize("code", ["of-a-newer-daemon", "counter-grew"])
def test_a_reason_that_cannot_be_said_here_is_said_as_the_daemon_did(code):
    row = {"code": code, "verdict": "watch", "text": "As it was said.", "values": {}}
    assert devices.why(disk(reasons=[row])) == "As it was said."


def test_what_keeps_the_node_from_knowing_is_said_first():
    assert text_of(devices.disks(listing(problem="There is no report."), SAY)).startswith("There is no report.")


def test_a_disk_that_is_gone_is_said_to_be_so():
    assert "(not there)" in text_of(devices.disks(listing(disk(present=False)), SAY))


def test_what_a_volume_stands_on_is_shown_as_it_is_piled_up():
    found = (("filesystem", "/srv/a"), ("md", "md0"), ("disk", "sda"))
    layers = [wire.StackLayer(kind=kind, name=name, detail="", depth=n) for n, (kind, name) in enumerate(found)]
    assert [line.rstrip() for line in text_of(devices.stack(layers)).splitlines()[:3]] == [
        "filesystem /srv/a", "  md md0", "    disk sda",
    ]  # fmt: skip
    assert "not known" in text_of(devices.stack([]))
