"""What is shown, from data alone."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from rich.console import Console

from vault import wire
from vault.cli.commands.status import sound
from vault.cli.output import make_console, print_error
from vault.cli.render import ledger, node, packages
from vault.cli.text import Speech
from vault.errors import Fault, Invalid, NotFound
from vault.i18n import speaking

SAY = Speech(ZoneInfo("Asia/Ho_Chi_Minh"))
NOW = datetime(2026, 11, 22, 10, 40, 42, tzinfo=UTC)


@pytest.fixture(autouse=True)
def english():
    with speaking("en"):
        yield


def text_of(shown: object, width: int = 200) -> str:
    out = io.StringIO()
    Console(file=out, width=width, markup=False, emoji=False, highlight=False).print(shown)
    return out.getvalue()


def volume(**facts) -> wire.Volume:
    return wire.Volume.model_validate(
        {
            "name": "nas-a", "uuid": UUID(int=1), "kind": "directory", "medium": "disk", "domain": "nas-a",
            "site": "kho", "mode": "active", "condition": "online", "condition_reason": "", "configured": True,
            "size_bytes": 10**12, "free_bytes": 4 * 10**11, "probed_at": NOW, "added_at": NOW,
            "copies": {"good": 12345, "damaged": 1}, "oldest_proof_at": NOW - timedelta(days=80), **facts,
        }
    )  # fmt: skip


def status(**facts) -> wire.Status:
    return wire.Status.model_validate(
        {
            "node": "sonla-1", "version": "0.1.0", "key_id": "0123456789abcdef", "time": NOW, "policy_held": True,
            "packages": 12345, "below_policy": {}, "volumes": [volume()], "running": [], "tasks": {}, "alerts": [],
            "schedules": [], "ledger": {"seq": 777, "hash": "0" * 64}, **facts,
        }
    )  # fmt: skip


def test_status_says_first_whether_the_policy_holds():
    lines = text_of(node.status(status(), SAY)).splitlines()
    assert lines[0].startswith("sonla-1   khoso 0.1.0   22/11/2026 17:40")
    assert lines[1].rstrip() == "Policy: held for every version (12,345 packages)"
    assert lines[2].rstrip() == "No alerts."


def test_a_node_that_could_hold_nothing_holds_no_policy():
    empty = status(packages=0, volumes=[volume(condition="offline")])
    assert "held for every version" not in text_of(node.status(empty, SAY))
    assert not sound(empty)
    assert sound(status(packages=0))
    assert "held for every version" in text_of(node.status(status(packages=0), SAY))


def test_one_of_a_thing_is_one():
    assert "Ledger: 1 event." in text_of(node.status(status(ledger={"seq": 1, "hash": "0" * 64}), SAY))


def test_what_is_missing_is_said_only_where_something_is():
    found = package()
    version = found.versions[0].model_copy(update={"missing": wire.Count(disk=1, tape=0)})
    text = text_of(packages.package(found.model_copy(update={"versions": [version]}), SAY))
    assert "missing: 1 on disk" in text
    assert "tape" not in text


def test_the_bytes_of_a_receipt_can_be_read():
    assert "1,234,567 (1.23 MB)" in text_of(ledger.receipt({"bytes": 1234567}, SAY))


def test_a_receipt_without_a_time_is_said_so_in_vietnamese():
    version = package().versions[0].model_copy(update={"receipt": "/v1/receipts/x"})
    with speaking("vi"):
        text = text_of(packages.package(package().model_copy(update={"versions": [version]}), SAY))
    assert "đã cấp" in text
    assert "cấp lúc" not in text


def test_damage_in_an_event_names_the_whole_path():
    path = "data/" + "x" * 300 + ".pdf"
    detail = {"findings": [{"kind": "changed", "path": path}, {"kind": "missing", "path": "b"}], "findings_count": 2}
    event = wire.Event.model_validate(
        {"seq": 12, "type": "fixity-check", "time": NOW, "outcome": "failure", "agent": "node:x", "identifier": "H/1",
         "version": 2, "volume": "nas-a", "detail": detail, "previous": "0", "hash": "1"}
    )  # fmt: skip
    assert ledger.event_line(event, SAY).plain.endswith(f"changed: {path} and 1 more")


def test_status_names_what_is_below_and_every_alert_with_its_remedy():
    alert = {
        "severity": "critical",
        "code": "x",
        "subject": "nas-b",
        "message": "It is off-line.",
        "remedy": "Mount it.",
    }
    shown = status(policy_held=False, below_policy={"default": 2, "dat-dai": 1}, alerts=[alert])
    text = text_of(node.status(shown, SAY))
    assert "NOT held. 3 versions are below it (dat-dai: 1, default: 2); 12,345 packages" in text
    assert "CRITICAL nas-b: It is off-line.\n    → Mount it." in text.replace("  \n", "\n")
    assert "No alerts." not in text


def test_status_speaks_vietnamese():
    with speaking("vi"):
        text = text_of(node.status(status(), SAY))
    assert "Chính sách: ĐẠT cho mọi phiên bản (12.345 gói tin)" in text
    assert "12.345 tốt, 1 hỏng" in text


def test_running_work_shows_how_far_it_is_and_that_it_stalls():
    task = {
        "id": 7, "kind": "verify", "state": "running", "priority": 1, "identifier": "H49/1", "version": 2,
        "volumes": ["nas-a"], "attempts": 0, "not_before": NOW, "done_bytes": 25, "total_bytes": 100, "stalled": True,
        "message": "", "created_at": NOW, "started_at": NOW - timedelta(minutes=5), "finished_at": None,
    }  # fmt: skip
    text = text_of(node.status(status(running=[task], tasks={"verify": {"ready": 40}, "new-kind": {"ready": 2}}), SAY))
    assert "H49/1 v2" in text
    assert "25%" in text
    assert "5 minutes" in text
    assert "(stalled)" in text
    assert "Waiting work: new-kind 2, verify 40" in text


def test_a_volume_that_was_never_seen_has_no_numbers():
    unseen = volume(uuid=None, size_bytes=None, free_bytes=None, probed_at=None, added_at=None, copies={},
                    oldest_proof_at=None, condition="unknown")  # fmt: skip
    text = text_of(node.volume(unseen, SAY))
    assert "never initialised" in text
    assert " 0 " not in text


def test_a_volume_off_line_says_why():
    text = text_of(node.volume(volume(condition="offline", condition_reason="No route to host."), SAY))
    assert "off-line: No route to host." in text


def test_a_state_of_a_newer_daemon_is_no_fault_of_the_page():
    with pytest.raises(ValueError, match="condition"):
        volume(condition="levitating")


def package() -> wire.Package:
    copy = {"volume": "nas-a", "state": "good", "reason": "", "proved_at": NOW, "due_at": NOW, "changed_at": NOW}
    version = {
        "version": 1, "name": "v1", "kind": "bag", "algorithm": "sha512",
            "content_digest": "ab" * 64, "inventory_digest": "cd",
        "files": 3, "bytes": 1234, "part_bytes": 2000, "deposit_digests": {"sha256": "ef" * 32}, "policy": "default",
        "class": "default", "policy_held": False, "good": {"disk": 1, "tape": 0}, "missing": {"disk": 1, "tape": 1},
        "copies": [copy, {**copy, "volume": "nas-b", "state": "damaged", "reason": "1 file differs"}], "metadata": {},
        "ingest_id": "i", "receipt": None, "created_at": NOW,
    }  # fmt: skip
    said = {"fonds": "UBND", "title": "Hồ sơ \x1b[31mđất"}
    return wire.Package.model_validate(
        {
            "identifier": "H49.61.8/2025/Đ-012", "head": 1, "descriptive": said, "policy_held": False,
            "versions": [version], "events": "/v1/events", "events_count": 12, "created_at": NOW,
        }
    )  # fmt: skip


def test_a_package_shows_where_its_copies_are_and_what_is_missing():
    text = text_of(packages.package(package(), SAY))
    for expected in ("H49.61.8/2025/Đ-012", "NOT held", "missing: 1 on disk, 1 on tape", "1 file differs",
                     "22/11/2026 17:40", "sha256:" + "ef" * 32, "bag, 3 files, 1.23 kB"):  # fmt: skip
        assert expected in text
    assert "\x1b[31m" not in text


def test_a_receipt_that_anyone_made_up_can_be_shown():
    odd = {"identifier": ["a"], "version": None, "digests": {"deposit": 3, "x": {"sha256": None}}, "issued_at": 7,
           "copies": ["no", {"volume": {"a": 1}, "proved_at": "yesterday"}], "node": "\x1b]0;x\x07"}  # fmt: skip
    text = text_of(ledger.receipt(odd, SAY))
    assert "yesterday" in text
    assert "\x07" not in text


def test_an_event_is_one_line():
    event = wire.Event.model_validate(
        {
            "seq": 12, "type": "fixity-check", "time": NOW, "outcome": "failure", "agent": "node:x",
            "identifier": "H/1", "version": 2, "volume": "nas-a",
            "detail": {"note": "a\nb", "n": 3, "empty": ""}, "previous": "0",
            "hash": "1",
        }
    )  # fmt: skip
    line = ledger.event_line(event, SAY).plain
    assert "\n" not in line
    assert "fixity-check" in line
    assert "failure" in line
    assert "H/1 v2 nas-a" in line
    assert line.endswith("n=3")


def test_an_error_says_everything_that_is_wrong_and_what_to_do(capsys):
    faults = [Fault("a", f"fault {number}", f"path/{number}\x1b[2J") for number in range(40)]
    console = make_console(__import__("sys").stderr)
    print_error(Invalid("The bag is wrong [bold].", faults=faults, remedy="Mend it."), console)
    said = capsys.readouterr().err
    assert said.startswith("vaultctl: The bag is wrong [bold].\n")
    assert "path/29\\x1b[2J: fault 29" in said
    assert "fault 30" not in said
    assert "and 10 more" in said
    assert said.endswith("What to do: Mend it.\n")


def test_a_long_path_in_an_error_is_not_broken_into_lines(capsys):
    path = "/srv/" + "x" * 400
    print_error(NotFound(f"There is no {path}."), make_console(__import__("sys").stderr))
    assert path in capsys.readouterr().err
