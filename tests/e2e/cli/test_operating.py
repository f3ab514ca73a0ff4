"""What an operator does: look, verify, repair, keep evidence, give out tokens, and find out what is wrong."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.nodes import eventually
from vault.clock import utcnow
from vault.config import load_settings

IDENTIFIER = "H49/2025/Đ-7"


@pytest.fixture(scope="module")
def deposited(node, tmp_path_factory) -> str:
    from vault.cli import main

    source = tmp_path_factory.mktemp("in") / "báo cáo.pdf"
    source.write_bytes(b"%PDF" + os.urandom(200_000))
    command = ["--config", str(node.config), "deposit", str(source), "--identifier", IDENTIFIER, "--wait", "policy"]
    assert main([*command, "--fonds", "2025-1"]) == 0
    return IDENTIFIER


def stored_file(volume: Path) -> Path:
    return next(path for path in (volume / "ocfl").rglob("*.pdf"))


@pytest.mark.usefixtures("deposited")
def test_status_shows_that_all_is_well(vaultctl):
    said = vaultctl("status", "--check").out
    assert "Policy: held for every version (1 package)" in said
    found = vaultctl("status", "--json").json
    assert found["policy_held"] is True
    assert {volume["name"]: volume["copies"] for volume in found["volumes"]} == {"a": {"good": 1}, "b": {"good": 1}}


@pytest.mark.usefixtures("deposited")
def test_status_speaks_vietnamese(vaultctl, monkeypatch):
    monkeypatch.setenv("KHOSO_LANG", "vi")
    said = vaultctl("status").out
    assert "Chính sách: ĐẠT cho mọi phiên bản (1 gói tin)" in said
    assert "trực tuyến" in said


def test_packages_are_listed_page_by_page(vaultctl, deposited, tmp_path):
    for number in range(3):
        (tmp_path / f"{number}").write_text(str(number))
        vaultctl("deposit", tmp_path / f"{number}", "--identifier", f"page/{number}", "--fonds", "pages")
    first = vaultctl("packages", "--fonds", "pages", "--limit", "2", "--json").json
    assert [item["identifier"] for item in first["items"]] == ["page/0", "page/1"]
    rest = vaultctl("packages", "--fonds", "pages", "--cursor", first["next_cursor"], "--json").json
    assert ([item["identifier"] for item in rest["items"]], rest["next_cursor"]) == (["page/2"], None)
    assert "--cursor" in vaultctl("packages", "--fonds", "pages", "--limit", "2").err
    assert vaultctl("packages", "--prefix", "page/", "--below-policy", "--json").json["items"] == []
    shown = vaultctl("packages", "show", deposited)
    assert "good" in shown.out
    assert vaultctl("packages", "show", deposited, "--json").json["descriptive"]["fonds"] == "2025-1"


def test_volumes_are_shown_and_told_what_is_wanted_of_them(vaultctl):
    assert [v["name"] for v in vaultctl("volumes", "--json").json["items"]] == ["a", "b"]
    assert "UUID" in vaultctl("volumes", "show", "a").out
    vaultctl("volumes", "show", "z", code=3)
    vaultctl("volumes", "init", "a", code=1)
    assert vaultctl("volumes", "set-state", "b", "read-only", "--json").json["mode"] == "read-only"
    assert "New copies are written" in vaultctl("volumes", "set-state", "b", "active").err
    assert vaultctl("volumes", "show", "b", "--json").json["mode"] == "active"


class Keyboard(io.StringIO):
    """Somebody who types at a terminal."""

    def isatty(self) -> bool:
        return True


def test_damage_is_found_repaired_and_kept_as_evidence(vaultctl, node, deposited, monkeypatch):
    def answered(answer: str, code: int = 0):
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stdin", Keyboard(answer + "\n"))
            return vaultctl("evidence", "release", kept[0]["id"], code=code)

    good = vaultctl("verify", "--identifier", deposited, "--wait", "--json").json
    assert (good["state"], good["good"], good["bad"]) == ("done", 2, 0)
    victim = stored_file(node.root / "b")
    victim.chmod(0o600)
    data = bytearray(victim.read_bytes())
    data[1000] ^= 1
    victim.write_bytes(data)
    said = vaultctl("verify", "--volume", "b", "--wait", "--json", code=5)
    found = said.json
    assert found["bad"] == 1
    assert f"{deposited} v1" in said.err
    assert victim.name in said.err
    assert "vaultctl evidence" in said.err
    assert vaultctl("verify", "--order", found["id"], "--json", code=5).json == found
    assert vaultctl("verify", "--order", found["id"][:9].upper(), "--json", code=5).json == found
    assert found["id"] in vaultctl("verify", "--list").out
    minutes = vaultctl("verify", "--order", found["id"], "--minutes", code=5).out
    assert all(part in minutes for part in ("MINUTES OF A VERIFICATION", found["id"], deposited, "Signatures"))
    today = f"{utcnow().astimezone(load_settings(node.config).node.zone):%Y-%m-%d}"
    said = vaultctl("verify", "--day", today, "--volume", "b").out
    assert all(part in said for part in ("MINUTES OF SCHEDULED READING", "1 check found", victim.name, "Signatures"))
    (day,) = vaultctl("verify", "--day", today[:7], "--volume", "b", "--json").json["items"]
    assert (day["day"], day["other"]["damaged"], day["routine"]["copies"]) == (today, 1, 0)
    assert "NOTHING was read back" in vaultctl("verify", "--day", "2020-02-29").out
    vaultctl("verify", "--day", "2020-02-30", code=2)
    vaultctl("verify", "--day", today, "--all", code=2)
    vaultctl("repair", deposited, "--wait", "--timeout", "60s")

    def healed() -> bool:
        copies = vaultctl("packages", "show", deposited, "--json").json["versions"][0]["copies"]
        return [copy["state"] for copy in copies] == ["good", "good"]

    eventually(healed)
    assert stored_file(node.root / "b").read_bytes() == stored_file(node.root / "a").read_bytes()
    kept = vaultctl("evidence", "--json").json["items"]
    assert [(one["identifier"], one["volume"]) for one in kept] == [(deposited, "b")]
    assert deposited in vaultctl("evidence").out
    for refused in (vaultctl("evidence", "release", kept[0]["id"], code=1), answered("n", code=1)):
        assert "released" in refused.err or "Nothing was removed" in refused.err
    assert [one["id"] for one in vaultctl("evidence", "--json").json["items"]] == [kept[0]["id"]]
    assert "--yes" in vaultctl("evidence", "release", kept[0]["id"], code=1).err
    asked = answered("y")
    for shown in (f"{deposited} v1", kept[0]["path"], "volume", " b", "cannot be undone"):
        assert shown in asked.err
    assert vaultctl("evidence", "--json").json["items"] == []
    assert [one["id"] for one in vaultctl("evidence", "--released", "--json").json["items"]] == [kept[0]["id"]]
    vaultctl("evidence", "release", kept[0]["id"], "--yes", code=1)
    vaultctl("evidence", "release", "999", "--yes", code=3)
    events = [json.loads(line) for line in vaultctl("events", "--identifier", deposited, "--json").out.splitlines()]
    types = [event["type"] for event in events]
    assert types.index("ingestion") < types.index("receipt-issued") < types.index("evidence-released")


def test_verify_of_what_is_not_there(vaultctl):
    vaultctl("verify", "--identifier", "nothing", code=3)
    vaultctl("verify", "--volume", "nothing", code=3)
    assert "vaultctl verify --list" in vaultctl("verify", "--order", "nothing", code=3).err
    assert "verify --volume nas-a --wait" in vaultctl("verify", code=2).err
    vaultctl("repair", "nothing", code=3)


def test_events_are_the_last_ones_or_those_after_a_number(vaultctl, deposited):
    last = [json.loads(line)["seq"] for line in vaultctl("events", "--limit", "5", "--json").out.splitlines()]
    head = vaultctl("status", "--json").json["ledger"]["seq"]
    assert len(last) == 5
    assert last == list(range(last[0], last[0] + 5))
    assert last[-1] <= head
    after = [
        json.loads(line)["seq"]
        for line in vaultctl("events", "--after", "2", "--limit", "3", "--json").out.splitlines()
    ]
    assert after == [3, 4, 5]
    typed = vaultctl("events", "--type", "receipt-issued", "--identifier", deposited, "--limit", "1")
    assert "receipt-issued" in typed.out
    assert typed.out.count("\n") == 1


def test_events_are_followed(node, vaultctl, tmp_path):
    program = "import sys; from vault.cli import main; sys.exit(main())"
    run = subprocess.Popen(
        [
            sys.executable,
            "-u",
            "-c",
            program,
            "--config",
            str(node.config),
            "events",
            "--follow",
            "--limit",
            "1",
            "--json",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert run.stdout is not None
    assert json.loads(run.stdout.readline())["seq"]
    (tmp_path / "f").write_text("followed")
    vaultctl("deposit", tmp_path / "f", "--identifier", "followed")
    seen = set()
    while "receipt-issued" not in seen:
        event = json.loads(run.stdout.readline())
        if event["identifier"] == "followed":
            seen.add(event["type"])
    assert "ingestion" in seen
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=30)
    assert (run.returncode, "interrupted; what vaultd is doing goes on" in said) == (130, True)


def test_tasks_are_listed(vaultctl, deposited):
    assert vaultctl("tasks", "--json").json.keys() == {"items"}
    done = vaultctl("tasks", "--all", "--limit", "500", "--json").json["items"]
    assert any(task["state"] == "done" and task["identifier"] == deposited for task in done)
    assert vaultctl("tasks", "--all").out


def test_a_token_opens_the_door_of_another_machine(vaultctl, node, deposited, tmp_path, monkeypatch):
    made = vaultctl("token", "create", "repo", "--scope", "read", "--scope", "deposit", "--expires", "90d")
    secret = made.out.strip()
    assert secret not in made.err
    assert "cannot be shown again" in made.err
    vaultctl("token", "create", "repo", "--scope", "read", code=7)
    assert secret not in vaultctl("token", "list").out
    listed = vaultctl("token", "list", "--json").json["items"]
    assert [(token["name"], sorted(token["scopes"])) for token in listed] == [("repo", ["deposit", "read"])]
    (tmp_path / "token").write_text(secret)
    (tmp_path / "token").chmod(0o600)
    remote = ("--url", node.address(), "--token-file", tmp_path / "token")
    vaultctl(*remote, "get", deposited, "-o", tmp_path / "out")
    vaultctl(*remote, "token", "list", code=1)
    vaultctl("--url", node.address(), "packages", code=1)
    monkeypatch.setenv("VAULTCTL_TOKEN", secret)
    vaultctl("--url", node.address(), "packages")
    vaultctl("token", "revoke", "repo")
    refused = vaultctl("--url", node.address(), "packages", code=1)
    assert secret not in refused.err + refused.out
    vaultctl("token", "revoke", "repo", code=3)


def test_the_ledger_is_checked_and_signed_while_it_grows(vaultctl):
    signed = vaultctl("ledger", "checkpoint", "--json").json
    assert signed["signature"]["algorithm"] == "Ed25519"
    assert "Signed: event" in vaultctl("ledger", "checkpoint").out
    found = vaultctl("ledger", "verify", "--json").json
    assert found["ok"] is True
    assert found["checkpoints_met"] == found["checkpoints"] >= 6
    assert found["events"] > signed["seq"]


def test_a_backup_can_be_made_while_work_goes_on(vaultctl, tmp_path):
    vaultctl("catalog", "backup", tmp_path / "b.db")
    assert (tmp_path / "b.db").stat().st_mode & 0o777 == 0o600


def test_the_doctor_finds_nothing_wrong(vaultctl):
    assert "Nothing is wrong." in vaultctl("doctor").out
    findings = vaultctl("doctor", "--json").json["findings"]
    assert {"daemon", "a", "b", "catalogue", "key"} <= {finding["area"] for finding in findings}


@pytest.mark.usefixtures("deposited")
def test_a_volume_that_goes_away_is_seen(vaultctl, node, monkeypatch):
    monkeypatch.setattr("vault.cli.commands.verify.OutOfReach.__init__.__defaults__", (0.0, time.monotonic))
    (node.root / "b").rename(node.root / "away")
    try:
        eventually(lambda: vaultctl("volumes", "show", "b", "--json").json["condition"] in ("offline", "foreign"))
        said = vaultctl("status").out
        assert "off-line" in said or "another volume" in said
        assert "→" in said
        waited = vaultctl("verify", "--volume", "b", "--wait", code=4)
        assert "could not be reached" in waited.err
        assert "vaultctl verify --order" in waited.err
        vaultctl("doctor", code=5)
    finally:
        (node.root / "away").rename(node.root / "b")
    eventually(lambda: vaultctl("volumes", "show", "b", "--json").json["condition"] == "online")


def test_some_are_verified_by_fonds_or_as_a_sample(vaultctl, deposited):
    by_fonds = vaultctl("verify", "--fonds", "2025-1", "--wait", "--json").json
    assert (by_fonds["state"], by_fonds["good"]) == ("done", 2), "the two copies of the one package of that fonds"
    sample = vaultctl("verify", "--volume", "b", "--sample", "1", "--wait", "--json").json
    assert (sample["state"], sample["good"]) == ("done", 1)
    nobody = vaultctl("verify", "--fonds", "no such fonds", "--wait", code=3)
    assert "no such fonds" in nobody.err


def test_a_dead_volume_is_replaced_when_that_was_said(vaultctl, node, deposited):
    (node.root / "b").rename(node.root / "dead")
    (node.root / "b").mkdir()
    was = vaultctl("volumes", "show", "b", "--json").json["uuid"]
    begun = vaultctl("volumes", "init", "b", code=1)
    assert "vaultctl volumes replace b" in begun.err
    unasked = vaultctl("volumes", "replace", "b", code=1)
    assert "--yes" in unasked.err
    assert list((node.root / "b").iterdir()) == []
    assert vaultctl("volumes", "replace", "b", "--yes", "--json").json["uuid"] != was
    eventually(lambda: vaultctl("status", "--json").json["policy_held"])
    assert stored_file(node.root / "b").read_bytes() == stored_file(node.root / "a").read_bytes()
    assert vaultctl("verify", "--identifier", deposited, "--wait", "--json").json["good"] == 2


def test_waiting_outlives_a_restart_of_the_daemon(vaultctl, node, deposited):
    order = vaultctl("verify", "--all", "--json").json
    node.kill()
    node.start()
    assert vaultctl("verify", "--order", order["id"], "--wait", "--json").json["state"] == "done"


def test_with_the_daemon_dead_what_needs_none_still_works(vaultctl, stopped, deposited, tmp_path):
    vaultctl("status", code=4)
    vaultctl("get", deposited, "--from-volume", "b", "-o", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == stored_file(stopped.root / "a").read_bytes()
    vaultctl("ledger", "verify")
    vaultctl("catalog", "backup", tmp_path / "b.db")
    assert "vaultd is not running" in vaultctl("doctor", code=5).out


def test_damage_on_a_volume_is_not_handed_out(vaultctl, stopped, deposited, tmp_path):
    victim = stored_file(stopped.root / "b")
    right = victim.read_bytes()
    victim.chmod(0o600)
    victim.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
    try:
        said = vaultctl("get", deposited, "--from-volume", "b", "-o", tmp_path / "out", code=5)
        assert "is damaged on the volume 'b'" in said.err
        assert os.listdir(tmp_path) == []
    finally:
        victim.write_bytes(right)
