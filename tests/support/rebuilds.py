"""A node that loses its catalogue, and what must be as it was when that was made anew."""

import dataclasses
import random
import shutil

from tests.support.nodes import VIETNAMESE, Bench, bag, tar_of, write_config
from vault.catalog import copies, listing, packages
from vault.cli.offline import rebuild_sources
from vault.model import Descriptive
from vault.recovery.rebuild import rebuild
from vault.signing import NodeKey


class Killed(BaseException):
    """As a kill is: nothing is cleaned up that a process would."""


def fill(bench):
    said = Descriptive("H49", "UBND xã Chiềng An", "", "Hồ sơ địa chính", "vĩnh viễn", "mở", "land")
    files = bag(VIETNAMESE)
    body = tar_of({f"x/{name}": data for name, data in files.items()})
    bench.deposit("Hồ sơ/Đ-012", body, files, descriptive=said, metadata={"số": "12"})
    bench.deposit("tệp", b"one", filename="một.pdf")
    bench.deposit("tệp", b"two", filename="một.pdf", if_match=1)
    bench.settle()


MORE = 7
"""Packages of :func:`make_archive` that came after the backup."""


def make_archive(folder):
    """A node that was stopped, for :func:`of_archive`; what came after the backup is signed by checkpoints."""
    with Bench(folder) as bench:
        fill(bench)
        bench.deposit("to", random.Random(7).randbytes(2_000_000), filename="x")
        bench.settle()
        bench.running.backups.make()
        bench.running.keep_checkpoint()
        for number in range(MORE):
            bench.deposit(f"p/{number}", bytes([number]) * 9000, filename="x")
        bench.settle()
        bench.running.keep_checkpoint()
    return folder


def of_archive(archive, folder):
    """A node in ``folder`` with all that this one has, not started."""
    for name in ("state", "a", "b"):
        shutil.copytree(archive / name, folder / name, symlinks=True)
        (folder / f".{name}-initialised").touch()
    (folder / "vault.toml").write_text(write_config(folder))
    return Bench(folder)


def lose(bench):
    for left in (bench.folder / "state").glob("catalog.db*"):
        left.unlink()


def lose_everything(bench, *, key: bool = True):
    kept = (bench.folder / "state" / "node.key").read_bytes()
    shutil.rmtree(bench.folder / "state")
    (bench.folder / "state").mkdir()
    if key:
        (bench.folder / "state" / "node.key").write_bytes(kept)
        (bench.folder / "state" / "node.key").chmod(0o600)


def key_of(bench):
    return NodeKey.load_or_create(bench.folder / "state" / "node.key")


def rebuilt(bench, **how):
    return rebuild(bench.settings, rebuild_sources(bench.settings), key_of(bench), **how)


def rebuilt_again(bench):
    bench.stop()
    return rebuilt(bench)


def answers(bench, *, times=True, receipts=True):
    """All that the API tells of packages, by identifier and version."""
    found = {}
    with bench.running.catalogue.read() as tx:
        for package in listing.page(tx, listing.Wanted(), limit=1000):
            for version in packages.versions_of(tx, package.id):
                facts = dataclasses.asdict(version)
                for local in (
                    "id",
                    "package_id",
                    "policy_fingerprint",
                    "priority",
                    *(() if times else ("created_at",)),
                ):
                    del facts[local]
                facts |= {
                    "said": package.descriptive,
                    "metadata": packages.metadata(tx, version.id),
                    "receipt": packages.receipt(tx, version.id) if receipts else None,
                    "copies": {(c.volume, str(c.state), c.proved_at if times else None)
                               for c in copies.of_version(tx, version.id)},
                }  # fmt: skip
                found[package.identifier, version.number] = facts
    return found


def codes(report):
    return {trouble.code for trouble in report.troubles}
