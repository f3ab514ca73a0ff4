"""ATA attributes by number and name, what wears, and the logs beside them."""

import json
from datetime import date, timedelta

import pytest

from hardware.smart import run, second
from hardware.smart.facts import Counter
from hardware.smart.growth import Day, judge_growth
from hardware.smart.parse import from_document, parse
from hardware.smart.reasons import Code, Verdict
from hardware.smart.verdict import judge
from tests.support.drives import HEALTHY_SAS, ata, attribute, sas


def facts(document):
    return parse(json.dumps(document))


def verdict(document):
    return judge(facts(document)).verdict


def table(*rows, **more):
    """A disk with these attributes: number, name, normalised value, raw value, smartctl's text of it."""
    return ata(ata_smart_attributes={"table": [
        {"id": number, "name": name, "value": value, "worst": value, "thresh": 0, "when_failed": "",
         "flags": {"value": 50, "prefailure": False}, "raw": {"value": raw, "string": (text or [str(raw)])[0]}}
        for number, name, value, raw, *text in rows
    ]}, **more)  # fmt: skip


REALLOCATED = (5, "Reallocated_Sector_Ct", 100, 0)


@pytest.mark.parametrize(
    ("number", "name", "counter"),
    [
        (5, "Reallocated_Sector_Ct", Counter.REALLOCATED),
        (5, "Retired_Block_Count", Counter.REALLOCATED),
        (5, "Reallocate_NAND_Blk_Cnt", Counter.REALLOCATED),
        (5, "New_Bad_Blk_Count", Counter.REALLOCATED),
        (5, "", Counter.REALLOCATED),
        (5, "Unknown_Attribute", None),
        (184, "End-to-End_Error", Counter.END_TO_END),
        (184, "Initial_Bad_Block_Count", None),
        (184, "Error_Correction_Count", None),
        (187, "Reported_Uncorrect", Counter.REPORTED_UNCORRECTABLE),
        (187, "Uncorrectable_Error_Cnt", Counter.REPORTED_UNCORRECTABLE),
        (187, "Unknown_JMF_Attribute", None),
        (160, "Uncorrectable_Error_Cnt", Counter.REPORTED_UNCORRECTABLE),
        (195, "Uncorrectable_Err_Ct", Counter.REPORTED_UNCORRECTABLE),
        (195, "ECC_Uncorr_Error_Count", None),
        (197, "Total_Unc_Read_Failures", Counter.REPORTED_UNCORRECTABLE),
        (201, "Unc_Soft_Read_Err_Rate", None),
        (188, "Command_Timeout", Counter.COMMAND_TIMEOUTS),
        (197, "Current_Pending_Sector", Counter.PENDING),
        (197, "Total_Pending_Sectors", Counter.PENDING),
        (197, "Read_Failure_Blk_Ct", None),
        (197, "Not_In_Use", None),
        (198, "Offline_Uncorrectable", Counter.OFFLINE_UNCORRECTABLE),
        (198, "Offline_Scan_UNC_SectCt", Counter.OFFLINE_UNCORRECTABLE),
        (198, "Uncorrectable_Sector_Ct", Counter.OFFLINE_UNCORRECTABLE),
        (198, "Host_Reads_GiB", None),
        (198, "Read_Sectors_Tot_Ct", None),
        (199, "UDMA_CRC_Error_Count", Counter.CRC_ERRORS),
        (199, "SATA_FIS_CRC_Errors", Counter.CRC_ERRORS),
        (199, "Host_Writes_GiB", None),
        (199, "Write_Sectors_Tot_Ct", None),
    ],
)
def test_an_attribute_is_what_its_number_and_its_name_say(number, name, counter):
    counters = facts(table((number, name, 100, 7))).counters
    assert counters.get(counter) == 7 if counter else 7 not in counters.values()


def test_a_disk_that_counts_other_things_under_these_numbers_is_healthy():
    """An Indilinx controller, as smartctl's drive database names its attributes."""
    rows = [
        (5, "Retired_Block_Count", 100, 0),
        (184, "Factory_Bad_Block_Count", 100, 212),
        (197, "Read_Failure_Blk_Ct", 100, 3_000),
        (198, "Read_Sectors_Tot_Ct", 100, 91_000_000_000),
        (199, "Write_Sectors_Tot_Ct", 100, 88_000_000_000),
    ]
    assert judge(facts(table(*rows))).reasons == ()


def test_counters_that_smartctl_takes_apart_are_not_one_number():
    assert facts(table((5, "Reallocated_Sector_Ct", 100, 0x30008, "8 (0 3)"))).counters[Counter.REALLOCATED] == 8
    packed = (198, "Uncorrectable_Sector_Ct", 120, 2 << 32 | 70_000, "2/70000")
    assert facts(table(packed)).counters[Counter.OFFLINE_UNCORRECTABLE] == 2
    # A text that is not that of the value is not believed.
    assert facts(table((5, "Reallocated_Sector_Ct", 100, 2400, "0 (0 0)"))).counters[Counter.REALLOCATED] == 2400
    assert facts(table((5, "Reallocated_Sector_Ct", 100, 2400, "0/9"))).counters[Counter.REALLOCATED] == 2400


@pytest.mark.parametrize(
    ("name", "model"),
    [("Current_Pending_ECC_Cnt", "Micron_1300_MTFDDAK256TDL"), ("Current_Pending_Sector", "CT1000MX500SSD1"),
     ("Current_Pending_Sector", "CT480BX500SSD1")],
)  # fmt: skip
def test_the_pending_sector_that_comes_and_goes_by_itself_is_none(name, model):
    today = date(2026, 6, 1)

    def judged(raw):
        found = facts(attribute(197, ata(model_name=model), name=name, raw=raw))
        past = [Day(today - timedelta(days=n), {"pending_sectors": n % 2}) for n in range(1, 10)]
        return judge(found, judge_growth(past, found, today)).verdict

    assert [judged(0), judged(1)] == [Verdict.HEALTHY, Verdict.HEALTHY]
    assert judged(2) is Verdict.WATCH
    assert judged(24) is Verdict.FAILING


def test_one_pending_sector_of_another_disk_is_one():
    assert verdict(attribute(197, raw=1)) is Verdict.WATCH


@pytest.mark.parametrize(
    ("row", "used"),
    [
        ((177, "Wear_Leveling_Count", 0, 4000), 100),
        ((177, "Wear_Leveling_Count", 97, 40), 3),
        ((231, "SSD_Life_Left", 0, 0), 100),
        ((231, "SSD_Life_Left", 100, 74), 26),  # Kingston SKC400: the value stays at 100
        ((231, "SSD_Life_Left", 97, 1), 3),  # SandForce: something else in the raw value
        ((231, "Lifetime_Left", 4, 4), 96),
        ((231, "Life_Remaining_Percent", 55, 55), 45),
        ((169, "Remaining_Lifetime_Perc", 2, 2), 98),
        ((169, "Remaining_Lifetime_Perc", 100, 96), 4),  # Silicon Motion
        ((201, "Lifetime_Remaining%", 8, 8), 92),
        ((177, "DriveLife_Remaining%", 8, 8), 92),
        ((245, "Drive_Life_Remaining%", 8, 8), 92),
        ((245, "Percent_Life_Remaining", 0, 0), 100),
        ((248, "Perc_Rated_Life_Remain", 1, 1), 99),
        ((248, "PCT_Life_Remaining", 1, 1), 99),
        ((248, "SSD_Remaining_Life_Perc", 1, 1), 99),
        ((178, "SSD_LifeLeft(0.01%)", 9, 900), 91),
        ((202, "Percent_Lifetime_Remain", 2, 98), 98),  # Micron: the raw value is what is used
        ((202, "Perc_Rated_Life_Used", 3, 97), 97),
        ((202, "Percent_Lifetime_Used", 99, 1), 1),
        ((245, "DriveLife_Used%", 100, 93), 93),
        ((173, "Drive_Life_Used%", 4, 4), 4),
        ((233, "Media_Wearout_Indicator", 1, 0), 99),
        ((230, "Media_Wearout_Indicator", 1, 0x2100140021), None),  # WD Blue and Green: its value is 1 from the start
        ((230, "Perc_Write/Erase_Count", 100, 9000), None),
        ((226, "Workld_Media_Wear_Indic", 0, 65535), None),
        ((232, "Spares_Remaining_Perc", 0, 0), None),
        ((175, "Capacitor_Life", 0, 0), None),
        ((241, "Lifetime_Writes_GiB", 100, 50), None),
    ],
)
def test_wear_is_read_by_the_direction_that_its_name_has(row, used):
    document = table(REALLOCATED, row)
    assert facts(document).wear_percent == used
    assert verdict(document) is (Verdict.WATCH if used is not None and used >= 90 else Verdict.HEALTHY)


def test_a_disk_that_normalises_nothing_is_not_worn_out():
    rows = [(5, "Reallocated_Sector_Ct", 0, 0), (177, "Wear_Leveling_Count", 0, 12), (231, "SSD_Life_Left", 0, 99)]
    assert facts(table(*rows)).wear_percent is None


def test_a_value_of_nothing_is_below_its_threshold():
    assert verdict(attribute(5, value=0, worst=0)) is Verdict.FAILING


def statistics(**rows):
    pages = [{"number": 3, "table": [
        {"name": name.replace("_", " "), "value": value, "flags": {"valid": True, "normalized": False}}
        for name, value in rows.items()
    ]}]  # fmt: skip
    return ata(ata_device_statistics={"pages": pages})


def test_device_statistics_are_counted():
    assert verdict(statistics(Number_of_Reported_Uncorrectable_Errors=0)) is Verdict.HEALTHY
    assert verdict(statistics(Number_of_Reported_Uncorrectable_Errors=500)) is Verdict.FAILING
    assert verdict(statistics(Number_of_Reallocated_Logical_Sectors=8)) is Verdict.WATCH
    pending = facts(statistics(**{"Number_of_Realloc._Candidate_Logical_Sectors": 8}))
    assert (pending.counters[Counter.PENDING], judge(pending).verdict) == (8, Verdict.WATCH)
    assert verdict(statistics(Number_of_Reallocated_Logical_Sectors=4000)) is Verdict.FAILING
    worn = statistics(Percentage_Used_Endurance_Indicator=120)
    assert (facts(worn).wear_percent, verdict(worn)) == (120, Verdict.WATCH)


@pytest.mark.parametrize(
    ("flags", "expected"), [({"value": 51}, "failing"), ({"value": 50}, "watch"), ({"prefailure": False}, "watch"),
                            ({}, "failing"), (None, "failing")],
)  # fmt: skip
def test_whether_a_low_value_is_a_failure_to_come_is_read_from_its_flags(flags, expected):
    assert verdict(attribute(5, value=5, worst=5, flags=flags)) == expected


def test_life_that_once_was_too_little_is_no_heat():
    row = (231, "SSD_Life_Left", 50, 50)
    document = table(REALLOCATED, row)
    document["ata_smart_attributes"]["table"][1].update(worst=5, thresh=10, when_failed="past")
    assert verdict(document) is Verdict.WATCH


def test_what_two_logs_tell_is_counted_once():
    document = attribute(5, statistics(Number_of_Reallocated_Logical_Sectors=64), raw=8)
    assert facts(document).counters[Counter.REALLOCATED] == 8
    document = attribute(187, statistics(Number_of_Reported_Uncorrectable_Errors=9), raw=3)
    assert facts(document).counters[Counter.REPORTED_UNCORRECTABLE] == 9


def test_a_statistic_of_all_ones_is_not_kept():
    assert verdict(statistics(Number_of_Reported_Uncorrectable_Errors=0xFFFFFFFF)) is Verdict.HEALTHY
    assert verdict(statistics(Number_of_Reported_Uncorrectable_Errors=1 << 40)) is Verdict.UNKNOWN


def test_a_statistic_that_is_a_percentage_is_no_count():
    document = statistics(Number_of_Reallocated_Logical_Sectors=4000)
    document["ata_device_statistics"]["pages"][0]["table"][0]["flags"]["normalized"] = True
    assert verdict(document) is Verdict.HEALTHY


@pytest.mark.parametrize(
    ("count", "expected"), [(0, "healthy"), (1, "watch"), (240, "failing"), (0xFFFFFFFF, "unknown")]
)
def test_pending_defects_are_counted(count, expected):
    assert verdict(sas(scsi_pending_defects={"count": count})) == expected
    assert verdict(ata(ata_pending_defects_log={"size": 255, "count": count})) == expected


def test_a_disk_is_judged_by_its_pending_defects_alone_too():
    scarce = {
        name: value
        for name, value in HEALTHY_SAS.items()
        if name not in ("scsi_grown_defect_list", "scsi_error_counter_log")
    }
    assert verdict(scarce) is Verdict.UNKNOWN
    assert verdict(scarce | {"scsi_pending_defects": {"count": 0}}) is Verdict.HEALTHY


def scan(*reassigned, status=0):
    results = {
        f"result_{n}": {"parameter_code": n, "lba": n, "reassign_status": {"value": value}}
        for n, value in enumerate(reassigned, 1)
    }
    return sas(scsi_background_scan={"status": {"value": status, "string": "halted due to fatal error"}, **results})


def test_sectors_that_the_background_scan_could_not_read_and_nobody_mended_are_pending():
    assert facts(scan(1, 2, 5, 4, 6)).counters[Counter.PENDING] == 2
    assert [verdict(scan()), verdict(scan(2, 5)), verdict(scan(1))] == ["healthy", "healthy", "watch"]
    stopped = judge(facts(scan(status=3)))
    assert stopped.verdict is Verdict.WATCH
    assert "background scan is halted due to fatal error" in stopped.text


def test_the_words_of_a_scan_result_count_where_it_has_no_number():
    def pending(status):
        return facts(sas(scsi_background_scan={"result_1": {"lba": 1, "reassign_status": status}}))

    assert pending("Require Write or Reassign Blocks command").counters[Counter.PENDING] == 1
    assert pending({"string": "Recovered via rewrite in-place"}).counters[Counter.PENDING] == 0
    assert all(judge(pending(status)).verdict is Verdict.UNKNOWN for status in (None, 1, {}, {"value": "1"}))


OLD_TEXT = """Background scan results log
  Status: scan is active
    Accumulated power on time, hours:minutes 41031:12 [2461872 minutes]
    Number of background scans performed: 310,  scan progress: 12.51%

   #  when        lba(hex)    [sk,asc,ascq]    reassign_status
   1 41022:41  000000001a2b3c4d  [3,11,0]   Require Write or Reassign Blocks command
   2 41022:42  000000001a2b3c4e  [1,17,1]   Recovered via rewrite in-place

  Pending defect count:3 Pending Defects, LBA and accumulated_power_on_hours follow
     1:  0x1a2b3c4d      ,  41022
""".splitlines()


def test_the_pending_defects_that_old_smartctl_has_as_text_only_are_counted():
    for lines, pending in ((OLD_TEXT, 3), (OLD_TEXT[:-2], 1), (OLD_TEXT[:4], None)):
        read = second.from_json(second.read(lines, "/dev/sdb", "scsi").to_json())
        found = second.complete(from_document(sas()), read)
        assert found.counters.get(Counter.PENDING) == pending
        assert judge(found).verdict is (Verdict.WATCH if pending else Verdict.HEALTHY)


@pytest.mark.parametrize(
    ("asc", "ascq", "expected"),
    [(0x0B, 0x01, "watch"), (0x0B, 0x05, "watch"), (0x5D, 0x10, "failed"), (0x5D, 0x00, "failed"),
     (None, None, "failed"), ("11", 1, "failed")],
)  # fmt: skip
def test_a_warning_of_a_scsi_disk_is_no_failure_and_a_prediction_is(asc, ascq, expected):
    told = {"asc": asc, "ascq": ascq, "ie_string": "WARNING - specified temperature exceeded"}
    judgement = judge(facts(sas(smartctl={"exit_status": 8}, smart_status={"passed": False, "scsi": told})))
    assert judgement.verdict == expected
    if expected == "watch":
        (reason,) = judgement.reasons
        assert (reason.code, "temperature exceeded" in reason.text) == (Code.SAYS_FAILED_EARLIER, True)


@pytest.mark.parametrize("log", ["devstat", "defects", "background", "ssd"])
def test_the_disks_are_asked_for_these_logs(log):
    assert ("-l", log) in list(zip(run.QUESTION, run.QUESTION[1:], strict=False))
