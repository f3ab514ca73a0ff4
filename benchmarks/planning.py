"""A large catalogue: python benchmarks/planning.py [versions, 1,000,000] [URL of an empty PostgreSQL database].

Fills a catalogue with so many packages of one version and four copies each, on four volumes; a thousandth lacks a copy
and another thousandth has a damaged one. Then the planner derives its work, tick after tick, and ``GET /v1/status`` is
answered. Prints the median and the slowest, in milliseconds, and what the planner added to the process's memory.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from vault.api.auth import Principal
from vault.api.parts import NodeParts
from vault.api.status import get_status
from vault.catalog.engine import Tx
from vault.clock import to_text, utcnow
from vault.config import parse_settings
from vault.custody.planner import Planner
from vault.node import Node

VOLUMES = ("nas-a", "nas-b", "nas-c", "nas-d")
ROUNDS = 20
_PAGE = 20_000

Rows = Iterator[dict[str, object]]


def main(number: int, url: str = "") -> None:
    """Fill, measure, print one JSON line."""
    with tempfile.TemporaryDirectory(prefix="khoso-bench-") as folder:
        node = Node(parse_settings(_config(Path(folder), url), Path(folder) / "vault.toml"))
        began = time.perf_counter()
        with node.catalogue.write() as tx:
            fill(tx, number, node.custodian.fingerprint)
        filled = time.perf_counter() - began
        parts = cast("NodeParts", _Parts(node))
        planner = Planner(node.custodian)
        before = _peak()
        first = _milliseconds(planner.tick)
        ticks = [_milliseconds(planner.tick) for _ in range(ROUNDS)]
        grown = _peak() - before
        status = [_milliseconds(lambda: get_status(parts, cast("Principal", None))) for _ in range(ROUNDS)]
        kind = node.catalogue.place
        node.close()
    found = {"first tick": [first], "tick": ticks, "status": status}
    told = {
        name: {"median": round(statistics.median(ms), 1), "slowest": round(max(ms), 1)} for name, ms in found.items()
    }
    print(json.dumps({"versions": number, "copies": 4 * number, "catalogue": kind, "fill_seconds": round(filled),
                      "ms": told, "planner_mib": round(grown / 1024, 1)}))  # fmt: skip


class _Parts:
    """What the status asks of a node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.tapes = node.tape_desk
        self.clock = node.catalogue.clock

    def __getattr__(self, name: str) -> object:
        found: object = getattr(self._node, name)
        return found


def _config(folder: Path, url: str) -> str:
    lines = [f'[node]\nname="bench"\nstate="{folder}/state"\naccept_shared_devices=true\n[api]\nsocket="{folder}/s"']
    if url:
        lines.append(f'[catalog]\nurl="{url}"')
    for name in VOLUMES:
        (folder / name).mkdir()
        lines.append(f'[[volume]]\nname="{name}"\nkind="directory"\npath="{folder}/{name}"\nmount=false')
        lines.append(f'domain="{name}"\nsite="bench"')
    lines.append('[[policy]]\nname="default"\ndisk=4')
    return "\n".join(lines)


def _milliseconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def fill(tx: Tx, number: int, fingerprint: str) -> None:
    """All of it, as a node's own work would have left it."""
    now = utcnow()
    text = to_text(now)
    _insert(tx, "volumes", (
        {"id": n, "uuid": str(uuid.UUID(int=n)), "name": name, "kind": "directory", "medium": "disk", "domain": name,
         "site": "bench", "mode": "active", "condition": "online", "condition_reason": "", "size_bytes": 10**14,
         "free_bytes": 5 * 10**13, "probed_at": text, "added_at": text}
        for n, name in enumerate(VOLUMES, 1)
    ))  # fmt: skip
    _insert(tx, "packages", (
        {"id": n, "identifier": f"G09.{n:08}/2026", "head": 1, "fonds": f"phong-{n % 1000}", "agency": "", "batch": "",
         "title": "", "retention": "", "access": "", "priority_class": f"class-{n % 3}", "created_at": text,
         "last_proved": text}
        for n in range(1, number + 1)
    ))  # fmt: skip
    _insert(tx, "versions", (
        {"id": n, "package_id": n, "number": 1, "kind": "bag", "algorithm": "sha512", "content_digest": f"{n:0128x}",
         "inventory_digest": f"{n:0128x}", "files": 30, "bytes": 10**8, "part_bytes": 10**8, "deposit_digests": "{}",
         "policy": "default", "policy_fingerprint": fingerprint, "priority_class": f"class-{n % 3}",
         "priority": 300_000_100, "below_policy": n % 1000 < 2, "ingest_id": f"{n:032x}", "created_at": text,
         "metadata": "{}"}
        for n in range(1, number + 1)
    ))  # fmt: skip
    counted: dict[tuple[int, str], int] = {}

    def copies() -> Rows:
        for n in range(1, number + 1):
            # In time order a day's share is due each day: the schedule is even.
            proved = now - timedelta(days=90 * (n * 7919 % number) / number)
            for volume in range(1, len(VOLUMES) + 1):
                if volume == 1 and n % 1000 == 0:
                    continue
                state = "damaged" if volume == 1 and n % 1000 == 1 else "good"
                counted[volume, state] = counted.get((volume, state), 0) + 1
                yield _copy(n, volume, state, text, proved)

    _insert(tx, "copies", copies())
    _insert(tx, "copy_counts", ({"volume_id": v, "state": s, "number": n} for (v, s), n in counted.items()))
    tx.connection.execute(sa.text("ANALYZE"))
    tx.paid()


def _copy(version: int, volume: int, state: str, written: str, proved: datetime) -> dict[str, object]:
    at = to_text(proved)
    due = to_text(proved + timedelta(days=90)) if state == "good" else None
    return {"version_id": version, "volume_id": volume, "state": state, "written_at": written, "proved_at": at,
            "checked_at": at, "due_at": due, "changed_at": at, "reason": "", "failures": 0}  # fmt: skip


def _insert(tx: Tx, table: str, rows: Rows) -> None:
    page: list[dict[str, object]] = []
    for row in rows:
        page.append(row)
        if len(page) == _PAGE:
            _put(tx, table, page)
            page = []
    if page:
        _put(tx, table, page)


def _put(tx: Tx, table: str, page: list[dict[str, object]]) -> None:
    """By the driver itself: what stands between takes five times as long."""
    names = list(page[0])
    mark = "?" if tx.connection.dialect.name == "sqlite" else "%s"
    cursor = tx.connection.connection.cursor()
    cursor.executemany(
        f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join([mark] * len(names))})",
        [tuple(row.values()) for row in page],
    )
    cursor.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000, sys.argv[2] if len(sys.argv) > 2 else "")
