"""The helper with a smartctl that answers, hangs, lies or is not there; and the real one."""

import json
import os
import stat
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

from hardware import blocks
from hardware.errors import Malformed, NotFound, Refused, Unreachable
from hardware.smart import collect, report, run, second
from hardware.smart.facts import Reading, TestOutcome
from hardware.smart.parse import from_document
from hardware.smart.reasons import Verdict
from hardware.smart.verdict import judge
from tests.support.drives import HEALTHY_NVME, ata, sas
from tests.support.tools import require

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


@pytest.fixture
def machine(tmp_path):
    """A smartctl and a sysfs of our making."""

    class Machine:
        folder = tmp_path / "run"
        sysfs = tmp_path / "sys"
        program = tmp_path / "smartctl"
        answers = tmp_path / "answers"

        def disk(self, name, answer=None, *, serial="", wwn="", kind="sat"):
            device = self.sysfs / "class/block" / name / "device"
            device.mkdir(parents=True)
            (device / "vpd_pg80").write_bytes(b"\0\x80\0\x08" + serial.encode())
            (device / "wwid").write_text(f"naa.{wwn}\n" if wwn else "\n")
            self.listed.append({"name": f"/dev/{name}", "type": kind})
            if answer is not None:
                self.says(name, answer)

        def says(self, name, answer, status=None):
            text = answer if isinstance(answer, str) else json.dumps(answer)
            (self.answers / name).write_text(text)
            known = 0 if isinstance(answer, str) else answer["smartctl"]["exit_status"]
            (self.answers / f"{name}.status").write_text(str(known if status is None else status))

        def collect(self, patience=20.0):
            scan = {"smartctl": {"exit_status": 0}, "devices": self.listed}
            self.says("scan", scan)
            smartctl = run.PatientSmartctl(str(self.program), patience)
            collect.collect(smartctl, self.folder, sysfs=self.sysfs, now=lambda: NOW)
            return self.read()

        def read(self):
            found = report.read(self.folder / report.NAME)
            return {facts.device: facts for facts in found.disks}

        def __init__(self):
            self.listed = []
            self.folder.mkdir()
            self.answers.mkdir()
            (self.sysfs / "class/block").mkdir(parents=True)
            self.program.write_text(f"""#!/bin/sh
printf '%s\\n' "$*" >> {tmp_path}/asked
for last; do :; done
case "$1" in --scan) last=scan;; esac
name=$(basename "$last")
[ -e {self.answers}/$name ] || exec sleep 600
cat {self.answers}/$name
exit $(cat {self.answers}/$name.status)
""")
            self.program.chmod(0o755)

        @property
        def asked(self):
            return (tmp_path / "asked").read_text().splitlines()

    return Machine()


def test_every_disk_is_in_the_report(machine):
    machine.disk("sda", ata())
    machine.disk("sdb", sas(), kind="scsi")
    machine.disk("nvme0", HEALTHY_NVME, kind="nvme")
    found = machine.collect()
    assert {facts.identity.key for facts in found.values()} == {"ZL20ABCD", "K1G0ABCD", "22463C1F0D2B"}
    assert {judge(facts).verdict for facts in found.values()} == {Verdict.HEALTHY}
    assert report.read(machine.folder / report.NAME).taken_at == NOW


def test_no_disk_is_asked_without_saying_that_it_may_sleep_on(machine):
    machine.disk("sda", ata())
    machine.collect()
    assert all("-n standby" in line for line in machine.asked if not line.startswith("--scan"))


def test_a_sata_disk_that_is_listed_as_scsi_is_asked_for_what_it_speaks(machine):
    """As smartctl --scan lists it on Linux, where it opens none."""
    machine.disk("sda", ata(), kind="scsi")
    machine.program.write_text(
        machine.program.read_text().replace("[ -e", 'case "$*" in *"-d scsi"*) name=as-scsi;; esac\n[ -e')
    )
    machine.says("as-scsi", {"smartctl": {"exit_status": 4}, "device": {"protocol": "SCSI"},
                             "serial_number": "ZL20ABCD", "smart_support": {"available": False}})  # fmt: skip
    assert judge(machine.collect()["/dev/sda"]).verdict is Verdict.HEALTHY


def test_a_disk_that_smartctl_does_not_list_is_asked_all_the_same(machine):
    machine.disk("sda", ata())
    machine.listed.clear()
    assert set(machine.collect()) == {"/dev/sda"}


def test_what_the_kernel_knows_is_read_once_and_not_once_for_each_disk(machine, monkeypatch):
    for letter in "abcdef":
        machine.disk(f"sd{letter}", ata(serial_number=letter, wwn={}), serial=letter)
    looked, real = [], blocks.block
    monkeypatch.setattr(blocks, "block", lambda name, *where: (looked.append(name), real(name, *where))[1])
    assert {facts.kernel.serial for facts in machine.collect().values()} == set("abcdef")
    assert len(looked) <= 2 * 6, "once to find them, once to know them"


def test_disks_behind_a_controller_are_told_apart(machine):
    behind_a_controller(machine)
    found = machine.collect()
    assert {device: facts.identity.key for device, facts in found.items()} == {
        "/dev/bus/0 megaraid,8": "EIGHT",
        "/dev/bus/0 megaraid,9": "NINE",
    }


def test_a_disk_that_hangs_is_ended_and_told_of_and_keeps_its_name(machine):
    machine.disk("sda", ata())
    machine.disk("sdb", None, serial="HUNG0001", wwn="5000c500aaaaaaaa")
    began = time.monotonic()
    found = machine.collect(patience=1.0)
    assert time.monotonic() - began < 15
    hung = found["/dev/sdb"]
    assert (hung.reading, hung.identity.serial) == (Reading.HUNG, "HUNG0001")
    assert judge(hung).verdict is Verdict.UNKNOWN
    assert judge(found["/dev/sda"]).verdict is Verdict.HEALTHY


def test_a_sleeping_disk_is_known_by_what_the_kernel_knows(machine):
    asleep = {"smartctl": {"exit_status": 2, "messages": [{"string": "Device is in STANDBY mode, exit(2)"}]}}
    machine.disk("sda", asleep, serial="ZL20ABCD", wwn="5000c500deadbeef")
    facts = machine.collect()["/dev/sda"]
    assert (facts.reading, facts.identity.key, facts.identity.wwn) == (Reading.ASLEEP, "ZL20ABCD", "5000c500deadbeef")


ASLEEP = {"smartctl": {"exit_status": 2, "messages": [{"string": "Device is in STANDBY mode, exit(2)"}]}}


def test_a_disk_behind_a_usb_bridge_is_the_same_one_when_it_sleeps_or_hangs(machine):
    """The kernel knows the serial number of the bridge, and only the disk itself its own."""
    machine.disk("sdc", ata(serial_number="ITS-OWN", wwn={}), serial="BRIDGE-1")
    machine.disk("sdd", ata(serial_number="ANOTHER", wwn={}), serial="BRIDGE-1")
    awake = {device: facts.identity.key for device, facts in machine.collect().items()}
    machine.says("sdc", ASLEEP)
    machine.says("sdd", ASLEEP)
    for _ in range(2):
        asleep = machine.collect()
        assert {facts.reading for facts in asleep.values()} == {Reading.ASLEEP}
        assert {device: facts.identity.key for device, facts in asleep.items()} == awake
    machine.says("sdc", "smartctl: no JSON")
    (machine.answers / "sdd").unlink()
    silent = machine.collect(patience=1.0)
    assert [silent[device].reading for device in ("/dev/sdc", "/dev/sdd")] == [Reading.UNREADABLE, Reading.HUNG]
    assert {device: facts.identity.key for device, facts in silent.items()} == awake
    machine.says("sdd", ASLEEP)
    machine.disk("sde", ASLEEP, serial="BRIDGE-2")
    assert machine.collect()["/dev/sde"].identity.key == "BRIDGE-2", "of this one nothing else is known"


def behind_a_controller(machine):
    for number in (8, 9):
        machine.listed.append({"name": "/dev/bus/0", "type": f"megaraid,{number}"})
    machine.program.write_text(machine.program.read_text().replace('name=$(basename "$last")', "name=$last\n"
        'case "$*" in *megaraid,8*) name=m8;; *megaraid,9*) name=m9;; esac'))  # fmt: skip
    machine.says("m8", ata(serial_number="EIGHT", wwn={}))
    machine.says("m9", ata(serial_number="NINE", wwn={}))


def test_a_disk_behind_a_controller_that_sleeps_or_hangs_is_still_there(machine):
    behind_a_controller(machine)
    machine.collect()
    machine.says("m8", ASLEEP)
    (machine.answers / "m9").unlink()
    found = machine.collect(patience=1.0)
    assert {facts.identity.key: facts.reading for facts in found.values()} == {
        "EIGHT": Reading.ASLEEP, "NINE": Reading.HUNG,
    }  # fmt: skip


def test_disks_behind_a_controller_are_not_gone_because_nobody_lists_them(machine):
    behind_a_controller(machine)
    machine.collect()
    machine.says("scan", "smartctl: it hangs, or says what is no JSON")
    collect.collect(run.PatientSmartctl(str(machine.program), 20.0), machine.folder, sysfs=machine.sysfs)
    assert {facts.identity.key: facts.reading for facts in machine.read().values()} == {
        "EIGHT": Reading.READ, "NINE": Reading.READ,
    }  # fmt: skip


def test_of_a_controller_only_the_disk_that_hangs_is_left_alone(machine, monkeypatch):
    behind_a_controller(machine)
    machine.collect()
    stuck = report.Entry(
        "/dev/bus/0", "megaraid,8", report.identity("", "", ""), Reading.HUNG, {}, second.Second(), os.getpid()
    )
    report.write(machine.folder, [stuck], NOW)
    monkeypatch.setattr(collect, "_is_smartctl", lambda process: process == os.getpid())
    before = len(machine.asked)
    found = machine.collect()
    assert {facts.identity.key: facts.reading for facts in found.values()} == {
        "EIGHT": Reading.HUNG, "NINE": Reading.READ,
    }  # fmt: skip
    assert not any("megaraid,8" in line for line in machine.asked[before:])
    assert report.read(machine.folder / report.NAME).left_behind == {"/dev/bus/0 megaraid,8": os.getpid()}


def test_what_is_no_json_is_not_readable(machine):
    machine.disk("sda", "smartctl: symbol lookup error", serial="S1")
    facts = machine.collect()["/dev/sda"]
    assert (facts.reading, facts.identity.key) == (Reading.UNREADABLE, "S1")


def test_an_endless_answer_is_not_taken(machine):
    machine.disk("sda", {**ata(), "ata_smart_data": {"x": "y" * (collect.MOST_OF_ONE + 1)}}, serial="S1")
    assert machine.collect()["/dev/sda"].reading is Reading.UNREADABLE
    assert (machine.folder / report.NAME).stat().st_size < 10_000


def test_one_disk_by_two_ways_is_one_and_two_with_one_serial_number_are_two(machine):
    machine.disk("sda", ata())
    machine.disk("sdb", ata())
    assert len(machine.collect()) == 1
    machine.disk("sdc", ata(wwn={"naa": 5, "oui": 3152, "id": 7}))
    keys = {facts.identity.key for facts in machine.collect().values()}
    assert keys == {"ZL20ABCD 5000c500deadbeef", "ZL20ABCD 5000c50000000007"}


def test_what_cannot_be_ended_is_not_asked_again(machine, monkeypatch):
    machine.disk("sda", None, serial="S1")
    entry = report.Entry(
        "/dev/sda", "sat", report.identity("S1", "", ""), Reading.HUNG, {}, second.Second(), os.getpid()
    )
    report.write(machine.folder, [entry], NOW)
    monkeypatch.setattr(collect, "_is_smartctl", lambda process: process == os.getpid())
    assert machine.collect(patience=1.0)["/dev/sda"].reading is Reading.HUNG
    assert not any("/dev/sda" in line for line in machine.asked)
    assert report.read(machine.folder / report.NAME).left_behind == {"/dev/sda": os.getpid()}


def test_the_report_is_for_its_group_and_nobody_else(machine):
    machine.disk("sda", ata())
    machine.collect()
    assert stat.S_IMODE((machine.folder / report.NAME).stat().st_mode) == 0o640
    assert os.listdir(machine.folder) == [report.NAME]


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda path: None, NotFound),
        (lambda path: path.write_text("{"), Malformed),
        (lambda path: path.write_text("[]"), Malformed),
        (lambda path: path.write_text('{"format": 2}'), Malformed),
        (lambda path: path.write_text('{"format": 1, "taken_at": "yesterday"}'), Malformed),
        (lambda path: path.write_text('{"format": 1, "taken_at": "2026-01-01T00:00:00"}'), Malformed),
        (lambda path: path.symlink_to("/etc/hostname"), Unreachable),
        (os.mkfifo, Refused),
        (lambda path: (path.write_text("{}"), path.chmod(0o666)), Refused),
        (lambda path: (path.touch(), os.truncate(path, report.MOST_BYTES + 10)), Malformed),
    ],
)
def test_a_report_is_believed_only_when_it_is_one(tmp_path, make, error):
    path = tmp_path / report.NAME
    make(path)
    with pytest.raises(error):
        report.read(path)


@pytest.mark.parametrize("disks", [None, 3, "x", [None, 3, "x", [], {}], [{"device": 1, "answer": [], "second": 4}]])
def test_disks_that_are_none_are_unknown(tmp_path, disks):
    path = tmp_path / report.NAME
    path.write_text(json.dumps({"format": 1, "taken_at": NOW.isoformat(), "disks": disks}))
    assert all(judge(facts).verdict is Verdict.UNKNOWN for facts in report.read(path).disks)


def test_a_report_from_the_future_is_not_fresh():
    found = report.Report(NOW + timedelta(hours=1), (), {})
    assert report.age(found, NOW) > timedelta(days=1000)
    assert report.age(found, NOW + timedelta(hours=2)) == timedelta(hours=1)


SAS_TEXT = """smartctl 7.3 2022-02-28 r5338 [x86_64-linux-6.1.0-13-amd64] (local build)
Copyright (C) 2002-22, Bruce Allen, Christian Franke, www.smartmontools.org

=== START OF INFORMATION SECTION ===
Vendor:               HGST
Product:              HUS726060AL5210
Serial number:        K1G0ABCD
Device type:          disk
Transport protocol:   SAS (SPL-4)
SMART support is:     Available - device has SMART capability.
SMART support is:     Enabled

=== START OF READ SMART DATA SECTION ===
SMART Health Status: OK

Current Drive Temperature:     33 C
Drive Trip Temperature:        65 C

SMART Self-test log
Num  Test              Status                 segment  LifeTime  LBA_first_err [SK ASC ASQ]
     Description                              number   (hours)
# 1  Background long   Failed in segment -->       3   41022         123456789 [0x3 0x11 0x0]
# 2  Background short  Completed                   -   40001                 - [-   -    -]

Long (extended) Self-test duration: 6 seconds [0.1 minutes]
""".splitlines()


def test_what_the_json_of_old_smartctl_leaves_out_is_read_from_its_text(machine):
    answer = sas()
    answer["smartctl"] = {"exit_status": 0, "output": SAS_TEXT}
    machine.disk("sdb", answer, kind="scsi")
    facts = machine.collect()["/dev/sdb"]
    assert [test.outcome for test in facts.self_tests] == [TestOutcome.FAILED, TestOutcome.PASSED]
    assert judge(facts).verdict is Verdict.FAILING


def test_the_temperature_limits_of_an_nvme_disk_are_in_the_text():
    lines = [
        "",
        "",
        "",
        "",
        "Warning  Comp. Temp. Threshold:     34 Celsius",
        "Critical Comp. Temp. Threshold:     85 Celsius",
    ]
    facts = second.complete(from_document(HEALTHY_NVME), second.read(lines, "/dev/nvme0", "nvme"))
    assert (facts.temperature.warning, facts.temperature.critical) == (34, 85)
    assert judge(facts).verdict is Verdict.WATCH


def test_pysmart_leaves_the_language_of_the_process_alone():
    code = "import os, hardware.smart.run; print(os.environ.get('LANG'))"
    for lang in ("vi_VN.UTF-8", None):
        environ = {"PATH": os.environ["PATH"], "PYTHONPATH": os.getcwd()} | ({"LANG": lang} if lang else {})
        said = subprocess.check_output([sys.executable, "-c", code], env=environ, text=True, timeout=60)
        assert said.strip() == str(lang)


def test_without_smartctl_it_says_what_to_install(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(collect, "_SEARCHED", str(tmp_path))
    assert collect.main(["--output", str(tmp_path)]) == 1
    assert "apt install smartmontools" in capsys.readouterr().err


def test_the_real_smartctl_understands_the_question(tmp_path):
    program = require("smartctl", "smartmontools", ["/usr/sbin", "/sbin"])
    ended = run.run([program, "--json=o", "-n", "standby", *run.QUESTION, "-d", "scsi", "/dev/null"], 60)
    assert ended.status is not None
    assert b"/dev/null" in ended.output
    assert b"INVALID ARGUMENT" not in ended.output
    assert collect.main(["--output", str(tmp_path)]) == 0
    report.read(tmp_path / report.NAME)


def test_the_helper_begins_one_self_test_and_only_one(machine, tmp_path):
    entry = {"type": {"value": 2}, "status": {"value": 0, "string": "Completed without error"}, "lifetime_hours": 100}
    log = {"standard": {"table": [entry]}}
    machine.disk("sda", ata(serial_number="A", wwn={}, ata_smart_self_test_log=log))
    machine.disk("sdb", ata(serial_number="B", wwn={}))
    machine.disk("sdc", ata(serial_number="C", wwn={}))
    machine.collect()
    smartctl = run.PatientSmartctl(str(machine.program), 20.0)

    def round_of_tests():
        return collect.test_one(smartctl, machine.folder, collect.Schedule())

    assert (round_of_tests().key, round_of_tests().key) == ("B", "C")
    assert round_of_tests().key == "A", "the others were tried today"
    assert round_of_tests() is None
    started = [line for line in machine.asked if "-t " in line]
    assert started == [f"-n standby -t long /dev/sd{letter}" for letter in "bca"]


def test_the_command_reads_the_schedule_and_writes_the_report_whatever_it_says(machine, tmp_path, capsys):
    config = tmp_path / "vault.toml"
    command = ["--output", str(machine.folder), "--smartctl", str(machine.program), "--config", str(config)]
    machine.says("scan", {"smartctl": {"exit_status": 0}, "devices": []})
    assert collect.main(command) == 0
    assert "No disk tests itself" in capsys.readouterr().out
    assert (machine.folder / report.NAME).exists()
    assert (machine.folder / "arrays.json").exists()
    (machine.folder / report.NAME).unlink()
    config.write_text("[health")
    assert collect.main(command) == 1
    assert "vaultd --check" in capsys.readouterr().err
    assert (machine.folder / report.NAME).exists()
