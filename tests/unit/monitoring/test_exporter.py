"""How /metrics answers: in which format, how old what it shows may be, and when the catalogue is slow or fails."""

import shutil
import subprocess
import threading
from datetime import timedelta

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from monitoring.collector import Collector
from monitoring.exporter import Exporter
from tests.support.nodes import eventually
from tests.support.one_of_each import fill
from tests.support.scraping import Scraper, exported
from tests.support.tools import require
from vault.catalog import Catalogue
from vault.telemetry import DepositOutcome, Telemetry


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
    """A catalogue on a server that stops answering, until it is let."""

    answer: threading.Event
    asked = 0

    def read(self):
        self.asked += 1
        assert self.answer.wait(30)
        return super().read()


@pytest.fixture
def hanging(tmp_path, hands):
    found = Hanging.open(f"sqlite:///{tmp_path}/catalog.db", hands)
    found.answer = threading.Event()
    found.migrate()
    yield found
    found.answer.set()
    for thread in threading.enumerate():
        if thread.name == "scrape":
            thread.join(30)
    found.close()


def test_a_catalogue_that_hangs_costs_a_scrape_its_patience_and_no_more_than_one_thread(hanging):
    telemetry = Telemetry(["nas-a"])
    telemetry.deposit(DepositOutcome.STORED, 1)
    scraper = Scraper(hanging, telemetry, patience=0.05)
    for errors in (1, 2, 3):
        assert_blind(scraper.scrape(), errors)
    assert hanging.asked == 1
    hanging.answer.set()
    assert Scraper(hanging, telemetry).scrape().get("vault_collector_up") == 1


def test_while_it_is_slow_what_was_read_before_is_shown_with_its_time_and_not_for_long(hanging, hands):
    hanging.answer.set()
    clock = [100.0]
    scraper = Scraper(hanging, prompt=0.05, valid=20, patience=0.05, clock=lambda: clock[0])
    read_at = hands().timestamp()
    eventually(lambda: scraper.scrape().get("vault_versions") == 0)
    hanging.answer.clear()
    hands.move(seconds=20)
    clock[0] += 20
    assert scraper.scrape().get("vault_versions") == 0
    assert scraper.get("vault_collector_read_timestamp_seconds") == pytest.approx(read_at, abs=1e-3)
    clock[0] += 1
    assert scraper.scrape().get("vault_collector_up") == 0
    assert scraper.get("vault_versions") is None
    assert scraper.get("vault_collector_read_timestamp_seconds") is None
    hanging.answer.set()
    eventually(lambda: scraper.scrape().get("vault_collector_up") == 1)
    assert scraper.get("vault_collector_read_timestamp_seconds") == pytest.approx(read_at + 20, abs=1e-3)


def test_the_first_scrape_has_what_was_read_at_the_start(hanging, hands):
    """Of a large catalogue the first reading takes longer than a scrape may."""
    hanging.answer.set()
    fill(hanging, hands)
    scraper = Scraper(hanging, prompt=0.05, patience=0)
    scraper.exporter.warm()
    hanging.answer.clear()
    assert scraper.scrape().get("vault_versions") == 1
    assert scraper.get("vault_disk_present", serial="ZL20ABCD") == 1


def test_what_is_read_while_nobody_asks_is_what_the_next_scrape_shows(hanging, hands):
    hanging.answer.set()
    scraper = Scraper(hanging, prompt=0.05)
    assert scraper.scrape().get("vault_versions") == 0
    fill(hanging, hands)
    hands.move(seconds=10)
    scraper.exporter.refresh()
    eventually(lambda: not [one for one in threading.enumerate() if one.name == "scrape"])
    hanging.answer.clear()
    assert scraper.scrape().get("vault_versions") == 1


def test_who_asks_for_many_formats_has_nothing_kept_for_each(catalogue, hands):
    fill(catalogue, hands)
    exporter = Exporter(Collector(catalogue, Telemetry()))
    kept = set()
    for number in range(12):
        body, _ = exporter.render(f"application/openmetrics-text;version=1.0.{number}")
        assert b"vault_disk_present" in body
        kept.add(len(exporter._steady._known))
    assert max(kept) <= 2 * 8


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
