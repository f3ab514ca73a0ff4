"""Which disk is which, when the disks do not say so themselves."""

from datetime import UTC, date, datetime, timedelta

import pytest

from hardware.blocks import Block
from hardware.places import place
from hardware.smart import report, second
from hardware.smart.facts import Reading
from hardware.stack import Stack
from tests.support.drives import ata, attribute, nvme
from vault.device_model import DiskDay, Health
from vault.health.disks import explained, gone, judge_all
from vault.health.volumes import footing

BEGIN = datetime(2026, 6, 1, tzinfo=UTC)
NOBODY = report.identity("", "", "")
SLOTS = {"/dev/sda": "slot 1", "/dev/sdb": "slot 2", "/dev/sdc": "slot 3"}


class Node:
    """What a node remembers of the disks that it hears of, a round a day."""

    def __init__(self, folder):
        self.folder, self.known, self.history, self.round = folder, {}, {}, 0

    def hears(self, *entries, slots=None):
        """A report of these disks: device, answer, and how it went. Returns the keys in that order."""
        taken_at = BEGIN + timedelta(days=self.round)
        self.round += 1
        found = [
            report.Entry(device, "", NOBODY, reading[0] if reading else Reading.READ, answer, second.Second())
            for device, answer, *reading in entries
        ]
        disks = report.read(report.write(self.folder, found, taken_at)).disks
        where = (slots or SLOTS).get
        judged = judge_all(disks, self.known, self.history, taken_at=taken_at, where=lambda device: where(device, ""))
        for key in self.known.keys() - {one.disk.key for one in judged}:
            self.known[key] = gone(self.known[key])
        for one in judged:
            self.known[one.disk.key] = one.disk
            if one.day is not None:
                self.history.setdefault(one.disk.key, []).append(one.day)
        return [one.disk.key for one in judged]

    def health(self, key):
        return self.known[key].health

    def codes(self, key):
        return [row["code"] for row in self.known[key].reasons]


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


def nameless(**changes):
    return ata(serial_number="", wwn={}, **changes)


def twin(number=1, **changes):
    """A disk with the serial number that its siblings have as well."""
    return ata(**({"serial_number": "0123456789ABCDEF", "wwn": {"naa": 5, "oui": 3152, "id": number}} | changes))


def unnamed_twin(**changes):
    return twin(wwn={}, **changes)


def test_a_disk_without_a_name_is_shown_by_its_place_and_says_so(node):
    keys = node.hears(("/dev/sda", nameless()), ("/dev/sdb", nameless(smart_status={"passed": False})))
    assert keys == ["at slot 1", "at slot 2"]
    assert [node.health(key) for key in keys] == [Health.HEALTHY, Health.FAILED]
    assert node.codes("at slot 1") == ["no-serial-number"]
    assert explained(node.known["at slot 1"]).startswith("It gives neither serial number nor World Wide Name")
    assert node.codes("at slot 2") == ["says-failed", "no-serial-number"]


def test_it_keeps_its_key_when_its_device_has_another_name(node):
    node.hears(("/dev/sda", nameless()))
    assert node.hears(("/dev/sdb", nameless()), slots={"/dev/sdb": "slot 1"}) == ["at slot 1"]
    assert list(node.known) == ["at slot 1"]


def test_in_a_place_no_history_is_kept(node):
    for raw in (0, 4, 8, 12):
        node.hears(("/dev/sda", attribute(5, nameless(), raw=raw)))
    assert (node.health("at slot 1"), node.history) == (Health.WATCH, {})


def test_another_disk_in_its_place_inherits_nothing(node):
    node.hears(("/dev/sda", nameless(smart_status={"passed": False})))
    before = node.known["at slot 1"]
    node.hears(("/dev/sda", nameless(model_name="WDC WD40EFRX-68N32N0")))
    assert node.health("at slot 1") is Health.HEALTHY
    assert node.known["at slot 1"].first_seen_at > before.first_seen_at


def test_a_disk_of_which_not_even_the_place_is_known_is_shown(node):
    keys = node.hears(("/dev/sda", nameless()), ("/dev/sdb", nameless()), slots={"/dev/sda": ""})
    assert len(set(keys)) == 2
    assert all(node.known[key].present for key in keys)


def test_a_volume_on_a_disk_without_a_name_stands_on_it(node):
    node.hears(
        ("/dev/sda", nameless()), ("/dev/nvme0", nvme() | {"serial_number": "", "smart_status": {"passed": False}})
    )
    blocks = [Block(name, "", "", "", None, None) for name in ("sda", "nvme0n1", "sdx")]
    standing = [footing(Stack("/data", None, (), (block,)), node.known.values()) for block in blocks]
    assert [one.health for one in standing] == [Health.HEALTHY, Health.FAILED, Health.UNKNOWN]


def test_two_disks_with_one_serial_number_do_not_mix_their_histories(node):
    (first,) = node.hears(("/dev/sda", attribute(5, twin(1), raw=0)))
    both = node.hears(("/dev/sda", attribute(5, twin(1), raw=0)), ("/dev/sdb", attribute(5, twin(2), raw=900)))
    assert both[0] == first
    assert both[1] != first
    assert node.codes(first) == ["serial-number-not-unique"]
    assert "Another disk gives the same serial number" in explained(node.known[first])
    # One alone, and then the other alone: neither is taken for the other.
    assert node.hears(("/dev/sda", attribute(5, twin(2), raw=900))) == [both[1]]
    assert not node.known[first].present
    assert node.hears(("/dev/sda", attribute(5, twin(1), raw=0))) == [first]
    assert (node.health(first), node.health(both[1])) == (Health.HEALTHY, Health.WATCH)
    assert {day.readings["reallocated_sectors"] for day in node.history[first]} == {0}


def test_the_second_of_them_alone_is_not_the_first(node):
    (first,) = node.hears(("/dev/sda", twin(1)))
    (other,) = node.hears(("/dev/sda", attribute(5, twin(2), raw=50)))
    assert other != first
    assert "counter-grew" not in node.codes(other)


def test_without_a_wwn_the_model_tells_them_apart(node):
    one, other = unnamed_twin(), unnamed_twin(model_name="WDC WD40EFRX-68N32N0")
    keys = node.hears(("/dev/sda", one), ("/dev/sdb", other))
    assert len(set(keys)) == 2
    assert node.hears(("/dev/sda", other), ("/dev/sdb", one)) == keys[::-1]
    assert [node.health(key) for key in keys] == [Health.HEALTHY, Health.HEALTHY]
    assert len(node.history[keys[0]]) == len(node.history[keys[1]]) == 2


def test_where_nothing_tells_them_apart_both_are_shown_and_flagged(node):
    sick = unnamed_twin(smart_status={"passed": False})
    keys = node.hears(("/dev/sda", unnamed_twin()), ("/dev/sdb", sick))
    assert keys == ["0123456789ABCDEF at slot 1", "0123456789ABCDEF at slot 2"]
    assert [node.health(key) for key in keys] == [Health.UNKNOWN, Health.FAILED]
    assert all("serial-number-not-unique" in node.codes(key) for key in keys)
    assert node.history == {}
    # Which of them is below a volume cannot be known: it is taken for the worse.
    block = Block("sda", "0123456789ABCDEF", "", "", None, None)
    assert footing(Stack("/data", None, (), (block,)), node.known.values()).health is Health.FAILED


def test_a_disk_that_is_not_read_is_the_one_that_it_was(node):
    kernel = report.identity("ZL20ABCD", "", "ST16000NM001G-2K")
    (key,) = node.hears(("/dev/sda", ata()))
    asleep = report.Entry("/dev/sda", "", kernel, Reading.ASLEEP, {}, second.Second())
    found = report.read(report.write(node.folder, [asleep], BEGIN)).disks
    (judged,) = judge_all(found, node.known, {}, taken_at=BEGIN)
    assert (judged.disk.key, judged.disk.health) == (key, Health.HEALTHY)


def test_growth_is_found_in_a_history_under_a_name(node):
    for raw in (0, 4, 8):
        (key,) = node.hears(("/dev/sda", attribute(5, twin(1), raw=raw)))
    assert node.health(key) is Health.FAILING
    assert node.history[key][0] == DiskDay(key, date(2026, 6, 1), Health.HEALTHY, node.history[key][0].readings)


@pytest.mark.parametrize(
    ("device", "way", "said"),
    [
        ("/dev/sda", "pci0000:00/0000:00:17.0/ata5/host4/target4:0:0/4:0:0:0/block/sda", "0000:00:17.0 ata2 0:0:0"),
        ("/dev/sdb", "pci0000:00/0000:00:14.0/usb1/1-2/1-2.4/1-2.4:1.0/host6/target6:0:0/6:0:0:1/block/sdb",
         "0000:00:14.0 usb1-2.4 0:0:1"),
        ("/dev/sdc", "pci0000:00/0000:00:01.0/0000:01:00.0/host0/port-0:3/end_device-0:3/target0:0:3/0:0:3:0/block/sdc",
         "0000:01:00.0 port3 0:3:0"),
        ("/dev/nvme0", "pci0000:00/0000:00:1d.0/0000:3d:00.0/nvme/nvme0", "0000:3d:00.0"),
        ("/dev/sdd", "virtual/block/sdd", "sdd"),
    ],
)  # fmt: skip
def test_a_place_is_the_way_from_the_bus(tmp_path, device, way, said):
    (tmp_path / "class/ata_port/ata5").mkdir(parents=True)
    (tmp_path / "class/ata_port/ata5/port_no").write_text("2\n")
    target = tmp_path / "devices" / way
    target.mkdir(parents=True)
    folder = tmp_path / "class" / ("nvme" if "nvme" in device else "block")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / target.name).symlink_to(target)
    assert place(device, tmp_path) == said


def test_behind_a_controller_the_device_is_the_place(tmp_path):
    assert place("/dev/bus/0 megaraid,8", tmp_path) == "bus 0 megaraid,8"
    assert place("/dev/../etc", tmp_path) == ".. etc"
