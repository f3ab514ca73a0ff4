"""What a disk's own words are worth."""

import json

import pytest

from hardware.smart import packed
from hardware.smart.facts import Counter, ExitStatus, Reading, TestOutcome
from hardware.smart.parse import from_document, parse
from hardware.smart.reasons import TEXTS, Code, Verdict
from hardware.smart.selftests import from_words
from hardware.smart.verdict import judge
from tests.support.drives import HEALTHY_ATA, HEALTHY_NVME, HEALTHY_SAS, ata, attribute, nvme, sas


def judged(document):
    return judge(parse(json.dumps(document)))


def codes(document):
    return {reason.code for reason in judged(document).reasons}


@pytest.mark.parametrize("document", [HEALTHY_ATA, HEALTHY_NVME, HEALTHY_SAS], ids=["ata", "nvme", "sas"])
def test_a_drive_with_nothing_amiss_is_healthy(document):
    judgement = judged(document)
    assert (judgement.verdict, judgement.reasons) == (Verdict.HEALTHY, ())


def exit_status(number, document=HEALTHY_ATA, **more):
    return {**document, "smartctl": {"exit_status": number, **more}}


FAILED_LAST = {"self_test": {"status": {"value": 121, "string": "completed: read failure", "passed": False}}}


@pytest.mark.parametrize(
    ("document", "verdict", "code"),
    [
        (ata(smart_status={"passed": False}), "failed", "says-failed"),
        (exit_status(8), "failed", "says-failed"),
        (exit_status(16), "failing", "says-failed-earlier"),
        (exit_status(32), "watch", "says-failed-earlier"),
        (exit_status(128, ata(ata_smart_self_test_log={})), "failing", "self-test-failed"),
        (exit_status(64, ata(ata_smart_error_log={})), "watch", "errors-logged-recently"),
        (exit_status(4), "healthy", "partly-read"),
        (attribute(5, value=5, worst=5, when_failed="now"), "failing", "attribute-below-threshold"),
        (attribute(5, value=5, worst=5), "failing", "attribute-below-threshold"),
        (attribute(199, value=5, worst=5, when_failed="FAILING_NOW"), "watch", "attribute-below-threshold"),
        (attribute(5, worst=9, when_failed="past"), "watch", "attribute-was-below-threshold"),
        (attribute(194, worst=9, when_failed="past"), "healthy", "attribute-was-below-threshold"),
        (attribute(5, raw=1), "watch", "counter-above-zero"),
        (attribute(187, raw=1), "watch", "counter-above-zero"),
        (attribute(188, raw=51540393996), "watch", "counter-above-zero"),
        (attribute(197, raw=8), "watch", "counter-above-zero"),
        (attribute(198, raw=500), "failing", "counter-high"),
        (attribute(199, raw=3), "healthy", "link-errors-some"),
        (attribute(199, raw=3118119), "watch", "link-errors"),
        (attribute(197, raw=0xFFFFFFFFFFFF), "unknown", "implausible-value"),
        (attribute(5, raw=-1), "unknown", "implausible-value"),
        (ata(smart_support={"available": True, "enabled": False}), "watch", "smart-off"),
        (ata(temperature={"current": 61, "op_limit_max": 60, "limit_max": 70}), "watch", "too-hot"),
        (ata(temperature={"current": 70, "op_limit_max": 60, "limit_max": 70}), "failing", "at-temperature-limit"),
        (sas(temperature={"current": 65, "drive_trip": 65}), "failing", "at-temperature-limit"),
        (nvme() | {"temperature": {"current": 86, "op_limit_max": 77, "critical_limit_max": 85}}, "failing",
         "at-temperature-limit"),
        (nvme(critical_warning=1), "failing", "spare-low"),
        (nvme(critical_warning=2), "watch", "says-failed-earlier"),
        (nvme(critical_warning=4), "failed", "reliability-degraded"),
        (nvme(critical_warning=8), "failed", "media-read-only"),
        (nvme(critical_warning=16), "failing", "power-loss-protection-failed"),
        (nvme(available_spare=9), "failing", "spare-low"),
        (nvme(percentage_used=101), "watch", "endurance-used"),
        (nvme(media_errors=1), "watch", "counter-above-zero"),
        (ata(ata_smart_self_test_log={}, ata_smart_data=FAILED_LAST), "failing", "self-test-failed"),
        (sas(scsi_grown_defect_list=3), "watch", "counter-above-zero"),
        (sas(scsi_grown_defect_list=300), "failing", "counter-high"),
        (sas(scsi_error_counter_log={"write": {"total_uncorrected_errors": 1}}), "watch", "counter-above-zero"),
        (sas(smart_status={"passed": False}), "failed", "says-failed"),
    ],
)  # fmt: skip
def test_what_is_amiss_is_judged_and_said(document, verdict, code):
    assert judged(document).verdict == verdict
    assert code in codes(document)
    assert all(reason.text and "?" not in reason.text and "{" not in reason.text for reason in judged(document).reasons
               if reason.code is not Code.LOGGED_RECENTLY)  # fmt: skip


def test_hot_without_a_limit_of_its_own_is_no_finding():
    assert judged(ata(temperature={"current": 62})).verdict is Verdict.HEALTHY


@pytest.mark.parametrize(
    ("limits", "hot"),
    [
        ({"op_limit_max": 32}, False),
        ({"op_limit_max": 25, "limit_max": 70}, False),
        ({"op_limit_max": 25, "limit_max": 55}, True),
    ],
)
def test_an_average_temperature_is_no_limit(limits, hot):
    """What drives of Seagate have in SCT's fields of the highest operating temperature."""
    facts = parse(json.dumps(ata(temperature={"current": 56 if hot else 33} | limits)))
    assert facts.temperature.warning is None
    assert judge(facts).verdict is (Verdict.FAILING if hot else Verdict.HEALTHY)


def test_a_self_test_that_the_log_has_is_told_once():
    log = {
        "standard": {"table": [{"status": {"value": 0, "string": "Completed without error"}, "lifetime_hours": 13000}]}
    }
    facts = from_document(ata(ata_smart_self_test_log=log, ata_smart_data=FAILED_LAST))
    assert [test.outcome for test in facts.self_tests] == [TestOutcome.PASSED]


@pytest.mark.parametrize("temperature", [{}, {"current": 0}, {"current": -300}, {"current": "31"}, {"current": 4000}])
def test_an_unknown_temperature_is_not_zero(temperature):
    assert parse(json.dumps(ata(temperature=temperature))).temperature.current is None


def ended(status, *messages):
    return {"smartctl": {"exit_status": status, "messages": [{"string": message} for message in messages]}}


@pytest.mark.parametrize(
    ("document", "reading"),
    [
        (ended(2, "Device is in STANDBY mode, exit(2)"), "asleep"),
        (ended(2, "Device is in STANDBY (OS) mode, exit(2)"), "asleep"),
        (ended(2, "Device is in STANDBY BY TIMER mode, exit(2)"), "asleep"),
        (ended(2, "Device is in LOW POWER mode, exit(2)"), "asleep"),
        ({"smartctl": {"exit_status": 2}, "power_mode": {"ata_string": "SLEEP"}}, "asleep"),
        (ended(2, "Smartctl open device: /dev/sda failed: Permission denied"), "denied"),
        (ended(2, "Smartctl open device: /dev/sda failed: No such device"), "absent"),
        (ended(1, "/dev/sdz: Unable to detect device type"), "unreadable"),
        (ended(0), "unreadable"),
    ],
)
def test_a_disk_that_was_not_read_is_unknown_and_never_failed(document, reading):
    facts = from_document(document)
    assert facts.reading == reading
    assert judge(facts).verdict is Verdict.UNKNOWN


def test_a_sleeping_disk_keeps_its_name_and_claims_nothing_else():
    document = ata(smartctl={"exit_status": 2, "messages": [{"string": "Device is in SLEEP mode, exit(2)"}]})
    document.pop("smart_status")
    facts = from_document(document)
    assert (facts.reading, facts.identity.serial, facts.counters, facts.attributes) == (
        Reading.ASLEEP,
        "ZL20ABCD",
        {},
        (),
    )


def test_passed_alone_is_not_healthy():
    document = {"smartctl": {"exit_status": 0}, "serial_number": "X1", "smart_status": {"passed": True}}
    assert judged(document).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("passed", [None, "true", 1, {}])
def test_a_missing_word_of_health_is_not_healthy(passed):
    assert judged(ata(smart_status={"passed": passed})).verdict is Verdict.UNKNOWN


def self_tests(*values):
    table = [{"status": {"value": value, "string": f"status {value}"}, "lifetime_hours": 13000 - n}
             for n, value in enumerate(values)]  # fmt: skip
    return ata(ata_smart_self_test_log={"standard": {"table": table}})


def test_the_last_self_test_that_ended_decides():
    assert judged(self_tests(0, 0)).verdict is Verdict.HEALTHY
    assert judged(self_tests(0x70, 0)).verdict is Verdict.FAILING
    assert judged(self_tests(0x10, 0x75, 0)).verdict is Verdict.FAILING  # the newest was aborted, and says nothing
    assert judged(self_tests(0, 0x70)).verdict is Verdict.WATCH
    assert judged(self_tests(0xF9, 0)).verdict is Verdict.HEALTHY  # one is running


@pytest.mark.parametrize(
    ("newer", "failed", "verdict"),
    [(1, 2, "failing"), (2, 2, "watch"), (2, 1, "watch"), (1, 1, "watch"), (129, 130, "failing")],
)
def test_a_short_self_test_does_not_outdo_what_a_long_one_found(newer, failed, verdict):
    table = [
        {
            "type": {"value": newer},
            "status": {"value": 0, "string": "Completed without error"},
            "lifetime_hours": 13100,
        },
        {"type": {"value": failed}, "status": {"value": 0x79, "string": "read failure"}, "lifetime_hours": 13000},
    ]
    assert judged(ata(ata_smart_self_test_log={"standard": {"table": table}})).verdict == verdict


@pytest.mark.parametrize(
    "status",
    [
        {"string": "Completed: read failure", "passed": False},
        {"string": "Completed: read failure", "value": "121"},
        {"passed": False},
    ],
)
def test_a_failed_self_test_without_a_number_that_can_be_read_is_none_the_less_one(status):
    table = [{"type": {"value": 2}, "status": status, "lifetime_hours": 13000}]
    assert judged(ata(ata_smart_self_test_log={"standard": {"table": table}})).verdict is Verdict.FAILING


@pytest.mark.parametrize(
    ("words", "outcome"),
    [
        ("Completed without error", "passed"),
        ("Completed", "passed"),
        ("Completed: read failure", "failed"),
        ("Completed: servo/seek failure", "failed"),
        ("Failed in segment -->", "failed"),
        ("Fatal or unknown error", "failed"),
        ("Aborted by host", "aborted"),
        ("Interrupted (host reset)", "aborted"),
        ("Aborted: Controller Reset", "aborted"),
        ("Self-test routine in progress", "running"),
        ("", "unknown"),
    ],
)
def test_the_words_of_a_self_test_log_are_understood(words, outcome):
    assert from_words(words, "12").outcome is TestOutcome(outcome)


def error_log(hours, error=0x40):
    entry = {"lifetime_hours": hours, "completion_registers": {"error": error}}
    return ata(ata_smart_error_log={"summary": {"count": 1, "table": [entry]}})


def test_old_errors_are_a_remark_and_new_ones_a_finding():
    assert judged(error_log(13114 - 100)).verdict is Verdict.WATCH
    assert judged(error_log(100)).verdict is Verdict.HEALTHY


def test_hours_in_logs_wrap_at_sixteen_bits():
    document = error_log(70000 - 65536 - 10)
    document["power_on_time"] = {"hours": 70000}
    assert judged(document).verdict is Verdict.WATCH


def test_phys_of_a_sas_port_are_counted_together():
    phys = {"phy_0": {"invalid_dword_count": 60}, "phy_1": {"loss_of_dword_synchronization_count": 40}}
    facts = parse(json.dumps(sas(scsi_sas_port_0=phys)))
    assert facts.counters[Counter.LINK_ERRORS] == 100
    assert judge(facts).verdict is Verdict.WATCH


def test_every_bit_of_the_exit_status_has_a_name():
    assert sum(ExitStatus) == 255


def test_seagates_packed_counters_are_split():
    assert packed.words(51540393996) == (12, 12, 12)
    assert packed.errors_and_operations(0x0003_0E43_9A28) == (3, 0x0E439A28)
    assert packed.count(188, 51540393996, "51540393996") == 12
    assert packed.count(188, 8590065666, "2 2 2") == 2
    assert packed.count(188, 0x0000_0001_0000_0000 >> 16, "") == 65536 >> 16
    assert packed.count(5, 304, "304") == 304
    assert packed.count(5, 7 << 32 | 12, "12 (0 7)") == 12
    assert packed.count(5, 7 << 32 | 12, "") is None
    assert packed.count(197, 0xFFFFFFFF, "4294967295") is None


def test_made_up_serial_numbers_are_none():
    for serial in ("", "0000000000", "unknown", "None", "0.0"):
        assert parse(json.dumps(ata(serial_number=serial))).identity.serial == ""
    identity = parse(json.dumps(ata(serial_number="0000"))).identity
    assert identity.key == identity.wwn == "5000c500deadbeef"


def test_every_code_has_a_sentence():
    assert set(TEXTS) == set(Code)
