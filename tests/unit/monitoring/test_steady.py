"""What is much and changes seldom is made anew only when it changed, and then at once."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from monitoring.collector import Collector
from tests.support.holdings import add_volume, tell
from tests.support.one_of_each import READINGS, heard, put_disk
from tests.support.scraping import Scraper
from vault.catalog import cartridges, disks
from vault.device_model import DiskDay, Health
from vault.model import EventType
from vault.tape_model import CartridgeState
from vault.telemetry import Telemetry


@pytest.fixture
def filled(catalogue, hands):
    with catalogue.write() as tx:
        put_disk(tx, "DISK-A", hands())
        tape = add_volume(tx, "VLT001L8")
        cartridges.add(tx, "VLT001L8", library="lib", generation="LTO-8", state=CartridgeState.SCRATCH)
        cartridges.formatted(tx, "VLT001L8", volume_id=tape.id, pool="p", state=CartridgeState.APPENDABLE)
        tell(tx, EventType.CARTRIDGE_ADDED)
    return catalogue


def test_nothing_is_made_anew_while_nothing_changed(filled, hands):
    collector = Collector(filled, Telemetry(), devices=heard(hands()))
    before = collector.read().steady
    assert [bool(samples.values) for samples in before] == [True, True]
    hands.move(seconds=30)
    assert all(now is then for now, then in zip(collector.read().steady, before, strict=True))


def test_a_change_is_in_the_next_scrape(filled, hands):
    scraper = Scraper(filled, devices=heard(hands()))
    assert scraper.scrape().get("vault_disk_verdict", serial="DISK-A", verdict="watch") == 1
    assert scraper.get("vault_tape_cartridge_loads_total", volume="VLT001L8") == 0
    with filled.write() as tx:
        put_disk(tx, "DISK-A", hands(), Health.FAILING)
        cartridges.loaded(tx, "VLT001L8", "drive 0")
    seen = scraper.scrape()
    assert seen.get("vault_disk_verdict", serial="DISK-A", verdict="failing") == 1
    assert seen.get("vault_disk_verdict", serial="DISK-A", verdict="watch") is None
    assert seen.get("vault_tape_cartridge_loads_total", volume="VLT001L8") == 1


def test_what_grows_old_is_no_longer_known_though_nothing_changed(filled, hands):
    """A helper that died must not leave its last numbers behind, however they are kept."""
    scraper = Scraper(filled, devices_valid=timedelta(hours=1))
    assert scraper.scrape().get("vault_disk_temperature_celsius", serial="DISK-A") == 31
    hands.move(hours=1, seconds=1)
    seen = scraper.scrape()
    assert seen.get("vault_disk_temperature_celsius", serial="DISK-A") is None
    assert seen.get("vault_disk_verdict", serial="DISK-A", verdict="watch") == 1


def test_what_is_kept_is_not_shown_when_the_catalogue_does_not_answer(filled, hands):
    scraper = Scraper(filled)
    assert scraper.scrape().get("vault_disk_present", serial="DISK-A") == 1
    with filled.write() as tx:
        tx.connection.execute(sa.text("ALTER TABLE schedules RENAME TO hidden"))
    seen = scraper.scrape()
    assert seen.get("vault_collector_up") == 0
    assert seen.get("vault_disk_present", serial="DISK-A") is None
    assert seen.get("vault_tape_cartridge_loads_total", volume="VLT001L8") is None


def test_days_of_history_do_not_make_the_disks_anew(filled, hands):
    collector = Collector(filled, Telemetry())
    before = collector.read().steady
    with filled.write() as tx:
        disks.put_day(tx, DiskDay("DISK-A", hands().date(), Health.WATCH, {}))
    assert collector.read().steady[0] is before[0]


def test_how_a_disk_tested_itself_is_told_and_what_never_was_is_absent(catalogue, hands):
    with catalogue.write() as tx:
        put_disk(tx, "TESTED", hands())
        never = {key: value for key, value in READINGS.items() if "test" not in key}
        put_disk(tx, "NEVER", hands(), readings=never)
    seen = Scraper(catalogue).scrape()
    assert seen.get("vault_disk_self_test_age_seconds", serial="TESTED", kind="short") == 7200
    assert seen.get("vault_disk_self_test_age_seconds", serial="TESTED", kind="long") is None
    assert seen.of("vault_disk_self_test_failed") == {(("serial", "TESTED"),): 0}


def test_for_how_long_a_disk_that_can_test_itself_never_did_is_told_and_how_often_it_should(catalogue, hands):
    with catalogue.write() as tx:
        put_disk(tx, "NEVER", hands(), readings={"short_test_hours_ago": 2, "long_untested_hours": 3})
    every = {"short": timedelta(days=7), "long": timedelta(0)}
    seen = Scraper(catalogue, self_tests=every).scrape()
    assert seen.get("vault_disk_self_test_age_seconds", serial="NEVER", kind="long") == 3 * 3600
    assert seen.get("vault_disk_self_test_age_seconds", serial="NEVER", kind="short") == 2 * 3600
    assert seen.of("vault_disk_self_test_interval_seconds") == {(("kind", "short"),): 7 * 86400}
