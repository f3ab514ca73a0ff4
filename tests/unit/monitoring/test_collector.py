"""What /metrics says, on a real catalogue."""

import shutil
import subprocess
import threading
from datetime import timedelta

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from hardware.arrays import Array, ArrayState
from hardware.shares import Share, ShareState
from monitoring import collector as collector_module
from monitoring.collector import Collector, Exporter
from monitoring.devices import Heard
from monitoring.metrics import METRICS, Kind
from tests.support.holdings import add_copy, add_version, add_volume, tell
from tests.support.scraping import Scraper
from tests.support.tools import require
from vault.catalog import (
    Catalogue,
    callbacks,
    cartridges,
    disks,
    evidence,
    facts,
    ingests,
    packages,
    recalls,
    schedules,
    tape_drives,
    tasks,
    tokens,
    uploads,
    volumes,
)
from vault.clock import to_text
from vault.device_model import Disk, Health
from vault.model import Condition, CopyState, EventType, NewTask, Scope, TaskKind, TaskState, VolumeMode
from vault.tape_model import CartridgeState, CleaningNeed
from vault.tapes.librarian import LibraryView
from vault.telemetry import CallbackOutcome, DepositOutcome, Telemetry
from vault.verdict import Verdict


def exported(scraper):
    return {sample for sample, _ in scraper.samples if sample.startswith("vault_")}


READINGS = {
    "temperature_celsius": 31, "temperature_critical_celsius": 70, "power_on_hours": 2, "wear_percent": 3,
    "spare_percent": 100, "capacity_bytes": 10**12, "pending_sectors": 0, "reallocated_sectors": 4,
    "self_test_failed": 0, "short_test_hours_ago": 2}  # fmt: skip


def put_disk(tx, key, now, health=Health.WATCH, *, present=True, readings=READINGS):
    disks.put(
        tx, Disk(key, key, "5000c500", "ST16000", "/dev/sda", "ata", health, [], readings, present, now, now, now)
    )
    tell(tx, EventType.DEVICE_CHANGED)


def heard(now):
    return lambda: Heard(now, fresh=True, volumes={"nas-a": ["ZL20ABCD", "GONE"]},
                         present={"disk": 1}, events={("disk", "added"): 1}, overflows=0,
                         arrays=[Array("md0", "md", "raid1", ArrayState.DEGRADED, 1, 0, 0, 0.5)],
                         on_arrays={"nas-a": {"md0"}},
                         shares={"nas-a": Share("/srv/a", None, ShareState.SLOW, 9, 5, 100, 10, 2.5)})  # fmt: skip


def fill(catalogue, hands):
    """Put something there for every metric to be about, and return the volumes."""
    with catalogue.write() as tx:
        a, b = add_volume(tx, "nas-a"), add_volume(tx, "nas-b")
        for volume in (a, b):
            volumes.set_condition(tx, volume.id, Condition.ONLINE, "", 1000, 400)
        version = add_version(tx, "G09.1", priority_class="quý hiếm")
        add_copy(tx, version, a, due_at=hands() + timedelta(days=90))
        kept = add_copy(tx, version, b, CopyState.DAMAGED)
        event = tell(tx, EventType.EVIDENCE_KEPT)
        evidence.keep(tx, copy_id=kept.id, path="evidence/1", event_seq=event.seq)
        tasks.derive(tx, NewTask("verify-1", TaskKind.VERIFY, 1, version.package_id, "G09.1", 1, ("nas-a",)))
        (task,) = tasks.claim(tx, owner="me", lease=timedelta(minutes=1), free_lanes={"nas-a": 1})
        tasks.finish(tx, task.id, TaskState.DONE, "")
        schedules.succeeded(tx, "plan")
        facts.put(tx, "fixity-forecast", {"nas-a": {"held": 1, "speed": 1.0, "days": 2.5, "interval": 90.0}})
        ingests.begin(tx, "i1", "G09.1", "token:repo")
        ingests.prepare(tx, "i1", volume="nas-a", version=1, prepared={})
        ingests.store(tx, "i1")
        ingests.begin(tx, "i2", "G09.2", "token:repo")
        uploads.create(
            tx, "i2", agent="token:repo", request={}, volume="nas-a", length=100, expires_at=tx.now + timedelta(days=7)
        )
        uploads.advance(tx, "i2", received=40, length=100, expires_at=tx.now + timedelta(days=7))
        ingests.begin(tx, "i3", "G09.3", "token:repo")
        ingests.fail(tx, "i3", {"code": "no-space"})
        callbacks.add(tx, "i3", "https://kho.example/")
        (callback,) = callbacks.due(tx, 1)
        callbacks.tried(tx, callback, outcome="", message="answered 500", not_before=tx.now)
        put_disk(tx, "ZL20ABCD", hands())
        tape = add_volume(tx, "VLT001L8")
        cartridges.add(tx, "VLT001L8", library="lib", generation="LTO-8", state=CartridgeState.SCRATCH)
        cartridges.formatted(tx, "VLT001L8", volume_id=tape.id, pool="p", state=CartridgeState.APPENDABLE)
        cartridges.written(tx, "VLT001L8", generation=2, size_bytes=1000, free_bytes=500)
        cartridges.ask_for(tx, "VLT001L8", "a test")
        add_copy(tx, version, tape, due_at=hands() + timedelta(days=365))
        fill_drive(tx)
        recalls.order(tx, "G09.1", 1, (), "user:test", 1)
        facts.put(tx, "volume-growth", {"nas-a": {"2026-11-20": 500, "2026-11-22": 400}})
        facts.put(tx, "array-history", {"md0": {"first_seen": to_text(hands()), "checked_at": to_text(hands())}})
        facts.put(tx, "ledger-proof", {"time": to_text(hands()), "count": 1, "intact": True, "reason": ""})
        tokens.touch(tx, tokens.create(tx, "kho", [Scope.DEPOSIT], hands() + timedelta(days=9))[0].id)
        tell(tx, EventType.MOUNT_REQUESTED)
        end = tell(tx, EventType.INGESTION)
        tell(tx, EventType.CHECKPOINT, detail={"seq": end.seq, "hash": end.hash, "volumes": ["nas-a"]})
    return a, b


def fill_drive(tx):
    cartridges.told(tx, "VLT001L8", {"loads": 40})
    cartridges.add(tx, "CLN001CU", library="lib", generation="", state=CartridgeState.CLEANING)
    cartridges.cleaned_with(tx, "CLN001CU")
    tape_drives.seen(tx, "10WT", library="lib", number=0, vendor="IBM", product="ULT3580-TD8", revision="R1")
    tape_drives.cleaned(tx, "10WT")
    drive = tape_drives.at(tx, "lib", 0)
    tape_drives.alerted(tx, drive, ["hard-error"])
    tape_drives.asks(tx, drive, CleaningNeed.NOW)
    tape_drives.moved(tx, "lib", 0, read=0, written=300, seconds=2)
    tape_drives.told(tx, "lib", 0, {"power_on_hours": 2, "motion_hours": 1, "hard_read_errors": 0})


LIBRARY = LibraryView("lib", "", (), ("p",), "", {"p": 5})


def test_every_metric_is_exported_with_its_type_help_and_labels(catalogue, hands):
    fill(catalogue, hands)
    scraper = Scraper(
        catalogue,
        Telemetry(["nas-a"]),
        configured={"nas-a": 100},
        intervals={"plan": timedelta(minutes=1)},
        stalled=lambda: 2,
        certificate=hands,
        devices=heard(hands()),
        libraries=lambda: [LIBRARY],
        tape_life={"p": timedelta(days=1095)},
    )
    scraper.scrape()
    assert exported(scraper) == {metric.name for metric in METRICS}
    for metric in METRICS:
        family = scraper.families[metric.name.removesuffix("_total") if metric.kind is Kind.COUNTER else metric.name]
        assert (family.type, family.documentation) == (metric.kind.value, metric.help)
        assert all(set(sample.labels) == set(metric.labels) for sample in family.samples), metric.name


def test_values_are_those_of_the_catalogue(catalogue, hands):
    fill(catalogue, hands)
    now = hands().timestamp()
    seen = Scraper(catalogue, intervals={"plan": timedelta(minutes=1)}, stalled=lambda: 2).scrape()
    assert seen.get("vault_collector_up") == 1
    assert seen.get("vault_packages") == seen.get("vault_versions") == 1
    assert seen.get("vault_copies", volume="nas-a", state="good") == 1
    assert seen.get("vault_copies", volume="nas-b", state="damaged") == 1
    assert seen.get("vault_copies", volume="nas-a", state="damaged") == 0
    assert seen.get("vault_versions_below_policy", **{"class": "quý hiếm"}) == 1
    assert seen.get("vault_versions_below_policy", **{"class": "default"}) == 0
    assert seen.get("vault_evidence_kept") == 1
    assert seen.get("vault_volume_up", volume="nas-a") == 1
    assert seen.get("vault_volume_size_bytes", volume="nas-a") == 1000
    assert seen.get("vault_volume_free_bytes", volume="nas-a") == 400
    assert seen.get("vault_fixity_oldest_check_timestamp_seconds", volume="nas-a") == pytest.approx(now, abs=1e-3)
    assert seen.get("vault_fixity_oldest_due_timestamp_seconds", volume="nas-a") == pytest.approx(now + 90 * 86400)
    assert seen.get("vault_tasks", kind="verify", state="done") == 1
    assert seen.get("vault_tasks", kind="repair", state="running") == 0
    assert seen.get("vault_tasks_stalled") == 2
    assert seen.get("vault_task_last_success_timestamp_seconds", kind="verify") == pytest.approx(now)
    assert seen.get("vault_schedule_last_success_timestamp_seconds", kind="plan") == pytest.approx(now)
    assert seen.get("vault_schedule_interval_seconds", kind="plan") == 60
    assert seen.get("vault_schedule_failing", kind="plan") == 0
    assert seen.get("vault_deposits_open", state="receiving") == 1
    assert seen.get("vault_deposits_open", state="prepared") == 0
    assert seen.get("vault_receipts_pending") == 1
    assert seen.get("vault_receipts_oldest_pending_timestamp_seconds") == pytest.approx(now)
    assert (seen.get("vault_uploads_open"), seen.get("vault_uploads_received_bytes")) == (1, 40)
    assert seen.get("vault_callbacks_pending") == 1
    assert seen.get("vault_callbacks_oldest_attempt_timestamp_seconds") == pytest.approx(now)
    assert seen.get("vault_ledger_last_checkpoint_timestamp_seconds") == pytest.approx(now)
    assert seen.get("vault_ledger_last_checkpoint_volumes") == 1
    assert seen.get("vault_ledger_events_after_checkpoint") == 0


def test_drives_are_told_by_serial_and_what_they_do_not_tell_is_absent(catalogue, hands):
    fill(catalogue, hands)
    now = hands().timestamp()
    seen = Scraper(catalogue, tape_life={"p": timedelta(days=1095)}).scrape()
    drive = {"serial": "10WT"}
    assert seen.get("vault_tape_drive_state", **drive, state="empty") == 1
    assert seen.get("vault_tape_drive_cleaning", **drive, need="now") == 1
    assert seen.get("vault_tape_drive_cleaning", **drive, need="none") == 0
    assert seen.of("vault_tape_drive_alert_timestamp_seconds") == {
        (("flag", "hard-error"), ("serial", "10WT"), ("severity", "warning")): pytest.approx(now, abs=1)
    }
    assert seen.get("vault_tape_drive_written_bytes_total", **drive) == 300
    assert seen.get("vault_tape_drive_write_seconds_total", **drive) == 2
    assert seen.get("vault_tape_drive_power_on_seconds", **drive) == 7200
    assert seen.get("vault_tape_drive_hard_errors_total", **drive, counter="hard_read_errors") == 0
    assert seen.get("vault_tape_drive_hard_errors_total", **drive, counter="hard_write_errors") is None
    assert seen.get("vault_tape_cartridge_cleaning_uses_left", volume="CLN001CU") == 49
    assert seen.get("vault_tape_cartridge_lifetime_loads_total", volume="VLT001L8") == 40
    convert = seen.get("vault_tape_cartridge_convert_timestamp_seconds", volume="VLT001L8")
    assert convert == pytest.approx(now + 1095 * 86400, abs=1)


def test_disks_are_told_by_who_they_are(catalogue, hands):
    fill(catalogue, hands)
    seen = Scraper(catalogue, devices=heard(hands())).scrape()
    assert seen.of("vault_disk_verdict") == {(("serial", "ZL20ABCD"), ("verdict", "watch")): 1}
    assert seen.get("vault_disk_errors", serial="ZL20ABCD", counter="reallocated_sectors") == 4
    assert seen.get("vault_disk_errors", serial="ZL20ABCD", counter="pending_sectors") == 0
    assert seen.get("vault_disk_errors", serial="ZL20ABCD", counter="media_errors") is None
    assert seen.get("vault_disk_power_on_seconds", serial="ZL20ABCD") == 7200
    assert seen.get("vault_disk_endurance_used_ratio", serial="ZL20ABCD") == pytest.approx(0.03)
    assert seen.get("vault_disk_temperature_limit_celsius", serial="ZL20ABCD", limit="critical") == 70
    assert seen.get("vault_disk_temperature_limit_celsius", serial="ZL20ABCD", limit="warning") is None
    assert seen.of("vault_disk_volume") == {(("serial", "ZL20ABCD"), ("volume", "nas-a")): 1}
    assert seen.get("vault_disk_report_fresh") == 1
    assert seen.get("vault_volume_health", volume="nas-a", health="unknown") == 1


def test_what_a_disk_said_long_ago_or_elsewhere_is_absent(catalogue, hands):
    with catalogue.write() as tx:
        put_disk(tx, "OLD", hands() - timedelta(hours=2))
        put_disk(tx, "GONE", hands(), present=False)
    seen = Scraper(catalogue).scrape()
    assert {dict(labels)["serial"] for labels in seen.of("vault_disk_verdict")} == {"OLD", "GONE"}
    assert seen.get("vault_disk_present", serial="GONE") == 0
    for name in ("vault_disk_temperature_celsius", "vault_disk_errors", "vault_disk_capacity_bytes"):
        assert seen.of(name) == {}


def test_a_change_of_a_disk_is_in_the_next_scrape_and_of_openmetrics_too(catalogue, hands):
    with catalogue.write() as tx:
        put_disk(tx, "X1", hands())
    scraper = Scraper(catalogue)
    assert scraper.scrape().get("vault_disk_verdict", serial="X1", verdict="watch") == 1
    with catalogue.write() as tx:
        put_disk(tx, "X1", hands(), Health.FAILED)
    assert scraper.scrape().get("vault_disk_verdict", serial="X1", verdict="failed") == 1
    assert scraper.get("vault_disk_verdict", serial="X1", verdict="watch") is None
    body, _ = scraper.exporter.render("application/openmetrics-text; version=1.0.0")
    assert body.count(b"# EOF") == 1
    assert "vault_disk_verdict" in {family.name for family in parse_openmetrics(body.decode())}


def test_disks_are_bounded_and_the_worst_are_shown(catalogue, hands, monkeypatch):
    monkeypatch.setattr("monitoring.devices.MOST", 2)
    with catalogue.write() as tx:
        for key, health in (("A", Health.HEALTHY), ("B", Health.FAILED), ("C", Health.WATCH)):
            put_disk(tx, key, hands(), health)
    seen = Scraper(catalogue).scrape()
    assert {dict(labels)["serial"] for labels in seen.of("vault_disk_verdict")} == {"B", "C"}


def test_what_an_empty_catalogue_does_not_know_is_absent(catalogue):
    seen = Scraper(catalogue, Telemetry()).scrape()
    assert seen.get("vault_packages") == 0
    assert seen.get("vault_ledger_events_total") == 0
    for name in (
        "vault_volume_up",
        "vault_fixity_oldest_check_timestamp_seconds",
        "vault_fixity_oldest_due_timestamp_seconds",
        "vault_task_last_success_timestamp_seconds",
        "vault_schedule_last_success_timestamp_seconds",
        "vault_receipts_oldest_pending_timestamp_seconds",
        "vault_callbacks_oldest_attempt_timestamp_seconds",
        "vault_ledger_last_checkpoint_timestamp_seconds",
    ):
        assert not seen.of(name), name


@pytest.mark.parametrize(
    ("condition", "up"), [("online", 1), ("read-only", 1), ("offline", 0), ("foreign", 0), ("unknown", None)]
)
def test_up_is_what_the_probe_saw_and_absent_where_it_saw_nothing(catalogue, condition, up):
    with catalogue.write() as tx:
        volume = add_volume(tx, "nas-a")
        volumes.set_condition(tx, volume.id, Condition(condition), "", 1000, 400)
        tell(tx, EventType.VOLUME_CHANGED)
    seen = Scraper(catalogue).scrape()
    assert seen.get("vault_volume_up", volume="nas-a") == up
    assert seen.get("vault_volume_size_bytes", volume="nas-a") == (1000 if up else None)
    conditions = {dict(labels)["condition"]: value for labels, value in seen.of("vault_volume_condition").items()}
    assert conditions == {each.value: float(each.value == condition) for each in Condition}


def test_what_was_seen_long_ago_is_no_longer_known(catalogue, hands):
    """A watch that died must not leave its volumes looking healthy."""
    fill(catalogue, hands)
    scraper = Scraper(catalogue, probe_valid=timedelta(minutes=5))
    hands.move(minutes=5)
    assert scraper.scrape().get("vault_volume_up", volume="nas-a") == 1
    hands.move(seconds=1)
    seen = scraper.scrape()
    assert seen.get("vault_volume_up", volume="nas-a") is None
    assert seen.get("vault_volume_free_bytes", volume="nas-a") is None
    assert seen.get("vault_volume_condition", volume="nas-a", condition="unknown") == 1
    assert seen.get("vault_volume_condition", volume="nas-a", condition="online") == 0


def test_a_configured_volume_that_never_came_is_unknown_and_not_forgotten(catalogue):
    seen = Scraper(catalogue, configured=["nas-c"]).scrape()
    assert seen.get("vault_volume_condition", volume="nas-c", condition="unknown") == 1
    assert seen.get("vault_volume_up", volume="nas-c") is None


def test_modes(catalogue):
    with catalogue.write() as tx:
        volume = add_volume(tx, "nas-a")
        volumes.set_mode(tx, volume.id, VolumeMode.RETIRED)
        tell(tx, EventType.VOLUME_CHANGED)
    seen = Scraper(catalogue).scrape()
    assert seen.get("vault_volume_mode", volume="nas-a", mode="retired") == 1
    assert seen.get("vault_volume_mode", volume="nas-a", mode="active") == 0


def test_numbers_follow_what_comes_between_scrapes(catalogue, hands):
    """The collector looks only at what is new; it must not miss nor count twice."""
    scraper = Scraper(catalogue)
    for expected in (0, 1, 2, 3):
        assert scraper.scrape().get("vault_versions") == expected
        with catalogue.write() as tx:
            add_version(tx, "G09.1" if expected < 2 else f"G09.{expected}")
    seen = scraper.scrape()
    assert (seen.get("vault_packages"), seen.get("vault_versions")) == (3, 4)
    assert scraper.scrape().get("vault_versions") == 4


def test_the_last_success_of_a_task_stays_known_when_the_task_is_forgotten(catalogue, hands):
    fill(catalogue, hands)
    done_at = hands().timestamp()
    scraper = Scraper(catalogue).scrape()
    hands.move(days=8)
    with catalogue.write() as tx:
        assert tasks.purge(tx, hands()) == 1
    name = "vault_task_last_success_timestamp_seconds"
    assert scraper.scrape().get(name, kind="verify") == pytest.approx(done_at)
    with catalogue.write() as tx:
        tasks.derive(tx, NewTask("verify-2", TaskKind.VERIFY, 1, 1, "G09.1", 1, ("nas-a",)))
        (task,) = tasks.claim(tx, owner="me", lease=timedelta(minutes=1), free_lanes={"nas-a": 1})
        tasks.finish(tx, task.id, TaskState.DONE, "")
    assert scraper.scrape().get(name, kind="verify") == pytest.approx(hands().timestamp())


def test_classes_are_the_depositors_words_and_bounded_all_the_same(catalogue):
    with catalogue.write() as tx:
        for number in range(collector_module.CLASSES + 30):
            add_version(tx, f"id-{number}", priority_class=f"class-{number}")
        add_version(tx, "long", priority_class="x" * 200)
    seen = Scraper(catalogue).scrape().of("vault_versions_below_policy")
    assert len(seen) == collector_module.CLASSES + 1
    assert sum(seen.values()) == collector_module.CLASSES + 31


def test_a_class_that_recovered_shows_0_and_does_not_vanish(catalogue):
    with catalogue.write() as tx:
        version = add_version(tx, "id", priority_class="hot")
    scraper = Scraper(catalogue)
    assert scraper.scrape().get("vault_versions_below_policy", **{"class": "hot"}) == 1
    with catalogue.write() as tx:
        packages.set_standing(tx, version.id, below_policy=False, policy="default", priority=100)
    assert scraper.scrape().get("vault_versions_below_policy", **{"class": "hot"}) == 0


def test_no_label_names_a_package(catalogue, hands):
    fill(catalogue, hands)
    seen = Scraper(catalogue).scrape()
    assert not [labels for _, labels in seen.samples if any("G09" in value for _, value in labels)]


def test_counts_of_the_process_are_shown_from_0(catalogue):
    telemetry = Telemetry(["nas-a"])
    scraper = Scraper(catalogue, telemetry)
    assert scraper.scrape().get("vault_deposits_total", outcome="failed") == 0
    assert scraper.get("vault_fixity_bytes_total", volume="nas-a", outcome="damaged") == 0
    assert scraper.get("vault_callbacks_total", outcome="given-up") == 0
    telemetry.callback(CallbackOutcome.GIVEN_UP)
    telemetry.deposit(DepositOutcome.FAILED, 7)
    telemetry.fixity("nas-a", Verdict.DAMAGED, files=3, read=4096)
    scraper.scrape()
    assert scraper.get("vault_callbacks_total", outcome="given-up") == 1
    assert scraper.get("vault_deposits_total", outcome="failed") == 1
    assert scraper.get("vault_deposit_bytes_total", outcome="failed") == 7
    assert scraper.get("vault_fixity_files_total", volume="nas-a", outcome="damaged") == 3
    assert scraper.get("vault_fixity_bytes_total", volume="nas-a", outcome="damaged") == 4096


def assert_blind(scraper, errors):
    """The scrape works, says that it is blind, and shows nothing that it cannot know."""
    assert scraper.get("vault_collector_up") == 0
    assert scraper.get("vault_collector_errors_total") == errors
    assert scraper.get("vault_deposits_total", outcome="stored") == 1
    assert exported(scraper) == {
        "vault_build_info",
        "vault_collector_up",
        "vault_collector_errors_total",
        "vault_fixity_files_total",
        "vault_fixity_bytes_total",
        "vault_deposits_total",
        "vault_deposit_bytes_total",
        "vault_callbacks_total",
    }


def test_a_catalogue_that_fails_leaves_a_scrape_that_says_so(tmp_path, hands):
    path = tmp_path / "catalog.db"
    catalogue = Catalogue.open(f"sqlite:///{path}", hands)
    catalogue.migrate()
    telemetry = Telemetry(["nas-a"])
    telemetry.deposit(DepositOutcome.STORED, 1)
    scraper = Scraper(catalogue, telemetry)
    fill(catalogue, hands)
    assert scraper.scrape().get("vault_collector_up") == 1
    catalogue.close()
    shutil.move(path, tmp_path / "away")
    assert_blind(scraper.scrape(), 1)
    shutil.move(tmp_path / "away", path)
    assert scraper.scrape().get("vault_collector_up") == 1
    assert scraper.get("vault_versions") == 1
    catalogue.close()


class Hanging(Catalogue):
    """A catalogue on a server that stopped answering."""

    def read(self):
        self.asked += 1
        assert self.answer.wait(30)
        return super().read()


def test_a_catalogue_that_hangs_costs_a_scrape_its_patience_and_no_more_than_one_thread(tmp_path, hands):
    catalogue = Hanging.open(f"sqlite:///{tmp_path}/catalog.db", hands)
    catalogue.migrate()
    catalogue.answer, catalogue.asked = threading.Event(), 0
    telemetry = Telemetry(["nas-a"])
    telemetry.deposit(DepositOutcome.STORED, 1)
    scraper = Scraper(catalogue, telemetry, patience=0.05)
    for errors in (1, 2, 3):
        assert_blind(scraper.scrape(), errors)
    assert catalogue.asked == 1
    hung = [thread for thread in threading.enumerate() if thread.name == "scrape"]
    catalogue.answer.set()
    for thread in hung:
        thread.join(30)
    patient = Scraper(catalogue, telemetry)
    assert patient.scrape().get("vault_collector_up") == 1
    catalogue.close()


def test_a_ledger_that_lost_its_end_has_no_number(catalogue, hands, tmp_path):
    import sqlite3

    fill(catalogue, hands)
    connection = sqlite3.connect(tmp_path / "catalog.db")
    with connection:
        connection.execute("DELETE FROM ledger_head")
        connection.execute("UPDATE events SET detail = 'no JSON' WHERE type = 'ledger-checkpoint'")
    connection.close()
    seen = Scraper(catalogue).scrape()
    assert seen.get("vault_collector_up") == 1
    assert seen.get("vault_ledger_events_total") is None
    assert seen.get("vault_ledger_last_checkpoint_timestamp_seconds") is None


def test_openmetrics_where_it_is_asked_for(catalogue, hands):
    fill(catalogue, hands)
    exporter = Exporter(Collector(catalogue, Telemetry(["nas-a"]), stalled=lambda: 0))
    body, content_type = exporter.render("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name: family for family in parse_openmetrics(body.decode())}
    assert families["vault_deposits"].type == "counter"
    assert body.endswith(b"# EOF\n")


@pytest.mark.parametrize("accept", ["", "*/*", "text/html", "nonsense;;;,,;q=x"])
def test_any_other_wish_gets_the_text_format(catalogue, accept):
    body, content_type = Exporter(Collector(catalogue, Telemetry())).render(accept)
    assert content_type.startswith("text/plain")
    assert b"vault_collector_up 1.0" in body


def test_promtool_finds_nothing_to_say(catalogue, hands):
    promtool = require("promtool", "prometheus")
    fill(catalogue, hands)
    exporter = Exporter(
        Collector(catalogue, Telemetry(["nas-a"]), intervals={"plan": timedelta(minutes=1)}, stalled=lambda: 0)
    )
    body, _ = exporter.render("")
    checked = subprocess.run([promtool, "check", "metrics"], input=body, capture_output=True, timeout=60, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")
