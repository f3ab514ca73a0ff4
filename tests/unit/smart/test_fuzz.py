"""Answers of drives that nobody has recorded: those that were, changed in a few places, as a drive, a bridge or a
smartctl of another version would. Whatever is in them is judged; what says that it fails, or does not show how it is,
is never healthy. KHOSO_FUZZ is the number of examples."""

import copy
import json
import os
import re
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hardware.smart import report
from hardware.smart.facts import Identity, Reading
from hardware.smart.parse import from_document, parse
from hardware.smart.reasons import Verdict
from hardware.smart.schedule import Schedule
from hardware.smart.second import Second
from hardware.smart.verdict import judge
from monitoring import devices
from monitoring.samples import Samples
from tests.unit.smart.test_recordings import RECORDED, needs_recordings
from vault.device_model import Health
from vault.health.disks import explained, judge_all, overdue_tests

EXAMPLES = int(os.environ.get("KHOSO_FUZZ", "200"))
FUZZ = settings(
    deadline=None, max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
NOW = datetime(2026, 11, 22, tzinfo=UTC)
DOCUMENTS = [json.loads(path.read_bytes()) for path in RECORDED]

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 70), 1 << 70),
    st.sampled_from(
        [-1, 0, 1, 255, 256, 65535, 65536, 1 << 31, (1 << 32) - 1, (1 << 48) - 1, 1 << 63, 10**18, 10**300]
    ),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["ATA", "NVMe", "SCSI", "SAS", "USB", "ata", "now", "past", "-", "0x5000c500", "1,234", "n/a"]),
    st.sampled_from([[], {}, [{}], [None], {"value": None}, {"passed": True}, {"table": [7]}]),
)
HOW = st.sampled_from(["drop", "replace", "replace", "wrap", "swap", "double"])
EDIT = st.tuples(st.integers(0, 1 << 30), HOW, JUNK)


def places(node):
    """Every place in a document: what it is in, and under which key."""
    found = []
    inside = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in inside:
        found.append((node, key))
        found += places(child)
    return found


def edited(document, edits):
    """A copy of the document with these changes in it, each at some place of what the ones before left."""
    found = copy.deepcopy(document)
    for number, how, junk in edits:
        all_places = places(found)
        if not all_places:
            break
        node, key = all_places[number % len(all_places)]
        other, there = all_places[(number >> 8) % len(all_places)]
        if how == "drop":
            del node[key]
        elif how == "wrap":
            node[key] = [node[key]]
        elif how == "swap":
            node[key] = copy.deepcopy(other[there])
        elif how == "double" and isinstance(node, list):
            node.append(copy.deepcopy(node[key]))
        else:
            node[key] = copy.deepcopy(junk)
    return found


def part(document, *names):
    for name in names:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def is_count(value):
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def shows_how_it_is(document):
    """Whether anything in it says how the medium is, beside the drive's own word."""
    log = part(document, "nvme_smart_health_information_log")
    if isinstance(log, dict) and log:
        # smartctl says the warning twice.
        warnings = (log.get("critical_warning"), part(document, "smart_status", "nvme", "value"))
        return is_count(log.get("available_spare")) and any(map(is_count, warnings))
    rows = part(document, "ata_smart_attributes", "table")
    for row in rows if isinstance(rows, list) else ():
        of_medium = part(row, "id") in (5, 184, 187, 197, 198) and is_count(part(row, "raw", "value"))
        if of_medium or re.search("life|wear", str(part(row, "name")), re.IGNORECASE):
            return True
    return (
        is_count(part(document, "scsi_grown_defect_list"))
        or "scsi_percentage_used_endurance_indicator" in document
        or any(
            is_count(part(document, "scsi_error_counter_log", name, "total_uncorrected_errors"))
            for name in ("read", "write", "verify")
        )
    )


def assert_judged(document, judgement):
    """What must hold of a verdict, by what the document says; worked out another way than the program does."""
    assert judgement.verdict in Verdict
    assert judgement.text or judgement.verdict is Verdict.HEALTHY
    passed, status = part(document, "smart_status", "passed"), part(document, "smartctl", "exit_status")
    if passed is False:
        assert judgement.verdict.rank >= Verdict.WATCH.rank
    if passed is not True or not shows_how_it_is(document):
        assert judgement.verdict is not Verdict.HEALTHY
    if is_count(status) and status <= 255 and int(status) & 0b11000:
        assert judgement.verdict.rank >= Verdict.WATCH.rank


@needs_recordings
@FUZZ
@given(document=st.sampled_from(DOCUMENTS or [{}]), edits=st.lists(EDIT, max_size=8))
def test_a_drive_that_nobody_recorded_is_judged(document, edits):
    changed = edited(document, edits)
    assert_judged(changed, judge(parse(json.dumps(changed))))


CORE = ("smart_status", "smartctl", "device", "ata_smart_attributes", "nvme_smart_health_information_log",
        "scsi_grown_defect_list", "scsi_error_counter_log", "temperature", "power_on_time")  # fmt: skip


@needs_recordings
@FUZZ
@given(
    document=st.sampled_from(DOCUMENTS or [{}]),
    edits=st.lists(EDIT, max_size=4),
    passed=st.sampled_from([True, False]),
)
def test_one_whose_statements_are_changed_is_judged(document, edits, passed):
    """As above, where it matters most: nothing but what a verdict is made of."""
    core = {name: document[name] for name in CORE if name in document}
    core["ata_smart_attributes"] = {"table": part(document, "ata_smart_attributes", "table") or []}
    core["ata_smart_attributes"]["table"] = core["ata_smart_attributes"]["table"][:4]
    core["smart_status"] = {"passed": passed}
    changed = edited(core, edits)
    assert_judged(changed, judge(from_document(changed)))


@needs_recordings
@settings(FUZZ, max_examples=EXAMPLES // 4)
@given(document=st.sampled_from(DOCUMENTS or [{}]), missing=st.sets(st.sampled_from(CORE), min_size=1))
def test_what_is_missing_is_not_healthy(document, missing):
    left = {name: value for name, value in document.items() if name not in missing}
    assert_judged(left, judge(from_document(left)))


@needs_recordings
@settings(FUZZ, max_examples=EXAMPLES // 4)
@given(document=st.sampled_from(DOCUMENTS or [{}]), edits=st.lists(EDIT, max_size=8))
def test_it_goes_all_the_way_to_the_catalogue_and_the_metrics(document, edits):
    """The helper's report, which is smaller than the answer, must not make a drive better than the answer does."""
    changed = edited(document, edits)
    with tempfile.TemporaryDirectory() as folder:
        known = Identity("KERNEL", "KERNEL", "", "M", "")
        parsed = json.loads(json.dumps(changed))
        entry = report.Entry("/dev/sda", "sat", known, Reading.READ, report.trimmed(parsed), Second())
        path = report.write(Path(folder), [entry], NOW)
        found = report.read(path)
    (judged,) = judge_all(found.disks, {}, {}, taken_at=found.taken_at)
    direct = judge(parse(json.dumps(changed)))
    assert judged.disk.health.rank >= Health(direct.verdict.value).rank or direct.verdict is Verdict.UNKNOWN
    assert_judged(changed, direct)
    assert explained(judged.disk) or judged.disk.health is Health.HEALTHY
    overdue_tests(judged.disk, Schedule())
    json.dumps([dict(reason) for reason in judged.disk.reasons], ensure_ascii=True).encode()
    samples = Samples()
    devices._add_disk(samples, judged.disk, is_fresh=True)
    list(samples.families())
