"""With a hundred thousand versions, what the planner asks often is answered from indexes, in no time."""

import re
import time
from datetime import timedelta

import pytest
import sqlalchemy as sa

from tests.support.holdings import Hands, add_version, add_volume
from vault import ledger
from vault.catalog import Catalogue, copies, listing, packages, tasks
from vault.catalog.listing import Place, Wanted
from vault.clock import to_text
from vault.model import CopyState, NewTask, TaskKind

VERSIONS = 100_000
BIG_TABLES = "packages|versions|copies|tasks|events"
pytestmark = pytest.mark.slow
NUMBERS = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < :last) ",
    "postgresql": "WITH n(i) AS (SELECT generate_series(2, :last)) ",
}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def large(request, tmp_path_factory):
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('large')}/catalog.db"
    else:
        url = request.getfixturevalue("postgres").create_database("large")
    catalogue = Catalogue.open(url, Hands())
    catalogue.migrate()
    fill(catalogue, request.param)
    yield catalogue
    catalogue.close()


def fill(catalogue, dialect):
    """Multiply one package in SQL: a thousandth below policy or damaged, and 100,000 tasks for volume a."""
    with catalogue.write() as tx:
        places = [add_volume(tx, name) for name in "ab"]
        add_version(tx, "p1")  # its event is the third
        tasks.derive(tx, NewTask("t1", TaskKind.VERIFY, 5, 1, "p1", 1, ("a",)))
        numbers, values = (
            NUMBERS[dialect],
            {"last": VERSIONS, "start": to_text(tx.now), "end": to_text(tx.now + timedelta(90))},
        )

        def multiply(table, columns, key="id"):
            names = COLUMNS[table]
            chosen = ", ".join(columns.get(name, name) for name in names)
            tx.connection.execute(
                sa.text(
                    f"INSERT INTO {table} ({', '.join(names)}) {numbers}"
                    f" SELECT {chosen} FROM n, {table} WHERE {key} = 1"
                ),
                values,
            )

        multiply("packages", {"id": "i", "identifier": "'H49/' || i"})
        below = "CASE WHEN i % 1000 = 0 THEN 1 ELSE 0 END"
        multiply("versions", {"id": "i", "package_id": "i", "below_policy": below})
        multiply("tasks", {"id": "i", "key": "'t' || i", "priority": "i % 10"})
        multiply("events", {"seq": "2 + i", "identifier": "'H49/' || i"}, "seq")
        for place in places:
            tx.connection.execute(
                sa.text(
                    "INSERT INTO copies (version_id, volume_id, state, written_at, proved_at, checked_at, due_at,"
                    f" changed_at, reason, failures) {numbers} SELECT i, {place.id},"
                    " CASE WHEN i % 1000 = 1 THEN 'damaged' ELSE 'good' END, :start, :start, :start,"
                    " CASE WHEN i % 1000 = 2 THEN :start ELSE :end END, :start, '', 0 FROM n"
                ),
                values,
            )
        tx.connection.execute(sa.text("ANALYZE"))


COLUMNS = {name: [column.name for column in table.columns] for name, table in packages.versions.metadata.tables.items()}

QUERIES = {
    "below policy": lambda tx: packages.below_policy(tx, 100),
    "below policy, next page": lambda tx: packages.below_policy(tx, 100, after=packages.below_policy(tx, 3)[-1]),
    "below policy, counted": packages.count_below_policy_by_class,
    "other policy": lambda tx: packages.versions_with_other_policy(tx, "", 100),
    "listing": lambda tx: listing.page(tx, Wanted(), after=Place("", "H49/5"), limit=100),
    "listing by prefix": lambda tx: listing.page(tx, Wanted(prefix="H49/77"), limit=100),
    "listing by prefix, next page": lambda tx: listing.page(
        tx, Wanted(prefix="H49/77"), after=Place("", "H49/771"), limit=100
    ),
    "listing by fonds": lambda tx: listing.page(tx, Wanted(fonds="F"), limit=100),
    "listing by class": lambda tx: listing.page(tx, Wanted(priority_class="C"), after=Place("", "H49/5"), limit=100),
    "listing by file code": lambda tx: listing.page(tx, Wanted(file_code="F"), limit=100),
    "listing by retention": lambda tx: listing.page(tx, Wanted(retention="F"), after=Place("", "H49/5"), limit=100),
    "listing by access": lambda tx: listing.page(tx, Wanted(access="F"), limit=100),
    "listing of what was proved before": lambda tx: listing.page(tx, Wanted(proved_before=tx.now), limit=100),
    "listing of what was proved before, next page": lambda tx: listing.page(
        tx, Wanted(proved_before=tx.now), after=Place(to_text(tx.now - timedelta(1)), "H49/5"), limit=100
    ),
    "listing of what came since": lambda tx: listing.page(tx, Wanted(created_since=tx.now), limit=100),
    "listing of what came since, next page": lambda tx: listing.page(
        tx, Wanted(created_since=tx.now), after=Place(to_text(tx.now), "H49/5"), limit=100
    ),
    "versions of several packages": lambda tx: packages.versions_of_packages(tx, range(100, 200)),
    "receipts of several versions": lambda tx: packages.receipts_issued(tx, range(100, 200)),
    "head": lambda tx: packages.head(tx, "H49/77"),
    "copies of a package": lambda tx: copies.of_package(tx, 777),
    "due": lambda tx: copies.due(tx, 1, tx.now, 100),
    "due, not taken up": lambda tx: copies.due(tx, 1, tx.now, 100, not_taken_up=True),
    "unproved": lambda tx: copies.unproved(tx, 1, 100),
    "copies of several packages, of a package": lambda tx: copies.of_packages(tx, range(100, 150)),
    "damaged": lambda tx: copies.in_states(tx, [CopyState.DAMAGED, CopyState.MISSING], 100),
    "good on a volume": lambda tx: copies.in_states(tx, [CopyState.GOOD], 100, volume_id=2, after=5000),
    "unchecked": lambda tx: copies.unchecked(tx, before=tx.now + timedelta(1), limit=100),
    "unchecked, not taken up": lambda tx: copies.unchecked(
        tx, before=tx.now + timedelta(1), volume_id=1, limit=100, not_taken_up=True
    ),
    "unchecked of a package": lambda tx: copies.unchecked(tx, before=tx.now + timedelta(1), package_id=77, limit=100),
    "unchecked on a volume, of a package": lambda tx: copies.unchecked(
        tx, before=tx.now + timedelta(1), volume_id=1, package_id=77, limit=100
    ),
    "oldest proof": copies.oldest_proof,
    "counts": copies.counts,
    "expired": tasks.expired,
    "open keys": lambda tx: tasks.open_keys(tx, [f"t{number}" for number in range(100)]),
    "open by keys": lambda tx: tasks.open_by_keys(tx, [f"t{number}" for number in range(100)]),
    "events of a package": lambda tx: ledger.events(tx, identifier="H49/77"),
}
WRITES = {
    "claim when blocked": lambda tx: tasks.claim(tx, owner="o", lease=timedelta(1), free_lanes={"b": 1}),
    "claim": lambda tx: tasks.claim(tx, owner="o", lease=timedelta(1), free_lanes={"a": 3}, limit=3),
    "derive": lambda tx: tasks.derive(tx, NewTask("t77", TaskKind.VERIFY, 5, 1, "p", 1, ("a",))),
    "release": tasks.release_expired,
    "purge": lambda tx: tasks.purge(tx, tx.now, keep=1),
    "cancel, nothing there": lambda tx: tasks.cancel_ready(tx, "b", TaskKind.REPLICATE, ""),
}


@pytest.mark.parametrize("name", [*QUERIES, *WRITES])
def test_no_query_of_the_planner_walks_a_big_table(large, name):
    query, begin = (QUERIES[name], large.read) if name in QUERIES else (WRITES[name], large.write)
    asked = []

    def note(_connection, _cursor, statement, parameters, _context, many):
        if not many and statement.split()[0] in ("SELECT", "UPDATE", "DELETE"):
            asked.append((statement, parameters))

    with begin() as tx:
        sa.event.listen(large._engine, "before_cursor_execute", note)
        began = time.perf_counter()
        query(tx)
        took = time.perf_counter() - began
        sa.event.remove(large._engine, "before_cursor_execute", note)
        prefix = "EXPLAIN QUERY PLAN " if large.is_sqlite else "EXPLAIN "
        for statement, parameters in asked:
            rows = tx.connection.exec_driver_sql(prefix + statement, parameters).all()
            plan = "\n".join(str(row[-1]) for row in rows)
            walks = rf"SCAN (?:{BIG_TABLES})\b(?! USING (COVERING )?INDEX)|Seq Scan on (?:{BIG_TABLES})\b"
            # Of one package there is little to sort; by a volume's index it would be sought in all that the volume has.
            walks += "|ix_copies_checked" if name.endswith("of a package") else "|USE TEMP B-TREE"
            assert not re.search(walks, plan), f"{statement}\n{plan}"
        if begin == large.write:
            tx.connection.rollback()
    assert asked
    assert took < 1


def test_listing_what_is_below_policy_is_quick_both_ways(large):
    with large.read() as tx:
        began = time.perf_counter()
        assert len(listing.page(tx, Wanted(below_policy=True), limit=1000)) == VERSIONS // 1000 + 1
        assert len(listing.page(tx, Wanted(below_policy=False), limit=10)) == 10
        assert packages.count(tx) == VERSIONS
        assert time.perf_counter() - began < 2
