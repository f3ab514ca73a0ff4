"""The numbers that a scrape asks for, on both databases."""

from datetime import timedelta

from tests.support.holdings import add_copy, add_version, add_volume, tell
from vault.catalog import evidence, ingests, overview, tasks
from vault.catalog.overview import CheckpointSeen, Tally
from vault.model import CopyState, EventType, IngestState, NewTask, TaskKind, TaskState


def test_an_empty_catalogue(catalogue):
    with catalogue.read() as tx:
        assert overview.count_packages(tx, Tally()) == overview.count_versions(tx, Tally()) == Tally(0, 0)
        assert overview.oldest_due(tx) == {}
        assert overview.receipts_waiting(tx).number == 0
        assert overview.receipts_waiting(tx).since is None
        assert overview.deposits_open(tx) == {IngestState.RECEIVING: 0, IngestState.PREPARED: 0}
        assert overview.evidence_kept(tx) == 0
        assert overview.last_done(tx, list(TaskKind), None) == {}
        assert overview.last_checkpoint(tx) is None


def test_counting_only_what_is_new_comes_to_the_same(catalogue):
    before = Tally()
    for number in range(1, 5):
        with catalogue.write() as tx:
            add_version(tx, f"p{number}")
            add_version(tx, f"p{number}")
        with catalogue.read() as tx:
            before = overview.count_versions(tx, before)
            assert before == overview.count_versions(tx, Tally())
            assert before.number == 2 * number
            assert overview.count_packages(tx, Tally()).number == number
            assert overview.count_versions(tx, before) == before


def test_oldest_due_is_by_volume_and_leaves_out_what_is_not_to_be_checked(catalogue, clock):
    with catalogue.write() as tx:
        a, b = add_volume(tx, "a"), add_volume(tx, "b")
        first, second = add_version(tx, "p1"), add_version(tx, "p2")
        add_copy(tx, first, a, due_at=clock() + timedelta(days=2))
        add_copy(tx, second, a, due_at=clock() + timedelta(days=1))
        add_copy(tx, first, b, CopyState.DAMAGED, due_at=clock())
    with catalogue.read() as tx:
        assert overview.oldest_due(tx) == {"a": clock() + timedelta(days=1)}


def test_deposits_and_receipts(catalogue, clock):
    began = clock()
    with catalogue.write() as tx:
        ingests.begin(tx, "i1", "p1", "token:x")
        ingests.begin(tx, "i2", "p2", "token:x")
        ingests.prepare(tx, "i2", volume="a", version=1, prepared={})
    clock.move(hours=1)
    with catalogue.write() as tx:
        for name in ("i3", "i4"):
            ingests.begin(tx, name, name, "token:x")
        ingests.prepare(tx, "i4", volume="a", version=1, prepared={})
        for name in ("i2", "i4"):
            ingests.store(tx, name)
        tell(tx, EventType.INGESTION)
    with catalogue.read() as tx:
        assert overview.deposits_open(tx) == {IngestState.RECEIVING: 2, IngestState.PREPARED: 0}
        waiting = overview.receipts_waiting(tx)
        assert (waiting.number, waiting.since) == (2, began)


def test_evidence_counts_until_it_is_released(catalogue):
    with catalogue.write() as tx:
        copy = add_copy(tx, add_version(tx, "p"), add_volume(tx, "a"), CopyState.DAMAGED)
        event = tell(tx, EventType.EVIDENCE_KEPT)
        first = evidence.keep(tx, copy_id=copy.id, path="e/1", event_seq=event.seq)
        evidence.keep(tx, copy_id=copy.id, path="e/2", event_seq=event.seq)
    with catalogue.write() as tx:
        assert overview.evidence_kept(tx) == 2
        evidence.release(tx, first.id)
        tell(tx, EventType.EVIDENCE_RELEASED)
        assert overview.evidence_kept(tx) == 1


def end(tx, kind, number, state):
    tasks.derive(tx, NewTask(f"{kind}-{number}", kind, 1, 1, "p", 1, ("a",)))
    (task,) = tasks.claim(tx, owner="me", lease=timedelta(minutes=1), free_lanes={"a": 1})
    tasks.finish(tx, task.id, state, "")


def test_the_last_of_each_kind_that_was_done(catalogue, clock):
    began = clock()
    with catalogue.write() as tx:
        end(tx, TaskKind.REPAIR, 0, TaskState.DONE)
    for number in range(1, 601):  # more than are read from the database at once
        if number % 100 == 0:
            clock.move(minutes=1)
        with catalogue.write() as tx:
            end(tx, TaskKind.VERIFY, number, TaskState.DONE)
    with catalogue.write() as tx:
        clock.move(minutes=1)
    with catalogue.write() as tx:
        end(tx, TaskKind.VERIFY, 601, TaskState.FAILED)
        end(tx, TaskKind.REPLICATE, 602, TaskState.CANCELLED)
    last = began + timedelta(minutes=6)
    with catalogue.read() as tx:
        assert overview.last_done(tx, list(TaskKind), None) == {TaskKind.REPAIR: began, TaskKind.VERIFY: last}
        assert overview.last_done(tx, [TaskKind.REPAIR], None) == {TaskKind.REPAIR: began}
        assert overview.last_done(tx, list(TaskKind), began) == {TaskKind.VERIFY: last}
        assert overview.last_done(tx, list(TaskKind), last) == {}


def test_the_newest_checkpoint(catalogue, clock):
    with catalogue.write() as tx:
        tell(tx, EventType.CHECKPOINT, detail={"seq": 0, "volumes": ["a", "b"]})
    clock.move(days=1)
    with catalogue.write() as tx:
        tell(tx, EventType.FIXITY_CHECK)
        tell(tx, EventType.CHECKPOINT, detail={"seq": 2, "volumes": ["a"]})
        tell(tx, EventType.FIXITY_CHECK)
    with catalogue.read() as tx:
        assert overview.last_checkpoint(tx) == CheckpointSeen(clock(), 2, 1)
