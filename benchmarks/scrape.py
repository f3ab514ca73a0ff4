"""How long a scrape takes when the catalogue is large: python benchmarks/scrape.py [versions, default 1,000,000].

Makes an SQLite catalogue of that many packages with one version and three copies each, a deposit and three events for
each, a tenth as many ended tasks, and 500 disks and 500 cartridges, in a temporary folder; then does as the daemon
does: reads once before the doors open, renders /metrics time and again, also after every disk and cartridge changed,
and prints one JSON line.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse

from monitoring.collector import Collector
from monitoring.exporter import Exporter
from vault.catalog import Catalogue
from vault.telemetry import Telemetry

ROUNDS = 20
COUNT = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < {n}) "
TIME = "strftime('%Y-%m-%dT%H:%M:%f', 'now', '-' || (i % 90) || ' days', '-' || (i % 86400) || ' seconds') || '000Z'"
NOW = "strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'"
FILL = (
    "INSERT INTO volumes (id, uuid, name, kind, medium, domain, site, mode, condition, condition_reason, size_bytes,"
    " free_bytes, probed_at, added_at) SELECT i, '00000000-0000-4000-8000-00000000000' || i, 'nas-' || i, 'directory',"
    " 'disk',"
    f" 'nas-' || i, 'site', 'active', 'online', '', 1000000, 500000, {TIME}, {TIME} FROM c WHERE i <= 2",
    "INSERT INTO disks SELECT 'ZL20' || i, 'ZL20' || i, printf('5000c500%08x', i), 'ST16000NM001G-2KK103', '/dev/sda',"
    " 'ata', iif(i % 50, 'healthy', 'watch'), '[]', '{\"temperature_celsius\":31,\"temperature_warning_celsius\":60,"
    '"temperature_critical_celsius":70,"power_on_hours":13114,"capacity_bytes":16000900661248,"wear_percent":3,'
    '"reallocated_sectors":0,"reported_uncorrectable_errors":0,"command_timeouts":12,"pending_sectors":0,'
    '"offline_uncorrectable_sectors":0,"interface_crc_errors":0,"logged_errors":0}'
    f"', 1, {NOW}, {NOW}, {NOW} FROM c WHERE i <= 500",
    "INSERT INTO volumes (id, uuid, name, kind, medium, domain, site, mode, condition, condition_reason, size_bytes,"
    " free_bytes, added_at) SELECT 1000 + i, printf('00000000-0000-4000-9000-%012d', i), printf('VLT%03dL8', i),"
    f" 'tape', 'tape', 'bo-1', 'site', 'active', 'unknown', '', 12000000000000, 500000, {TIME} FROM c WHERE i <= 500",
    "INSERT INTO cartridges (barcode, volume_id, library, generation, pool, state, whereabouts, element, shelf, reason,"
    " index_generation, loads, errors, alerts, seen_at, formatted_at, written_at, added_at) SELECT"
    " printf('VLT%03dL8', i), 1000 + i, 'lib', 'LTO-8', 'p', 'full', iif(i % 10, 'vaulted', 'library'), '', '', '',"
    f" 3, 5, 0, '[]', {TIME}, {TIME}, {TIME}, {TIME} FROM c WHERE i <= 500",
    "INSERT INTO packages (id, identifier, head, fonds, agency, batch, title, retention, access, priority_class,"
    " created_at) SELECT i, printf('G09.%08d/2026', i), 1, 'UBND', 'So Noi vu', 'b' || (i % 500), 'Ho so',"
    f" 'vinh vien', 'han che', 'default', {TIME} FROM c",
    "INSERT INTO versions (id, package_id, number, kind, algorithm, content_digest, inventory_digest, files, bytes,"
    " part_bytes, deposit_digests, policy, policy_fingerprint, priority_class, priority, below_policy, ingest_id,"
    " created_at, metadata) SELECT i, i, 1, 'bag', 'sha512', hex(randomblob(64)), hex(randomblob(64)), 10, 1000000,"
    " 1000000, '{}', 'default', 'f', 'class-' || (i % 3), 100, (i % 100) = 0, hex(randomblob(16)),"
    f' {TIME}, \'{{"fonds": "UBND"}}\' FROM c',
    *(
        "INSERT INTO copies (version_id, volume_id, state, written_at, proved_at, checked_at, due_at, changed_at,"
        f" reason, failures) SELECT i, {volume}, 'good', {TIME}, {TIME}, {TIME}, {TIME}, {TIME}, '', 0 FROM c"
        for volume in (1, 2)
    ),
    "INSERT INTO copies (version_id, volume_id, state, written_at, proved_at, checked_at, due_at, changed_at,"
    f" reason, failures) SELECT i, 1001 + i % 500, 'good', {TIME}, {TIME}, {TIME}, {TIME}, {TIME}, '', 0 FROM c",
    "INSERT INTO copy_counts SELECT volume_id, state, count(*) FROM copies GROUP BY volume_id, state",
    "INSERT INTO ingests (id, identifier, state, agent, volume, version, bytes_received, receipt, created_at,"
    " updated_at) SELECT hex(randomblob(16)), printf('G09.%08d/2026', i), iif(i % 1000 = 0, 'stored', 'receipted'),"
    f" 'token:repo', 'nas-1', 1, 1000000, '{{}}', {TIME}, {TIME} FROM c",
    *(
        f"INSERT INTO events SELECT 3 * i - {3 - place}, '{kind}', {TIME}, 'success', 'node:bench',"
        " printf('G09.%08d/2026', i), 1, 'nas-1', '{}', '', hex(randomblob(32)) FROM c"
        for place, kind in ((1, "ingestion"), (2, "replication"), (3, "fixity-check"))
    ),
    "UPDATE ledger_head SET seq = (SELECT max(seq) FROM events)",
    "INSERT INTO tasks (key, kind, state, waiting, priority, package_id, identifier, volumes, params, attempts,"
    " not_before, lease_owner, done_bytes, total_bytes, created_at, finished_at, message) SELECT 'k' || i,"
    " iif(i = 1, 'repair', iif(i % 2, 'verify', 'replicate')), 'done', 0, 1, i, 'x', '[\"nas-1\"]', '{}', 1,"
    f" {TIME}, '', 1, 1, {TIME}, {TIME}, '' FROM c WHERE i <= {{n}} / 10",
)


def fill(path: Path, versions: int) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        for statement in FILL:
            insert, select, rest = statement.partition(" SELECT ")
            is_counted = " FROM c" in statement
            with connection:
                connection.execute(
                    (insert + " " + COUNT.format(n=versions) if is_counted else insert)
                    + select
                    + rest.replace("{n}", str(versions))
                )
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def change(path: Path) -> None:
    """Every disk tells anew, and every cartridge was loaded once more."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE disks SET read_at = {NOW}, seen_at = {NOW}")
        connection.execute("UPDATE cartridges SET loads = loads + 1")


def scraped(exporter: Exporter, times: list[float]) -> dict[str, float]:
    """Scrape as Prometheus does, and note how long that took; the last value of each name."""
    began = time.perf_counter()
    body, _ = exporter.render("application/openmetrics-text;version=1.0.0")
    times.append(time.perf_counter() - began)
    return {sample.name: sample.value for family in parse(body.decode()) for sample in family.samples}


def main() -> None:
    versions = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory(prefix="khoso-scrape-") as folder:
        path = Path(folder, "catalog.db")
        catalogue = Catalogue.open(f"sqlite:///{path}")
        catalogue.migrate()
        fill(path, versions)
        exporter = Exporter(Collector(catalogue, Telemetry(["nas-1", "nas-2"])))
        began = time.perf_counter()
        exporter.warm()
        warm = time.perf_counter() - began
        times, readings, shown = [], [], {}
        for _ in range(ROUNDS):
            shown = scraped(exporter, times)
            readings.append(shown["vault_collector_duration_seconds"])
            if shown.get("vault_versions") != versions:
                sys.exit(f"the scrape is wrong:\n{shown}")
        changed: list[float] = []
        for _ in range(ROUNDS // 4):  # as each report of the helper changes every disk, and a session its cartridges
            change(path)
            scraped(exporter, changed)
        catalogue.close()
        later = sorted(times[1:])
        result = {
            "versions": versions,
            "catalogue_bytes": os.path.getsize(path),
            "load": round(os.getloadavg()[0], 1),
            "first_reading_at_start_ms": round(warm * 1000, 1),
            "first_scrape_ms": round(times[0] * 1000, 1),
            "median_scrape_ms": round(later[len(later) // 2] * 1000, 1),
            "worst_later_scrape_ms": round(later[-1] * 1000, 1),
            "worst_scrape_after_all_disks_changed_ms": round(max(changed) * 1000, 1),
            "median_reading_ms": round(sorted(readings)[ROUNDS // 2] * 1000, 1),
            "metrics": len(shown),
        }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
