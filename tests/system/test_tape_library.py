"""The package in a guest with a SCSI tape library that tgt emulates over iSCSI: a real kernel, its sch0, its st drives.

tgt's drives have no partitions, know no LOCATE and no log page, and Debian has no LTFS tools: so nothing is written to
its cartridges by the node, and what is tried here is all the rest. In the order of the tests the library lives on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.support.nodes import eventually
from tests.system.guest.image import image
from tests.system.guest.machine import Guest, guest
from tests.system.guest.node import Node

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.timeout(1800)]

TARGET = "iqn.2026-01.vn.khoso:library"
DRIVES = ("TAPEDRV002", "TAPEDRV001")
"""By their number in the library: the kernel finds the second first."""
CHANGER = "/dev/tape/by-id/scsi-LIBRARY01"
FIRST_SLOT, FIRST_PORT = 1024, 768
HOME = "/var/vtl"
LABELS = ("VLT001L8", "VLT002L8", "VLT003L8", "VLT004L8", "VLT901L8")
LIBRARY = f"""
mkdir -p {HOME} && cd {HOME}
systemctl start tgt
dd if=/dev/zero of=smc bs=1k count=1 status=none
for label in {" ".join(LABELS)} none1 none2; do
    tgtimg --op new --device-type tape --barcode $label --size 64 --type data --file $label
done
tgtimg --op new --device-type tape --barcode CLN001CU --size 64 --type clean --file CLN001CU
unit() {{ tgtadm --lld iscsi --mode logicalunit --tid 1 "$@"; }}
tgtadm --lld iscsi --mode target --op new --tid 1 -T {TARGET}
for n in 1 2; do
    unit --op new --lun $n -b {HOME}/none$n --device-type=tape
    unit --op update --lun $n --params online=0,vendor_id=IBM,product_id=ULTRIUM-HH8,scsi_sn=TAPEDRV00$n
done
unit --op new --lun 3 -b {HOME}/smc --device-type=changer
set_up() {{ unit --op update --lun 3 --params $1; }}
set_up media_home={HOME},scsi_sn=LIBRARY01
set_up element_type=4,start_address=1,quantity=2
set_up element_type=4,address=1,tid=1,lun=2
set_up element_type=4,address=2,tid=1,lun=1
set_up element_type=1,start_address=16,quantity=1
set_up element_type=2,start_address={FIRST_SLOT},quantity=6
set_up element_type=3,start_address={FIRST_PORT},quantity=2
tgtadm --lld iscsi --mode target --op bind --tid 1 -I ALL
systemctl start iscsid
iscsiadm -m discovery -t sendtargets -p 127.0.0.1 >/dev/null
"""
# The kernel goes on looking after the login.
LOGIN = f"""
iscsiadm -m node -T {TARGET} --login >/dev/null
until test -e {CHANGER} -a -e /dev/tape/by-id/scsi-TAPEDRV001-nst -a -e /dev/tape/by-id/scsi-TAPEDRV002-nst; do
    sleep 0.2
done
udevadm settle
"""
LOGOUT = f"iscsiadm -m node -T {TARGET} --logout >/dev/null"
# Somebody's tar on a tape: written as root, before there was a node.
FOREIGN = f"""
mtx -f {CHANGER} load 1 0
tar -cf /dev/tape/by-id/scsi-TAPEDRV002-nst -C /etc hostname
mt -f /dev/tape/by-id/scsi-TAPEDRV002-nst rewind
mtx -f {CHANGER} unload 1 0
"""
INIT = "vaultctl init --name sonla-1 --volume /srv/nas-a,domain=nas-a,mount=no --no-start"
# So that a test does not wait for hours; and a library beside it that does write: a folder.
MORE = """
sed -i '/^kind = "scsi"/a inventory_interval = "10s"\\nmount_after_age = "0s"' /etc/vault/vault.toml
sed -i 's/^tape = 1 /tape = 2 /' /etc/vault/vault.toml
cat >>/etc/vault/vault.toml <<'END'

[[library]]
name = "practice"
kind = "virtual"
path = "/var/lib/vault/practice"
inventory_interval = "10s"
mount_after_age = "0s"
[[pool]]
name = "shelf"
library = "practice"
[[pool]]
name = "vault"
library = "autoloader"
[custody]
planner_interval = "5s"
probe_interval = "10s"
retry_min = "2s"
END
"""


class Archive(Node):
    """The node, and the hands of whoever stands before the library."""

    def __init__(self, machine: Guest, told: dict[str, str]) -> None:
        super().__init__(machine)
        self.told = told

    def tape(self, barcode: str) -> dict:
        return self.get(f"tapes/{barcode}")

    def place(self, barcode: str) -> str:
        """Where the node says that a cartridge is, after an inventory."""
        self.order("libraries/autoloader/inventory")
        found = self.tape(barcode)
        return found["element"] if found["whereabouts"] == "library" else found["whereabouts"]

    def empty_drives(self) -> None:
        """Put back what the node left in the drives, in case that it is wanted again."""
        for tape in self.get("tapes")["items"]:
            if tape["library"] == "autoloader" and tape["element"].startswith("drive"):
                self.order(f"tapes/{tape['barcode']}/unload")

    def library(self) -> dict:
        return next(one for one in self.get("tapes")["libraries"] if one["name"] == "autoloader")

    def mtx(self, *arguments: str) -> str:
        """The real one, as root: a hand at the library that the node knows nothing of."""
        return self.machine.shell(f"mtx -f {CHANGER} {' '.join(arguments)}")

    def put(self, address: int, barcode: str) -> None:
        """Put a cartridge into a slot (the door is open), or into a port."""
        kind = 3 if address < FIRST_SLOT else 2
        self._set_up(f"element_type={kind},address={address},barcode={barcode},sides=1")

    def take(self, address: int) -> None:
        """Take out what is there."""
        self._set_up(f"element_type={3 if address < FIRST_SLOT else 2},address={address},clear_slot=1")

    def _set_up(self, what: str) -> None:
        self.machine.shell(f"tgtadm --lld iscsi --mode logicalunit --op update --tid 1 --lun 3 --params {what}")

    def node_of(self, serial: str) -> str:
        """The sg node of a drive, as the kernel has it now."""
        pages = self.machine.shell(f"grep -alE {serial} /sys/class/scsi_generic/*/device/vpd_pg80 2>/dev/null || true")
        return f"/dev/{pages.split('/')[4]}"


@pytest.fixture(scope="module")
def archive(tmp_path_factory, deb) -> Iterator[Archive]:
    with guest(tmp_path_factory.mktemp("tape"), image(deb)) as machine:
        machine.boot()
        told = {}
        machine.shell(LIBRARY)
        for number, barcode in enumerate((*LABELS[:4], "CLN001CU")):
            machine.shell(
                "tgtadm --lld iscsi --mode logicalunit --op update --tid 1 --lun 3 --params "
                f"element_type=2,address={FIRST_SLOT + number},barcode={barcode},sides=1"
            )
        machine.shell(LOGIN)
        machine.shell(FOREIGN)
        told["nodes"] = machine.shell("stat -L -c '%n %U:%G %a' /dev/sg* /dev/st* /dev/nst* /dev/tape/by-id/*")
        told["alert"] = machine.shell("sg_logs --page=0x2e /dev/tape/by-id/scsi-TAPEDRV001-nst || true")
        told["init"] = machine.shell(INIT, code=None, seconds=600)
        machine.shell(MORE)
        machine.shell("systemctl enable --now vaultd", seconds=300)
        made = Archive(machine, told)
        eventually(lambda: made.library()["problem"] == "", 60, made.journal, every=1)
        with closing(made.client):
            yield made


def test_udev_and_systemd_give_the_drives_to_the_service_alone(archive):
    nodes = dict(re.findall(r"(?m)^(\S+) (\S+ \d+)$", archive.told["nodes"]))
    tapes = {name: rights for name, rights in nodes.items() if re.match(r"/dev/n?st\d", name)}
    assert tapes
    assert set(tapes.values()) == {"root:root 0"}
    generic = {name: rights for name, rights in nodes.items() if name.startswith("/dev/sg")}
    assert list(generic.values()).count("root:tape 660") == 3, nodes
    links = "\n".join(name for name in nodes if "by-id" in name)
    for found in ("LIBRARY01", *DRIVES):
        assert found in links
    refused = archive.machine.shell("runuser -u vault -- mt -f /dev/nst0 status 2>&1 || true")
    assert "Permission denied" in refused
    refused = archive.machine.shell(f"runuser -u nobody -- mtx -f {CHANGER} status 2>&1 || true")
    assert "Permission denied" in refused
    process = "/proc/$(systemctl show vaultd -p MainPID --value)/status"
    groups = archive.machine.shell(f"getent group tape | cut -d: -f3; grep Groups {process}")
    tape, service = groups.splitlines()
    assert tape in service.split()[1:]


def test_init_found_the_library_and_doctor_says_what_is_lacking(archive):
    config = archive.machine.shell("cat /etc/vault/vault.toml")
    assert '[[library]]\nname = "autoloader"\nkind = "scsi"' in config
    sentence = "Nothing can be written to its cartridges: the LTFS tools are not installed (mkltfs, ltfs, ltfsck)."
    for said in (archive.told["init"], archive.machine.shell("vaultctl doctor", code=None)):
        about = [line for line in said.splitlines() if "✗" in line]
        assert about == [f"✗ tape library autoloader: {sentence}"], said


def test_an_inventory_pairs_the_drives_by_serial_number(archive):
    found = archive.get("tapes")
    places = {
        tape["barcode"]: (tape["element"], tape["state"]) for tape in found["items"] if tape["library"] != "practice"
    }
    assert places == {
        **{label: (f"slot {n}", "scratch") for n, label in enumerate(LABELS[:4], 1)},
        "CLN001CU": ("slot 5", "cleaning"),
    }
    drives = [
        (one["number"], one["serial"], one["problem"]) for one in found["drives"] if one["library"] == "autoloader"
    ]
    assert drives == [(0, DRIVES[0], ""), (1, DRIVES[1], "")]
    # What the kernel calls them says otherwise: nothing but the serial number tells.
    assert archive.node_of(DRIVES[1]) < archive.node_of(DRIVES[0])
    assert archive.metric('vault_tape_library_up{library="autoloader"}') == [1]


def test_a_cartridge_is_loaded_and_nobody_else_gets_at_the_drive(archive):
    assert archive.order("tapes/VLT002L8/load")["element"] == "drive 0"
    assert "Data Transfer Element 0:Full (Storage Element 2 Loaded)" in archive.mtx("status")
    node = archive.node_of(DRIVES[0])
    assert "busy" in archive.machine.shell(f"sg_turs {node} 2>&1 || true").lower()
    # These open it without O_NONBLOCK: the kernel keeps them waiting.
    for command in (f"tapeinfo -f {node}", f"mtx -f {node} inquiry"):
        archive.machine.shell(f"timeout 2 {command}", code=124)
    # Nor does a second daemon get the library.
    archive.machine.shell(f"flock --nonblock --conflict-exit-code 9 $(readlink -f {CHANGER}) true", code=9)
    archive.order("tapes/VLT002L8/unload")
    assert archive.place("VLT002L8") == "slot 2"


def test_what_is_on_a_cartridge_is_told_and_never_overwritten(archive):
    before = archive.machine.shell(f"cd {HOME}; sha256sum VLT001L8 VLT002L8")
    code, said = archive.refused("tapes/VLT001L8/format", pool="vault")
    assert code == "cartridge-not-blank"
    assert "it begins with a tar archive" in said
    assert archive.refused("tapes/VLT001L8/import")[0] == "cartridge-not-ltfs"
    assert archive.refused("tapes/VLT001L8/format", pool="vault", erase="VLT001L8")[0] == "tape-unreachable"
    code, said = archive.refused("tapes/VLT002L8/format", pool="vault")
    assert (code, "The LTFS tools are not installed (mkltfs, ltfs, ltfsck)." in said) == ("tape-unreachable", True), (
        said
    )
    assert archive.refused("tapes/VLT002L8/import")[0] == "cartridge-blank"
    assert archive.machine.shell(f"cd {HOME}; sha256sum VLT001L8 VLT002L8") == before


def test_what_waits_for_tape_waits_in_one_sentence(archive):
    archive.order("libraries/practice/cartridges", barcode="VLT901L8", capacity_bytes=256 << 20)
    archive.deposit("hồ sơ", b"x" * 300_000)
    eventually(lambda: archive.tape("VLT901L8")["copies"] == {"good": 1}, 120, archive.journal, every=1)
    waiting = archive.library()
    assert waiting["waiting_bytes"]["vault"] > 0
    assert waiting["lacking"] == []
    sentence = "Nothing can be written in the tape library autoloader. The LTFS tools are not installed"
    (told,) = archive.alerts()["library-unwritable"]
    assert sentence in told
    assert not {"tape-job-failed", "library-unusable", "no-cartridge"} & archive.alerts().keys()
    # Nothing was tried, once or again and again.
    tried = [task["volumes"] for task in archive.get("tasks?all=true")["items"] if task["kind"] == "tape-write"]
    assert tried == [["VLT901L8"]]
    assert "LTFS" not in archive.journal()


def test_hands_at_the_library_are_followed(archive):
    archive.empty_drives()
    archive.mtx("transfer", "3", "6")
    assert archive.place("VLT003L8") == "slot 6"
    archive.mtx("load", "4", "1")
    assert archive.place("VLT004L8") == "drive 1"
    assert archive.order("tapes/VLT004L8/load")["element"] == "drive 1"
    # Somebody takes its place while it is in the drive: it goes into a free slot.
    archive.mtx("transfer", "2", "4")
    archive.order("tapes/VLT004L8/unload")
    assert (archive.place("VLT004L8"), archive.place("VLT002L8")) == ("slot 2", "slot 4")
    archive.take(FIRST_SLOT + 5)
    assert archive.place("VLT003L8") == "offline"
    assert archive.refused("tapes/VLT003L8/load")[0] == "not-on-tape"
    archive.put(FIRST_SLOT + 2, "VLT003L8")
    assert archive.place("VLT003L8") == "slot 3"


def test_a_cartridge_goes_to_the_shelf_and_comes_back_by_the_mail_slot(archive):
    archive.order("tapes/VLT003L8/checkout", shelf="giá 2")
    assert re.search(r"IMPORT/EXPORT:Full :VolumeTag=VLT003L8", archive.mtx("status"))
    assert archive.place("VLT003L8") == "vaulted"
    archive.take(FIRST_PORT)
    assert archive.place("VLT003L8") == "vaulted"
    assert archive.refused("tapes/VLT003L8/checkin")[0] == "cartridge-not-there"
    archive.put(FIRST_PORT + 1, "VLT003L8")
    found = archive.order("tapes/VLT003L8/checkin")
    assert (found["whereabouts"], found["element"], found["shelf"]) == ("library", "slot 3", "")
    assert "IMPORT/EXPORT:Full" not in archive.mtx("status")


def test_a_cleaning_cartridge_is_counted_and_one_that_cleans_nothing_found_out(archive):
    """tgt's drives make a cleaning cartridge ready as any other: no drive that it cleans would."""
    assert archive.tape("CLN001CU")["uses_left"] == 50
    assert archive.refused("tapes/CLN001CU/load")[0] == "tape-refused"
    assert archive.metric('vault_tape_cartridge_cleaning_uses_left{volume="CLN001CU"}') == [50]
    done = archive.order("libraries/autoloader/drives/0/clean")
    assert "not cleaned: the drive took CLN001CU for no cleaning cartridge" in done["message"]
    assert (archive.place("CLN001CU"), archive.tape("CLN001CU")["state"]) == ("slot 5", "retired")
    # TapeAlert: these drives have no such page, and nothing is made up for it.
    assert "TapeAlert" not in archive.told["alert"] or "not supported" in archive.told["alert"], archive.told["alert"]
    assert archive.metric("vault_tape_drive_alert_timestamp_seconds", DRIVES[0]) == []


def test_a_library_that_vanishes_is_told_and_used_again_when_it_is_back(archive):
    archive.order("tapes/VLT002L8/load")
    archive.machine.shell(LOGOUT)
    told = eventually(lambda: archive.alerts().get("library-unusable"), 60, archive.journal, every=1)
    assert "The tape library autoloader cannot be used" in told[0]
    assert archive.metric('vault_tape_library_up{library="autoloader"}') == [0]
    assert archive.refused("tapes/VLT002L8/unload")[0] == "library-unreachable"
    assert archive.tape("VLT002L8")["element"] == "drive 0", "that it is away is not known"
    archive.machine.shell(LOGIN)
    eventually(lambda: "library-unusable" not in archive.alerts(), 60, archive.journal, every=1)
    archive.order("tapes/VLT002L8/unload")
    assert archive.order("tapes/VLT003L8/load")["element"] == "drive 0"
    archive.order("tapes/VLT003L8/unload")
    assert "drive-unusable" not in archive.alerts()
    rights = archive.machine.shell("stat -c '%U:%G %a' /dev/st? /dev/nst?")
    assert set(rights.splitlines()) == {"root:root 0"}


def test_a_cartridge_that_is_away_is_asked_for_and_another_with_its_label_is_not_taken_for_it(archive):
    archive.order("tapes/VLT901L8/checkout", shelf="giá 1")
    # What stands on a disk that can be read is not fetched from tape.
    archive.machine.shell("mv /srv/nas-a /srv/taken-away")
    eventually(lambda: archive.get("volumes/nas-a")["condition"] == "offline", 60, archive.journal, every=1)
    archive.order("recalls", identifier="hồ sơ")
    (asked,) = eventually(lambda: archive.get("tapes/requests")["items"], 60, archive.journal, every=1)
    assert (asked["barcode"], asked["shelf"]) == ("VLT901L8", "giá 1")
    assert "hồ sơ" in asked["reason"]
    assert any("VLT901L8" in line for line in archive.alerts()["cartridge-wanted"])
    # A blank one with that label, in the other library.
    archive.put(FIRST_PORT, "VLT901L8")
    before = archive.machine.shell(f"sha256sum {HOME}/VLT901L8")
    eventually(lambda: archive.tape("VLT901L8")["state"] == "foreign", 90, archive.journal, every=1)
    assert archive.tape("VLT901L8")["library"] == "autoloader"
    assert archive.machine.shell(f"sha256sum {HOME}/VLT901L8") == before
    assert any("VLT901L8" in line for line in archive.alerts()["cartridge-foreign"])
    assert archive.tape("VLT901L8")["copies"] == {"suspect": 1}


def test_the_ledger_tells_all_of_it(archive):
    archive.machine.shell("vaultctl ledger verify")
    failed = archive.machine.shell("journalctl -u vaultd -b -o cat | grep -i -e traceback -e crashed || true")
    assert failed == ""
