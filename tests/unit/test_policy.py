"""What the copies of a version amount to, and where the missing ones should be made."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vault.model import Condition, Copy, CopyState, Descriptive, MediumClass, Volume, VolumeMode
from vault.policy import Count, Holding, Match, Policy, Unbroken, choose_targets, holdings, receipt_ready, standing

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GB = 10**9


def volume(number: int, domain: str = "", site: str = "here", **changes) -> Volume:
    made = Volume(
        id=number,
        uuid=UUID(int=number),
        name=f"v{number}",
        kind="directory",
        medium=MediumClass.DISK,
        domain=domain or f"d{number}",
        site=site,
        mode=VolumeMode.ACTIVE,
        condition=Condition.ONLINE,
        condition_reason="",
        size_bytes=100 * GB,
        free_bytes=50 * GB,
        probed_at=NOW,
        added_at=NOW,
    )
    return replace(made, **changes)


def good(on: Volume) -> Holding:
    return Holding(CopyState.GOOD, on)


TWO = Policy("two", disk=2, receipt_after=2)


def volume_lists():
    return st.lists(
        st.builds(
            lambda number, **changes: replace(volume(number), **changes),
            st.integers(1, 50),
            domain=st.sampled_from("ABCD"),
            site=st.sampled_from(["here", "there"]),
            medium=st.sampled_from(MediumClass),
            mode=st.sampled_from(VolumeMode),
            condition=st.sampled_from(Condition),
            free_bytes=st.none() | st.integers(0, 100 * GB),
        ),
        max_size=8,
        unique_by=lambda v: v.id,
    )


POLICIES = st.builds(
    Policy, st.just("p"), disk=st.integers(1, 4), tape=st.integers(0, 2), receipt_after=st.integers(1, 3)
)


@st.composite
def situations(draw):
    """A policy, volumes, and copies on some of them."""
    volumes = draw(volume_lists())
    held = draw(st.lists(st.sampled_from(volumes), unique_by=lambda v: v.id)) if volumes else []
    copies = [Holding(draw(st.sampled_from(CopyState)), on) for on in held]
    return draw(POLICIES), volumes, copies


def test_two_domains_satisfy_two_copies():
    result = standing(TWO, [good(volume(1)), good(volume(2))])
    assert result.good == Count(disk=2)
    assert not result.missing
    assert result.satisfied
    assert result.recoverable


def test_two_copies_in_one_chassis_are_one():
    result = standing(TWO, [good(volume(1, "chassis")), good(volume(2, "chassis"))])
    assert result.good == Count(disk=1)
    assert result.missing == Count(disk=1)
    assert not result.satisfied


@pytest.mark.parametrize("state", [state for state in CopyState if state is not CopyState.GOOD])
def test_only_good_copies_count(state):
    assert standing(TWO, [good(volume(1)), Holding(state, volume(2))]).good == Count(disk=1)


def test_an_outage_takes_nothing_away_and_retirement_does():
    for condition in Condition:
        assert standing(TWO, [good(volume(1)), good(volume(2, condition=condition))]).satisfied
    assert not standing(TWO, [good(volume(1)), good(volume(2, mode=VolumeMode.RETIRED))]).satisfied


def test_disk_and_tape_are_counted_apart():
    policy = Policy("p", disk=1, tape=1, receipt_after=2)
    tape = volume(2, medium=MediumClass.TAPE)
    assert standing(policy, [good(volume(1)), good(volume(3))]).missing == Count(tape=1)
    assert standing(policy, [good(volume(1)), good(tape)]).satisfied
    assert receipt_ready(policy, [good(volume(1)), good(tape)])


def test_a_volume_that_is_evacuated_counts_only_while_needed():
    leaving = volume(1, "A", mode=VolumeMode.EVACUATING)
    before = standing(TWO, [good(leaving), good(volume(2, "B"))])
    assert before.satisfied
    assert before.leaving == Count(disk=1)
    after = standing(TWO, [good(leaving), good(volume(2, "B")), good(volume(3, "C"))])
    assert after.good == Count(disk=2)
    assert not after.leaving


def test_the_replacement_for_an_evacuated_copy_may_be_in_the_same_chassis():
    leaving, other, neighbour = volume(1, "A", mode=VolumeMode.EVACUATING), volume(2, "B"), volume(3, "A")
    assert choose_targets(TWO, [good(leaving), good(other)], [leaving, other, neighbour]) == [neighbour]


def test_damage_everywhere_is_not_recoverable():
    lost = [Holding(CopyState.DAMAGED, volume(1)), Holding(CopyState.MISSING, volume(2))]
    assert not standing(TWO, lost).recoverable
    assert standing(TWO, [*lost, Holding(CopyState.SUSPECT, volume(3))]).recoverable
    assert not standing(TWO, [*lost, good(volume(3, mode=VolumeMode.RETIRED))]).recoverable


def test_a_receipt_waits_for_separate_domains():
    assert not receipt_ready(TWO, [good(volume(1, "A")), good(volume(2, "A"))])
    assert receipt_ready(TWO, [good(volume(1, "A")), good(volume(2, "B"))])
    assert receipt_ready(replace(TWO, receipt_after=1), [good(volume(1, "A"))])


def test_targets_prefer_earlier_versions_then_another_site_then_room():
    first = volume(1, "A", "here")
    near_empty = volume(2, "B", "here", free_bytes=99 * GB)
    far_full = volume(3, "C", "there", free_bytes=10 * GB)
    far_empty = volume(4, "D", "there", free_bytes=90 * GB)
    all_of_them = [first, near_empty, far_full, far_empty]
    assert choose_targets(TWO, [good(first)], all_of_them) == [far_empty]
    assert choose_targets(TWO, [good(first)], all_of_them, {near_empty.id}) == [near_empty]
    assert choose_targets(TWO, [], all_of_them) == [near_empty, far_empty]


def test_room_is_what_is_free_beyond_the_reserve():
    only = volume(1, free_bytes=10 * GB)
    one = Policy("one", disk=1)
    assert choose_targets(one, [], [only], need_bytes=9 * GB, reserve={"v1": GB}) == [only]
    assert choose_targets(one, [], [only], need_bytes=9 * GB + 1, reserve={"v1": GB}) == []
    assert choose_targets(one, [], [only], need_bytes=1, whole_bytes=11 * GB) == []
    assert choose_targets(one, [], [only], {only.id}, need_bytes=1, whole_bytes=11 * GB) == [only]
    assert choose_targets(one, [], [replace(only, free_bytes=None)]) == []


def test_a_copy_on_its_way_is_not_planned_twice():
    first, second, third = volume(1), volume(2), volume(3)
    for state in (CopyState.PLANNED, CopyState.WRITING, CopyState.WRITTEN, CopyState.SUSPECT, CopyState.DAMAGED):
        assert choose_targets(TWO, [good(first), Holding(state, second)], [first, second, third]) == []


def test_damage_on_a_volume_that_cannot_be_written_is_replaced_elsewhere():
    first, third = volume(1), volume(3)
    for second in (volume(2, mode=VolumeMode.READ_ONLY), volume(2, condition=Condition.OFFLINE)):
        copies = [good(first), Holding(CopyState.DAMAGED, second)]
        assert choose_targets(TWO, copies, [first, second, third]) == [third]


@given(situations())
def test_satisfied_means_that_nothing_is_missing(situation):
    policy, _, copies = situation
    result = standing(policy, copies)
    assert result.satisfied == (result.missing == Count(0, 0))
    assert result.good.disk + result.missing.disk >= policy.disk
    assert (result.missing.disk == 0) == (result.good.disk >= policy.disk)
    assert (result.missing.tape == 0) == (result.good.tape >= policy.tape)


@given(situations(), st.sampled_from(CopyState))
def test_another_copy_in_the_same_domain_never_counts_again(situation, state):
    policy, _, copies = situation
    assume(copies)
    twin = replace(copies[0].volume, id=99, mode=VolumeMode.ACTIVE)
    before = standing(policy, [good(twin), *copies])
    again = Holding(state, replace(twin, id=100))
    assert standing(policy, [good(twin), again, *copies]) == before


@given(situations())
def test_what_counts_is_no_more_than_the_domains_that_hold_a_good_copy(situation):
    policy, _, copies = situation
    kept = [h for h in copies if h.state is CopyState.GOOD and h.volume.mode is not VolumeMode.RETIRED]
    domains = {(h.volume.medium, h.volume.domain) for h in kept}
    assert standing(policy, copies).good.total <= len(domains)


@given(situations())
def test_losing_a_copy_never_improves_anything(situation):
    policy, _, copies = situation
    before = standing(policy, copies)
    for index in range(len(copies)):
        after = standing(policy, copies[:index] + copies[index + 1 :])
        assert after.good.total <= before.good.total
        assert before.satisfied or not after.satisfied


@given(situations(), st.integers(0, 100 * GB), st.sets(st.integers(1, 50)))
def test_targets_can_be_used_and_share_no_domain(situation, need, before):
    policy, volumes, copies = situation
    targets = choose_targets(policy, copies, volumes, before, need_bytes=need)
    staying = {
        h.volume.domain
        for h in copies
        if h.state is CopyState.GOOD
        and h.volume.medium is MediumClass.DISK
        and h.volume.mode in (VolumeMode.ACTIVE, VolumeMode.READ_ONLY)
    }
    domains = [target.domain for target in targets]
    assert len(set(domains)) == len(domains)
    assert not staying & set(domains)
    held = {h.volume.id for h in copies if h.state is not CopyState.RETIRED}
    for target in targets:
        assert target.id not in held
        assert (target.medium, target.mode, target.condition) == (
            MediumClass.DISK,
            VolumeMode.ACTIVE,
            Condition.ONLINE,
        )
        assert target.free_bytes is not None
        assert target.free_bytes >= need
    assert len(staying) + len(targets) <= max(policy.disk, len(staying))


@given(situations())
def test_once_the_targets_are_good_the_policy_is_satisfied_or_no_volume_is_left(situation):
    policy, volumes, copies = situation
    targets = choose_targets(policy, copies, volumes)
    done = [*[h for h in copies if h.state is CopyState.GOOD], *map(good, targets)]
    again = choose_targets(policy, done, volumes)
    result = standing(policy, done)
    pending = any(h.state is not CopyState.GOOD for h in copies)
    assert pending or not again
    if not pending and result.missing.disk + result.leaving.disk:
        counted = {h.volume.domain for h in done if h.volume.mode in (VolumeMode.ACTIVE, VolumeMode.READ_ONLY)}
        free = [
            v
            for v in volumes
            if v.mode is VolumeMode.ACTIVE
            and v.condition is Condition.ONLINE
            and v.medium is MediumClass.DISK
            and v.free_bytes is not None
            and v not in [h.volume for h in done]
        ]
        assert all(v.domain in counted for v in free)


def test_holdings_join_copies_with_their_volumes():
    on = volume(7)
    copy = Copy(1, 1, 1, 1, 7, "v7", CopyState.GOOD, None, None, None, None, NOW)
    assert holdings([copy], {7: on}) == [Holding(CopyState.GOOD, on)]
    with pytest.raises(KeyError):
        holdings([copy], {})


def part(number: int, on: Volume, state: CopyState = CopyState.GOOD) -> Copy:
    copy = Copy(1, 1, 1, 1, on.id, on.name, state, None, None, None, None, NOW)
    return replace(copy, number=number, version_id=number)


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 4), st.sampled_from([CopyState.GOOD, CopyState.DAMAGED]))),
    st.integers(1, 4),
    st.integers(0, 4),
)
def test_a_part_counts_where_all_before_it_are_good(beside, number, place):
    tapes = [volume(n, domain, medium=MediumClass.TAPE) for n, domain in ((3, "set-1"), (4, "set-1"), (5, "set-2"))]
    volumes = [volume(1), volume(2, "d1"), *tapes]
    of_package = [part(n, volumes[where], state) for n, where, state in beside]
    here = volumes[place]
    serve = [v for v in volumes if v.id == here.id or (v.medium is MediumClass.TAPE and v.domain == here.domain)]
    there = {c.number for c in of_package if c.state is CopyState.GOOD and c.volume_id in {v.id for v in serve}}
    wanted = CopyState.GOOD if set(range(1, number)) <= there else CopyState.SUSPECT
    by_id = {v.id: v for v in volumes}
    assert holdings([part(number, here)], by_id, of_package) == [Holding(wanted, here)]


def test_thousands_of_versions_are_judged_in_no_time():
    """Whoever may deposit may make them, and everybody's listings tell of them."""
    volumes = {n: volume(n) for n in (1, 2)}
    of_package = [part(number, on) for number in range(1, 5001) for on in volumes.values()]
    began = time.process_time()
    unbroken = Unbroken(of_package, volumes)
    held = [holdings([copy], volumes, unbroken) for copy in of_package]
    assert time.process_time() - began < 5
    assert all(one.state is CopyState.GOOD for each in held for one in each)


def test_a_match_needs_all_its_members_and_one_pattern_of_each():
    match = Match(fonds=("UBND-*", "HĐND"), agency=("Sở ?",))
    assert match.matches(Descriptive(fonds="UBND-1", agency="Sở A"))
    assert match.matches(Descriptive(fonds="HĐND", agency="Sở B"))
    assert not match.matches(Descriptive(fonds="hđnd", agency="Sở B"))
    assert not match.matches(Descriptive(fonds="HĐND"))
    assert not match.everything
    assert Match().everything
    assert Match(fonds=("*",)).everything
    assert Match().matches(Descriptive())
    assert Match(priority_class=("land",)).matches(Descriptive(priority_class="land"))
