import random
from collections import Counter
from datetime import timedelta

import pytest

from tests.support.holdings import add_copy, add_version, add_volume, tell
from vault.catalog import copies, packages, tasks
from vault.catalog.copies import ALLOWED_TRANSITIONS
from vault.errors import Conflict, NotFound, Refused
from vault.model import CopyState, NewTask, TaskKind

EVERY = list(CopyState)


def test_the_life_of_a_copy_is_recorded_with_its_times(catalogue, clock):
    with catalogue.write() as tx:
        volume, version = add_volume(tx, "nas-a"), add_version(tx, "p")
        copy = copies.plan(tx, version.id, volume.id)
    assert (copy.state, copy.volume, copy.number) == (CopyState.PLANNED, "nas-a", 1)
    assert copy.package_id == version.package_id
    assert (copy.written_at, copy.proved_at, copy.checked_at, copy.due_at) == (None,) * 4
    written_at = clock.move(minutes=1)
    with catalogue.write() as tx:
        copies.change(tx, copy.id, CopyState.WRITING)
        copies.change(tx, copy.id, CopyState.WRITTEN, written=True)
        tell(tx)
    proved_at = clock.move(minutes=1)
    with catalogue.write() as tx:
        copy = copies.change(tx, copy.id, CopyState.GOOD, proved=True, due_at=proved_at + timedelta(days=90))
        tell(tx)
    assert (copy.written_at, copy.proved_at, copy.checked_at, copy.changed_at) == (written_at, *[proved_at] * 3)
    checked_at = clock.move(days=90)
    with catalogue.write() as tx:
        copies.change(tx, copy.id, CopyState.GOOD, failures=2)
        copies.change(tx, copy.id, CopyState.DAMAGED, checked=True, reason="1 of 3 files differs", due_at=None)
        tell(tx)
    with catalogue.read() as tx:
        copy = copies.get(tx, copy.id)
    assert (copy.state, copy.proved_at, copy.checked_at, copy.due_at) == (
        CopyState.DAMAGED, proved_at, checked_at, None,
    )  # fmt: skip
    assert (copy.reason, copy.failures) == ("1 of 3 files differs", 0)


@pytest.mark.parametrize("before", EVERY)
def test_only_steps_of_a_copys_life_can_be_taken(catalogue, before):
    with catalogue.write() as tx:
        volume = add_volume(tx, "nas-a")
        for number, to in enumerate(EVERY):
            copy = add_copy(tx, add_version(tx, f"p{number}"), volume, before)
            assert copy.state is before
            if to is before or to in ALLOWED_TRANSITIONS[before]:
                assert copies.change(tx, copy.id, to, proved=to is CopyState.GOOD).state is to
            else:
                with pytest.raises(Refused) as refused:
                    copies.change(tx, copy.id, to, proved=to is CopyState.GOOD)
                assert refused.value.code == "bad-transition"
                assert copies.get(tx, copy.id) == copy
        tell(tx)


def test_no_copy_becomes_good_without_a_proof(catalogue):
    with catalogue.write() as tx:
        volume, version = add_volume(tx, "nas-a"), add_version(tx, "p")
        copy = add_copy(tx, version, volume, CopyState.WRITTEN)
        with pytest.raises(Refused, match="proved"):
            copies.change(tx, copy.id, CopyState.GOOD, checked=True)
        with pytest.raises(Refused):
            copies.plan(tx, add_version(tx, "q").id, volume.id, CopyState.GOOD)


def test_a_reason_stays_while_the_state_does(catalogue):
    with catalogue.write() as tx:
        copy = add_copy(tx, add_version(tx, "p"), add_volume(tx, "nas-a"))
        copies.change(tx, copy.id, CopyState.SUSPECT, reason="unreadable")
        assert copies.change(tx, copy.id, CopyState.SUSPECT, failures=1).reason == "unreadable"
        assert copies.change(tx, copy.id, CopyState.SUSPECT, reason="\udc80 still").reason == "\\udc80 still"
        assert copies.change(tx, copy.id, CopyState.GOOD, proved=True).reason == ""
        tell(tx)


def test_a_volume_holds_a_version_once_and_a_retired_copy_can_be_begun_anew(catalogue):
    with catalogue.write() as tx:
        volume, version = add_volume(tx, "nas-a"), add_version(tx, "p")
        add_copy(tx, version, volume)
        with pytest.raises(Conflict):
            copies.plan(tx, version.id, volume.id)
        (copy,) = copies.of_version(tx, version.id)
        copies.change(tx, copy.id, CopyState.RETIRED)
        anew = copies.plan(tx, version.id, volume.id, CopyState.WRITTEN)
        tell(tx)
        assert (anew.state, anew.proved_at, anew.checked_at) == (CopyState.WRITTEN, None, None)
        assert copies.of_version(tx, version.id) == [anew]
        assert copies.counts(tx) == {("nas-a", CopyState.WRITTEN): 1}


def test_the_copies_of_a_package_are_those_of_all_its_versions(catalogue):
    with catalogue.write() as tx:
        a, b = add_volume(tx, "a"), add_volume(tx, "b")
        first, second, other = add_version(tx, "p"), add_version(tx, "p"), add_version(tx, "q")
        made = [add_copy(tx, v, w) for v, w in ((second, a), (first, b), (first, a), (other, a))]
        found = copies.of_package(tx, first.package_id)
        assert [(c.number, c.volume) for c in found] == [(1, "b"), (1, "a"), (2, "a")]
        assert copies.of_version(tx, second.id) == [made[0]]
        with pytest.raises(NotFound):
            copies.change(tx, 999, CopyState.GOOD)


def test_the_longest_due_check_comes_first_and_only_of_that_volume(catalogue, clock):
    now = clock.time
    with catalogue.write() as tx:
        a, b = add_volume(tx, "a"), add_volume(tx, "b")
        plan = [
            ("two days", a, CopyState.GOOD, -2), ("one day", a, CopyState.SUSPECT, -1),
            ("now", a, CopyState.WRITTEN, 0), ("tomorrow", a, CopyState.GOOD, 1), ("damaged", a, CopyState.DAMAGED, -9),
            ("elsewhere", b, CopyState.GOOD, -9),
        ]  # fmt: skip
        for name, volume, state, days in plan:
            add_copy(tx, add_version(tx, name), volume, state, due_at=now + timedelta(days=days))
        add_copy(tx, add_version(tx, "never"), a)
        names = {packages.get(tx, name).id: name for name, *_ in plan}
        assert [names[c.package_id] for c in copies.due(tx, a.id, now, 10)] == ["two days", "one day", "now"]
        assert [names[c.package_id] for c in copies.due(tx, a.id, now, 1)] == ["two days"]


def test_copies_can_be_found_by_their_state(catalogue):
    with catalogue.write() as tx:
        a, b = add_volume(tx, "a"), add_volume(tx, "b")
        made = []
        for number, state in enumerate([*EVERY, *EVERY]):
            version = add_version(tx, f"p{number}")
            made.append(add_copy(tx, version, (a, b)[number % 3 == 0], state))
        for states in ({CopyState.GOOD}, {CopyState.DAMAGED, CopyState.MISSING}, set(EVERY)):
            for volume in (None, a, b):
                expected = [
                    c for c in sorted(made, key=lambda c: c.id)
                    if c.state in states and (volume is None or c.volume_id == volume.id)
                ]  # fmt: skip
                volume_id = volume and volume.id
                assert copies.in_states(tx, states, 100, volume_id) == expected
                assert copies.in_states(tx, states, 2, volume_id) == expected[:2]
                if expected:
                    assert copies.in_states(tx, states, 100, volume_id, after=expected[0].id) == expected[1:]


def test_an_ordered_verification_sees_what_is_still_to_do(catalogue, clock):
    with catalogue.write() as tx:
        a, b = add_volume(tx, "a"), add_volume(tx, "b")
        old = add_copy(tx, add_version(tx, "old"), a)
    clock.move(days=1)
    with catalogue.write() as tx:
        newer = add_copy(tx, add_version(tx, "newer"), a, CopyState.DAMAGED)
        never = add_copy(tx, add_version(tx, "never"), a, CopyState.WRITTEN)
        elsewhere = add_copy(tx, add_version(tx, "elsewhere"), b)
        for state in (CopyState.PLANNED, CopyState.WRITING, CopyState.RETIRED):
            add_copy(tx, add_version(tx, state), a, state)
    ordered = clock.move(days=1)
    with catalogue.read() as tx:

        def left(**scope):
            return [c.id for c in copies.unchecked(tx, before=ordered, **scope)]

        assert left(limit=10) == [never.id, old.id, newer.id, elsewhere.id]
        assert left(limit=2, volume_id=a.id) == [never.id, old.id]
        assert left(limit=10, package_id=newer.package_id) == [newer.id]
    with catalogue.write() as tx:
        copies.change(tx, old.id, CopyState.GOOD, proved=True)
        copies.change(tx, never.id, CopyState.MISSING, checked=True)
        tell(tx)
        assert [c.id for c in copies.unchecked(tx, before=ordered, volume_id=a.id, limit=10)] == [newer.id]


def test_an_ordered_verification_asks_nothing_of_what_came_after_it(catalogue, clock):
    with catalogue.write() as tx:
        a = add_volume(tx, "a")
        old, repaired = (add_copy(tx, add_version(tx, name), a) for name in ("old", "repaired"))
    ordered = clock.move(days=1)
    clock.move(seconds=1)
    with catalogue.write() as tx:
        new = add_copy(tx, add_version(tx, "new"), a, CopyState.WRITTEN)
        copies.change(tx, repaired.id, CopyState.GOOD, proved=True)
        tell(tx)
        for package_id in (None, old.package_id):
            found = copies.unchecked(tx, before=ordered, package_id=package_id, limit=9)
            assert [c.id for c in found] == [old.id]
        assert copies.unchecked(tx, before=ordered, package_id=new.package_id, limit=9) == []
        copies.change(tx, new.id, CopyState.GOOD, proved=True)
        tell(tx)
        assert copies.concluded(tx, since=ordered) == 1
        assert copies.concluded(tx, since=ordered, volume_id=a.id, package_id=repaired.package_id) == 1
        assert copies.concluded(tx, since=ordered, package_id=old.package_id) == 0
        assert copies.concluded(tx, since=ordered, volume_id=a.id + 1) == 0


def test_what_is_taken_up_does_not_hide_the_next(catalogue, clock):
    with catalogue.write() as tx:
        a, b = add_volume(tx, "Đ-a"), add_volume(tx, "b")
        first, second, third = (add_copy(tx, add_version(tx, name), a, due_at=clock.time) for name in "123")
        add_copy(tx, add_version(tx, "1"), b, due_at=clock.time)
        written, unseen = (add_copy(tx, add_version(tx, name), a, CopyState.WRITTEN) for name in ("4", "5"))
    clock.move(days=1)
    with catalogue.write() as tx:
        for copy in (first, written):
            key = copies.check_key(copy.package_id, "Đ-a")
            tasks.derive(
                tx, NewTask(key, TaskKind.VERIFY, 1, copy.package_id, "p", None, ("Đ-a",)), clock.move(hours=1)
            )
        key = copies.check_key(second.package_id, "b")
        tasks.derive(tx, NewTask(key, TaskKind.VERIFY, 1, second.package_id, "p", None, ("b",)))
        assert [c.id for c in copies.due(tx, a.id, clock.time, 1)] == [first.id]
        assert [c.id for c in copies.due(tx, a.id, clock.time, 1, not_taken_up=True)] == [second.id]
        assert [c.id for c in copies.unproved(tx, a.id, 9)] == [unseen.id]

        def unchecked(**scope):
            found = copies.unchecked(tx, before=clock.time, volume_id=a.id, limit=3, **scope)
            return [c.id for c in found]

        assert unchecked() == [written.id, unseen.id, first.id]
        assert unchecked(not_taken_up=True) == [unseen.id, second.id, third.id]
        assert unchecked(not_taken_up=True, package_id=first.package_id) == []
        assert unchecked(not_taken_up=True, package_id=second.package_id) == [second.id]


def test_the_copies_of_several_packages_come_together(catalogue):
    with catalogue.write() as tx:
        a, b = add_volume(tx, "a"), add_volume(tx, "b")
        made = [add_version(tx, name) for name in ("p", "p", "q", "r")]
        for version in made:
            for volume in (b, a):
                add_copy(tx, version, volume)
        ids = {made[0].package_id, made[2].package_id, 999}
        found = copies.of_packages(tx, ids)
        assert found == {package_id: copies.of_package(tx, package_id) for package_id in ids - {999}}
        assert copies.of_packages(tx, ()) == {}


def test_the_oldest_proof_of_each_volume(catalogue, clock):
    with catalogue.write() as tx:
        a, b = add_volume(tx, "a"), add_volume(tx, "b")
        add_volume(tx, "empty")
        damaged = add_copy(tx, add_version(tx, "gone"), a)
    first = clock.move(days=1)
    with catalogue.write() as tx:
        copies.change(tx, damaged.id, CopyState.DAMAGED, checked=True)
        add_copy(tx, add_version(tx, "1"), a, CopyState.SUSPECT)
        add_copy(tx, add_version(tx, "2"), b, CopyState.WRITTEN)
    clock.move(days=1)
    with catalogue.write() as tx:
        add_copy(tx, add_version(tx, "3"), a)
        assert copies.oldest_proof(tx) == {"a": first}


def test_the_counters_agree_with_the_copies_after_any_life(catalogue):
    chance = random.Random(7)
    with catalogue.write() as tx:
        places = [add_volume(tx, name) for name in "ab"]
        made = [add_copy(tx, add_version(tx, f"p{n}"), chance.choice(places), CopyState.PLANNED) for n in range(12)]
        for _ in range(150):
            copy = copies.get(tx, chance.choice(made).id)
            following = [*sorted(ALLOWED_TRANSITIONS[copy.state]), copy.state]
            to = chance.choice(following)
            copies.change(tx, copy.id, to, proved=to is CopyState.GOOD)
            if to is CopyState.RETIRED and chance.random() < 0.7:
                copies.plan(tx, copy.version_id, copy.volume_id)
        tell(tx)
    with catalogue.read() as tx:
        present = copies.in_states(tx, EVERY, 100)
        assert len(present) == len(made)
        assert copies.counts(tx) == Counter((c.volume, c.state) for c in present)
