"""The smaller tables: volumes, ingests, evidence, tokens, verifications, schedules, facts."""

import re
from datetime import timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa

from tests.support.holdings import add_copy, add_version, add_volume, tell
from vault.catalog import evidence, facts, ingests, schedules, tokens, verifications, volumes
from vault.errors import Conflict, Invalid, NotFound, Refused, Unreachable
from vault.model import (
    Condition,
    CopyState,
    EventType,
    IngestState,
    MediumClass,
    Scope,
    VerificationState,
    VolumeMode,
)


def test_a_volume_is_known_by_name_and_identity(catalogue, clock):
    facts_of_it = {"kind": "tape", "medium": MediumClass.TAPE, "domain": "d", "site": "s"}
    with catalogue.write() as tx:
        uuid = uuid4()
        made = volumes.register(tx, uuid=uuid, name="KS0001L8", **facts_of_it)
        tell(tx)
        for clash in ({"uuid": uuid, "name": "x"}, {"uuid": uuid4(), "name": "KS0001L8"}):
            with pytest.raises(Conflict):
                volumes.register(tx, **clash, **facts_of_it)
    assert (made.uuid, made.medium, made.mode, made.condition) == (
        uuid, MediumClass.TAPE, VolumeMode.ACTIVE, Condition.UNKNOWN,
    )  # fmt: skip
    assert (made.size_bytes, made.probed_at, made.added_at) == (None, None, clock.time)
    with catalogue.write() as tx:
        assert volumes.set_condition(tx, made.id, Condition.FOREIGN, "another disk", 100, 50)
        volumes.set_mode(tx, made.id, VolumeMode.EVACUATING)
        volumes.describe(tx, made.id, domain="d2", site="s2")
        tell(tx)
        found = volumes.get(tx, "KS0001L8")
        assert (found.condition, found.mode, found.domain, found.site) == (
            Condition.FOREIGN, VolumeMode.EVACUATING, "d2", "s2",
        )  # fmt: skip
        assert volumes.get(tx, "nothing") is None
        for change in (
            lambda: volumes.set_mode(tx, 99, VolumeMode.ACTIVE),
            lambda: volumes.set_condition(tx, 99, Condition.ONLINE, "", None, None),
        ):
            with pytest.raises(NotFound):
                change()


def test_a_deposit_goes_from_step_to_step(catalogue, clock):
    with catalogue.write() as tx:
        begun = ingests.begin(tx, "i1", "H49/Đ", "token:repo")
        assert (begun.state, begun.volume, begun.version) == (IngestState.RECEIVING, "", None)
        assert ingests.progress(tx, "i1", 2**40).bytes_received == 2**40
        with pytest.raises(Conflict):
            ingests.begin(tx, "i1", "x", "y")
        with pytest.raises(Unreachable):
            ingests.progress(tx, "i2", 1)
    clock.move(seconds=1)
    with catalogue.write() as tx:
        ingests.prepare(tx, "i1", volume="nas-a", version=3, prepared={"staging": "x"})
        assert [i.id for i in ingests.unfinished(tx)] == ["i1"]
    with catalogue.write() as tx:
        stored = ingests.store(tx, "i1")
        tell(tx)
        assert (stored.prepared, stored.version, stored.updated_at) == ({"staging": "x"}, 3, clock.time)
        assert ingests.unfinished(tx) == []
        assert [i.id for i in ingests.awaiting_receipt(tx, 5)] == ["i1"]
    with catalogue.write() as tx:
        assert ingests.receipt(tx, "i1", {"signature": {}}).state is IngestState.RECEIPTED
        tell(tx)
        assert ingests.awaiting_receipt(tx, 5) == []
        assert ingests.by_version(tx, "H49/Đ", 3) == ingests.get(tx, "i1")
        assert ingests.by_version(tx, "H49/Đ", 4) is None


@pytest.mark.parametrize("step", ["store", "receipt"])
def test_storing_and_receipting_owe_an_event(catalogue, step):
    with catalogue.write() as tx:
        ingests.begin(tx, "i", "p", "a")
        ingests.prepare(tx, "i", volume="v", version=1, prepared={})
        if step == "receipt":
            ingests.store(tx, "i")
            tell(tx)
    with pytest.raises(RuntimeError, match="ledger was not told"), catalogue.write() as tx:
        ingests.store(tx, "i") if step == "store" else ingests.receipt(tx, "i", {})


def test_a_deposit_that_ended_stays_as_it_ended(catalogue):
    with catalogue.write() as tx:
        for number, end in enumerate((ingests.refuse, ingests.fail)):
            ingests.begin(tx, f"i{number}", "p", "a")
            ended = end(tx, f"i{number}", {"code": "bad-bag"})
            assert ended.problem == {"code": "bad-bag"}
            for step in (
                lambda n=number: ingests.progress(tx, f"i{n}", 1),
                lambda n=number: ingests.prepare(tx, f"i{n}", volume="v", version=1, prepared={}),
                lambda n=number: ingests.store(tx, f"i{n}"),
                lambda n=number: ingests.receipt(tx, f"i{n}", {}),
                lambda n=number: ingests.fail(tx, f"i{n}", {}),
            ):
                with pytest.raises(Refused) as refused:
                    step()
                assert refused.value.code == "bad-transition"
        assert [i.state for i in (ingests.get(tx, "i0"), ingests.get(tx, "i1"))] == [
            IngestState.REFUSED, IngestState.FAILED,
        ]  # fmt: skip


def test_of_two_deposits_of_a_version_the_one_that_made_it_is_found(catalogue, clock):
    with catalogue.write() as tx:
        for name in ("made", "lost"):
            ingests.begin(tx, name, "p", "a")
            ingests.prepare(tx, name, volume="v", version=1, prepared={})
        ingests.store(tx, "made")
        ingests.refuse(tx, "lost", {})
        tell(tx)
        assert ingests.by_version(tx, "p", 1).id == "made"


def test_evidence_is_kept_until_it_is_released(catalogue, clock):
    with catalogue.write() as tx:
        copy = add_copy(tx, add_version(tx, "p"), add_volume(tx, "nas-a"), CopyState.DAMAGED)
        event = tell(tx, EventType.EVIDENCE_KEPT)
        kept = evidence.keep(tx, copy_id=copy.id, path="evidence/x", event_seq=event.seq)
        with pytest.raises(NotFound):
            evidence.keep(tx, copy_id=99, path="x", event_seq=event.seq)
    assert (kept.identifier, kept.version, kept.volume, kept.path, kept.event_seq, kept.kept_at) == (
        "p", 1, "nas-a", "evidence/x", event.seq, clock.time,
    )  # fmt: skip
    with pytest.raises(sa.exc.IntegrityError), catalogue.write() as tx:
        evidence.keep(tx, copy_id=copy.id, path="x", event_seq=99)
    with catalogue.write() as tx:
        assert evidence.all(tx, released=False) == [kept]
        assert evidence.release(tx, kept.id).released_at == clock.time
        tell(tx, EventType.EVIDENCE_RELEASED)
        assert evidence.all(tx, released=False) == []
        assert [e.id for e in evidence.all(tx)] == [e.id for e in evidence.all(tx, released=True)] == [kept.id]
        with pytest.raises(Refused):
            evidence.release(tx, kept.id)
        with pytest.raises(NotFound):
            evidence.release(tx, 99)


def test_a_token_is_found_by_its_secret_alone(catalogue, clock):
    with catalogue.write() as tx:
        made, secret = tokens.create(tx, "repo", [Scope.READ, Scope.DEPOSIT], None)
        other, other_secret = tokens.create(tx, "other", [Scope.AUDIT], clock.time + timedelta(days=1))
        tell(tx)
    assert re.fullmatch(r"khoso_[A-Za-z0-9_-]{43}", secret)
    assert made.scopes == {Scope.READ, Scope.DEPOSIT}
    with catalogue.read() as tx:
        assert tokens.find(tx, secret) == made
        assert tokens.find(tx, other_secret) == other
        for wrong in ("", "khoso_", secret[:-1], secret + "x", secret.upper(), "\udc80", "\0"):
            assert tokens.find(tx, wrong) is None
        assert tokens.all(tx) == [made, other]
    clock.move(days=1)
    with catalogue.read() as tx:
        assert tokens.find(tx, secret) == made
        assert tokens.find(tx, other_secret) is None


def test_a_revoked_token_opens_nothing_and_frees_its_name(catalogue, clock):
    with catalogue.write() as tx:
        _, secret = tokens.create(tx, "repo", [Scope.READ], None)
        with pytest.raises(Conflict):
            tokens.create(tx, "repo", [Scope.READ], None)
        assert tokens.revoke(tx, "repo").revoked_at == clock.time
        assert tokens.find(tx, secret) is None
        _, again = tokens.create(tx, "repo", [Scope.READ], None)
        tell(tx)
        assert tokens.find(tx, again).name == "repo"
        assert again != secret
        with pytest.raises(NotFound):
            tokens.revoke(tx, "nobody")
        for name, scopes in (("", [Scope.READ]), ("x", [])):
            with pytest.raises(Invalid):
                tokens.create(tx, name, scopes, None)


def test_no_secret_is_stored(catalogue, url):
    with catalogue.write() as tx:
        _, secret = tokens.create(tx, "repo", [Scope.READ], None)
        tell(tx)
        stored = tx.connection.execute(sa.text("SELECT * FROM tokens")).mappings().one()
    assert secret not in str(dict(stored))
    assert secret.removeprefix("khoso_") not in str(dict(stored))


def test_a_verification_counts_until_it_is_done(catalogue, clock):
    with catalogue.write() as tx:
        ordered = verifications.order(tx, "v1", "nas-a", "", "user:an", 3)
        tell(tx, EventType.VERIFICATION_REQUESTED)
        with pytest.raises(Conflict):
            verifications.order(tx, "v1", "", "", agent="x", total=0)
    assert (ordered.state, ordered.requested_at, ordered.total) == (VerificationState.RUNNING, clock.time, 3)
    with catalogue.write() as tx:
        verifications.count(tx, "v1", checked=2, good=1, bad=1)
        verifications.count(tx, "v1", checked=1, skipped=1)
        assert [v.id for v in verifications.running(tx)] == ["v1"]
    clock.move(hours=1)
    with catalogue.write() as tx:
        done = verifications.finish(tx, "v1")
        tell(tx, EventType.VERIFICATION_ENDED)
        assert (done.checked, done.good, done.bad, done.skipped, done.finished_at) == (3, 1, 1, 1, clock.time)
        assert verifications.running(tx) == []
        assert verifications.listing(tx, limit=5) == [done]
        with pytest.raises(Refused):
            verifications.finish(tx, "v1")
        with pytest.raises(NotFound):
            verifications.count(tx, "v2", checked=1)


def test_a_schedule_remembers_its_last_success_through_failures(catalogue, clock):
    begun = clock.time
    with catalogue.write() as tx:
        assert schedules.all(tx) == []
        schedules.started(tx, "probe")
    succeeded = clock.move(minutes=1)
    with catalogue.write() as tx:
        schedules.succeeded(tx, "probe")
    clock.move(minutes=1)
    with catalogue.write() as tx:
        schedules.failed(tx, "probe", "nas-a does not answer")
        schedules.failed(tx, "backup", "full")
    with catalogue.read() as tx:
        backup, probe = schedules.all(tx)
    assert (backup.kind, backup.last_started, backup.last_success, backup.last_error) == ("backup", None, None, "full")
    assert (probe.last_started, probe.last_success) == (begun, succeeded)
    assert probe.last_error == "nas-a does not answer"


def test_a_fact_can_be_set_changed_and_removed(catalogue):
    with catalogue.write() as tx:
        facts.put(tx, "k", {"a": "Đ"})
        assert facts.get(tx, "k") == {"a": "Đ"}
        facts.put(tx, "k", [1, False])
        assert facts.get(tx, "k") == [1, False]
        facts.put(tx, "k", None)
        assert facts.get(tx, "k") is None
