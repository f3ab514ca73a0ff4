"""What is told of a package is known to hold still exactly as long as nothing of it was changed."""

import pytest
import sqlalchemy as sa

from tests.support.holdings import add_copy, add_version, add_volume, tell
from vault.catalog import copies, disks, packages, schema, volumes
from vault.catalog.changes import Changes, Gathered
from vault.device_model import Health
from vault.model import Condition, CopyState, Descriptive, EventType, VolumeMode


class Held:
    """Two packages with a copy each, and whether something of them changed since the last look."""

    def __init__(self, catalogue) -> None:
        self.catalogue = catalogue
        with catalogue.write() as tx:
            self.volume = add_volume(tx, "nas-a")
            self.versions = [add_version(tx, identifier) for identifier in ("Đ-1", "Đ-2")]
            self.copies = [add_copy(tx, version, self.volume, CopyState.WRITTEN) for version in self.versions]

    def changed(self, act) -> list[bool]:
        """Whether each of the two may have changed by what ``act`` does in a transaction."""
        number = self.catalogue.changes.number
        with self.catalogue.write() as tx:
            act(tx)
        return [
            self.catalogue.changes.any_since(
                number,
                [("package", one.package_id), ("version", one.id), ("identifier", one.identifier)],
            )
            for one in self.versions
        ]


@pytest.fixture
def held(catalogue) -> Held:
    return Held(catalogue)


def of_the_first(held):
    version, copy = held.versions[0], held.copies[0]
    return {
        "a copy's state": lambda tx: (copies.change(tx, copy.id, CopyState.GOOD, proved=True), tell(tx)),
        "a copy's reason": lambda tx: copies.change(tx, copy.id, CopyState.GOOD, reason="slow"),
        "a copy more": lambda tx: copies.plan(tx, version.id, add_volume(tx, "nas-b").id),
        "its standing": lambda tx: packages.set_standing(
            tx, version.id, below_policy=False, policy="default", priority=1
        ),
        "its receipt": lambda tx: (packages.set_receipt(tx, version.id, {"format": "x"}), tell(tx)),
        "what is said of it": lambda tx: (
            packages.describe(tx, version.package_id, Descriptive(fonds="UBND")),
            tell(tx),
        ),
        "a version more": lambda tx: add_version(tx, "Đ-1"),
        "an event": lambda tx: tell(tx, EventType.RECEIPT, identifier="Đ-1"),
    }


def test_a_change_is_of_its_package(held):
    for what, act in of_the_first(held).items():
        # A volume that was added with it changes all.
        assert held.changed(act) == [True, what == "a copy more"], what


def test_a_copy_taken_up_again_is_of_its_package(held):
    held.changed(lambda tx: (copies.change(tx, held.copies[0].id, CopyState.GOOD, proved=True), tell(tx)))
    held.changed(lambda tx: (copies.change(tx, held.copies[0].id, CopyState.RETIRED), tell(tx)))
    assert held.changed(lambda tx: copies.plan(tx, held.versions[0].id, held.volume.id)) == [True, False]


def test_what_a_volume_is_for_and_where_it_stands_is_of_all(held):
    assert held.changed(lambda tx: (volumes.set_mode(tx, held.volume.id, VolumeMode.RETIRED), tell(tx))) == [True] * 2
    moved = {"domain": "d2", "site": "kho-2"}
    assert held.changed(lambda tx: (volumes.describe(tx, held.volume.id, **moved), tell(tx))) == [True] * 2


def test_what_is_told_of_no_package_changes_none(held):
    def probed(tx):
        volumes.set_condition(tx, held.volume.id, Condition.OFFLINE, "away", None, None)
        disks.set_volume_health(tx, held.volume.id, Health.WATCH, "a disk")
        tell(tx, EventType.VOLUME_CHANGED, volume="nas-a")

    assert held.changed(probed) == [False] * 2
    assert held.changed(lambda tx: add_version(tx, "Đ-3")) == [False] * 2


def test_a_statement_that_says_nothing_may_have_changed_all(held):
    statement = schema.copies.update().values(reason="by hand")
    assert held.changed(lambda tx: tx.connection.execute(statement)) == [True] * 2
    assert held.changed(lambda tx: tx.connection.execute(sa.delete(schema.packages).where(sa.false()))) == [True] * 2


def test_what_failed_counts_as_changed(held):
    number = held.catalogue.changes.number

    def fails(tx):
        tell(tx, identifier="Đ-1")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        held.changed(fails)
    assert held.catalogue.changes.any_since(number, [("identifier", "Đ-1")])


def test_what_is_too_long_ago_is_not_known_to_hold():
    changes = Changes(most=3)
    changes.committed(Gathered({("package", 1)}))
    before = changes.number
    for number in range(2, 6):
        changes.committed(Gathered({("package", number)}))
    assert changes.any_since(before, [("package", 99)])
    assert not changes.any_since(changes.number, [("package", 99)])
    assert not changes.any_since(changes.number, [("package", 5)])
