"""The life of copies as a state machine: whatever happens in whatever order, the invariants hold in the end."""

import errno
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.support.nodes import BAD, Bench, eventually
from tests.support.sickness import Sickness
from vault import daemon
from vault.api.auth import ALL_SCOPES, Principal
from vault.api.door import Door
from vault.api.kept_answers import KeptAnswers
from vault.custody import replacing
from vault.custody.orders import order_repair
from vault.errors import VaultError
from vault.model import Condition, CopyState, EventType, Outcome, VolumeMode
from vault.node import Node

EVERYBODY = Principal("user:test", ALL_SCOPES)
IDENTIFIERS = ("Đ-1", "Đ-2")
VOLUMES = st.sampled_from("abc")
ILLNESSES = {
    "reads fail": lambda ill: ill.fails("read", errno.EIO),
    "the server forgot the handle": lambda ill: ill.fails("read", errno.ESTALE),
    "it is full": lambda ill: ill.fails("write", errno.ENOSPC),
    "writes fail": lambda ill: ill.fails("write", errno.EIO),
    "syncing fails": lambda ill: ill.fails("sync", errno.EIO),
    "renames fail": lambda ill: ill.fails("rename", errno.EIO),
    "folders cannot be listed": lambda ill: ill.fails("list", errno.EIO),
    "a bit is flipped once": lambda ill: ill.flips(times=1),
}


class Custody(RuleBasedStateMachine):
    """A node with three volumes and two copies wanted, against a model of what was promised and what was spoilt."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="khoso-machine-"))
        self.bench = Bench(self.folder, "abc")
        self.bench.start()
        self.heads: dict[str, int] = {}
        self.away: set[str] = set()
        self.ill: Sickness | None = None
        self.spared: str = ""
        self.spoilt: dict[str, str] = {}
        self.ever_spoilt: set[tuple[str, str]] = set()
        self.count = 0
        self.answers_of: Node | None = None

    def teardown(self) -> None:
        try:
            self.get_well()
            self.use_all()
            for volume in sorted(self.away):
                self.come_back(volume)
            self.check_everything()
        finally:
            self.get_well()
            self.bench.stop()
            shutil.rmtree(self.folder)

    @property
    def quiet(self) -> bool:
        """All volumes are there, well and in use."""
        return not self.away and self.ill is None and not self.spared

    # --- what happens

    @rule(identifier=st.sampled_from(IDENTIFIERS))
    @precondition(lambda self: self.quiet)
    def deposit(self, identifier: str) -> None:
        self.count += 1
        head = self.heads.get(identifier)
        # Only where the package is healthy: a version can follow only on volumes that hold those before it.
        if identifier in self.spoilt:
            return
        if not self.spoilt:
            self.bench.settle()
        accepted = self.bench.deposit(identifier, f"content {self.count}".encode(), filename="tệp", if_match=head)
        assert accepted.version == (head or 0) + 1
        self.heads[identifier] = accepted.version

    @rule()
    @precondition(lambda self: not self.quiet)
    def deposit_in_trouble(self) -> None:
        """It is taken and then kept, or refused and then nothing."""
        self.count += 1
        try:
            self.bench.deposit(f"T-{self.count}", f"content {self.count}".encode(), filename="tệp")
        except VaultError:
            return

    @rule(identifier=st.sampled_from(IDENTIFIERS), which=st.integers(0, 5), gone=st.booleans())
    @precondition(lambda self: self.heads and self.quiet)
    def spoil(self, identifier: str, which: int, gone: bool) -> None:
        """Damage one copy, while all are good."""
        if identifier not in self.heads or self.spoilt:
            return
        self.bench.settle()
        good = sorted({v for (v, _), c in self.bench.copies(identifier).items() if c.state is CopyState.GOOD})
        volume = good[which % len(good)]
        number = 1 + which % self.heads[identifier]
        place = self.bench.object_path(volume, identifier) / f"v{number}/content/tệp"
        if gone:
            place.unlink()
        else:
            place.chmod(0o644)
            place.write_bytes(b"spoilt")
        self.spoilt[identifier] = volume
        self.ever_spoilt.add((volume, identifier))

    @rule(volume=VOLUMES)
    @precondition(lambda self: not self.away)
    def go_away(self, volume: str) -> None:
        self.bench.path(volume).rename(self.folder / f"{volume}-away")
        self.away.add(volume)
        self.bench.wait_for(volume, Condition.OFFLINE)

    @rule()
    @precondition(lambda self: self.away)
    def return_(self) -> None:
        self.come_back(next(iter(self.away)))

    def come_back(self, volume: str) -> None:
        (self.folder / f"{volume}-away").rename(self.bench.path(volume))
        self.away.discard(volume)
        self.bench.wait_for(volume, Condition.ONLINE)

    @rule(volume=VOLUMES, how=st.sampled_from(sorted(ILLNESSES)))
    @precondition(lambda self: self.ill is None)
    def fall_ill(self, volume: str, how: str) -> None:
        if volume not in self.away:
            self.ill = Sickness(self.bench.path(volume))
            self.ill.__enter__()
            ILLNESSES[how](self.ill)

    @rule()
    @precondition(lambda self: self.ill is not None)
    def get_well(self) -> None:
        ill, self.ill = self.ill, None
        if ill is not None:
            ill.__exit__(None, None, None)

    @rule(volume=VOLUMES, mode=st.sampled_from([VolumeMode.READ_ONLY, VolumeMode.EVACUATING]))
    @precondition(lambda self: not self.spared)
    def spare(self, volume: str, mode: VolumeMode) -> None:
        self.bench.set_mode(volume, mode)
        self.spared = volume

    @rule()
    @precondition(lambda self: self.spared)
    def use_all(self) -> None:
        volume, self.spared = self.spared, ""
        if volume:
            self.bench.set_mode(volume, VolumeMode.ACTIVE)

    @rule(volume=VOLUMES)
    @precondition(lambda self: self.heads and self.quiet)
    def replace(self, volume: str) -> None:
        """Its medium dies, with all that was on it, while nothing else is wrong."""
        if self.spoilt:
            return
        self.bench.settle()
        shutil.rmtree(self.bench.path(volume))
        self.bench.path(volume).mkdir()
        # Of a deposit that was not acknowledged something may stand there too.
        sent = (*IDENTIFIERS, *(f"T-{number}" for number in range(self.count + 1)))
        self.ever_spoilt.update((volume, identifier) for identifier in sent)
        replacing.replace(self.bench.running.custodian, volume, "user:test")
        self.bench.wait_for(volume, Condition.ONLINE)

    @rule(identifier=st.sampled_from(IDENTIFIERS))
    @precondition(lambda self: self.heads)
    def repair(self, identifier: str) -> None:
        if identifier in self.heads:
            order_repair(self.bench.running.custodian, identifier, "user:test")

    @rule()
    def verify(self) -> None:
        order = self.bench.order()
        if self.quiet:
            eventually(lambda: self.bench.verification(order.id).finished_at, 60, self.bench.unsettled)
            self.bench.settle()
            self.spoilt.clear()

    @rule()
    def restart(self) -> None:
        self.bench.restart()
        self.see_all()

    @rule()
    def kill(self) -> None:
        """Nothing is written down, nothing comes to its end."""
        node = self.bench.running
        self.bench.node = None
        node.abandon()
        node.close()
        self.bench.start()
        self.see_all()

    def see_all(self) -> None:
        # One that is ill may be unable to settle what was cut off on it, and is off-line until it is well.
        for volume in "abc":
            if volume in self.away:
                self.bench.wait_for(volume, Condition.OFFLINE)
            elif self.ill is None:
                self.bench.wait_for(volume, Condition.ONLINE)

    # --- what always holds

    @invariant()
    def only_what_was_spoilt_is_ever_blamed(self) -> None:
        told = self.bench.events(EventType.FIXITY_CHECK, outcome=Outcome.FAILURE)
        blamed = {(e.volume, e.identifier) for e in told if e.detail["is"] in BAD}
        assert blamed <= self.ever_spoilt

    @invariant()
    def no_copy_is_bad_on_a_volume_that_nobody_touched(self) -> None:
        spoilt = {volume for volume, _ in self.ever_spoilt}
        assert [c for c in self.bench.all_copies() if c.state in BAD and c.volume not in spoilt] == []

    @invariant()
    def an_answer_that_is_kept_is_what_the_catalogue_says(self) -> None:
        """Of changes that come between the two looks the next pair of looks knows."""
        if self.answers_of is not self.bench.running:
            self.answers_of = self.bench.running
            exporter = daemon._exporter(self.bench.running, Door(None))
            self.parts = daemon._parts(self.bench.running, exporter)
            self.answers = KeptAnswers(self.parts)
        for identifier in self.heads:

            def agree(identifier: str = identifier) -> bool:
                kept = self.answers.find(EVERYBODY, identifier) or self.answers.make(EVERYBODY, identifier)
                return kept == KeptAnswers(self.parts).make(EVERYBODY, identifier)

            eventually(agree, 20, f"the answer of {identifier} is an old one")

    def check_everything(self) -> None:
        self.bench.settle()
        if self.bench.kept:
            self.bench.verify()
        self.bench.settle()
        self.bench.assert_sound(others=False)
        for copy in self.bench.all_copies():
            if copy.state is not CopyState.RETIRED:
                assert copy.state is CopyState.GOOD
                assert copy.proved_at is not None


Custody.TestCase.settings = settings(
    max_examples=int(os.environ.get("KHOSO_EXAMPLES", "5")),
    stateful_step_count=10,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
TestCustody = Custody.TestCase
TestCustody.pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
