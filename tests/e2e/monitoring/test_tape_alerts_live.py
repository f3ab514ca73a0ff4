"""The alerts of tapes, of the certificate and of callbacks, as the others in test_alerts_live: provoked on a running
node, seen firing by a real Prometheus that comes over TLS, told by a real Alertmanager, and seen to end."""

import json
import socket
from datetime import timedelta

import pytest
import sqlalchemy as sa

from hardware.tape.virtual import DOOR
from tests.e2e.monitoring.test_alerts_live import ELSEWHERE
from tests.support.certificates import Authority
from tests.support.faults import flip
from tests.support.nodes import eventually
from tests.support.prometheus import REPO, Alertmanager, Prometheus, WatchedBench
from tests.support.tapes import TapeBench
from vault.catalog import callbacks
from vault.clock import to_text, utcnow

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

WHO = "user:test"
AGO = timedelta(days=2)


class TapeNode(WatchedBench, TapeBench):
    """A node with two volumes, a tape library, and TLS at its door."""


class Live:
    """The node, what watches it, and everything that was ever seen firing."""

    def __init__(self, folder):
        self.seen = set()
        self.authority = Authority(folder)
        self.authority.sign("node", days=3)
        tls = f'[api.tls]\ncertificate = "{folder}/node.pem"\nkey = "{folder}/node.key"'
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            self.deaf = f"127.0.0.1:{nobody.getsockname()[1]}"
        (folder / "secret").write_text("whsec_" + "c2VjcmV0" * 5 + "\n")
        (folder / "secret").chmod(0o600)
        told = f'[callbacks]\nhosts = ["{self.deaf}"]\nloopback = true\nsecret = "{folder}/secret"'
        self.bench = TapeNode(folder, extra=f"{tls}\n{told}")
        self.bench.start()
        self.bench.open_door()
        self.alertmanager = Alertmanager(
            folder / "alertmanager", REPO / "monitoring/alertmanager/alertmanager.example.yml"
        )
        self.prometheus = Prometheus(
            folder / "prometheus", [self.bench.target], self.alertmanager, authority=self.authority.certificate
        )

    def close(self):
        for close in (self.prometheus.stop, self.alertmanager.stop, self.bench.shut_door, self.bench.stop):
            close()

    def firing(self):
        found = {name: labels for name, labels in self.prometheus.firing().items() if name in ELSEWHERE}
        self.seen |= set(found)
        return found

    def fires(self, *names):
        """Wait until all of these fire, and somebody was told."""
        left = set(names)

        def look():
            left.difference_update(self.firing())
            return not left

        eventually(look, 60, lambda: f"silent: {left}; firing: {set(self.firing())}; {self.bench.tape_problem()}")
        told = self.alertmanager
        eventually(
            lambda: set().union(*told.names("pages"), *told.names("warnings")) >= set(names), 30, lambda: told.told[-5:]
        )

    def ends(self, *names):
        eventually(lambda: not set(names) & set(self.firing()), 60, self.firing)

    def sql(self, statement, **values):
        with self.bench.running.catalogue.write() as tx:
            return tx.connection.execute(sa.text(statement), values)

    def long_ago(self, statement):
        """What takes days: the time from which it is counted is put back until the node does not put it right again."""
        then = to_text(utcnow() - AGO)
        eventually(lambda: self.sql(statement, then=then).rowcount)


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    found = Live(tmp_path_factory.mktemp("tapes"))
    try:
        yield found
    finally:
        found.close()


def test_a_certificate_that_ends_and_is_renewed(live):
    live.fires("VaultCertificateExpiring")
    live.authority.sign("node", days=90)
    live.bench.renew_certificate()
    live.ends("VaultCertificateExpiring")


def test_a_program_that_cannot_be_told(live):
    bench = live.bench
    bench.deposit("hồ sơ", b"one" * 5000, filename="tờ 1", callback=f"http://{live.deaf}/kho")

    def tried():
        with bench.running.catalogue.read() as tx:
            return callbacks.waiting(tx)[1]

    eventually(tried, 30)
    live.long_ago("UPDATE callbacks SET first_at = :then WHERE first_at IS NOT NULL")
    live.fires("VaultCallbacksUndelivered")
    live.sql("UPDATE callbacks SET outcome = 'given-up'")
    live.ends("VaultCallbacksUndelivered")


def test_a_drive_that_is_dirty_and_then_cleaned(live):
    bench = live.bench
    bench.wait_for_tape("hồ sơ")
    bench.settle()
    (bench.library / "alerts-0").write_text("20\n5\n")
    live.fires("VaultTapeCleaningWanted", "VaultTapeAlert")
    live.long_ago("UPDATE tape_drives SET asked_at = :then WHERE asked_at IS NOT NULL")
    live.fires("VaultTapeCleaningOverdue")
    bench.running.tape_desk.make_practice("lib", "CLN001CU", 64 << 20)
    live.ends("VaultTapeCleaningWanted", "VaultTapeCleaningOverdue")
    drive = bench.running.tape_desk.drives()[0]
    old = {flag: to_text(utcnow() - AGO) for flag in drive.alerts}
    live.sql("UPDATE tape_drives SET alerts = :old", old=json.dumps(old))
    live.ends("VaultTapeAlert")


def test_a_cartridge_that_is_asked_for_and_a_pool_without_one(live):
    bench, desk = live.bench, live.bench.running.tape_desk
    desk.checkout("VLT001L8", "giá 1", WHO)
    bench.order(identifier="hồ sơ")
    eventually(desk.requests, 30, bench.tape_problem)
    bench.deposit("hồ sơ 2", b"two" * 5000, filename="tờ 1")
    live.fires("VaultTapePoolWithoutCartridge")
    live.long_ago("UPDATE mount_requests SET requested_at = :then WHERE ended_at IS NULL")
    live.fires("VaultTapeMountRequestWaiting")
    desk.checkin("VLT001L8", WHO)
    live.ends("VaultTapePoolWithoutCartridge", "VaultTapeMountRequestWaiting")
    bench.wait_for_tape("hồ sơ 2")
    bench.settle()


def test_a_cartridge_past_its_years_and_one_that_lost_bytes(live):
    bench = live.bench
    formatted = bench.cartridge("VLT001L8").formatted_at
    when = "UPDATE cartridges SET formatted_at = :then WHERE barcode = 'VLT001L8'"
    live.sql(when, then=to_text(formatted - timedelta(days=9 * 365)))
    live.fires("VaultTapeMediaPastDue")
    live.sql(when, then=to_text(formatted))
    live.ends("VaultTapeMediaPastDue")
    for record in bench.records("VLT001L8"):
        if record.stat().st_size > 4096:
            flip(record)
    bench.order(volume="VLT001L8")
    live.fires("VaultTapeCartridgeSuspect")
    bench.running.tape_desk.make_practice("lib", "VLT002L8", 256 << 20)
    live.sql("UPDATE cartridges SET state = 'retired' WHERE barcode = 'VLT001L8'")
    live.ends("VaultTapeCartridgeSuspect")


def test_a_drive_that_is_held_until_a_person_releases_it(live):
    desk = live.bench.running.tape_desk
    live.sql("UPDATE tape_drives SET held = 'two cartridges failed in it', held_at = :now", now=to_text(utcnow()))
    live.fires("VaultTapeDriveHeld")
    desk.release("lib", 0, WHO)
    live.ends("VaultTapeDriveHeld")


def test_a_drive_and_then_a_library_that_cannot_be_used(live):
    for file, alert in (("vanished-0", "VaultTapeDriveUnusable"), (DOOR, "VaultTapeLibraryUnusable")):
        (live.bench.library / file).touch()
        live.fires(alert)
        (live.bench.library / file).unlink()
        live.ends(alert)


def test_every_alert_was_seen_and_none_is_left(live):
    assert live.seen == ELSEWHERE
    live.ends(*ELSEWHERE)
