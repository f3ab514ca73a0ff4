"""The export of a catalogue: made by either database, loaded into either, and of no use when it is not whole."""

import gzip
import io
import itertools
import json

import pytest
import sqlalchemy as sa

from tests.support.holdings import add_copy, add_version, add_volume, tell
from vault.catalog import Catalogue, copies, export, packages, schema, tokens, volumes
from vault.errors import ConfigError, Corrupted
from vault.ledger import verify
from vault.model import CopyState, EventType, Scope

EVERYTHING = [t for t in schema.metadata.sorted_tables if t.name not in export.LEFT_OUT]


def rows_of(catalogue):
    with catalogue.read() as tx:
        return {t.name: sorted(map(tuple, tx.connection.execute(sa.text(f"SELECT * FROM {t.name}"))))
                for t in EVERYTHING}  # fmt: skip


def exported(catalogue) -> bytes:
    target = io.BytesIO()
    with catalogue.read() as tx:
        export.write(tx, target, "sonla-1")
    return target.getvalue()


def opened(url, clock):
    return Catalogue.open(url, clock)


@pytest.fixture
def filled(catalogue):
    with catalogue.write() as tx:
        a, b = add_volume(tx, "a"), add_volume(tx, "b")
        for number in range(5):
            version = add_version(tx, f"Hồ sơ/Đ {number}")
            add_copy(tx, version, a)
            add_copy(tx, version, b, CopyState.DAMAGED)
        tokens.create(tx, "máy", [Scope.DEPOSIT], None)
        tell(tx, EventType.TOKEN_CREATED, detail={"tên": "máy"})
    return catalogue


@pytest.mark.parametrize("into", ["sqlite", "postgresql"])
def test_either_database_can_be_made_from_it(filled, into, tmp_path, request, clock):
    data = exported(filled)
    url = f"sqlite:///{tmp_path / 'other.db'}" if into == "sqlite" else request.getfixturevalue("empty_database")
    other = opened(url, clock)
    try:
        found = export.load(other, io.BytesIO(data))
        assert rows_of(other) == rows_of(filled)
        assert found.rows["packages"] == 5
        assert verify(other).ok
        with other.write() as tx:
            # Numbers go on behind those that were loaded.
            volume = volumes.get(tx, "a")
            assert volume is not None
            add_copy(tx, add_version(tx, "mới"), volume)
        with other.read() as tx:
            assert packages.count(tx) == 6
            assert copies.counts(tx)["a", CopyState.GOOD] == 6
    finally:
        other.close()


def test_nothing_is_loaded_over_a_catalogue(filled, tmp_path):
    data, before = exported(filled), rows_of(filled)
    with pytest.raises(ConfigError) as refused:
        export.load(filled, io.BytesIO(data))
    assert refused.value.code == "catalogue-exists"
    assert rows_of(filled) == before


def spoilt(data: bytes):
    """Exports that are cut, changed, or of something else; each with what was done."""
    lines = gzip.decompress(data).splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if b'"copies"' in line) + 1
    packed = {
        "a row too few": lines[:at] + lines[at + 1 :],
        "a row twice": [*lines[:at], lines[at], *lines[at:]],
        "a row too short": [*lines[:at], b"[1]\n", *lines[at + 1 :]],
        "no end": lines[:-1],
        "a table of nobody": [*lines[:-1], b'{"table":"sqlite_master","columns":["name"]}\n', lines[-1]],
        "a column of nobody": [*lines[:-1], b'{"table":"tasks","columns":["id); DROP TABLE copies"]}\n', lines[-1]],
        "no JSON": [*lines[:at], b"{\n", *lines[at:]],
        "another form": [b'{"format":"khoso-catalogue/9"}\n', *lines[1:]],
        "nothing": [],
    }
    yield from ((name, gzip.compress(b"".join(made))) for name, made in packed.items())
    yield "cut", data[: len(data) // 2]
    yield "no gzip", b"SQLite format 3"
    broken = bytearray(data)
    broken[len(data) // 2] ^= 0x40
    yield "a bit flipped", bytes(broken)


def test_what_is_not_whole_is_refused_and_leaves_nothing(filled, tmp_path, clock):
    for number, (what, data) in zip(itertools.count(), spoilt(exported(filled))):
        other = opened(f"sqlite:///{tmp_path / f'{number}.db'}", clock)
        with pytest.raises(Corrupted) as refused:
            export.load(other, io.BytesIO(data))
        assert refused.value.code in ("export-damaged", "catalogue-damaged"), what
        assert other.schema_revision() is None, what
        other.close()


def test_one_of_a_newer_program_is_refused(filled, tmp_path, clock):
    lines = gzip.decompress(exported(filled)).splitlines(keepends=True)
    header = json.loads(lines[0]) | {"schema": "9999"}
    data = gzip.compress(b"".join([json.dumps(header).encode() + b"\n", *lines[1:]]))
    other = opened(f"sqlite:///{tmp_path / 'other.db'}", clock)
    with pytest.raises(ConfigError) as refused:
        export.load(other, io.BytesIO(data))
    assert refused.value.code == "catalogue-newer"
    other.close()


def test_people_can_read_it(filled):
    text = gzip.decompress(exported(filled)).decode()
    first = json.loads(text.splitlines()[0])
    assert (first["format"], first["node"]) == ("khoso-catalogue/1", "sonla-1")
    assert "Hồ sơ/Đ 3" in text
