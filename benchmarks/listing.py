"""How long a page of packages takes when the catalogue is large: python benchmarks/listing.py [versions, 1,000,000].

Makes an SQLite catalogue of that many packages with one version, a receipt and two copies each in a temporary folder;
then asks for pages of 100 as the API does (what is wanted, and each package's state) from places all over the listing,
beside the floor: SQLite alone, reading the identifiers of such a page. Prints the median and the slowest in
milliseconds.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.scrape import COUNT, FILL
from vault.api import views
from vault.catalog import Catalogue, listing
from vault.catalog.listing import Order, Place, Wanted
from vault.clock import to_text, utcnow
from vault.policy import Policy

ROUNDS = 40
PAGE = 100
TABLES = ("volumes", "packages", "versions", "copies", "copy_counts")
MORE = (
    "UPDATE packages SET last_proved = (SELECT proved_at FROM copies WHERE version_id = packages.id LIMIT 1),"
    " file_code = 'HS-' || id, fonds = 'phong-' || (id % 1000), priority_class = 'class-' || (id % 3)",
    "UPDATE versions SET receipt = json_object('issued_at', created_at, 'signature', hex(randomblob(300)))",
    "ANALYZE",
)


def main(number: int) -> None:
    """Fill, measure, print one JSON line."""
    with tempfile.TemporaryDirectory(prefix="khoso-bench-") as folder:
        path = Path(folder, "catalog.db")
        catalogue = Catalogue.open(f"sqlite:///{path}")
        catalogue.migrate()
        began = time.perf_counter()
        with contextlib.closing(sqlite3.connect(path)) as connection:
            for statement in FILL:
                if statement.split()[2] in TABLES:
                    connection.execute(_counted(statement, number))
            for statement in MORE:
                connection.execute(statement)
            connection.commit()
        filled = time.perf_counter() - began
        found = {name: _measured(ask, number) for name, ask in _questions(catalogue, path, number).items()}
        catalogue.close()
        size = path.stat().st_size
    print(json.dumps({"packages": number, "page": PAGE, "fill_seconds": round(filled), "bytes": size, "ms": found}))


def _counted(statement: str, number: int) -> str:
    insert, select = statement.split("SELECT", 1)
    return f"{insert}{COUNT.format(n=number)}SELECT{select}" if " FROM c" in statement else statement


def _measured(ask: Callable[[int], int], number: int) -> dict[str, float]:
    times = []
    for turn in range(ROUNDS):
        at = 1 + turn * number // ROUNDS
        began = time.perf_counter()
        assert ask(at) >= 0
        times.append(time.perf_counter() - began)
    return {"median": round(statistics.median(times) * 1000, 2), "slowest": round(max(times) * 1000, 2)}


def _questions(catalogue: Catalogue, path: Path, number: int) -> dict[str, Callable[[int], int]]:
    node: Any = SimpleNamespace(custodian=SimpleNamespace(policy=lambda name: Policy(name, disk=2)))
    now = utcnow()

    def page(wanted: Wanted, after: Place | None) -> int:
        with catalogue.read() as tx:
            found = listing.page(tx, wanted, after=after, limit=PAGE)
            return len(views.summaries(node, tx, found))

    def identifier(at: int) -> str:
        return f"G09.{at:08d}/2026"

    def asked(wanted: Wanted) -> Callable[[int], int]:
        def ask(at: int) -> int:
            value = {
                Order.IDENTIFIER: "",
                Order.CREATED: to_text(now - timedelta(days=89 - 89 * at // number)),
                Order.LAST_PROVED: to_text(now - timedelta(days=89 - 89 * at // number)),
            }[wanted.order]
            return page(wanted, Place(value, identifier(at)))

        return ask

    def floor(at: int) -> int:
        query = "SELECT identifier FROM packages WHERE identifier > ? ORDER BY identifier LIMIT ?"
        return len(plain.execute(query, (identifier(at), PAGE)).fetchall())

    plain = sqlite3.connect(path)
    return {
        "floor: SQLite, identifiers only": floor,
        "all": asked(Wanted()),
        "fonds": asked(Wanted(fonds="phong-7")),
        "fonds and class": asked(Wanted(fonds="phong-7", priority_class="class-1")),
        "file code": lambda at: page(Wanted(file_code=f"HS-{at}"), None),
        "prefix": lambda at: page(Wanted(prefix=identifier(at)[:9]), None),
        "below policy": asked(Wanted(below_policy=True)),
        "not below policy": asked(Wanted(below_policy=False)),
        "proved before": asked(Wanted(proved_before=now - timedelta(days=1))),
        "created since": asked(Wanted(created_since=now - timedelta(days=60))),
        "fonds, proved before": asked(Wanted(fonds="phong-7", proved_before=now - timedelta(days=30))),
    }


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
