"""What an answer holds and cannot be read is not known: never that nothing is amiss."""

import copy
import json

import pytest

from hardware.smart import report, second
from hardware.smart.facts import Reading
from hardware.smart.parse import from_document, parse
from hardware.smart.reasons import Code, Verdict
from hardware.smart.verdict import judge
from tests.support.drives import ata, attribute, nvme, sas
from tests.unit.smart.test_fuzz import places

GARBLED = [None, "17", "", -1, 1 << 63, 1 << 70, True, [], {}, 1.5]


def judged(document):
    return judge(parse(json.dumps(document)))


def through_the_report(document, tmp_path):
    """As the daemon sees it: what the helper leaves out of an answer must not make it better."""
    entry = report.Entry(
        "/dev/sda", "", report.identity("S", "", ""), Reading.READ, report.trimmed(document), second.Second()
    )
    (facts,) = report.read(report.write(tmp_path, [entry], report.datetime(2026, 11, 22, tzinfo=report.UTC))).disks
    return judge(facts)


def row(**changes):
    document = attribute(5)
    document["ata_smart_attributes"]["table"][0].update(changes)
    return document


def statistics(name, value, page=4):
    entry = {"name": name, "value": value, "flags": {"valid": True, "normalized": False}}
    return ata(ata_device_statistics={"pages": [{"number": page, "table": [entry]}]})


PLACES = {
    "nvme media errors": lambda junk: nvme(media_errors=junk),
    "nvme spare": lambda junk: nvme(available_spare=junk),
    "nvme spare threshold": lambda junk: nvme(available_spare_threshold=junk),
    "nvme critical warning": lambda junk: nvme(critical_warning=junk),
    "nvme wear": lambda junk: nvme(percentage_used=junk),
    "nvme warning again": lambda junk: nvme() | {"smart_status": {"passed": True, "nvme": {"value": junk}}},
    "sas grown defects": lambda junk: sas(scsi_grown_defect_list=junk),
    "sas uncorrected": lambda junk: sas(scsi_error_counter_log={"write": {"total_uncorrected_errors": junk}}),
    "sas trip": lambda junk: sas(temperature={"current": 30, "drive_trip": junk}),
    "sas wear": lambda junk: sas(scsi_percentage_used_endurance_indicator=junk),
    "sas pending": lambda junk: sas(scsi_pending_defects={"count": junk}),
    "ata value": lambda junk: row(value=junk),
    "ata threshold": lambda junk: row(thresh=junk),
    "ata raw": lambda junk: row(raw={"value": junk, "string": "x"}),
    "ata number": lambda junk: row(id=junk),
    "ata pending": lambda junk: ata(ata_pending_defects_log={"size": 255, "count": junk}),
    "ata statistics": lambda junk: statistics("Number of Reported Uncorrectable Errors", junk),
    "ata wear": lambda junk: statistics("Percentage Used Endurance Indicator", junk),
    "ata errors": lambda junk: ata(ata_smart_error_log={"summary": {"count": junk}}),
    "exit status": lambda junk: ata(smartctl={"exit_status": junk}),
    "link errors": lambda junk: sas(scsi_sas_port_0={"phy_0": {"invalid_dword_count": junk}}),
}


@pytest.mark.parametrize("place", PLACES)
def test_what_cannot_be_read_is_not_healthy(place, tmp_path):
    for junk in GARBLED:
        assert judged(PLACES[place](junk)).verdict is Verdict.UNKNOWN, junk
    assert through_the_report(PLACES[place](None), tmp_path).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("junk", [None, "60", 1 << 70, True, []])
@pytest.mark.parametrize("name", ["current", "op_limit_max", "limit_max"])
def test_a_temperature_or_limit_that_is_no_number_is_not_known(name, junk):
    assert judged(ata(temperature={"current": 31, name: junk})).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("limit", [0, 255])
def test_a_limit_that_no_disk_has_is_none(limit):
    assert judged(sas(temperature={"current": 33, "drive_trip": limit})).verdict is Verdict.HEALTHY


@pytest.mark.parametrize(
    "name", ["ata_smart_attributes", "ata_smart_error_log", "ata_smart_self_test_log", "ata_device_statistics",
             "ata_pending_defects_log", "smart_support", "temperature"],
)  # fmt: skip
def test_a_log_that_is_none_is_not_empty(name):
    assert judged(ata(**{name: None})).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("name", ["scsi_error_counter_log", "scsi_pending_defects", "scsi_background_scan"])
def test_a_log_of_a_scsi_disk_that_is_none_is_not_empty(name):
    assert judged(sas(**{name: "none"})).verdict is Verdict.UNKNOWN


def test_little_spare_is_to_be_watched_though_its_limit_cannot_be_read():
    assert judged(nvme(available_spare=3, available_spare_threshold=None)).verdict is Verdict.WATCH


def test_what_cannot_be_read_hides_nothing_that_can():
    assert judged(nvme(media_errors=None, critical_warning=4)).verdict is Verdict.FAILED
    assert judged(row(value=None, raw={"value": 2000, "string": "2000"})).verdict is Verdict.FAILING


def test_what_cannot_be_read_is_said_by_name():
    assert judged(nvme(available_spare="3")).text.startswith("Its spare capacity has a value that cannot be read")
    assert "Reallocated_Sector_Ct has a value that cannot be read" in judged(row(thresh="10")).text


def self_tests(*tests, exit_status=0):
    table = [
        {"type": {"value": kind}, "status": status, "lifetime_hours": 13000 - n}
        for n, (kind, status) in enumerate(tests)
    ]
    log = {"standard": {"table": table}}
    return ata(smartctl={"exit_status": exit_status}, ata_smart_self_test_log=log)


GOOD = {"value": 0, "string": "Completed without error", "passed": True}


@pytest.mark.parametrize("status", [{}, None, {"string": None}, {"value": None, "string": "?"}, {"value": "0x79"}])
def test_a_self_test_of_which_the_end_cannot_be_read_says_nothing_good(status):
    assert judged(self_tests((2, status), (2, GOOD))).verdict is Verdict.UNKNOWN
    assert judged(self_tests((2, GOOD), (2, status))).verdict is Verdict.HEALTHY  # a later one passed
    # The exit status is set by failures only, so this is one.
    assert judged(self_tests((2, status), (2, GOOD), exit_status=128)).verdict is Verdict.FAILING


@pytest.mark.parametrize("table", [None, "", [None], ["read failure"]])
def test_a_self_test_log_without_entries_that_can_be_read_is_not_known(table):
    assert judged(ata(ata_smart_self_test_log={"standard": {"table": table}})).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("bare", [True, {"available": True, "enabled": True}])
def test_that_it_monitors_itself_may_be_said_in_one_word(bare):
    assert judged(ata(smart_support=bare)).verdict is Verdict.HEALTHY
    assert judged(ata(smart_support=False)).verdict is Verdict.UNKNOWN


def test_failures_in_a_log_of_which_only_good_ends_are_seen_are_not_overlooked():
    assert judged(self_tests((2, GOOD), exit_status=128)).verdict is Verdict.WATCH


def test_a_disk_without_self_monitoring_says_nothing():
    judgement = judged(ata(smart_support={"available": False}))
    assert judgement.verdict is Verdict.UNKNOWN
    assert [reason.code for reason in judgement.reasons] == [Code.NO_SMART]
    mute = {"smartctl": {"exit_status": 4}, "serial_number": "X1", "smart_support": {"available": False}}
    assert [reason.code for reason in judge(from_document(mute)).reasons] == [Code.NO_SMART]


def least(document, *names):
    """Of a document no more than who it is, its own word, and what is named."""
    kept = {"smartctl", "device", "smart_status", "scsi_grown_defect_list", *names}
    return {name: value for name, value in document.items() if name in kept}


def one_row(number, name, value, raw):
    row = {"id": number, "name": name, "value": value, "worst": value, "thresh": 0, "when_failed": "",
           "flags": {"value": 50, "prefailure": False}, "raw": {"value": raw, "string": str(raw)}}  # fmt: skip
    good = {**row, "id": 5, "name": "Reallocated_Sector_Ct", "value": 100, "raw": {"value": 0, "string": "0"}}
    return least(ata(ata_smart_attributes={"table": [row, good]}), "ata_smart_attributes")


def sick_ata(**logs):
    well = one_row(9, "Power_On_Hours", 90, 1)["ata_smart_attributes"]
    return least(ata(**logs) | {"ata_smart_attributes": well}, "ata_smart_attributes", *logs)


def sick_sas(**logs):
    return least(sas(**logs), *logs)


def sick_statistics(name, value):
    return sick_ata(ata_device_statistics=statistics(name, value)["ata_device_statistics"])


BAD = {
    "type": {"value": 2},
    "status": {"value": 121, "string": "Completed: read failure", "passed": False},
    "lifetime_hours": 13000,
}
FAILED_TESTS = {"table": [BAD, {"type": {"value": 2}, "status": GOOD, "lifetime_hours": 12000}]}
UNRESOLVED = {"parameter_code": 1, "lba": 1, "reassign_status": {"value": 1}}
NVME = "nvme_smart_health_information_log"
SICK = [
    sick_ata(smart_status={"passed": False}),
    sick_ata(smartctl={"exit_status": 8}),
    sick_ata(smart_support={"available": True, "enabled": False}),
    sick_ata(temperature={"current": 75, "op_limit_max": 60, "limit_max": 70}),
    sick_ata(ata_pending_defects_log={"size": 255, "count": 4}),
    sick_ata(ata_smart_self_test_log={"standard": FAILED_TESTS}),
    sick_ata(ata_smart_self_test_log={"extended": FAILED_TESTS}),
    sick_ata(ata_smart_error_log={"extended": {"count": 3, "table": [{"lifetime_hours": 13100}]}}),
    sick_ata(sata_phy_event_counters={"table": [{"id": 1, "value": 500}]}),
    sick_statistics("Number of Reported Uncorrectable Errors", 5),
    sick_statistics("Percentage Used Endurance Indicator", 99),
    one_row(197, "Current_Pending_Sector", 100, 8),
    one_row(231, "SSD_Life_Left", 2, 2),
    least(nvme(critical_warning=1), NVME),
    least(nvme(critical_warning=4), NVME),
    least(nvme(available_spare=3), NVME),
    least(nvme(media_errors=4), NVME),
    least(nvme(percentage_used=101), NVME),
    sick_sas(scsi_grown_defect_list=300),
    sick_sas(scsi_error_counter_log={"write": {"total_uncorrected_errors": 7}}),
    sick_sas(temperature={"current": 65, "drive_trip": 65}),
    sick_sas(smart_status={"passed": False, "scsi": {"asc": 0x0B, "ascq": 1, "ie_string": "hot"}}),
    sick_sas(scsi_pending_defects={"count": 4}),
    sick_sas(scsi_background_scan={"status": {"value": 1}, "result_1": UNRESOLVED}),
    sick_sas(scsi_background_scan={"status": {"value": 3, "string": "halted due to fatal error"}}),
    sick_sas(scsi_self_test_0={"code": {"value": 2}, "result": {"value": 7, "string": "Failed in segment"}}),
    sick_sas(scsi_sas_port_0={"phy_0": {"invalid_dword_count": 600}}),
]


@pytest.mark.parametrize("document", SICK, ids=lambda document: "/".join(list(document)[-2:]))
def test_a_sick_disk_with_any_one_place_garbled_is_not_healthy(document):
    assert judged(document).verdict.rank >= Verdict.WATCH.rank
    for number, (_, name) in enumerate(places(document)):
        # Under a name that is not known a row is another thing: test_attributes.
        for junk in (None, 1 << 70, [None]) if name == "name" else (None, "x", 1 << 70, [None]):
            garbled = copy.deepcopy(document)
            node, key = places(garbled)[number]
            node[key] = junk
            assert judged(garbled).verdict is not Verdict.HEALTHY, (key, junk)


def test_places_of_the_self_test_log_that_are_not_used_are_no_misreading():
    """As smartctl prints a log of NVMe whose first place is empty."""
    test = {"self_test_code": {"value": 1}, "self_test_result": {"value": 0}, "power_on_hours": 5}
    assert judged(nvme() | {"nvme_self_test_log": {"table": [None, test]}}).verdict is Verdict.HEALTHY
    assert judged(nvme() | {"nvme_self_test_log": {"table": [7, test]}}).verdict is Verdict.UNKNOWN
