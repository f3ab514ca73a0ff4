"""What works without a daemon, as it is typed: receipts, the ledger, backups, the doctor, and wrong usage."""

from __future__ import annotations

import base64
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from vault.catalog.engine import Catalogue
from vault.cli import main
from vault.cli.doctor import machine
from vault.cli.doctor.finding import Level, in_time
from vault.config import load_settings
from vault.intake.receipts import FORMAT
from vault.ledger import append, make_checkpoint
from vault.model import EventType, NewEvent, Outcome
from vault.signing import NodeKey
from vault.volumes.base import VolumeIdentity
from vault.volumes.directory import DirectoryVolume

CONFIG = """
[node]
name = "x"
state = "./state"
accept_shared_devices = true
[api]
socket = "./s"
[[volume]]
name = "a"
kind = "directory"
path = "./a"
mount = false
domain = "a"
site = "s"
reserve = 0
[[policy]]
name = "default"
disk = 1
"""


@pytest.fixture(autouse=True)
def english(monkeypatch):
    monkeypatch.setenv("KHOSO_LANG", "en")
    monkeypatch.delenv("VAULT_CONFIG", raising=False)


@pytest.fixture
def key(tmp_path) -> NodeKey:
    (tmp_path / "state").mkdir(mode=0o750)
    return NodeKey.load_or_create(tmp_path / "state" / "node.key")


@pytest.fixture
def config(tmp_path, key) -> Path:
    """A node that was stopped: a catalogue with some events, a volume, a checkpoint on it."""
    path = tmp_path / "vault.toml"
    path.write_text(CONFIG)
    (tmp_path / "a").mkdir()
    volume = DirectoryVolume(name="a", path=str(tmp_path / "a"), domain="a", site="s", mount=False)
    volume.initialise(VolumeIdentity(uuid4(), "a", "a", "s", "x", datetime.now(UTC)))
    catalogue = Catalogue.open(load_settings(path).catalog.url)
    catalogue.migrate()
    for number in range(20):
        with catalogue.write() as tx:
            append(tx, NewEvent(EventType.FIXITY_CHECK, Outcome.SUCCESS, "node:x", detail={"number": number}))
        if number == 14:
            with catalogue.read() as tx:
                volume.write_note("ledger/15.json", json.dumps(make_checkpoint(tx, key, "x")).encode())
    catalogue.close()
    return path


# --- receipts


def receipt(key: NodeKey, path: Path, **changes: object) -> Path:
    signed = key.sign_document(
        {
            "format": FORMAT,
            "identifier": "H49/Đ",
            "version": "v1",
            "node": "x",
            "issued_at": "2026-11-22T10:40:42.000000Z",
        }
    )
    path.write_text(json.dumps({**signed, **changes}))
    return path


def test_a_receipt_is_valid_anywhere_but_whose_it_is_is_not_known(tmp_path, key, capsys):
    assert main(["receipt", "verify", str(receipt(key, tmp_path / "r.json"))]) == 0
    said = capsys.readouterr().out
    assert "H49/Đ v1" in said
    assert "It is whole" in said
    assert "22/11/2026 17:40" in said
    assert "was not checked" in said


def test_a_receipt_is_compared_with_the_key_of_this_machine_s_node(tmp_path, key, config, capsys):
    assert main(["--config", str(config), "receipt", "verify", str(receipt(key, tmp_path / "r.json"))]) == 0
    assert f"It is signed by this node's key ({key.key_id})." in capsys.readouterr().out


def keys(key: NodeKey, tmp_path: Path) -> list[str]:
    """The same key in the three forms that people have it in."""
    text = base64.b64encode(key.public_key).decode()
    plain = tmp_path / "key.txt"
    plain.write_text(text + "\n")
    pem = tmp_path / "key.pem"
    public = Ed25519PublicKey.from_public_bytes(key.public_key)
    pem.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return [text, str(plain), str(pem)]


@pytest.mark.parametrize("form", [0, 1, 2])
def test_a_receipt_is_compared_with_the_key_that_is_given(tmp_path, key, form, capsys):
    own = keys(key, tmp_path)[form]
    other = base64.b64encode(bytes(range(32))).decode()
    file = str(receipt(key, tmp_path / "r.json"))
    assert main(["receipt", "verify", file, "--key", own]) == 0
    assert main(["receipt", "verify", file, "--key", other, "--key", own]) == 0
    assert main(["receipt", "verify", file, "--key", other]) == 1
    assert "none of those that are trusted" in capsys.readouterr().out


@pytest.mark.parametrize(
    "change",
    [{"identifier": "H49/E"}, {"version": "v2"}, {"more": 1}, {"signature": {}}, {"format": "khoso-receipt/9"}],
)
def test_a_receipt_that_was_changed_is_not_valid(tmp_path, key, change, capsys):
    file = str(receipt(key, tmp_path / "r.json", **change))
    assert main(["receipt", "verify", file]) == 1
    assert main(["receipt", "verify", file, "--json"]) == 1
    answer = json.loads("{" + capsys.readouterr().out.partition("\n{")[2])
    assert answer["valid"] is False
    assert answer["reason"]


def test_what_is_signed_but_no_receipt_is_no_receipt(tmp_path, key, capsys):
    (tmp_path / "c.json").write_text(json.dumps(key.sign_document({"format": "other", "identifier": "x"})))
    assert main(["receipt", "verify", str(tmp_path / "c.json")]) == 1
    assert "not a receipt" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "[]", '"x"', "null"])
def test_what_is_no_document_is_refused(tmp_path, text):
    (tmp_path / "f").write_text(text)
    assert main(["receipt", "verify", str(tmp_path / "f")]) == 1


def test_a_receipt_that_is_not_there_is_not_found(tmp_path):
    assert main(["receipt", "verify", str(tmp_path / "none")]) == 3


# --- the ledger


def test_a_ledger_that_holds(config, capsys):
    assert main(["--config", str(config), "ledger", "verify", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], found["events"], found["checkpoints"], found["checkpoints_met"]) == (True, 20, 1, 1)
    assert found["key_trusted"] is True
    assert main(["--config", str(config), "ledger", "verify"]) == 0
    assert "20 events hold." in capsys.readouterr().out


def tamper(config: Path, *statements: str) -> None:
    with sqlite3.connect(config.parent / "state" / "catalog.db") as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            assert connection.execute(statement).rowcount > 0
    connection.close()


@pytest.mark.parametrize(
    ("statement", "seq"),
    [
        ("UPDATE events SET agent = 'user:nobody' WHERE seq = 8", 8),
        ("DELETE FROM events WHERE seq = 11", 11),
        ("DELETE FROM events WHERE seq = 20", 20),
    ],
)
def test_the_first_event_that_does_not_hold_is_named(config, statement, seq, capsys):
    tamper(config, statement)
    assert main(["--config", str(config), "ledger", "verify"]) == 5
    assert f"First bad event: {seq}" in capsys.readouterr().out
    assert main(["--config", str(config), "ledger", "verify", "--json"]) == 5
    assert json.loads(capsys.readouterr().out)["first_bad_seq"] == seq


def test_a_ledger_that_was_cut_behind_a_checkpoint_does_not_hold(config, capsys):
    tamper(
        config,
        "DELETE FROM events WHERE seq > 10",
        "UPDATE ledger_head SET seq = 10, hash = (SELECT hash FROM events WHERE seq = 10)",
    )
    assert main(["--config", str(config), "ledger", "verify"]) == 5
    assert "a checkpoint signed 15" in " ".join(capsys.readouterr().out.split())


def test_a_checkpoint_of_another_key_is_no_checkpoint(config, tmp_path, capsys):
    other = NodeKey.load_or_create(tmp_path / "other.key")
    forged = other.sign_document({"type": "khoso-ledger-checkpoint", "version": 1, "node": "x", "seq": 3,
                                  "hash": "0" * 64, "time": "2026-11-22T10:40:42.000000Z"})  # fmt: skip
    (tmp_path / "a" / "node" / "ledger" / "3.json").write_text(json.dumps(forged))
    (tmp_path / "a" / "node" / "ledger" / "4.json").write_text("{")
    assert main(["--config", str(config), "ledger", "verify"]) == 5
    said = capsys.readouterr().out
    assert "a:node/ledger/3.json: It is signed by key" in said
    assert "a:node/ledger/4.json" in said


def test_a_volume_that_is_away_is_said_and_no_fault_of_the_ledger(config, tmp_path, capsys):
    (tmp_path / "a").rename(tmp_path / "away")
    assert main(["--config", str(config), "ledger", "verify"]) == 0
    caught = capsys.readouterr()
    assert "20 events hold." in caught.out
    assert "not read" in caught.err


def test_without_a_catalogue_there_is_nothing_to_check(config, tmp_path):
    (tmp_path / "state" / "catalog.db").rename(tmp_path / "gone")
    assert main(["--config", str(config), "ledger", "verify"]) == 3


def test_a_catalogue_of_another_program_is_left_alone(config):
    tamper(config, "UPDATE alembic_version SET version_num = '9999'")
    assert main(["--config", str(config), "ledger", "verify"]) == 8
    assert main(["--config", str(config), "catalog", "backup", str(config.with_name("b.db"))]) == 8


def test_a_backup_is_a_catalogue_of_its_own(config, tmp_path):
    assert main(["--config", str(config), "catalog", "backup", str(tmp_path / "b.db")]) == 0
    with sqlite3.connect(tmp_path / "b.db") as copy:
        assert copy.execute("SELECT count(*) FROM events").fetchone() == (20,)
    copy.close()
    (tmp_path / "folder").mkdir()
    assert main(["--config", str(config), "catalog", "backup", str(tmp_path / "folder")]) == 0
    assert [name.startswith("catalog-") for name in os.listdir(tmp_path / "folder")] == [True]
    assert main(["--config", str(config), "catalog", "backup", str(tmp_path / "none" / "b.db")]) == 3


def test_a_backup_replaces_nothing_unless_it_is_told_to(config, tmp_path):
    (tmp_path / "b.db").write_text("older")
    assert main(["--config", str(config), "catalog", "backup", str(tmp_path / "b.db")]) == 7
    assert (tmp_path / "b.db").read_text() == "older"
    assert main(["--config", str(config), "catalog", "backup", "--force", str(tmp_path / "b.db")]) == 0
    assert (tmp_path / "b.db").read_bytes().startswith(b"SQLite format 3")


# --- the doctor


def diagnosis(config: Path, capsys) -> list[dict[str, str]]:
    code = main(["--config", str(config), "doctor", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert code == (0 if found["ok"] else 5)
    return found["findings"]


def wrong(findings: list[dict[str, str]]) -> list[tuple[str, str]]:
    return [(finding["area"], finding["what"]) for finding in findings if finding["level"] == "bad"]


def test_with_the_daemon_dead_only_that_is_wrong(config, capsys):
    findings = diagnosis(config, capsys)
    assert [area for area, _ in wrong(findings)] == ["daemon"]
    assert all(finding["remedy"] for finding in findings if finding["level"] == "bad")
    assert any("its ledger has 20 events" in finding["what"] for finding in findings)


def test_a_configuration_that_cannot_work_is_named_line_by_line(config, capsys):
    config.write_text(CONFIG.replace("disk = 1", "disk = 0\ntap = 1").replace('kind = "directory"', 'kind = "tape"'))
    findings = diagnosis(config, capsys)
    said = " ".join(what for area, what in wrong(findings) if area == "configuration")
    assert "policy[default].disk" in said
    assert "policy[default].tap" in said
    assert "volume[a].kind" in said
    assert f"{config}:" in said


def test_a_volume_that_is_not_there_or_not_itself_is_wrong(config, tmp_path, capsys):
    (tmp_path / "a").rename(tmp_path / "away")
    assert {"volumes", "a"} <= {area for area, _ in wrong(diagnosis(config, capsys))}
    (tmp_path / "a").mkdir()
    assert any("has no vault-volume.json" in what for _, what in wrong(diagnosis(config, capsys)))
    (tmp_path / "a").rmdir()
    (tmp_path / "away").rename(tmp_path / "a")
    identity = tmp_path / "a" / "vault-volume.json"
    identity.write_text(identity.read_text().replace('"name": "a"', '"name": "b"'))
    assert any("is the volume b, not a" in what for _, what in wrong(diagnosis(config, capsys)))


def test_what_must_be_mounted_and_is_not_is_wrong(config, capsys):
    config.write_text(CONFIG.replace("mount = false", "mount = true"))
    assert any("nothing is mounted" in what.lower() for _, what in wrong(diagnosis(config, capsys)))


def test_a_volume_without_room_is_wrong(config, capsys):
    room = shutil.disk_usage(config.parent)
    config.write_text(CONFIG.replace("reserve = 0", f'reserve = "{(room.free + room.total) // 2} B"'))
    assert any("It is full" in what for _, what in wrong(diagnosis(config, capsys)))


def test_a_reserve_as_large_as_the_volume_is_wrong(config, capsys):
    config.write_text(CONFIG.replace("reserve = 0", 'reserve = "900 PB"'))
    assert any("Its reserve (900 PB) is not smaller" in what for _, what in wrong(diagnosis(config, capsys)))


def test_on_a_new_node_the_doctor_says_what_comes_next(config, tmp_path, capsys):
    shutil.rmtree(tmp_path / "a")
    (tmp_path / "a").mkdir()
    mounted = [one for one in diagnosis(config, capsys) if one["area"] == "a" and one["level"] != "ok"]
    assert [(one["level"], "Only if it never was" in one["remedy"]) for one in mounted] == [("bad", True)]
    shutil.rmtree(tmp_path / "state")
    (tmp_path / "state").mkdir(mode=0o750)
    found = diagnosis(config, capsys)
    assert [area for area, _ in wrong(found)] == ["daemon"]
    assert [one["what"] for one in found if one["area"] == "a"] == ["It was not initialised yet."]
    assert any("vaultctl volumes init a" in one["remedy"] for one in found)


def test_a_key_or_state_that_others_can_touch_is_wrong(config, tmp_path, capsys):
    (tmp_path / "state" / "node.key").chmod(0o644)
    (tmp_path / "state").chmod(0o777)
    assert {"key", "state folder"} <= {area for area, _ in wrong(diagnosis(config, capsys))}


def test_the_doctor_makes_no_key(config, tmp_path, capsys):
    (tmp_path / "state" / "node.key").unlink()
    diagnosis(config, capsys)
    assert not (tmp_path / "state" / "node.key").exists()


def test_a_clock_behind_the_ledger_is_wrong():
    now = datetime(2026, 11, 22, tzinfo=UTC)
    assert machine.clock(now, None).level is Level.OK
    assert machine.clock(now, now.replace(hour=1)).level is Level.BAD
    assert machine.clock(now.replace(year=1970), None).level is Level.BAD
    assert machine.clock_synchronised(5).level is Level.NOTE
    assert machine.clock_synchronised(0).level is Level.OK
    assert machine.clock_synchronised(-1).level is Level.NOTE


def test_what_is_too_old_is_wrong():
    assert machine.python_version((3, 10, 9)).level is Level.BAD
    assert machine.sqlite_version((3, 34, 9)).level is Level.BAD


def test_a_file_system_that_hangs_does_not_hold_the_doctor_up(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TimeoutError):
        in_time((tmp_path / "pipe").read_bytes, 0.1)
    # Lets the thread go.
    os.close(os.open(tmp_path / "pipe", os.O_WRONLY))
    with pytest.raises(ZeroDivisionError):
        in_time(lambda: 1 // 0)


# --- usage


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        ["status", "--nothing"],
        ["deposit"],
        ["deposit", "x"],
        ["deposit", "x", "--identifier", " "],
        ["deposit", "x", "--identifier", "x", "--follows", "two"],
        ["deposit", "x", "--identifier", "x", "--timeout", "soon"],
        ["deposit", "x", "--identifier", "x", "--wait", "none", "--receipt", "r"],
        ["deposit", "x", "--identifier", "x", "--metadata", "x"],
        ["get", "x", "-o", "y", "--file", "f", "--format", "tar"],
        ["get", "x", "-o", "y", "--from-volume", "a", "--format", "zip"],
        ["verify"],
        ["verify", "--all", "--volume", "a"],
        ["token", "create", "x"],
        ["token", "create", "x", "--scope", "everything"],
        ["token", "create", "a b", "--scope", "read"],
        ["volumes", "set-state", "a", "broken"],
        ["--url", "http://127.0.0.1:1", "--socket", "/s", "status"],
    ],
)
def test_what_cannot_be_understood_ends_with_2(arguments, capsys):
    assert main(arguments) == 2
    assert capsys.readouterr().err


def test_without_a_daemon_commands_end_with_4(config, capsys):
    for command in (["status"], ["packages"], ["volumes"], ["tasks"], ["events"], ["evidence"], ["token", "list"]):
        assert main(["--config", str(config), *command]) == 4
        said = capsys.readouterr()
        assert said.out == ""
        assert "vaultd is not running" in said.err
        assert "What to do: " in said.err


def test_a_bad_configuration_ends_with_8(config, capsys):
    config.write_text("[node]\n")
    assert main(["--config", str(config), "status"]) == 8
    assert "node.name" in capsys.readouterr().err


def test_the_language_of_the_help_is_that_of_the_environment():
    program = [sys.executable, "-c", "import sys; from vault.cli import main; sys.exit(main())", "deposit", "--help"]
    said = {
        language: subprocess.run(
            program, env={**os.environ, "KHOSO_LANG": language}, capture_output=True, text=True, timeout=60, check=True
        ).stdout
        for language in ("vi", "en")
    }
    assert "Mã của gói tin." in said["vi"]
    assert "What the package is to be called." in said["en"]


def test_a_reader_that_goes_away_is_no_fault(config):
    program = [sys.executable, "-c", "import sys; from vault.cli import main; sys.exit(main())"]
    run = subprocess.Popen(
        [*program, "--config", str(config), "doctor"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert run.stdout is not None
    assert run.stderr is not None
    run.stdout.close()
    assert "Traceback" not in run.stderr.read()
    run.stderr.close()
    run.wait(60)


def test_a_lost_catalogue_is_made_anew_as_it_is_typed(config, tmp_path, capsys):
    (tmp_path / "state" / "catalog.db").rename(tmp_path / "gone")
    assert main(["--config", str(config), "catalog", "rebuild", "--json"]) == 5, (
        "events that a checkpoint signed are lost"
    )
    report = json.loads(capsys.readouterr().out)
    assert (report["base"]["kind"], report["troubles"]) == ("nothing", {"events-lost": 1})
    assert main(["--config", str(config), "ledger", "verify"]) == 0
    assert main(["--config", str(config), "catalog", "rebuild", "--from", "current"]) == 0
    assert main(["--config", str(config), "catalog", "rebuild", "--from", "elsewhere"]) == 2
