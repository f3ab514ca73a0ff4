"""What /metrics says of disks and drives."""

from datetime import timedelta

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from tests.support.one_of_each import fill, heard, put_disk
from tests.support.scraping import Scraper
from vault.catalog import disks, tape_drives
from vault.device_model import Health
from vault.health import array_history
from vault.ledger import append
from vault.model import EventType, NewEvent, Outcome


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


def test_a_drive_without_tapealert_does_not_say_that_it_needs_no_cleaning(catalogue, hands):
    fill(catalogue, hands)
    with catalogue.write() as tx:
        tape_drives.seen(tx, "10WX", library="lib", number=1, vendor="HP", product="Ultrium", revision="R1")
    need = {"serial": "10WX", "need": "none"}
    life = {"p": timedelta(days=1095)}
    assert Scraper(catalogue, tape_life=life).scrape().get("vault_tape_drive_state", serial="10WX", state="empty") == 1
    assert Scraper(catalogue, tape_life=life).scrape().get("vault_tape_drive_cleaning", **need) is None
    with catalogue.write() as tx:
        tape_drives.heard(tx, "10WX")
    assert Scraper(catalogue, tape_life=life).scrape().get("vault_tape_drive_cleaning", **need) == 1


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


def test_what_is_remembered_of_an_array_is_read_as_it_was_written(catalogue, hands):
    past = {
        "md0": array_history.Past(hands(), None, checking=True, began=4096, moved=True, reached=8192),
        "vg-lv": array_history.Past(hands(), hands(), checking=True, part=1.0, part_at=hands(), speed=0.25),
    }
    with catalogue.write() as tx:
        array_history.write(tx, past)
    with catalogue.read() as tx:
        assert array_history.read(tx) == past


def test_a_disk_that_was_forgotten_has_no_series_any_more(catalogue, hands):
    with catalogue.write() as tx:
        put_disk(tx, "GONE", hands(), present=False)
    scraper = Scraper(catalogue)
    assert scraper.scrape().get("vault_disk_present", serial="GONE") == 0
    with catalogue.write() as tx:
        disks.let_go(tx, "GONE")
        append(tx, NewEvent(EventType.DEVICE_CHANGED, Outcome.SUCCESS, "operator"))
    assert scraper.scrape().of("vault_disk_present") == {}


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
