"""One suite for both databases: ``catalogue`` is an empty one of each kind in turn."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.holdings import Hands
from tests.support.postgres import PostgresServer
from vault.catalog import Catalogue, migration, schema


@pytest.fixture(scope="session")
def postgres_database(postgres: PostgresServer) -> str:
    catalogue = Catalogue.open(postgres.create_database("khoso"))
    catalogue.migrate()
    catalogue.close()
    return "khoso"


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "catalog.db"
    catalogue = Catalogue.open(f"sqlite:///{path}")
    catalogue.migrate()
    catalogue.close()
    return path


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def postgres_url(postgres: PostgresServer, postgres_database: str) -> str:
    """A database with the schema and nothing in it: emptying one is much quicker than making one."""
    postgres.empty_database(postgres_database, schema.metadata.tables)
    with postgres.connect(postgres_database) as connection:
        connection.execute("INSERT INTO ledger_head (id, seq, hash) VALUES (1, 0, repeat('0', 64))")
        connection.execute("UPDATE alembic_version SET version_num = %s", [migration.newest_revision()])
    return postgres.url(postgres_database)


@pytest.fixture
def sqlite_url(tmp_path: Path, sqlite_template: Path) -> str:
    path = tmp_path / "catalog.db"
    shutil.copyfile(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where there is no schema yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'catalog.db'}"
    return request.getfixturevalue("empty_database")


@pytest.fixture
def catalogue(url: str, clock: Hands) -> Iterator[Catalogue]:
    opened = Catalogue.open(url, clock)
    yield opened
    opened.close()
