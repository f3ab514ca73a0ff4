"""Answers of 168 real drives, as others recorded them, and what becomes of them when they are garbled."""

import collections
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hardware.smart.facts import Counter, Protocol, Reading
from hardware.smart.parse import from_document, parse
from hardware.smart.reasons import Verdict
from hardware.smart.verdict import judge

FIXTURES = Path(__file__).resolve().parents[4] / "shared/fixtures/smartctl"
RECORDED = sorted(FIXTURES.glob("*.json"))
needs_recordings = pytest.mark.skipif(not RECORDED, reason=f"the recorded drives are not at {FIXTURES}")
FIVE = {
    Counter.REALLOCATED,
    Counter.REPORTED_UNCORRECTABLE,
    Counter.COMMAND_TIMEOUTS,
    Counter.PENDING,
    Counter.OFFLINE_UNCORRECTABLE,
}


def read(path):
    return parse(path.read_bytes())


@needs_recordings
def test_every_drive_is_judged_and_can_be_told_what_it_is():
    protocols = collections.Counter()
    for path in RECORDED:
        facts = read(path)
        judgement = judge(facts)
        protocols[facts.protocol] += 1
        assert facts.reading is Reading.READ, path.name
        assert judgement.verdict is not Verdict.UNKNOWN, path.name
        assert (facts.temperature.current or 0) > 0, path.name
        assert judgement.verdict is Verdict.HEALTHY or judgement.text, path.name
    assert protocols == {Protocol.ATA: 108, Protocol.NVME: 55, Protocol.SCSI: 5}


@needs_recordings
def test_the_five_counters_of_backblaze_mean_look_closer_and_not_failed():
    above = [path for path in RECORDED if any(read(path).counters.get(counter, 0) for counter in FIVE)]
    assert len(above) == 17
    assert {judge(read(path)).verdict for path in above} == {Verdict.WATCH}


@needs_recordings
def test_a_packed_counter_raises_no_false_alarm():
    (path,) = FIXTURES.glob("*ST16000NM001G*")
    assert read(path).counters[Counter.COMMAND_TIMEOUTS] == 12


@needs_recordings
def test_the_drives_that_have_something_real_are_found():
    verdicts = {path.name: judge(read(path)).verdict for path in RECORDED}
    assert verdicts["SEAGATE_ST373453LC_26.json"] is Verdict.FAILING  # 535 uncorrected writes, 260 grown defects
    assert verdicts["nvme-null-SAMSUNG_MZWLL3T2HAJQ-00005-nvme0.json"] is Verdict.FAILING  # critical warning 0x10
    assert verdicts["SEAGATE_ST373453LC_27.json"] is Verdict.WATCH  # its self-monitoring is off


@needs_recordings
def test_a_drive_that_says_it_failed_is_never_healthy_whatever_else_it_says():
    for path in RECORDED:
        document = json.loads(path.read_bytes())
        document["smart_status"]["passed"] = False
        assert judge(from_document(document)).verdict.rank >= Verdict.FAILING.rank, path.name
        document["smart_status"]["passed"] = True
        document["smartctl"]["exit_status"] |= 8
        assert judge(from_document(document)).verdict.rank >= Verdict.FAILING.rank, path.name


def _mutate(node, rng, garbage):
    """Replace some of the leaves and branches, at random, with anything."""
    if rng.random() < 0.08:
        return rng.choice(garbage)
    if isinstance(node, dict):
        return {key: _mutate(value, rng, garbage) for key, value in node.items() if rng.random() > 0.05}
    if isinstance(node, list):
        return [_mutate(value, rng, garbage) for value in node]
    return node


GARBAGE = (None, -1, 1 << 70, -(1 << 40), "", "x" * 1000, "ÿ\u0000", [], {}, [[]], True, False, 1.5, "12", 65535)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(JSON)
def test_any_json_has_an_unknown_verdict(document):
    assert judge(parse(json.dumps(document))).verdict is Verdict.UNKNOWN


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_have_an_unknown_verdict(data):
    assert judge(parse(data)).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    "data", ["[" * 100_000, '{"a":' * 20_000, '{"serial_number": ' + "9" * 10_000 + "}", "NaN", ""]
)
def test_bombs_are_nothing_that_can_be_read(data):
    assert parse(data).reading is Reading.UNREADABLE


# --- what a drive that is about to go says of itself; whatever else is garbled, it is never healthy


def _says_failed(document):
    document["smart_status"] = {"passed": False}


def _exit_status(bit):
    def change(document):
        document["smartctl"] = {**document["smartctl"], "exit_status": document["smartctl"].get("exit_status", 0) | bit}

    return change


def _nvme_warns(bit):
    def change(document):
        log = document.get("nvme_smart_health_information_log", {})
        document["nvme_smart_health_information_log"] = {**log, "critical_warning": bit}
        document["smart_status"] = {"passed": False, "nvme": {"value": bit}}

    return change


def _spare_is_used_up(document):
    log = document.get("nvme_smart_health_information_log", {})
    used_up = {"available_spare": 4, "available_spare_threshold": 10}
    document["nvme_smart_health_information_log"] = {**log, **used_up}


def _attribute_is_below(document):
    row = {"id": 5, "name": "Reallocated_Sector_Ct", "value": 1, "worst": 1, "thresh": 10, "when_failed": "now",
           "flags": {"prefailure": True}, "raw": {"value": 4000, "string": "4000"}}  # fmt: skip
    document["device"] = {**document["device"], "protocol": "ATA"}
    document["ata_smart_attributes"] = {"table": [row]}


def _self_test_failed(document):
    status = {"value": 0x73, "string": "Completed: read failure", "passed": False}
    log = {"table": [{"type": {"value": 1}, "status": status, "lifetime_hours": 100}], "count": 1}
    document["ata_smart_self_test_log"] = {"extended": log}


def _scsi_could_not_correct(document):
    document["device"] = {**document["device"], "protocol": "SCSI"}
    document["scsi_error_counter_log"] = {"read": {"total_uncorrected_errors": 300}}


SICK = [
    _says_failed, _exit_status(8), _exit_status(16), *(_nvme_warns(1 << bit) for bit in range(8)), _spare_is_used_up,
    _attribute_is_below, _self_test_failed, _scsi_could_not_correct,
]  # fmt: skip
KEPT = {
    "smart_status", "smartctl", "nvme_smart_health_information_log", "device", "ata_smart_attributes",
    "ata_smart_self_test_log", "scsi_error_counter_log",
}  # fmt: skip


@needs_recordings
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(path=st.sampled_from(RECORDED or [None]), sick=st.sampled_from(SICK), rng=st.randoms(use_true_random=False))
def test_a_drive_that_fails_is_never_healthy_whatever_else_it_says(path, sick, rng):
    document = json.loads(path.read_bytes())
    for key in document.keys() - KEPT:
        document[key] = _mutate(document[key], rng, GARBAGE)
    sick(document)
    judgement = judge(parse(json.dumps(document)))
    assert judgement.verdict is not Verdict.HEALTHY
    assert judgement.verdict is not Verdict.UNKNOWN
    assert judgement.text
