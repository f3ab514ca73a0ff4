import hashlib
import json
import sqlite3
import tracemalloc
from datetime import UTC, datetime

import pytest
import rfc8785
import sqlalchemy as sa

from tests.support.holdings import Hands, tell
from vault import ledger
from vault.catalog import Catalogue
from vault.errors import Corrupted, Invalid
from vault.model import EventType, NewEvent, Outcome
from vault.signing import NodeKey


@pytest.fixture(scope="module")
def chain_file(tmp_path_factory):
    """A ledger of twelve events, told by a clock that moves."""
    path = tmp_path_factory.mktemp("chain") / "catalog.db"
    clock = Hands()
    catalogue = Catalogue.open(f"sqlite:///{path}", clock)
    catalogue.migrate()
    for number in range(12):
        clock.move(seconds=1)
        with catalogue.write() as tx:
            detail = {"number": number, "Đ": ["a", 1.5, None, {"b": True}]}
            tell(tx, identifier="H49/Đ", version=1, volume="nas-a", detail=detail)
    catalogue.close()
    return path


@pytest.fixture
def catalogue(chain_file, tmp_path):
    path = tmp_path / "catalog.db"
    path.write_bytes(chain_file.read_bytes())
    opened = Catalogue.open(f"sqlite:///{path}", Hands())
    yield opened
    opened.close()


def tamper(catalogue, *statements):
    """What someone with the file and sqlite3 could do."""
    with catalogue.write() as tx:
        for statement in statements:
            tx.connection.execute(sa.text(statement))


def test_a_whole_chain_is_found_whole(catalogue):
    seen = []
    report = ledger.verify(catalogue, progress=lambda done, total: seen.append((done, total)))
    with catalogue.read() as tx:
        assert ledger.verify(tx) == report
        last = ledger.events(tx)[-1]
    assert (report.ok, report.count, report.first_bad_seq, report.reason) == (True, 12, None, "")
    assert report.head_hash == last.hash
    assert seen[-1] == (12, 12)


def test_an_empty_chain_is_whole(tmp_path):
    catalogue = Catalogue.open(f"sqlite:///{tmp_path}/catalog.db")
    catalogue.migrate()
    report = ledger.verify(catalogue)
    assert (report.ok, report.count, report.head_hash) == (True, 0, "0" * 64)
    catalogue.close()


def test_anyone_can_compute_the_chain_from_the_table_alone(chain_file):
    """With sqlite3, JSON and SHA-256, and nothing of this program."""
    connection = sqlite3.connect(chain_file)
    connection.row_factory = sqlite3.Row
    previous = "0" * 64
    for number, row in enumerate(connection.execute("SELECT * FROM events ORDER BY seq"), start=1):
        members = dict(row)
        found = members.pop("hash")
        members["detail"] = json.loads(members["detail"])
        assert hashlib.sha256(rfc8785.dumps(members)).hexdigest() == found
        assert (members["seq"], members["previous"]) == (number, previous)
        assert list(members) == [
            "seq", "type", "time", "outcome", "agent", "identifier", "version", "volume", "detail", "previous",
        ]  # fmt: skip
        previous = found
    connection.close()
    assert number == 12


def test_an_event_in_the_api_has_the_hash_that_it_says(catalogue):
    with catalogue.read() as tx:
        for event in ledger.events(tx):
            document = json.loads(json.dumps(ledger.event_document(event)))
            assert ledger.event_hash(document) == document["hash"] == event.hash


def test_an_event_comes_back_as_it_was_appended(catalogue):
    new = NewEvent(EventType.RECOVERY, Outcome.WARNING, "user:an", "p", 2, "nas-b", {"files": ["Đ", 1]})
    with catalogue.write() as tx:
        appended = ledger.append(tx, new)
        assert ledger.events(tx, after=12) == [appended]
    assert (appended.seq, appended.type, appended.outcome, appended.agent) == (13, "recovery", "warning", "user:an")
    assert (appended.identifier, appended.version, appended.volume) == ("p", 2, "nas-b")
    assert appended.detail == {"files": ["Đ", 1]}
    assert appended.time == datetime(2026, 11, 22, 10, 40, 42, 123456, tzinfo=UTC)


CHANGES = {
    "type": "'ingestion'",
    "time": "'2026-11-22T10:40:42.123457Z'",
    "outcome": "'failure'",
    "agent": "'user:mallory'",
    "identifier": "'H49/D'",
    "version": "2",
    "no version": ("version", "NULL"),
    "volume": "'nas-b'",
    "detail": "'{\"number\":99}'",
    "detail that says a thing twice": ("detail", 'replace(detail, \'{"number"\', \'{"number":7,"number"\')'),
    "detail with a space": ("detail", "replace(detail, '{\"number\"', '{ \"number\"')"),
    "detail that is no JSON": ("detail", "'{'"),
    "detail that is no object": ("detail", "'[]'"),
    "detail without end": ("detail", f"'{'[' * 100_000}'"),
    "detail with a number too large": ("detail", f"'{{\"a\":{10**30}}}'"),
    "detail with a lone surrogate": ("detail", '\'{"a":"\\ud800"}\''),
    "type that is bytes": ("type", "x'ff'"),
    "time that is a number": ("time", "5"),
    "previous": "'" + "0" * 64 + "'",
    "hash": "'" + "f" * 64 + "'",
    "hash in capitals": ("hash", "upper(hash)"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("seq", [1, 7, 12])
def test_whatever_is_changed_in_an_event_is_found_there(catalogue, change, seq):
    column, value = CHANGES[change] if isinstance(CHANGES[change], tuple) else (change, CHANGES[change])
    if change == "previous" and seq == 1:
        value = "'" + "1" * 64 + "'"
    # Written past the program, as no bind parameter could be.
    with sqlite3.connect(str(catalogue._url.database)) as connection:
        connection.execute(f"UPDATE events SET {column} = {value} WHERE seq = {seq}")
    connection.close()
    report = ledger.verify(catalogue)
    assert (report.ok, report.first_bad_seq, report.count) == (False, seq, seq - 1)
    assert f"Event {seq} " in report.reason


def test_events_that_cannot_be_read_are_corrupted(catalogue):
    for value in ("{", "[]", "[" * 100_000):
        tamper(catalogue, f"UPDATE events SET detail = '{value}' WHERE seq = 3")
        with catalogue.read() as tx, pytest.raises(Corrupted, match="Event 3"):
            ledger.events(tx)


@pytest.mark.parametrize(
    ("statements", "bad", "reason"),
    [
        (["DELETE FROM events WHERE seq = 5"], 5, "missing"),
        (["DELETE FROM events WHERE seq = 1"], 1, "missing"),
        (["DELETE FROM events WHERE seq = 12"], 12, "said to end at 12"),
        (["DELETE FROM events"], 1, "missing"),
        (["UPDATE ledger_head SET seq = 11"], 12, "events after 11"),
        (["UPDATE ledger_head SET seq = 13"], 13, "missing"),
        (["UPDATE ledger_head SET hash = 'x'"], 12, "not the one with which"),
        (["UPDATE ledger_head SET seq = 'x'"], 1, "lost"),
        (["DELETE FROM ledger_head"], 1, "lost"),
        (["UPDATE events SET seq = 0 WHERE seq = 1"], 1, "event 0 stands where event 1 should"),
        (["UPDATE events SET seq = -5 WHERE seq = 12"], 1, "event -5 stands"),
        (["UPDATE events SET seq = 99 WHERE seq = 5", "UPDATE events SET seq = 5 WHERE seq = 6"], 5, "changed"),
        (["INSERT INTO events SELECT 13, type, time, outcome, agent, identifier, version, volume, detail, hash, hash"
          " FROM events WHERE seq = 12"], 13, "changed"),
    ],
)  # fmt: skip
def test_what_is_missing_or_too_many_is_named(catalogue, statements, bad, reason):
    tamper(catalogue, *statements)
    report = ledger.verify(catalogue)
    assert (report.ok, report.first_bad_seq) == (False, bad)
    assert reason in report.reason


def rewrite(catalogue, seq, *, onward):
    """Change an event as one would who knows how hashes are computed; ``onward``: and repair all after it."""
    with catalogue.write() as tx:
        rows = [dict(row) for row in tx.connection.execute(sa.text("SELECT * FROM events ORDER BY seq")).mappings()]
        previous = ""
        for row in rows[seq - 1 :]:
            if row["seq"] == seq:
                row["agent"] = "user:mallory"
            elif onward:
                row["previous"] = previous
            previous = row["hash"] = ledger.event_hash({**row, "detail": json.loads(row["detail"])})
            change = sa.text("UPDATE events SET agent = :agent, previous = :previous, hash = :hash WHERE seq = :seq")
            tx.connection.execute(change, row)
            if not onward:
                return
        tx.connection.execute(sa.text("UPDATE ledger_head SET hash = :hash"), {"hash": previous})


def test_an_event_that_was_replaced_with_a_fitting_hash_is_found_by_the_next(catalogue):
    rewrite(catalogue, 5, onward=False)
    report = ledger.verify(catalogue)
    assert (report.ok, report.first_bad_seq) == (False, 6)
    assert "does not follow" in report.reason


@pytest.fixture
def key(tmp_path):
    return NodeKey.load_or_create(tmp_path / "node.key")


def checkpoint_of(catalogue, key):
    with catalogue.read() as tx:
        found = ledger.verify_checkpoint(ledger.make_checkpoint(tx, key, "sonla-1"), [key.public_key])
    assert found.ok
    return found.checkpoint


def test_a_chain_that_was_wholly_rewritten_is_found_by_a_checkpoint_alone(catalogue, key):
    checkpoint = checkpoint_of(catalogue, key)
    with catalogue.write() as tx:
        tell(tx)
    report = ledger.verify(catalogue, [checkpoint, checkpoint])
    assert (report.ok, report.count, report.proved) == (True, 13, 2)
    rewrite(catalogue, 5, onward=True)
    assert ledger.verify(catalogue).ok
    report = ledger.verify(catalogue, [checkpoint])
    assert (report.ok, report.first_bad_seq, report.proved) == (False, 12, 0)
    assert "not the one that the checkpoint" in report.reason


def test_a_chain_that_was_cut_is_found_by_a_checkpoint_alone(catalogue, key):
    early = checkpoint_of(catalogue, key)
    with catalogue.write() as tx:
        tell(tx)
    late = checkpoint_of(catalogue, key)
    tamper(
        catalogue,
        "DELETE FROM events WHERE seq > 12",
        "UPDATE ledger_head SET seq = 12, hash = (SELECT hash FROM events WHERE seq = 12)",
    )
    assert ledger.verify(catalogue).ok
    report = ledger.verify(catalogue, [late, early])
    assert (report.ok, report.first_bad_seq, report.count, report.proved) == (False, 13, 12, 1)
    assert "was cut" in report.reason


def test_two_checkpoints_that_contradict_each_other_are_not_both_met(catalogue, key):
    checkpoint = checkpoint_of(catalogue, key)
    other = ledger.Checkpoint(checkpoint.node, checkpoint.seq, "f" * 64, checkpoint.time, checkpoint.public_key)
    assert not ledger.verify(catalogue, [checkpoint, other]).ok


def test_a_checkpoint_of_an_empty_ledger_proves_nothing_and_breaks_nothing(tmp_path, key):
    catalogue = Catalogue.open(f"sqlite:///{tmp_path}/new.db", Hands())
    catalogue.migrate()
    checkpoint = checkpoint_of(catalogue, key)
    assert (checkpoint.seq, checkpoint.hash) == (0, "0" * 64)
    with catalogue.write() as tx:
        tell(tx)
    assert ledger.verify(catalogue, [checkpoint]).ok
    catalogue.close()


def test_a_broken_end_is_not_signed(catalogue, key):
    for damage in ("UPDATE ledger_head SET hash = 'x'", "UPDATE ledger_head SET seq = 99", "DELETE FROM ledger_head"):
        tamper(catalogue, damage)
        with catalogue.read() as tx, pytest.raises(Corrupted):
            ledger.make_checkpoint(tx, key, "sonla-1")


def test_a_checkpoint_says_what_it_should_and_is_believed_only_whole(catalogue, key):
    with catalogue.read() as tx:
        document = ledger.make_checkpoint(tx, key, "sonla-1")
        last = ledger.events(tx)[-1]
    found = ledger.verify_checkpoint(json.loads(json.dumps(document)), [key.public_key])
    assert found.checkpoint == ledger.Checkpoint("sonla-1", 12, last.hash, Hands().time, key.public_key)
    for member in ("node", "seq", "hash", "time", "type", "version"):
        assert not ledger.verify_checkpoint(document | {member: "x"}).ok
        assert not ledger.verify_checkpoint({n: v for n, v in document.items() if n != member}).ok
    assert not ledger.verify_checkpoint(document, [b"\0" * 32]).ok


@pytest.mark.parametrize(
    "change",
    [{"type": "receipt"}, {"version": 2}, {"node": 5}, {"seq": "12"}, {"seq": -1}, {"seq": True}, {"hash": "x"},
     {"hash": None}, {"time": "yesterday"}, {"time": 5}, {"time": "2026-13-01T00:00:00.000000Z"}],
)  # fmt: skip
def test_what_is_signed_and_still_no_checkpoint_is_refused(catalogue, key, change):
    with catalogue.read() as tx:
        document = ledger.make_checkpoint(tx, key, "sonla-1")
    report = ledger.verify_checkpoint(key.sign_document(document | change), [key.public_key])
    assert (report.ok, report.checkpoint) == (False, None)
    assert report.reason.startswith("It is signed")


@pytest.mark.parametrize("hostile", [None, 5, "x", [], {}, {"signature": None}, {"signature": {"public_key": "AA=="}}])
def test_what_is_no_checkpoint_at_all_is_refused_too(hostile):
    assert not ledger.verify_checkpoint(hostile).ok


def test_a_name_that_is_not_utf8_does_not_stop_an_event(catalogue):
    with catalogue.write() as tx:
        event = ledger.append(
            tx,
            NewEvent(EventType.FIXITY_CHECK, Outcome.FAILURE, "node:a", detail={"a\udcff": ["b\udc80", "nul \0"]}),
        )
        assert event.detail == {"a\\udcff": ["b\\udc80", "nul \0"]}
        assert ledger.events(tx, after=12) == [event]
    assert ledger.verify(catalogue).ok


@pytest.mark.parametrize(
    "number", [2**53, -(2**53), float("nan"), float("inf"), 1e20, 2.0**53, 10**5000], ids=lambda n: type(n).__name__
)
def test_a_number_that_json_cannot_carry_exactly_is_refused(catalogue, number):
    def work():
        with catalogue.write() as tx:
            tell(tx, detail={"bytes": number})

    with pytest.raises(Invalid) as refused:
        work()
    assert refused.value.code == "not-canonical"
    assert ledger.verify(catalogue).count == 12


@pytest.mark.parametrize(
    "number", [2**53 - 1, -(2**53) + 1, 0.1, 1.0, -0.0, 1e21, 1e-7, 5e-324, 1.7976931348623157e308]
)
def test_a_number_that_it_can_carry_stays_what_it_is(catalogue, number):
    with catalogue.write() as tx:
        assert tell(tx, detail={"n": number}).detail == {"n": number}
    assert ledger.verify(catalogue).ok


def test_memory_does_not_grow_with_the_chain(tmp_path):
    catalogue = Catalogue.open(f"sqlite:///{tmp_path}/catalog.db", Hands())
    catalogue.migrate()

    def peak(events):
        with catalogue.write() as tx:
            for _ in range(events):
                tell(tx, detail={"text": "x" * 1000})
        tracemalloc.start()
        assert ledger.verify(catalogue).ok
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    small = peak(2000)
    assert peak(4000) < 1.3 * small
    catalogue.close()
