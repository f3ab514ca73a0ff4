from datetime import timedelta

import pytest

from tests.support.holdings import add_copy, add_version, add_volume, tell
from vault.catalog import Catalogue, listing, packages, volumes
from vault.catalog.listing import Order, Place, Wanted
from vault.errors import Conflict, Invalid, NotFound
from vault.model import CopyState, Descriptive, DigestAlgorithm, EventType, PackageKind, VolumeMode

VIETNAMESE = "H49.61.8/2025/Đ-012 Tờ trình"


def test_a_package_comes_back_as_it_went_in(catalogue, clock):
    descriptive = Descriptive(fonds="Phông UBND", agency="Sở Nội vụ", batch="b1", title="Đ", retention="70", access="x")
    with catalogue.write() as tx:
        made = packages.create(tx, VIETNAMESE, descriptive)
        tell(tx)
    with catalogue.read() as tx:
        assert packages.get(tx, VIETNAMESE) == made
        assert packages.get(tx, "H49") is None
        assert packages.count(tx) == 1
    assert (made.identifier, made.head, made.descriptive, made.created_at) == (VIETNAMESE, 0, descriptive, clock.time)


def test_a_version_comes_back_as_it_went_in(catalogue, clock):
    with catalogue.write() as tx:
        made = add_version(tx, VIETNAMESE, bytes=2**52, metadata={"a": ["Đ", 1, None, {"b": 1.5}]}, priority=7)
    with catalogue.read() as tx:
        assert packages.version(tx, VIETNAMESE, 1) == made
        assert packages.version_by_id(tx, made.id) == made
        assert packages.head(tx, VIETNAMESE) == made
        assert packages.metadata(tx, made.id) == {"a": ["Đ", 1, None, {"b": 1.5}]}
        assert packages.receipt(tx, made.id) is None
        assert packages.version(tx, VIETNAMESE, 2) is None
        assert packages.get(tx, VIETNAMESE).head == 1
    assert made.kind is PackageKind.BAG
    assert made.algorithm is DigestAlgorithm.SHA512
    assert (made.bytes, made.below_policy, made.priority, made.created_at) == (2**52, True, 7, clock.time)
    assert made.deposit_digests == {"sha256": "e" * 64}


def test_versions_follow_one_another(catalogue):
    with catalogue.write() as tx:
        first = add_version(tx, "p")
        second = add_version(tx, "p")
        assert packages.versions_of(tx, first.package_id) == [first, second]
        assert packages.head(tx, "p") == second


@pytest.mark.parametrize("number", [0, 1, 3])
def test_a_version_that_is_not_the_next_is_a_conflict_and_changes_nothing(catalogue, number):
    with catalogue.write() as tx:
        add_version(tx, "p")
    with catalogue.write() as tx, pytest.raises(Conflict) as refused:
        add_version(tx, "p", number=number)
    assert refused.value.code == "not-next-version"
    with catalogue.read() as tx:
        assert packages.get(tx, "p").head == 1


def test_a_package_is_made_once(catalogue):
    with catalogue.write() as tx:
        packages.create(tx, "p", Descriptive())
        tell(tx)
    with catalogue.write() as tx, pytest.raises(Conflict):
        packages.create(tx, "p", Descriptive())


def test_what_a_package_is_called_can_be_described_anew(catalogue):
    with catalogue.write() as tx:
        made = packages.create(tx, "p", Descriptive(title="old"))
        packages.describe(tx, made.id, Descriptive(title="new", fonds="F"))
        tell(tx)
    with catalogue.read() as tx:
        assert packages.get(tx, "p").descriptive == Descriptive(title="new", fonds="F")


def test_an_identifier_that_no_database_can_hold_is_refused_as_what_it_is(catalogue):
    for identifier in ("a\0b", "a\udc80"):
        with catalogue.write() as tx, pytest.raises(Invalid) as refused:
            packages.create(tx, identifier, Descriptive())
        assert refused.value.code == "bad-text"


def test_a_title_that_no_database_can_hold_stops_nothing(catalogue):
    with catalogue.write() as tx:
        packages.create(tx, "p", Descriptive(title="a\0b\udc80"))
        tell(tx)
        assert packages.get(tx, "p").descriptive.title == "a\\x00b\\udc80"


def test_metadata_that_is_odd_comes_back_the_same(catalogue):
    odd = {"nul": "\0", "surrogate": "\udc80", "big": 2**70, "empty": {}}
    with catalogue.write() as tx:
        assert packages.metadata(tx, add_version(tx, "p", metadata=odd).id) == odd


def test_the_receipt_is_kept(catalogue):
    with catalogue.write() as tx:
        version = add_version(tx, "p")
        packages.set_receipt(tx, version.id, {"signature": {"value": "x"}})
        tell(tx, EventType.RECEIPT)
    with catalogue.read() as tx:
        assert packages.receipt(tx, version.id) == {"signature": {"value": "x"}}
    with catalogue.write() as tx, pytest.raises(NotFound):
        packages.set_receipt(tx, 999, {})


def test_those_below_policy_come_by_urgency_then_age_page_by_page(catalogue: Catalogue, clock):
    ids = {}
    for name, priority in (("late", 100), ("urgent", 1), ("later", 100), ("last", 200), ("held", 1)):
        with catalogue.write() as tx:
            version = add_version(tx, name, priority=priority)
            ids[name] = version.id
        clock.move(seconds=1)
    with catalogue.write() as tx:
        packages.set_standing(tx, ids["held"], below_policy=False, policy="default", priority=1)
    with catalogue.read() as tx:
        assert [v.identifier for v in packages.below_policy(tx, 10)] == ["urgent", "late", "later", "last"]
        page, seen = packages.below_policy(tx, 2), []
        while page:
            seen += [v.identifier for v in page]
            page = packages.below_policy(tx, 2, after=page[-1])
        assert seen == ["urgent", "late", "later", "last"]
        assert packages.count_below_policy_by_class(tx) == {"default": 4}


def test_who_waits_for_a_receipt_comes_first_and_then_the_fewest_good_copies(catalogue: Catalogue):
    def stand(version):
        packages.set_standing(tx, version.id, below_policy=True, policy="default", priority=100)

    with catalogue.write() as tx:
        places = [add_volume(tx, name) for name in "abc"]
        two, one, retired, urgent, new, newer = (
            add_version(tx, name) for name in ("two", "one", "retired", "urgent", "new", "newer")
        )
        for version, held in ((two, "ab"), (one, "a"), (retired, "ac"), (urgent, "ab"), (new, "a"), (newer, "")):
            for volume in places:
                if volume.name in held:
                    add_copy(tx, version, volume)
            if version not in (new, newer):
                packages.set_receipt(tx, version.id, {"signature": {}})
                tell(tx, EventType.RECEIPT)
        volumes.set_mode(tx, places[2].id, VolumeMode.RETIRED)
        for version in (two, one, retired, new, newer):
            stand(version)
        packages.set_standing(tx, urgent.id, below_policy=True, policy="default", priority=1)
        tell(tx)
    with catalogue.read() as tx:
        found = [v.identifier for v in packages.below_policy(tx, 10)]
    assert found == ["newer", "new", "one", "retired", "urgent", "two"]
    with catalogue.write() as tx:
        packages.set_receipt(tx, newer.id, {"signature": {}})
        tell(tx, EventType.RECEIPT)
        assert [v.identifier for v in packages.below_policy(tx, 2)] == ["new", "newer"]


def test_after_a_rebuild_nobody_waits_for_a_receipt(catalogue: Catalogue):
    with catalogue.write() as tx:
        rebuilt, new = add_version(tx, "rebuilt", ingest_id=""), add_version(tx, "new")
        for version in (rebuilt, new):
            packages.set_standing(tx, version.id, below_policy=True, policy="default", priority=100)
        assert [v.identifier for v in packages.below_policy(tx, 10)] == ["new", "rebuilt"]


def test_a_changed_policy_finds_what_was_judged_under_another(catalogue):
    with catalogue.write() as tx:
        made = [add_version(tx, f"p{i}", policy_fingerprint=f) for i, f in enumerate(["a", "m", "z", "", "m"])]
    with catalogue.read() as tx:
        found = packages.versions_with_other_policy(tx, "m", 10)
        assert {v.identifier for v in found} == {"p0", "p2", "p3"}
        assert len(packages.versions_with_other_policy(tx, "m", 2)) == 2
    with catalogue.write() as tx:
        for version in found:
            packages.set_standing(tx, version.id, below_policy=False, policy="new", priority=3, policy_fingerprint="m")
        assert packages.versions_with_other_policy(tx, "m", 10) == []
        changed = packages.version_by_id(tx, made[0].id)
        assert (changed.policy, changed.priority, changed.below_policy) == ("new", 3, False)


def test_packages_are_listed_in_the_order_of_their_code_points(catalogue):
    names = ["b", "a", "Z", "ă", "Đ", "d", "a-b", "a b", "ab", "a/b", "\U0001f4d6", "\uffee"]
    with catalogue.write() as tx:
        for name in names:
            add_version(tx, name)
    with catalogue.read() as tx:
        assert [p.identifier for p in listing.page(tx, Wanted(), limit=100)] == sorted(names)
        page, seen = listing.page(tx, Wanted(), limit=5), []
        while page:
            seen += [p.identifier for p in page]
            page = listing.page(tx, Wanted(), after=Place("", seen[-1]), limit=5)
        assert seen == sorted(names)


def test_a_prefix_is_a_prefix_and_no_pattern(catalogue):
    with catalogue.write() as tx:
        for name in ("H49/1", "H49/2", "H49_1", "h49/1", "H5", "H49", "H49/\U0010ffff\U0010ffff"):
            add_version(tx, name)
        for name in ("%", "\ud7ff1", "\ue000"):
            add_version(tx, name)
    with catalogue.read() as tx:

        def found(prefix):
            return [p.identifier for p in listing.page(tx, Wanted(prefix=prefix), limit=100)]

        assert found("H49/") == ["H49/1", "H49/2", "H49/\U0010ffff\U0010ffff"]
        assert found("H49/\U0010ffff") == ["H49/\U0010ffff\U0010ffff"]
        assert found("%") == ["%"]
        assert found("H49_") == ["H49_1"]
        assert found("\ud7ff") == ["\ud7ff1"]
        assert found("\U0010ffff") == []


def test_a_listing_can_be_narrowed(catalogue):
    with catalogue.write() as tx:
        add_volume(tx, "a")
        add_version(tx, "1", descriptive=Descriptive(fonds="F", agency="A", batch="B"))
        kept = add_version(tx, "2", descriptive=Descriptive(fonds="F", agency="A2", batch="B"))
        add_version(tx, "3", descriptive=Descriptive(fonds="F2", agency="A", batch="B"))
        packages.set_standing(tx, kept.id, below_policy=False, policy="default", priority=1)
    with catalogue.read() as tx:

        def found(**conditions):
            return [p.identifier for p in listing.page(tx, Wanted(**conditions), limit=10)]

        assert found(fonds="F") == ["1", "2"]
        assert found(agency="A") == ["1", "3"]
        assert found(batch="B", fonds="F2") == ["3"]
        assert found(below_policy=True) == ["1", "3"]
        assert found(below_policy=False) == ["2"]
        assert found(fonds="") == []


def test_a_listing_can_be_narrowed_by_what_was_said(catalogue):
    said = {"file_code": "H49/12", "retention": "70 năm", "access": "Hạn chế", "priority_class": "đất đai"}
    with catalogue.write() as tx:
        for name, value in said.items():
            add_version(tx, name, descriptive=Descriptive(**{name: value}))
    with catalogue.read() as tx:
        for name, value in said.items():
            assert [p.identifier for p in listing.page(tx, Wanted(**{name: value}), limit=10)] == [name]
        assert len(listing.page(tx, Wanted(file_code=""), limit=10)) == 3


def test_a_package_was_last_proved_when_the_version_was_that_was_proved_longest_ago(catalogue, clock):
    with catalogue.write() as tx:
        volume, other = add_volume(tx, "a"), add_volume(tx, "b")
        first, second = add_version(tx, "p"), add_version(tx, "p")
        add_version(tx, "never")

    def proved(version, on, state=CopyState.GOOD):
        with catalogue.write() as tx:
            add_copy(tx, version, on, state)
            packages.set_standing(tx, version.id, below_policy=True, policy="default", priority=1)
        with catalogue.read() as tx:
            return packages.get(tx, "p").last_proved_at

    then = clock.time
    assert proved(first, volume) is None
    clock.move(days=1)
    assert proved(second, volume) == then
    clock.move(days=1)
    assert proved(first, other) == then + timedelta(days=1)
    clock.move(days=1)
    assert proved(second, other, CopyState.DAMAGED) == then + timedelta(days=1)

    def before(moment) -> list[str]:
        with catalogue.read() as tx:
            return [p.identifier for p in listing.page(tx, Wanted(proved_before=moment), limit=10)]

    assert before(then + timedelta(days=1)) == ["never"]
    assert before(then + timedelta(days=1, microseconds=1)) == ["never", "p"]


@pytest.mark.parametrize("order", list(Order))
def test_pages_neither_skip_nor_repeat_while_packages_come_and_are_proved(catalogue, clock, order):
    wanted = {
        Order.IDENTIFIER: Wanted(),
        Order.CREATED: Wanted(created_since=clock.time),
        Order.LAST_PROVED: Wanted(proved_before=clock.time + timedelta(days=30)),
    }[order]
    assert wanted.order is order
    with catalogue.write() as tx:
        volume = add_volume(tx, "a")
    for name in "hgfedcba":
        with catalogue.write() as tx:
            version = add_version(tx, name)
            add_copy(tx, version, volume)
            packages.set_standing(tx, version.id, below_policy=False, policy="default", priority=1)
        clock.move(hours="hgfedcba".index(name) % 2)
    seen, after = [], None
    while True:
        with catalogue.read() as tx:
            found = listing.page(tx, wanted, after=after, limit=3)
        if not found:
            break
        seen += [package.identifier for package in found]
        after = listing.place_of(found[-1], order)
        if len(seen) < 10:
            with catalogue.write() as tx:
                add_version(tx, f"{found[-1].identifier} later")
    old = [name for name in seen if "later" not in name]
    assert sorted(old) == list("abcdefgh")
    assert len(set(seen)) == len(seen)
