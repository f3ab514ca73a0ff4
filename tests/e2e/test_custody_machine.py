"""The life of copies as a state machine: whatever happens in whatever order, the invariants hold in the end."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.support.nodes import BAD, Bench, eventually
from vault.model import Condition, CopyState, EventType, Outcome

IDENTIFIERS = ("Đ-1", "Đ-2")
VOLUMES = st.sampled_from("abc")


class Custody(RuleBasedStateMachine):
    """A node with three volumes and two copies wanted, against a model of what was promised and what was spoilt."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="khoso-machine-"))
        self.bench = Bench(self.folder, "abc")
        self.bench.start()
        self.heads: dict[str, int] = {}
        self.away: set[str] = set()
        self.spoilt: dict[str, str] = {}
        self.ever_spoilt: set[tuple[str, str]] = set()
        self.count = 0

    def teardown(self) -> None:
        try:
            for volume in sorted(self.away):
                self.come_back(volume)
            self.check_everything()
        finally:
            self.bench.stop()
            shutil.rmtree(self.folder)

    # --- what happens

    @rule(identifier=st.sampled_from(IDENTIFIERS))
    @precondition(lambda self: not self.away)
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

    @rule(identifier=st.sampled_from(IDENTIFIERS), which=st.integers(0, 5), gone=st.booleans())
    @precondition(lambda self: self.heads and not self.away)
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

    @rule()
    def verify(self) -> None:
        order = self.bench.order()
        if not self.away:
            eventually(lambda: self.bench.verification(order.id).finished_at, 30, self.bench.unsettled)
            self.bench.settle()
            self.spoilt.clear()

    @rule()
    def restart(self) -> None:
        self.bench.restart()
        for volume in "abc":
            self.bench.wait_for(volume, Condition.OFFLINE if volume in self.away else Condition.ONLINE)

    # --- what always holds

    @invariant()
    def only_what_was_spoilt_is_ever_blamed(self) -> None:
        told = self.bench.events(EventType.FIXITY_CHECK)
        blamed = {(e.volume, e.identifier) for e in told if e.outcome is Outcome.FAILURE}
        assert blamed <= self.ever_spoilt

    @invariant()
    def no_copy_is_bad_on_a_volume_that_nobody_touched(self) -> None:
        spoilt = {volume for volume, _ in self.ever_spoilt}
        assert [c for c in self.bench.all_copies() if c.state in BAD and c.volume not in spoilt] == []

    def check_everything(self) -> None:
        if self.heads:
            self.bench.verify()
        self.bench.settle()
        self.bench.assert_sound(others=False)
        for copy in self.bench.all_copies():
            assert copy.state is CopyState.GOOD
            assert copy.proved_at is not None


Custody.TestCase.settings = settings(
    max_examples=int(os.environ.get("KHOSO_EXAMPLES", "5")),
    stateful_step_count=10,
    deadline=None,
    # A step takes a second; what fails is printed as it was found.
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
TestCustody = Custody.TestCase
TestCustody.pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
