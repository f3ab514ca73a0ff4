"""Whoever wants something of a cartridge, it is mounted once and read forwards, once; and what is not asked for is not
read at all."""

import contextlib
import itertools
import os
import shutil
import threading

import pytest

from tests.e2e.tapes.test_recalls import state, version_of
from tests.support.nodes import bag, eventually, tar_of
from tests.support.tape_faults import flip_bit
from tests.support.tape_moves import blocks_of, followed
from tests.support.tapes import TapeBench, tape_path
from vault.catalog import recalls
from vault.custody.context import part_of
from vault.ledger import append
from vault.model import Condition, CopyState, EventType, NewEvent, Outcome, RecallState

ONE = "VLT001L8"
MIB = 1 << 20


@contextlib.contextmanager
def librarian_held(bench):
    """The library does nothing else in the block, so that what is asked for meanwhile waits together."""
    free, busy = threading.Event(), threading.Event()

    def wait(_library):
        busy.set()
        assert free.wait(120)

    holder = threading.Thread(target=lambda: bench.running.librarians["lib"].call(wait))
    holder.start()
    try:
        assert busy.wait(60)
        yield
    finally:
        free.set()
        holder.join()


def take_disks_away(bench):
    """Only the tape has anything now, and nobody repairs that."""
    for volume in ("a", "b"):
        bench.path(volume).rename(bench.path(volume).with_name(f"{volume}-away"))
        bench.wait_for(volume, Condition.OFFLINE)


def cached(bench, identifier, path):
    descriptor = bench.running.recaller.cached(part_of(version_of(bench, identifier)).object_id, f"v1/content/{path}")
    assert descriptor is not None, path
    with open(descriptor, "rb") as file:
        return file.read()


def waiting(bench):
    with bench.running.catalogue.read() as tx:
        return recalls.waiting(tx)


def test_a_verification_recalls_of_several_clients_and_a_repair_share_one_mount_and_one_pass(tmp_path):
    payloads = {f"Đ-{number}": {f"tệp-{file}": os.urandom(700_000) for file in range(5)} for number in range(5)}
    with TapeBench(tmp_path) as bench:
        for identifier, payload in payloads.items():
            bench.deposit(identifier, tar_of(bag(payload)), files=bag(payload))
        for identifier in payloads:
            bench.wait_for_tape(identifier)
        bench.settle()
        proved = {identifier: bench.copies(identifier)[ONE, 1].proved_at for identifier in payloads}
        recaller = bench.running.recaller
        with librarian_held(bench):
            # Repairs: what is on disk of three packages is gone.
            lost = {"Đ-1", "Đ-3", "Đ-4"}
            for volume, identifier in itertools.product(("a", "b"), lost):
                shutil.rmtree(bench.object_path(volume, identifier))
                bench.order(identifier=identifier, volume=volume)
            eventually(lambda: {one.identifier for one in waiting(bench)} == lost, 60, bench.tape_problem)
            ordered = [
                recaller.request(version_of(bench, "Đ-4"), ["data/tệp-3"], "user:one"),
                recaller.request(version_of(bench, "Đ-3"), ["data/tệp-4"], "user:one"),
                recaller.request(version_of(bench, "Đ-3"), ["data/tệp-1"], "user:two"),
                recaller.request(version_of(bench, "Đ-3"), (), "user:three"),
            ]
            for identifier in ("Đ-0", "Đ-3"):
                bench.order(identifier=identifier, volume=ONE)
            loads = bench.cartridge(ONE).loads
        with followed(ONE) as trail:
            eventually(lambda: not waiting(bench), 60, bench.tape_problem)
        assert bench.cartridge(ONE).loads == loads + 1
        assert {state(bench, one.id).state for one in ordered} == {RecallState.READY}
        for identifier in ("Đ-0", "Đ-3"):
            assert bench.copies(identifier)[ONE, 1].proved_at > proved[identifier]
        read = trail.assert_forward_and_once(bench.library / ONE)
        assert cached(bench, "Đ-3", "data/tệp-1") == payloads["Đ-3"]["tệp-1"]
        assert cached(bench, "Đ-4", "data/tệp-3") == payloads["Đ-4"]["tệp-3"]
        assert bench.copies("Đ-2")[ONE, 1].proved_at == proved["Đ-2"]
        assert not set(read) & blocks_of(bench.library / ONE, tape_path("Đ-2", 1)), "nobody wants it"
        bench.settle()
        bench.assert_kept(["a", "b"])
        bench.assert_ledger()


def test_what_is_damaged_fails_those_who_want_it_and_nobody_else(tmp_path):
    payload = {f"tệp-{file}": bytes([65 + file]) * 1_200_000 for file in range(4)}
    with TapeBench(tmp_path) as bench:
        bench.deposit("Đ-1", tar_of(bag(payload)), files=bag(payload))
        bench.wait_for_tape("Đ-1")
        bench.settle()
        flip_bit(bench.library / ONE, containing=b"C" * 200_000)
        recaller = bench.running.recaller
        with librarian_held(bench):
            take_disks_away(bench)
            version = version_of(bench, "Đ-1")
            good = recaller.request(version, ["data/tệp-1"], "user:one")
            bad = recaller.request(version, ["data/tệp-2"], "user:two")
            bench.order(identifier="Đ-1", volume=ONE)
        eventually(lambda: state(bench, bad.id).state is RecallState.FAILED, 60, bench.tape_problem)
        eventually(lambda: state(bench, good.id).state is RecallState.READY, 60, bench.tape_problem)
        assert cached(bench, "Đ-1", "data/tệp-1") == payload["tệp-1"]
        eventually(lambda: bench.copies("Đ-1")[ONE, 1].state is CopyState.DAMAGED, 60, bench.tape_problem)


def test_that_what_is_recalled_has_no_place_keeps_nothing_from_being_proved(tmp_path):
    """What waits for a recall is tried again and again, in the pass in which what is due is checked."""
    with TapeBench(tmp_path) as bench:
        for identifier in ("Đ-1", "Đ-2"):
            bench.deposit(identifier, tar_of(bag({"tệp": b"x"})), files=bag({"tệp": b"x"}))
            bench.wait_for_tape(identifier)
        bench.settle()
        proved = {identifier: bench.copies(identifier)[ONE, 1].proved_at for identifier in ("Đ-1", "Đ-2")}
        place = bench.settings.node.state / "recall"
        with librarian_held(bench):
            take_disks_away(bench)
            shutil.rmtree(place, ignore_errors=True)
            place.write_text("in the way")
            asked = bench.running.recaller.request(version_of(bench, "Đ-1"), (), "user:one")
            for identifier in proved:
                bench.order(identifier=identifier, volume=ONE)

        def checked():
            return all(bench.copies(identifier)[ONE, 1].proved_at > proved[identifier] for identifier in proved)

        eventually(checked, 60, bench.tape_problem)
        assert state(bench, asked.id).state is not RecallState.READY
        place.unlink()
        bench.running.librarians["lib"].at_once()
        eventually(lambda: state(bench, asked.id).state is RecallState.READY, 60, bench.tape_problem)


def test_one_file_of_a_large_tar_costs_little_more_than_itself(tmp_path):
    payload = {f"tệp-{file:03}": os.urandom(MIB) for file in range(72)}
    with TapeBench(tmp_path) as bench:
        bench.deposit("Đ-1", tar_of(bag(payload)), files=bag(payload))
        bench.wait_for_tape("Đ-1")
        bench.settle()
        with librarian_held(bench):
            take_disks_away(bench)
            asked = bench.running.recaller.request(version_of(bench, "Đ-1"), ["data/tệp-048"], "user:test")
        with followed(ONE) as trail:
            eventually(lambda: state(bench, asked.id).state is RecallState.READY, 60, bench.tape_problem)
        assert cached(bench, "Đ-1", "data/tệp-048") == payload["tệp-048"]
        assert MIB <= trail.bytes < 8 * MIB, "labels and indexes included"
        trail.assert_forward_and_once(bench.library / ONE)


@pytest.mark.timeout(300)
def test_a_thousand_recalls_of_scattered_files_move_the_tape_forward_only_and_once(tmp_path):
    payloads = {f"Đ-{number}": {f"tệp-{file:02}": os.urandom(120_000) for file in range(16)} for number in range(4)}
    scattered = [[f"data/tệp-{file:02}" for file in some] for some in itertools.combinations(range(16), 3)][:250]
    with TapeBench(tmp_path) as bench:
        for identifier, payload in payloads.items():
            bench.deposit(identifier, tar_of(bag(payload)), files=bag(payload))
        for identifier in payloads:
            bench.wait_for_tape(identifier, seconds=120)
        bench.settle()
        with librarian_held(bench):
            take_disks_away(bench)
            with bench.running.catalogue.write() as tx:
                ordered = [
                    recalls.order(tx, identifier, 1, files, f"user:{number % 7}", 0)[0].id
                    for number, (files, identifier) in enumerate(itertools.product(reversed(scattered), payloads))
                ]
                asked = {"recalls": len(ordered)}
                append(tx, NewEvent(EventType.RECALL_REQUESTED, Outcome.SUCCESS, "user:test", detail=asked))
            loads = bench.cartridge(ONE).loads
        with followed(ONE) as trail:
            eventually(lambda: not waiting(bench), 200, bench.tape_problem)
        assert len(set(ordered)) == 1000
        assert {state(bench, one).state for one in ordered} == {RecallState.READY}
        for identifier, payload in payloads.items():
            assert cached(bench, identifier, "data/tệp-07") == payload["tệp-07"]
        assert bench.cartridge(ONE).loads == loads + 1
        assert trail.assert_forward_and_once(bench.library / ONE)
