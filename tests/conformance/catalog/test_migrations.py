import re
import sqlite3
import stat
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from tests.support.holdings import add_version
from vault import ledger
from vault.catalog import Catalogue, migration, packages, schema
from vault.errors import ConfigError


def test_a_new_catalogue_is_ready_to_work(empty_url):
    catalogue = Catalogue.open(empty_url)
    assert catalogue.schema_revision() is None
    catalogue.migrate()
    assert catalogue.schema_revision() == migration.newest_revision()
    with catalogue.write() as tx:
        add_version(tx, "p")
    catalogue.migrate()
    with catalogue.read() as tx:
        assert packages.count(tx) == 1
    catalogue.close()


def test_a_catalogue_without_schema_says_what_to_do(empty_url):
    catalogue = Catalogue.open(empty_url)
    if catalogue.is_sqlite:
        sqlite3.connect(empty_url.removeprefix("sqlite:///")).close()
    for begin in (catalogue.read, catalogue.write):
        with pytest.raises(ConfigError) as failed, begin() as tx:
            packages.count(tx)
        assert "vaultd" in failed.value.remedy
    catalogue.close()


def test_a_schema_newer_than_the_program_is_left_alone(catalogue):
    with catalogue._engine.connect() as connection:
        connection.execution_options(khoso_writes=True)
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        connection.commit()
    with pytest.raises(ConfigError) as refused:
        catalogue.migrate()
    assert refused.value.code == "catalogue-newer"
    assert catalogue.schema_revision() == "9999"


def test_programs_that_start_at_once_make_one_schema(empty_url):
    starts = threading.Barrier(4)
    failed = []

    def start():
        catalogue = Catalogue.open(empty_url)
        # Each its own turn, as in processes of their own.
        catalogue._turn = type(catalogue._turn)()
        starts.wait()
        try:
            catalogue.migrate()
            with catalogue.write() as tx:
                add_version(tx, f"{threading.get_ident()}")
        except Exception as error:  # noqa: BLE001 - handed to the test's own thread
            failed.append(error)
        finally:
            catalogue.close()

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    catalogue = Catalogue.open(empty_url)
    assert ledger.verify(catalogue).count == 4
    catalogue.close()


def test_the_migrations_make_what_the_queries_expect(catalogue):
    with catalogue._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, schema.metadata) == []


def test_the_revisions_make_the_schema_to_the_letter(sqlite_url, tmp_path):
    """Partial indexes and defaults too, which Alembic does not compare."""
    made = tmp_path / "made.db"
    engine = sa.create_engine(f"sqlite:///{made}")
    schema.metadata.create_all(engine)
    engine.dispose()
    assert _facts(Path(sqlite_url.removeprefix("sqlite:///"))) == _facts(made)


def _facts(path):
    """Columns and keys of tables, whatever their order (a column that is added later is the last one), and the
    statements of indexes."""
    connection = sqlite3.connect(path)
    rows = connection.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> 'alembic_version'"
    ).fetchall()
    names = [name for kind, name, _ in rows if kind == "table"]
    facts = {
        name: (
            sorted(row[1:] for row in connection.execute(f"PRAGMA table_xinfo({name})")),
            sorted(row[2:] for row in connection.execute(f"PRAGMA foreign_key_list({name})")),
            sorted(re.findall(r"CHECK \(.*?\)", sql)),
            sorted(row[2:] for row in connection.execute(f"PRAGMA index_list({name})")),
        )
        for kind, name, sql in rows
        if kind == "table"
    }
    connection.close()
    tables = "|".join(names)
    plain = {name: " ".join(re.sub(rf"\b({tables})\.", "", sql).split()) for kind, name, sql in rows if kind != "table"}
    return facts | {name: re.sub(r"WHERE \((.*)\)$", r"WHERE \1", sql) for name, sql in plain.items()}


def test_the_revisions_make_the_same_in_postgresql(postgres_url, empty_database):
    for one, other in zip(_postgresql_facts(postgres_url), _postgresql_facts(empty_database, make=True), strict=True):
        assert one
        assert one == other


def _postgresql_facts(url, *, make=False):
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    if make:
        schema.metadata.create_all(engine)
    queries = (
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'",
        "SELECT table_name, column_name, data_type, is_nullable, collation_name, column_default FROM"
        " information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'",
        # By the column's name: its number depends on when it was added.
        "SELECT objoid::regclass::text, coalesce((SELECT attname FROM pg_attribute WHERE attrelid = objoid AND attnum"
        " = objsubid AND objsubid > 0), ''), description FROM pg_description"
        " WHERE classoid = 'pg_class'::regclass AND objoid::regclass::text IN"
        " (SELECT tablename FROM pg_tables WHERE schemaname = 'public')",
    )
    with engine.connect() as connection:
        return [sorted(tuple(map(str, row)) for row in connection.execute(sa.text(query))) for query in queries]


def test_every_table_and_column_says_what_it_holds():
    for table in schema.metadata.tables.values():
        assert table.comment, table.name
        for column in table.columns:
            assert column.comment, f"{table.name}.{column.name}"


def test_a_database_not_in_utf8_is_refused(postgres):
    url = postgres.create_database(
        "latin", options="ENCODING 'LATIN1' LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C'"
    )
    catalogue = Catalogue.open(url)
    with pytest.raises(ConfigError, match="LATIN1"):
        catalogue.migrate()
    catalogue.close()
    postgres.drop_database("latin")


def test_a_missing_folder_is_a_configuration_error(tmp_path):
    catalogue = Catalogue.open(f"sqlite:///{tmp_path}/nowhere/catalog.db")
    with pytest.raises(ConfigError, match="nowhere"):
        catalogue.migrate()


def test_a_new_file_is_private_and_leaves_nothing_beside_it(tmp_path):
    catalogue = Catalogue.open(f"sqlite:///{tmp_path}/catalog # Đ.db")
    catalogue.migrate()
    catalogue.close()
    assert [entry.name for entry in tmp_path.iterdir()] == ["catalog # Đ.db"]
    assert stat.S_IMODE((tmp_path / "catalog # Đ.db").stat().st_mode) == 0o600
