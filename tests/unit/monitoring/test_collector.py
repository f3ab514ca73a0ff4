"""What the collector reads of a real catalogue, as /metrics says it."""

from datetime import timedelta

import pytest

from monitoring import collector as collector_module
from monitoring.metrics import METRICS, Kind
from tests.support.holdings import add_version, add_volume, tell
from tests.support.one_of_each import LIBRARY, fill, heard
from tests.support.scraping import Scraper, exported
from vault.catalog import packages, tasks, volumes
from vault.model import Condition, EventType, NewTask, TaskKind, TaskState, VolumeMode
from vault.telemetry import CallbackOutcome, DepositOutcome, Telemetry
from vault.verdict import Verdict


def test_every_metric_is_exported_with_its_type_help_and_labels(catalogue, hands):
    fill(catalogue, hands)
    scraper = Scraper(
        catalogue,
        Telemetry(["nas-a"]),
        configured={"nas-a": 100},
        intervals={"plan": timedelta(minutes=1)},
        self_tests={"short": timedelta(days=7)},
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
